"""Models and embeddings behind OpenAI's API, or one like it: a provider, the gateway, a server of
one's own. Requests are made by Rust code, without the interpreter's lock.

Subclass to change what is sent; for other APIs write an object with the same methods.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from opentelemetry import propagate

from spanwise import _core
from spanwise.rag_control._types import Generation, Message, Piece, Usage

PUBLIC_URL = "https://api.openai.com/v1"


class Endpoint:
    """Where the API is, and who asks."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 120.0,
        provider: str = "openai",
        propagate_context: bool | None = None,
        dimensions: int = 0,
    ) -> None:
        """The model below a base URL (``OPENAI_BASE_URL``), with a key (``OPENAI_API_KEY``).

        ``timeout`` is for a whole answer. The trace's context goes along, except to providers at
        their public addresses, unless ``propagate_context`` says otherwise.
        """
        self.model = model
        #: Who runs it, as OpenTelemetry names providers.
        self.provider = provider
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or PUBLIC_URL
        api_key = api_key if api_key is not None else os.environ.get("OPENAI_API_KEY")
        self._core = _core.RagModel(
            base_url, model, dimensions, api_key, list((headers or {}).items()), timeout, propagate_context
        )

    def _headers(self) -> list[tuple[str, str]]:
        carrier: dict[str, str] = {}
        if self._core.propagates:
            propagate.inject(carrier)
        return list(carrier.items())


class OpenAICompatibleLLM(Endpoint):
    """A chat model."""

    def generate(
        self,
        messages: Sequence[Message],
        *,
        temperature: float | None = None,
        max_output_tokens: int | None = None,
        reasoning_depth: str | None = None,
    ) -> Generation:
        options = (temperature, max_output_tokens, reasoning_depth)
        content, usage, finish_reason = self._core.generate(messages, options, self._headers())
        return Generation(content, usage_of(usage), finish_reason)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        temperature: float | None = None,
        max_output_tokens: int | None = None,
        reasoning_depth: str | None = None,
    ) -> Iterator[Piece]:
        options = (temperature, max_output_tokens, reasoning_depth)
        for text, usage, finish_reason in self._core.stream(messages, options, self._headers()):
            yield Piece(text, usage_of(usage), finish_reason)


class OpenAICompatibleEmbedding(Endpoint):
    """An embedding model."""

    def __init__(
        self,
        model: str,
        dimensions: int,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        provider: str = "openai",
        propagate_context: bool | None = None,
    ) -> None:
        super().__init__(
            model,
            base_url=base_url,
            api_key=api_key,
            headers=headers,
            timeout=timeout,
            provider=provider,
            propagate_context=propagate_context,
            dimensions=dimensions,
        )
        self.dimensions = dimensions

    def embed(self, text: str) -> list[float]:
        return self._core.embed(text, self._headers())


def usage_of(counts: tuple[int | None, int | None, int | None] | None) -> Usage | None:
    return None if counts is None else Usage(*counts)
