"""Decorators: what they record, and that nobody notices them."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import inspect
import itertools
import json
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest
from opentelemetry import trace

from conftest import Traced, attributes
from spanwise import _state, agent, task, tool, workflow
from spanwise.tracing import ensure_context_propagation, set_span_context, track_resource_usage


@pytest.fixture(autouse=True)
def decorated(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> Traced:
    monkeypatch.setattr(_state.STATE, "tracer", traced.tracer)
    return traced


def input_of(span: Any) -> Any:
    return json.loads(attributes(span)["input.value"])


def output_of(span: Any) -> Any:
    return json.loads(attributes(span)["output.value"])


def test_a_workflow_is_a_tree(traced: Traced) -> None:
    @tool
    def weather(city: str) -> float:
        return 14.5

    @task(name="look")
    def look(city: str, *more: int, unit: str = "C", **others: Any) -> str:
        return f"{weather(city)} {unit}"

    @agent()
    async def forecaster(city: str) -> str:
        await asyncio.sleep(0)
        return look(city, 1, 2, extra=[None, True])

    @workflow(name="chat", organization_id="acme", project_id="support")
    def chat(question: str) -> dict[str, str]:
        return {"answer": asyncio.run(forecaster(question))}

    assert chat("Oslo") == {"answer": "14.5 C"}
    spans = {span.name: span for span in traced.spans()}
    names = ["workflow.chat", "agent.forecaster", "task.look", "tool.weather"]
    assert list(spans) == names
    for above, below in itertools.pairwise(names):
        assert spans[below].parent_span_id == spans[above].span_id
    assert input_of(spans["task.look"]) == {"city": "Oslo", "more": [1, 2], "extra": [None, True]}
    assert output_of(spans["workflow.chat"]) == {"answer": "14.5 C"}
    assert output_of(spans["tool.weather"]) == 14.5
    for span in spans.values():
        assert attributes(span)["organization.id"] == "acme"
        assert attributes(span)["project.id"] == "support"
        assert attributes(span)["input.mime_type"] == "application/json"
    assert attributes(spans["workflow.chat"])["spanwise.kind"] == "workflow"
    assert attributes(spans["tool.weather"])["gen_ai.tool.name"] == "weather"
    assert attributes(spans["agent.forecaster"])["gen_ai.operation.name"] == "invoke_agent"


def test_functions_stay_what_they_were() -> None:
    @workflow
    def plain(a: int, b: str = "x") -> int:
        """Says."""
        return a

    @workflow
    async def coroutine() -> None: ...

    @workflow
    def generator() -> Iterator[int]:
        yield 1

    @workflow
    async def async_generator() -> AsyncIterator[int]:
        yield 1

    assert (plain.__name__, plain.__doc__) == ("plain", "Says.")
    assert list(inspect.signature(plain).parameters) == ["a", "b"]
    assert inspect.iscoroutinefunction(coroutine)
    assert inspect.isgeneratorfunction(generator)
    assert inspect.isasyncgenfunction(async_generator)


def test_exceptions_pass_and_are_recorded(traced: Traced) -> None:
    class Odd(BaseException):
        pass

    @task
    def fails(error: BaseException) -> None:
        raise error

    with pytest.raises(ValueError, match="boom"):
        fails(ValueError("boom"))
    with pytest.raises(Odd):
        fails(Odd())
    first, second = traced.spans()
    assert (first.status.code, first.status.message) == (2, "ValueError: boom")
    assert attributes(first.events[0])["exception.type"] == "ValueError"
    assert second.status.code == 0


def test_without_tracing_functions_run_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_state.STATE, "tracer", None)

    @workflow
    def plain() -> bool:
        return trace.get_current_span().get_span_context().is_valid

    assert plain() is False


def test_unsampled_calls_look_at_nothing(make_traced: Callable[..., Traced], monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.sdk.trace import sampling

    monkeypatch.setattr(_state.STATE, "tracer", make_traced(sampler=sampling.DEFAULT_OFF).tracer)

    class Shy:
        def __str__(self) -> str:
            raise AssertionError("looked at")

        __repr__ = __str__

    @workflow
    def takes(shy: Shy) -> Shy:
        return shy

    takes(Shy())


def test_generators_hold_their_span_only_while_they_run(traced: Traced) -> None:
    @tool
    def inner() -> None: ...

    @task
    def counts(n: int) -> Generator[str, str, str]:
        got = ""
        for at in range(n):
            inner()
            got += (yield str(at)) or ""
        return got

    with traced.tracer.start_as_current_span("caller") as caller:
        generator = counts(2)
        assert next(generator) == "0"
        assert trace.get_current_span() is caller
        traced.tracer.start_span("between").end()
        assert generator.send("a") == "1"
        with pytest.raises(StopIteration) as stop:
            generator.send("b")
        assert stop.value.value == "ab"
    spans = {span.name: span for span in traced.spans()}
    assert spans["between"].parent_span_id == spans["caller"].span_id
    assert spans["tool.inner"].parent_span_id == spans["task.counts"].span_id
    assert output_of(spans["task.counts"]) == "01"


def test_generators_that_are_closed_early_or_fail_end_their_span(traced: Traced) -> None:
    cleaned: list[str] = []

    @task(name="early")
    def early() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            cleaned.append("early")

    @task(name="failing")
    def failing() -> Iterator[int]:
        yield 1
        raise KeyError("k")

    @task(name="catching")
    def catching() -> Iterator[int]:
        try:
            yield 1
        except ValueError:
            yield 2

    for _ in early():
        break
    assert cleaned == ["early"]
    with pytest.raises(KeyError):
        list(failing())
    generator: Any = catching()
    assert next(generator) == 1
    assert generator.throw(ValueError()) == 2
    assert list(generator) == []
    spans = {span.name: span for span in traced.spans()}
    assert spans["task.early"].status.code == 0
    assert output_of(spans["task.early"]) == [1]
    assert spans["task.failing"].status.code == 2
    assert spans["task.catching"].status.code == 0
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_async_generators_hold_their_span_only_while_they_run(traced: Traced) -> None:
    @tool
    async def inner() -> None:
        await asyncio.sleep(0)

    @agent
    async def speaks() -> AsyncIterator[str]:
        for word in ("a", "b", "c"):
            await inner()
            yield word

    async def main() -> list[str]:
        words: list[str] = []
        with traced.tracer.start_as_current_span("caller") as caller:
            async for word in speaks():
                assert trace.get_current_span() is caller
                words.append(word)
            early: Any = speaks()
            await anext(early)
            await early.aclose()
            assert trace.get_current_span() is caller
        return words

    assert asyncio.run(main()) == ["a", "b", "c"]
    spans = [span for span in traced.spans() if span.name == "agent.speaks"]
    assert [output_of(span) for span in spans] == ["abc", "a"]
    assert len({span.parent_span_id for span in spans}) == 1
    inner_spans = [span for span in traced.spans() if span.name == "tool.inner"]
    assert {span.parent_span_id for span in inner_spans} == {span.span_id for span in spans}


def test_cancelled_tasks_end_their_span(traced: Traced) -> None:
    @task
    async def waits() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        running = asyncio.ensure_future(waits())
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert traced.span().status.code == 0


def test_methods_are_recorded_without_their_object(traced: Traced) -> None:
    class Bot:
        @task
        def method(self, a: int) -> int:
            return a

        @classmethod
        @task
        def of_class(cls, a: int) -> int:
            return a

        @task
        @staticmethod
        def static(a: int) -> int:
            return a

    assert (Bot().method(1), Bot.of_class(2), Bot.static(3)) == (1, 2, 3)
    assert [input_of(span) for span in traced.spans()] == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_a_class_is_traced_at_its_entry_points_once(traced: Traced) -> None:
    @agent(name="bot")
    class Bot:
        def run(self, question: str) -> str:
            return self.invoke(question)

        def invoke(self, question: str) -> str:
            return question.upper()

        async def arun(self, question: str) -> str:
            return self.run(question)

        def helper(self) -> None: ...

    assert isinstance(Bot, type)
    assert Bot().run("a") == "A"
    assert Bot().invoke("b") == "B"
    assert asyncio.run(Bot().arun("c")) == "C"
    Bot().helper()
    assert [(span.name, input_of(span)["question"]) for span in traced.spans()] == [
        ("agent.bot", "a"),
        ("agent.bot", "b"),
        ("agent.bot", "c"),
    ]


def test_two_objects_of_a_class_are_two_calls(traced: Traced) -> None:
    @agent
    class Node:
        def __init__(self, next_one: Node | None = None) -> None:
            self.next_one = next_one

        def run(self) -> int:
            return 1 + (self.next_one.run() if self.next_one else 0)

    assert Node(Node()).run() == 2
    assert len(traced.spans()) == 2


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    color: Color


def test_arguments_of_all_sorts_are_shown(traced: Traced) -> None:
    class Raises:
        def __str__(self) -> str:
            raise RuntimeError("no")

        __repr__ = __str__

    loop: list[Any] = []
    loop.append(loop)

    @task(skip=["secret"], skip_output=True)
    def takes(**values: Any) -> str:
        return "out"

    takes(point=Point(1, Color.RED), raises=Raises(), nan=float("nan"), key={1: {2}}, text='"\\\n\x01ü', secret="s")
    takes(loop=loop)
    first, second = traced.spans()
    assert input_of(first) == {
        "point": {"x": 1, "color": "red"},
        "raises": "<Raises>",
        "nan": "NaN",
        "key": {"1": [2]},
        "text": '"\\\n\x01ü',
    }
    assert "output.value" not in attributes(first)
    assert attributes(second)["input.value"].startswith('{"loop":[[[')


def test_recursion_is_a_deep_tree(traced: Traced) -> None:
    @task
    def down(n: int) -> int:
        return down(n - 1) + 1 if n else 0

    assert down(200) == 200
    assert len(traced.spans()) == 201


def test_a_coroutine_of_a_plain_function_belongs_to_the_call(traced: Traced) -> None:
    async def waits() -> str:
        await asyncio.sleep(0)
        traced.tracer.start_span("inside").end()
        return "done"

    @task
    def starts() -> Any:
        return waits()

    assert asyncio.run(starts()) == "done"
    spans = {span.name: span for span in traced.spans()}
    assert spans["inside"].parent_span_id == spans["task.starts"].span_id
    assert output_of(spans["task.starts"]) == "done"


def test_unknown_options_and_targets_are_refused() -> None:
    decorator: Any = workflow
    with pytest.raises(TypeError, match="organisation_id"):
        decorator(organisation_id="x")
    with pytest.raises(TypeError, match="not int"):
        decorator(3)


def test_context_is_handed_down_until_the_call_ends(traced: Traced) -> None:
    @task
    def step() -> None: ...

    @workflow
    def chat() -> None:
        step()
        set_span_context({"user_id": "u-17", "custom.key": 1})
        step()

    chat()
    step()
    found = [(span.name, attributes(span).get("user.id")) for span in traced.spans()]
    assert found == [("workflow.chat", "u-17"), ("task.step", None), ("task.step", "u-17"), ("task.step", None)]


def test_context_reaches_other_threads(traced: Traced) -> None:
    from concurrent.futures import ThreadPoolExecutor

    @task
    def step() -> None: ...

    @workflow
    def chat() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(ensure_context_propagation(step)).result()

    chat()
    spans = {span.name: span for span in traced.spans()}
    assert spans["task.step"].parent_span_id == spans["workflow.chat"].span_id


def test_what_a_call_took_is_recorded(traced: Traced) -> None:
    @workflow
    @track_resource_usage
    def works() -> int:
        return sum(range(100_000))

    assert works() == sum(range(100_000))
    recorded = attributes(traced.span())
    assert recorded["process.memory.usage_bytes"] > 1_000_000
    assert recorded["process.cpu.time_seconds"] > 0
