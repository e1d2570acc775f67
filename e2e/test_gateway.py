"""The gateway between real clients and a mock model, and its spans in a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from harness.gateway import Gateway, running_gateway
from harness.openai_mock import MockModel, Reply, Request, ToolCall
from harness.server import Server

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def script(request: Request) -> Reply | str:
    if request.tools and not request.results:
        return Reply(calls=(ToolCall("get_weather", {"city": "Oslo"}),))
    return "It rains in Oslo."


@pytest.fixture
def model() -> Iterator[MockModel]:
    with MockModel(script) as made:
        yield made


def config(model: MockModel, server: Server, **more: Any) -> dict[str, Any]:
    return {
        "model_providers": [
            {"model": "openai/gpt-4o-mini", "base_url": model.openai_url, "default": True},
            {"model": "anthropic/claude-sonnet-4-5", "base_url": model.anthropic_url},
        ],
        "tracing": {
            "exporters": [{"kind": "otlp", "endpoint": server.otlp_http}],
            "content": {"capture": True},
        },
        **more,
    }


@pytest.fixture
def gateway(tmp_path: Path, model: MockModel, server: Server) -> Iterator[Gateway]:
    with running_gateway(tmp_path, config(model, server)) as made:
        yield made


def client(gateway: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)


def tree(trace: dict[str, Any]) -> str:
    spans = sorted(trace["spans"], key=lambda span: int(span["start_time_unix_nano"]))
    ids = {span["span_id"] for span in spans}

    def lines(parent: str | None, depth: int) -> Iterator[str]:
        for span in spans:
            above = span["parent_span_id"]
            if (above if above in ids else None) == parent:
                yield "  " * depth + span["name"]
                yield from lines(span["span_id"], depth + 1)

    return "\n".join(lines(None, 0))


def the_call(trace: dict[str, Any]) -> dict[str, Any]:
    """What the only call of a model was."""
    (call,) = (span["llm"] for span in trace["spans"] if span.get("llm"))
    return call


def text_of(message: dict[str, Any]) -> str:
    return "".join(part["content"] for part in message["parts"] if part["type"] == "text")


def the_trace(server: Server, done: Callable[[dict[str, Any]], bool] = bool) -> dict[str, Any]:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if server.api.has_trace(TRACE) and done(trace := server.api.trace(TRACE)):
            return trace
        time.sleep(0.05)
    raise AssertionError("the trace has not come")


def test_the_openai_client_is_traced_by_its_base_url_alone(gateway: Gateway, server: Server) -> None:
    said = client(gateway).chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "How is the weather in Oslo?"}],
        extra_headers={"traceparent": PARENT},
    )
    assert said.choices[0].message.content == "It rains in Oslo."
    trace = the_trace(server)
    assert tree(trace) == "POST /v1/chat/completions\n  chat gpt-4o-mini\n    POST"
    assert said.usage is not None
    assert trace["input_tokens"] == said.usage.prompt_tokens
    assert trace["output_tokens"] == said.usage.completion_tokens
    assert trace["cost_usd"] > 0
    call = the_call(trace)
    assert text_of(call["input_messages"][0]) == "How is the weather in Oslo?"
    assert text_of(call["output_messages"][0]) == "It rains in Oslo."


def test_streams_tell_their_usage_although_the_client_did_not_ask(gateway: Gateway, server: Server) -> None:
    stream = client(gateway).chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "How is the weather?"}],
        stream=True,
        extra_headers={"traceparent": PARENT},
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "It rains in Oslo."
    assert all(chunk.usage is None for chunk in chunks)
    trace = the_trace(server)
    assert trace["output_tokens"] > 0
    assert the_call(trace)["time_to_first_token_ns"] is not None


def test_tools_work_through_the_gateway_and_across_dialects(gateway: Gateway, server: Server) -> None:
    tools: Any = [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
        }
    ]
    for model_name in ("gpt-4o-mini", "claude-sonnet-4-5"):
        said = client(gateway).chat.completions.create(
            model=model_name,
            messages=[{"role": "user", "content": "How is the weather in Oslo?"}],
            tools=tools,
            max_tokens=100,
            extra_headers={"traceparent": PARENT},
        )
        assert said.choices[0].message.tool_calls is not None
        (call,) = said.choices[0].message.tool_calls
        assert call.type == "function"
        assert call.function.name == "get_weather"
        assert json.loads(call.function.arguments) == {"city": "Oslo"}
    trace = the_trace(server, lambda trace: len(trace["spans"]) == 6)
    assert set(trace["models"]) == {"gpt-4o-mini", "claude-sonnet-4-5"}


def test_errors_look_as_the_client_expects_them(gateway: Gateway) -> None:
    with pytest.raises(openai.NotFoundError, match="is not configured here"):
        client(gateway).chat.completions.create(model="gpt-unknown", messages=[])
    answer = httpx.post(f"{gateway.url}/v1/messages", content=b"{")
    assert answer.status_code == 400
    assert answer.json()["type"] == "error"


def test_a_changed_configuration_comes_into_force_and_a_broken_one_does_not(
    gateway: Gateway, model: MockModel, server: Server
) -> None:
    def names() -> list[str]:
        return [entry.id for entry in client(gateway).models.list()]

    def change(text: str) -> None:
        gateway.config.write_text(text)

    before = names()
    assert before == ["anthropic/claude-sonnet-4-5", "openai/gpt-4o-mini"]
    change("listeners: [")
    time.sleep(1.2)
    assert names() == before
    changed = config(model, server)
    changed["model_providers"].pop()
    change(json.dumps({"listeners": [{"name": "models", "port": 0}], **changed}))
    until = time.monotonic() + 10
    while names() == before and time.monotonic() < until:
        time.sleep(0.05)
    assert names() == ["openai/gpt-4o-mini"]


def test_it_ends_when_asked_to(gateway: Gateway) -> None:
    assert gateway.stop() == 0
