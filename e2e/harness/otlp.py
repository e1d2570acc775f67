"""OTLP requests to send, and OTLP JSON brought to one form for comparison."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import os
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import zstandard
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
NOW_NS = time.time_ns()

SIGNALS = {"resourceSpans": "traces", "resourceLogs": "logs", "resourceMetrics": "metrics"}
KINDS = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]
STATUSES = ["UNSET", "OK", "ERROR"]


# Making requests


def new_trace_id() -> bytes:
    """A random trace id."""
    return os.urandom(16)


def span(trace_id: bytes, name: str = "work", **fields: Any) -> Span:
    """A span that lasts 10 ms and began just now; `fields` are those of the protobuf message."""
    values: dict[str, Any] = {
        "trace_id": trace_id,
        "span_id": os.urandom(8),
        "name": name,
        "kind": Span.SpanKind.SPAN_KIND_INTERNAL,
        "start_time_unix_nano": NOW_NS,
        "end_time_unix_nano": NOW_NS + 10_000_000,
    }
    return Span(**{**values, **fields})


def request(spans: Iterable[Span], service: str = "e2e") -> ExportTraceServiceRequest:
    """One request with one resource and one scope."""
    message = ExportTraceServiceRequest()
    resource_spans = message.resource_spans.add()
    attribute = resource_spans.resource.attributes.add()
    attribute.key = "service.name"
    attribute.value.string_value = service
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "e2e"
    scope_spans.spans.extend(spans)
    return message


def compress(body: bytes, encoding: str) -> bytes:
    """The body in an HTTP content encoding."""
    if encoding == "gzip":
        return gzip.compress(body)
    if encoding == "deflate":
        return zlib.compress(body)
    if encoding == "zstd":
        return zstandard.ZstdCompressor().compress(body)
    return body


def post(
    base: str,
    body: bytes,
    *,
    signal: str = "traces",
    content_type: str = PROTOBUF,
    encoding: str = "",
    project: str = "",
) -> httpx.Response:
    """Posts a body that is already in `encoding`."""
    headers = {"content-type": content_type}
    if encoding:
        headers["content-encoding"] = encoding
    if project:
        headers["spanwise-project"] = project
    return httpx.post(f"{base}/v1/{signal}", content=body, headers=headers, timeout=120)


def send(base: str, spans: Iterable[Span]) -> None:
    """Sends spans; they must be taken whole."""
    response = post(base, request(spans).SerializeToString())
    assert response.status_code == 200, response.text
    assert response.content == b"", response.content


# Reading recorded files


@dataclass
class Recorded:
    """One request of a recorded file."""

    case: str
    signal: str
    body: dict[str, Any]


def recorded(path: Path) -> Iterator[Recorded]:
    """The requests of a file: one, an array of them (with or without a name), or one per line."""
    text = path.read_text()
    documents = (
        [json.loads(line) for line in text.splitlines() if line] if path.suffix == ".jsonl" else json.loads(text)
    )
    for number, document in enumerate(documents if isinstance(documents, list) else [documents]):
        body = document.get("request", document)
        name = document.get("case", number)
        for key, signal in SIGNALS.items():
            if key in body:
                yield Recorded(str(name), signal, body)


# One form for comparison


def normal_spans(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every span of a trace request, with resource and scope beside it and nothing left to taste:
    defaults filled in, ids in hex, numbers as numbers, attributes as a mapping.
    """
    for group in body.get("resourceSpans", []):
        resource = group.get("resource") or {}
        for scope_group in group.get("scopeSpans", []):
            scope = scope_group.get("scope") or {}
            for recorded_span in scope_group.get("spans", []):
                yield {
                    **normal_span(recorded_span),
                    "resource": normal_attributes(resource.get("attributes")),
                    "resource.dropped": int(resource.get("droppedAttributesCount", 0)),
                    "resource.schema_url": group.get("schemaUrl", ""),
                    "scope": [scope.get("name", ""), scope.get("version", "")],
                    "scope.attributes": normal_attributes(scope.get("attributes")),
                    "scope.schema_url": scope_group.get("schemaUrl", ""),
                }


def normal_span(raw: dict[str, Any]) -> dict[str, Any]:
    """A span in the one form."""
    status = raw.get("status") or {}
    return {
        "trace_id": normal_id(raw.get("traceId"), 16),
        "span_id": normal_id(raw.get("spanId"), 8),
        "parent_span_id": normal_id(raw.get("parentSpanId"), 8),
        "trace_state": raw.get("traceState", ""),
        "flags": int(raw.get("flags", 0)),
        "name": raw.get("name", ""),
        "kind": normal_enum(raw.get("kind"), "SPAN_KIND_", KINDS),
        "start": int(raw.get("startTimeUnixNano", 0)),
        "end": int(raw.get("endTimeUnixNano", 0)),
        "attributes": normal_attributes(raw.get("attributes")),
        "dropped": [int(raw.get(f"dropped{what}Count", 0)) for what in ("Attributes", "Events", "Links")],
        "events": [normal_event(event, int(raw.get("startTimeUnixNano", 0))) for event in raw.get("events", [])],
        "links": [normal_link(link) for link in raw.get("links", [])],
        "status": [normal_enum(status.get("code"), "STATUS_CODE_", STATUSES), status.get("message", "")],
    }


def normal_event(raw: dict[str, Any], span_start: int) -> list[Any]:
    """An event in the one form. One without a time gets that of its span (a repair that is said)."""
    return [
        int(raw.get("timeUnixNano", 0)) or span_start,
        raw.get("name", ""),
        normal_attributes(raw.get("attributes")),
        int(raw.get("droppedAttributesCount", 0)),
    ]


def normal_link(raw: dict[str, Any]) -> list[Any]:
    """A link in the one form."""
    return [
        normal_id(raw.get("traceId"), 16),
        normal_id(raw.get("spanId"), 8),
        raw.get("traceState", ""),
        normal_attributes(raw.get("attributes")),
        int(raw.get("droppedAttributesCount", 0)),
        int(raw.get("flags", 0)),
    ]


def normal_id(text: str | None, length: int) -> str | None:
    """Lower-case hex, from hex or from the base64 that some tools emit; None if it is no id."""
    for decode in (bytes.fromhex, lambda encoded: base64.b64decode(encoded, validate=True)):
        try:
            decoded = decode(text or "")
        except (ValueError, binascii.Error):
            continue
        if len(decoded) == length and any(decoded):
            return decoded.hex()
    return None


def normal_enum(value: int | str | None, prefix: str, names: list[str]) -> int:
    """The number of an enum value that came as a number or, against the rules, as a name."""
    return names.index(value.removeprefix(prefix)) if isinstance(value, str) else value or 0


def normal_attributes(raw: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Key to typed value; the last one where a key repeats."""
    return {attribute["key"]: normal_value(attribute.get("value")) for attribute in raw or []}


def normal_value(raw: dict[str, Any] | None) -> Any:
    """A value together with its type, so that 1, 1.0, "1" and true differ."""
    for kind, value in (raw or {}).items():
        match kind:
            case "intValue":
                return ["int", int(value)]
            case "doubleValue":
                return ["double", repr(float(value))]
            case "bytesValue":
                return ["bytes", base64.b64decode(value).hex()]
            case "arrayValue":
                return ["array", [normal_value(item) for item in (value or {}).get("values", [])]]
            case "kvlistValue":
                return ["map", normal_attributes((value or {}).get("values"))]
            case _:
                return [kind, value]
    return ["null"]
