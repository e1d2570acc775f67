"""The engine: drives requests, which `spanwise._core` implements, and calls adapters in between."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from os import PathLike
from typing import Any

from spanwise import _core
from spanwise.rag_control._tracers import choice
from spanwise.rag_control._types import LLM, Answer, QueryEmbedding, UserContext, VectorStore

END: Any = object()


class RAGControl:
    """Answers questions from documents, under the policies of a file.

    Adapters are objects with the methods of :class:`LLM`, :class:`QueryEmbedding` and
    :class:`VectorStore`, blocking or not, whichever way a question is asked. Without a ``tracer``
    requests are spans of OpenTelemetry if a provider is configured, else log lines on standard error.
    """

    def __init__(
        self,
        llm: LLM,
        query_embedding: QueryEmbedding,
        vector_store: VectorStore,
        config_path: str | PathLike[str],
        tracer: Any = None,
    ) -> None:
        self.llm = llm
        self.query_embedding = query_embedding
        self.vector_store = vector_store
        self._core = _core.RagEngine(config_path, choice(tracer))
        self._takes_depth = {
            method: takes(getattr(llm, method), "reasoning_depth") for method in ("generate", "stream")
        }

    def run(self, query: str, context: UserContext) -> Answer:
        """Answers a question."""
        exchange = self._begin(False, query, context)
        try:
            proceed, prompt = self._find(exchange, query)
            if not proceed:
                return Answer.of(prompt)
            generated = call(exchange, self.llm.generate, **self._arguments("generate", prompt))
            return Answer.of(exchange.generated(generated))
        finally:
            exchange.close()

    async def arun(self, query: str, context: UserContext) -> Answer:
        """Answers a question without blocking."""
        exchange = self._begin(False, query, context)
        try:
            proceed, prompt = await self._afind(exchange, query)
            if not proceed:
                return Answer.of(prompt)
            generated = await acall(exchange, self.llm.generate, **self._arguments("generate", prompt))
            return Answer.of(exchange.generated(generated))
        finally:
            exchange.close()

    def stream(self, query: str, context: UserContext) -> AnswerStream:
        """Answers a question piece by piece. What is given has been checked as far as it can be."""
        return AnswerStream(self, query, context)

    def astream(self, query: str, context: UserContext) -> AsyncAnswerStream:
        """Answers a question piece by piece without blocking."""
        return AsyncAnswerStream(self, query, context)

    def _begin(self, streams: bool, query: str, context: UserContext) -> _core.RagExchange:
        llm, embedding = self.llm, self.query_embedding
        adapters = (
            *(str(llm.model), getattr(llm, "provider", None)),
            *(str(embedding.model), getattr(embedding, "provider", None)),
            *(int(embedding.dimensions), str(self.vector_store.name)),
        )
        user = (str(context.user_id), str(context.org_id), context.attributes)
        return self._core.begin(streams, query, user, adapters)

    def _find(self, exchange: _core.RagExchange, query: str) -> tuple[bool, dict[str, Any]]:
        vector = call(exchange, self.query_embedding.embed, query)
        if (search := exchange.embedded(vector)) is None:
            return exchange.found([])
        top_k, filter = search
        return exchange.found(call(exchange, self.vector_store.search, vector, top_k=top_k, filter=filter))

    async def _afind(self, exchange: _core.RagExchange, query: str) -> tuple[bool, dict[str, Any]]:
        vector = await acall(exchange, self.query_embedding.embed, query)
        if (search := exchange.embedded(vector)) is None:
            return exchange.found([])
        top_k, filter = search
        return exchange.found(await acall(exchange, self.vector_store.search, vector, top_k=top_k, filter=filter))

    def _arguments(self, method: str, prompt: dict[str, Any]) -> dict[str, Any]:
        """What the model is called with. Not every model can be told how long to think."""
        depth = prompt.pop("reasoning_depth")
        if depth is not None and self._takes_depth[method]:
            prompt["reasoning_depth"] = depth
        return prompt

    def _pieces(self, stream: AnswerStream, query: str, context: UserContext) -> Generator[str]:
        exchange = self._begin(True, query, context)
        pieces: Any = None
        try:
            proceed, prompt = self._find(exchange, query)
            if not proceed:
                stream.result = Answer.of(prompt)
                yield stream.result.content
                return
            pieces = call(exchange, self.llm.stream, **self._arguments("stream", prompt))
            pieces = call(exchange, blocking, pieces)
            while (piece := call(exchange, next, pieces, END)) is not END:
                if text := exchange.piece(piece):
                    yield text
            fields, rest = exchange.finished()
            stream.result = Answer.of(fields)
            if rest:
                yield rest
        finally:
            exchange.close()
            if pieces is not None and hasattr(pieces, "close"):
                pieces.close()

    async def _apieces(self, stream: AsyncAnswerStream, query: str, context: UserContext) -> AsyncGenerator[str]:
        exchange = self._begin(True, query, context)
        pieces: Any = None
        try:
            proceed, prompt = await self._afind(exchange, query)
            if not proceed:
                stream.result = Answer.of(prompt)
                yield stream.result.content
                return
            pieces = await acall(exchange, self.llm.stream, **self._arguments("stream", prompt))
            pieces = call(exchange, aiter if hasattr(pieces, "__aiter__") else iter, pieces)
            while (piece := await anext_of(exchange, pieces)) is not END:
                if text := exchange.piece(piece):
                    yield text
            fields, rest = exchange.finished()
            stream.result = Answer.of(fields)
            if rest:
                yield rest
        finally:
            exchange.close()
            if pieces is not None and hasattr(pieces, "aclose"):
                await pieces.aclose()


class AnswerStream:
    """The pieces of an answer. When they have come, ``result`` is the whole."""

    def __init__(self, engine: RAGControl, query: str, context: UserContext) -> None:
        self.result: Answer | None = None
        self._pieces = engine._pieces(self, query, context)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self._pieces)

    def close(self) -> None:
        """Ends the request, if it is not over."""
        self._pieces.close()


class AsyncAnswerStream:
    """The pieces of an answer, without blocking. When they have come, ``result`` is the whole."""

    def __init__(self, engine: RAGControl, query: str, context: UserContext) -> None:
        self.result: Answer | None = None
        self._pieces = engine._apieces(self, query, context)

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        """Ends the request, if it is not over."""
        await self._pieces.aclose()


def takes(function: Callable[..., Any], name: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    return name in parameters or any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())


def call(exchange: _core.RagExchange, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Calls an adapter inside the span of the stage."""
    try:
        with exchange:
            result = function(*arguments, **named)
            return finish(result) if inspect.isawaitable(result) else result
    except Exception as error:
        raise exchange.failed(error) from error


