"""Spans out equal spans in: every recorded OTLP file, attribute for attribute."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from conftest import SHARED
from harness import otlp
from harness.api import Api
from harness.server import Server

FOLDER = SHARED / "data/traces/otlp-json"
FILES = sorted(path for path in FOLDER.glob("*/*") if path.suffix in (".json", ".jsonl"))


def test_recorded_traces_are_there(shared_traces: Path) -> None:
    assert FILES, f"{shared_traces} holds no recorded traces"


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(FOLDER)) for path in FILES])
def test_spans_out_equal_spans_in(server: Server, path: Path) -> None:
    # Cases of one file may reuse ids, so that each is a project of its own.
    sent: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for number, recorded in enumerate(otlp.recorded(path)):
        project = f"case-{number}" if path.suffix == ".json" else "all"
        expected = list(otlp.normal_spans(recorded.body)) if recorded.signal == "traces" else []
        answer = post(server, recorded, project)
        rejected = int(answer.get("partialSuccess", {}).get("rejectedSpans", 0))
        assert rejected == sum(not legal(span) for span in expected), f"request {number}: {answer}"
        sent[project] += filter(legal, expected)
    for project, spans in sent.items():
        check_project(Api(server.addresses["ui"], project), spans)


def post(server: Server, recorded: otlp.Recorded, project: str) -> dict[str, Any]:
    body = json.dumps(recorded.body).encode()
    response = otlp.post(server.otlp_http, body, signal=recorded.signal, content_type=otlp.JSON, project=project)
    assert response.status_code == 200, f"{recorded.case}: {response.status_code} {response.text}"
    return response.json()


def legal(span: dict[str, Any]) -> bool:
    """Whether OTLP lets a server take the span."""
    return span["trace_id"] is not None and span["span_id"] is not None


def check_project(api: Api, spans: list[dict[str, Any]]) -> None:
    """The project holds these spans, as they were sent; of spans with one id, one of them."""
    by_trace: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for span in spans:
        by_trace[span["trace_id"]][span["span_id"]].append(span)
    for trace_id, by_span in by_trace.items():
        got = {span["span_id"]: span for span in otlp.normal_spans(api.trace_otlp(trace_id))}
        assert got.keys() == by_span.keys()
        for span_id, candidates in by_span.items():
            if len(candidates) == 1:
                assert got[span_id] == candidates[0]
            else:
                assert got[span_id] in candidates
