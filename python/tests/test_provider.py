"""The provider is OpenTelemetry's: what instrumentations call, and what leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context.context import _RuntimeContext
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from conftest import Traced, attributes
from spanwise.opentelemetry import TracerProvider

MakeTraced = Callable[..., Traced]


def test_a_span_leaves_as_it_was_recorded(traced: Traced) -> None:
    with traced.tracer.start_as_current_span("call", kind=SpanKind.CLIENT, attributes={"a": 1}) as span:
        span.set_attribute("text", "ü")
        span.set_attribute("truth", True)
        span.set_attribute("number", 1.5)
        span.set_attribute("list", ["x", "y"])
        span.set_attribute("nested", {"k": [1, None]})
        span.set_attribute("bytes", b"\x00\xff")
        span.set_attribute("nothing", None)
        span.set_attributes({"b": 2, "a": 3})
        span.add_event("happened", {"e": 1}, timestamp=7)
        span.set_status(Status(StatusCode.ERROR, "why"))
    left = traced.span()
    assert (left.name, left.kind) == ("call", 3)
    assert attributes(left) == {
        "text": "ü",
        "truth": True,
        "number": 1.5,
        "list": ["x", "y"],
        "nested": {"k": [1, None]},
        "bytes": b"\x00\xff",
        "nothing": None,
        "b": 2,
        "a": 3,
    }
    (event,) = left.events
    assert (event.name, event.time_unix_nano, attributes(event)) == ("happened", 7, {"e": 1})
    assert (left.status.code, left.status.message) == (2, "why")
    assert 0 < left.start_time_unix_nano <= left.end_time_unix_nano


def test_the_current_span_is_ours_and_children_are_below_it(traced: Traced) -> None:
    assert trace.get_current_span() is trace.INVALID_SPAN
    with traced.tracer.start_as_current_span("root") as root:
        assert trace.get_current_span() is root
        with traced.tracer.start_as_current_span("child") as child:
            assert trace.get_current_span() is child
            assert child.parent == root.get_span_context()
            traced.tracer.start_span("leaf").end()
        assert trace.get_current_span() is root
    assert trace.get_current_span() is trace.INVALID_SPAN
    spans = {span.name: span for span in traced.spans()}
    assert spans["child"].parent_span_id == spans["root"].span_id
    assert spans["leaf"].parent_span_id == spans["child"].span_id
    assert not spans["root"].parent_span_id
    assert len({span.trace_id for span in spans.values()}) == 1


def test_an_explicit_context_decides_about_the_parent(traced: Traced) -> None:
    remote = SpanContext(
        0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1), trace_state=trace.TraceState([("k", "v")])
    )
    above = trace.set_span_in_context(NonRecordingSpan(remote))
    with (
        traced.tracer.start_as_current_span("other"),
        traced.tracer.start_as_current_span("below", context=above) as span,
    ):
        assert span.parent == remote
        assert span.get_span_context().trace_state == remote.trace_state
        headers: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(headers)
        assert headers["traceparent"].startswith(f"00-{0xABC:032x}-")
        assert headers["tracestate"] == "k=v"
    below = traced.span("below")
    assert (below.trace_id[-2:], below.parent_span_id[-2:]) == (b"\x0a\xbc", b"\x0d\xef")
    assert below.flags & 0x300 == 0x300
    assert traced.tracer.start_span("root", context=context_api.Context()).parent is None


def test_unsampled_parents_are_followed(traced: Traced) -> None:
    remote = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(0))
    span = traced.tracer.start_span("below", context=trace.set_span_in_context(NonRecordingSpan(remote)))
    assert isinstance(span, NonRecordingSpan)
    assert not span.is_recording()
    assert span.get_span_context().trace_id == 0xABC
    span.set_attribute("a", 1)
    span.end()
    assert traced.spans() == []


def test_exceptions_are_recorded_and_passed_on(traced: Traced) -> None:
    with pytest.raises(ValueError, match="boom"), traced.tracer.start_as_current_span("root"):
        raise ValueError("boom")
    left = traced.span()
    assert (left.status.code, left.status.message) == (2, "ValueError: boom")
    (event,) = left.events
    recorded = attributes(event)
    assert recorded["exception.type"] == "ValueError"
    assert recorded["exception.message"] == "boom"
    assert "test_exceptions_are_recorded" in recorded["exception.stacktrace"]
    assert recorded["exception.escaped"] == "False"


def test_what_is_no_error_is_not_recorded_as_one(traced: Traced) -> None:
    with pytest.raises(KeyboardInterrupt), traced.tracer.start_as_current_span("root"):
        raise KeyboardInterrupt
    assert traced.span().status.code == 0


def test_exceptions_of_odd_types_do_no_harm(traced: Traced) -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    with pytest.raises(Odd), traced.tracer.start_as_current_span("root"):
        raise Odd
    assert traced.span().status.message == "Odd: "


def test_a_span_that_has_ended_is_readable_and_warns(traced: Traced, caplog: pytest.LogCaptureFixture) -> None:
    span = traced.tracer.start_span("root", attributes={"a": 1})
    span.add_event("e")
    span.end(end_time=2**62)
    with caplog.at_level(logging.WARNING):
        span.set_attribute("b", 2)
        span.set_attributes({"b": 2})
        span.add_event("late")
        span.update_name("late")
        span.set_status(StatusCode.ERROR)
        span.end()
    assert [record.message for record in caplog.records] == [
        "Setting attribute on ended span.",
        "Setting attribute on ended span.",
        "Tried calling _add_event on an ended span.",
        "Tried calling update_name on an ended span.",
        "Tried calling set_status on an ended span.",
        "Calling end() on an ended span.",
    ]
    assert not span.is_recording()
    assert dict(span.attributes) == {"a": 1}
    assert [event.name for event in span.events] == ["e"]
    assert span.end_time == 2**62
    assert span.status.status_code is StatusCode.UNSET


def test_a_live_span_can_be_read(traced: Traced) -> None:
    link = Link(SpanContext(1, 2, is_remote=False), {"l": 1})
    with traced.tracer.start_as_current_span("root", kind=SpanKind.SERVER, links=[link], start_time=5) as span:
        span.set_attribute("a", ["x"])
        assert (span.name, span.kind, span.start_time, span.end_time) == ("root", SpanKind.SERVER, 5, None)
        assert span.attributes.get("a") == ("x",)
        assert span._attributes == {"a": ("x",)}
        assert span.links[0].context == link.context
        assert span.instrumentation_scope.name == "test"
        assert span.resource is traced.provider.resource
        assert span.status.is_unset
        assert span.parent is None
        assert (span.dropped_attributes, span.dropped_events, span.dropped_links) == (0, 0, 0)
        assert '"name": "root"' in span.to_json()
        assert isinstance(span, trace.Span)


def test_status_ok_is_final_and_unset_changes_nothing(traced: Traced) -> None:
    span = traced.tracer.start_span("root")
    span.set_status(StatusCode.ERROR, "first")
    span.set_status(StatusCode.UNSET)
    assert span.status.description == "first"
    span.set_status(StatusCode.OK)
    span.set_status(Status(StatusCode.ERROR, "late"))
    assert span.status.status_code is StatusCode.OK


def test_decorators_start_a_span_for_each_call(traced: Traced) -> None:
    @traced.tracer.start_as_current_span("sync")
    def sync(depth: int) -> int:
        return sync(depth - 1) + 1 if depth else 0

    @traced.tracer.start_as_current_span("async")
    async def waits() -> str:
        await asyncio.sleep(0)
        return "done"

    assert sync(2) == 2
    assert asyncio.run(waits()) == "done"
    assert [span.name for span in traced.spans()] == ["sync", "sync", "sync", "async"]


def test_python_processors_and_exporters_work(make_traced: MakeTraced) -> None:
    exporter, batched = InMemorySpanExporter(), InMemorySpanExporter()
    traced = make_traced()
    traced.provider.add_span_processor(span_processor=SimpleSpanProcessor(exporter))
    traced.provider.add_span_processor(BatchSpanProcessor(batched))
    with traced.tracer.start_as_current_span("root", attributes={"a": 1}) as span:
        span.record_exception(KeyError("k"))
    assert traced.provider.force_flush()
    for finished in (exporter.get_finished_spans(), batched.get_finished_spans()):
        (seen,) = finished
        assert (seen.name, dict(seen.attributes or {})) == ("root", {"a": 1})
        assert (seen.events[0].attributes or {})["exception.type"] == "KeyError"
        assert seen.context == span.get_span_context()
        assert seen.start_time is not None
        assert seen.end_time is not None
        assert seen.end_time >= seen.start_time
    assert attributes(traced.span()) == {"a": 1}


class Recording(sdk.SpanProcessor):
    def __init__(self, change: Callable[[Any], None] | None = None) -> None:
        self.started: list[Any] = []
        self.ended: list[Any] = []
        self.change = change

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.started.append((span.name, parent_context))
        span.set_attribute("by.processor", True)

    def on_end(self, span: Any) -> None:
        self.ended.append(dict(span.attributes))
        if self.change:
            self.change(span)


def test_processors_see_one_span_and_may_change_what_leaves(traced: Traced) -> None:
    def change(span: Any) -> None:
        span._attributes = {**span._attributes, "added": "yes"}
        span._status = Status(StatusCode.ERROR, "changed")

    first, second = Recording(change), Recording()
    traced.provider.add_span_processor(first)
    traced.provider.add_span_processor(second)
    traced.tracer.start_span("root").end()
    assert first.started == [("root", None)]
    assert second.ended == [{"by.processor": True, "added": "yes"}]
    left = traced.span()
    assert attributes(left) == {"by.processor": True, "added": "yes"}
    assert left.status.message == "changed"


def test_processors_can_be_replaced_in_place(traced: Traced) -> None:
    processor = Recording()
    traced.provider.add_span_processor(Recording())
    traced.provider._active_span_processor._span_processors = (processor,)
    traced.tracer.start_span("root").end()
    assert len(processor.ended) == 1
    traced.provider._active_span_processor._span_processors = ()
    traced.tracer.start_span("root").end()
    assert len(processor.ended) == 1


def test_a_processor_that_raises_does_no_harm(traced: Traced) -> None:
    class Broken(sdk.SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            raise RuntimeError("start")

        def on_end(self, span: Any) -> None:
            raise RuntimeError("end")

    traced.provider.add_span_processor(Broken())
    with traced.tracer.start_as_current_span("root"):
        pass
    assert traced.span().name == "root"


class Odd(sampling.Sampler):
    def __init__(self, decision: sampling.Decision) -> None:
        self.decision = decision

    def should_sample(self, *arguments: Any, **named: Any) -> sampling.SamplingResult:
        return sampling.SamplingResult(self.decision, {"sampler": "odd"}, trace.TraceState([("s", "1")]))

    def get_description(self) -> str:
        return "Odd"


def test_samplers_written_in_python_decide(make_traced: MakeTraced) -> None:
    kept = make_traced(sampler=Odd(sampling.Decision.RECORD_AND_SAMPLE))
    kept.tracer.start_span("root").end()
    assert attributes(kept.span()) == {"sampler": "odd"}
    assert kept.span().trace_state == "s=1"
    dropped = make_traced(sampler=Odd(sampling.Decision.DROP))
    assert isinstance(dropped.tracer.start_span("root"), NonRecordingSpan)
    local = make_traced(sampler=Odd(sampling.Decision.RECORD_ONLY))
    span = local.tracer.start_span("root")
    assert span.is_recording()
    span.end()
    assert local.spans() == []


@pytest.mark.parametrize(
    ("sampler", "n_spans"),
    [
        (sampling.ALWAYS_ON, 2),
        (sampling.ALWAYS_OFF, 0),
        (sampling.DEFAULT_ON, 2),
        (sampling.DEFAULT_OFF, 0),
        (sampling.TraceIdRatioBased(1.0), 2),
        (sampling.ParentBasedTraceIdRatio(0.0), 0),
    ],
)
def test_the_samplers_of_the_sdk_decide(make_traced: MakeTraced, sampler: Any, n_spans: int) -> None:
    traced = make_traced(sampler=sampler)
    assert traced.provider.sampler is sampler
    with traced.tracer.start_as_current_span("root"), traced.tracer.start_as_current_span("child"):
        pass
    assert len(traced.spans()) == n_spans


def test_ids_come_from_the_generator(make_traced: MakeTraced) -> None:
    class Counting(IdGenerator):
        def generate_span_id(self) -> int:
            return 7

        def generate_trace_id(self) -> int:
            return 9

    traced = make_traced(id_generator=Counting())
    context = traced.tracer.start_span("root").get_span_context()
    assert (context.trace_id, context.span_id) == (9, 7)


def test_limits_hold(make_traced: MakeTraced, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = sdk.SpanLimits(max_span_attributes=2, max_events=1, max_links=1, max_attribute_length=3)
    traced = make_traced(span_limits=limits)
    links = [Link(SpanContext(1, 2, is_remote=False)), Link(SpanContext(1, 3, is_remote=False))]
    span = traced.tracer.start_span("root", attributes={"a": "12345", "b": 2, "c": 3}, links=links)
    span.add_event("one")
    span.add_event("two")
    assert (span.dropped_attributes, span.dropped_events, span.dropped_links) == (1, 1, 1)
    assert dict(span.attributes) == {"b": 2, "c": 3}
    span.set_attribute("text", "12345")
    assert span.attributes["text"] == "123"
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1")
    by_environment = make_traced().tracer.start_span("root", attributes={"a": 1, "b": 2})
    assert len(by_environment.attributes) == 1


def test_keys_and_values_of_wrong_types_are_said_and_dropped(traced: Traced, caplog: pytest.LogCaptureFixture) -> None:
    span: Any = traced.tracer.start_span("root")
    with caplog.at_level(logging.WARNING):
        span.set_attribute("", 1)
        span.set_attribute(1, 1)
        span.set_attribute("object", object())
        span.set_attribute("huge", 2**80)
        span.set_attribute("surrogate", "\ud800")
        span.set_attributes({None: 1, "ok": 1})
    span.end()
    assert len(caplog.records) == 4
    assert attributes(traced.span()) == {"object": None, "huge": str(2**80), "surrogate": "\ufffd" * 3, "ok": 1}


def test_tracers_are_the_same_for_the_same_scope(traced: Traced, caplog: pytest.LogCaptureFixture) -> None:
    provider = traced.provider
    assert provider.get_tracer("a", "1") is provider.get_tracer("a", "1")
    assert provider.get_tracer("a", "1") is not provider.get_tracer("a", "2")
    provider.get_tracer("")
    assert "missing module name" in caplog.text


def test_the_provider_is_what_the_sdks_is(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(traced.provider, sdk.TracerProvider)
    assert isinstance(traced.tracer, trace.Tracer)
    assert isinstance(traced.tracer.start_span("s"), sdk.Span)
    tracer: Any = traced.tracer
    assert tracer.sampler.get_description().startswith("ParentBased{root:AlwaysOnSampler")
    assert tracer.resource.attributes["telemetry.sdk.language"] == "python"
    assert tracer.id_generator.generate_span_id()
    assert tracer.span_processor is traced.provider._active_span_processor
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert isinstance(TracerProvider().get_tracer("a"), trace.NoOpTracer)
    with pytest.raises(TypeError, match="samplre"):
        TracerProvider(samplre=1)

    class Derived(TracerProvider):
        def get_tracer(self, *arguments: Any, **named: Any) -> trace.Tracer:
            return super().get_tracer("derived")

    monkeypatch.delenv("OTEL_SDK_DISABLED")
    span: Any = Derived().get_tracer("a").start_span("s")
    assert span.instrumentation_scope.name == "derived"


def test_another_runtime_context_is_used(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stack(_RuntimeContext):
        def __init__(self) -> None:
            self.stack = [context_api.Context()]

        def attach(self, context: context_api.Context) -> Any:
            self.stack.append(context)
            return len(self.stack)

        def get_current(self) -> context_api.Context:
            return self.stack[-1]

        def detach(self, token: Any) -> None:
            del self.stack[token - 1 :]

    monkeypatch.setattr(context_api, "_RUNTIME_CONTEXT", Stack())
    with traced.tracer.start_as_current_span("root") as root:
        assert trace.get_current_span() is root
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_hundred_threads_lose_nothing(traced: Traced) -> None:
    def work(number: int) -> None:
        for _ in range(50):
            with traced.tracer.start_as_current_span("root") as span:
                span.set_attribute("thread", number)

    with ThreadPoolExecutor(100) as pool:
        list(pool.map(work, range(100)))
    assert len(traced.spans()) == 5000


def test_a_span_may_be_used_by_many_threads(traced: Traced) -> None:
    class Slow(dict[str, Any]):
        def items(self) -> Any:
            yield from super().items()

    span = traced.tracer.start_span("shared")

    def work(number: int) -> None:
        for at in range(20):
            span.set_attribute(f"{number % 5}", number)
            span.add_event("e", Slow({"at": at}))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, range(20)))
    span.end()
    left = traced.span()
    assert len(left.attributes) == 5
    assert len(left.events) + left.dropped_events_count == 400


def test_a_thousand_tasks_keep_their_own_spans(traced: Traced) -> None:
    async def task(number: int) -> None:
        with traced.tracer.start_as_current_span("outer", attributes={"n": number}) as outer:
            await asyncio.sleep(0)
            with traced.tracer.start_as_current_span("inner") as inner:
                await asyncio.sleep(0)
                assert inner.parent == outer.get_span_context()
            assert trace.get_current_span() is outer

    async def main() -> None:
        await asyncio.gather(*(task(number) for number in range(1000)))

    asyncio.run(main())
    assert len(traced.spans()) == 2000


def test_ten_megabytes_leave_whole(traced: Traced) -> None:
    traced.tracer.start_span("big", attributes={"text": "x" * 10_000_000}).end()
    assert len(attributes(traced.span())["text"]) == 10_000_000


def test_a_burst_is_delivered_or_counted(traced: Traced) -> None:
    for _ in range(50_000):
        with traced.tracer.start_as_current_span("s") as span:
            span.set_attribute("a", 1)
    traced.provider.force_flush()
    metrics = traced.provider._core.metrics()
    assert metrics["spans_started"] == 50_000
    assert metrics["spans_exported"] + metrics["spans_dropped"] == 50_000
    assert len(traced.sink.spans) == metrics["spans_exported"]


def test_an_exporter_that_raises_is_counted(make_traced: MakeTraced) -> None:
    def fail(request: bytes) -> None:
        raise OSError("no")

    provider = TracerProvider(_exporters=[fail])
    provider.get_tracer("t").start_span("s").end()
    assert not provider.force_flush()
    assert provider._core.metrics()["spans_dropped"] == 1
    provider.shutdown()
