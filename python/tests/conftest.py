"""What the tests look at: the bytes that leave."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanwise.opentelemetry import TracerProvider

for name in [name for name in os.environ if name.startswith(("OTEL_", "SPANWISE_"))]:
    del os.environ[name]


def run_program(program: str, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a process of its own, which must end with this code."""
    ran = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **variables}, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == code, ran.stderr
    return ran


def plain(value: Any) -> Any:
    """An OTLP value as Python has it."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [plain(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {one.key: plain(one.value) for one in value.kvlist_value.values}
    return getattr(value, kind)


def attributes(record: Any) -> dict[str, Any]:
    return {one.key: plain(one.value) for one in record.attributes}


class Sink:
    """Receives OTLP requests."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    def __call__(self, request: bytes) -> None:
        self.requests.append(request)

    @property
    def spans(self) -> list[Span]:
        spans: list[Span] = []
        for request in self.requests:
            for resource_spans in ExportTraceServiceRequest.FromString(request).resource_spans:
                for scope_spans in resource_spans.scope_spans:
                    spans.extend(scope_spans.spans)
        return spans


class Traced:
    """A provider and what it sent."""

    def __init__(self, **arguments: Any) -> None:
        self.sink = Sink()
        self.provider = TracerProvider(_exporters=[self.sink], **arguments)
        self.tracer: Any = self.provider.get_tracer("test", "1")

    def spans(self) -> list[Span]:
        assert self.provider.force_flush()
        return sorted(self.sink.spans, key=lambda span: span.start_time_unix_nano)

    def span(self, name: str | None = None) -> Span:
        (span,) = [span for span in self.spans() if name in (None, span.name)]
        return span


@pytest.fixture
def make_traced() -> Iterator[Callable[..., Traced]]:
    made: list[Traced] = []

    def make(**arguments: Any) -> Traced:
        made.append(Traced(**arguments))
        return made[-1]

    yield make
    for traced in made:
        traced.provider.shutdown()


@pytest.fixture
def traced(make_traced: Callable[..., Traced]) -> Traced:
    return make_traced()
