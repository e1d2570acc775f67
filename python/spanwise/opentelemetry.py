"""A provider that stands wherever ``opentelemetry.sdk.trace.TracerProvider`` does.

from opentelemetry import trace
from spanwise.opentelemetry import TracerProvider

trace.set_tracer_provider(TracerProvider())
"""

from __future__ import annotations

import atexit
import importlib.util
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry import trace

from spanwise import _core, _readable
from spanwise._origin import origin_of
from spanwise._sampling import describe_sampler

__all__ = ["SpanProcessors", "TracerProvider"]

logger = logging.getLogger("spanwise.tracing")

# How long the end of the process waits for spans to leave.
EXIT_SECONDS = 8.0


class SpanProcessors(_core.Processors):
    """The processors of a provider, asked in the order in which they were added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def add_span_processor(self, span_processor: Any) -> None:
        with self._lock:
            self._span_processors = (*self._span_processors, span_processor)

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        for processor in self._span_processors:
            processor.on_start(span, parent_context=parent_context)

    def on_end(self, span: Any) -> None:
        for processor in self._span_processors:
            processor.on_end(span)

    def shutdown(self) -> None:
        for processor in self._span_processors:
            try:
                processor.shutdown()
            except Exception:
                logger.warning("a span processor raised in shutdown", exc_info=True)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        until = time.monotonic() + timeout_millis / 1000
        delivered = True
        for processor in self._span_processors:
            left = int((until - time.monotonic()) * 1000)
            if left <= 0:
                return False
            try:
                delivered &= processor.force_flush(left) is not False
            except Exception:
                logger.warning("a span processor raised in force_flush", exc_info=True)
                delivered = False
        return delivered


class TracerProvider(trace.TracerProvider):
    """Takes the arguments of OpenTelemetry's own, and does what that does, in Rust."""

    def __init__(
        self,
        sampler: Any = None,
        resource: Any = None,
        shutdown_on_exit: bool = True,
        active_span_processor: Any = None,
        id_generator: Any = None,
        span_limits: Any = None,
        *,
        meter_provider: Any = None,
        _exporters: Sequence[Any] = (),
        _core_provider: Any = None,
        _processors: Any = None,
        _attributes: Mapping[str, Any] | None = None,
        _tracer_configurator: Any = None,
        **others: Any,
    ) -> None:
        del meter_provider
        for name in others:
            # Private arguments of the SDK's own, which change from version to version.
            if not name.startswith("_"):
                raise TypeError(f"TracerProvider() got an unexpected keyword argument '{name}'")
        self._disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        own = SpanProcessors() if _processors is None else _processors
        if active_span_processor is not None:
            own._span_processors = (active_span_processor,)
        self._active_span_processor = active_span_processor if active_span_processor is not None else own
        self._resource = resource
        self._attributes = _attributes
        self._span_limits = span_limits if span_limits is not None else default_limits()
        self._sampler = sampler
        self._id_generator = id_generator
        self._tracers: dict[Any, Any] = {}
        self._tracers_lock = threading.Lock()
        self._tracer_configurator = _tracer_configurator
        self._core = _core_provider or self._make_core(own, _exporters)
        # Only `Spanwise.init` promises attributes of its own. A provider that stands in for the
        # SDK's adds nothing to what instrumentations record.
        self._describes_calls = _core_provider is not None
        self._is_shut_down = False
        self._atexit_handler = None
        if shutdown_on_exit:
            self._atexit_handler = atexit.register(shutdown_weakly, weakref.ref(self))
            # Like the SDK's, a provider nobody refers to any more still delivers at exit.
            LIVING.add(self)
        register_with_sdk()

    def _make_core(self, processors: SpanProcessors, exporters: Sequence[Any]) -> _core.Provider:
        limits = self._span_limits
        decide, rate, sampler = describe_sampler(self._sampler)
        attributes = getattr(self._resource, "attributes", None)
        attributes = dict(attributes) if isinstance(attributes, Mapping) else {}
        return _core.Provider(
            processors,
            (
                limits.max_span_attributes,
                limits.max_span_attribute_length,
                limits.max_events,
                limits.max_links,
                limits.max_event_attributes,
            ),
            decide,
            rate,
            sampler,
            None if is_random(self._id_generator) else self._id_generator,
            attributes,
            list(exporters),
        )

    @property
    def resource(self) -> Any:
        if self._resource is None:
            self._resource = make_resource(self._attributes)
        return self._resource

    @property
    def sampler(self) -> Any:
        if self._sampler is None:
            from spanwise._sampling import default_sampler

            self._sampler = default_sampler()
        return self._sampler

    @property
    def id_generator(self) -> Any:
        if self._id_generator is None:
            from spanwise._sampling import RandomIds

            self._id_generator = RandomIds()
        return self._id_generator

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> trace.Tracer:
        if self._disabled:
            return trace.NoOpTracer()
        if not instrumenting_module_name:
            instrumenting_module_name = ""
            logger.error("get_tracer called with missing module name.")
        version = instrumenting_library_version or ""
        scope = make_scope(instrumenting_module_name, version, schema_url, attributes)
        with self._tracers_lock:
            tracer = self._tracers.get(scope)
            if tracer is None:
                tracer = _core.Tracer(
                    self._core,
                    self,
                    scope,
                    str(instrumenting_module_name),
                    str(version),
                    schema_url,
                    attributes,
                    origin_of(str(instrumenting_module_name)) if self._describes_calls else None,
                )
                self._tracers[scope] = tracer
                self._configure(tracer, scope)
        return tracer

    def _set_tracer_configurator(self, *, tracer_configurator: Any) -> None:
        """Experimental in OpenTelemetry: a function that says of a scope whether it is traced."""
        with self._tracers_lock:
            self._tracer_configurator = tracer_configurator
            for scope, tracer in self._tracers.items():
                self._configure(tracer, scope)

    def _configure(self, tracer: Any, scope: Any) -> None:
        enabled = True
        if self._tracer_configurator is not None:
            try:
                enabled = self._tracer_configurator(scope).is_enabled
            except Exception:
                logger.exception("Failed to create a Tracer Config for %s, using default Tracer config", scope)
        _readable.set_enabled(tracer, enabled)

    def add_span_processor(self, span_processor: Any) -> None:
        """Adds a processor; all are asked in the order in which they were added."""
        self._active_span_processor.add_span_processor(span_processor)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Waits until everything that has ended is delivered. ``False`` if not all of it was."""
        until = time.monotonic() + timeout_millis / 1000
        delivered = self._active_span_processor.force_flush(timeout_millis) is not False
        return self._core.flush(max(0.0, until - time.monotonic())) and delivered

    def shutdown(self) -> None:
        """Delivers what it can and stops."""
        self._active_span_processor.shutdown()
        self._core.shutdown(EXIT_SECONDS)
        self._is_shut_down = True
        LIVING.discard(self)
        if self._atexit_handler is not None:
            atexit.unregister(self._atexit_handler)
            self._atexit_handler = None


# Providers that have to be shut down when the process ends.
LIVING: set[TracerProvider] = set()


def shutdown_weakly(reference: weakref.ref[TracerProvider]) -> None:
    provider = reference()
    if provider is not None and not provider._is_shut_down:
        provider.shutdown()


def is_random(generator: Any) -> bool:
    """Whether ids are the ones that the core makes itself, only faster."""
    return generator is None or f"{type(generator).__module__}.{type(generator).__name__}" in (
        "opentelemetry.sdk.trace.id_generator.RandomIdGenerator",
        "spanwise._sampling.RandomIds",
    )


def has_sdk() -> bool:
    """Whether OpenTelemetry's SDK is installed, without importing it."""
    return "opentelemetry.sdk.trace" in sys.modules or importlib.util.find_spec("opentelemetry.sdk") is not None


