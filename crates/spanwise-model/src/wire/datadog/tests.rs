use bytes::Bytes;

use super::msgpack::Writer;
use super::*;
use crate::span::StatusCode;
use crate::{Batch, Kind, Span, Value};

fn read(body: Vec<u8>) -> Batch {
    decode_v04(body.into(), Tracer::default()).unwrap()
}

/// A body with one span of which `n_fields` fields are written by hand, after its ids.
fn body(n_fields: usize, fields: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    out.array(1);
    out.array(1);
    out.map(2 + n_fields);
    out.text("trace_id");
    out.u64(1);
    out.text("span_id");
    out.u64(2);
    fields(&mut out);
    out.0
}

fn span(n_fields: usize, fields: impl FnOnce(&mut Writer)) -> Span {
    read(body(n_fields, fields)).spans.remove(0)
}

fn texts(out: &mut Writer, entries: &[(&str, &str)]) {
    out.map(entries.len());
    for (key, value) in entries {
        out.text(key);
        out.text(value);
    }
}

fn meta(out: &mut Writer, entries: &[(&str, &str)]) {
    out.text("meta");
    texts(out, entries);
}

#[test]
fn numbers_come_in_any_width_and_sign() {
    for (number, id) in [
        (&[0x07][..], 7),
        (&[0xcc, 0xff], 255),
        (&[0xcd, 0x01, 0x00], 256),
        (&[0xd2, 0x00, 0x00, 0x00, 0x05], 5),
        (&[0xd3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe], u64::MAX - 1),
        (&[0xff], u64::MAX),
        (&[0xcb, 0x40, 0x08, 0, 0, 0, 0, 0, 0], 3),
        (&[0xca, 0x40, 0x40, 0, 0], 3),
    ] {
        let span = span(1, |out| {
            out.text("parent_id");
            out.0.extend_from_slice(number);
        });
        assert_eq!(span.parent_span_id.map(|id| u64::from_be_bytes(*id.as_bytes())), Some(id));
    }
}

#[test]
fn nothing_stands_for_what_is_empty() {
    let keys = ["service", "name", "resource", "type", "parent_id", "error", "meta", "metrics"];
    let span = span(keys.len() + 2, |out| {
        for key in keys.iter().chain(&["span_links", "unheard_of"]) {
            out.text(key);
            out.0.push(0xc0);
        }
    });
    assert_eq!((span.parent_span_id, &*span.name, span.attributes.len()), (None, "", 0));
    assert_eq!(span.status.code, StatusCode::Unset);
}

#[test]
fn the_high_half_of_a_trace_id_holds_for_its_chunk() {
    let mut out = Writer::default();
    out.array(1);
    out.array(3);
    for (trace_id, high) in [(7, None), (7, Some("0af7651916cd43dd")), (8, None)] {
        out.map(3);
        for key in ["trace_id", "span_id"] {
            out.text(key);
            out.u64(trace_id);
        }
        match high {
            Some(high) => meta(&mut out, &[(TRACE_ID_HIGH, high)]),
            None => meta(&mut out, &[]),
        }
    }
    let ids: Vec<String> = read(out.0).spans.iter().map(|span| span.trace_id.to_string()).collect();
    assert_eq!(
        ids,
        [
            "0af7651916cd43dd0000000000000007",
            "0af7651916cd43dd0000000000000007",
            "00000000000000000000000000000008",
        ]
    );
}

#[test]
fn types_tell_name_and_kind() {
    for (span_type, name, kind) in [
        ("web", "GET /", Kind::Server),
        ("http", "GET /", Kind::Client),
        ("redis", "GET /", Kind::Client),
        ("worker", "op", Kind::Consumer),
        ("llm", "op", Kind::Internal),
        ("", "op", Kind::Internal),
    ] {
        let span = span(3, |out| {
            for (key, value) in [("name", "op"), ("resource", "GET /"), ("type", span_type)] {
                out.text(key);
                out.text(value);
            }
        });
        assert_eq!((&*span.name, span.kind), (name, kind), "{span_type}");
        assert_eq!(span.attributes.str("datadog.name"), Some("op"));
        assert_eq!(span.attributes.str("datadog.resource"), Some("GET /"));
    }
}

#[test]
fn an_error_is_a_status_and_an_exception() {
    let span = span(2, |out| {
        out.text("error");
        out.u64(1);
        let stack = ("error.stack", "at x");
        meta(out, &[("error.message", "slow down"), ("error.type", "RateLimit"), stack]);
    });
    assert_eq!((span.status.code, &*span.status.message), (StatusCode::Error, "slow down"));
    let event = &span.events[0];
    assert_eq!((&*event.name, event.attributes.len()), ("exception", 3));
    assert_eq!(event.attributes.str("exception.stacktrace"), Some("at x"));
    assert_eq!(span.attributes.str("error.type"), Some("RateLimit"), "attributes stay");
}

