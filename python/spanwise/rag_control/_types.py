"""What passes between the engine and its adapters."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterable, Awaitable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypedDict, runtime_checkable

from spanwise import _core

#: What a user may see, as stores are given it: ``{"and": […]}``, ``{"or": […]}`` or ``{"field": …,
#: "operator": …, "value": …}``, the operator being ``equals``, ``not_equals``, ``in``, ``not_in``,
#: ``contains``, ``not_contains``, ``range`` or ``not_range``, and the value of a range an object with
#: ``min``, ``max`` or both.
Filter = dict[str, Any]


def matches(filter: Filter | None, metadata: Mapping[str, Any]) -> bool:
    """Whether a document with this metadata passes a filter. One that lacks a field does not."""
    return _core.rag_filter_matches(filter, metadata)


@dataclasses.dataclass(frozen=True)
class UserContext:
    """Who asks."""

    user_id: str
    org_id: str
    #: What filters compare with, as ``$user.attributes.NAME``.
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])


@dataclasses.dataclass(frozen=True)
class Document:
    """A document that was found."""

    id: str
    content: str
    #: How well it fits; larger is better.
    score: float
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])


@dataclasses.dataclass(frozen=True)
class Usage:
    """How many tokens an answer took, as far as that is known."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


@dataclasses.dataclass(frozen=True)
class Generation:
    """A model's whole answer."""

    content: str
    usage: Usage | None = None
    finish_reason: str | None = None


@dataclasses.dataclass(frozen=True)
class Piece:
    """A piece of an answer; the last one may say what it took."""

    text: str
    usage: Usage | None = None
    finish_reason: str | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer that keeps to its policy."""

    content: str
    #: What it was made from, best first. The user may see all of it.
    documents: list[Document]
    #: The ids of the documents that it cites.
    citations: list[str]
    #: Whether it says only that there is no answer.
    refused: bool
    policy_name: str
    usage: Usage
    finish_reason: str | None
    #: The request, as spans and log lines name it.
    request_id: str
    #: Its trace, if it has one.
    trace_id: str | None

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Answer:
        """What the engine gave."""
        documents = [Document(**document) for document in fields.pop("documents")]
        return cls(documents=documents, usage=Usage(*fields.pop("usage")), **fields)


class Message(TypedDict):
    """Something said to a model."""

    role: str
    content: str


# Any of these may be a coroutine function or an asynchronous generator as well. The results are
# duck-typed: text, objects with these attributes, or mappings with these keys.


@runtime_checkable
class LLM(Protocol):
    """A model that answers. It may say who runs it, as ``provider``."""

    @property
    def model(self) -> str: ...

    def generate(
        self, messages: Sequence[Message], *, temperature: float | None, max_output_tokens: int | None
    ) -> Any | Awaitable[Any]: ...

    def stream(
        self, messages: Sequence[Message], *, temperature: float | None, max_output_tokens: int | None
    ) -> Iterable[Any] | AsyncIterable[Any] | Awaitable[Any]: ...


@runtime_checkable
class QueryEmbedding(Protocol):
    """What makes vectors of questions. It may say who runs it, as ``provider``."""

    @property
    def model(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    def embed(self, text: str) -> Iterable[float] | Awaitable[Iterable[float]]: ...


@runtime_checkable
class VectorStore(Protocol):
    """Where documents are. Stores that can, apply the filter; the engine applies it in any case."""

    @property
    def name(self) -> str: ...

    def search(self, vector: Any, *, top_k: int, filter: Filter | None) -> Iterable[Any] | Awaitable[Iterable[Any]]: ...
