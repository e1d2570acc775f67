"""LangChain's spans become current while what they stand for runs.

Its instrumentation learns of runs by callbacks and starts spans that are never current, for a
callback cannot say when to leave. So what a model's client, a tool or a node of a graph records
would stand beside them, and the tokens of a call would count twice. LangChain itself runs tools
and nodes in contexts of their own: there the span is added. Models and retrievers are called
plainly: there the context is put back when the call, or a step of its stream, returns.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context

from spanwise._changes import Changes

logger = logging.getLogger("spanwise.tracing")

# Marks a context that is put back by `Region`, so that a span may be made current inside.
IN_REGION = context_api.create_key("spanwise-langchain-region")

# Where a run's context is made.
CONTEXTS = ("langchain_core.runnables.config", "langgraph._internal._runnable")
# What calls a model or a retriever, and what tells callbacks that it starts.
CALLS = {
    "langchain_core.language_models.chat_models:BaseChatModel": ("generate", "agenerate", "stream", "astream"),
    "langchain_core.language_models.llms:BaseLLM": ("generate", "agenerate", "stream", "astream"),
    "langchain_core.retrievers:BaseRetriever": ("invoke", "ainvoke"),
}
STARTS = ("on_chat_model_start", "on_llm_start", "on_retriever_start")
MANAGERS = ("CallbackManager", "AsyncCallbackManager")


def amend(instrumentor: Any, changes: Changes) -> None:
    Nesting(instrumentor.get_span, changes).start()


class Nesting:
    """The changes to LangChain."""

    def __init__(self, get_span: Callable[[Any], Any], changes: Changes) -> None:
        self.get_span = get_span
        self.replace = changes.replace

    def start(self) -> None:
        managers = importlib.import_module("langchain_core.callbacks.manager")
        for name in MANAGERS:
            for start in STARTS:
                self.replace(getattr(managers, name), start, self.entering)
        for place, names in CALLS.items():
            module, _, kind = place.partition(":")
            for name in names:
                self.replace(getattr(importlib.import_module(module), kind), name, in_region)
        for module in CONTEXTS:
            self.nest_contexts(module)

    def nest_contexts(self, module: str) -> None:
        from spanwise._instrument import AFTER_IMPORT

        def nest() -> None:
            self.replace(importlib.import_module(module), "_set_config_context", self.with_span_of_config)

        # LangGraph may be imported later, or never.
        AFTER_IMPORT.call(module, nest)

    def with_span_of_config(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """LangChain calls this inside a context that it made for a run and then drops."""

        @functools.wraps(original)
        def set_config_context(config: Any, *args: Any, **kwargs: Any) -> Any:
            run_id = getattr((config or {}).get("callbacks"), "parent_run_id", None)
            self.enter(run_id)
            return original(config, *args, **kwargs)

        return set_config_context

    def entering(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The span of the run that starts becomes current, if somebody will put the context back."""

        if inspect.iscoroutinefunction(original):

            @functools.wraps(original)
            async def start_async(*args: Any, **kwargs: Any) -> Any:
                started = await original(*args, **kwargs)
                self.enter_started(started)
                return started

            return start_async

        @functools.wraps(original)
        def start(*args: Any, **kwargs: Any) -> Any:
            started = original(*args, **kwargs)
            self.enter_started(started)
            return started

        return start

    def enter_started(self, started: Any) -> None:
        runs = started if isinstance(started, list) else [started]
        # Of a batch that runs at once, none is the one that is current.
        if len(runs) == 1 and context_api.get_value(IN_REGION):
            self.enter(getattr(runs[0], "run_id", None))

    def enter(self, run_id: Any) -> None:
        try:
            span = self.get_span(run_id) if run_id is not None else None
            if span is not None:
                context_api.attach(trace.set_span_in_context(span))
        except Exception:
            logger.debug("a run of LangChain is not nested", exc_info=True)


class Region:
    """A context that goes on from step to step, and is left between them."""

    def __init__(self) -> None:
        self.inside: Context = context_api.set_value(IN_REGION, True)

    @contextmanager
    def step(self) -> Iterator[None]:
        token = context_api.attach(self.inside)
        try:
            yield
        finally:
            self.inside = context_api.get_current()
            context_api.detach(token)


def in_region(original: Callable[..., Any]) -> Callable[..., Any]:
    """A function, a coroutine function or a generator whose changes of the context end with it."""

    if inspect.isasyncgenfunction(original):

        @functools.wraps(original)
        async def stream_async(*args: Any, **kwargs: Any) -> Any:
            region, stream = Region(), original(*args, **kwargs)
            try:
                while True:
                    try:
                        with region.step():
                            item = await anext(stream)
                    except StopAsyncIteration:
                        return
                    yield item
            finally:
                with region.step():
                    await stream.aclose()

        return stream_async

    if inspect.isgeneratorfunction(original):

        @functools.wraps(original)
        def stream(*args: Any, **kwargs: Any) -> Any:
            region, inner = Region(), original(*args, **kwargs)
            try:
                while True:
                    try:
                        with region.step():
                            item = next(inner)
                    except StopIteration:
                        return
                    yield item
            finally:
                with region.step():
                    inner.close()

        return stream

    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with Region().step():
                return await original(*args, **kwargs)

        return call_async

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        with Region().step():
            return original(*args, **kwargs)

    return call
