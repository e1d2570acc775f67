"""`Spanwise.init`: each option proved by the bytes that leave."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import NonRecordingSpan

from conftest import Sink, attributes
from spanwise import Spanwise, agent, task, tool, workflow
from spanwise.tracing import (
    CustomSampler,
    configure_content_redaction,
    configure_intelligent_sampling,
    get_trace_config,
    get_tracer,
    get_tracing_metrics,
)


class Started:
    """A running instance and what it sent."""

    def __init__(self, **options: Any) -> None:
        self.sink = Sink()
        options = {"trace_exporter": "none", "instrument": False, **options}
        self.spanwise = Spanwise.init("test", exporter=self.sink, **options)

    @property
    def spans(self) -> list[Any]:
        assert self.spanwise.flush(10)
        return sorted(self.sink.spans, key=lambda span: span.start_time_unix_nano)

    @property
    def bytes(self) -> bytes:
        assert self.spanwise.flush(10)
        return b"".join(self.sink.requests)


@pytest.fixture
def init() -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def make(**options: Any) -> Started:
        started.append(Started(**options))
        return started[-1]

    yield make
    for one in started:
        one.spanwise.shutdown()


Init = Callable[..., Started]


@workflow
def chat(question: str) -> str:
    return answer(question)


@task
def answer(question: str) -> str:
    return f"the answer to {question}"


def test_our_provider_is_opentelemetrys(init: Init) -> None:
    started = init()
    assert trace.get_tracer_provider() is started.spanwise.tracer_provider
    with trace.get_tracer("library", "2").start_as_current_span("manual") as span:
        assert trace.get_current_span() is span
        chat("why")
    assert [span.name for span in started.spans] == ["manual", "workflow.chat", "task.answer"]
    request = ExportTraceServiceRequest.FromString(started.sink.requests[0])
    resource = attributes(request.resource_spans[0].resource)
    assert resource["service.name"] == "test"
    assert resource["telemetry.sdk.language"] == "python"


def test_init_again_returns_what_runs_until_it_is_shut_down(init: Init, caplog: pytest.LogCaptureFixture) -> None:
    first = init()
    assert Spanwise.init("again") is first.spanwise
    assert "runs already" in caplog.text
    first.spanwise.shutdown()
    second = init()
    assert second.spanwise is not first.spanwise
    with trace.get_tracer("t").start_as_current_span("s"):
        chat("why")
    assert len(second.spans) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trace_sampling_ratee": 1}, "'trace_sampling_ratee'; did you mean 'trace_sampling_rate'?"),
        ({"instrumnt": True}, "did you mean 'instrument'?"),
        ({"trace_content": 3}, "trace_content"),
        ({"custom_sampler": 3}, "should_sample"),
    ],
)
def test_what_is_unknown_or_of_a_wrong_type_is_a_type_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError) as raised:
        Spanwise.init("test", **options)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {"trace_sampling_rate": 2.0},
        {"opentelemetry_endpoint": "ftp://host"},
        {"trace_exporter": "carrier pigeon"},
        {"content_redaction_enabled": True, "custom_patterns": ["("]},
    ],
)
def test_what_cannot_be_is_a_value_error_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(reversed(options))):
        Spanwise.init("test", **options)
    Spanwise.init("test", trace_exporter="none", instrument=False).shutdown()


def test_switched_off_nothing_is_recorded(init: Init) -> None:
    started = init(tracing_enabled=False)
    assert chat("why") == "the answer to why"
    with trace.get_tracer("t").start_as_current_span("s"):
        pass
    assert started.spans == []
    assert get_trace_config().enabled is False


MARKED = {
    "user": "MARK-user",
    "system": "MARK-system",
    "output": "MARK-output",
}


def record_a_model_call() -> None:
    messages = [{"role": "system", "content": MARKED["system"]}, {"role": "user", "content": MARKED["user"]}]
    with get_tracer().start_as_current_span("chat gpt-4o") as span:
        span.set_attribute("openinference.span.kind", "LLM")
        for at, message in enumerate(messages):
            span.set_attribute(f"llm.input_messages.{at}.message.role", message["role"])
            span.set_attribute(f"llm.input_messages.{at}.message.content", message["content"])
        span.set_attribute("input.value", json.dumps({"messages": messages}))
        span.set_attribute("llm.output_messages.0.message.role", "assistant")
        span.set_attribute("llm.output_messages.0.message.content", MARKED["output"])
        span.set_attribute("output.value", MARKED["output"])
        span.set_attribute("llm.token_count.prompt", 12)


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ({}, set()),
        ({"trace_content": False}, {"user", "system", "output"}),
        ({"trace_metadata_only": True}, {"user", "system", "output"}),
        ({"trace_user_inputs": False}, {"user"}),
        ({"trace_system_prompts": False}, {"system"}),
        ({"trace_llm_outputs": False}, {"output"}),
        ({"trace_content": False, "trace_content_hashes": True}, {"user", "system", "output"}),
    ],
)
def test_content_that_is_off_does_not_leave(init: Init, options: dict[str, Any], gone: set[str]) -> None:
    started = init(**options)
    record_a_model_call()
    left = started.bytes
    assert {name for name, mark in MARKED.items() if mark.encode() not in left} == gone
    assert b"llm.token_count.prompt" in left


def test_function_content_that_is_off_is_not_even_looked_at(init: Init) -> None:
    started = init(trace_content=False)
    chat("MARK-question")
    assert b"MARK" not in started.bytes
    started.spanwise.update_config(trace_content=True)
    chat("MARK-again")
    assert b"MARK-again" in started.bytes


def test_hashes_stand_for_what_does_not_leave(init: Init) -> None:
    started = init(trace_content=False, trace_content_hashes=True)
    chat("MARK-question")
    for span in started.spans:
        recorded = attributes(span)
        assert recorded["input.value.hash"].startswith("sha256:")
        assert recorded["output.value.hash"].startswith("sha256:")
    assert b"MARK" not in started.bytes


def test_redaction_replaces_what_is_sensitive(init: Init) -> None:
    started = init()
    configure_content_redaction(
        {"pii_redaction": True, "custom_patterns": ["internal-[0-9]+"], "replacement_text": "[X]"}
    )
    chat("write to jane.doe@example.com about internal-4711 with key sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD")
    left = started.bytes
    for secret in (b"jane.doe", b"internal-4711", b"sk-proj-abc"):
        assert secret not in left
    assert b"[X]" in left
    with pytest.raises(TypeError, match="pii_redactoin"):
        configure_content_redaction({"pii_redactoin": True})


def test_the_rate_is_followed_and_can_be_changed(init: Init) -> None:
    started = init(trace_sampling_rate=0.0)
    chat("why")
    assert isinstance(get_tracer().start_span("s"), NonRecordingSpan)
    assert get_trace_config().sampling_rate == 0.0
    started.spanwise.update_config(trace_sampling_rate=1.0)
    chat("why")
    assert len(started.spans) == 2
    with pytest.raises(ValueError, match="trace_sampling_rate"):
        started.spanwise.update_config(trace_sampling_rate=-1)
    with pytest.raises(TypeError, match="trace_sampling_rate"):
        started.spanwise.update_config(trace_sampling_rat=1)
    started.spanwise.update_config(trace_sampling_rate=0.5)
    for _ in range(1000):
        chat("why")
    assert 700 < len(started.spans) < 1300
    limit = 1 << 55
    for span in started.spans[2:]:
        assert int.from_bytes(span.trace_id[-7:], "big") >= limit


def test_a_custom_sampler_is_asked_for_roots(init: Init, caplog: pytest.LogCaptureFixture) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    class Mine(CustomSampler):
        def should_sample(self, span_context: Any, operation_name: str, attributes: Any) -> bool:
            assert span_context.is_valid
            asked.append((operation_name, dict(attributes)))
            return operation_name == "workflow.chat"

    started = init(custom_sampler=Mine())
    chat("why")
    answer("not this one")
    get_tracer().start_span("nor this", attributes={"a": 1}).end()
    assert [name for name, _ in asked] == ["workflow.chat", "task.answer", "nor this"]
    assert asked[2][1] == {"a": 1}
    assert [span.name for span in started.spans] == ["workflow.chat", "task.answer"]

    class Broken(CustomSampler):
        pass

    started.spanwise.update_config(custom_sampler=Broken())
    chat("why")
    chat("why")
    assert len(started.spans) == 6
    assert caplog.text.count("the custom sampler raised") == 1


def test_intelligent_sampling_keeps_errors(init: Init) -> None:
    started = init(trace_sampling_rate=0.0)
    configure_intelligent_sampling(
        {"error_sampling_rate": 1.0, "slow_request_sampling_rate": 0.0, "high_priority_operations": {"chat": 1.0}}
    )

    @agent
    def fails() -> None:
        raise ValueError("boom")

    @agent
    def passes() -> None: ...

    with pytest.raises(ValueError, match="boom"):
        fails()
    passes()
    chat("why")
    assert [span.name for span in started.spans] == ["agent.fails", "workflow.chat", "task.answer"]


def test_long_conversations_are_recorded_whole(init: Init, monkeypatch: pytest.MonkeyPatch) -> None:
    def record(started: Started) -> Any:
        with get_tracer().start_as_current_span("chat") as span:
            for at in range(400):
                span.set_attribute(f"llm.input_messages.{at}.message.content", "hello")
            span.set_attribute("llm.token_count.total", 4711)
        return started.spans[-1]

    started = init()
    left = record(started)
    assert len(left.attributes) == 401
    started.spanwise.shutdown()
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "10")
    left = record(init())
    assert (len(left.attributes), left.dropped_attributes_count) == (10, 391)


def test_metrics_balance(init: Init) -> None:
    started = init()
    for _ in range(10):
        chat("why")
    assert started.spanwise.flush()
    metrics = get_tracing_metrics()
    assert metrics.spans_started == metrics.spans_exported == 20
    assert (metrics.spans_dropped, metrics.queue_size, metrics.export_errors) == (0, 0, 0)
    assert metrics.overhead_percentage > 0
    assert metrics["spans_per_second"] > 0


class Receiver:
    """An OTLP/HTTP endpoint."""

    def __init__(self) -> None:
        requests: list[tuple[str, dict[str, str], bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self.requests = requests
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def spans(self) -> list[Any]:
        sink = Sink()
        sink.requests = [body for _, _, body in self.requests]
        return sink.spans

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()


def test_spans_leave_over_http_with_key_and_headers(receiver: Receiver, init: Init) -> None:
    started = init(
        trace_exporter="otlp", opentelemetry_endpoint=receiver.url, api_key="k-1", otlp_headers={"x-team": "a"}
    )
    chat("why")
    assert started.spanwise.flush()
    path, headers, _ = receiver.requests[0]
    assert path == "/v1/traces"
    assert headers["x-team"] == "a"
    assert "k-1" in " ".join(headers.values())
    assert sorted(receiver.names) == ["task.answer", "workflow.chat"]


SCRIPT = """
import os, sys
from spanwise import Spanwise, workflow
Spanwise.init("script", opentelemetry_endpoint=os.environ["ENDPOINT"], instrument=False)

