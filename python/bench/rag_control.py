"""What the engine of RAG control and its spans cost a request through Python, beside adapters that take no
time. Wall-clock time of whole requests on one thread; documents of 1 kB, five of ten allowed."""

from __future__ import annotations

import asyncio
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spanwise.opentelemetry import TracerProvider
from spanwise.rag_control import (
    Document,
    NoOpTracer,
    OpenTelemetryTracer,
    RAGControl,
    StructlogTracer,
    UserContext,
)

ROUNDS = 11
REQUESTS = 200
BAR = 0.5  # milliseconds a request
DIMENSIONS = 384
QUERY = "How many days of holiday do I have?"
USER = UserContext(user_id="u-17", org_id="o", attributes={"team": "support"})
ANSWER = (
    "Everybody has 28 days of paid holiday a year [1], to be planned with the team a month ahead [2]; "
    "what is left at its end is paid out in January [3]."
)
POLICIES = """
organizations: {o: {filter: public, policy: cited, retrieval_top_k: 5}}
filters: {public: {field: visibility, operator: equals, value: public}}
policies: {cited: {generation: {temperature: 0.2}, enforcement: {require_citations: true}}}
"""


VECTOR = [0.5] * DIMENSIONS
WORDS = [f"{word} " for word in ANSWER.split()]
DOCUMENTS = [
    Document(
        f"doc-{at}",
        "Everybody has 28 days of paid holiday a year. " * 22,
        1 / (at + 1),
        {"visibility": ("public", "internal")[at % 2]},
    )
    for at in range(10)
]


class Idle:
    """All three adapters."""

    model = name = "idle"
    dimensions = DIMENSIONS

    def embed(self, text: str) -> list[float]:
        return VECTOR

    def search(self, vector: Any, *, top_k: int, filter: Any) -> list[Document]:
        return DOCUMENTS

    def generate(self, messages: Any, *, temperature: Any, max_output_tokens: Any) -> str:
        return ANSWER

    def stream(self, messages: Any, *, temperature: Any, max_output_tokens: Any) -> Iterator[str]:
        return iter(WORDS)


class AsyncIdle(Idle):
    async def embed(self, text: str) -> list[float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return VECTOR

    async def search(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, vector: Any, *, top_k: int, filter: Any
    ) -> list[Document]:
        return DOCUMENTS

    async def generate(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, messages: Any, *, temperature: Any, max_output_tokens: Any
    ) -> str:
        return ANSWER


class Sink:
    """Takes OTLP requests, and looks at none."""

    def __call__(self, request: bytes) -> None: ...


def measure(what: str, ask: Callable[[], object], settle: Callable[[], object]) -> None:
    taken: list[float] = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        for _ in range(REQUESTS):
            ask()
        taken.append((time.perf_counter() - started) * 1e3 / REQUESTS)
        settle()
    taken = taken[1:]
    print(f"| {what} | {min(taken):.4f} ms | {statistics.median(taken):.4f} ms | < {BAR} ms |")


def main() -> None:
    folder = tempfile.TemporaryDirectory()
    config = Path(folder.name) / "policies.yaml"
    config.write_text(POLICIES)

    provider = TracerProvider(_exporters=[Sink()])
    settle = provider.force_flush

    def engine(tracer: Any, adapters: Any = None) -> RAGControl:
        adapters = adapters or Idle()
        return RAGControl(adapters, adapters, adapters, config, tracer)

    spans = engine(OpenTelemetryTracer(provider))
    answer = spans.run(QUERY, USER)
    assert len(answer.documents) == 5
    print("| request | min | median | bar |\n|---|---|---|---|")
    measure("run, spans", lambda: spans.run(QUERY, USER), settle)
    measure("stream, spans", lambda: list(spans.stream(QUERY, USER)), settle)
    asynchronous = engine(OpenTelemetryTracer(provider), AsyncIdle())
    loop = asyncio.new_event_loop()
    measure(
        "arun, spans, asynchronous adapters", lambda: loop.run_until_complete(asynchronous.arun(QUERY, USER)), settle
    )
    measure(
        "arun, spans, blocking adapters in threads", lambda: loop.run_until_complete(spans.arun(QUERY, USER)), settle
    )
    quiet = engine(NoOpTracer())
    measure("run, no tracer", lambda: quiet.run(QUERY, USER), settle)
    logged = engine(StructlogTracer(io.StringIO()))
    measure("run, log lines to memory", lambda: logged.run(QUERY, USER), settle)
    provider.force_flush()
    metrics = provider._core.metrics()
    print(f"\nspans started: {metrics['spans_started']}, dropped: {metrics['spans_dropped']}")
    provider.shutdown()
    sys.stdout.flush()


if __name__ == "__main__":
    main()
