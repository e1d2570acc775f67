"""A framework that is traced, and the gateway that traces its calls again: one tree, counted once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from harness.frameworks import Program
from harness.gateway import running_gateway
from harness.openai_mock import MockModel, Reply, Request, ToolCall
from harness.server import Server

HERE = Path(__file__).parent


def script(request: Request) -> Reply | str:
    if request.tools and not request.results:
        return Reply(calls=(ToolCall(request.tools[0], {"city": "Oslo"}),))
    return "It rains in Oslo."


def test_langchain_and_the_gateway_make_one_tree_that_counts_once(tmp_path: Path, server: Server) -> None:
    with MockModel(script) as model:
        config = {
            "model_providers": [
                {"model": "openai/gpt-4o", "base_url": model.openai_url},
                {"model": "anthropic/claude-sonnet-5", "base_url": model.anthropic_url},
            ],
            "tracing": {"exporters": [{"kind": "otlp", "endpoint": server.otlp_http}]},
        }
        with running_gateway(tmp_path, config) as gateway:
            app = Program(HERE / "apps/gateway_app.py", "frameworks")
            trace_id = app.run(server.otlp_http, gateway.url).split("\n")[-1]
            assert gateway.stop() == 0
    # Three agents that ask twice, and two streams.
    assert len(model.served) == 8
    trace = the_trace(server, trace_id)
    assert trace["input_tokens"] == sum(served.input_tokens for served in model.served)
    assert trace["output_tokens"] == sum(served.output_tokens for served in model.served)
    assert trace["cost_usd"] > 0
    spans = {span["span_id"]: span for span in trace["spans"]}
    roots = [span["name"] for span in spans.values() if span["parent_span_id"] not in spans]
    assert len(roots) == 1, roots
    requests = [span for span in spans.values() if span["kind"] == "server"]
    assert len(requests) == 8
    for request in requests:
        above = above_of(request, spans)
        assert any((span.get("llm") or {}).get("operation") == "chat" for span in above), request


def above_of(span: dict[str, Any], spans: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What a span is below of."""
    above = []
    while span := spans.get(span["parent_span_id"], {}):
        above.append(span)
    return above


def the_trace(server: Server, trace_id: str) -> dict[str, Any]:
    until = time.monotonic() + 20
    while not server.api.has_trace(trace_id) and time.monotonic() < until:
        time.sleep(0.05)
    return server.api.trace(trace_id)
