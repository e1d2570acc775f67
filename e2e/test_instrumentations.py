"""Real instrumentations of the real openai package: what a person then sees of the calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.openai_mock import ANSWER, MODEL, openai_api
from harness.server import Server

APP = Path(__file__).parent / "clients/openai_app.py"
# Input 120 and output 30 tokens of gpt-4o at 2.50 and 10.00 dollars per million.
COST_USD = 120 * 2.5e-6 + 30 * 10e-6

# How each instrumentation is told to record content.
DIALECTS = {
    "otel": (
        "otel",
        {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"},
    ),
    "openinference": ("openinference", {}),
}


@pytest.fixture(params=DIALECTS.values(), ids=list(DIALECTS))
def ids(request: pytest.FixtureRequest, server: Server) -> dict[str, str]:
    """Runs the app under one instrumentation; gives its trace ids by scenario."""
    kind, environment = request.param
    with openai_api() as base_url:
        ran = subprocess.run(
            [sys.executable, APP, kind, server.otlp_http, base_url],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def calls(server: Server, trace_id: str) -> list[dict[str, Any]]:
    """The spans of model calls of a trace, in order, with what was understood of them."""
    spans = server.api.trace(trace_id)["spans"]
    found = [span for span in spans if span.get("llm")]
    return sorted(found, key=lambda span: int(span["start_time_unix_nano"]))


def parts(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [part for message in messages for part in message["parts"] if part["type"] == kind]


def texts(messages: list[dict[str, Any]]) -> str:
    return " ".join(str(part) for part in parts(messages, "text"))


def test_the_calls_of_an_agent_are_understood(server: Server, ids: dict[str, str]) -> None:
    first, second = (span["llm"] for span in calls(server, ids["agent"]))

    for llm in (first, second):
        assert llm["operation"] == "chat"
        assert llm["provider"] == "openai"
        assert MODEL in (llm["response_model"], llm["request_model"])
        assert llm["usage"]["input"] == 120
        assert llm["usage"]["output"] == 30
        assert llm["cost_usd"] == pytest.approx(COST_USD)

    assert "How is the weather in Paris?" in texts(first["input_messages"])
    [call] = parts(first["output_messages"], "tool_call")
    assert "get_weather" in str(call)
    assert "Paris" in str(call)

    [result] = parts(second["input_messages"], "tool_result")
    assert "18 °C, sunny" in str(result)
    assert ANSWER in texts(second["output_messages"])
    assert second["finish_reasons"] == ["stop"]


def test_the_summary_adds_the_calls_up(server: Server, ids: dict[str, str]) -> None:
    trace = server.api.trace(ids["agent"])
    assert trace["root_name"] == "agent"
    assert trace["root_service"] == "weather-agent"
    assert trace["span_count"] == 3
    assert trace["input_tokens"] == 240
    assert trace["output_tokens"] == 60
    assert trace["cost_usd"] == pytest.approx(2 * COST_USD)
    assert trace["cost_complete"] is True
    assert trace["complete"] is True
    assert "How is the weather in Paris?" in trace["input_preview"]
    assert ANSWER in trace["output_preview"]


def test_a_streamed_answer_is_whole(server: Server, ids: dict[str, str]) -> None:
    [span] = calls(server, ids["stream"])
    assert ANSWER in texts(span["llm"]["output_messages"])
    assert span["llm"]["usage"]["output"] == 30


def test_embeddings_and_errors_are_told_apart(server: Server, ids: dict[str, str]) -> None:
    [embedding] = calls(server, ids["embeddings"])
    assert embedding["llm"]["operation"] == "embedding"
    assert embedding["llm"]["usage"]["input"] == 4

    [failed] = calls(server, ids["error"])
    assert failed["status"]["code"] == "error"
    assert server.api.trace(ids["error"])["error_count"] >= 1


def test_the_calls_are_found_by_search(server: Server, ids: dict[str, str]) -> None:
    def found(q: str) -> set[str]:
        return {trace["trace_id"] for trace in server.api.traces(q)}

    assert found('"weather in Paris"') >= {ids["agent"]}
    assert ids["agent"] in found("model:gpt-4o* input_tokens:>100")
    assert found("status:error") == {ids["error"]}