#[test]
fn service_environment_and_version_make_the_resource() {
    let tracer = Tracer { language: "python", version: "4.16", container_id: "c1" };
    let body = body(2, |out| {
        out.text("service");
        out.text("shop");
        meta(out, &[("env", "prod"), ("version", "1"), ("runtime-id", "r"), ("host.name", "h")]);
    });
    let span = decode_v04(body.into(), tracer).unwrap().spans.remove(0);
    let resource: Vec<(&str, &str)> = span
        .resource
        .attributes
        .iter()
        .map(|attribute| (&*attribute.key, attribute.value.as_str().unwrap()))
        .collect();
    assert_eq!(
        resource,
        [
            ("service.name", "shop"),
            ("host.name", "h"),
            ("deployment.environment.name", "prod"),
            ("service.version", "1"),
            ("container.id", "c1"),
            ("telemetry.sdk.language", "python"),
            ("telemetry.sdk.version", "4.16"),
        ]
    );
    assert_eq!((&*span.scope.name, &*span.scope.version), ("datadog", "4.16"));
    assert_eq!(span.attributes.len(), 1);
}

#[test]
fn events_and_links_are_read_in_both_forms() {
    let span = span(3, |out| {
        meta(
            out,
            &[
                ("events", r#"[{"name":"old","time_unix_nano":5,"attributes":{"n":3}}]"#),
                (
                    "_dd.span_links",
                    r#"[{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331",
                    "tracestate":"a=1","attributes":{"k":"v"},"flags":1}]"#,
                ),
            ],
        );
        out.text("span_events");
        out.array(1);
        out.map(3);
        out.text("name");
        out.text("new");
        out.text("time_unix_nano");
        out.u64(6);
        out.text("attributes");
        out.map(2);
        typed_value(out, "i", "int_value");
        out.u64(7);
        typed_value(out, "l", "array_value");
        out.map(1);
        out.text("values");
        out.array(1);
        out.map(2);
        out.text("type");
        out.u64(2);
        out.text("int_value");
        out.u64(8);
        out.text("span_links");
        out.array(1);
        out.map(3);
        for (key, number) in [("trace_id", 1), ("span_id", 2), ("flags", 1 << 31 | 3)] {
            out.text(key);
            out.u64(number);
        }
    });
    let names: Vec<&str> = span.events.iter().map(|event| &*event.name).collect();
    assert_eq!(names, ["new", "old"]);
    assert_eq!(span.events[0].attributes.get("i"), Some(&Value::Int(7)));
    assert_eq!(span.events[0].attributes.get("l"), Some(&Value::Array(vec![Value::Int(8)])));
    assert_eq!(span.events[1].attributes.get("n"), Some(&Value::Int(3)));
    assert_eq!(span.links.len(), 2);
    assert_eq!((span.links[0].flags, span.links[1].flags), (3, 1));
    assert_eq!(&*span.links[1].trace_state, "a=1");
    assert_eq!(span.attributes.len(), 0, "{:?}", span.attributes);
}

fn typed_value(out: &mut Writer, key: &str, value_key: &str) {
    out.text(key);
    out.map(2);
    out.text("type");
    out.u64(2);
    out.text(value_key);
}

#[test]
fn structures_are_messages_in_messages() {
    let span = span(1, |out| {
        out.text("meta_struct");
        out.map(2);
        out.text("deep");
        out.0.extend([0xc4, 4, 0x81, 0xa1, b'k', 0x07]);
        out.text("bytes");
        out.0.extend([0xc4, 2, 0xc1, 0xff]);
    });
    let map = [("k", 7_i64)].into_iter().collect();
    assert_eq!(span.attributes.get("deep"), Some(&Value::Map(map)));
    assert!(matches!(span.attributes.get("bytes"), Some(Value::Bytes(_))));
}

#[test]
fn a_table_is_looked_up_within_its_bounds() {
    let with_index = |index| {
        let mut out = Writer::default();
        out.array(2);
        out.array(2);
        out.text("");
        out.text("shop");
        out.array(1);
        out.array(1);
        out.array(12);
        for number in [1, 0, index, 7, 8, 0, 5, 6, 0] {
            out.u64(number);
        }
        out.map(0);
        out.map(0);
        out.u64(0);
        decode_v05(out.0.into(), Tracer::default())
    };
    let span = with_index(1).unwrap().spans.remove(0);
    assert_eq!((&*span.name, span.resource.service()), ("shop", "shop"));
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (5, 11));
    let error = with_index(2).unwrap_err();
    assert!(error.reason.contains("string 2 of a table of 2"), "{error}");
}

#[test]
fn an_envelope_may_say_what_holds_for_all_after_the_chunks() {
    let mut out = Writer::default();
    out.map(2);
    out.text("chunks");
    out.array(1);
    out.map(2);
    out.text("spans");
    out.0.extend_from_slice(&body(0, |_| {})[1..]);
    out.text("tags");
    texts(&mut out, &[(TRACE_ID_HIGH, "ff")]);
    out.text("hostname");
    out.text("h");
    let span = decode_v07(out.0.into(), Tracer::default()).unwrap().spans.remove(0);
    assert_eq!(span.resource.attributes.str("host.name"), Some("h"));
    assert_eq!(span.trace_id.to_string(), "00000000000000ff0000000000000001");
}

