"""Disks that are full, read-only or damaged, and a second process: one clear line, nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import otlp
from harness.server import Server, StartFailed

MakeServer = Callable[..., Server]
TINY_SEALS = {"store": {"seal_spans": 50, "seal_after": "1s"}}


def send_traces(server: Server, count: int, size: int = 200) -> list[str]:
    """Sends `count` traces of two spans each; returns their ids."""
    ids: list[str] = []
    for _ in range(count):
        trace_id = otlp.new_trace_id()
        value = os.urandom(size // 2).hex()
        text = [{"key": "text", "value": {"string_value": value}}]
        otlp.send(server.otlp_http, [otlp.span(trace_id, attributes=text), otlp.span(trace_id, "second")])
        ids.append(trace_id.hex())
    return ids


def missing(server: Server, ids: list[str]) -> list[str]:
    return [trace_id for trace_id in ids if not server.api.has_trace(trace_id)]


def wait_until(condition: Callable[[], bool], what: str, within: float = 30) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.05)


def segments(server: Server) -> list[Path]:
    """The folders of the segments that are complete."""
    return sorted(path.parent for path in (server.data_dir / "segments").glob("*/spans.parquet"))


def refusal(server: Server) -> StartFailed:
    with pytest.raises(StartFailed) as refused:
        server.start()
    lines = [line for line in refused.value.log.splitlines() if line.startswith("spanwise:")]
    assert len(lines) == 1, f"not one clear line: {refused.value.log}"
    assert "panicked" not in refused.value.log
    return refused.value


def test_a_restart_loses_nothing(make_server: MakeServer) -> None:
    server = make_server(config=TINY_SEALS)
    server.start()
    ids = send_traces(server, 60)
    assert server.stop() == 0
    server.start()
    assert missing(server, ids) == []
    ids += send_traces(server, 5)
    server.kill()
    server.start()
    assert missing(server, ids) == []
    assert server.api.span_count() == 2 * len(ids)


def test_a_second_process_on_the_folder_is_refused(make_server: MakeServer) -> None:
    first = make_server()
    first.start()
    second = make_server("second", data_dir=first.data_dir)
    refused = refusal(second)
    assert refused.code == 74
    send_traces(first, 1)


def test_a_taken_port_is_one_clear_line(make_server: MakeServer) -> None:
    first = make_server()
    first.start()
    second = make_server("second")
    second.addresses = dict(first.addresses)
    refused = refusal(second)
    assert refused.code == 74
    assert first.addresses["ui"].rsplit(":")[-1] in refused.log


CONFIGS: dict[str, dict[str, Any]] = {
    "unknown key": {"lisen": "127.0.0.1:0"},
    "unknown key below": {"store": {"seal_span": 1}},
    "wrong type": {"limits": {"max_connections": "many"}},
    "bad size": {"store": {"seal_bytes": "12 parsecs"}},
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_bad_config_is_named(make_server: MakeServer, config: dict[str, Any]) -> None:
    refused = refusal(make_server(config=config))
    assert refused.code == 64
    [key] = config
    assert key in refused.log or next(iter(config[key])) in refused.log or "at line 1, column" in refused.log


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 MiB, where we may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("cannot mount a small file system: not checked with a disk that is really full")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_refuses_and_loses_nothing(make_server: MakeServer, small_disk: Path) -> None:
    config = {"store": {"min_free_bytes": "8MiB", "seal_spans": 500, "seal_bytes": "4MiB"}}
    server = make_server(data_dir=small_disk / "data", config=config)
    server.start()
    acknowledged, refused = fill(server, bodies=400)
    assert refused is not None, f"{len(acknowledged)} bodies of 1 MB fit on a disk of 96 MB"
    assert refused.status_code in (429, 503)
    assert "disk" in refused.text or b"disk" in refused.content
    assert server.alive()
    assert missing(server, acknowledged) == []

    server.kill()
    server.start()
    assert missing(server, acknowledged) == []


def fill(server: Server, bodies: int) -> tuple[list[str], Any]:
    """Sends bodies of 1 MB that do not compress until one is refused for good."""
    acknowledged: list[str] = []
    for _ in range(bodies):
        trace_id = otlp.new_trace_id()
        noise = [{"key": "noise", "value": {"bytes_value": os.urandom(1_000_000)}}]
        body = otlp.request([otlp.span(trace_id, attributes=noise)]).SerializeToString()
        response = otlp.post(server.otlp_http, body)
        for _ in range(5):
            if response.status_code == 200:
                break
            assert response.headers.get("retry-after"), response.headers
            time.sleep(0.3)
            response = otlp.post(server.otlp_http, body)
        if response.status_code != 200:
            return acknowledged, response
        acknowledged.append(trace_id.hex())
    return acknowledged, None


def test_too_little_free_space_refuses_but_still_answers(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    ids = send_traces(server, 3)
    server.stop()
    server.config = {"store": {"min_free_bytes": "1000TiB"}}
    server.start()
    body = otlp.request([otlp.span(otlp.new_trace_id())]).SerializeToString()
    response = otlp.post(server.otlp_http, body)
    assert response.status_code in (429, 503)
    assert response.headers.get("retry-after")
    assert missing(server, ids) == []


def test_a_folder_that_cannot_be_written(make_server: MakeServer, tmp_path: Path) -> None:
    folder = tmp_path / "readonly"
    folder.mkdir()
    # Root may write anywhere but on a file system that is mounted read-only.
    if os.geteuid() == 0:
        mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            pytest.skip("cannot mount a read-only file system")
    else:
        folder.chmod(0o500)
    try:
        refused = refusal(make_server(data_dir=folder))
        assert refused.code == 74
        assert str(folder) in refused.log
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "-l", folder], check=True)


def test_a_file_where_the_folder_should_be(make_server: MakeServer, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    assert refusal(make_server()).code == 74


def log_files(server: Server) -> list[Path]:
    return sorted(path for path in (server.data_dir / "wal").rglob("*") if path.is_file())


def last_written(path: Path) -> int:
    """Where the last byte of the log stands that is not zero: log files are written ahead."""
    content = path.read_bytes().rstrip(b"\0")
    return len(content)


def test_a_torn_tail_of_the_log_costs_only_the_tail(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    ids = send_traces(server, 20, size=2000)
    server.kill()
    log = max(log_files(server), key=last_written)
    end = last_written(log)
    with log.open("r+b") as file:
        file.seek(end - 300)
        file.write(bytes(300))
    server.start()
    assert missing(server, ids[:-1]) == []
    more = send_traces(server, 3)
    server.kill()
    server.start()
    assert missing(server, ids[:-1] + more) == []


def test_garbage_after_the_log_is_no_data(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    ids = send_traces(server, 5)
    server.kill()
    log = max(log_files(server), key=last_written)
    with log.open("r+b") as file:
        file.seek(last_written(log))
        file.write(os.urandom(5000))
    server.start()
    assert missing(server, ids) == []
    assert server.api.span_count() == 2 * len(ids)


DAMAGED_FILES = ["spans.parquet", "rows.bin", "texts.bin", "traces.idx", "summaries.bin", "text/postings.bin"]


@pytest.fixture(scope="module")
def two_segments(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], list[str]]:
    """A store that was killed with two segments, and the traces of each. For copying."""
    server = Server(tmp_path_factory.mktemp("two") / "data", TINY_SEALS)
    server.start()
    try:
        first = send_traces(server, 25)
        wait_until(lambda: len(segments(server)) == 1, "the first seal")
        second = send_traces(server, 25)
        wait_until(lambda: len(segments(server)) == 2, "the second seal")
        indexes = [segment / "text/postings.bin" for segment in segments(server)]
        wait_until(lambda: all(index.exists() for index in indexes), "the text index", within=60)
    finally:
        server.kill()
    return server.data_dir, first, second


@pytest.mark.parametrize("damage", ["noise", "truncated", "gone"])
@pytest.mark.parametrize("file", DAMAGED_FILES)
def test_a_damaged_segment_is_named_and_the_rest_served(
    make_server: MakeServer, two_segments: tuple[Path, list[str], list[str]], file: str, damage: str
) -> None:
    whole, first, second = two_segments
    server = make_server(config=TINY_SEALS)
    shutil.copytree(whole, server.data_dir)
    victim = segments(server)[0]
    spoil(victim / file, damage)
    server.start()

    answered = [server.api.has_trace(trace_id) for trace_id in first]
    assert missing(server, second) == [], "a damaged segment took another one's traces with it"
    assert {trace["trace_id"] for trace in server.api.traces("second", limit=100)} >= set(second)
    assert server.api.span_count() >= 2 * len(second)
    if not all(answered) or server.api.span_count() < 2 * len(first + second):
        said = server.log_tail(500) + server.api.raw("/metrics").text
        assert victim.name in said, "spans are missing, and nobody was told which segment is damaged"
    more = send_traces(server, 3)
    assert missing(server, more) == []
    assert "panicked" not in server.log_tail(500)


def spoil(path: Path, damage: str) -> None:
    size = path.stat().st_size
    match damage:
        case "zeros":
            path.write_bytes(bytes(size))
        case "noise":
            with path.open("r+b") as file:
                file.seek(size // 3)
                file.write(os.urandom(size // 3))
        case "truncated":
            os.truncate(path, size // 2)
        case _:
            path.unlink()


def test_data_copied_elsewhere_opens_there(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(config=TINY_SEALS)
    server.start()
    ids = send_traces(server, 40)
    server.stop()
    shutil.copytree(server.data_dir, tmp_path / "moved")
    moved = make_server("moved")
    moved.start()
    assert missing(moved, ids) == []
