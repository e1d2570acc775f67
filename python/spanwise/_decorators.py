"""``workflow``, ``task``, ``agent`` and ``tool``: functions, methods and classes as spans.

A failure of tracing never reaches the function or its caller; neither does a different result.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar, cast, overload

from spanwise import _core
from spanwise._names import context_key
from spanwise._state import STATE

F = TypeVar("F")

logger = logging.getLogger("spanwise.tracing")

# OpenTelemetry's operation, and the key that has the name.
ROLES = {
    "workflow": ("invoke_workflow", "gen_ai.workflow.name"),
    "task": (None, "gen_ai.task.name"),
    "agent": ("invoke_agent", "gen_ai.agent.name"),
    "tool": ("execute_tool", "gen_ai.tool.name"),
}
# What is traced of a class.
ENTRY_POINTS = ("__call__", "run", "arun", "invoke", "ainvoke", "execute", "kickoff", "chat", "stream")
# Steps of a generator whose values are kept for the output.
MAX_STEPS = 10_000


class Decorator(Protocol):
    """A decorator, bare or with options."""

    @overload
    def __call__(self, function: F, /) -> F: ...
    @overload
    def __call__(
        self,
        *,
        name: str | None = None,
        organization_id: str | None = None,
        project_id: str | None = None,
        agent_id: str | None = None,
        request_id: str | None = None,
        conversation_id: str | None = None,
        user_id: str | None = None,
        skip: Sequence[str] = (),
        skip_output: bool = False,
    ) -> Callable[[F], F]: ...


def make_decorator(role: str) -> Decorator:
    def decorator(
        function: Any = None,
        /,
        *,
        name: str | None = None,
        skip: Sequence[str] = (),
        skip_output: bool = False,
        **context: str | None,
    ) -> Any:
        known = ("organization_id", "project_id", "agent_id", "request_id", "conversation_id", "user_id")
        if unknown := next((given for given in context if given not in known), None):
            raise TypeError(f"{role}() got an unexpected keyword argument '{unknown}'")

        def decorate(target: Any) -> Any:
            return Decorated(role, name, context, skip, skip_output).decorate(target)

        return decorate if function is None else decorate(function)

    decorator.__name__ = decorator.__qualname__ = role
    decorator.__doc__ = f"Runs every call in a span ``{role}.<name>``."
    return cast(Decorator, decorator)


workflow = make_decorator("workflow")
task = make_decorator("task")
agent = make_decorator("agent")
tool = make_decorator("tool")


class Decorated:
    """One use of a decorator."""

    def __init__(
        self, role: str, name: str | None, context: dict[str, str | None], skip: Sequence[str], skip_output: bool
    ) -> None:
        self.role = role
        self.name = name
        self.context = {context_key(key): str(value) for key, value in context.items() if value is not None}
        self.skip = [skip] if isinstance(skip, str) else list(skip)
        self.skip_output = skip_output

    def decorate(self, target: Any) -> Any:
        if isinstance(target, type):
            return self.decorate_class(target)
        if isinstance(target, (staticmethod, classmethod)):
            return type(target)(self.wrap(target.__func__, None))
        if not callable(target):
            raise TypeError(f"{self.role} decorates functions, methods and classes, not {type(target).__name__}")
        return self.wrap(target, None)

    def decorate_class(self, target: type) -> type:
        """Traces the entry points of a class; one that another one calls is part of that call."""
        guard = f"spanwise-entry-{id(target)}"
        for name in ENTRY_POINTS:
            method = inspect.getattr_static(target, name, None)
            # A class is called to make an object; only what its objects do when called counts.
            if name == "__call__" and "__call__" not in target.__dict__ and not inspect.isfunction(method):
                continue
            if inspect.isfunction(method):
                setattr(target, name, self.wrap(method, guard, self.name or target.__name__))
        return target

    def operation(self, function: Callable[..., Any], guard: str | None, name: str | None) -> _core.Operation:
        name = name or self.name or getattr(function, "__name__", None) or type(function).__name__
        operation, name_key = ROLES[self.role]
        attributes = {"spanwise.kind": self.role, name_key: name}
        if operation is not None:
            attributes["gen_ai.operation.name"] = operation
        parameters, rest = parameter_names(function)
        skip_first = bool(parameters) and (guard is not None or parameters[0] in ("self", "cls"))
        return _core.Operation(
            self.role,
            f"{self.role}.{name}",
            attributes,
            self.context,
            parameters,
            rest,
            skip_first,
            self.skip,
            not self.skip_output,
            guard,
        )

    def wrap(self, function: Callable[..., Any], guard: str | None, name: str | None = None) -> Callable[..., Any]:
        try:
            operation = self.operation(function, guard, name)
        except Exception:
            logger.warning("%r is not traced", function, exc_info=True)
            return function
        if inspect.isasyncgenfunction(function):
            return wrap_async_generator(function, operation)
        if inspect.isgeneratorfunction(function):
            return wrap_generator(function, operation)
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
            return wrap_coroutine_function(function, operation)
        return wrap_function(function, operation)


def parameter_names(function: Callable[..., Any]) -> tuple[list[str], str]:
    """The names of positional parameters, and of the one that takes the rest."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        # Built-in functions do not always tell.
        return [], "args"
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    rest = [one.name for one in parameters if one.kind is inspect.Parameter.VAR_POSITIONAL]
    return [one.name for one in parameters if one.kind in positional], rest[0] if rest else "args"


