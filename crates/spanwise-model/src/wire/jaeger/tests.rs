use bytes::Bytes;

use super::thrift::{Protocol, Writer};
use super::*;
use crate::span::StatusCode;
use crate::{Batch, Kind, Span, SpanId, Value};

/// One span `buy` of service `shop`, byte by byte from the description of the protocol.
const DATAGRAM: &[u8] = &[
    0x82, 0x81, 0x00, 0x09, b'e', b'm', b'i', b't', b'B', b'a', b't', b'c', b'h', 0x1c, 0x1c, 0x18,
    0x04, b's', b'h', b'o', b'p', 0x00, 0x19, 0x1c, 0x16, 0x04, 0x16, 0x02, 0x16, 0x06, 0x16, 0x00,
    0x18, 0x03, b'b', b'u', b'y', 0x25, 0x02, 0x16, 0x80, 0x80, 0xf2, 0x81, 0x83, 0x89, 0x85, 0x06,
    0x16, 0xb8, 0x17, 0x19, 0x1c, 0x18, 0x05, b'e', b'r', b'r', b'o', b'r', 0x15, 0x04, 0x31, 0x00,
    0x00, 0x00, 0x00,
];

fn read(datagram: &[u8]) -> Batch {
    decode_datagram(Bytes::copy_from_slice(datagram)).unwrap()
}

fn buy() -> Span {
    read(DATAGRAM).spans.remove(0)
}

#[test]
fn a_datagram_is_read_as_described() {
    let span = buy();
    assert_eq!(span.trace_id.to_string(), "00000000000000010000000000000002");
    assert_eq!(
        (span.span_id.to_string().as_str(), span.parent_span_id),
        ("0000000000000003", None)
    );
    assert_eq!((&*span.name, span.resource.service()), ("buy", "shop"));
    assert_eq!(span.start_time_unix_nano, 1_700_000_000_000_000_000);
    assert_eq!((span.duration_ns(), span.flags), (1_500_000, 1));
    assert_eq!((span.status.code, span.attributes.len()), (StatusCode::Error, 0));
}

/// Writes a batch of one span by hand.
fn batch(fields: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new(Protocol::Binary);
    writer.bare_struct(|out| {
        out.nested(1, |out| out.binary(1, b"shop"));
        out.list(2, 1);
        out.bare_struct(|out| {
            out.i64(1, -2);
            out.i64(3, -3);
            fields(out);
        });
    });
    writer.out
}

fn span(fields: impl FnOnce(&mut Writer)) -> Span {
    decode_batch(batch(fields).into()).unwrap().spans.remove(0)
}

fn tag(out: &mut Writer, key: &str, v_type: i32, value: impl FnOnce(&mut Writer)) {
    out.bare_struct(|out| {
        out.binary(1, key.as_bytes());
        out.i32(2, v_type);
        value(out);
    });
}

#[test]
fn ids_are_the_bits_of_signed_numbers() {
    let span = span(|_| {});
    assert_eq!(span.trace_id.to_string(), "0000000000000000fffffffffffffffe");
    assert_eq!(span.span_id.to_string(), "fffffffffffffffd");
}

fn reference(out: &mut Writer, kind: i32, trace: i64, span: i64) {
    out.bare_struct(|out| {
        out.i32(1, kind);
        out.i64(2, trace);
        out.i64(4, span);
    });
}

#[test]
fn the_first_child_of_reference_in_the_trace_is_the_parent() {
    let span = span(|out| {
        out.list(6, 4);
        reference(out, CHILD_OF, 9, 1);
        reference(out, CHILD_OF, -2, 2);
        reference(out, FOLLOWS_FROM, -2, 3);
        reference(out, CHILD_OF, -2, 0);
    });
    assert_eq!(span.parent_span_id, SpanId::from_bytes(&2_u64.to_be_bytes()).ok());
    let kinds: Vec<_> = span.links.iter().map(|link| link.attributes.str(REF_TYPE)).collect();
    assert_eq!(kinds, [Some("child_of"), Some("follows_from")]);
}

#[test]
fn statuses_of_http_are_taken_by_kind() {
    for (code, kind, expected) in [
        (500, "server", StatusCode::Error),
        (404, "server", StatusCode::Unset),
        (404, "client", StatusCode::Error),
        (200, "client", StatusCode::Unset),
    ] {
        let span = span(|out| {
            out.list(10, 3);
            tag(out, "http.status_code", 3, |out| out.i64(6, code));
            tag(out, "span.kind", 0, |out| out.binary(3, kind.as_bytes()));
            tag(out, "http.status_message", 0, |out| out.binary(3, b"why"));
        });
        assert_eq!(span.status.code, expected, "{code} {kind}");
        assert_eq!(&*span.status.message == "why", expected == StatusCode::Error);
        assert_eq!(span.attributes.len(), 2);
    }
}

#[test]
fn values_keep_their_types() {
    let span = span(|out| {
        out.list(10, 6);
        tag(out, "s", 0, |out| out.binary(3, "é".as_bytes()));
        tag(out, "d", 1, |out| out.double(4, 0.5));
        tag(out, "b", 2, |out| out.bool(5, true));
        tag(out, "l", 3, |out| out.i64(6, i64::MIN));
        tag(out, "y", 4, |out| out.binary(7, &[0xff]));
        tag(out, "unknown", 9, |out| out.binary(3, b"x"));
    });
    let values: Vec<&Value> = span.attributes.iter().map(|attribute| &attribute.value).collect();
    insta::assert_compact_debug_snapshot!(
        values,
        @r#"[String("é"), Double(0.5), Bool(true), Int(-9223372036854775808), Bytes(b"\xff"), Null]"#
    );
}

