"""What OpenTelemetry's span classes have and the classes of the core do not: rarely used fields."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from opentelemetry import trace

from spanwise import _core

READ = (
    *("parent", "events", "links", "status", "resource", "instrumentation_scope", "instrumentation_info"),
    *("dropped_attributes", "dropped_events", "dropped_links"),
)
PRIVATE = (
    *("_attributes", "_status", "_name", "_context", "_kind", "_parent", "_start_time", "_end_time"),
    *("_events", "_links", "_resource", "_instrumentation_scope", "_instrumentation_info"),
)


def complete_classes() -> None:
    """Gives the classes of the core their properties, and says which of OpenTelemetry's they are."""
    for name in (*READ, "attributes", "context", *PRIVATE):
        setattr(_core.Span, name, property(reader(name)))
    for name in (*READ, "kind", "start_time", "end_time"):
        setattr(_core.ReadableSpan, name, property(reader(name)))
    for name in PRIVATE:
        setattr(_core.ReadableSpan, name, property(reader(name), writer(name)))
    for name in ("sampler", "resource", "id_generator", "_span_limits"):
        setattr(_core.Tracer, name, property(of_provider(name)))
    _core.Tracer._is_enabled = lambda tracer: "start_span" not in tracer.__dict__  # type: ignore[attr-defined]
    _core.Tracer.span_processor = property(of_provider("_active_span_processor"))
    _core.Tracer.start_span = start_span  # type: ignore[method-assign,assignment]
    trace.Span.register(_core.Span)
    trace.Span.register(_core.UnsampledSpan)
    trace.NonRecordingSpan.register(_core.UnsampledSpan)
    trace.Tracer.register(_core.Tracer)


native_start_span: Any = _core.Tracer.start_span


def start_span(tracer: Any, *arguments: Any, **named: Any) -> trace.Span:
    """Starts a span that is not made current.

    OpenInference's tracers call this function of the class with a proxy in place of the tracer.
    """
    while type(tracer) is not _core.Tracer:
        tracer = tracer.__wrapped__
    return native_start_span(tracer, *arguments, **named)


def set_enabled(tracer: Any, enabled: bool) -> None:
    """A tracer that is not enabled passes its caller's context on and records nothing."""
    overridden = tracer.__dict__
    overridden.pop("start_span", None)
    overridden.pop("start_as_current_span", None)
    if enabled:
        return

    def pass_on(name: str, context: Any = None, *_: Any, **__: Any) -> trace.Span:
        return trace.NonRecordingSpan(trace.get_current_span(context).get_span_context())

    overridden["start_span"] = pass_on
    overridden["start_as_current_span"] = lambda *arguments, **named: trace.use_span(pass_on(*arguments, **named))


def reader(name: str) -> Callable[[Any], Any]:
    return lambda span: span._read(name)


def writer(name: str) -> Callable[[Any, Any], None]:
    return lambda span, value: span._write(name, value)


def of_provider(name: str) -> Callable[[Any], Any]:
    return lambda tracer: getattr(tracer._provider, name)


def to_json(span: Any, indent: int | None = 4) -> str:
    """A span in the words of OpenTelemetry's console exporter."""
    status = {"status_code": span.status.status_code.name}
    if span.status.description:
        status["description"] = span.status.description
    fields = {
        "name": span.name,
        "context": context_fields(span.context),
        "kind": str(span.kind),
        "parent_id": f"0x{span.parent.span_id:016x}" if span.parent is not None else None,
        "start_time": iso_time(span.start_time),
        "end_time": iso_time(span.end_time),
        "status": status,
        "attributes": dict(span.attributes or {}),
        "events": [
            {"name": event.name, "timestamp": iso_time(event.timestamp), "attributes": dict(event.attributes or {})}
            for event in span.events
        ],
        "links": [
            {"context": context_fields(link.context), "attributes": dict(link.attributes or {})} for link in span.links
        ],
        "resource": resource_fields(span.resource),
    }
    return json.dumps(fields, indent=indent, default=str)


def context_fields(context: Any) -> dict[str, str]:
    return {
        "trace_id": f"0x{context.trace_id:032x}",
        "span_id": f"0x{context.span_id:016x}",
        "trace_state": repr(context.trace_state),
    }


def resource_fields(resource: Any) -> Mapping[str, Any]:
    return {"attributes": dict(resource.attributes), "schema_url": getattr(resource, "schema_url", "")}


def iso_time(nanos: int | None) -> str | None:
    if not nanos:
        return None
    seconds = datetime.fromtimestamp(nanos / 1e9, tz=timezone.utc)
    return seconds.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def decorate(activation: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Runs every call of a function in a span of its own."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with activation._again():
                return await function(*args, **kwargs)

        return call_async

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with activation._again():
            return function(*args, **kwargs)

    return call


complete_classes()
