use super::*;
use crate::span::StatusCode;
use crate::{Batch, Kind, Span, Value};

fn read(json: &str) -> Batch {
    decode(json.to_owned().into()).unwrap()
}

/// Reads a span of which only some fields matter.
fn span(fields: &str) -> Span {
    let batch = read(&format!(r#"[{{"traceId":"1","id":"2",{fields}}}]"#));
    assert_eq!(batch.rejected, []);
    batch.spans.into_iter().next().unwrap()
}

fn write(span: &Span) -> serde_json::Value {
    serde_json::from_str::<Vec<_>>(&encode([span])).unwrap().remove(0)
}

#[test]
fn ids_of_64_bits_and_fewer_digits_are_padded() {
    let span = span(r#""parentId":"0020000000000001""#);
    assert_eq!(span.trace_id.to_string(), "00000000000000000000000000000001");
    assert_eq!(span.span_id.to_string(), "0000000000000002");
    assert_eq!(span.parent_span_id.unwrap().to_string(), "0020000000000001");
}

#[test]
fn a_bad_span_does_not_spoil_its_neighbours() {
    let batch = read(
        r#"[{"id":"1","name":"no trace"}, 7, {"traceId":"0","id":"1"}, {"traceId":"1","id":"xyz"},
            {"traceId":"1","id":"1","timestamp":"soon"}, {"traceId":"1","id":"1","tags":[]},
            {"traceId":"1","id":"1","parentId":"123456789012345678"}, {"traceId":"AB","id":"1"}]"#,
    );
    let reasons: Vec<&str> = batch.rejected.iter().map(|rejected| &*rejected.reason).collect();
    insta::assert_debug_snapshot!(reasons, @r#"
    [
        "traceId has 0 bytes, expected 16",
        "invalid type: integer `7`, expected an object",
        "traceId is zero",
        "id is not hexadecimal",
        "timestamp is not a number",
        "invalid type: sequence, expected an object",
        "parentId has 9 bytes, expected 8",
    ]
    "#);
    assert_eq!(batch.rejected[0].name, "no trace");
    assert_eq!(batch.spans.len(), 1);
}

#[test]
fn another_format_is_called_by_its_name() {
    let error = decode(r#"{"resourceSpans":[]}"#.into()).unwrap_err();
    assert!(error.reason.contains("/v1/traces"), "{error}");
    assert_eq!(decode("[{]".into()).unwrap_err().offset, 3);
    assert_eq!(decode(b"[\xff]".to_vec().into()).unwrap_err().offset, 1);
}

#[test]
fn kinds_are_said_or_internal() {
    for (fields, kind) in [
        (r#""kind":"CLIENT""#, Kind::Client),
        (r#""kind":null"#, Kind::Internal),
        (r#""name":"n""#, Kind::Internal),
        (r#""tags":{"span.kind":"server"}"#, Kind::Server),
        (r#""kind":"CONSUMER","tags":{"span.kind":"server"}"#, Kind::Consumer),
    ] {
        assert_eq!(span(fields).kind, kind, "{fields}");
    }
}

#[test]
fn the_tag_error_means_failure() {
    for (tags, code, message) in [
        ("{}", StatusCode::Unset, ""),
        (r#"{"error":"true"}"#, StatusCode::Error, ""),
        (r#"{"error":""}"#, StatusCode::Error, ""),
        (r#"{"error":true}"#, StatusCode::Error, ""),
        (r#"{"error":"timeout"}"#, StatusCode::Error, "timeout"),
        (r#"{"error":"x","otel.status_description":"y"}"#, StatusCode::Error, "y"),
        (r#"{"otel.status_code":"STATUS_CODE_ERROR"}"#, StatusCode::Error, ""),
        (r#"{"otel.status_code":"OK"}"#, StatusCode::Ok, ""),
        (r#"{"otel.status_code":"OK","error":"x"}"#, StatusCode::Error, "x"),
    ] {
        let span = span(&format!(r#""tags":{tags}"#));
        assert_eq!((span.status.code, &*span.status.message), (code, message), "{tags}");
        assert!(span.attributes.is_empty());
    }
}

#[test]
fn annotations_are_names_with_or_without_attributes() {
    for (value, name, n_attributes) in [
        ("cache miss", "cache miss", 0),
        (r#""first": {"ms":120}"#, "first", 1),
        (r#""a\"b": {}"#, "a\"b", 0),
        (r#"{"first":{"ms":120,"b":true}}"#, "first", 2),
        (r#"first|{"ms":120}|3"#, "first", 1),
        (r#"{"first":1}"#, r#"{"first":1}"#, 0),
        (r#""first": {"#, r#""first": {"#, 0),
        ("a|b|c", "a|b|c", 0),
    ] {
        let json = serde_json::json!([{"timestamp": 7, "value": value}]);
        let span = span(&format!(r#""annotations":{json}"#));
        let event = &span.events[0];
        assert_eq!((&*event.name, event.attributes.len()), (name, n_attributes), "{value}");
        assert_eq!(event.time_unix_nano, 7000);
        let again = read(&encode([&span])).spans.remove(0);
        assert_eq!(again.events[0].attributes, event.attributes);
        assert_eq!(again.events[0].name, event.name);
    }
}

#[test]
fn links_may_have_bars_in_their_tracestate() {
    let mut span = span(r#""name":"n""#);
    span.links.push(crate::Link {
        trace_id: span.trace_id,
        span_id: span.span_id,
        trace_state: "a=|{b|".into(),
        attributes: [("k", "|{v}|")].into_iter().collect(),
        dropped_attributes_count: 4,
        flags: 0,
    });
    let again = read(&encode([&span])).spans.remove(0);
    assert_eq!(again.links, span.links);
    assert_eq!(again.attributes, span.attributes);
}

#[test]
fn both_ends_become_attributes_unless_tags_say_more() {
    let span = span(
        r#""name":"get","kind":"CLIENT","shared":true,"debug":true,"tags":{"peer.service":"own"},
           "localEndpoint":{"serviceName":"shop","ipv4":"10.0.0.1","port":80},
           "remoteEndpoint":{"serviceName":"db","ipv6":"::1","port":0}"#,
    );
    insta::assert_snapshot!(crate::tree::tree_with_attributes([&span]), @r#"
    get (client, 0ns)
        peer.service = "own"
        network.peer.address = "::1"
        network.local.address = "10.0.0.1"
        network.local.port = 80
        zipkin.shared = true
    "#);
    assert_eq!((span.resource.service(), span.flags), ("shop", 1));
}

#[test]
fn what_describes_the_producer_goes_to_the_resource() {
    let span = span(r#""tags":{"telemetry.sdk.name":"x","host.name":"h","hostess":"no"}"#);
    assert_eq!(span.resource.service(), "unknown_service");
    assert_eq!(span.resource.attributes.len(), 3);
    assert_eq!(span.attributes.str("hostess"), Some("no"));
}

#[test]
fn half_a_surrogate_pair_is_repaired() {
    let batch = read(r#"[{"traceId":"1","id":"2","name":"\ud83d","tags":{"a":7,"b":"\u00e9"}}]"#);
    let span = &batch.spans[0];
    assert!(span.name.contains('\u{fffd}'));
    assert_eq!((span.attributes.str("a"), span.attributes.str("b")), (Some("7"), Some("é")));
    assert_eq!(batch.repairs.len(), 1);
}

#[test]
fn what_zipkin_draws_from_is_written() {
    let mut span = span(r#""kind":"CLIENT","timestamp":5,"duration":1"#);
    span.end_time_unix_nano = span.start_time_unix_nano + 1;
    span.attributes.push("error", false);
    span.attributes.push("server.address", "10.1.2.3");
    span.attributes.push("server.port", 443_i64);
    let written = write(&span);
    assert_eq!(written["timestamp"], 5);
    assert_eq!(written["duration"], 1, "less than a microsecond is one");
    assert_eq!(written["remoteEndpoint"], serde_json::json!({"ipv4": "10.1.2.3", "port": 443}));
    assert_eq!(written["tags"].get("error"), None, "its presence would mean failure");
    span.status.code = StatusCode::Error;
    assert_eq!(write(&span)["tags"]["error"], "");
    span.status.message = "refused".into();
    assert_eq!(write(&span)["tags"]["error"], "refused");
    span.kind = Kind::Internal;
    span.start_time_unix_nano = 0;
    let written = write(&span);
    assert_eq!(
        [&written["kind"], &written["timestamp"], &written["remoteEndpoint"]],
        [&serde_json::Value::Null, &serde_json::Value::Null, &serde_json::Value::Null,]
    );
}

#[test]
fn values_are_written_as_text() {
    let mut span = span(r#""name":"n""#);
    span.attributes.push("list", Value::Array(vec![1.into(), "β".into(), Value::Null]));
    span.attributes.push("bytes", Value::Bytes(vec![0xff].into()));
    span.attributes.push("twice", 1_i64);
    span.attributes.push("twice", 2_i64);
    let tags = &write(&span)["tags"];
    assert_eq!(tags["list"], r#"[1,"β",null]"#);
    assert_eq!((&tags["bytes"], &tags["twice"]), (&"/w==".into(), &"2".into()));
}
