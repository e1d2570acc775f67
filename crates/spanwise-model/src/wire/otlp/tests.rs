use bytes::Bytes;

use super::encode::Writer;
use super::*;
use crate::wire::draft::MAX_REPAIRS;
use crate::{Batch, Span, SpanId};
use crate::{Kind, span::StatusCode};

/// A request with one span, whose fields `span` writes after valid ids.
fn with_span(span: impl FnOnce(&mut Writer)) -> Bytes {
    request(|out| {
        out.message(2, |out| {
            out.bytes(1, &[1; 16]);
            out.bytes(2, &[2; 8]);
            span(out);
        });
    })
}

/// A request with one group of one resource and one scope, the rest of which `scope` writes.
fn request(scope: impl FnOnce(&mut Writer)) -> Bytes {
    let mut request = Writer::default();
    request.message(1, |out| out.message(2, scope));
    request.0.into()
}

fn string(text: &[u8]) -> impl Fn(&mut Writer) {
    move |out| out.message(2, |out| out.bytes(1, text))
}

fn only_span(batch: &Batch) -> &Span {
    assert_eq!(batch.rejected, []);
    assert_eq!(batch.spans.len(), 1);
    &batch.spans[0]
}

fn kinds(batch: &Batch) -> Vec<(usize, &str)> {
    batch.repairs.iter().map(|(index, repair)| (*index, &*repair.kind)).collect()
}

#[test]
fn nothing_is_a_request_too() {
    assert_eq!(decode_traces(Bytes::new()).unwrap().spans, []);
    assert_eq!(decode_traces_json(b"{}").unwrap().spans, []);
    assert_eq!(decode_traces_json(b" null ").unwrap().spans, []);
    assert_eq!(encode_traces(&[]), b"");
    assert_eq!(encode_traces_json(&[]), "{}");
}

#[test]
fn a_bad_id_rejects_its_span_alone() {
    let ids: [(&[u8], &[u8], &[u8]); 6] = [
        (&[1; 16], &[2; 8], &[0; 8]),
        (&[0; 16], &[2; 8], &[]),
        (&[1; 15], &[2; 8], &[]),
        (&[1; 16], &[0; 8], &[]),
        (&[1; 16], &[2; 8], &[3; 7]),
        (&[1; 16], &[4; 8], &[3; 8]),
    ];
    let body = request(|out| {
        for (trace_id, span_id, parent) in ids {
            out.message(2, |out| {
                out.text(5, "chat");
                out.bytes(1, trace_id);
                out.bytes(2, span_id);
                out.bytes(4, parent);
            });
        }
    });
    let batch = decode_traces(body).unwrap();
    let parents: Vec<_> = batch.spans.iter().map(|span| span.parent_span_id).collect();
    assert_eq!(parents, [None, SpanId::from_bytes(&[3; 8]).ok()]);
    let rejected: Vec<_> = batch.rejected.iter().map(|r| (r.index, &*r.name, &*r.reason)).collect();
    assert_eq!(
        rejected,
        [
            (1, "chat", "trace_id is zero"),
            (2, "chat", "trace_id has 15 bytes, expected 16"),
            (3, "chat", "span_id is zero"),
            (4, "chat", "parent_span_id has 7 bytes, expected 8"),
        ]
    );
}

#[test]
fn texts_are_slices_of_the_request() {
    let body = with_span(|out| out.text(5, "a name that is long enough to find again"));
    let within = body.as_ptr_range();
    let batch = decode_traces(body.clone()).unwrap();
    assert!(within.contains(&only_span(&batch).name.as_ptr()));
    let json = encode_traces_json(&batch.spans);
    let span = &decode_traces_json(json.as_bytes()).unwrap().spans[0];
    assert!(!json.as_bytes().as_ptr_range().contains(&span.name.as_ptr()));
    assert_eq!(span.name, batch.spans[0].name);
}

