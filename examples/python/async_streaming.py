"""Answers that stream, several at once: asyncio, an async generator, one answer that nobody waits for.

    python examples/python/async_streaming.py

Needs a running Spanwise (`make run`) and `pip install "spanwise[anthropic]" anthropic`. The model is a
mock that answers offline; with ANTHROPIC_API_KEY set, Anthropic's own answers.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import anthropic

from mock_model import Reply, Request
from offline import start
from spanwise import agent, task, tool, workflow

PAGES = {
    "storage": "Segments are immutable; a catalog record is the commit.",
    "ingest": "An append is acknowledged once it is durable.",
    "search": "Words of every prompt are indexed in the background.",
}


def script(request: Request) -> Reply | str:
    """What the mock model answers."""
    if "Merge" in request.system:
        return "Spans are durable before they are acknowledged, lie in immutable segments and are found by any word."
    return f"In short: {request.question.rpartition(': ')[2]}"


@tool
async def read_page(topic: str) -> str:
    await asyncio.sleep(0.02)
    return PAGES[topic]


@agent
async def summarize(topic: str) -> str:
    page = await read_page(topic)
    return "".join([piece async for piece in answer("Summarize in one line.", f"{topic}: {page}")])


@task
async def answer(system: str, text: str) -> AsyncGenerator[str, None]:
    """Pieces of an answer as they come. The span lasts as long as they are read."""
    client = anthropic.AsyncAnthropic()
    asked: list[Any] = [{"role": "user", "content": text}]
    stream = await client.messages.create(
        model="claude-sonnet-5", max_tokens=200, system=system, messages=asked, stream=True
    )
    async for event in stream:
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            yield event.delta.text


@workflow(name="briefing", user_id="grace")
async def briefing(topics: list[str]) -> str:
    lines = await asyncio.gather(*(summarize(topic) for topic in topics), return_exceptions=True)
    known = [line for line in lines if isinstance(line, str)]
    text = ""
    async for piece in answer("Merge these lines into one sentence.", "\n".join(known)):
        text += piece
    return text


@workflow(name="impatient")
async def impatient() -> str:
    """Reads the first words and leaves: the spans end all the same."""
    pieces = answer("Summarize in one line.", f"storage: {PAGES['storage']}")
    first = await anext(pieces)
    await pieces.aclose()
    return first


async def main() -> None:
    # "history" has no page: its agent fails, the briefing goes on.
    print(await briefing(["storage", "ingest", "search", "history"]))
    print(await impatient(), "…")


if __name__ == "__main__":
    with start("briefings", script):
        asyncio.run(main())
