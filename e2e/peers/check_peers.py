"""What the SDK sends is understood by those whose formats it speaks. Run by `make test-exporters`."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import vendors
from harness import otlp
from harness.collector import free_address, wait_for
from harness.server import binary

PEERS = Path(os.environ["SPANWISE_PEERS"])
# An environment with the receivers that are Python programs.
PYTHON = Path(os.environ["SPANWISE_PEERS_PYTHON"])
PATIENCE = 30.0
# Where the programs of others would call home, they meet a wall.
OFFLINE = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}

Tell = Callable[[str, dict[str, Any], str], None]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Prints a line about a peer, tests that pass included."""

    def line(peer: str, said: dict[str, Any], arrived: str) -> None:
        with capsys.disabled():
            print(f"\n{peer}: sent {said['exported']} spans; arrived: {arrived}")

    return line


def test_zipkin_server(tmp_path: Path, tell: Tell) -> None:
    address = free_address()
    command: list[str | Path] = ["java", "-Xmx256m", "-jar", PEERS / "zipkin-server-3.4.4-slim.jar"]
    with running(command, tmp_path, address, QUERY_PORT=address.split(":")[1], STORAGE_TYPE="mem"):
        said = send(SPANWISE_ENDPOINT=f"http://{address}/api/v2/spans", SPANWISE_ZIPKIN_SERVICE_NAME="till")

        def trace() -> Any:
            answer = httpx.get(f"http://{address}/api/v2/trace/{said['trace_id']}")
            return answer.json() if answer.status_code == 200 and len(answer.json()) == 2 else None

        spans = {span["name"]: span for span in eventually(trace)}
    order, charge = spans["order"], spans["charge"]
    assert charge["parentId"] == order["id"]
    assert (order["kind"], charge["kind"]) == ("SERVER", "CLIENT")
    # Zipkin lower-cases names of services and of spans.
    assert charge["localEndpoint"]["serviceName"] == "till"
    tags = charge["tags"]
    assert tags["error"] == "card declined"
    assert (tags["amount"], tags["items"], tags["text"]) == ("12.5", "3", "Grüße, 世界 🌍")
    assert charge["annotations"][0]["value"].startswith('"exception": {')
    tell("Zipkin server 3.4.4", said, "2, with kinds, error, tags as text and the exception")


def test_zipkin_receiver_of_the_collector(tmp_path: Path, tell: Tell) -> None:
    address = free_address()
    receiver = {"zipkin": {"endpoint": address}}
    with collector(tmp_path, receiver, address) as spans_of:
        said = send(SPANWISE_ENDPOINT=f"http://{address}/api/v2/spans")
        check(spans_of(said), text_only=True)
        tell("Collector's Zipkin receiver", said, "2, whole but for types of tags")


def test_jaeger_receiver_of_the_collector_over_http(tmp_path: Path, tell: Tell) -> None:
    address = free_address()
    receiver = {"jaeger": {"protocols": {"thrift_http": {"endpoint": address}}}}
    with collector(tmp_path, receiver, address) as spans_of:
        said = send(SPANWISE_TRACE_EXPORTER="jaeger", SPANWISE_ENDPOINT=f"http://{address}")
        check(spans_of(said))
        tell("Collector's Jaeger receiver, Thrift over HTTP", said, "2, whole")


def test_jaeger_receiver_of_the_collector_over_udp(tmp_path: Path, tell: Tell) -> None:
    http_address, agent = free_address(), free_address()
    protocols = {"thrift_http": {"endpoint": http_address}, "thrift_compact": {"endpoint": agent}}
    with collector(tmp_path, {"jaeger": {"protocols": protocols}}, http_address) as spans_of:
        port = agent.split(":")[1]
        said = send(SPANWISE_TRACE_EXPORTER="jaeger", SPANWISE_JAEGER_AGENT_PORT=port)
        check(spans_of(said))
        tell("Collector's Jaeger agent, compact Thrift over UDP", said, "2, whole")


