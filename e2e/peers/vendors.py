"""Receivers that judge requests by what New Relic and Langtrace document about their endpoints.

New Relic, docs.newrelic.com, "New Relic OTLP endpoint": the path, the header `api-key`, less than
10^6 bytes in a request, and limits of attributes.
Langtrace, docs.langtrace.ai, "Send Trace" and "OTEL Configuration": the path, the header
`x-api-key`, JSON without compression, and a user agent of OpenTelemetry.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from harness import otlp

KEY = "key-of-a-test"


@dataclass
class Vendor:
    """What is documented, and what arrived."""

    path: str
    key_header: str
    content_types: tuple[str, ...]
    encodings: tuple[str, ...]
    user_agent: str = ""
    # Requests have to be smaller.
    max_body_bytes: int = 1 << 30
    max_name_chars: int = 1 << 30
    max_text_chars: int = 1 << 30
    max_array: int = 1 << 30
    statuses: list[int] = field(default_factory=list)
    spans: list[dict[str, Any]] = field(default_factory=list)

    def judge(self, path: str, headers: Any, body: bytes) -> int:
        """The status of the answer."""
        content_type, encoding = headers.get("content-type", ""), headers.get("content-encoding", "")
        if path != self.path:
            return 404
        if headers.get(self.key_header) != KEY:
            return 401
        if content_type not in self.content_types or encoding not in self.encodings:
            return 415
        if self.user_agent not in headers.get("user-agent", "").lower():
            return 400
        if len(body) >= self.max_body_bytes:
            return 413
        plain = gzip.decompress(body) if encoding == "gzip" else body
        self.spans.extend(otlp.normal_spans(message(content_type, plain)))
        return 200

    def violations(self) -> list[str]:
        """Attributes over the limits, which the vendor finds out after its answer."""
        return [
            f"{name[:30]}: {kind}"
            for span in self.spans
            for place in (span["attributes"], span["resource"], *(event[2] for event in span["events"]))
            for name, (kind, value) in place.items()
            if len(name) > self.max_name_chars
            or (kind == "stringValue" and len(value) > self.max_text_chars)
            or (kind == "array" and len(value) > self.max_array)
        ]


def new_relic() -> Vendor:
    protobuf_or_json = ("application/x-protobuf", "application/json")
    return Vendor(
        "/v1/traces",
        "api-key",
        protobuf_or_json,
        ("", "gzip"),
        max_body_bytes=10**6,
        max_name_chars=255,
        max_text_chars=4095,
        max_array=64,
    )


def langtrace() -> Vendor:
    return Vendor("/api/trace", "x-api-key", ("application/json",), ("",), user_agent="otel-otlp")


def message(content_type: str, body: bytes) -> Any:
    """A trace request as JSON."""
    if content_type == "application/json":
        return json.loads(body)
    return MessageToDict(ExportTraceServiceRequest.FromString(body))


@contextmanager
def listening(vendor: Vendor) -> Iterator[str]:
    """Its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = vendor.judge(self.path, self.headers, body)
            vendor.statuses.append(status)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
