"""Kills the server at random under load from real exporters and audits what it acknowledged.

usage: crash.py [--rounds 200] [--seed N] [--keep FOLDER]

Worker processes export batches over gRPC and HTTP and repeat each one until the server says that
it is taken, as an agent with a sending queue does. Every span has a number of its own; a trace is
a batch. Meanwhile the server is killed (SIGKILL), often in the midst of sealing or merging, and
started again. After every restart what was acknowledged last must be there once; at the end all of
it, and the store's own count must agree.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags

from harness.server import Server

WORKERS = ["grpc", "http", "grpc", "http"]
BATCH = 25
# A worker pauses between batches, so that merging keeps up and the audit does too.
PAUSE = 0.03
# So small that some seal or merge is nearly always under way.
CONFIG = {"store": {"seal_spans": 1000, "seal_after": "1s"}, "log": "warn"}
# At most so many batches of a worker are audited between two kills; the end audits all.
AUDITED_PER_ROUND = 60
OPEN_WITHIN = 1.0


# The load


def trace_id(worker: int, sequence: int) -> int:
    """The trace of a worker's batch."""
    return (worker + 1) << 96 | sequence + 1


def span_ids(worker: int, sequence: int) -> list[int]:
    """The numbers of the spans in a batch, which no other batch has."""
    first = (worker + 1) << 48 | sequence * BATCH
    return [first + offset + 1 for offset in range(BATCH)]


def batch(worker: int, sequence: int) -> list[ReadableSpan]:
    """One trace: a root, and model calls below it."""
    numbers = span_ids(worker, sequence)
    resource = Resource({"service.name": f"worker-{worker}"})
    contexts = [SpanContext(trace_id(worker, sequence), n, is_remote=False, trace_flags=TraceFlags(1)) for n in numbers]
    now = time.time_ns()
    return [
        ReadableSpan(
            name="chat gpt-4o",
            context=context,
            parent=contexts[0] if offset else None,
            resource=resource,
            attributes={
                "crash.number": context.span_id,
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.usage.input_tokens": 100 + offset,
                "gen_ai.input.messages": json.dumps(
                    [{"role": "user", "parts": [{"type": "text", "content": f"question {context.span_id} " * 20}]}]
                ),
            },
            start_time=now,
            end_time=now + 1_000_000,
        )
        for offset, context in enumerate(contexts)
    ]


def exporter(protocol: str, grpc_address: str, http_base: str) -> SpanExporter:
    """A real exporter that gives up soon, for the worker repeats the batch itself."""
    if protocol == "http":
        return HttpExporter(f"{http_base}/v1/traces", timeout=2)
    quick: Any = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 100))
    return GrpcExporter(grpc_address, insecure=True, timeout=2, channel_options=quick)


def work(worker: int, protocol: str, grpc_address: str, http_base: str, journal: str, stop: Event) -> None:
    """Exports batch after batch; notes in the journal what is about to be sent and what was taken."""
    import logging

    logging.disable(logging.CRITICAL)
    sender = exporter(protocol, grpc_address, http_base)
    with Path(journal).open("w", buffering=1) as notes:
        sequence = 0
        while not stop.is_set():
            spans = batch(worker, sequence)
            notes.write(f"sent {sequence}\n")
            while sender.export(spans) is not SpanExportResult.SUCCESS:
                time.sleep(0.02)
            notes.write(f"taken {sequence}\n")
            sequence += 1
            time.sleep(PAUSE)


# The audit


@dataclass
class Audit:
    """What was found wrong, and how much was looked at."""

    base: str
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list[str])
    duplicated: list[str] = field(default_factory=list[str])
    torn: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.client = httpx.Client(timeout=60)

    def trace(self, worker: int, sequence: int) -> dict[str, Any] | None:
        url = f"{self.base}/api/v1/traces/{trace_id(worker, sequence):032x}?view=outline"
        response = self.client.get(url)
        assert response.status_code in (200, 404), f"{url}: {response.status_code} {response.text[:300]}"
        return response.json() if response.status_code == 200 else None

    def check(self, worker: int, sequence: int, acknowledged: bool) -> int:
        """Checks one batch; returns how many of its spans are there."""
        wanted = [f"{number:016x}" for number in span_ids(worker, sequence)]
        trace = self.trace(worker, sequence)
        got = [span["span_id"] for span in trace["spans"]] if trace else []
        name = f"worker {worker} batch {sequence}"
        if len(set(got)) < len(got) or (trace and trace["span_count"] != len(got)):
            self.duplicated.append(f"{name}: {len(got)} spans, {len(set(got))} distinct")
        if missing := set(wanted) - set(got):
            if acknowledged:
                self.lost.append(f"{name}: {len(missing)} of {len(wanted)} spans")
            elif got:
                self.torn.append(f"{name}: {len(got)} of {len(wanted)} spans")
        if acknowledged:
            self.acknowledged += len(wanted)
        return len(set(got))

    def faults(self) -> list[str]:
        """Every fault as a line."""
        named = {"lost": self.lost, "duplicated": self.duplicated, "torn": self.torn}
        return [f"{kind}: {what}" for kind, found in named.items() for what in found]