#[test]
fn text_that_is_not_utf8_is_kept_as_far_as_possible() {
    let batch = decode_traces(with_span(|out| {
        out.bytes(5, b"na\xffme");
        out.message(9, |out| {
            out.bytes(1, b"k\xff");
            string(b"v\xff")(out);
        });
    }))
    .unwrap();
    let span = only_span(&batch);
    assert_eq!(span.name, "na\u{fffd}me");
    assert_eq!(span.attributes.0[0].key, "k\u{fffd}");
    assert_eq!(span.attributes.0[0].value, Value::Bytes(Bytes::from_static(b"v\xff")));
    assert_eq!(kinds(&batch), [(0, "invalid_utf8"); 3]);
}

#[test]
fn only_so_many_repairs_are_listed() {
    let batch = decode_traces(with_span(|out| {
        (0..1000).for_each(|_| out.message(9, string(b"\xff")));
    }))
    .unwrap();
    assert_eq!(only_span(&batch).attributes.len(), 1000);
    let last = &batch.repairs.last().unwrap().1;
    assert_eq!(
        (&*last.kind, &*last.message),
        ("more_repairs", "992 further repairs are not listed")
    );
    assert_eq!(batch.repairs.len(), MAX_REPAIRS + 1);
}

#[test]
fn repairs_of_a_resource_are_listed_at_its_first_span() {
    let span = |out: &mut Writer, trace_id: [u8; 16]| {
        out.message(2, |out| {
            out.bytes(1, &trace_id);
            out.bytes(2, &[2; 8]);
        });
    };
    let mut body = Writer::default();
    body.message(1, |out| {
        out.message(2, |out| span(out, [0; 16]));
        out.message(1, |out| out.message(1, string(b"\xff")));
    });
    body.message(1, |out| {
        out.message(2, |out| span(out, [1; 16]));
        out.message(2, |out| {
            span(out, [2; 16]);
            out.message(1, |out| out.bytes(1, b"\xff"));
        });
        out.message(1, |out| out.message(1, string(b"\xff")));
    });
    let batch = decode_traces(body.0.into()).unwrap();
    assert_eq!((batch.spans.len(), batch.rejected.len()), (2, 1));
    assert_eq!(kinds(&batch), [(1, "invalid_utf8"), (0, "invalid_utf8")]);
}

#[test]
fn a_link_to_nowhere_is_left_out() {
    let batch = decode_traces(with_span(|out| {
        out.message(13, |out| out.bytes(1, &[1; 16]));
    }))
    .unwrap();
    assert_eq!(only_span(&batch).links, []);
    assert_eq!(
        batch.repairs[0].1.message,
        "a link was left out: its span_id has 0 bytes, expected 8"
    );
}

/// A value in lists around it.
fn nested(levels: usize) -> Value {
    (1..levels).fold(Value::Int(1), |inner, _| Value::Array(vec![inner]))
}

#[test]
fn values_nest_up_to_a_limit() {
    let span_with = |levels: usize| {
        let mut batch = decode_traces(with_span(|_| {})).unwrap();
        batch.spans[0].attributes.push("deep", nested(levels));
        batch.spans
    };
    for levels in [MAX_VALUE_DEPTH, MAX_VALUE_DEPTH + 1] {
        let spans = span_with(levels);
        for batch in [
            decode_traces(encode_traces(&spans).into()).unwrap(),
            decode_traces_json(encode_traces_json(&spans).as_bytes()).unwrap(),
        ] {
            if levels == MAX_VALUE_DEPTH {
                assert_eq!(batch.spans, spans);
                assert_eq!(kinds(&batch), []);
            } else {
                assert_eq!(kinds(&batch), [(0, "value_too_deep")]);
            }
        }
    }
}

#[test]
fn unfolding_is_bounded() {
    let many = MAX_DECODED_BYTES / size_of::<crate::Attribute>() + 1;
    // Each `KeyValue` is two bytes: a tag and the length zero.
    let attributes = [9 << 3 | 2, 0].repeat(many);
    let body = with_span(|out| out.0.extend_from_slice(&attributes));
    let error = decode_traces(body).unwrap_err();
    assert_eq!(error.reason, "request unfolds to more than 512 MiB");
}

