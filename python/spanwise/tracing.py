"""Context, sampling, redaction and what tracing does, for those who want more than decorators."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from opentelemetry import context as context_api
from opentelemetry import trace

from spanwise._executors import within
from spanwise._init import Spanwise, TraceConfig, check_names
from spanwise._names import context_key
from spanwise._resource_usage import track_resource_usage
from spanwise._state import STATE

__all__ = [
    "CustomSampler",
    "TracingMetrics",
    "configure_content_redaction",
    "configure_intelligent_sampling",
    "ensure_context_propagation",
    "get_trace_config",
    "get_tracer",
    "get_tracing_metrics",
    "set_span_context",
    "track_resource_usage",
]

F = TypeVar("F", bound=Callable[..., Any])

REDACTION = ("pii_redaction", "financial_data_redaction", "custom_patterns", "replacement_text")
SAMPLING = (
    "error_sampling_rate",
    "slow_request_sampling_rate",
    "slow_request_threshold_ms",
    "high_priority_operations",
    "low_priority_operations",
)


class CustomSampler:
    """Decides which traces are recorded: derive from it. Asked for local roots only."""

    def should_sample(
        self, span_context: trace.SpanContext, operation_name: str, attributes: Mapping[str, Any]
    ) -> bool:
        raise NotImplementedError


def get_tracer(name: str = "spanwise", version: str | None = None) -> trace.Tracer:
    """A tracer of what `Spanwise.init` started, else of OpenTelemetry's provider."""
    if STATE.running is not None:
        return STATE.running.tracer_provider.get_tracer(name, version)
    return trace.get_tracer(name, version)


def set_span_context(context: Mapping[str, Any] | None = None, **more: Any) -> None:
    """Sets attributes of the current span and of every span below it that starts from now on.

    ``organization_id`` stands for ``organization.id``, and so on.
    """
    attributes = {context_key(key): value for key, value in {**(context or {}), **more}.items() if value is not None}
    span = trace.get_current_span()
    hand_down = getattr(span, "_hand_down", None)
    if hand_down is not None:
        hand_down(attributes)
    else:
        span.set_attributes(attributes)


def configure_content_redaction(rules: Mapping[str, Any] | None = None) -> None:
    """Switches redaction on: of secrets always, of what else `rules` say."""
    rules = dict(rules or {})
    check_names("configure_content_redaction", rules, REDACTION)
    running().update_config(content_redaction_enabled=True, **rules)


def configure_intelligent_sampling(rules: Mapping[str, Any]) -> None:
    """Decides about traces when their local root has ended: errors and slow ones, then by operation."""
    check_names("configure_intelligent_sampling", rules, SAMPLING)
    running().update_config(**rules)


def running() -> Spanwise:
    if STATE.running is None:
        raise RuntimeError("tracing does not run: call Spanwise.init first")
    return STATE.running


def ensure_context_propagation(function: F) -> F:
    """Runs a function, in whatever thread, below the span that is current now.

    If none is current now, below the one that is current where it is called.
    """
    captured = context_api.get_current() if trace.get_current_span().get_span_context().is_valid else None

    if captured is None:
        return function
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            token = context_api.attach(captured)
            try:
                return await function(*args, **kwargs)
            finally:
                context_api.detach(token)

        return run_async  # pyright: ignore[reportReturnType]
    return functools.wraps(function)(within(captured, function))  # pyright: ignore[reportReturnType]


def get_trace_config() -> TraceConfig:
    """What is in force; ``enabled`` is ``False`` where tracing does not run."""
    if STATE.running is None:
        return TraceConfig({"enabled": False, "endpoint": "", "sampling_rate": 0.0, "exporters": [], "app_name": ""})
    return STATE.running.config


@dataclass(frozen=True)
class TracingMetrics:
    """What tracing has done so far, and what it cost."""

    overhead_percentage: float
    spans_per_second: float
    spans_started: int
    spans_exported: int
    spans_dropped: int
    queue_size: int
    export_errors: int

    def __getitem__(self, name: str) -> float:
        return getattr(self, name)


STARTED = time.monotonic()


def get_tracing_metrics() -> TracingMetrics:
    """What tracing has done so far.

    ``overhead_percentage`` is an estimate: what a span costs here, times how many there were, as a
    part of one processor's time since the start.
    """
    if STATE.running is None:
        return TracingMetrics(0.0, 0.0, 0, 0, 0, 0, 0)
    counts = STATE.running.tracer_provider._core.metrics()
    seconds = max(time.monotonic() - STARTED, 1e-3)
    rate = counts["spans_started"] / seconds
    return TracingMetrics(
        overhead_percentage=100.0 * rate * span_seconds(),
        spans_per_second=rate,
        spans_started=counts["spans_started"],
        spans_exported=counts["spans_exported"],
        spans_dropped=counts["spans_dropped"],
        queue_size=counts["queue_size"],
        export_errors=counts["export_errors"],
    )


@functools.cache
def span_seconds() -> float:
    """What one span costs on this machine."""
    from spanwise.opentelemetry import TracerProvider

    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("spanwise")
    n_spans = 200
    before = time.thread_time()
    for _ in range(n_spans):
        with tracer.start_as_current_span("cost") as span:
            span.set_attribute("a", "b")
    return (time.thread_time() - before) / n_spans