async def acall(exchange: _core.RagExchange, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """The same without blocking: what blocks is called in a thread."""
    try:
        with exchange:
            if inspect.iscoroutinefunction(function):
                return await function(*arguments, **named)
            if inspect.isasyncgenfunction(function):
                return function(*arguments, **named)
            result = await asyncio.to_thread(function, *arguments, **named)
            return await result if inspect.isawaitable(result) else result
    except Exception as error:
        raise exchange.failed(error) from error


async def anext_of(exchange: _core.RagExchange, pieces: Any) -> Any:
    if not hasattr(pieces, "__anext__"):
        return await acall(exchange, next, pieces, END)
    try:
        with exchange:
            return await anext(pieces, END)
    except Exception as error:
        raise exchange.failed(error) from error


async def awaited(awaitable: Any) -> Any:
    return await awaitable


def finish(awaitable: Any) -> Any:
    """The result of something that is awaited, for a caller that blocks."""
    return run_coroutine(awaited(awaitable), asyncio.run)


def run_coroutine(coroutine: Coroutine[Any, Any, Any], run: Callable[[Any], Any]) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run(coroutine)
    # This thread's loop is busy with the caller.
    outcome: list[tuple[bool, Any]] = []

    def work() -> None:
        try:
            outcome.append((True, run(coroutine)))
        except BaseException as error:
            outcome.append((False, error))

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,))
    thread.start()
    thread.join()
    succeeded, result = outcome[0]
    if succeeded:
        return result
    raise result


def blocking(pieces: Any) -> Iterator[Any]:
    """Pieces for a caller that blocks."""
    return each_blocking(pieces) if hasattr(pieces, "__aiter__") else iter(pieces)


def each_blocking(pieces: Any) -> Generator[Any]:
    loop = asyncio.new_event_loop()
    source = aiter(pieces)
    try:
        while (piece := run_coroutine(awaited(anext(source, END)), loop.run_until_complete)) is not END:
            yield piece
    finally:
        if hasattr(source, "aclose"):
            run_coroutine(source.aclose(), loop.run_until_complete)
        loop.close()