#[test]
fn numbers_may_be_numbers_or_strings() {
    let json = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{
        "traceId":"01010101010101010101010101010101","spanId":"0202020202020202","kind":"SPAN_KIND_CLIENT",
        "startTimeUnixNano":1700000000000000001,"endTimeUnixNano":1.7e18,"flags":null,"name":null,
        "attributes":[
            {"key":"i","value":{"intValue":-5}},{"key":"j","value":{"intValue":"-9223372036854775808"}},
            {"key":"d","value":{"doubleValue":"-Infinity"}},{"key":"e","value":{"doubleValue":3}},
            {"key":"n","value":{"doubleValue":"NaN"}},{"key":"z","value":null},{"key":"y","value":{}},
            {"key":"b","value":{"bytesValue":"_-8"}},{"key":"c","value":{"bytesValue":"?"}},
            {"key":"a","value":{"arrayValue":{}}},{"key":"m","value":{"kvlistValue":{"values":null}}}],
        "status":{"code":"STATUS_CODE_ERROR"},"events":null,"start_time_unix_nano":"1","future":[{}]}]}]}]}"#;
    let batch = decode_traces_json(json).unwrap();
    let span = only_span(&batch);
    assert_eq!((span.kind, span.status.code), (Kind::Client, StatusCode::Error));
    let times = (span.start_time_unix_nano, span.end_time_unix_nano);
    assert_eq!(times, (1_700_000_000_000_000_001, 1_700_000_000_000_000_000));
    let value = |key: &str| span.attributes.get(key).unwrap();
    assert_eq!((value("i"), value("j")), (&Value::Int(-5), &Value::Int(i64::MIN)));
    assert_eq!((value("d"), value("e")), (&Value::Double(f64::NEG_INFINITY), &Value::Double(3.0)));
    assert!(matches!(value("n"), Value::Double(number) if number.is_nan()));
    assert_eq!((value("z"), value("y")), (&Value::Null, &Value::Null));
    assert_eq!(value("b"), &Value::Bytes(Bytes::from_static(&[0xff, 0xef])));
    assert_eq!(value("c").as_str(), Some("?"));
    assert_eq!(value("a"), &Value::Array(Vec::new()));
    assert_eq!(value("m"), &Value::Map(crate::Attributes::default()));
    assert_eq!(kinds(&batch), [(0, "invalid_base64")]);
    assert!(encode_traces_json(&batch.spans).contains(r#"{"doubleValue":"NaN"}"#));
}

fn json_with_ids(trace_id: &str, span_id: &str) -> String {
    format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":{trace_id:?},"spanId":{span_id:?}}}]}}]}}]}}"#
    )
}

#[test]
fn ids_in_base64_are_taken_and_mentioned() {
    let json = json_with_ids("AQEBAQEBAQEBAQEBAQEBAQ==", "AgICAgICAgI=");
    let batch = decode_traces_json(json.as_bytes()).unwrap();
    assert_eq!(only_span(&batch).span_id.to_string(), "0202020202020202");
    assert_eq!(kinds(&batch), [(0, "base64_id"); 2]);
    for (trace_id, reason) in [
        ("AAAAAAAAAAAAAAAAAAAAAA==", "trace_id is zero"),
        ("xyz", "trace_id has 1 bytes, expected 16"),
        ("zz010101010101010101010101010101", "trace_id is not hexadecimal"),
    ] {
        let batch = decode_traces_json(json_with_ids(trace_id, "0202020202020202").as_bytes());
        assert_eq!(batch.unwrap().rejected[0].reason, reason);
    }
}