@pytest.mark.parametrize(
    ("way", "variables"),
    [
        ("Thrift over HTTP", {"SPANWISE_TRACE_EXPORTER": "jaeger", "SPANWISE_ENDPOINT": "http://{thrift}"}),
        ("OTLP over HTTP", {"SPANWISE_ENDPOINT": "http://{http}"}),
        ("OTLP over gRPC", {"SPANWISE_ENDPOINT": "http://{grpc}", "SPANWISE_OTLP_PROTOCOL": "grpc"}),
        ("Zipkin v2", {"SPANWISE_ENDPOINT": "http://{zipkin}/api/v2/spans"}),
    ],
)
def test_jaeger(tmp_path: Path, tell: Tell, way: str, variables: dict[str, str]) -> None:
    options = {
        "query": "query.http-server",
        "query_grpc": "query.grpc-server",
        "thrift": "collector.http-server",
        "model": "collector.grpc-server",
        "http": "collector.otlp.http",
        "grpc": "collector.otlp.grpc",
        "zipkin": "collector.zipkin",
        "admin": "admin.http",
    }
    at = {name: free_address() for name in options}
    listen = [f"--{option}.host-port={at[name]}" for name, option in options.items()]
    with running([PEERS / "jaeger", *listen], tmp_path, at["query"]):
        wait_until_accepting(*(at[name] for name in ("thrift", "http", "grpc", "zipkin")))
        said = send(**{name: text.format(**at) for name, text in variables.items()})

        def trace() -> Any:
            answer = httpx.get(f"http://{at['query']}/api/traces/{said['trace_id']}")
            found = answer.json()["data"] if answer.status_code == 200 else []
            return found[0] if found and len(found[0]["spans"]) == 2 else None

        found = eventually(trace)
    check_jaeger(found, text_only=way == "Zipkin v2")
    types = "types of tags" if way != "Zipkin v2" else "tags as text"
    tell(f"Jaeger 1.76, {way}", said, f"2 by its query API, with parent, kinds, {types}, error and exception")


def check_jaeger(trace: dict[str, Any], text_only: bool) -> None:
    """The order, as Jaeger's query API shows it."""
    spans = {span["operationName"]: span for span in trace["spans"]}
    order, charge = spans["order"], spans["charge"]
    parents = [(reference["refType"], reference["spanID"]) for reference in charge["references"]]
    assert parents == [("CHILD_OF", order["spanID"])]
    assert trace["processes"][charge["processID"]]["serviceName"] == "rust-shop"
    tags = {tag["key"]: (tag["type"], tag["value"]) for tag in charge["tags"]}
    assert tags["span.kind"] == ("string", "client")
    assert tags["text"] == ("string", "Grüße, 世界 🌍")
    numbers = [tags["amount"], tags["items"]]
    if text_only:
        assert numbers == [("string", "12.5"), ("string", "3")]
    else:
        assert numbers == [("float64", 12.5), ("int64", 3)]
        assert tags["otel.status_description"] == ("string", "card declined")
    assert tags["error"] == ("bool", True)
    assert len(charge["logs"]) == 1


def test_datadog_agent(tmp_path: Path, tell: Tell) -> None:
    checks = ["trace_count_header", "meta_tracer_version_header", "trace_content_length", "meta_events_is_valid_json"]
    # What fails one of its checks is refused, and so not delivered.
    with datadog_test_agent(tmp_path, checks) as (agent, _):
        said = send(SPANWISE_TRACE_EXPORTER="datadog", DD_TRACE_AGENT_URL=f"http://{agent}", DD_ENV="test")
        (trace,) = httpx.get(f"http://{agent}/test/session/traces").json()
    spans = {span["resource"]: span for span in trace}
    order, charge = spans["order"], spans["charge"]
    high, low = said["trace_id"][:16], int(said["trace_id"][16:], 16)
    assert {order["trace_id"], charge["trace_id"]} == {low}
    assert high in [span["meta"].get("_dd.p.tid") for span in trace]
    assert charge["parent_id"] == order["span_id"]
    assert (order["type"], charge["type"]) == ("web", "http")
    assert (order["error"], charge["error"]) == (0, 1)
    assert charge["meta"]["error.message"] == "card declined"
    assert (charge["service"], charge["meta"]["env"]) == ("rust-shop", "test")
    assert charge["meta"]["text"] == "Grüße, 世界 🌍"
    assert (charge["metrics"]["amount"], charge["metrics"]["items"]) == (12.5, 3)
    tell("Datadog's test agent, MessagePack v0.4", said, f"2, whole; none of its {len(checks)} checks failed")


