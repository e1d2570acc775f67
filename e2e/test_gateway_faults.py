"""What a gateway survives as a process: signals, bounds of the machine, and what its memory shows.

The numbers are those of the list of faults that a gateway survives.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.gateway import Gateway, running_gateway
from harness.openai_mock import MockModel
from harness.server import binary

MIB = 1 << 20
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


@contextlib.contextmanager
def upstream(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server of one connection after the other: reads a request, and answers as it is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.recv(65536)
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def config(url: str, **more: Any) -> dict[str, Any]:
    return {
        "model_providers": [{"model": "openai/gpt-4o-mini", "base_url": url}],
        "tracing": {"exporters": [{"kind": "none"}]},
        **more,
    }


def peak_bytes(gateway: Gateway) -> int:
    """The most memory that the process has had."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def test_fault_10_a_frame_without_end_takes_no_memory(tmp_path: Path) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(HEAD)
        for _ in range(1024):
            connection.sendall(b"x" * 65536)

    with upstream(answer) as url, running_gateway(tmp_path, config(url)) as gateway:
        before = peak_bytes(gateway)
        body = {**ASKED, "stream": True}
        with httpx.stream("POST", f"{gateway.url}/v1/chat/completions", json=body, timeout=60) as said:
            assert sum(len(piece) for piece in said.iter_raw()) == 64 * MIB
        grown = peak_bytes(gateway) - before
        print(f"64 MiB without a delimiter: {grown / MIB:.1f} MiB more than before")
        assert grown < 16 * MIB


def test_fault_23_a_client_that_does_not_read_takes_no_memory(tmp_path: Path) -> None:
    sent = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.settimeout(2)
        connection.sendall(HEAD)
        event = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * 65536 + b'"}}]}\n\n'
        try:
            for _ in range(4096):
                connection.sendall(event)
        finally:
            sent.set()

    with upstream(answer) as url, running_gateway(tmp_path, config(url)) as gateway:
        before = peak_bytes(gateway)
        body = {**ASKED, "stream": True}
        with httpx.stream("POST", f"{gateway.url}/v1/chat/completions", json=body, timeout=60):
            # The upstream gives up: for two seconds it could write nothing.
            assert sent.wait(60)
            grown = peak_bytes(gateway) - before
        print(f"a client that does not read: {grown / MIB:.1f} MiB more than before")
        assert grown < 16 * MIB


@pytest.fixture
def model() -> Iterator[MockModel]:
    with MockModel(lambda _: "It rains in Oslo, and in Bergen it rains even more.", seconds_per_token=0.2) as made:
        yield made


def stream_of(gateway: Gateway, begun: threading.Event, lines: list[str]) -> threading.Thread:
    def read() -> None:
        body = {**ASKED, "stream": True}
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.stream("POST", f"{gateway.url}/v1/chat/completions", json=body, timeout=60) as said,
        ):
            for line in said.iter_lines():
                lines.append(line)
                begun.set()

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def test_fault_40_the_first_signal_waits_for_streams_and_the_second_does_not(tmp_path: Path, model: MockModel) -> None:
    for is_patient in (True, False):
        with running_gateway(tmp_path, config(model.openai_url, timeouts={"drain": "30s"})) as gateway:
            begun, lines = threading.Event(), list[str]()
            thread = stream_of(gateway, begun, lines)
            assert begun.wait(20)
            gateway.process.send_signal(signal.SIGTERM)
            if not is_patient:
                time.sleep(0.2)  # Signals that come at once are one.
                gateway.process.send_signal(signal.SIGTERM)
            assert gateway.process.wait(20) == 0
            thread.join(20)
            assert ("data: [DONE]" in lines) is is_patient


def test_fault_40_a_killed_gateway_starts_again_where_it_was(tmp_path: Path, model: MockModel) -> None:
    with running_gateway(tmp_path, config(model.openai_url)) as gateway:
        begun = threading.Event()
        thread = stream_of(gateway, begun, [])
        assert begun.wait(20)
        port = int(gateway.url.rpartition(":")[2])
        gateway.process.kill()
        gateway.process.wait()
        thread.join(20)
    again = config(model.openai_url, listeners=[{"name": "models", "port": port}])
    with running_gateway(tmp_path, again) as gateway:
        assert gateway.url.endswith(f":{port}")
        said = httpx.post(f"{gateway.url}/v1/chat/completions", json=ASKED, timeout=60)
        assert said.status_code == 200


def test_fault_41_without_file_descriptors_it_waits_and_recovers(tmp_path: Path, model: MockModel) -> None:
    path = tmp_path / "gateway.yaml"
    listeners = [{"name": "models", "port": 0}]
    path.write_text(json.dumps({**config(model.openai_url, timeouts={"header": "60s"}), "listeners": listeners}))

    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    process = subprocess.Popen(
        [binary(), "gateway", "--config", path],
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "gateway.log").open("w"),
        text=True,
        preexec_fn=few_files,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2]
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        with contextlib.ExitStack() as idle:
            for _ in range(120):
                idle.enter_context(socket.create_connection(address, timeout=10))
            late = idle.enter_context(socket.create_connection(address, timeout=1))
            late.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            with pytest.raises(TimeoutError):
                late.recv(1)
            assert process.poll() is None
        assert httpx.post(f"{url}/v1/chat/completions", json=ASKED, timeout=60).status_code == 200
        log = (tmp_path / "gateway.log").read_text()
        assert "could not be accepted" in log
        assert len(log) < MIB
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