def default_limits() -> Any:
    from spanwise._limits import SpanLimits

    return SpanLimits()


def make_resource(attributes: Mapping[str, Any] | None) -> Any:
    """A ``Resource``: the SDK's where that is installed, for its exporters compare them."""
    if has_sdk():
        from opentelemetry.sdk.resources import Resource

        return Resource.create({}) if attributes is None else Resource(attributes)
    from spanwise._resource import Resource as Own

    return Own(attributes or {})


def make_scope(name: str, version: str, schema_url: str | None, attributes: Mapping[str, Any] | None) -> Any:
    """An ``InstrumentationScope``: the SDK's where it is in use, for its exporters compare them."""
    if "opentelemetry.sdk.util.instrumentation" in sys.modules:
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        return InstrumentationScope(name, version, schema_url, attributes)
    from spanwise._resource import Scope

    return Scope(name, version, schema_url, tuple(sorted((attributes or {}).items())))


def register_with_sdk() -> None:
    """Says that we are what the SDK's classes are, once those are loaded."""
    sdk = sys.modules.get("opentelemetry.sdk.trace")
    if sdk is None:
        return
    for own, theirs in (
        (TracerProvider, sdk.TracerProvider),
        (_core.Tracer, sdk.Tracer),
        (_core.Span, sdk.Span),
    ):
        if isinstance(theirs, type) and not issubclass(own, theirs):
            theirs.register(own)  # pyright: ignore[reportAttributeAccessIssue]


assert _readable