def wrap_function(function: Callable[..., Any], operation: _core.Operation) -> Callable[..., Any]:
    enter, state = operation.enter, STATE

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        tracer = state.tracer or state.resolve()
        call = enter(tracer, args, kwargs) if tracer is not None else None
        if call is None:
            return function(*args, **kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        if type(result) is COROUTINE:
            call.suspend()
            return finish_coroutine(result, call)
        call.finish(result)
        return result

    return traced


async def finish_coroutine(coroutine: Coroutine[Any, Any, Any], call: _core.Call) -> Any:
    """A coroutine that a plain function returned belongs to the call."""
    call.resume()
    try:
        result = await coroutine
    except BaseException as error:
        call.fail(error)
        raise
    call.finish(result)
    return result


COROUTINE = type(coroutine := finish_coroutine(cast(Any, None), cast(Any, None)))
coroutine.close()


def wrap_coroutine_function(function: Callable[..., Any], operation: _core.Operation) -> Callable[..., Any]:
    enter, state = operation.enter, STATE

    @functools.wraps(function)
    async def traced(*args: Any, **kwargs: Any) -> Any:
        tracer = state.tracer or state.resolve()
        call = enter(tracer, args, kwargs) if tracer is not None else None
        if call is None:
            return await function(*args, **kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
        call.finish(result)
        return result

    return traced


class Steps:
    """What a generator gave, as far as it is kept: texts are put together."""

    def __init__(self, call: _core.Call) -> None:
        self.items: list[Any] | None = [] if call.records_output else None

    def add(self, item: Any) -> None:
        if self.items is not None and len(self.items) < MAX_STEPS:
            self.items.append(item)

    def output(self) -> Any:
        items = self.items
        if items and all(isinstance(item, str) for item in items):
            return "".join(items)
        return items


def wrap_generator(function: Callable[..., Any], operation: _core.Operation) -> Callable[..., Any]:
    """The span is current while the generator runs, and not while its caller does."""

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        tracer = STATE.resolve()
        call = operation.enter(tracer, args, kwargs) if tracer is not None else None
        if call is None:
            return (yield from function(*args, **kwargs))
        steps = Steps(call)
        value: Any = None
        thrown: BaseException | None = None
        try:
            generator = function(*args, **kwargs)
            while True:
                try:
                    item = generator.send(value) if thrown is None else generator.throw(thrown)
                except StopIteration as stop:
                    call.finish(steps.output())
                    return stop.value
                call.suspend()
                steps.add(item)
                value, thrown = None, None
                try:
                    value = yield item
                except GeneratorExit:
                    call.resume()
                    generator.close()
                    call.finish(steps.output())
                    raise
                except BaseException as error:
                    thrown = error
                call.resume()
        except BaseException as error:
            call.fail(error)
            raise

    return traced


def wrap_async_generator(function: Callable[..., Any], operation: _core.Operation) -> Callable[..., Any]:
    """The span is current while the generator runs, and not while its caller does."""

    @functools.wraps(function)
    async def traced(*args: Any, **kwargs: Any) -> Any:
        tracer = STATE.resolve()
        call = operation.enter(tracer, args, kwargs) if tracer is not None else None
        if call is None:
            generator = function(*args, **kwargs)
            forwarded: Any = forward(generator)
            async for item in forwarded:
                yield item
            return
        steps = Steps(call)
        value: Any = None
        thrown: BaseException | None = None
        try:
            generator = function(*args, **kwargs)
            while True:
                try:
                    item = await (generator.asend(value) if thrown is None else generator.athrow(thrown))
                except StopAsyncIteration:
                    call.finish(steps.output())
                    return
                call.suspend()
                steps.add(item)
                value, thrown = None, None
                try:
                    value = yield item
                except GeneratorExit:
                    call.resume()
                    await generator.aclose()
                    call.finish(steps.output())
                    raise
                except BaseException as error:
                    thrown = error
                call.resume()
        except BaseException as error:
            call.fail(error)
            raise

    return traced


async def forward(generator: Any) -> Any:
    """An async generator as it is, closed when this one is."""
    value: Any = None
    thrown: BaseException | None = None
    while True:
        try:
            item = await (generator.asend(value) if thrown is None else generator.athrow(thrown))
        except StopAsyncIteration:
            return
        value, thrown = None, None
        try:
            value = yield item
        except GeneratorExit:
            await generator.aclose()
            raise
        except BaseException as error:
            thrown = error
