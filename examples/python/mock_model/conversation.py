"""What is asked and answered, whatever API it comes by."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Message:
    """`role` is `system`, `user`, `assistant` or `tool`."""

    role: str
    text: str


@dataclass(frozen=True)
class Request:
    """What a model is asked."""

    model: str
    messages: list[Message]
    tools: list[str]
    stream: bool
    raw: dict[str, Any]

    @property
    def system(self) -> str:
        return "\n".join(message.text for message in self.messages if message.role == "system")

    @property
    def question(self) -> str:
        """The last that a user said."""
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")

    @property
    def results(self) -> list[str]:
        """What tools have answered since."""
        said = [message.role for message in self.messages]
        last = len(said) - said[::-1].index("user") if "user" in said else 0
        return [message.text for message in self.messages[last:] if message.role == "tool"]

    @property
    def input_tokens(self) -> int:
        offered = json.dumps(self.raw["tools"]) if self.tools else ""
        return sum(tokens_in(message.text) for message in self.messages) + tokens_in(offered)


@dataclass(frozen=True)
class ToolCall:
    """A tool that the model wants called."""

    name: str
    arguments: dict[str, Any]
    id: str = field(default_factory=lambda: f"call_{next(NUMBERS)}")


@dataclass(frozen=True)
class Reply:
    """What a model answers. With another `status` than 200 the text is the error's message.

    `model` is who answers, if that is not who was asked; `usage` are input and output tokens, counted
    by letters if not given.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    status: int = 200
    model: str = ""
    usage: tuple[int, int] | None = None

    def used(self, request: Request) -> tuple[int, int]:
        """Input and output tokens."""
        said = sum(tokens_in(json.dumps(call.arguments)) for call in self.calls) + tokens_in(self.text)
        return self.usage or (request.input_tokens, said)

    @property
    def words(self) -> list[str]:
        """The text in pieces, as it streams."""
        return [f"{word} " for word in self.text.split(" ")[:-1]] + self.text.split(" ")[-1:] if self.text else []


def tokens_in(text: str) -> int:
    """About four characters are a token."""
    return (len(text) + 3) // 4


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or a list of parts."""
    if isinstance(content, str) or content is None:
        return content or ""
    texts = (part if isinstance(part, str) else part.get("text") or text_of(part.get("content")) for part in content)
    return "\n".join(text for text in texts if text)
