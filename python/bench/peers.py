"""Spans and decorators beside their peers, in one run: who costs how much of the application's thread.

    python -m pip install '.[sdk]' langfuse langsmith openinference-instrumentation traceloop-sdk
    python python/bench/peers.py [--runs 9] [--spans 3000]

Every row is measured in turns, so that a slow moment of the machine hits all alike. Shown are the
minimum and the median of the runs, in microseconds of processor time of the thread that makes the
spans, and the ratio to ours. Spans are counted where they arrive. Peers that are not installed are
left out, and named.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, sampling
from opentelemetry.sdk.trace import TracerProvider as SdkProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from spanwise import _decorators, _state
from spanwise.opentelemetry import TracerProvider

Run = Callable[[int], object]


class Counting(SpanExporter):
    """Takes spans and counts them."""

    def __init__(self) -> None:
        self.n_spans = 0

    def export(self, spans: Any) -> SpanExportResult:
        self.n_spans += len(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True


class Sink:
    """Takes OTLP requests and counts their spans."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    def __call__(self, request: bytes) -> None:
        self.requests.append(request)

    @property
    def n_spans(self) -> int:
        decoded = (ExportTraceServiceRequest.FromString(request) for request in self.requests)
        return sum(len(scope.spans) for one in decoded for group in one.resource_spans for scope in group.scope_spans)


class Looking(SpanProcessor):
    """Reads what most processors read."""

    def __init__(self) -> None:
        self.n_spans = 0

    def on_end(self, span: ReadableSpan) -> None:
        if span.name and span.attributes:
            self.n_spans += 1


@contextmanager
def endpoint() -> Iterator[tuple[str, list[bytes]]]:
    """An OTLP/HTTP endpoint in a thread."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        server.server_close()


def spans(tracer: trace.Tracer) -> Run:
    """Current spans with five attributes."""

    def run(n_spans: int) -> None:
        for at in range(n_spans):
            with tracer.start_as_current_span("chat gpt-4o") as span:
                span.set_attribute("gen_ai.request.model", "gpt-4o")
                span.set_attribute("gen_ai.usage.input_tokens", at)
                span.set_attribute("gen_ai.request.temperature", 0.5)
                span.set_attribute("gen_ai.request.stream", True)
                span.set_attribute("user.id", "u-17")

    return run


def calls(function: Callable[..., Any]) -> Run:
    messages = [{"role": "user", "content": "What is the weather in Oslo, and what should I wear?"}]

    def run(n_calls: int) -> None:
        for at in range(n_calls):
            function(f"question {at}", messages, temperature=0.5)

    return run


def plain(question: str, messages: list[dict[str, str]], temperature: float) -> dict[str, Any]:
    return {"answer": f"the answer to {question}", "tokens": 12}


class Table:
    """Measures rows and prints them."""

    def __init__(self, n_runs: int, n_spans: int) -> None:
        self.n_runs = n_runs
        self.n_spans = n_spans

    def compare(self, title: str, rows: dict[str, Run], clock: Callable[[], float] = time.thread_time) -> None:
        taken: dict[str, list[float]] = {name: [] for name in rows}
        for run in rows.values():
            run(self.n_spans // 10)
        for _ in range(self.n_runs):
            for name, run in rows.items():
                before = clock()
                run(self.n_spans)
                taken[name].append((clock() - before) / self.n_spans * 1e6)
        print(f"\n{title}")
        own = taken["spanwise"]
        for name, times in taken.items():
            least, median = min(times), statistics.median(times)
            ratio = f"{least / min(own):6.1f}x {median / statistics.median(own):6.1f}x" if name != "spanwise" else ""
            print(f"  {name:<28} {least:8.2f} us {median:8.2f} us   {ratio}")


def recorded_spans(table: Table) -> None:
    exporter, sink = Counting(), Sink()
    theirs = SdkProvider()
    theirs.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=2 * table.n_spans))
    ours = TracerProvider(_exporters=[sink])
    rows = {"spanwise": spans(ours.get_tracer("bench")), "opentelemetry-sdk": spans(theirs.get_tracer("bench"))}
    table.compare("span with 5 attributes, made current; no-op exporter", rows)
    ours.force_flush()
    theirs.force_flush()
    n_made = table.n_spans * table.n_runs + table.n_spans // 10
    print(f"  arrived of {n_made}: spanwise {sink.n_spans}, opentelemetry-sdk {exporter.n_spans}")
    ours.shutdown()
    theirs.shutdown()


def processed_spans(table: Table) -> None:
    providers = {"spanwise": TracerProvider(), "opentelemetry-sdk": SdkProvider()}
    rows: dict[str, Run] = {}
    processors = {name: Looking() for name in providers}
    for name, provider in providers.items():
        provider.add_span_processor(processors[name])
        rows[name] = spans(provider.get_tracer("bench"))
    table.compare("the same with one Python processor that reads name and attributes", rows)
    print(f"  seen: {', '.join(f'{name} {processor.n_spans}' for name, processor in processors.items())}")


def unsampled_spans(table: Table) -> None:
    ours, theirs = TracerProvider(sampler=sampling.ALWAYS_OFF), SdkProvider(sampler=sampling.ALWAYS_OFF)
    parent_based = TracerProvider(sampler=sampling.DEFAULT_OFF)
    rows = {
        "spanwise": spans(parent_based.get_tracer("bench")),
        "spanwise, ALWAYS_OFF": spans(ours.get_tracer("bench")),
        "opentelemetry-sdk": spans(theirs.get_tracer("bench")),
    }
    table.compare("not sampled", rows)


def exported_spans(table: Table) -> None:
    """Processor time of the whole process, which is what the interpreter lock sees of the SDK."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    from spanwise import Spanwise

    with endpoint() as (url, bodies):
        theirs = SdkProvider(resource=Resource.create({"service.name": "bench"}))
        exporter = OTLPSpanExporter(f"{url}/v1/traces")
        theirs.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=10 * table.n_spans))
        spanwise = Spanwise.init("bench", opentelemetry_endpoint=url, instrument=False)
        rows: dict[str, Run] = {}
        for name, provider in {"spanwise": spanwise.tracer_provider, "opentelemetry-sdk": theirs}.items():
            make = spans(provider.get_tracer("bench"))

            def run(n_spans: int, make: Run = make, provider: Any = provider) -> None:
                make(n_spans)
                provider.force_flush()

            rows[name] = run
        table.compare(
            "created and exported over OTLP/HTTP, processor time of the whole process (the receiver's too)",
            rows,
            time.process_time,
        )
        print(f"  requests: {len(bodies)}")
        spanwise.shutdown()
        theirs.shutdown()


