"""Thread pools carry the current span to what is submitted to them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context


def within(context: Context, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, run in a context whatever the thread."""

    def run(*args: Any, **kwargs: Any) -> Any:
        token = context_api.attach(context)
        try:
            return function(*args, **kwargs)
        finally:
            context_api.detach(token)

    return run


class ExecutorInstrumentor:
    """Instruments ``ThreadPoolExecutor.submit``, which ``map`` and asyncio's executors use too."""

    def __init__(self) -> None:
        self.original: Any = None

    def instrument(self, **_: Any) -> None:
        original = self.original = ThreadPoolExecutor.submit

        @functools.wraps(original)
        def submit(executor: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            if trace.get_current_span().get_span_context().is_valid:
                function = within(context_api.get_current(), function)
            return original(executor, function, *args, **kwargs)

        ThreadPoolExecutor.submit = submit

    def uninstrument(self) -> None:
        ThreadPoolExecutor.submit = self.original
