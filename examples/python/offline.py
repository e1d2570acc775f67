"""Starts tracing and, without a key for a real model, the mock one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mock_model import MockModel, Script
from spanwise import Spanwise
from spanwise.tracing import get_trace_config, get_tracing_metrics


@contextmanager
def start(app_name: str, script: Script) -> Iterator[None]:
    """Tracing to `OTEL_EXPORTER_OTLP_ENDPOINT`, else to a Spanwise on this machine; says where to look."""
    with MockModel(script, seconds_per_token=float(os.environ.get("SECONDS_PER_TOKEN", "0.02"))) as model:
        if not (os.environ.get("OPENAI_API_KEY") or os.environ.get("ANTHROPIC_API_KEY")):
            os.environ.update(
                OPENAI_API_KEY="offline",
                OPENAI_BASE_URL=model.openai_url,
                ANTHROPIC_API_KEY="offline",
                ANTHROPIC_BASE_URL=model.anthropic_url,
            )
        with Spanwise.init(app_name=app_name) as spanwise:
            yield
            say_where_to_look(spanwise)


def say_where_to_look(spanwise: Spanwise) -> None:
    delivered = spanwise.flush()
    metrics = get_tracing_metrics()
    if delivered and metrics.export_errors == 0:
        print(f"\n{metrics.spans_exported} spans sent: look at http://127.0.0.1:4319")
    else:
        print(f"\nnothing listens at {get_trace_config().endpoint}: start the server with `make run`")
