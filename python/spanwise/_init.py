"""``Spanwise.init``: one call starts it."""

from __future__ import annotations

import atexit
import difflib
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.util._once import Once

from spanwise import _core
from spanwise._sigterm import Sigterm
from spanwise._state import STATE
from spanwise.opentelemetry import SpanProcessors, TracerProvider

logger = logging.getLogger("spanwise.tracing")

LOCK = threading.RLock()
# What Python alone knows.
OWN_OPTIONS = (
    *("custom_sampler", "instrument", "propagate_to_providers", "span_processors", "exporter"),
    *("flush_on_sigterm", "flush_each_trace"),
)


# A conversation of some dozen messages has more attributes than OpenTelemetry's 128, and the token
# counts come last.
MAX_ATTRIBUTES = 4096
LIMIT_VARIABLES = ("SPANWISE_MAX_ATTRIBUTES", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT")


class Spanwise:
    """Tracing that runs. Made by :meth:`init`."""

    def __init__(self, running: _core.Running, provider: TracerProvider, instrumentation: Any) -> None:
        self._running = running
        self.tracer_provider = provider
        self._instrumentation: Any = instrumentation
        self._sigterm = Sigterm(self.shutdown)

    @classmethod
    def init(
        cls,
        app_name: str | None = None,
        *,
        custom_sampler: Any = None,
        instrument: bool | Sequence[str] = True,
        propagate_to_providers: bool = False,
        span_processors: Sequence[Any] = (),
        exporter: Callable[[bytes], object] | None = None,
        flush_on_sigterm: bool | None = None,
        flush_each_trace: bool | None = None,
        **options: Any,
    ) -> Spanwise:
        """Starts tracing and makes its provider OpenTelemetry's.

        Options that are not given come from ``SPANWISE_<OPTION>`` and OpenTelemetry's variables.
        An unknown one is a ``TypeError``. ``exporter`` is called with the bytes of OTLP requests.
        ``flush_on_sigterm`` (on) delivers before a process ends by a SIGTERM that nobody handles;
        ``flush_each_trace`` (on in AWS Lambda) whenever a local root has ended.
        """
        options["app_name"] = app_name
        check_names("init", options, (*_core.option_names(), *OWN_OPTIONS))
        check_sampler(custom_sampler)
        with LOCK:
            if STATE.running is not None:
                logger.warning("tracing runs already; the new options were ignored")
                return STATE.running
            given = {name: value for name, value in options.items() if value is not None}
            if not any(os.environ.get(variable) for variable in LIMIT_VARIABLES):
                given.setdefault("max_attributes", MAX_ATTRIBUTES)
            describe_runtime(given)
            instrumentation = choose_instrumentation(instrument)
            debug = given.get("trace_debug")
            if debug:
                show_debug_log()
            exporters = [exporter] if exporter is not None else []
            running = _core.Running(given, exporters)
            processors = SpanProcessors()
            if flush_each_trace is None:
                flush_each_trace = from_environment("flush_each_trace", "AWS_LAMBDA_FUNCTION_NAME" in os.environ)
            core = running.provider(processors, custom_sampler, flush_each_trace)
            provider = TracerProvider(
                _core_provider=core, _processors=processors, _attributes=running.resource(), shutdown_on_exit=False
            )
            for processor in span_processors:
                provider.add_span_processor(processor)
            spanwise = cls(running, provider, instrumentation)
            spanwise._start(propagate_to_providers)
            if flush_on_sigterm is None:
                flush_on_sigterm = from_environment("flush_on_sigterm", True)
            if flush_on_sigterm:
                spanwise._sigterm.install()
            return spanwise

    def _start(self, propagate_to_providers: bool) -> None:
        STATE.running = self
        provider = self.tracer_provider
        if not self._running.config()["enabled"]:
            provider._disabled = True
            return
        STATE.tracer = provider.get_tracer("spanwise")  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(STATE.tracer, trace.NoOpTracer):
            STATE.tracer = None
        become_opentelemetrys(provider)
        atexit.register(self._at_exit)
        if self._instrumentation is not None:
            from spanwise import _instrument

            self._instrumentation.start(provider)
            if not propagate_to_providers:
                _instrument.keep_context_from_providers()

    def update_config(self, **changes: Any) -> None:
        """Changes sampling and rules about content while running: all of it, or nothing."""
        check_names("update_config", changes, (*_core.option_names(), "custom_sampler"))
        if "custom_sampler" in changes:
            sampler = changes.pop("custom_sampler")
            check_sampler(sampler)
            self.tracer_provider._core.set_custom_sampler(sampler)
        self._running.update_config(changes)

    def flush(self, timeout: float = 30.0) -> bool:
        """Waits until everything that has ended is delivered. ``False`` if not all of it was."""
        return self.tracer_provider.force_flush(int(timeout * 1000))

    def shutdown(self, timeout: float = 8.0) -> bool:
        """Delivers what it can and stops. `init` may be called again afterwards."""
        with LOCK:
            if STATE.running is self:
                STATE.running = None
                STATE.tracer = None
            atexit.unregister(self._at_exit)
            self._sigterm.remove()
            if self._instrumentation is not None:
                self._instrumentation.stop()
                self._instrumentation = None
        self.tracer_provider._active_span_processor.shutdown()
        return self._running.shutdown(timeout)

    def _at_exit(self) -> None:
        self.shutdown()

    @property
    def config(self) -> TraceConfig:
        """What is in force."""
        return TraceConfig(self._running.config())

    def __enter__(self) -> Spanwise:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()


class TraceConfig:
    """What is in force, by attribute and by name."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"there is no '{name}' in the configuration of tracing")

    def __getitem__(self, name: str) -> Any:
        return self.__dict__[name]

    def __repr__(self) -> str:
        return f"TraceConfig({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"


def describe_runtime(options: dict[str, Any]) -> None:
    """Says that this is Python, unless somebody says something else."""
    given = options.get("resource_attributes", {})
    # What is said in code is all that is heard, so a variable is left to speak for itself.
    if isinstance(given, Mapping) and (given or "SPANWISE_RESOURCE_ATTRIBUTES" not in os.environ):
        options["resource_attributes"] = {
            "telemetry.sdk.language": "python",
            "process.runtime.name": sys.implementation.name,
            "process.runtime.version": ".".join(str(part) for part in sys.version_info[:3]),
            **given,
        }


def choose_instrumentation(instrument: bool | Sequence[str]) -> Any:
    if not instrument:
        return None
    from spanwise import _instrument

    return _instrument.Instrumentation.of(None if instrument is True else tuple(instrument))


def from_environment(option: str, default: bool) -> bool:
    """A switch that is not given in code."""
    said = os.environ.get(f"SPANWISE_{option.upper()}", "").strip().lower()
    return default if not said else said not in ("0", "false", "no", "off")


def check_names(function: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
            raise TypeError(f"{function}() got an unexpected keyword argument '{name}'{hint}")


def check_sampler(sampler: Any) -> None:
    if sampler is not None and not callable(getattr(sampler, "should_sample", None)):
        raise TypeError("custom_sampler: expected an object with a method should_sample")


def become_opentelemetrys(provider: TracerProvider) -> None:
    """Makes the provider OpenTelemetry's, in place of one of ours that has been shut down."""
    current = trace._TRACER_PROVIDER
    if current is None:
        trace.set_tracer_provider(provider)
    elif isinstance(current, TracerProvider):
        # The API lets a provider be set once. Ours makes way for its successor.
        trace._TRACER_PROVIDER_SET_ONCE = Once()
        trace._TRACER_PROVIDER = None
        trace.set_tracer_provider(provider)
    else:
        logger.warning(
            "OpenTelemetry has another tracer provider already, %s: only our own decorators and instrumentations "
            "record here",
            type(current).__name__,
        )


def show_debug_log() -> None:
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