@dataclass
class Journal:
    """The notes of one worker, read as far as they go."""

    path: Path
    sent: int = 0
    taken: int = 0

    def catch_up(self) -> range:
        """Reads on; returns the batches that were taken since the last time."""
        before = self.taken
        for line in self.path.read_text().splitlines()[self.sent + self.taken :]:
            what, number = line.split()
            if what == "sent":
                self.sent = int(number) + 1
            else:
                self.taken = int(number) + 1
        return range(before, self.taken)


# The rounds


@dataclass
class Outcome:
    """What a run came to."""

    rounds: int
    mid_seal: int
    open_seconds: list[float]
    audit: Audit
    stored: int
    counted: int

    def summary(self) -> str:
        """One line."""
        return (
            f"{self.rounds} rounds of kill -9 ({self.mid_seal} while segments were written): "
            f"{self.audit.acknowledged} spans acknowledged, {len(self.audit.lost)} batches lost, "
            f"{len(self.audit.duplicated)} duplicated, {len(self.audit.torn)} torn; "
            f"{self.stored} spans found, {self.counted} counted; "
            f"open: median {statistics.median(self.open_seconds):.3f} s, worst {max(self.open_seconds):.3f} s"
        )

    def sound(self) -> bool:
        """Whether durability held."""
        return not self.audit.faults() and self.stored == self.counted


def segments(server: Server) -> set[str]:
    folder = server.data_dir / "segments"
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def wait_for_the_moment(server: Server, dice: random.Random) -> bool:
    """Waits a random while, or until a segment is being written; returns whether it was the latter."""
    deadline = time.monotonic() + dice.uniform(0.05, 1.5)
    watch = dice.random() < 0.6
    before = segments(server)
    while time.monotonic() < deadline:
        if watch and segments(server) != before:
            time.sleep(dice.uniform(0, 0.03))
            return True
        time.sleep(0.002)
    return False


def run(folder: Path, rounds: int, seed: int) -> Outcome:
    """Runs the whole test in a folder."""
    dice = random.Random(seed)
    server = Server(folder / "data", CONFIG)
    opened = [server.start()]
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    journals = [Journal(folder / f"journal-{number}") for number in range(len(WORKERS))]
    workers: list[Any] = []
    for number, protocol in enumerate(WORKERS):
        journals[number].path.touch()
        arguments = (number, protocol, server.otlp_grpc, server.otlp_http, str(journals[number].path), stop)
        workers.append(context.Process(target=work, args=arguments, daemon=True))
        workers[-1].start()
    audit = Audit(server.addresses["ui"])
    mid_seal = 0
    try:
        wait_for_load(journals)
        for number in range(rounds):
            mid_seal += wait_for_the_moment(server, dice)
            server.kill()
            opened.append(server.start())
            for worker, journal in enumerate(journals):
                for sequence in journal.catch_up()[-AUDITED_PER_ROUND:]:
                    audit.check(worker, sequence, acknowledged=True)
            if faults := audit.faults():
                raise AssertionError(f"after round {number + 1}:\n" + "\n".join(faults[:20]) + "\n" + server.report())
        return finish(server, audit, journals, workers, stop, opened, rounds, mid_seal)
    finally:
        stop.set()
        for process in workers:
            process.kill()
        server.kill()


def wait_for_load(journals: list[Journal]) -> None:
    """Returns when every worker had a batch taken."""
    deadline = time.monotonic() + 60
    while not all("taken" in journal.path.read_text() for journal in journals):
        assert time.monotonic() < deadline, "the workers do not get through to the server"
        time.sleep(0.05)


def finish(
    server: Server,
    audit: Audit,
    journals: list[Journal],
    workers: list[Any],
    stop: Event,
    opened: list[float],
    rounds: int,
    mid_seal: int,
) -> Outcome:
    """Lets the workers end, restarts once more, and audits everything there ever was."""
    stop.set()
    for process in workers:
        process.join(30)
    server.kill()
    opened.append(server.start())
    audit.acknowledged = 0
    stored = 0
    for worker, journal in enumerate(journals):
        journal.catch_up()
        stored += sum(audit.check(worker, sequence, sequence < journal.taken) for sequence in range(journal.sent))
    return Outcome(rounds, mid_seal, opened, audit, stored, server.api.span_count())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it there")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="spanwise-crash-") as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        outcome = run(folder, arguments.rounds, arguments.seed)
    print("\n".join(outcome.audit.faults()[:50]))
    print(outcome.summary())
    if slow := [seconds for seconds in outcome.open_seconds if seconds >= OPEN_WITHIN]:
        print(f"{len(slow)} of {len(outcome.open_seconds)} starts took {OPEN_WITHIN} s or longer")
    return int(not outcome.sound() or bool(slow))


if __name__ == "__main__":
    sys.exit(main())
