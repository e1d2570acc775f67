"""Real frameworks against a mock model: what a person then sees of a trace.

The trees under `trees` are what is expected; `UPDATE_GOLDEN=1` rewrites them.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.frameworks import Program, check_trees, environment
from harness.server import Server

HERE = Path(__file__).parent
# The app of a framework, and the packages that it runs with.
APPS = {
    "anthropic": "frameworks",
    "langchain": "frameworks",
    "litellm": "frameworks",
    "llama_index": "frameworks",
    "crewai": "crewai",
}


@pytest.mark.parametrize("framework", APPS)
def test_a_framework_is_traced_below_the_workflow(framework: str, server: Server) -> None:
    program = Program(HERE / f"apps/{framework}_app.py", packages=APPS[framework])
    # Frameworks greet; what is asked for comes last.
    ran = json.loads(program.run(server.otlp_http).split("\n")[-1])

    traces = {name: server.api.trace(one["trace_id"]) for name, one in ran.items()}
    for name, trace in traces.items():
        check_totals(name, ran[name], trace)
    check_trees(traces.values(), HERE / f"trees/{framework}.txt")


def check_totals(name: str, used: dict[str, Any], trace: dict[str, Any]) -> None:
    """Every call of a model counts once, whoever recorded it."""
    seen = tuple(trace[key] or 0 for key in ("input_tokens", "output_tokens"))
    # Who leaves a stream of OpenAI is not told what it used.
    expected = (0, 0) if name == "abandoned" else (used["input_tokens"], used["output_tokens"])
    assert seen == expected, name
    assert trace["cost_complete"], name
    assert bool(trace["cost_usd"]) is any(expected), name
    assert trace["complete"], name
    assert trace["diagnostics"] == [], name


@pytest.mark.parametrize(
    ("packages", "extras"),
    [("frameworks", "anthropic,http,langchain,litellm,llama-index,openai,sdk"), ("crewai", "crewai")],
)
def test_the_extras_ask_for_what_is_tested(packages: str, extras: str) -> None:
    (wheel,) = (Path(os.environ["SPANWISE_PACKAGE"]).parent / "wheels").glob("*.whl")
    python = environment(packages)
    command = [python, "-m", "pip", "install", "--dry-run", "--no-index", f"{wheel}[{extras}]"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    # Nothing is missing but the package itself.
    assert said.stdout.strip().split("\n")[-1].split()[2:] == [f"spanwise-{wheel.name.split('-')[1]}"]
