"""How much one span may carry, by OpenTelemetry's environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


def from_environment(name: str, default: int | None) -> int | None:
    if name not in os.environ:
        return default
    text = os.environ[name].strip()
    if not text:
        return None
    if not text.isdecimal():
        raise ValueError(f"{name} must be a non-negative integer but got {text.lower()}")
    return int(text)


def count(name: str, default: int | None = 128) -> int | None:
    return from_environment(name, from_environment("OTEL_ATTRIBUTE_COUNT_LIMIT", default))


def length(name: str) -> int | None:
    return from_environment(name, from_environment("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", None))


@dataclass
class SpanLimits:
    """Named like the SDK's; ``None`` is no limit."""

    max_span_attributes: int | None = field(default_factory=lambda: count("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"))
    max_event_attributes: int | None = field(default_factory=lambda: count("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT"))
    max_link_attributes: int | None = field(default_factory=lambda: count("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"))
    max_events: int | None = field(default_factory=lambda: from_environment("OTEL_SPAN_EVENT_COUNT_LIMIT", 128))
    max_links: int | None = field(default_factory=lambda: from_environment("OTEL_SPAN_LINK_COUNT_LIMIT", 128))
    max_attribute_length: int | None = field(default_factory=lambda: length("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"))
    max_span_attribute_length: int | None = field(
        default_factory=lambda: length("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT")
    )