def test_datadog_over_otlp(tmp_path: Path, tell: Tell) -> None:
    with datadog_test_agent(tmp_path, []) as (_, intake):
        key = {"DD_API_KEY": "none", "SPANWISE_DATADOG_OTLP_ENDPOINT": f"http://{intake}"}
        said = send(SPANWISE_TRACE_EXPORTER="datadog", **key)
        requests = httpx.get(f"http://{intake}/test/session/traces").json()
    groups = [group for request in requests for group in request.get("resource_spans", [])]
    spans = [span for group in groups for scope in group["scope_spans"] for span in scope["spans"]]
    assert sorted(span["name"] for span in spans) == ["charge", "order"]
    tell("Datadog's test agent, OTLP without an agent", said, "2, by name")


@contextmanager
def datadog_test_agent(folder: Path, checks: list[str]) -> Iterator[tuple[str, str]]:
    """Datadog's own receiver for tests of tracers; gives its addresses for MessagePack and OTLP."""
    agent, http_address, grpc_address = (free_address() for _ in range(3))
    ports = {"port": agent, "otlp-http-port": http_address, "otlp-grpc-port": grpc_address}
    options = [f"--{name}={address.split(':')[1]}" for name, address in ports.items()]
    options += ["--disable-llmobs-data-forwarding", f"--snapshot-dir={folder}"]
    # Its option for the checks takes no list.
    variables = {**OFFLINE, "ENABLED_CHECKS": ",".join(checks)}
    with running([PYTHON.parent / "ddapm-test-agent", *options], folder, agent, **variables):
        wait_until_accepting(http_address)
        yield agent, http_address


def test_xray(tell: Tell) -> None:
    """AWS's daemon cannot be had here; its part of the work is done by xray_daemon.py."""
    command = [PYTHON, Path(__file__).parent / "xray_daemon.py"]
    daemon = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **OFFLINE})
    try:
        assert daemon.stdout
        port = daemon.stdout.readline().strip()
        said = send(SPANWISE_TRACE_EXPORTER="xray", AWS_XRAY_DAEMON_ADDRESS=f"127.0.0.1:{port}")
        documents = json.loads(daemon.communicate(timeout=60)[0])
    finally:
        daemon.kill()
    check_segments(documents, said["trace_id"])
    tell("X-Ray (moto) behind a daemon of our own", said, "2 documents put by boto3 and given back, whole")


def check_segments(documents: list[dict[str, Any]], trace_id: str) -> None:
    """The order in X-Ray's words, within what AWS documents about segments."""
    (order,) = [document for document in documents if "parent_id" not in document]
    (charge,) = [document for document in documents if "parent_id" in document]
    for document in documents:
        assert document["trace_id"] == f"1-{trace_id[:8]}-{trace_id[8:]}"
        assert re.fullmatch(r"[0-9a-f]{16}", document["id"])
        assert re.fullmatch(r"[\w .:/%&#=+\-@]{1,200}", document["name"])
        assert document["start_time"] <= document["end_time"]
    assert (order["name"], order.get("type")) == ("rust-shop", None)
    assert (charge["type"], charge["parent_id"], charge["namespace"]) == ("subsegment", order["id"], "remote")
    assert charge["fault"] is True
    assert [exception["message"] for exception in charge["cause"]["exceptions"]] == ["card declined"]
    told = charge["metadata"]["default"]
    assert (told["amount"], told["items"], told["text"]) == (12.5, 3, "Grüße, 世界 🌍")


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_new_relic(tell: Tell, compression: str) -> None:
    """As docs/exporters.md has it. Without compression the first request is over the limit."""
    vendor = vendors.new_relic()
    with vendors.listening(vendor) as address:
        said = send(
            "400",
            "6000",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{address}",
            OTEL_EXPORTER_OTLP_HEADERS=f"api-key={vendors.KEY}",
            OTEL_EXPORTER_OTLP_COMPRESSION=compression,
            OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="4095",
        )
    assert (413 in vendor.statuses) == (compression == "none")
    assert set(vendor.statuses) <= {200, 413}
    check_vendor(vendor, said)
    counts = f"{vendor.statuses.count(413)} requests too large, {vendor.statuses.count(200)} taken"
    tell(f"New Relic's rules, compression {compression}", said, f"{len(vendor.spans)} ({counts}), no limit exceeded")


