"""The extension module: what happens for every span."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context

F = TypeVar("F", bound=Callable[..., Any])

class Processors:
    def __init__(self) -> None: ...
    @property
    def _span_processors(self) -> tuple[Any, ...]: ...
    @_span_processors.setter
    def _span_processors(self, processors: Sequence[Any]) -> None: ...

class Provider:
    def __init__(
        self,
        processors: Processors,
        limits: tuple[int | None, int | None, int | None, int | None, int | None],
        decide: str,
        rate: float,
        sampler: Any,
        ids: Any,
        resource: dict[str, Any],
        exporters: list[Callable[[bytes], object]],
        export_every: float | None = None,
        queue_bytes: int | None = None,
    ) -> None: ...
    def flush(self, timeout: float) -> bool: ...
    def shutdown(self, timeout: float) -> bool: ...
    def set_custom_sampler(self, sampler: Any) -> None: ...
    def metrics(self) -> dict[str, int]: ...

class Running:
    def __init__(self, options: dict[str, Any], exporters: list[Callable[[bytes], object]]) -> None: ...
    def provider(self, processors: Processors, custom_sampler: Any, flushes_roots: bool) -> Provider: ...
    def update_config(self, changes: dict[str, Any]) -> None: ...
    def config(self) -> dict[str, Any]: ...
    def resource(self) -> dict[str, Any]: ...
    def shutdown(self, timeout: float) -> bool: ...

def option_names() -> list[str]: ...

class Tracer(trace.Tracer):
    def __init__(
        self,
        provider: Provider,
        owner: Any,
        scope_object: Any,
        name: str,
        version: str,
        schema_url: str | None,
        attributes: Mapping[str, Any] | None,
        origin: tuple[tuple[str, str] | None] | None = None,
    ) -> None: ...
    sampler: Any
    resource: Any
    id_generator: Any
    span_processor: Any
    _provider: Any
    _instrumentation_scope: Any
    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: trace.SpanKind = ...,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[trace.Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace.Span: ...
    def start_as_current_span(  # type: ignore[override]
        self,
        name: str,
        context: Context | None = None,
        kind: trace.SpanKind = ...,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[trace.Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Activation: ...

class Activation:
    def __enter__(self) -> trace.Span: ...
    def __exit__(self, kind: Any, exception: Any, traceback: Any) -> bool: ...
    def __call__(self, function: F) -> F: ...
    def _again(self) -> Activation: ...

class ReadableSpan:
    def __getattr__(self, name: str) -> Any: ...
    def _write(self, name: str, value: Any) -> None: ...

class Span(trace.Span):
    def __getattr__(self, name: str) -> Any: ...
    def _hand_down(self, attributes: Mapping[str, Any]) -> None: ...

class UnsampledSpan(trace.Span):
    def _hand_down(self, attributes: Mapping[str, Any]) -> None: ...

class Operation:
    def __init__(
        self,
        role: str,
        name: str,
        attributes: Mapping[str, Any],
        inherited: dict[str, str],
        parameters: list[str],
        rest: str,
        skip_first: bool,
        skip: list[str],
        keeps_output: bool,
        guard: str | None,
    ) -> None: ...
    def enter(self, tracer: Tracer, arguments: tuple[Any, ...], named: dict[str, Any]) -> Call | None: ...

class Call:
    @property
    def span(self) -> trace.Span: ...
    @property
    def records_output(self) -> bool: ...
    def resume(self) -> None: ...
    def suspend(self) -> None: ...
    def finish(self, result: Any) -> None: ...
    def close(self) -> None: ...
    def fail(self, exception: BaseException) -> None: ...

def to_json(value: Any) -> str: ...
