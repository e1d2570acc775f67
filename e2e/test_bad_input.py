"""What the wire can carry of bad, large and odd: a clear answer, no loss, and the server lives on.

Each row of a table is one input. After every one of them the server must still take a span and
give it back.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import zstandard
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from harness import otlp
from harness.server import Server

MIB = 1 << 20
YEAR_NS = 365 * 86_400 * 1_000_000_000


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the whole file: what one input breaks, the next test sees."""
    server = Server(tmp_path_factory.mktemp("bad") / "data", {"limits": {"body_timeout": "2s"}})
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def lives_on(living: Server) -> Iterator[None]:
    yield
    assert living.alive(), living.report()
    trace_id = otlp.new_trace_id()
    otlp.send(living.otlp_http, [otlp.span(trace_id)])
    assert living.api.trace(trace_id.hex())["span_count"] == 1
    assert "panicked" not in living.log_path.read_text(), living.log_tail()


def good_body() -> bytes:
    return otlp.request(
        [otlp.span(otlp.new_trace_id(), name=f"span {number}") for number in range(20)]
    ).SerializeToString()


def good_json() -> bytes:
    return json.dumps(json_request({"name": "x" * 50})).encode()


def json_request(extra: dict[str, Any]) -> dict[str, Any]:
    span = {"traceId": os.urandom(16).hex(), "spanId": os.urandom(8).hex(), "name": "n", **extra}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def deep_json(depth: int) -> bytes:
    value = '{"arrayValue":{"values":[' * depth + '{"stringValue":"x"}' + "]}}" * depth
    body = json.dumps(json_request({"attributes": [{"key": "k", "value": "HERE"}]}))
    return body.replace('"HERE"', value).encode()


def deep_protobuf(depth: int) -> bytes:
    """A value nested `depth` arrays deep, by hand: protobuf libraries refuse to write it."""
    value = field(1, b"x")
    for _ in range(depth):
        value = field(5, field(1, value))
    span = field(1, os.urandom(16)) + field(2, os.urandom(8)) + field(5, b"deep")
    span += field(9, field(1, b"k") + field(2, value))
    return field(1, field(2, field(2, span)))


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