def test_langtrace(tell: Tell) -> None:
    """As docs/exporters.md has it."""
    vendor = vendors.langtrace()
    with vendors.listening(vendor) as address:
        said = send(
            SPANWISE_ENDPOINT=f"http://{address}/api/trace",
            SPANWISE_OTLP_PROTOCOL="http/json",
            SPANWISE_OTLP_HEADERS=f"x-api-key={vendors.KEY}",
        )
    assert vendor.statuses == [200]
    check_vendor(vendor, said)
    check({span["name"]: span for span in vendor.spans})
    tell("Langtrace's rules", said, f"{len(vendor.spans)} in JSON, whole")


def check_vendor(vendor: vendors.Vendor, said: dict[str, Any]) -> None:
    """Every span once, within the limits."""
    assert len(vendor.spans) == len({span["span_id"] for span in vendor.spans}) == said["exported"]
    assert vendor.violations() == []


def check(spans: dict[str, Any], text_only: bool = False) -> None:
    """The order of the SDK's example is there, whole."""
    order, charge = spans["order"], spans["charge"]
    assert charge["parent_span_id"] == order["span_id"]
    assert (order["kind"], charge["kind"]) == (2, 3)
    # The Collector does not look for the message in Zipkin's tag `error`, where it has to be.
    assert charge["status"] == [2, "" if text_only else "card declined"]
    attributes = charge["attributes"]
    assert attributes["text"] == ["stringValue", "Grüße, 世界 🌍"]
    if text_only:
        assert [attributes[key][1] for key in ("amount", "items")] == ["12.5", "3"]
    else:
        assert [attributes[key] for key in ("amount", "items")] == [["double", "12.5"], ["int", 3]]
    assert charge["resource"]["service.name"] == ["stringValue", "rust-shop"]
    assert [event[1].split('"')[0] or "exception" for event in charge["events"]] == ["exception"]


def send(n_orders: str = "1", note_chars: str = "0", **variables: str) -> dict[str, Any]:
    """Runs the SDK's example; everything it recorded was taken."""
    command = [binary().parent / "examples/export", n_orders, note_chars]
    environment = {**os.environ, **variables}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    said = json.loads(ran.stdout)
    assert (said["delivered"], said["exported"]) == (True, 2 * int(n_orders)), ran.stderr
    return said


@contextmanager
def collector(
    folder: Path, receivers: dict[str, Any], address: str
) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """A collector that listens like this; gives what tells which spans of a trace arrived."""
    arrived = folder / "arrived.json"
    config = folder / "config.json"
    pipelines = {"traces": {"receivers": list(receivers), "exporters": ["file"]}}
    settings = {
        "receivers": receivers,
        "exporters": {"file": {"path": str(arrived), "flush_interval": "100ms"}},
        "service": {"telemetry": {"metrics": {"level": "none"}}, "pipelines": pipelines},
    }
    config.write_text(json.dumps(settings))

    def spans_of(said: dict[str, Any]) -> dict[str, Any]:
        def both() -> Any:
            lines = arrived.read_text().splitlines() if arrived.exists() else []
            spans = [span for line in lines for span in otlp.normal_spans(json.loads(line))]
            found = {span["name"]: span for span in spans if span["trace_id"] == said["trace_id"]}
            return found if len(found) == 2 else None

        return eventually(both)

    with running([PEERS / "collector", "--config", f"file:{config}"], folder, address):
        yield spans_of


@contextmanager
def running(command: list[str | Path], folder: Path, address: str, **variables: str) -> Iterator[None]:
    """A process that listens at this address."""
    log_path = folder / "log"
    with log_path.open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **variables})
    try:
        wait_for(address, process, log_path)
        yield
    finally:
        process.terminate()
        process.wait(20)


def wait_until_accepting(*addresses: str) -> None:
    """Returns when somebody listens at each."""

    def accepts(address: str) -> bool:
        host, port = address.split(":")
        with closing(socket.socket()) as probe:
            return probe.connect_ex((host, int(port))) == 0

    for address in addresses:
        eventually(lambda address=address: accepts(address))


def eventually(look: Callable[[], Any]) -> Any:
    """What is there after a while."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not arrive")
