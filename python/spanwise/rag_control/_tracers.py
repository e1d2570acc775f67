"""Who is told of requests.

Spans of OpenTelemetry are made on the request's own thread, so that what adapters record lies below
them. Every other tracer is called by a thread of its own: it may raise or hang, and no request
notices.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from opentelemetry import trace

from spanwise._state import STATE

SCOPE = "spanwise.rag_control"


@dataclasses.dataclass(frozen=True)
class SpanRecord:
    """A span as tracers are told of it."""

    name: str
    trace_id: str
    span_id: str
    parent_span_id: str | None
    start_time_unix_nano: int
    end_time_unix_nano: int | None
    #: What is known of it so far.
    attributes: Mapping[str, Any]
    request_id: str | None
    user_id: str | None
    org_id: str | None


class NoOpTracer:
    """Nobody is told. Derive from it for a tracer of your own, and override what you need."""

    def on_span_start(self, span: SpanRecord) -> None: ...

    def on_span_end(self, span: SpanRecord) -> None: ...

    def on_event(self, span: SpanRecord, name: str, attributes: Mapping[str, Any]) -> None: ...

    def on_error(self, span: SpanRecord, error_type: str, message: str) -> None: ...


class Writable(Protocol):
    """A text stream."""

    def write(self, text: str, /) -> Any: ...


class StructlogTracer:
    """A line of JSON for each start, end, event and error of a span, on standard error or a stream."""

    def __init__(self, stream: Writable | None = None) -> None:
        self.stream = stream

    def write(self, line: str) -> None:
        """Writes a line. Override it to send lines elsewhere."""
        stream = sys.stderr if self.stream is None else self.stream
        stream.write(line + "\n")


class OpenTelemetryTracer:
    """Spans of OpenTelemetry: of this provider, else of the one that is in force at each request."""

    def __init__(self, tracer_provider: trace.TracerProvider | None = None) -> None:
        self.tracer_provider = tracer_provider

    def _resolve(self) -> trace.Tracer:
        if self.tracer_provider is not None:
            return self.tracer_provider.get_tracer(SCOPE)
        return own_tracer() or trace.get_tracer(SCOPE)


def own_tracer() -> trace.Tracer | None:
    """A tracer of what `Spanwise.init` started, if it runs."""
    running = STATE.running
    if running is not None and STATE.tracer is not None:
        return running.tracer_provider.get_tracer(SCOPE)
    return None


def configured_tracer() -> trace.Tracer | None:
    """A tracer, if anybody has configured where spans go."""
    if (own := own_tracer()) is not None:
        return own
    provider = trace.get_tracer_provider()
    if isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider)):
        return None
    return provider.get_tracer(SCOPE)


def choice(tracer: Any) -> tuple[str, Any]:
    """How the engine is to tell a tracer."""
    if tracer is None:
        return "automatic", (configured_tracer, StructlogTracer().write)
    if isinstance(tracer, OpenTelemetryTracer):
        return "spans", tracer._resolve
    if isinstance(tracer, StructlogTracer):
        return "log", tracer.write
    if type(tracer) is NoOpTracer:
        return "nobody", None
    return "hooks", tracer