def decorated_calls(table: Table) -> None:
    ours = TracerProvider(_exporters=[Sink()])
    _state.STATE.tracer = ours.get_tracer("spanwise")  # pyright: ignore[reportAttributeAccessIssue]
    rows: dict[str, Run] = {"spanwise": calls(_decorators.workflow(plain))}
    missing: list[str] = []
    for name, make in {
        "langfuse": langfuse_call,
        "langsmith": langsmith_call,
        "openinference": openinference_call,
        "traceloop": traceloop_call,
    }.items():
        try:
            rows[name] = calls(make())
        except ImportError as error:
            missing.append(f"{name} ({error})")
    rows["undecorated"] = calls(plain)
    table.compare("decorated function, input and output recorded", rows)
    if missing:
        print(f"  not installed: {', '.join(missing)}")
    _state.STATE.tracer = None


def langfuse_call() -> Callable[..., Any]:
    os.environ.update(LANGFUSE_PUBLIC_KEY="pk", LANGFUSE_SECRET_KEY="sk", LANGFUSE_HOST="http://127.0.0.1:9")
    from langfuse import Langfuse, observe  # pyright: ignore[reportMissingImports]

    provider = SdkProvider()
    Langfuse(tracer_provider=provider)
    return observe(plain)


def langsmith_call() -> Callable[..., Any]:
    os.environ.update(LANGSMITH_TRACING="true", LANGSMITH_API_KEY="k", LANGSMITH_ENDPOINT="http://127.0.0.1:9")
    from langsmith import traceable  # pyright: ignore[reportMissingImports]

    return traceable(plain)


def openinference_call() -> Callable[..., Any]:
    from openinference.instrumentation import OITracer, TraceConfig  # pyright: ignore[reportMissingImports]

    provider = SdkProvider()
    provider.add_span_processor(BatchSpanProcessor(Counting(), max_queue_size=100_000))
    return OITracer(provider.get_tracer("bench"), config=TraceConfig()).chain(plain)