@workflow
def chat():
    return 1

chat()
{}
"""


def run_script(endpoint: str, then: str = "", status: int = 0) -> None:
    environment = {**os.environ, "ENDPOINT": endpoint}
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(then)], env=environment, timeout=30, check=False)
    assert done.returncode == status


@pytest.mark.parametrize(("then", "status"), [("", 0), ("sys.exit(3)", 3), ("raise SystemExit(4)", 4)])
def test_a_script_that_ends_without_a_flush_delivers(receiver: Receiver, then: str, status: int) -> None:
    run_script(receiver.url, then, status)
    assert receiver.names == ["workflow.chat"]


def test_with_a_dead_endpoint_a_script_ends_soon() -> None:
    before = time.monotonic()
    run_script("http://127.0.0.1:9")
    assert time.monotonic() - before < 10


def test_forked_children_deliver_their_own(receiver: Receiver) -> None:
    run_script(
        receiver.url,
        """
child = os.fork()
chat()
if child == 0:
    from spanwise._state import STATE
    STATE.running.shutdown()
    os._exit(0)
os.waitpid(child, 0)
""",
    )
    assert receiver.names == ["workflow.chat"] * 3
    bodies = [ExportTraceServiceRequest.FromString(body) for _, _, body in receiver.requests]
    spans = [
        span for body in bodies for one in body.resource_spans for scope in one.scope_spans for span in scope.spans
    ]
    assert len({span.span_id for span in spans}) == 3


def in_a_process() -> None:
    chat("why")
    Spanwise.init().shutdown()


def test_processes_of_a_pool_deliver(receiver: Receiver, init: Init) -> None:
    init(trace_exporter="otlp", opentelemetry_endpoint=receiver.url)
    chat("before")
    context = multiprocessing.get_context("fork")
    process = context.Process(target=in_a_process)
    process.start()
    process.join(20)
    assert process.exitcode == 0
    assert sorted(receiver.names).count("workflow.chat") >= 1


def test_opentelemetry_instrument_works_through_our_distro(receiver: Receiver) -> None:
    pytest.importorskip("opentelemetry.instrumentation.auto_instrumentation")
    run = "import sys; from opentelemetry.instrumentation.auto_instrumentation import run; sys.exit(run())"
    script = "from opentelemetry import trace; trace.get_tracer('t').start_span('automatic').end()"
    environment = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_SERVICE_NAME": "by-environment",
        "OTEL_PYTHON_DISTRO": "spanwise",
        "OTEL_PYTHON_CONFIGURATOR": "spanwise",
    }
    subprocess.run([sys.executable, "-c", run, sys.executable, "-c", script], env=environment, timeout=60, check=True)
    assert receiver.names == ["automatic"]
    request = ExportTraceServiceRequest.FromString(receiver.requests[0][2])
    assert attributes(request.resource_spans[0].resource)["service.name"] == "by-environment"


def test_the_provider_can_be_chosen_by_environment() -> None:
    script = """
from opentelemetry import trace
from spanwise.opentelemetry import TracerProvider
assert isinstance(trace.get_tracer_provider(), TracerProvider)
assert trace.get_tracer("t").start_span("s").is_recording()
"""
    environment = {**os.environ, "OTEL_PYTHON_TRACER_PROVIDER": "spanwise"}
    subprocess.run([sys.executable, "-c", script], env=environment, timeout=60, check=True)


def test_tool_content_is_recorded(init: Init) -> None:
    @tool
    def weather(city: str) -> str:
        return f"rain in {city}"

    started = init()
    weather("Oslo")
    assert attributes(started.spans[0])["output.value"] == '"rain in Oslo"'
