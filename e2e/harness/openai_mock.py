"""What the mock model answers to the app of `clients`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from harness.server import ROOT

sys.path.append(str(ROOT / "examples/python"))

from mock_model import MockModel, Reply, Request, ToolCall

__all__ = ["MockModel", "Reply", "Request", "ToolCall", "openai_api"]

MODEL = "gpt-4o-2024-08-06"
USAGE = (120, 30)
ANSWER = "It is 18 °C and sunny in Paris."


def script(request: Request) -> Reply:
    """A tool call on the first turn, where tools are offered; a text once the tool has answered."""
    if request.model == "broken":
        return Reply("rate limited", status=429)
    if request.tools and not request.results:
        return Reply(calls=(ToolCall("get_weather", {"city": "Paris"}),), model=MODEL, usage=USAGE)
    return Reply(ANSWER, model=MODEL, usage=USAGE)


@contextmanager
def openai_api() -> Iterator[str]:
    """Runs it; gives the base URL for the client."""
    with MockModel(script) as model:
        yield model.openai_url
