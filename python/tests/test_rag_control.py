"""RAG control: the scenarios of ``testdata/rag_control`` give the same spans as in Rust; no tracer and no
adapter disturbs anything but its own request."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from conftest import Traced, attributes
from spanwise.rag_control import (
    Answer,
    Document,
    EmbeddingError,
    EnforcementError,
    GenerationError,
    InvalidQueryError,
    LocalVectorStore,
    NoOpTracer,
    OpenAICompatibleEmbedding,
    OpenAICompatibleLLM,
    OpenTelemetryTracer,
    PolicyFileError,
    RAGControl,
    RAGControlError,
    RetrievalError,
    StructlogTracer,
    UnknownOrganizationError,
    UserContext,
    matches,
)

TESTDATA = Path(__file__).resolve().parents[2] / "testdata" / "rag_control"
SCENARIOS = {one["name"]: one for one in json.loads((TESTDATA / "scenarios.json").read_text())}
DIMENSIONS = 4


class AsAsked(Exception):
    pass


class Parts:
    """All three adapters of a scenario."""

    model = "mock-model"
    provider = "mock"
    name = "mock-store"

    def __init__(self, scenario: dict[str, Any]) -> None:
        self.scenario = scenario
        self.reply = scenario["reply"]
        self.fault = scenario.get("fault", {})

    def check(self, at: str) -> str:
        if self.fault.get(at) == "raise":
            raise AsAsked("as asked")
        return self.fault.get(at, "")

    def generate(self, messages: Any, *, temperature: Any, max_output_tokens: Any) -> Any:
        if self.check("generate") == "empty":
            return {"content": "", "usage": self.reply["usage"], "finish_reason": self.reply["finish_reason"]}
        return {**self.reply, "content": "".join(self.reply["pieces"])}

    def stream(self, messages: Any, *, temperature: Any, max_output_tokens: Any) -> Iterator[Any]:
        if self.check("generate") == "empty":
            return
        yield from self.reply["pieces"]
        self.check("stream")
        yield {"text": "", "usage": self.reply["usage"], "finish_reason": self.reply["finish_reason"]}

    def search(self, vector: Any, *, top_k: int, filter: Any) -> Any:
        self.check("search")
        return self.scenario["documents"]


class Embedding:
    model = "mock-embedding"
    dimensions = DIMENSIONS

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def embed(self, text: str) -> list[float]:
        vector = [0.5] * DIMENSIONS
        return {
            "empty": [],
            "short": vector[1:],
            "nan": [0.5, float("nan"), 0.5, 0.5],
        }.get(self.parts.check("embed"), vector)


class AsyncParts(Parts):
    async def generate(self, messages: Any, *, temperature: Any, max_output_tokens: Any) -> Any:
        await asyncio.sleep(0)
        return super().generate(messages, temperature=temperature, max_output_tokens=max_output_tokens)

    async def stream(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, messages: Any, *, temperature: Any, max_output_tokens: Any
    ) -> AsyncIterator[Any]:
        for piece in super().stream(messages, temperature=temperature, max_output_tokens=max_output_tokens):
            await asyncio.sleep(0)
            yield piece

    async def search(self, vector: Any, *, top_k: int, filter: Any) -> Any:
        return super().search(vector, top_k=top_k, filter=filter)


class AsyncEmbedding(Embedding):
    async def embed(self, text: str) -> list[float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        await asyncio.sleep(0)
        return super().embed(text)


def engine(scenario: dict[str, Any], tracer: Any, is_async: bool = False, **changed: Any) -> RAGControl:
    parts = AsyncParts(scenario) if is_async else Parts(scenario)
    embedding = AsyncEmbedding(parts) if is_async else Embedding(parts)
    adapters: dict[str, Any] = {"llm": parts, "query_embedding": embedding, "vector_store": parts, **changed}
    return RAGControl(**adapters, config_path=TESTDATA / "policies.yaml", tracer=tracer)


def user(scenario: dict[str, Any]) -> UserContext:
    return UserContext(**scenario["user"])


def ask(rag: RAGControl, scenario: dict[str, Any]) -> Answer:
    if scenario["mode"] == "run":
        return rag.run(scenario["query"], user(scenario))
    stream = rag.stream(scenario["query"], user(scenario))
    shown = "".join(stream)
    assert stream.result is not None
    assert stream.result.content == shown
    return stream.result


async def aask(rag: RAGControl, scenario: dict[str, Any]) -> Answer:
    if scenario["mode"] == "run":
        return await rag.arun(scenario["query"], user(scenario))
    stream = rag.astream(scenario["query"], user(scenario))
    shown = "".join([piece async for piece in stream])
    assert stream.result is not None
    assert stream.result.content == shown
    return stream.result


def described(outcome: Answer | Exception, spans: list[Span]) -> str:
    """The outcome and the spans as text, without what differs from request to request."""
    if isinstance(outcome, Answer):
        text = (
            f"answer: {compact(outcome.content)}\ndocuments: {' '.join(one.id for one in outcome.documents)}\n"
            f"citations: {' '.join(outcome.citations)}\nrefused: {str(outcome.refused).lower()}\n"
            f"policy: {outcome.policy_name}\n\n"
        )
    else:
        text = f"error: {outcome}\n\n"
    (root,) = [span for span in spans if not span.parent_span_id]
    children = [span for span in spans if span.parent_span_id == root.span_id]
    assert len(children) == len(spans) - 1
    return text + "".join([describe(root, ""), *(describe(child, "  ") for child in children)])


def describe(span: Span, indent: str) -> str:
    status = f" (error: {span.status.message})" if span.status.code == span.status.STATUS_CODE_ERROR else ""
    lines = [f"{indent}{span.name}{status}\n"]
    for key, value in sorted(attributes(span).items()):
        if key in ("request.id", "request_id"):
            value = "<id>"
        if key in ("stage_latency_ms", "gen_ai.response.time_to_first_chunk"):
            value = "<time>"
        lines.append(f"{indent}    {key} = {compact(value)}\n")
    lines += [f"{indent}    event {event.name}\n" for event in span.events]
    return "".join(lines)


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("adapters", ["blocking", "asynchronous"])
@pytest.mark.parametrize("asked", ["blocking", "asynchronous"])
def test_every_scenario_gives_the_spans_that_rust_gives(traced: Traced, name: str, adapters: str, asked: str) -> None:
    scenario = SCENARIOS[name]
    rag = engine(scenario, OpenTelemetryTracer(traced.provider), adapters == "asynchronous")
    outcome: Answer | Exception
    try:
        outcome = ask(rag, scenario) if asked == "blocking" else asyncio.run(aask(rag, scenario))
    except RAGControlError as error:
        outcome = error
    assert described(outcome, traced.spans()) == (TESTDATA / f"{name}.txt").read_text()


def test_a_request_joins_the_current_trace_and_what_adapters_record_is_below_their_stage(traced: Traced) -> None:
    class Recording(Embedding):
        def embed(self, text: str) -> list[float]:
            with traced.tracer.start_as_current_span("POST"):
                return super().embed(text)

    scenario = SCENARIOS["stream_answered"]
    rag = engine(scenario, OpenTelemetryTracer(traced.provider), query_embedding=Recording(Parts(scenario)))
    for asked in ("blocking", "asynchronous"):
        with traced.tracer.start_as_current_span(asked):
            answer = ask(rag, scenario) if asked == "blocking" else asyncio.run(aask(rag, scenario))
            assert trace.get_current_span() is not trace.INVALID_SPAN
        spans = [span for span in traced.spans() if span.trace_id.hex() == answer.trace_id]
        by_id = {span.span_id: span for span in spans}
        names: list[str] = []
        span = next(span for span in spans if span.name == "POST")
        assert attributes(span)["request.id"] == answer.request_id
        while True:
            names.append(span.name)
            if span.parent_span_id not in by_id:
                break
            span = by_id[span.parent_span_id]
        root = "rag_control.request.stream"
        assert names == ["POST", f"{root}.stage.embedding", root, asked]


def test_errors_are_typed_and_name_stage_request_and_cause(traced: Traced) -> None:
    for name, kind, stage in [
        ("run_unknown_organization", UnknownOrganizationError, "org_lookup"),
        ("run_empty_query", InvalidQueryError, "embedding"),
        ("run_embedding_is_not_a_number", EmbeddingError, "embedding"),
        ("stream_retrieval_raises", RetrievalError, "retrieval"),
        ("stream_raises_half_way", GenerationError, "llm.stream"),
        ("stream_rejected_at_the_end", EnforcementError, "enforcement"),
    ]:
        scenario = SCENARIOS[name]
        with pytest.raises(kind) as raised:
            ask(engine(scenario, OpenTelemetryTracer(traced.provider)), scenario)
        error = raised.value
        assert isinstance(error, RAGControlError)
        assert (error.stage, len(error.trace_id or "")) == (stage, 32)
        root = next(span for span in traced.spans() if span.trace_id.hex() == error.trace_id)
        assert attributes(root)["request_id"] == error.request_id
        assert isinstance(error.__cause__, AsAsked) is ("raises" in name)
        assert error.rule == ("require_citations" if kind is EnforcementError else None)


@pytest.mark.parametrize(
    ("at", "given", "kind", "message"),
    [
        ("embed", None, EmbeddingError, "the embedding is nothing, not a list of numbers"),
        ("embed", ["a"], EmbeddingError, "not a list of numbers"),
        ("search", None, RetrievalError, "the store gave nothing"),
        ("search", [{"content": "x", "score": 1}], RetrievalError, "a document has no `id`"),
        ("search", [{"id": 1, "content": None, "score": 1}], RetrievalError, "a document has no `content`"),
        ("search", [{"id": 1, "content": "x", "score": float("nan")}], RetrievalError, "no number as its score"),
        ("generate", None, GenerationError, "the model gave nothing"),
        ("generate", {"content": 3}, GenerationError, "the model's text is int"),
    ],
)
def test_what_cannot_be_used_is_an_error_of_its_stage(at: str, given: Any, kind: type[Exception], message: str) -> None:
    scenario = SCENARIOS["run_answered"]
    rag = engine(scenario, NoOpTracer())
    setattr(rag.query_embedding if at == "embed" else rag.llm, at, lambda *_, **__: given)
    with pytest.raises(kind, match=message):
        ask(rag, scenario)


def test_a_timeout_and_ten_thousand_documents() -> None:
    scenario = SCENARIOS["run_answered"]
    many = [
        Document(f"d{at}", "28 days", at % 97, {"visibility": "internal" if at % 2 else "public"})
        for at in range(10_000)
    ]
    rag = engine({**scenario, "documents": many, "reply": {**scenario["reply"], "pieces": ["28 [1]."]}}, NoOpTracer())
    answer = ask(rag, scenario)
    assert [one.score for one in answer.documents] == [96.0] * 3

    def late(*_: Any, **__: Any) -> Any:
        raise TimeoutError("too late")

    rag.vector_store.search = late
    with pytest.raises(RetrievalError, match="too late") as raised:
        ask(rag, scenario)
    assert isinstance(raised.value.__cause__, TimeoutError)


def test_a_stream_that_is_abandoned_ends_its_spans(traced: Traced) -> None:
    scenario = SCENARIOS["stream_answered"]
    rag = engine(scenario, OpenTelemetryTracer(traced.provider))
    stream = rag.stream(scenario["query"], user(scenario))
    assert next(stream) == "You have 28 days "
    stream.close()
    root = next(span for span in traced.spans() if not span.parent_span_id)
    assert attributes(root)["error.type"] == "abandoned"
    assert stream.result is None
    assert list(stream) == []


HOOKS = ["on_span_start", "on_span_end", "on_event", "on_error"]


@pytest.mark.parametrize("how", ["raises", "hangs"])
@pytest.mark.parametrize("hook", [*HOOKS, "write"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_tracer_that_fails_at_any_hook_changes_no_answer(hook: str, how: str) -> None:
    released = threading.Event()
    called = threading.Event()

    def bad(*_: Any) -> None:
        called.set()
        if how == "raises":
            raise BaseException("as asked")
        released.wait(30)

    tracer = StructlogTracer(io.StringIO()) if hook == "write" else NoOpTracer()
    tracer = type("Bad", (type(tracer),), {hook: staticmethod(bad)})()
    try:
        for name in ["run_answered", "stream_answered", "run_rejected_for_a_citation"]:
            scenario = SCENARIOS[name]
            rag = engine(scenario, tracer)
            started = time.monotonic()
            for _ in range(10):
                try:
                    answer = ask(rag, scenario)
                    assert answer.content == "".join(scenario["reply"]["pieces"])
                except EnforcementError:
                    assert "rejected" in name
            # A tracer that hangs is waited for once, for some milliseconds.
            assert time.monotonic() - started < 5
        assert called.wait(5)
    finally:
        released.set()


def test_log_lines_have_the_ids_of_the_answer_and_no_content() -> None:
    stream = io.StringIO()
    scenario = SCENARIOS["run_answered"]
    answer = ask(engine(scenario, StructlogTracer(stream)), scenario)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines].count("span_start") == 8
    assert {line["event"] for line in lines} == {"span_start", "span_end", "event"}
    assert {(line["request_id"], line["trace_id"]) for line in lines} == {(answer.request_id, answer.trace_id)}
    assert {(line["user_id"], line["org_id"]) for line in lines} == {("u-17", "meridian")}
    assert "holiday do I have" not in stream.getvalue()


def test_tracers_of_ones_own_are_told_everything() -> None:
    class Own(NoOpTracer):
        def __init__(self) -> None:
            self.calls: list[tuple[str, str]] = []

        def on_span_end(self, span: Any) -> None:
            self.calls.append(("end", span.name))

        def on_event(self, span: Any, name: str, attributes: Any) -> None:
            self.calls.append((name, str(attributes["denied"])))

        def on_error(self, span: Any, error_type: str, message: str) -> None:
            self.calls.append((error_type, message))

    own = Own()
    scenario = SCENARIOS["run_rejected_for_a_citation"]
    with pytest.raises(EnforcementError):
        ask(engine(scenario, own), scenario)
    assert ("documents.denied", "2") in own.calls
    assert ("policy_violation", "unknown_citation: [4] is none of the retrieved documents") in own.calls
    assert own.calls[-1] == ("end", "rag_control.request.run")


def test_a_tracer_of_opentelemetry_that_raises_is_noticed_by_nobody() -> None:
    class Broken(trace.TracerProvider):
        def get_tracer(self, *_: Any, **__: Any) -> Any:
            return self

        def start_span(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("as asked")

    scenario = SCENARIOS["run_answered"]
    answer = ask(engine(scenario, OpenTelemetryTracer(Broken())), scenario)
    assert answer.trace_id is None


def test_without_a_choice_there_are_log_lines_until_a_provider_is_configured(
    capsys: pytest.CaptureFixture[str], traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = SCENARIOS["run_answered"]
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    rag = engine(scenario, None)
    answer = ask(rag, scenario)
    assert answer.request_id in capsys.readouterr().err
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", traced.provider)
    answer = ask(rag, scenario)
    assert capsys.readouterr().err == ""
    assert answer.trace_id in {span.trace_id.hex() for span in traced.spans()}


def test_mistakes_in_the_policy_file_name_their_line_and_field(tmp_path: Path) -> None:
    path = tmp_path / "policies.yaml"
    path.write_text("organizations:\n  a: {policy: p}\npolicies:\n  p: {generation: {temperature: hot}}\n")
    with pytest.raises(PolicyFileError) as raised:
        RAGControl(*(Parts(SCENARIOS["run_answered"]),) * 3, config_path=path)  # pyright: ignore[reportArgumentType]
    assert (raised.value.line, raised.value.field) == (4, "policies.p.generation.temperature")
    with pytest.raises(PolicyFileError, match="cannot read"):
        RAGControl(*(Parts(SCENARIOS["run_answered"]),) * 3, config_path=tmp_path)  # pyright: ignore[reportArgumentType]


def test_how_long_to_think_is_told_to_models_that_take_it() -> None:
    told: list[Any] = []

    class Thinking(Parts):
        def generate(self, messages: Any, **options: Any) -> Any:
            told.append(options)
            return "28 days [1]."

    scenario = SCENARIOS["run_answered"]
    answer = ask(engine(scenario, NoOpTracer(), llm=Thinking(scenario)), scenario)
    assert told == [{"temperature": 0.15, "max_output_tokens": 240, "reasoning_depth": "low"}]
    assert answer.usage.total_tokens is None


def test_the_embedded_store_keeps_documents_and_filters_them(tmp_path: Path) -> None:
    path = tmp_path / "handbook.vectors"
    store = LocalVectorStore(path, 2)
    store.add("x", "about x", [1, 0.1], {"team": "a", "pages": [1, 2]})
    store.add_all([("y", "about y", (0.0, 1.0), {"team": "b"})])
    filter = {"field": "team", "operator": "equals", "value": "a"}
    (found,) = store.search([0.0, 2.0], top_k=5, filter=filter)
    assert (found.id, found.metadata) == ("x", {"team": "a", "pages": [1, 2]})
    assert matches(filter, found.metadata)
    assert not matches(filter, {})
    assert matches(None, {})
    with pytest.raises(ValueError, match="dimensions"):
        store.add("z", "", [1.0])
    with pytest.raises(OSError, match="in use"):
        LocalVectorStore(path, 2)
    assert store.remove("y")
    assert len(store) == 1
    del store
    again = LocalVectorStore(path, 2, name="renamed")
    assert (again.name, len(again)) == ("renamed", 1)


@pytest.fixture
def api() -> Iterator[tuple[str, list[tuple[dict[str, str], Any]], Callable[..., None]]]:
    """A small server that speaks as OpenAI's API does; what it was asked; how to tell it what to answer."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    asked: list[tuple[dict[str, str], Any]] = []
    answers: list[tuple[int, bytes, float]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status, answer, delay = answers.pop(0)
            time.sleep(delay)
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None: ...

    def answer(body: Any, status: int = 200, delay: float = 0) -> None:
        answers.append((status, body.encode() if isinstance(body, str) else json.dumps(body).encode(), delay))

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1", asked, answer
        server.shutdown()
        thread.join()


def test_models_and_embeddings_over_http(api: Any, traced: Traced) -> None:
    base_url, asked, answer = api
    llm = OpenAICompatibleLLM("gpt-4o", base_url=base_url, api_key="sk-1")
    embedding = OpenAICompatibleEmbedding("small", 2, base_url=base_url, api_key="sk-1")
    scenario = SCENARIOS["run_answered"]
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    rag = engine(scenario, OpenTelemetryTracer(traced.provider), llm=llm, query_embedding=embedding)
    answer({"data": [{"embedding": [0.5, 0.5]}]})
    answer({"choices": [{"message": {"content": "28 days [1]."}, "finish_reason": "stop"}], "usage": usage})
    given = ask(rag, scenario)
    assert (given.content, given.usage.total_tokens, given.finish_reason) == ("28 days [1].", 7, "stop")
    (_, embedded), (headers, chat) = asked
    assert embedded == {"model": "small", "input": scenario["query"], "encoding_format": "float"}
    assert headers["authorization"] == "Bearer sk-1"
    assert (chat["model"], chat["temperature"], chat["max_completion_tokens"], chat["reasoning_effort"]) == (
        *("gpt-4o", 0.15),
        *(240, "low"),
    )
    stage = next(span for span in traced.spans() if span.name.endswith("llm.generate"))
    assert headers["traceparent"].split("-")[1:3] == [given.trace_id, stage.span_id.hex()]

    events = [
        {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"delta": {"content": "28 days "}}]},
        {"choices": [{"delta": {"content": "[1]."}, "finish_reason": "stop"}]},
        {"choices": [], "usage": usage},
    ]
    answer({"data": [{"embedding": [0.5, 0.5]}]})
    answer("".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n")
    given = asyncio.run(aask(rag, {**scenario, "mode": "stream"}))
    assert (given.content, given.usage.total_tokens, given.finish_reason) == ("28 days [1].", 7, "stop")
    assert asked[-1][1]["stream_options"] == {"include_usage": True}

    answer({"error": {"message": "slow down"}}, status=429)
    with pytest.raises(EmbeddingError, match="429 Too Many Requests: slow down"):
        ask(rag, scenario)
    answer({"data": [{"embedding": [0.5, 0.5]}]})
    answer('data: {"choices": [{"delta": {"content": "28"}}]}\n\n')
    with pytest.raises(GenerationError, match="cut off"):
        ask(rag, {**scenario, "mode": "stream"})
    answer({}, delay=0.3)
    hasty = OpenAICompatibleEmbedding("small", 2, base_url=base_url, timeout=0.05)
    with pytest.raises(EmbeddingError) as raised:
        ask(engine(scenario, NoOpTracer(), query_embedding=hasty), scenario)
    assert isinstance(raised.value.__cause__, TimeoutError)
