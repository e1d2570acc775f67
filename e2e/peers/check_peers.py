"""What the SDK sends is understood by those whose formats it speaks. Run by `make test-exporters`."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from harness import otlp
from harness.collector import free_address, wait_for
from harness.server import binary

PEERS = Path(os.environ["SPANWISE_PEERS"])
PATIENCE = 30.0


def test_zipkin_server(tmp_path: Path) -> None:
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


def test_zipkin_receiver_of_the_collector(tmp_path: Path) -> None:
    address = free_address()
    receiver = {"zipkin": {"endpoint": address}}
    with collector(tmp_path, receiver, address) as spans_of:
        check(spans_of(send(SPANWISE_ENDPOINT=f"http://{address}/api/v2/spans")), text_only=True)


def test_jaeger_receiver_of_the_collector_over_http(tmp_path: Path) -> None:
    address = free_address()
    receiver = {"jaeger": {"protocols": {"thrift_http": {"endpoint": address}}}}
    with collector(tmp_path, receiver, address) as spans_of:
        check(spans_of(send(SPANWISE_TRACE_EXPORTER="jaeger", SPANWISE_ENDPOINT=f"http://{address}")))


def test_jaeger_receiver_of_the_collector_over_udp(tmp_path: Path) -> None:
    http_address, agent = free_address(), free_address()
    protocols = {"thrift_http": {"endpoint": http_address}, "thrift_compact": {"endpoint": agent}}
    with collector(tmp_path, {"jaeger": {"protocols": protocols}}, http_address) as spans_of:
        port = agent.split(":")[1]
        check(spans_of(send(SPANWISE_TRACE_EXPORTER="jaeger", SPANWISE_JAEGER_AGENT_PORT=port)))


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


def send(**variables: str) -> dict[str, Any]:
    """Runs the SDK's example; everything it recorded was taken."""
    program = binary().parent / "examples/export"
    environment = {**os.environ, **variables}
    ran = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=60, check=True)
    said = json.loads(ran.stdout)
    assert (said["delivered"], said["exported"]) == (True, 2), ran.stderr
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


def eventually(look: Callable[[], Any]) -> Any:
    """What is there after a while."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not arrive")
