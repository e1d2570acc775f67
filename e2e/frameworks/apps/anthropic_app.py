"""Anthropic's client below our decorators."""

# pyright: reportMissingImports=false
from __future__ import annotations

import contextlib

import anthropic

from scenario import QUESTION, run
from spanwise import agent, tool

MODEL = "claude-sonnet-5"
WEATHER = {
    "name": "weather",
    "description": "The weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def client() -> anthropic.Anthropic:
    return anthropic.Anthropic(max_retries=0)


@tool
def weather(city: str) -> str:
    return f"rain in {city}"


@agent
def forecaster(question: str) -> str:
    messages = [{"role": "user", "content": question}]
    while True:
        answer = client().messages.create(
            model=MODEL, max_tokens=100, system="You are a forecaster", messages=messages, tools=[WEATHER]
        )
        if answer.stop_reason != "tool_use":
            return answer.content[0].text
        calls = [block for block in answer.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": weather(**call.input)} for call in calls]
        messages += [
            {"role": "assistant", "content": [block.model_dump() for block in answer.content]},
            {"role": "user", "content": results},
        ]


def tools() -> None:
    forecaster(QUESTION)


def stream() -> None:
    asked = [{"role": "user", "content": "and streamed?"}]
    with client().messages.stream(model=MODEL, max_tokens=100, messages=asked) as answer:
        assert list(answer.text_stream)


def raw_stream() -> None:
    asked = [{"role": "user", "content": "and streamed raw?"}]
    assert list(client().messages.create(model=MODEL, max_tokens=100, messages=asked, stream=True))


def error() -> None:
    with contextlib.suppress(anthropic.RateLimitError):
        client().messages.create(model="broken", max_tokens=10, messages=[{"role": "user", "content": "hi"}])


run(tools, stream, raw_stream, error)