#[test]
fn half_a_surrogate_pair_is_replaced() {
    let json = json_with_ids("01010101010101010101010101010101", "0202020202020202")
        .replace(r#""traceId""#, r#""name":"a\ud83d\n","traceId""#);
    let batch = decode_traces_json(json.as_bytes()).unwrap();
    assert!(only_span(&batch).name.starts_with("a\u{fffd}"));
    assert_eq!(kinds(&batch), [(0, "invalid_utf8")]);
}

#[test]
fn errors_in_json_name_their_place() {
    for (body, message) in [
        (&b""[..], "EOF while parsing a value (at byte 0)"),
        (b"[]", "invalid type: sequence, expected an object of OTLP (at byte 2)"),
        (
            b"{\"resourceSpans\":\"se\\\", cret\"}",
            "invalid type: string, expected a list of objects (at byte 29)",
        ),
        (b"{}\n\n x", "trailing characters (at byte 6)"),
        (b"{\"resourceSpans\":\n[{]", "key must be a string (at byte 21)"),
        (b"{\"a\":\"\xff\"}", "is not UTF-8 (at byte 6)"),
    ] {
        assert_eq!(decode_traces_json(body).unwrap_err().to_string(), message);
    }
}

#[test]
fn logs_without_a_span_are_counted_only() {
    let log = |trace_id: &str, rest: &str| {
        format!(r#"{{"traceId":{trace_id:?},"spanId":"0202020202020202"{rest}}}"#)
    };
    let json = format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}}]}},
        "scopeLogs":[{{"logRecords":[{},{},{{}}],"scope":{{"name":"lib"}}}}]}}]}}"#,
        log("", ""),
        log(
            "01010101010101010101010101010101",
            r#","observedTimeUnixNano":"7","severityNumber":"SEVERITY_NUMBER_WARN",
               "body":{"stringValue":"hi"},"attributes":[{"key":"event.name","value":{"stringValue":"gen_ai.choice"}}]"#,
        ),
    );
    let batch = decode_logs_json(json.as_bytes()).unwrap();
    assert_eq!((batch.unrelated_logs, batch.log_events.len()), (2, 1));
    let log = &batch.log_events[0];
    assert_eq!((&*log.name, log.time_unix_nano, log.severity_number), ("gen_ai.choice", 7, 13));
    assert_eq!((log.resource.service(), &*log.scope.name), ("shop", "lib"));
    assert_eq!(
        decode_logs(encode_logs(&batch.log_events).into()).unwrap().log_events,
        batch.log_events
    );
}

#[test]
fn metrics_are_counted_in_both_encodings() {
    let json = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
        {"name":"a","sum":{"dataPoints":[{"asInt":"1"},{}]}},{"gauge":{"dataPoints":null}},{"histogram":{"dataPoints":[{}]}}]}]}]}"#;
    assert_eq!(check_metrics_json(json).unwrap(), 3);
    let body = request(|out| {
        out.message(2, |out| out.message(7, |out| (0..2).for_each(|_| out.message(1, |_| {}))));
        out.message(2, |out| out.message(9, |out| out.message(1, |_| {})));
    });
    assert_eq!(check_metrics(&body).unwrap(), 3);
    assert!(check_metrics(&body[..body.len() - 1]).is_err());
}

#[test]
fn neighbours_of_one_origin_share_a_group() {
    let mut spans = decode_traces(with_span(|_| {})).unwrap().spans;
    let mut other = spans[0].clone();
    other.resource = Resource::default().into();
    other.scope = Scope { name: "other".into(), ..Scope::default() }.into();
    spans.extend([other, spans[0].clone()]);
    let groups = group(&spans, |span| (&span.resource, &span.scope));
    let sizes: Vec<usize> = groups[0].scopes.iter().map(|scope| scope.records.len()).collect();
    assert_eq!((groups.len(), sizes), (1, vec![1, 1, 1]));
    let batch = decode_traces(encode_traces(&spans).into()).unwrap();
    assert_eq!(batch.spans, spans);
    assert!(Arc::ptr_eq(&batch.spans[0].resource, &batch.spans[1].resource));
}

#[test]
fn answers_in_json() {
    assert_eq!(encode_partial_success_json(Signal::Traces, 0, ""), "{}");
    assert_eq!(
        encode_partial_success_json(Signal::Logs, 1, "log 0: \"x\""),
        r#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"log 0: \"x\""}}"#
    );
    assert_eq!(
        encode_status_json(8, "busy", Some(std::time::Duration::from_millis(1500))),
        r#"{"code":8,"message":"busy","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.500000000s"}]}"#
    );
}

#[test]
fn a_status_tells_when_to_try_again() {
    let status = encode_status(14, "full", Some(std::time::Duration::from_secs(2)));
    let info = b"\x0a(type.googleapis.com/google.rpc.RetryInfo\x12\x04\x0a\x02\x08\x02";
    assert_eq!(status, [&b"\x08\x0e\x12\x04full\x1a0"[..], info].concat());
    assert_eq!(encode_status(3, "bad", None), b"\x08\x03\x12\x03bad");
}
