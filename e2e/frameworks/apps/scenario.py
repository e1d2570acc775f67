"""Runs the scenarios of a framework, each as a workflow, against the mock model."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

from opentelemetry import trace

from mock_model import MockModel, Reply, Request, ToolCall
from spanwise import Spanwise, workflow

ANSWER = "It rains in Oslo, take an umbrella."
QUESTION = "What is the weather in Oslo?"


def script(request: Request) -> Reply | str:
    """Asks the first tool that is offered, and answers when it has."""
    if request.model == "broken":
        return Reply("slow down", status=429)
    if request.tools and not request.results:
        return Reply(calls=(ToolCall(request.tools[0], {"city": "Oslo"}),))
    return ANSWER


def run(*scenarios: Callable[[], object]) -> None:
    """Prints of each scenario its trace and what the model says that it used."""
    (endpoint,) = sys.argv[1:]
    ran: dict[str, dict[str, object]] = {}
    with MockModel(script) as model, Spanwise.init("frameworks", opentelemetry_endpoint=endpoint):
        for client in ("OPENAI", "ANTHROPIC"):
            os.environ[f"{client}_API_KEY"] = "none"
            for name in ("BASE_URL", "API_BASE"):
                os.environ[f"{client}_{name}"] = getattr(model, f"{client.lower()}_url")
        for scenario in scenarios:
            model.served.clear()
            ran[scenario.__name__] = {
                "trace_id": traced(scenario),
                "input_tokens": sum(served.input_tokens for served in model.served),
                "output_tokens": sum(served.output_tokens for served in model.served),
            }
    print(json.dumps(ran))


def traced(scenario: Callable[[], object]) -> str:
    @workflow(name=scenario.__name__)
    def root() -> str:
        scenario()
        return f"{trace.get_current_span().get_span_context().trace_id:032x}"

    return root()
