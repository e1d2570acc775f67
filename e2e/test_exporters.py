"""OpenTelemetry's own exporters deliver whole spans, and the answer to each comes when they are there."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from harness import collector, otlp
from harness.server import ROOT, Server, binary

E2E = Path(__file__).parent


def grpc_exporter(server: Server, compressed: bool) -> SpanExporter:
    compression = grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression
    return GrpcExporter(server.otlp_grpc, insecure=True, compression=compression)


def http_exporter(server: Server, compressed: bool) -> SpanExporter:
    compression = Compression.Gzip if compressed else Compression.NoCompression
    return HttpExporter(f"{server.otlp_http}/v1/traces", compression=compression)


def record_order(exporter: SpanExporter) -> str:
    """Records one trace with a bit of everything; returns its id when the exporter is done."""
    provider = TracerProvider(resource=Resource({"service.name": "shop", "host.cores": 2}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("e2e", "1.2.3")
    other = SpanContext(0x1234, 0x5678, is_remote=True, trace_flags=TraceFlags(1))
    with tracer.start_as_current_span("order", kind=SpanKind.SERVER) as root:
        with tracer.start_as_current_span(
            "charge", kind=SpanKind.CLIENT, links=[Link(other, {"why": "retry"})]
        ) as span:
            span.set_attributes(
                {
                    "text": "Grüße, 世界 🌍\n\tzwei",
                    "int": -(2**63),
                    "double": 0.1,
                    "bool": False,
                    "empty": "",
                    "texts": ["a", "", "c"],
                    "ints": [1, 2**62],
                }
            )
            span.add_event("declined", {"code": 51})
            span.set_status(Status(StatusCode.ERROR, "card declined"))
        trace_id = f"{root.get_span_context().trace_id:032x}"
    provider.shutdown()
    return trace_id


def check_order(server: Server, trace_id: str) -> None:
    """The trace of record_order is there, whole."""
    spans = {span["name"]: span for span in otlp.normal_spans(server.api.trace_otlp(trace_id))}
    assert spans.keys() == {"order", "charge"}
    order, charge = spans["order"], spans["charge"]
    assert order["parent_span_id"] is None
    assert order["kind"] == 2
    assert charge["parent_span_id"] == order["span_id"]
    assert charge["kind"] == 3
    assert charge["attributes"] == {
        "text": ["stringValue", "Grüße, 世界 🌍\n\tzwei"],
        "int": ["int", -(2**63)],
        "double": ["double", "0.1"],
        "bool": ["boolValue", False],
        "empty": ["stringValue", ""],
        "texts": ["array", [["stringValue", "a"], ["stringValue", ""], ["stringValue", "c"]]],
        "ints": ["array", [["int", 1], ["int", 2**62]]],
    }
    assert charge["status"] == [2, "card declined"]
    [[_, name, attributes, _]] = charge["events"]
    assert (name, attributes) == ("declined", {"code": ["int", 51]})
    [link] = charge["links"]
    assert link[:2] == [f"{0x1234:032x}", f"{0x5678:016x}"]
    assert link[3] == {"why": ["stringValue", "retry"]}
    assert charge["scope"] == ["e2e", "1.2.3"]
    assert charge["resource"]["host.cores"] == ["int", 2]

    summary = server.api.trace(trace_id)
    assert summary["root_name"] == "order"
    assert summary["span_count"] == 2
    assert summary["error_count"] == 1
    assert [found["trace_id"] for found in server.api.traces("service:shop name:charge status:error")] == [trace_id]


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("exporter", [grpc_exporter, http_exporter], ids=["grpc", "http"])
def test_python_exporter(server: Server, exporter: Callable[..., SpanExporter], compressed: bool) -> None:
    check_order(server, record_order(exporter(server, compressed)))


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_node_exporter_sends_json(server: Server, compression: str) -> None:
    subprocess.run([ROOT / "scripts/npm-ci", E2E / "node"], check=True)
    ids = run_client(["node", "export.mjs", server.otlp_http, compression], cwd=E2E / "node")
    spans = {span["span_id"]: span for span in otlp.normal_spans(server.api.trace_otlp(ids["trace_id"]))}
    assert spans.keys() == {ids["root"], ids["child"]}
    child = spans[ids["child"]]
    assert child["parent_span_id"] == ids["root"]
    assert child["resource"]["service.name"] == ["stringValue", "node-shop"]
    assert child["attributes"]["shop.ratio"] == ["double", "0.25"]
    assert child["attributes"]["shop.text"] == ["stringValue", "Grüße, 世界 🌍"]
    assert child["status"] == [2, "rate limited"]
    assert [event[1] for event in child["events"]] == ["cache miss", "exception"]

    [llm] = [span["llm"] for span in server.api.trace(ids["trace_id"])["spans"] if span.get("llm")]
    assert llm["usage"]["input"] == 12
    assert llm["usage"]["output"] == 7


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_rust_exporter(server: Server, protocol: str) -> None:
    binary = rust_exporter()
    endpoint = f"http://{server.otlp_grpc}" if protocol == "grpc" else f"{server.otlp_http}/v1/traces"
    ids = run_client([binary, protocol, endpoint])
    spans = {span["name"]: span for span in otlp.normal_spans(server.api.trace_otlp(ids["trace_id"]))}
    assert spans.keys() == {"order", "charge"}
    assert spans["charge"]["parent_span_id"] == spans["order"]["span_id"]
    assert spans["charge"]["attributes"]["amount"] == ["double", "12.5"]
    assert spans["charge"]["attributes"]["items"] == ["int", 3]
    assert spans["charge"]["resource"]["service.name"] == ["stringValue", "rust-shop"]
    assert [event[1] for event in spans["charge"]["events"]] == ["declined"]


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_own_sdk(server: Server, protocol: str, compression: str) -> None:
    endpoint = f"http://{server.otlp_grpc}" if protocol == "grpc" else server.otlp_http
    ran = run_own_sdk(
        SPANWISE_ENDPOINT=endpoint, SPANWISE_OTLP_PROTOCOL=protocol, SPANWISE_OTLP_COMPRESSION=compression
    )
    said = json.loads(ran.stdout)
    assert (said["delivered"], said["exported"], said["dropped"]) == (True, 2, 0)
    spans = {span["name"]: span for span in otlp.normal_spans(server.api.trace_otlp(said["trace_id"]))}
    assert spans.keys() == {"order", "charge"}
    order, charge = spans["order"], spans["charge"]
    assert charge["parent_span_id"] == order["span_id"]
    assert charge["attributes"] == {
        "amount": ["double", "12.5"],
        "items": ["int", 3],
        "text": ["stringValue", "Grüße, 世界 🌍"],
    }
    assert charge["status"] == [2, "card declined"]
    assert charge["resource"]["service.name"] == ["stringValue", "rust-shop"]
    assert charge["resource"]["telemetry.sdk.name"] == ["stringValue", "spanwise"]


def test_own_sdk_in_a_burst(server: Server) -> None:
    said = json.loads(run_own_sdk("25000", SPANWISE_ENDPOINT=server.otlp_http).stdout)
    assert (said["delivered"], said["exported"], said["dropped"]) == (True, 50_000, 0)
    assert server.api.has_trace(said["trace_id"])


def test_own_sdk_notices_that_a_receiver_speaks_grpc(server: Server) -> None:
    said = json.loads(run_own_sdk(SPANWISE_ENDPOINT=server.otlp_grpc, SPANWISE_OTLP_PROTOCOL="http").stdout)
    assert (said["delivered"], said["exported"], said["dropped"]) == (False, 0, 2)


def test_own_sdk_ends_in_time_when_nobody_listens() -> None:
    started = time.monotonic()
    said = json.loads(run_own_sdk("10", timeout=45, SPANWISE_ENDPOINT="http://127.0.0.1:9").stdout)
    # The program itself waits five seconds for its flush; the rest is the end of the process.
    assert time.monotonic() - started < 5 + 10
    assert (said["delivered"], said["exported"]) == (False, 0)
    assert said["dropped"] + said["waiting"] == 20


def test_own_sdk_for_people_and_for_machines() -> None:
    ran = run_own_sdk(SPANWISE_TRACE_EXPORTER="console,log")
    assert len(ran.stdout.splitlines()) == 1, "exporters leave standard output alone"
    lines = [line for line in ran.stderr.splitlines() if not line.startswith("{")]
    assert [line.split(" (")[0] for line in lines] == ["order", "  charge"]
    assert "error: card declined" in lines[1]
    records = [json.loads(line) for line in ran.stderr.splitlines() if line.startswith("{")]
    assert [record["name"] for record in records] == ["charge", "order"]
    assert records[0]["level"] == "error"
    assert records[0]["message"] == "card declined"
    assert records[0]["attributes"]["items"] == 3
    assert records[0]["parent_span_id"] == records[1]["span_id"]


def run_own_sdk(*arguments: str, timeout: float = 120, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the example of the Rust SDK with these environment variables."""
    program = own_sdk()
    environment = {**os.environ, **variables}
    ran = subprocess.run(
        [program, *arguments], env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    return ran


@pytest.mark.parametrize("forward", ["grpc", "http"])
@pytest.mark.parametrize("receive", ["grpc", "http"])
def test_collector_in_between(server: Server, tmp_path: Path, receive: str, forward: str) -> None:
    with collector.running(tmp_path, server, forward) as (grpc_address, http_address):
        if receive == "grpc":
            exporter: SpanExporter = GrpcExporter(grpc_address, insecure=True)
        else:
            exporter = HttpExporter(f"http://{http_address}/v1/traces")
        check_order(server, record_order(exporter))


def test_a_batch_is_visible_when_it_is_acknowledged(server: Server) -> None:
    exporter = http_exporter(server, compressed=False)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for number in range(50):
        with provider.get_tracer("e2e").start_as_current_span(f"step {number}") as span:
            context = span.get_span_context()
        assert server.api.has_trace(f"{context.trace_id:032x}"), f"trace {number} is not visible after its answer"
    provider.shutdown()


def run_client(command: list[str | Path], cwd: Path = E2E) -> dict[str, Any]:
    """Runs a client that prints its ids as one line of JSON."""
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    return json.loads(ran.stdout.splitlines()[-1])


def rust_exporter() -> Path:
    """The client in rust-exporter/: the one that was built together with the server, else built now."""
    return built(binary().with_name("rust-exporter"), "-p", "rust-exporter")


def own_sdk() -> Path:
    """The example of the SDK, likewise."""
    return built(binary().parent / "examples/export", "-p", "spanwise", "--example", "export")


def built(beside: Path, *what: str) -> Path:
    """A program of this workspace: the one that is there, else one that is built now."""
    if beside.exists():
        return beside
    command = ["cargo", "build", "--quiet", *what, "--message-format=json"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    executables = [json.loads(line).get("executable") for line in ran.stdout.splitlines()]
    return Path(next(path for path in executables if path))


def test_no_tracer_provider_is_installed_globally() -> None:
    """The tests above must not disturb each other through OpenTelemetry's globals."""
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)