#[test]
fn spans_without_ids_are_rejected_one_by_one() {
    let mut out = Writer::default();
    out.array(1);
    out.array(2);
    out.map(1);
    out.text("name");
    out.text("lost");
    out.0.extend_from_slice(&body(0, |_| {})[2..]);
    let batch = read(out.0);
    assert_eq!((batch.spans.len(), &*batch.rejected[0].reason), (1, "trace_id is zero"));
    assert_eq!(batch.rejected[0].name, "lost");
}

#[test]
fn what_cannot_be_read_is_refused_with_a_reason() {
    for (body, expected) in [
        (&b""[..], "ends in the middle"),
        (b"{}", "expected a list, found a number"),
        (b"\x91\x91\x81\xa1", "longer than the rest"),
        (b"\xdd\xff\xff\xff\xff", "list is longer than the rest"),
        (b"\x91\x91\xdf\x7f\xff\xff\xff", "map is longer than the rest"),
        (b"\x91\x91\x81\xa4name\x93\x01\x01\x01", "expected a text, found a list"),
        (b"\x91\xc1", "byte c1"),
    ] {
        let error = decode_v04(Bytes::from_static(body), Tracer::default()).unwrap_err();
        assert!(error.reason.contains(expected), "{error} for {expected}");
    }
}

#[test]
fn deep_values_are_cut_without_recursion() {
    let deep = [0x91_u8].repeat(100_000);
    for key in ["meta", "unheard_of"] {
        let body = body(1, |out| {
            out.text(key);
            out.0.extend_from_slice(&[0x81, 0xa1, b'k']);
            out.0.extend_from_slice(&deep);
            out.0.push(0xc0);
        });
        assert_eq!(read(body).spans.len(), 1);
    }
}

#[test]
fn what_datadog_needs_is_written() {
    let mut spans = [span(0, |_| {}), span(0, |_| {})];
    for (number, span) in spans.iter_mut().enumerate() {
        span.trace_id = "0af7651916cd43dd8448eb211c80319c".parse().unwrap();
        span.span_id = crate::SpanId::from_bytes(&[1 + number as u8; 8]).unwrap();
        span.name = "chat gpt-4o".into();
        span.kind = Kind::Client;
        span.resource = std::sync::Arc::new(crate::Resource {
            attributes: [("service.name", "shop"), ("deployment.environment.name", "prod")]
                .into_iter()
                .collect(),
            ..crate::Resource::default()
        });
    }
    let [root, child] = &mut spans;
    child.parent_span_id = Some(root.span_id);
    child.status = crate::Status { code: StatusCode::Error, message: "slow down".into() };
    child.attributes.push("big", i64::MAX);
    child.attributes.push("tokens", 12_i64);
    let payload = encode(&spans);
    assert_eq!(payload.n_traces, 1);
    let mut draft = crate::wire::draft::Draft::new(crate::wire::draft::Signal::Traces);
    let body = payload.body.into();
    let written = super::msgpack::whole(&body, &mut draft).unwrap();
    let json = crate::wire::text_form::json(&written);
    // One line for each span and each of its maps.
    let lines = json.replace("},{", "},\n{").replace(",\"me", ",\n  \"me");
    insta::assert_snapshot!(lines, @r#"
    [[{"service":"shop","name":"datadog.client","resource":"chat gpt-4o","type":"http","trace_id":9532127138774266000,"span_id":72340172838076673,"parent_id":0,"start":0,"duration":0,"error":0,
      "meta":{"env":"prod","otel.scope.name":"datadog","otel.library.name":"datadog","span.kind":"client","otel.trace_id":"0af7651916cd43dd8448eb211c80319c","_dd.p.tid":"0af7651916cd43dd"},
      "metrics":{"_sampling_priority_v1":1,"_dd.top_level":1}},
    {"service":"shop","name":"datadog.client","resource":"chat gpt-4o","type":"http","trace_id":9532127138774266000,"span_id":144680345676153346,"parent_id":72340172838076673,"start":0,"duration":0,"error":1,
      "meta":{"env":"prod","big":"9223372036854775807","error.message":"slow down","otel.status_description":"slow down","otel.scope.name":"datadog","otel.library.name":"datadog","otel.status_code":"ERROR","span.kind":"client","otel.trace_id":"0af7651916cd43dd8448eb211c80319c"},
      "metrics":{"tokens":12}}]]
    "#);
}

#[test]
fn operations_have_names_that_agents_take() {
    for (scope, name) in [
        ("", "opentelemetry.internal"),
        ("@openinference/openai", "openinference_openai.internal"),
        ("été-1", "t__1.internal"),
        ("世界", "opentelemetry.internal"),
    ] {
        let mut span = span(0, |_| {});
        span.scope = std::sync::Arc::new(crate::Scope { name: scope.into(), ..<_>::default() });
        let again = read(encode([&span]).body).spans.remove(0);
        assert_eq!(again.scope.name, span.scope.name);
        assert_eq!(super::encode::operation(&span), name);
    }
}
