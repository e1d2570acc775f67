"""Frameworks without code: what is installed is traced below the decorators."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind

from conftest import Sink, attributes, run_program
from mock_model import MockModel
from spanwise import Spanwise, task, workflow
from spanwise._core import is_model_provider
from spanwise._instrument import KeepFromProviders
from spanwise.opentelemetry import TracerProvider
from spanwise.tracing import set_span_context

openai = pytest.importorskip("openai")
pytest.importorskip("openinference.instrumentation.openai")
pytest.importorskip("opentelemetry.instrumentation.httpx")


@pytest.fixture
def model() -> Iterator[MockModel]:
    with MockModel(lambda request: "rain") as made:
        yield made


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink()
    with Spanwise.init("test", exporter=made, trace_exporter="none"):
        yield made


def test_a_models_call_is_below_the_workflow(model: MockModel, sink: Sink) -> None:
    @workflow
    def chat(question: str) -> str:
        with openai.OpenAI(base_url=model.openai_url, api_key="k") as client:
            answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": question}])
        return answer.choices[0].message.content

    assert chat("What is the weather?") == "rain"
    running = Spanwise.init()
    assert running.flush()
    spans = {span.span_id: span for span in sink.spans}
    root = next(span for span in spans.values() if span.name == "workflow.chat")
    call = next(span for span in spans.values() if attributes(span).get("openinference.span.kind") == "LLM")
    assert call.parent_span_id == root.span_id
    recorded = attributes(call)
    assert recorded["llm.token_count.total"] == sum((model.served[0].input_tokens, model.served[0].output_tokens))
    assert recorded["llm.input_messages.0.message.content"] == "What is the weather?"
    assert recorded["llm.output_messages.0.message.content"] == "rain"
    # The HTTP library that the client brings is instrumented too, and tells the server who calls.
    request = next(span for span in spans.values() if span.parent_span_id == call.span_id)
    assert model.served[0].headers["traceparent"].split("-")[1:3] == [request.trace_id.hex(), request.span_id.hex()]


def test_context_is_kept_from_providers_and_given_to_everybody_else(sink: Sink) -> None:
    assert isinstance(propagate.get_global_textmap(), KeepFromProviders)
    tracer = trace.get_tracer("t")
    for url, carries in (
        ("https://api.openai.com/v1/chat/completions", False),
        ("https://me.openai.azure.com/openai", False),
        ("https://gateway.internal/v1/chat/completions", True),
    ):
        with tracer.start_as_current_span("POST", kind=SpanKind.CLIENT, attributes={"http.url": url}):
            headers: dict[str, str] = {}
            propagate.inject(headers)
        assert ("traceparent" in headers) is carries


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.anthropic.com", True),
        ("europe-west1-aiplatform.googleapis.com", True),
        ("bedrock-runtime.eu-west-1.amazonaws.com", True),
        ("api.openai.com.example.org", False),
        ("127.0.0.1", False),
        ("", False),
    ],
)
def test_providers_are_known_by_their_hosts(host: str, expected: bool) -> None:
    assert is_model_provider(host) is expected


def test_what_is_not_known_cannot_be_instrumented() -> None:
    with pytest.raises(ValueError, match="there are: aiohttp, anthropic"):
        Spanwise.init("test", trace_exporter="none", instrument=["opnai"])
    Spanwise.init("test", trace_exporter="none", instrument=False).shutdown()


def test_a_library_is_instrumented_when_it_is_imported() -> None:
    program = """
import sys
from spanwise import Spanwise

spanwise = Spanwise.init("test", trace_exporter="none")
print([name for name in ("openai", "httpx", "openinference", "concurrent.futures.thread") if name in sys.modules])
import openai
from concurrent.futures import ThreadPoolExecutor
for function in (openai.OpenAI.request, ThreadPoolExecutor.submit):
    print(hasattr(function, "__wrapped__"))
spanwise.shutdown()
print(hasattr(ThreadPoolExecutor.submit, "__wrapped__"))
"""
    assert run_program(program).stdout.split("\n") == ["[]", "True", "True", "False", ""]


def test_what_takes_long_to_import_is_imported_when_it_is_needed() -> None:
    program = """
import sys
from spanwise import Spanwise

Spanwise.init("test", trace_exporter="none").shutdown()
print([name for name in ("importlib.metadata", "asyncio", "yaml") if name in sys.modules])
"""
    assert run_program(program).stdout == "[]\n"


def test_a_thread_pool_carries_the_span(sink: Sink) -> None:
    @task
    def look(number: int) -> int:
        return number

    @workflow
    async def many() -> list[int]:
        with ThreadPoolExecutor(1) as pool:
            mapped = [*pool.map(look, [1, 2]), pool.submit(look, 3).result()]
            return [*mapped, await asyncio.get_running_loop().run_in_executor(pool, look, 4)]

    assert asyncio.run(many()) == [1, 2, 3, 4]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(look, 5).result() == 5
    assert Spanwise.init().flush()
    root = next(span for span in sink.spans if span.name == "workflow.many")
    looks = [span.parent_span_id for span in sink.spans if span.name == "task.look"]
    assert looks == [root.span_id] * 4 + [b""]


def test_calls_of_models_have_standard_names(sink: Sink) -> None:
    provider = Spanwise.init().tracer_provider
    of_model = provider.get_tracer("openinference.instrumentation.openai")
    of_framework = provider.get_tracer("openinference.instrumentation.litellm")
    with of_framework.start_as_current_span("completion"):
        with of_model.start_as_current_span("ChatCompletion") as span:
            span.set_attribute("llm.model_name", "gpt-4o")
            span.set_attribute("llm.system", "openai")
            span.set_attribute("llm.invocation_parameters", '{"temperature": 0.25}')
        with of_model.start_as_current_span("chat", attributes={"gen_ai.request.temperature": 1}) as span:
            span.set_attribute("llm.model", "mine")
            span.set_attribute("gen_ai.request.model", "theirs")
        with provider.get_tracer("own").start_as_current_span("plain", attributes={"llm.model_name": "gpt-4o"}):
            pass
    assert Spanwise.init().flush()
    spans = {span.name: attributes(span) for span in sink.spans}
    call = spans["ChatCompletion"]
    assert (call["llm.provider"], call["llm.model"], call["llm.temperature"]) == ("openai", "gpt-4o", 0.25)
    assert (spans["chat"]["llm.model"], spans["chat"]["llm.temperature"]) == ("mine", 1.0)
    assert "llm.provider" not in spans["chat"]
    assert "llm.model" not in spans["plain"]
    assert {span["framework.name"] for span in spans.values()} == {"litellm"}


def test_a_provider_in_place_of_the_sdks_adds_nothing() -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("openinference.instrumentation.openai")
    span: Any = tracer.start_span("ChatCompletion", attributes={"llm.model_name": "gpt-4o"})
    span.end()
    assert dict(span.attributes) == {"llm.model_name": "gpt-4o"}


def test_what_stands_in_front_of_a_span_hands_down_what_the_span_does(sink: Sink) -> None:
    class Proxy(trace.NonRecordingSpan):
        __wrapped__: trace.Span

    with trace.get_tracer("t").start_as_current_span("above") as span:
        set_span_context({"conversation_id": "c-1"})
        for _ in range(2):
            proxy = Proxy(span.get_span_context())
            proxy.__wrapped__, span = span, proxy
    trace.get_tracer("t").start_span("below", context=trace.set_span_in_context(span)).end()
    assert Spanwise.init().flush()
    below = next(span for span in sink.spans if span.name == "below")
    assert attributes(below)["conversation.id"] == "c-1"
