"""The request of a stream lies below the stream's span.

``messages.stream`` sends its request when the stream is entered, after its instrumentation has left
the span.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from opentelemetry import trace

from spanwise._changes import Changes

SYNC = ("_MessageStreamManager", "_BetaMessageStreamManager")
ASYNC = ("_AsyncMessageStreamManager", "_BetaAsyncMessageStreamManager")


def amend(instrumentor: Any, changes: Changes) -> None:
    del instrumentor
    from openinference.instrumentation.anthropic import _wrappers  # pyright: ignore[reportMissingImports]

    for names, method, wrap in ((SYNC, "__enter__", entering), (ASYNC, "__aenter__", entering_async)):
        for name in names:
            if (manager := getattr(_wrappers, name, None)) is not None:
                changes.replace(manager, method, wrap)


def in_span(manager: Any) -> Any:
    span = manager._self_with_span._span
    return trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)


def entering(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(original)
    def enter(manager: Any) -> Any:
        with in_span(manager):
            return original(manager)

    return enter


def entering_async(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(original)
    async def enter(manager: Any) -> Any:
        with in_span(manager):
            return await original(manager)

    return enter
