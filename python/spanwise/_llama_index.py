"""A streamed call lasts until its stream has been read.

Its instrumentation has it end when the stream is handed out, before the model was even asked.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from spanwise._changes import Changes

# After this long without a piece, its instrumentation takes a stream for abandoned.
ABANDONED_SECONDS = 60


def amend(instrumentor: Any, changes: Changes) -> None:
    del instrumentor
    from openinference.instrumentation.llama_index import _handler  # pyright: ignore[reportMissingImports]

    changes.replace(_handler._Span, "end", ending)


def ending(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def end(span: Any, *args: Any, **kwargs: Any) -> Any:
        if span.waiting_for_streaming:
            now, last = time.time(), span._last_updated_at
            span._end_time = int(1e9 * (now if now - last < ABANDONED_SECONDS else last))
        return original(span, *args, **kwargs)

    return end
