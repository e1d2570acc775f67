"""What objects consist of, as far as they say so."""

from __future__ import annotations

import dataclasses
import enum
import uuid
from collections.abc import Mapping, Set
from datetime import date, datetime, time
from pathlib import PurePath
from typing import Any


def as_plain_data(value: Any) -> Any:
    """The same as dictionaries, lists and texts, one level deep; ``None`` where it is neither."""
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set):
        return list(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, PurePath)):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if not isinstance(value, type) and callable(dump := getattr(value, "model_dump", None)):
        # What cannot be validated can still be looked at.
        return dump(warnings=False) if hasattr(value, "model_fields_set") else dump()
    return None