# Envelopes that nobody can read: (content type, encoding, body, statuses that say so)
BROKEN: dict[str, tuple[str, str, Callable[[], bytes], set[int]]] = {
    "truncated protobuf": (otlp.PROTOBUF, "", lambda: good_body()[:-7], {400}),
    "half a protobuf": (otlp.PROTOBUF, "", lambda: good_body()[: len(good_body()) // 2], {400}),
    "json sent as protobuf": (otlp.PROTOBUF, "", good_json, {400}),
    "truncated json": (otlp.JSON, "", lambda: good_json()[:-3], {400}),
    "protobuf sent as json": (otlp.JSON, "", good_body, {400}),
    "json that is no object": (otlp.JSON, "", lambda: b"[1,2]", {400}),
    "json of a wrong shape": (otlp.JSON, "", lambda: b'{"resourceSpans":{"a":1}}', {400}),
    "json that is not UTF-8": (otlp.JSON, "", lambda: b'{"resourceSpans":"\xff\xfe"}', {400}),
    "empty json": (otlp.JSON, "", lambda: b"", {400}),
    "not gzip": (otlp.PROTOBUF, "gzip", good_body, {400}),
    "truncated gzip": (otlp.PROTOBUF, "gzip", lambda: gzip.compress(good_body())[:-9], {400}),
    "not zstd": (otlp.PROTOBUF, "zstd", good_body, {400}),
    "truncated zstd": (otlp.PROTOBUF, "zstd", lambda: otlp.compress(good_body(), "zstd")[:-5], {400}),
    "not deflate": (otlp.PROTOBUF, "deflate", good_body, {400}),
    "an encoding that nobody knows": (otlp.PROTOBUF, "br", good_body, {400, 415}),
    "text": ("text/plain", "", good_body, {415}),
    "no content type": ("", "", good_body, {415}),
    "json of brackets": (otlp.JSON, "", lambda: b"[" * 5_000_000, {400}),
    "100 MB": (otlp.PROTOBUF, "", lambda: bytes(100_000_000), {413}),
    "gzip bomb of 1 GiB": (otlp.PROTOBUF, "gzip", lambda: gzip_of_zeros(1 << 30), {400, 413}),
    "zstd bomb of 1 GiB": (otlp.PROTOBUF, "zstd", lambda: zstd_of_zeros(1 << 30), {400, 413}),
}


def gzip_of_zeros(size: int) -> bytes:
    stream = zlib.compressobj(wbits=31)
    return b"".join(stream.compress(bytes(MIB)) for _ in range(size // MIB)) + stream.flush()


def zstd_of_zeros(size: int) -> bytes:
    stream = zstandard.ZstdCompressor().compressobj()
    return b"".join(stream.compress(bytes(MIB)) for _ in range(size // MIB)) + stream.flush()


@pytest.mark.parametrize(("content_type", "encoding", "body", "statuses"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_envelope_is_refused_with_a_reason(
    living: Server, content_type: str, encoding: str, body: Callable[[], bytes], statuses: set[int]
) -> None:
    try:
        response = otlp.post(living.otlp_http, body(), content_type=content_type, encoding=encoding)
    except httpx.TransportError:
        # A server may hang up on a body that is too large before all of it is sent.
        assert 413 in statuses
        return
    assert response.status_code in statuses, response.text
    reason = response.json()["message"] if content_type == otlp.JSON else response.content
    assert reason, "the answer says nothing"


def test_random_bytes_are_never_more_than_a_bad_request(living: Server) -> None:
    dice = random.Random(4319)
    body = bytearray(good_body())
    with httpx.Client() as client:
        for round_number in range(300):
            if round_number % 2:
                sent = dice.randbytes(dice.randrange(400))
            else:
                sent = bytearray(body)
                for _ in range(dice.randrange(1, 6)):
                    sent[dice.randrange(len(sent))] = dice.randrange(256)
            for content_type in (otlp.PROTOBUF, otlp.JSON):
                headers = {"content-type": content_type}
                answer = client.post(f"{living.otlp_http}/v1/traces", content=bytes(sent), headers=headers)
                assert answer.status_code in (200, 400), answer.text


def test_random_bytes_over_grpc_are_invalid_argument(living: Server) -> None:
    dice = random.Random(4317)
    with grpc.insecure_channel(living.otlp_grpc) as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        for _ in range(100):
            with pytest.raises(grpc.RpcError) as refused:
                export(b"\xff" + dice.randbytes(dice.randrange(1, 400)), timeout=10)
            # Only what the server said counts, so that a broken connection is a failure.
            assert refused.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL)  # type: ignore[attr-defined]


def test_too_large_over_grpc_is_resource_exhausted(living: Server) -> None:
    with grpc.insecure_channel(living.otlp_grpc, options=[("grpc.max_send_message_length", -1)]) as channel:
        request = otlp.request([otlp.span(otlp.new_trace_id(), attributes=[text("big", "x" * (80 * MIB))])])
        with pytest.raises(grpc.RpcError) as refused:
            TraceServiceStub(channel).Export(request, timeout=60)
    assert refused.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.OUT_OF_RANGE)  # type: ignore[attr-defined]


def test_60_megabytes_are_taken(living: Server) -> None:
    trace_id = otlp.new_trace_id()
    big = "x" * (60 * MIB)
    otlp.send(living.otlp_http, [otlp.span(trace_id, attributes=[text("big", big)])])
    [span] = otlp.normal_spans(living.api.trace_otlp(trace_id.hex()))
    assert span["attributes"]["big"] == ["stringValue", big]


def text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


# Spans that are odd but legal: they are taken and come back, repaired at most where said.
ODD: dict[str, Callable[[bytes], Span]] = {
    "one nanosecond after 1970": lambda t: otlp.span(t, start_time_unix_nano=1, end_time_unix_nano=2),
    "2200": lambda t: otlp.span(t, start_time_unix_nano=230 * YEAR_NS, end_time_unix_nano=230 * YEAR_NS + 5),
    "the end of time": lambda t: otlp.span(t, start_time_unix_nano=2**64 - 2, end_time_unix_nano=2**64 - 1),
    "a span of 200 years": lambda t: otlp.span(t, start_time_unix_nano=5, end_time_unix_nano=200 * YEAR_NS),
    "ends before it starts": lambda t: otlp.span(t, end_time_unix_nano=otlp.NOW_NS - YEAR_NS),
    "no name": lambda t: otlp.span(t, name=""),
    "a name of 1 MB": lambda t: otlp.span(t, name="n" * MIB),
    "a key of 1 MB": lambda t: otlp.span(t, attributes=[text("k" * MIB, "v")]),
    "an empty key": lambda t: otlp.span(t, attributes=[text("", "v")]),
    "100,000 attributes": lambda t: otlp.span(t, attributes=[text(f"key.{n}", f"value {n}") for n in range(100_000)]),
    "a key 1,000 times": lambda t: otlp.span(t, attributes=[text("k", str(n)) for n in range(1000)]),
    "10,000 events": lambda t: otlp.span(t, events=[Span.Event(name=f"e{n}", time_unix_nano=n) for n in range(10_000)]),
    "its own parent": lambda t: otlp.span(t, span_id=b"samesame", parent_span_id=b"samesame"),
    "control characters": lambda t: otlp.span(t, name="a\0b\x1b[31m\u202e", attributes=[text("\0", "\0\r\n")]),
    "an unknown kind": lambda t: otlp.span(t, kind=4242),
    "html": lambda t: otlp.span(t, name="<script>alert(1)</script>"),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD.keys())
def test_an_odd_span_is_taken(living: Server, make: Callable[[bytes], Span]) -> None:
    trace_id = otlp.new_trace_id()
    span = make(trace_id)
    otlp.send(living.otlp_http, [span, otlp.span(trace_id, name="neighbour")])

    trace = living.api.trace(trace_id.hex())
    assert trace["span_count"] == 2
    [got] = [got for got in trace["spans"] if got["span_id"] == span.span_id.hex()]
    assert int(got["start_time_unix_nano"]) == span.start_time_unix_nano
    assert int(got["duration_ns"]) == max(0, span.end_time_unix_nano - span.start_time_unix_nano)
    assert len(got["events"]) == len(span.events)
    keys = {attribute.key for attribute in span.attributes}
    assert keys <= got["attributes"].keys() or keys == {""}


# Spans that OTLP does not let us take: counted and named, and their neighbours are taken.
REJECTED: dict[str, dict[str, Any]] = {
    "zero trace id": {"trace_id": bytes(16)},
    "zero span id": {"span_id": bytes(8)},
    "no trace id": {"trace_id": b""},
    "short trace id": {"trace_id": b"1234"},
    "long span id": {"span_id": b"123456789"},
}


@pytest.mark.parametrize("fields", REJECTED.values(), ids=REJECTED.keys())
@pytest.mark.parametrize("over", ["http", "grpc"])
def test_a_bad_span_does_not_fail_its_neighbours(living: Server, fields: dict[str, Any], over: str) -> None:
    trace_id = otlp.new_trace_id()
    bad = Span(**{"trace_id": trace_id, "span_id": os.urandom(8), "name": "bad", **fields})
    request = otlp.request([otlp.span(trace_id, name="good"), bad, otlp.span(trace_id, name="good too")])
    if over == "http":
        body = otlp.post(living.otlp_http, request.SerializeToString())
        answer = ExportTraceServiceResponse.FromString(body.content)
    else:
        with grpc.insecure_channel(living.otlp_grpc) as channel:
            answer = TraceServiceStub(channel).Export(request, timeout=10)
    assert answer.partial_success.rejected_spans == 1
    assert "id" in answer.partial_success.error_message
    assert {span["name"] for span in living.api.trace(trace_id.hex())["spans"]} == {"good", "good too"}
    problems = living.api.get("/ingest/problems")["problems"]
    assert any(problem["outcome"] == "rejected" and "id" in problem["reason"] for problem in problems)


def test_strings_that_are_not_utf8_are_kept_as_bytes(living: Server) -> None:
    trace_id = otlp.new_trace_id()
    body = otlp.request([otlp.span(trace_id, name="NAME", attributes=[text("key", "VALUE")])]).SerializeToString()
    response = otlp.post(living.otlp_http, body.replace(b"VALUE", b"\xff\xfe\xfd\x80\x81").replace(b"NAME", b"N\xc3ME"))
    assert response.status_code == 200, response.text
    [span] = otlp.normal_spans(living.api.trace_otlp(trace_id.hex()))
    assert span["attributes"]["key"] == ["bytes", "fffefd8081"]
    assert span["name"].startswith("N")


@pytest.mark.parametrize("depth", [50, 5_000, 100_000])
@pytest.mark.parametrize(("content_type", "make"), [(otlp.PROTOBUF, deep_protobuf), (otlp.JSON, deep_json)])
def test_deep_values_are_cut_or_refused(
    living: Server, content_type: str, make: Callable[[int], bytes], depth: int
) -> None:
    response = otlp.post(living.otlp_http, make(depth), content_type=content_type)
    assert response.status_code in (200, 400), response.text


def test_a_span_without_times_is_taken_and_flagged(living: Server) -> None:
    trace_id = otlp.new_trace_id()
    otlp.send(living.otlp_http, [otlp.span(trace_id, start_time_unix_nano=0, end_time_unix_nano=0)])
    [span] = living.api.trace(trace_id.hex())["spans"]
    assert [warning["kind"] for warning in span["warnings"]] == ["missing_times"]


def test_the_same_span_twice_is_once(living: Server) -> None:
    trace_id = otlp.new_trace_id()
    span = otlp.span(trace_id)
    for spans in ([span], [span], [span, otlp.span(trace_id, name="other"), span]):
        otlp.send(living.otlp_http, spans)
    trace = living.api.trace(trace_id.hex())
    assert sorted(got["name"] for got in trace["spans"]) == ["other", "work"]
    assert trace["span_count"] == 2


def test_an_id_used_for_two_spans_is_reported(living: Server) -> None:
    trace_id = otlp.new_trace_id()
    otlp.send(living.otlp_http, [otlp.span(trace_id, span_id=b"twicetwi", name=name) for name in ("first", "second")])
    trace = living.api.trace(trace_id.hex())
    assert {span["name"] for span in trace["spans"]} & {"first", "second"}
    assert any("duplicate" in diagnostic["kind"] for diagnostic in trace["diagnostics"])


def test_a_trace_of_200_000_spans(living: Server) -> None:
    trace_id = otlp.new_trace_id()
    root = otlp.span(trace_id, name="root", span_id=struct.pack(">Q", 1))
    otlp.send(living.otlp_http, [root])
    for start in range(2, 200_001, 20_000):
        numbers = range(start, min(start + 20_000, 200_001))
        otlp.send(
            living.otlp_http,
            [
                otlp.span(trace_id, span_id=struct.pack(">Q", n), parent_span_id=root.span_id, name="leaf")
                for n in numbers
            ],
        )
    [summary] = living.api.traces(f"trace_id:{trace_id.hex()}")
    assert summary["span_count"] == 200_000
    assert living.api.trace(trace_id.hex())["span_count"] == 200_000


def test_a_client_that_dawdles_is_let_go(living: Server) -> None:
    host, port = living.otlp_http.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n")
        slow.sendall(b"content-length: 1000\r\n\r\nonly a little")
        slow.settimeout(20)
        answer = slow.recv(4096)
        assert answer == b"" or answer.split()[1] in (b"408", b"400"), answer


def test_many_idle_connections_do_not_keep_others_out(living: Server) -> None:
    host, port = living.otlp_http.removeprefix("http://").split(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(300)]
    try:
        started = time.monotonic()
        otlp.send(living.otlp_http, [otlp.span(otlp.new_trace_id())])
        assert time.monotonic() - started < 10
    finally:
        for connection in idle:
            connection.close()


def test_bytes_that_are_not_http(living: Server) -> None:
    for address in living.addresses.values():
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(os.urandom(4096))
            connection.settimeout(10)
            try:
                while connection.recv(4096):
                    pass
            except (ConnectionResetError, BrokenPipeError):
                pass


QUERIES = {
    "unclosed quote": 'name:"x',
    "unclosed parenthesis": "(a OR b",
    "unknown unit": "duration:>2parsecs",
    "bad regex": "name:~[",
    "nothing after the colon": "status:",
    "very deep": "(" * 10_000 + "a" + ")" * 10_000,
    "longer than anybody writes": " OR ".join(["x"] * 10_000),
    "operators only": "AND OR NOT",
    "control characters": "name:\0\x1b",
}


@pytest.mark.parametrize("q", QUERIES.values(), ids=QUERIES.keys())
def test_a_bad_query_says_where(living: Server, q: str) -> None:
    response = living.api.raw("/api/v1/traces", q=q)
    assert response.status_code in (200, 400, 414, 431), response.text
    if response.status_code == 400:
        error = response.json()["error"]
        assert error["message"]
        assert isinstance(error.get("position"), int)


@pytest.mark.parametrize(
    "path", ["/traces/xyz", "/traces/" + "0" * 32, "/traces?limit=-1", "/traces?cursor=zzz", "/nowhere"]
)
def test_a_bad_request_to_the_api_is_a_json_error(living: Server, path: str) -> None:
    response = httpx.get(f"{living.api.base}/api/v1{path}")
    assert response.status_code in (400, 404), response.text
    assert response.json()["error"]["message"]


def test_metrics_are_taken_politely(living: Server) -> None:
    assert otlp.post(living.otlp_http, b"", signal="metrics").status_code == 200
    assert otlp.post(living.otlp_http, b"{}", signal="metrics", content_type=otlp.JSON).status_code == 200


def test_nothing_in_a_request_is_a_success(living: Server) -> None:
    assert otlp.post(living.otlp_http, ExportTraceServiceRequest().SerializeToString()).content == b""
    assert otlp.post(living.otlp_http, b"{}", content_type=otlp.JSON).json() == {}


def test_bad_input_fills_no_disk(living: Server) -> None:
    """The log stays small: a line a problem at most, and never content."""
    log = Path(living.log_path).read_text()
    assert len(log) < 2 * MIB, log[-2000:]
    assert "x" * 100 not in log
