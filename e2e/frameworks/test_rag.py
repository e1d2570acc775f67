"""RAG control with real parts, and what a person then sees of its traces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.frameworks import Program, check_trees
from harness.gateway import running_gateway
from harness.openai_mock import MockModel, Reply
from harness.server import Server

HERE = Path(__file__).parent


def test_questions_are_answered_from_documents_and_every_step_is_seen(server: Server) -> None:
    program = Program(HERE / "apps/rag_app.py", packages="rag")
    ran = json.loads(program.run(server.otlp_http, HF_HUB_OFFLINE="1"))
    assert ran["run"]["documents"][0] == "holidays"
    assert "payroll" in ran["run"]["documents"]
    for name in ("stream", "asynchronous"):
        assert ran[name]["documents"][0] == "holidays"
        assert not {"payroll", "draft", "rotas"} & set(ran[name]["documents"])
    stages = [ran[name].get("stage") for name in ("nothing", "rejected", "failed", "unknown")]
    assert stages == [None, "enforcement", "llm.generate", "org_lookup"]
    assert "503" in ran["failed"]["error"]

    traces = {name: server.api.trace(one["trace_id"]) for name, one in ran.items()}
    for name, trace in traces.items():
        assert trace["complete"], name
        assert trace["diagnostics"] == [], name
        assert (trace["status"] == "error") is ("error" in ran[name]), name
        if "error" not in ran[name]:
            assert trace["total_tokens"] == ran[name]["tokens"], name
    retrieval = next(span for span in traces["run"]["spans"] if span["name"].endswith("retrieval"))
    documents = retrieval["llm"]["documents"]
    assert [document["id"] for document in documents] == ran["run"]["documents"]
    assert documents[0]["content"] == "Every employee has 28 days of paid holiday a year."
    check_trees(traces.values(), HERE / "trees/rag.txt")


def test_with_the_gateway_in_front_of_the_model_there_is_one_trace(server: Server, tmp_path: Path) -> None:
    reply = Reply("You have 28 days of paid holiday a year [1].", usage=(120, 12))
    with MockModel(lambda _: reply) as model:
        config = {
            "model_providers": [{"model": "openai/gpt-4o", "base_url": model.openai_url}],
            "tracing": {"exporters": [{"kind": "otlp", "endpoint": server.otlp_http}]},
        }
        with running_gateway(tmp_path, config) as gateway:
            program = Program(HERE / "apps/rag_app.py", packages="rag")
            ran = json.loads(program.run(server.otlp_http, f"{gateway.url}/v1"))
            assert gateway.stop() == 0
    for name, stage in (("run", "llm.generate"), ("stream", "llm.stream")):
        trace = server.api.trace(ran[name]["trace_id"])
        (call,) = [span for span in trace["spans"] if span["name"].endswith(stage)]
        below = [span for span in trace["spans"] if span["parent_span_id"] == call["span_id"]]
        assert [span["service"] for span in below] == ["spanwise-gateway"]
        # The stage and the gateway tell of the same call.
        assert trace["total_tokens"] == ran[name]["tokens"] == 132


def test_stores_find_what_a_filter_allows() -> None:
    found = json.loads(Program(HERE / "apps/rag_stores_app.py", packages="rag").run())
    assert found["local"] == found["qdrant"] > 100
    if found["pgvector"] is None:
        pytest.skip("pgserver has no wheels for this Python or this machine: pgvector not checked")
    assert found["pgvector"] == found["local"]
