"""The OpenTelemetry Collector of e2e/collector, built once and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from harness.server import ROOT, Server

SOURCE = ROOT / "e2e/collector"


def build() -> Path:
    """The path of the binary; its name is the hash of what it is made from."""
    sources = [SOURCE / name for name in ("main.go", "go.mod", "go.sum")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("SPANWISE_CACHE", Path.home() / ".cache/spanwise"))
    binary = cache / "collector" / digest
    if not binary.exists():
        go = subprocess.run([ROOT / "scripts/install-go"], check=True, text=True, stdout=subprocess.PIPE)
        environment = {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
        unfinished = binary.with_suffix(".tmp")
        command = [go.stdout.strip(), "build", "-trimpath", "-ldflags=-s -w", "-o", unfinished, "."]
        subprocess.run(command, cwd=SOURCE, env=environment, check=True)
        unfinished.rename(binary)
    return binary


@contextmanager
def running(folder: Path, server: Server, forward: str) -> Iterator[tuple[str, str]]:
    """A collector that forwards to the server over gRPC or HTTP; gives its own two addresses.

    Without a batch step or a sending queue, so that its answer waits for ours.
    """
    grpc_address, http_address = free_address(), free_address()
    config = folder / "collector.json"
    config.write_text(json.dumps(configuration(server, forward, grpc_address, http_address)))
    log_path = folder / "collector.log"
    with log_path.open("w") as log:
        process = subprocess.Popen([build(), "--config", f"file:{config}"], stdout=log, stderr=log)
    try:
        for address in (grpc_address, http_address):
            wait_for(address, process, log_path)
        yield grpc_address, http_address
    finally:
        process.terminate()
        process.wait(20)


def configuration(server: Server, forward: str, grpc_address: str, http_address: str) -> dict[str, Any]:
    """Receive on both, send on one."""
    plain: dict[str, Any] = {"sending_queue": {"enabled": False}}
    exporters = {
        "grpc": {"otlp": {**plain, "endpoint": server.otlp_grpc, "tls": {"insecure": True}}},
        "http": {"otlphttp": {**plain, "endpoint": server.otlp_http}},
    }
    protocols = {"grpc": {"endpoint": grpc_address}, "http": {"endpoint": http_address}}
    return {
        "receivers": {"otlp": {"protocols": protocols}},
        "exporters": exporters[forward],
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": list(exporters[forward])}},
        },
    }


def free_address() -> str:
    """A loopback address whose port was free a moment ago."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Returns when somebody listens there."""
    host, port = address.split(":")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with closing(socket.socket()) as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"the collector does not listen on {address}:\n{log.read_text()}")
