"""A process that is killed leaves a trace: its open spans are there as they were last seen."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.server import ROOT, Server

AGENTS = """
import sys
from spanwise import Spanwise, agent, tool, workflow

endpoint, how = sys.argv[1:]
spanwise = Spanwise.init(
    app_name="research", opentelemetry_endpoint=endpoint, export_running_spans_ms=50, instrument=False
)

@tool
def look_up(topic):
    return f"about {topic}"

@tool
def read_slowly(text):
    if how == "hang":
        sys.stdin.read()
    return text.upper()

@agent
def researcher(topic):
    return read_slowly(look_up(topic))

@workflow
def answer(question):
    return researcher(question)

answer("lighthouses")
"""


@pytest.fixture(scope="session")
def package() -> Path:
    """The Python package, built in debug mode unless it was."""
    if known := os.environ.get("SPANWISE_PYTHON"):
        return Path(known)
    built = subprocess.run([ROOT / "scripts/build-python"], check=True, text=True, stdout=subprocess.PIPE)
    return Path(built.stdout.strip())


@contextmanager
def agents(package: Path, server: Server, how: str) -> Iterator[subprocess.Popen[str]]:
    """A process with nested agents that sends to the server."""
    command = [sys.executable, "-c", AGENTS, server.otlp_http, how]
    environment = {**os.environ, "PYTHONPATH": str(package)}
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def tree(trace: dict[str, Any]) -> list[str]:
    """The spans as an indented list, with a mark on those that run."""
    lines: list[str] = []

    def below(parent: str | None, depth: int) -> None:
        for span in trace["spans"]:
            if span["parent_span_id"] == parent:
                lines.append("  " * depth + span["name"] + (" …" if span.get("running") else ""))
                below(span["span_id"], depth + 1)

    below(None, 0)
    return lines


def wait_for(server: Server, expected: list[str]) -> dict[str, Any]:
    """A trace, as soon as there is one that looks like this."""
    deadline = time.monotonic() + 30
    seen: list[list[str]] = []
    while time.monotonic() < deadline:
        traces = [server.api.trace(summary["trace_id"]) for summary in server.api.traces()]
        seen = [tree(trace) for trace in traces]
        if expected in seen:
            return traces[seen.index(expected)]
        time.sleep(0.05)
    raise AssertionError(f"{expected} is not among {seen}")


HALF_WAY = ["workflow.answer …", "  agent.researcher …", "    tool.look_up", "    tool.read_slowly …"]
FINISHED = ["workflow.answer", "  agent.researcher", "    tool.look_up", "    tool.read_slowly"]


def test_a_killed_process_leaves_its_open_spans(package: Path, make_server: Callable[..., Server]) -> None:
    server = make_server(config={"store": {"seal_after": "1s"}})
    server.start()
    with agents(package, server, "hang") as process:
        wait_for(server, HALF_WAY)
        process.kill()
        process.wait()
    trace = wait_for(server, HALF_WAY)
    assert (trace["complete"], trace["span_count"], trace["status"]) == (False, 4, "ok")
    by_name = {span["name"]: span for span in trace["spans"]}
    assert "lighthouses" in by_name["workflow.answer"]["attributes"]["input.value"]
    assert "about lighthouses" in by_name["tool.read_slowly"]["attributes"]["input.value"]
    assert server.api.get("/ingest/problems")["problems"] == []

    server.kill()
    server.start()
    assert tree(server.api.trace(trace["trace_id"])) == HALF_WAY, "the server's own end changes nothing"

    with agents(package, server, "finish") as process:
        assert process.wait(30) == 0
    other = wait_for(server, FINISHED)
    assert (other["complete"], other["span_count"]) == (True, 4)
    assert len(server.api.traces()) == 2
    assert server.api.span_count() == 8
    assert len(server.api.get("/spans", q="name:tool.read_slowly")["spans"]) == 2


def test_what_was_seen_running_is_replaced_when_it_ends(package: Path, server: Server) -> None:
    with agents(package, server, "hang") as process:
        wait_for(server, HALF_WAY)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0
    trace = wait_for(server, FINISHED)
    assert (trace["complete"], trace["span_count"]) == (True, 4)
    assert server.api.span_count() == 4
    assert all(int(span["duration_ns"]) > 0 and "running" not in span for span in trace["spans"])
