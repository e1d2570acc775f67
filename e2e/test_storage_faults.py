"""Disks that are full, read-only or damaged, and a second process: one clear line, nothing lost."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from harness import otlp
from harness.server import Server, StartFailed, binary

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
    below = [key, *config[key]] if isinstance(config[key], dict) else [key]
    assert ".".join(below) in refused.log


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


@pytest.fixture
def unprivileged(make_server: MakeServer) -> Iterator[MakeServer]:
    """Makes servers for which the permissions of folders count. For root they do not, so root's
    servers run as nobody, from a folder that nobody may enter."""
    if os.geteuid() != 0:
        yield make_server
        return
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv to give up root's rights with: not checked with a read-only folder")
    with tempfile.TemporaryDirectory(prefix="spanwise-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        program = shutil.copy2(binary(), place / "spanwise")

        def make(name: str = "data", *, config: dict[str, Any] | None = None) -> Server:
            server = make_server(data_dir=place / name, config=config)
            server.command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program]
            server.data_dir.mkdir()
            os.chown(server.data_dir, 65534, 65534)
            return server

        yield make


SMALL_SEALS = {"seal_spans": 500, "seal_bytes": "4MiB", "max_live_bytes": "8MiB"}


def small_store(min_free_bytes: str) -> dict[str, Any]:
    return {"store": {**SMALL_SEALS, "min_free_bytes": min_free_bytes}}


@pytest.mark.parametrize(
    ("min_free_bytes", "reason"),
    [("8MiB", "the disk is nearly full"), ("0", "the disk takes no more spans")],
    ids=["nearly", "to the last byte"],
)
def test_a_full_disk(make_server: MakeServer, small_disk: Path, min_free_bytes: str, reason: str) -> None:
    server = make_server(data_dir=small_disk / "data", config=small_store(min_free_bytes))
    server.start()
    ballast = small_disk / "ballast"
    refuses_serves_and_resumes(server, lambda: fill_disk(server, ballast), ballast.unlink, reason)


def test_a_server_starts_on_a_full_disk(make_server: MakeServer, small_disk: Path) -> None:
    server = make_server(data_dir=small_disk / "data", config=small_store("0"))
    server.start()
    acknowledged, _ = fill(server, bodies=5)
    fill_disk(server, small_disk / "ballast")
    more, refused = fill(server, bodies=100)
    assert refused is not None
    server.kill()
    server.start()
    assert missing(server, acknowledged + more) == []
    assert server.api.span_count() == len(acknowledged + more)


def fill_disk(server: Server, ballast: Path) -> None:
    """Writes until nothing is left, and waits for the server to notice: it asks now and then."""
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(64 << 10)):
            pass
    wait_until(lambda: metric(server, "disk_free_bytes") < 1 << 20, "that the server sees the full disk")


def metric(server: Server, name: str) -> int:
    """A number of the store."""
    lines = [line.split() for line in server.api.raw("/metrics").text.splitlines()]
    return next(int(line[-1]) for line in lines if line[0] == f"spanwise_{name}")


def test_a_limit_on_the_size_of_files(make_server: MakeServer) -> None:
    server = make_server(config=small_store("0"))
    server.start()

    def limit(soft: int) -> None:
        assert server.process is not None
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (soft, hard))

    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    refuses_serves_and_resumes(server, lambda: limit(3 << 20), lambda: limit(unlimited), "the disk takes no more spans")


def test_a_folder_that_becomes_read_only(unprivileged: MakeServer) -> None:
    server = unprivileged(config=small_store("0"))
    server.start()

    def allow(mode: int) -> None:
        for folder in (server.data_dir, server.data_dir / "wal", server.data_dir / "segments"):
            folder.chmod(mode)

    refuses_serves_and_resumes(server, lambda: allow(0o555), lambda: allow(0o755), "the disk takes no more spans")


def refuses_serves_and_resumes(
    server: Server, spoil: Callable[[], None], mend: Callable[[], None], reason: str
) -> None:
    """What a store must do whatever kind of trouble it has with writing."""
    acknowledged, _ = fill(server, bodies=2)
    spoil()
    more, refused = fill(server, bodies=400)
    acknowledged += more
    assert refused is not None, f"{len(more)} bodies of 1 MB were taken"
    assert refused.status_code == 503
    assert refused.headers.get("retry-after"), refused.headers
    assert reason in refused.text
    assert refused_over_grpc(server).startswith(reason)
    assert server.alive()

    assert missing(server, acknowledged) == []
    assert len(server.api.traces(limit=500)) == len(acknowledged)
    problems = server.api.get("/ingest/problems")["problems"]
    assert any(problem["reason"].startswith(reason) and "free space" in problem["fix"] for problem in problems)

    mend()
    wait_until(lambda: metric(server, "seal_failing") == 0, "that spans are sealed again")
    wait_until(lambda: bool(fill(server, bodies=1)[0]), "that spans are taken again")
    more, refused = fill(server, bodies=20)
    assert refused is None, f"after {len(more)} bodies: {refused.text}"
    acknowledged += more
    server.kill()
    server.start()
    assert missing(server, acknowledged) == []
    assert "panicked" not in server.log_tail(1000)


def refused_over_grpc(server: Server) -> str:
    """What a client over gRPC is told when it must try again later."""
    noise = [{"key": "noise", "value": {"bytes_value": os.urandom(1_000_000)}}]
    message = otlp.request([otlp.span(otlp.new_trace_id(), attributes=noise)])
    with grpc.insecure_channel(server.otlp_grpc) as channel, pytest.raises(grpc.RpcError) as refused:
        TraceServiceStub(channel).Export(message, timeout=30)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
    return str(refused.value.details())  # type: ignore[attr-defined]


def fill(server: Server, bodies: int) -> tuple[list[str], Any]:
    """Sends bodies of 1 MB that do not compress, at the pace of the server, until one is refused
    for another reason than haste."""
    acknowledged: list[str] = []
    for _ in range(bodies):
        trace_id = otlp.new_trace_id()
        noise = [{"key": "noise", "value": {"bytes_value": os.urandom(1_000_000)}}]
        body = otlp.request([otlp.span(trace_id, attributes=noise)]).SerializeToString()
        response = otlp.post(server.otlp_http, body)
        for _ in range(300):
            if response.status_code != 429:
                break
            time.sleep(0.1)
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
    assert response.status_code == 503
    assert response.headers.get("retry-after")
    assert "store.min_free_bytes" in response.text
    assert missing(server, ids) == []


def test_a_folder_that_cannot_be_written(unprivileged: MakeServer) -> None:
    server = unprivileged()
    server.data_dir.mkdir(exist_ok=True)
    server.data_dir.chmod(0o555)
    refused = refusal(server)
    assert refused.code == 74
    assert f"the data folder {server.data_dir} cannot be written" in refused.log


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
        # Large enough for a text index to be worth it.
        first = send_traces(server, 25, size=60_000)
        wait_until(lambda: len(segments(server)) == 1, "the first seal")
        second = send_traces(server, 25, size=60_000)
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
