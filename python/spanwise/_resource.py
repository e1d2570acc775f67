"""Who records, and which instrumentation, where OpenTelemetry's SDK is not installed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Resource:
    """Named like the SDK's."""

    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    schema_url: str = ""

    def to_json(self, indent: int | None = 4) -> str:
        return json.dumps({"attributes": dict(self.attributes), "schema_url": self.schema_url}, indent=indent)

    def __hash__(self) -> int:
        return hash(json.dumps(dict(self.attributes), sort_keys=True, default=str))


class Scope(NamedTuple):
    """Named like the SDK's ``InstrumentationScope``."""

    name: str
    version: str
    schema_url: str | None
    items: tuple[tuple[str, Any], ...]

    @property
    def attributes(self) -> Mapping[str, Any]:
        return dict(self.items)
