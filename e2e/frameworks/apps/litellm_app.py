"""LiteLLM, before OpenAI's client and before Anthropic's API."""

# pyright: reportMissingImports=false
from __future__ import annotations

import asyncio
import contextlib
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

from scenario import QUESTION, run

litellm.suppress_debug_info = True
USAGE = {"include_usage": True}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def asked(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def tools() -> None:
    answer = litellm.completion(model="openai/gpt-4o", messages=asked(QUESTION), tools=[WEATHER], temperature=0.25)
    assert answer.choices[0].message.tool_calls[0].function.name == "weather"


def claude() -> None:
    litellm.completion(model="anthropic/claude-sonnet-5", messages=asked(QUESTION))


def stream() -> None:
    assert list(litellm.completion(model="gpt-4o", messages=asked("and streamed?"), stream=True, stream_options=USAGE))


def concurrent() -> None:
    async def both() -> None:
        await asyncio.gather(
            *(litellm.acompletion(model="gpt-4o", messages=asked(f"and {city}?")) for city in ("Oslo", "Rome"))
        )

    asyncio.run(both())


def embedding() -> None:
    litellm.embedding(model="text-embedding-3-small", input=["rain in Oslo"])


def error() -> None:
    with contextlib.suppress(Exception):
        litellm.completion(model="openai/broken", messages=asked("hi"), num_retries=0, max_retries=0)


run(tools, claude, stream, concurrent, embedding, error)