def traceloop_call() -> Callable[..., Any]:
    from traceloop.sdk import Traceloop  # pyright: ignore[reportMissingImports]
    from traceloop.sdk.decorators import workflow  # pyright: ignore[reportMissingImports]

    Traceloop.init(app_name="bench", exporter=Counting(), disable_batch=False, telemetry_enabled=False)
    return workflow(name="plain")(plain)


BURST = """
import sys, time
{setup}
for at in range(50_000):
    with tracer.start_as_current_span("s") as span:
        span.set_attribute("a", at)
{finish}
"""


def burst(table: Table) -> None:
    """50,000 spans in a tight loop, with default settings."""
    del table
    print("\n50,000 spans in a tight loop, default settings, over OTLP/HTTP")
    scripts = {
        "spanwise": (
            "from spanwise import Spanwise\nfrom spanwise.tracing import get_tracer, get_tracing_metrics\n"
            "s = Spanwise.init('burst', instrument=False, opentelemetry_endpoint=sys.argv[1])\n"
            "tracer = get_tracer('t')",
            "s.flush()\nprint(get_tracing_metrics().spans_dropped)\ns.shutdown()",
        ),
        "opentelemetry-sdk": (
            "from opentelemetry.sdk.trace import TracerProvider\n"
            "from opentelemetry.sdk.trace.export import BatchSpanProcessor\n"
            "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter\n"
            "p = TracerProvider()\n"
            "p.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(sys.argv[1] + '/v1/traces')))\n"
            "tracer = p.get_tracer('t')",
            "p.force_flush()\np.shutdown()\nprint('not counted')",
        ),
    }
    for name, (setup, finish) in scripts.items():
        with endpoint() as (url, bodies):
            script = BURST.format(setup=setup, finish=finish)
            done = subprocess.run([sys.executable, "-c", script, url], text=True, capture_output=True, check=True)
            n_arrived = sum(count_spans(body) for body in bodies)
        print(f"  {name:<28} arrived {n_arrived:6d}   dropped: {done.stdout.strip()}")


def count_spans(body: bytes) -> int:
    import gzip

    body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    sink = Sink()
    sink(body)
    return sink.n_spans


STARTS = {
    "spanwise": "from spanwise import Spanwise; Spanwise.init('x', instrument=False)",
    "opentelemetry-sdk": (
        "from opentelemetry import trace; from opentelemetry.sdk.trace import TracerProvider; "
        "from opentelemetry.sdk.trace.export import BatchSpanProcessor; "
        "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter; "
        "p = TracerProvider(); p.add_span_processor(BatchSpanProcessor(OTLPSpanExporter())); "
        "trace.set_tracer_provider(p)"
    ),
    "traceloop": "from traceloop.sdk import Traceloop; Traceloop.init(app_name='x', telemetry_enabled=False)",
}
MEASURE = """
import json, resource, time
def rss():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
memory, before = rss(), time.perf_counter()
{code}
print("MEASURED" + json.dumps([time.perf_counter() - before, rss() - memory]))
"""


def start(table: Table) -> None:
    """Import and init, in a fresh process."""
    print("\nimport and init")
    for name, code in STARTS.items():
        if name == "traceloop" and importlib.util.find_spec("traceloop") is None:
            continue
        seconds: list[float] = []
        memory: list[int] = []
        for _ in range(table.n_runs):
            script = MEASURE.format(code=code)
            done = subprocess.run([sys.executable, "-c", script], text=True, capture_output=True, check=True)
            line = next(line for line in done.stdout.splitlines() if line.startswith("MEASURED"))
            one, other = json.loads(line.removeprefix("MEASURED"))
            seconds.append(one)
            memory.append(other)
        print(f"  {name:<28} {min(seconds) * 1e3:7.1f} ms {statistics.median(seconds) * 1e3:7.1f} ms", end="")
        print(f"   {min(memory) / 1e6:6.1f} MB {statistics.median(memory) / 1e6:6.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--spans", type=int, default=3000)
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    table = Table(arguments.runs, arguments.spans)
    print(f"{'':<30} {'minimum':>10} {'median':>11}   ratio of minima, of medians")
    for row in (
        *(recorded_spans, processed_spans, unsampled_spans, exported_spans),
        *(decorated_calls, burst, start),
    ):
        if not arguments.only or row.__name__ in arguments.only:
            row(table)
    sys.stdout.flush()
    # Peers' threads that try to reach nobody are not waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