#[test]
fn logs_are_events_named_by_a_field() {
    let mut span = buy();
    let event = |name: &'static str, attributes: &[(&'static str, &'static str)]| crate::Event {
        time_unix_nano: 5000,
        name: name.into(),
        attributes: attributes.iter().copied().collect(),
        dropped_attributes_count: 2,
    };
    span.events = vec![event("a", &[("event", "x"), ("message", "y")]), event("", &[])];
    let body = encode_batches([&span]).remove(0);
    assert_eq!(decode_batch(body.into()).unwrap().spans[0].events, span.events);
}

#[test]
fn each_resource_is_a_batch_of_its_own() {
    let (one, mut other) = (buy(), buy());
    other.resource = std::sync::Arc::default();
    let spans = [one.clone(), other, one];
    assert_eq!(encode_batches(&spans).len(), 2);
    assert_eq!(encode_datagrams(&spans, MAX_DATAGRAM_BYTES).datagrams.len(), 2);
}

#[test]
fn kinds_without_a_name_are_left_out() {
    let mut span = buy();
    for (kind, found) in [(Kind::Internal, Kind::Unspecified), (Kind::Producer, Kind::Producer)] {
        span.kind = kind;
        let body = encode_batches([&span]).remove(0);
        assert_eq!(decode_batch(body.into()).unwrap().spans[0].kind, found);
    }
}

#[test]
fn datagrams_are_filled_and_a_span_too_long_is_cut() {
    let mut spans = vec![buy(); 5000];
    spans[2].attributes.push("prompt", "x".repeat(200_000));
    spans[2].attributes.push("model", "gpt-4o");
    let sent = encode_datagrams(&spans, MAX_DATAGRAM_BYTES);
    assert_eq!(sent.dropped, 0);
    let batches: Vec<Batch> = sent.datagrams.iter().map(|datagram| read(datagram)).collect();
    assert_eq!(batches.iter().map(|batch| batch.spans.len()).sum::<usize>(), 5000);
    assert!(sent.datagrams.iter().all(|datagram| datagram.len() <= MAX_DATAGRAM_BYTES));
    assert!(sent.datagrams.len() < 10, "{} datagrams", sent.datagrams.len());
    let is_cut = |span: &&Span| span.attributes.get("spanwise.truncated").is_some();
    let cut = batches.iter().flat_map(|batch| &batch.spans).find(is_cut).unwrap();
    assert_eq!(cut.attributes.str("model"), Some("gpt-4o"));
    assert!(cut.attributes.str("prompt").unwrap().ends_with("x…"));
    assert!(cut.attributes.str("prompt").unwrap().len() > 30_000);
}

#[test]
fn the_binary_protocol_is_recognised_in_a_datagram() {
    let inner = |head: &[u8]| {
        let mut datagram = head.to_vec();
        datagram.extend([12, 0, 1]);
        datagram.extend(batch(|_| {}));
        datagram.push(0);
        datagram
    };
    let strict = inner(b"\x80\x01\x00\x04\x00\x00\x00\x09emitBatch\x00\x00\x00\x00");
    let old = inner(b"\x00\x00\x00\x09emitBatch\x04\x00\x00\x00\x00");
    for datagram in [strict, old] {
        assert_eq!(read(&datagram).spans.len(), 1);
    }
}

#[test]
fn what_is_no_batch_is_refused_with_a_reason() {
    for (datagram, expected) in [
        (&b""[..], "ends in the middle"),
        (b"GET / HTTP/1.1", "neither compact nor binary"),
        (b"\x82\x82\x00\x01x", "unknown version"),
        (b"\x82\x81\x00\x0femitZipkinBatch\x00", "emitZipkinBatch"),
        (b"\x82\x81\x00\x09emitBatch\x00", "no batch"),
        (b"\x82\x81\x00\xff\xff\xff\xff\x0f", "longer than the rest"),
        (b"\x82\x81\x00\x09emitBatch\x1c\x19\xfc\xff\xff\xff\xff\x07", "longer than the rest"),
        (b"\x82\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "more than ten bytes"),
    ] {
        let error = decode_datagram(Bytes::copy_from_slice(datagram)).unwrap_err();
        assert!(error.reason.contains(expected), "{error} for {expected}");
    }
    let negative = b"\x0c\x00\x01\x0b\x00\x01\xff\xff\xff\xff";
    let error = decode_batch(Bytes::from_static(negative)).unwrap_err();
    assert!(error.reason.contains("negative"), "{error}");
}

#[test]
fn deep_structs_are_not_followed() {
    let deep = [0x3c_u8].repeat(10_000);
    let error = decode_datagram([&DATAGRAM[..14], &deep].concat().into()).unwrap_err();
    assert!(error.reason.contains("nests deeper"), "{error}");
}

#[test]
fn spans_without_ids_are_rejected_one_by_one() {
    let mut writer = Writer::new(Protocol::Binary);
    writer.bare_struct(|out| {
        out.list(2, 2);
        out.bare_struct(|out| out.binary(5, b"no ids"));
        out.bare_struct(|out| {
            out.i64(1, 1);
            out.i64(3, 1);
        });
    });
    let batch = decode_batch(writer.out.into()).unwrap();
    assert_eq!((batch.spans.len(), batch.rejected.len()), (1, 1));
    assert_eq!(batch.rejected[0].reason, "trace_id is zero");
    assert_eq!(batch.rejected[0].name, "no ids");
}
