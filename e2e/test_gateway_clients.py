"""The clients that people use, each pointed at the gateway by its base URL alone."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from harness.gateway import Gateway, running_gateway
from harness.openai_mock import MockModel, Reply, Request, ToolCall
from harness.server import ROOT, Server

ANSWER = "It rains in Oslo."
QUESTION = "How is the weather in Oslo?"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
RESPONSES_TOOL: Any = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}
MESSAGES_TOOL: Any = {"name": "get_weather", "description": "The weather in a city", "input_schema": SCHEMA}
# One that the client's own dialect is translated for, and one that it is not.
MODELS = ("gpt-4o-mini", "claude-sonnet-5")


class Weather(BaseModel):
    """What a structured answer says."""

    city: str
    celsius: int


def script(request: Request) -> Reply | str:
    if '"celsius"' in json.dumps(request.raw):
        return '{"city": "Oslo", "celsius": 7}'
    if request.tools and not request.results:
        return Reply(calls=(ToolCall("get_weather", {"city": "Oslo"}),))
    return f"{request.results[0]}!" if request.results else ANSWER


@pytest.fixture
def model() -> Iterator[MockModel]:
    with MockModel(script) as made:
        yield made


@pytest.fixture
def gateway(tmp_path: Path, model: MockModel, server: Server) -> Iterator[Gateway]:
    config = {
        "model_providers": [
            {"model": "openai/gpt-4o-mini", "base_url": model.openai_url},
            {"model": "openai/text-embedding-3-small", "base_url": model.openai_url},
            {"model": "anthropic/claude-sonnet-5", "base_url": model.anthropic_url},
        ],
        "tracing": {"exporters": [{"kind": "otlp", "endpoint": server.otlp_http}]},
    }
    with running_gateway(tmp_path, config) as made:
        yield made


def openai_client(gateway: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)


def anthropic_client(gateway: Gateway) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=gateway.url, api_key="none", max_retries=0)


def asked(question: str = QUESTION) -> Any:
    return [{"role": "user", "content": question}]


@pytest.mark.parametrize("name", MODELS)
def test_openai_completes_a_round_of_tools(gateway: Gateway, name: str) -> None:
    client = openai_client(gateway)
    messages = asked()
    first = client.chat.completions.create(model=name, messages=messages, tools=[CHAT_TOOL], max_tokens=99)
    assert first.choices[0].finish_reason == "tool_calls"
    assert first.choices[0].message.tool_calls is not None
    (call,) = first.choices[0].message.tool_calls
    messages += [
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "Rain"},
    ]
    second = client.chat.completions.create(model=name, messages=messages, tools=[CHAT_TOOL], max_tokens=99)
    assert second.choices[0].message.content == "Rain!"
    assert second.usage is not None
    assert second.usage.completion_tokens > 0


@pytest.mark.parametrize("name", MODELS)
def test_openai_streams_and_collects(gateway: Gateway, name: str) -> None:
    client = openai_client(gateway)
    with client.chat.completions.stream(model=name, messages=asked(), max_tokens=99) as stream:
        pieces = [event.delta for event in stream if event.type == "content.delta"]
        whole = stream.get_final_completion()
    assert len(pieces) > 1
    assert "".join(pieces) == ANSWER == whole.choices[0].message.content
    with client.chat.completions.stream(
        model=name, messages=asked(), tools=[CHAT_TOOL], max_tokens=99, stream_options={"include_usage": True}
    ) as stream:
        said = stream.get_final_completion()
    assert said.usage is not None
    assert said.choices[0].message.tool_calls is not None
    (call,) = said.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Oslo"})


@pytest.mark.parametrize("name", MODELS)
def test_openai_without_blocking(gateway: Gateway, name: str) -> None:
    async def run() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:

            async def whole() -> str:
                said = await client.chat.completions.create(model=name, messages=asked(), max_tokens=99)
                return said.choices[0].message.content or ""

            async def streamed() -> str:
                stream = await client.chat.completions.create(model=name, messages=asked(), max_tokens=99, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

            return await asyncio.gather(*(one() for _ in range(10) for one in (whole, streamed)))

    assert asyncio.run(run()) == [ANSWER] * 20


@pytest.mark.parametrize("name", MODELS)
def test_openai_parses_what_has_a_schema(gateway: Gateway, name: str) -> None:
    client = openai_client(gateway)
    said = client.chat.completions.parse(model=name, messages=asked(), response_format=Weather, max_tokens=99)
    assert said.choices[0].message.parsed == Weather(city="Oslo", celsius=7)


def test_openai_calls_responses_and_embeddings(gateway: Gateway) -> None:
    client = openai_client(gateway)
    said = client.responses.create(model="gpt-4o-mini", input=QUESTION)
    assert said.output_text == ANSWER
    called = client.responses.create(model="gpt-4o-mini", input=QUESTION, tools=[RESPONSES_TOOL])
    assert [item.type for item in called.output] == ["function_call"]
    with client.responses.stream(model="gpt-4o-mini", input=QUESTION) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert text == ANSWER == stream.get_final_response().output_text
    parsed = client.responses.parse(model="gpt-4o-mini", input=QUESTION, text_format=Weather)
    assert parsed.output_parsed == Weather(city="Oslo", celsius=7)
    embedded = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    assert len(embedded.data) == 2
    assert embedded.usage.prompt_tokens > 0


def test_openai_responses_reach_a_model_of_anthropics(gateway: Gateway) -> None:
    client = openai_client(gateway)
    with client.responses.stream(model="claude-sonnet-5", input=QUESTION, max_output_tokens=99) as stream:
        assert "".join(e.delta for e in stream if e.type == "response.output_text.delta") == ANSWER
        assert stream.get_final_response().status == "completed"


@pytest.mark.parametrize("name", MODELS)
def test_anthropic_completes_a_round_of_tools(gateway: Gateway, name: str) -> None:
    client = anthropic_client(gateway)
    messages = asked()
    first = client.messages.create(model=name, max_tokens=99, messages=messages, tools=[MESSAGES_TOOL])
    assert first.stop_reason == "tool_use"
    (call,) = (block for block in first.content if block.type == "tool_use")
    assert (call.name, call.input) == ("get_weather", {"city": "Oslo"})
    messages += [
        {"role": "assistant", "content": [block.model_dump() for block in first.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "Rain"}]},
    ]
    second = client.messages.create(model=name, max_tokens=99, messages=messages, tools=[MESSAGES_TOOL])
    (block,) = second.content
    assert block.type == "text"
    assert block.text == "Rain!"
    assert second.usage.output_tokens > 0


@pytest.mark.parametrize("name", MODELS)
def test_anthropic_streams_and_collects(gateway: Gateway, name: str) -> None:
    client = anthropic_client(gateway)
    with client.messages.stream(model=name, max_tokens=99, messages=asked()) as stream:
        pieces = list(stream.text_stream)
        assert stream.get_final_message().stop_reason == "end_turn"
    assert len(pieces) > 1
    assert "".join(pieces) == ANSWER
    with client.messages.stream(model=name, max_tokens=99, messages=asked(), tools=[MESSAGES_TOOL]) as stream:
        said = stream.get_final_message()
    (call,) = (block for block in said.content if block.type == "tool_use")
    assert call.input == {"city": "Oslo"}
    assert said.usage.output_tokens > 0


@pytest.mark.parametrize("name", MODELS)
def test_anthropic_without_blocking(gateway: Gateway, name: str) -> None:
    async def run() -> list[str]:
        async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key="none", max_retries=0) as client:

            async def streamed() -> str:
                async with client.messages.stream(model=name, max_tokens=99, messages=asked()) as stream:
                    return await stream.get_final_text()

            return await asyncio.gather(*(streamed() for _ in range(10)))

    assert asyncio.run(run()) == [ANSWER] * 10


def test_both_clients_raise_what_they_raise_for_their_own_api(gateway: Gateway) -> None:
    with pytest.raises(openai.NotFoundError, match="is not configured here"):
        openai_client(gateway).chat.completions.create(model="gpt-unknown", messages=asked())
    with pytest.raises(anthropic.NotFoundError, match="is not configured here"):
        anthropic_client(gateway).messages.create(model="claude-unknown", max_tokens=9, messages=asked())


def test_openai_for_node(gateway: Gateway) -> None:
    folder = ROOT / "e2e/node"
    subprocess.run([ROOT / "scripts/npm-ci", folder], check=True)
    ran = subprocess.run(
        ["node", "gateway.mjs", gateway.url], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    for name in MODELS:
        assert said[name]["text"] == said[name]["streamed"] == ANSWER
        assert said[name]["calls"] == [["get_weather", {"city": "Oslo"}]]
        assert said[name]["tokens"] > 0
    assert said["response"] == ANSWER
    assert said["error"] == ["NotFoundError", 404]
