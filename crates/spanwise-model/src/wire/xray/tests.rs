use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::*;
use crate::span::StatusCode;
use crate::tree::tree_with_attributes;
use crate::{Batch, Event, Kind, Span, Status, Value};

fn read(document: &Json) -> Batch {
    decode_document(document.to_string().into()).unwrap()
}

/// A subsegment with ids and times, and what `more` says.
fn document(more: &Json) -> Json {
    let mut document = json!({
        "name": "openai", "id": "53995c3f42cd8ad8", "parent_id": "70de5b6f19ff9a0a",
        "trace_id": "1-6553f100-16cd43dd8448eb211c80319c", "type": "subsegment",
        "start_time": 1_700_000_000.1, "end_time": 1_700_000_000.35,
    });
    for (key, value) in more.as_object().unwrap() {
        document[key] = value.clone();
    }
    document
}

fn span(more: &Json) -> Span {
    read(&document(more)).spans.remove(0)
}

fn write(span: &Span) -> Json {
    serde_json::from_str(&encode_document(span, ANNOTATIONS).unwrap()).unwrap()
}

#[test]
fn a_segment_is_read_with_all_that_it_holds() {
    let batch = read(&json!({
        "name": "shop", "id": "70de5b6f19ff9a0a",
        "trace_id": "1-6553f100-16cd43dd8448eb211c80319c",
        "start_time": 1_700_000_000.0, "end_time": 1_700_000_000.4,
        "origin": "AWS::EC2::Instance", "service": {"version": "7"}, "user": "u",
        "aws": {"account_id": "1", "ec2": {"instance_id": "i-1"}},
        "http": {"request": {"method": "POST", "url": "https://shop.test/buy"},
                 "response": {"status": 200}},
        "annotations": {"gen_ai_request_model": "gpt-4o"},
        "metadata": {"default": {"prompt": [{"role": "user"}]}},
        "subsegments": [
            {"id": "53995c3f42cd8ad8", "name": "openai", "namespace": "remote",
             "start_time": 1_700_000_000.1, "end_time": 1_700_000_000.35,
             "error": true, "throttle": true,
             "cause": {"exceptions": [{"type": "RateLimitError", "message": "slow down",
                 "stack": [{"path": "a.py", "line": 3, "label": "f"}]}]},
             "subsegments": [{"id": "13995c3f42cd8ad8", "name": "retry", "start_time": 1_700_000_000.2}]},
            {"id": "short", "name": "bad", "start_time": 1},
        ],
    }));
    insta::assert_snapshot!(tree_with_attributes(&batch.spans), @r#"
    shop (server, 400ms)
        http.request.method = "POST"
        url.full = "https://shop.test/buy"
        http.response.status_code = 200
        enduser.id = "u"
        gen_ai_request_model = "gpt-4o"
        aws.xray.metadata.default = "{\"prompt\":[{\"role\":\"user\"}]}"
      openai (client, 250ms) error: slow down
          aws.xray.error = true
          aws.xray.throttle = true
        retry (internal, 0ns)
    "#);
    assert_eq!(batch.rejected[0].reason, "id has 2 bytes, expected 8");
    let resource = &batch.spans[2].resource.attributes;
    let keys: Vec<&str> = resource.iter().map(|attribute| &*attribute.key).collect();
    assert_eq!(
        keys,
        [
            "cloud.provider",
            "aws.account_id",
            "aws.ec2.instance_id",
            "aws.origin",
            "service.version",
            "service.name",
        ]
    );
    let exception = &batch.spans[1].events[0].attributes;
    assert_eq!(exception.str("exception.stacktrace"), Some("at f (a.py: 3)"));
    assert_eq!(batch.spans[0].trace_id.to_string(), "6553f10016cd43dd8448eb211c80319c");
}

#[test]
fn what_is_in_progress_has_no_end() {
    let span = span(&json!({"in_progress": true, "end_time": null}));
    assert_eq!(span.end_time_unix_nano, 0);
    assert_eq!(span.start_time_unix_nano, 1_700_000_000_100_000_000);
    assert_eq!(write(&span)["in_progress"], true);
}

#[test]
fn a_cause_may_be_elsewhere() {
    let span = span(&json!({"fault": true, "cause": "3c1a2b4d5e6f7081"}));
    assert_eq!(span.attributes.str("aws.xray.cause_id"), Some("3c1a2b4d5e6f7081"));
    assert_eq!((span.status.code, span.events.len()), (StatusCode::Error, 0));
}

#[test]
fn queries_and_calls_of_aws_are_attributes() {
    let span = span(&json!({
        "namespace": "aws", "aws": {"operation": "GetItem", "retries": 2},
        "sql": {"sanitized_query": "SELECT 1", "database_type": "PostgreSQL", "preparation": "x"},
        "links": [{"trace_id": "1-6553f100-16cd43dd8448eb211c80319c", "id": "70de5b6f19ff9a0a",
                   "attributes": {"k": 1}}],
    }));
    insta::assert_snapshot!(tree_with_attributes([&span]), @r#"
    parent 70de5b6f19ff9a0a is missing:
      openai (client, 250ms)
          db.query.text = "SELECT 1"
          db.system.name = "PostgreSQL"
          aws.xray.sql.preparation = "x"
          aws.operation = "GetItem"
          aws.retries = 2
    "#);
    assert_eq!(span.links[0].attributes.get("k"), Some(&Value::Int(1)));
}

#[test]
fn what_is_no_document_is_refused_with_a_reason() {
    for (datagram, expected) in [
        (&b""[..], "begin with a header"),
        (b"{\"id\":1}", "format json"),
        (b"{\"format\":\"json\",\"version\":2}\n{}", "format json"),
        (b"{\"format\":\"json\",\"version\":1}", "EOF"),
        (b"{\"format\": \"json\", \"version\": 1}\n[]", "which is an object"),
        (b"{\"format\":\"json\",\"version\":1}\n{\"a\":", "EOF"),
        (b"{\"format\":\"json\",\"version\":1}\n\xff", "UTF-8"),
    ] {
        let error = decode_datagram(Bytes::from_static(datagram)).unwrap_err();
        assert!(error.reason.contains(expected), "{error} for {expected}");
    }
    assert_eq!(read(&json!({})).rejected[0].reason, "trace_id has 0 bytes, expected 16");
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    assert!(decode_document(deep.into()).is_err());
}

/// A client span with attributes.
fn client(attributes: &[(&'static str, Value)]) -> Span {
    let mut span = span(&json!({"namespace": "remote"}));
    span.name = "chat gpt-4o".into();
    for (key, value) in attributes {
        span.attributes.push(*key, value.clone());
    }
    span
}

#[test]
fn names_are_those_of_services() {
    for (attributes, name) in [
        (&[][..], "chat gpt-4o"),
        (&[("server.address", "api.openai.com".into())], "api.openai.com"),
        (&[("url.full", "https://u:p@h.test:8443/x?y".into())], "h.test"),
        (&[("rpc.service", "Cart".into()), ("server.address", "x".into())], "Cart"),
        (&[("db.name", "shop".into()), ("server.address", "x".into())], "shop@x"),
        (&[("peer.service", "a;b".into())], "ab"),
        (&[("peer.service", "!;".into())], "unknown"),
    ] {
        assert_eq!(write(&client(attributes))["name"], name);
    }
    let mut span = client(&[("peer.service", "other".into())]);
    span.kind = Kind::Internal;
    assert_eq!(write(&span)["name"], "chat gpt-4o");
    span.kind = Kind::Server;
    span.resource = std::sync::Arc::new(crate::Resource {
        attributes: [("service.name", "é".repeat(300))].into_iter().collect(),
        ..crate::Resource::default()
    });
    assert_eq!(write(&span)["name"], "é".repeat(200));
}

#[test]
fn failures_are_errors_throttles_or_faults() {
    let error = Status { code: StatusCode::Error, message: "no".into() };
    for (http, status, expected) in [
        (None, Status::default(), json!([null, null, null])),
        (None, error.clone(), json!([null, null, true])),
        (Some(404), Status::default(), json!([true, null, null])),
        (Some(429), error.clone(), json!([true, true, null])),
        (Some(503), Status::default(), json!([null, null, true])),
        (Some(200), error, json!([null, null, true])),
    ] {
        let mut span = client(&[]);
        if let Some(http) = http {
            span.attributes.push("http.response.status_code", i64::from(http));
        }
        span.status = status;
        let written = write(&span);
        let flags = json!([written.get("error"), written.get("throttle"), written.get("fault")]);
        assert_eq!(flags, expected, "{http:?}");
    }
}

#[test]
fn segments_and_subsegments_are_told_apart() {
    let mut span = client(&[]);
    for (kind, parent, kind_of_document, namespace) in [
        (Kind::Client, true, json!("subsegment"), json!("remote")),
        (Kind::Producer, true, json!("subsegment"), json!("remote")),
        (Kind::Internal, true, json!("subsegment"), json!(null)),
        (Kind::Internal, false, json!(null), json!(null)),
        (Kind::Server, true, json!(null), json!(null)),
        (Kind::Consumer, true, json!(null), json!(null)),
    ] {
        span.kind = kind;
        span.parent_span_id = parent.then_some(span.span_id);
        let written = write(&span);
        assert_eq!((&written["type"], &written["namespace"]), (&kind_of_document, &namespace));
    }
}

#[test]
fn an_exception_is_a_cause_with_frames() {
    let mut span = client(&[]);
    span.events.push(Event {
        time_unix_nano: 1,
        name: "exception".into(),
        attributes: [
            ("exception.type", "ValueError"),
            ("exception.message", "bad"),
            (
                "exception.stacktrace",
                "Traceback\n  File \"x.py\", line 24, in <module>\n    boom()",
            ),
        ]
        .into_iter()
        .collect(),
        dropped_attributes_count: 0,
    });
    let written = write(&span);
    let exception = &written["cause"]["exceptions"][0];
    assert_eq!(exception["id"].as_str().unwrap().len(), 16);
    assert_eq!(exception["stack"], json!([{"path": "x.py", "line": 24, "label": "<module>"}]));
    let again = read(&written).spans.remove(0);
    let trace = again.events[0].attributes.str("exception.stacktrace");
    assert_eq!(trace, Some("at <module> (x.py: 24)"));
}

#[test]
fn annotations_are_the_attributes_that_are_asked_for() {
    let span = client(&[
        ("gen_ai.request.model", "gpt-4o".into()),
        ("user.id", "x".repeat(1001).into()),
        ("own-key", Value::Bool(true)),
    ]);
    assert_eq!(write(&span)["annotations"], json!({"gen_ai_request_model": "gpt-4o"}));
    let own: Json = serde_json::from_str(&encode_document(&span, &["own-key"]).unwrap()).unwrap();
    assert_eq!(own["annotations"], json!({"own_key": true}));
    assert_eq!(own["metadata"]["default"]["gen_ai.request.model"], "gpt-4o");
}

#[test]
fn a_document_that_is_too_large_is_cut() {
    let span = client(&[("prompt", "x".repeat(100_000).into()), ("model", "gpt-4o".into())]);
    let datagram = encode_datagram(&span, ANNOTATIONS).unwrap();
    assert!(datagram.len() <= 65_507);
    let again = decode_datagram(datagram.into()).unwrap().spans.remove(0);
    assert_eq!(again.attributes.str("model"), Some("gpt-4o"));
    assert!(again.attributes.str("prompt").unwrap().len() > 30_000);
    assert_eq!(again.attributes.get("spanwise.truncated"), Some(&Value::Bool(true)));
}
