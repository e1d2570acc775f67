"""Events of spans, and exceptions as events."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any


class Event:
    """A fact with a time, as OpenTelemetry's SDK shows it."""

    __slots__ = ("_attributes", "dropped_attributes", "name", "timestamp")

    def __init__(
        self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int = 0, dropped_attributes: int = 0
    ) -> None:
        self.name = name
        self.timestamp = timestamp
        self._attributes = attributes
        self.dropped_attributes = dropped_attributes

    @property
    def attributes(self) -> Mapping[str, Any] | None:
        return self._attributes

    def __repr__(self) -> str:
        return f"Event(name={self.name!r}, attributes={dict(self._attributes or {})!r}, timestamp={self.timestamp})"


def describe_exception(
    exception: BaseException, attributes: Mapping[str, Any] | None = None, escaped: bool = False
) -> dict[str, Any]:
    """The attributes of the event ``exception``. Exceptions may fail to say what they are."""
    kind = type(exception)
    module = kind.__module__
    described: dict[str, Any] = {
        "exception.type": f"{module}.{kind.__qualname__}" if module and module != "builtins" else kind.__qualname__,
    }
    for key, text in (
        ("exception.message", lambda: str(exception)),
        ("exception.stacktrace", lambda: stack(exception)),
    ):
        try:
            described[key] = text()
        except Exception as error:
            described[key] = f"<{type(error).__name__} while it was described>"
    described["exception.escaped"] = str(escaped)
    if attributes:
        described.update(attributes)
    return described


def stack(exception: BaseException) -> str:
    return "".join(traceback.format_exception(type(exception), exception, exception.__traceback__))
