"""The examples run offline, say where to look, and what is to be seen there is what they did."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.frameworks import EXAMPLES, Program, check_trees
from harness.server import Server, binary

HERE = Path(__file__).parent
# An example, the packages that it runs with, and the workflows that it traces.
EXAMPLES_BY_NAME = {
    "plain": ("frameworks", ["support_ticket"]),
    "async_streaming": ("frameworks", ["briefing", "impatient"]),
    "langchain_agent": ("frameworks", ["plan_journey"]),
    "crewai_team": ("crewai", ["newsroom"]),
}


@pytest.mark.parametrize("name", EXAMPLES_BY_NAME)
def test_an_example_is_traced(name: str, server: Server) -> None:
    packages, workflows = EXAMPLES_BY_NAME[name]
    program = Program(EXAMPLES / f"{name}.py", packages)
    said = program.run(OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp_http, SECONDS_PER_TOKEN="0")
    sent = re.search(r"(\d+) spans sent: look at", said)
    assert sent, said

    listed = {trace["workflow"]: trace["trace_id"] for trace in server.api.traces()}
    traces = [server.api.trace(listed[workflow]) for workflow in workflows]
    assert sum(trace["span_count"] for trace in traces) == int(sent[1])
    assert all(trace["diagnostics"] == [] and trace["complete"] for trace in traces)
    check_trees(traces, HERE / f"trees/example_{name}.txt")


def test_agents_and_services_in_processes_of_their_own_make_one_tree(server: Server) -> None:
    program = Program(EXAMPLES / "multi_agent.py", "frameworks")
    said = program.run(OTEL_EXPORTER_OTLP_ENDPOINT=server.otlp_http, SPANWISE_BIN=str(binary()))
    assert said.startswith("Three nights in sunny Lisbon"), said
    (listed,) = server.api.traces()
    trace = server.api.trace(listed["trace_id"])
    assert trace["complete"]
    assert trace["diagnostics"] == []
    # The application and the gateway both tell what a call used; it counts once.
    assert (trace["input_tokens"], trace["output_tokens"]) == (17 + 32 + 42, 10 + 12 + 12)
    check_trees([trace], HERE / "trees/example_multi_agent.txt")


def test_every_example_is_tested_and_says_how_it_is_run() -> None:
    scripts = {path.stem for path in EXAMPLES.glob("*.py")} - {"offline"}
    assert scripts == {*EXAMPLES_BY_NAME, "multi_agent"}
    for name in scripts:
        assert f"python examples/python/{name}.py\n" in (EXAMPLES / f"{name}.py").read_text()


def test_an_example_without_a_server_says_what_to_do() -> None:
    said = Program(EXAMPLES / "plain.py", "frameworks").run(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", SECONDS_PER_TOKEN="0"
    )
    assert "start the server with `make run`" in said
