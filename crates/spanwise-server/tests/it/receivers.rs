//! Both receivers: every encoding, every error, partial success, logs and metrics.

use bytes::Bytes;
use hyper::StatusCode;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;
use serde_json::{Value as Json, json};

use crate::harness::{
    Headers, JSON, PROTOBUF, Server, deflate, frame, gzip, hex, request, span, span_id, trace_hex,
    trace_id,
};

type Encode = fn(&[u8]) -> Vec<u8>;

#[tokio::test]
async fn http_takes_every_encoding() {
    let server = Server::start().await;
    let encoders: [(&str, Encode); 4] = [
        ("identity", <[u8]>::to_vec),
        ("gzip", gzip),
        ("deflate", deflate),
        ("zstd", |plain| zstd::encode_all(plain, 1).unwrap()),
    ];
    for (trace, (name, encode)) in (0..).zip(encoders) {
        let body = encode(&request(vec![span(trace, 0), span(trace, 1)]).encode_to_vec());
        let headers = [PROTOBUF, ("content-encoding", name)];
        let answer = server.post("/v1/traces", &headers, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/x-protobuf");
        assert!(answer.body.is_empty(), "{name}: partial success must be unset");
        let trace = server.get(&format!("/api/v1/traces/{}", trace_hex(trace))).await.json();
        assert_eq!(trace["span_count"], 2, "{name}");
    }
}

#[tokio::test]
async fn the_api_port_takes_otlp_too() {
    let server = Server::start().await;
    let body = request(vec![span(0, 0)]).encode_to_vec();
    let post = hyper::Request::post("/v1/traces").header("content-type", PROTOBUF.1);
    let answer = crate::harness::send(server.api, post.body(body.into()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(server.get(&format!("/api/v1/traces/{}", trace_hex(0))).await.status, 200);
}

#[tokio::test]
async fn http_takes_json() {
    let server = Server::start().await;
    let body = json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "js"}}]},
        "scopeSpans": [{"scope": {"name": "s"}, "spans": [
            json_span(&hex(&trace_id(0)), "one"),
            json_span("00000000000000000000000000000000", "two"),
        ]}],
    }]});
    let headers = [("content-type", "application/json; charset=utf-8")];
    let answer = server.post("/v1/traces", &headers, body.to_string()).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::OK, "application/json")
    );
    let partial = &answer.json()["partialSuccess"];
    assert_eq!(partial["rejectedSpans"], "1");
    assert!(partial["errorMessage"].as_str().unwrap().contains("trace_id is zero"), "{partial}");
    let trace = server.get(&format!("/api/v1/traces/{}", trace_hex(0))).await.json();
    assert_eq!(trace["spans"][0]["attributes"], json!({"n": 7}));
    assert_eq!(trace["spans"][0]["service"], "js");

    let gzipped = [JSON, ("content-encoding", "gzip")];
    let answer = server.post("/v1/traces", &gzipped, gzip(b"{}")).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "{}"));
}

fn json_span(trace_id: &str, name: &str) -> Json {
    json!({
        "traceId": trace_id, "spanId": hex(&span_id(0)), "name": name, "kind": 1,
        "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000001000000000",
        "attributes": [{"key": "n", "value": {"intValue": "7"}}],
    })
}

#[tokio::test]
async fn partial_success_lists_the_first_reasons() {
    let server = Server::start().await;
    let mut short = span(0, 1);
    short.trace_id = vec![1, 2, 3];
    let mut zero = span(0, 2);
    zero.span_id = vec![0; 8];
    let body = request(vec![span(0, 0), short, zero]).encode_to_vec();

    let answer = server.post("/v1/traces", &[PROTOBUF], body.clone()).await;
    assert_eq!(answer.status, StatusCode::OK);
    let partial = ExportTraceServiceResponse::decode(answer.body).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 2);
    assert!(partial.error_message.contains("trace_id has 3 bytes"), "{}", partial.error_message);
    assert!(partial.error_message.contains("span_id is zero"), "{}", partial.error_message);

    let call = server.export(&[], frame(false, &body)).await;
    assert_eq!(call.code(), 0);
    let response = ExportTraceServiceResponse::decode(call.message()).unwrap();
    assert_eq!(response.partial_success.unwrap().rejected_spans, 2);
    let trace = server.get(&format!("/api/v1/traces/{}", trace_hex(0))).await.json();
    assert_eq!(trace["span_count"], 1);

    let problems = server.get("/api/v1/ingest/problems").await.json();
    let problems = problems["problems"].as_array().unwrap();
    assert!(problems.iter().any(|problem| problem["outcome"] == "rejected"
        && problem["reason"].as_str().unwrap().contains("span_id")
        && !problem["fix"].as_str().unwrap().is_empty()));
}

#[tokio::test]
async fn grpc_takes_every_encoding() {
    let server = Server::start().await;
    let zstd: Encode = |plain| zstd::encode_all(plain, 1).unwrap();
    for (trace, (name, encode)) in (0..).zip([("gzip", gzip as Encode), ("zstd", zstd)]) {
        let body = encode(&request(vec![span(trace, 0)]).encode_to_vec());
        let call = server.export(&[("grpc-encoding", name)], frame(true, &body)).await;
        assert_eq!(call.code(), 0, "{name}: {call:?}");
        assert!(call.message().is_empty());
        let trace = format!("/api/v1/traces/{}", trace_hex(trace));
        assert_eq!(server.get(&trace).await.status, StatusCode::OK, "{name}");
    }
    // A message may be plain although the call names a compression.
    let plain = frame(false, &request(vec![span(9, 0)]).encode_to_vec());
    assert_eq!(server.export(&[("grpc-encoding", "gzip")], plain).await.code(), 0);
}

#[tokio::test]
async fn grpc_errors_have_codes() {
    let server = Server::start().await;
    let good = request(vec![span(0, 0)]).encode_to_vec();
    let cases: [(&str, Headers<'_>, Bytes, i32); 7] = [
        ("empty request", &[], frame(false, b""), 0),
        ("no frame", &[], Bytes::new(), 3),
        ("cut frame", &[], frame(false, &good).slice(..good.len()), 3),
        ("not protobuf", &[], frame(false, b"\xff\xff\xff\xff"), 3),
        ("unknown compression", &[("grpc-encoding", "lz4")], frame(true, &good), 12),
        ("compressed without a name", &[], frame(true, &good), 3),
        ("no gzip", &[("grpc-encoding", "gzip")], frame(true, &good), 3),
    ];
    for (name, headers, body, code) in cases {
        let call = server.export(headers, body).await;
        assert_eq!(call.code(), code, "{name}: {call:?}");
        assert_eq!(call.headers["content-type"], "application/grpc", "{name}");
    }
    let call = server.call("/unknown.Service/Method", &[], frame(false, b"")).await;
    assert_eq!(call.code(), 12);
}

#[tokio::test]
async fn http_errors_have_statuses_in_the_requests_encoding() {
    let server = Server::start().await;
    let good = request(vec![span(0, 0)]).encode_to_vec();
    let plain_text = [("content-type", "text/plain")];
    let brotli = [PROTOBUF, ("content-encoding", "br")];
    let not_gzip = [PROTOBUF, ("content-encoding", "gzip")];
    let cases: [(&str, Headers<'_>, &[u8], u16); 8] = [
        ("empty request", &[PROTOBUF], b"", 200),
        ("empty JSON request", &[JSON], b"{}", 200),
        ("no content type", &[], &good, 415),
        ("wrong content type", &plain_text, &good, 415),
        ("wrong content encoding", &brotli, &good, 415),
        ("not gzip", &not_gzip, &good, 400),
        ("not protobuf", &[PROTOBUF], b"\xff\xff\xff", 400),
        ("not JSON", &[JSON], b"{\"resourceSpans\": [", 400),
    ];
    for (name, headers, body, status) in cases {
        let answer = server.post("/v1/traces", headers, body.to_vec()).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {answer:?}");
        if status == 400 {
            let message = if headers[0] == JSON {
                assert_eq!(answer.json()["code"], 3, "{name}");
                answer.json()["message"].as_str().unwrap().to_owned()
            } else {
                let status = Status::decode(answer.body.clone()).unwrap();
                assert_eq!(status.code, 3, "{name}");
                status.message
            };
            assert!(!message.is_empty(), "{name}");
        }
    }
    assert_eq!(server.post("/v1/nothing", &[PROTOBUF], "").await.status, 404);
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

#[tokio::test]
async fn log_events_join_their_span_and_metrics_are_taken() {
    let server = Server::start().await;
    let record = |body: &str| LogRecord {
        trace_id: trace_id(0),
        span_id: span_id(0),
        time_unix_nano: crate::harness::now_ns(),
        event_name: "gen_ai.user.message".to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(body.to_owned())) }),
        ..LogRecord::default()
    };
    let unrelated = LogRecord::default();
    let logs = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![record("hello"), unrelated],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    server.take(&request(vec![span(0, 0)])).await;
    let answer = server.post("/v1/logs", &[PROTOBUF], logs.encode_to_vec()).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let trace = server.get(&format!("/api/v1/traces/{}", trace_hex(0))).await.json();
    assert_eq!(trace["span_count"], 1, "a log record is no span");

    assert_eq!(server.post("/v1/metrics", &[PROTOBUF], "").await.status, StatusCode::OK);
    assert_eq!(server.post("/v1/metrics", &[JSON], "{}").await.status, StatusCode::OK);
    assert_eq!(server.post("/v1/metrics", &[PROTOBUF], "\u{7f}").await.status, 400);
    let metrics = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    assert_eq!(server.call(metrics, &[], frame(false, b"")).await.code(), 0);
    let logs_path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    assert_eq!(server.call(logs_path, &[], frame(false, b"")).await.code(), 0);
}

#[tokio::test]
async fn received_is_accepted_plus_rejected() {
    let server = Server::start().await;
    let mut bad = span(0, 1);
    bad.trace_id.clear();
    let body = request(vec![span(0, 0), bad, span(1, 0)]).encode_to_vec();
    server.post("/v1/traces", &[PROTOBUF], body.clone()).await;
    server.post("/v1/traces", &[PROTOBUF], body.clone()).await;
    server.export(&[], frame(false, &body)).await;
    server.post("/v1/traces", &[PROTOBUF], "\u{7f}").await;
    let text = server.get("/metrics").await;
    let sum = |name: &str| -> u64 {
        text.text()
            .lines()
            .filter(|line| line.starts_with(&format!("spanwise_{name}{{")))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    };
    assert_eq!(sum("received_total"), 9);
    assert_eq!((sum("accepted_total"), sum("rejected_total")), (6, 3));
    assert_eq!(sum("rejections_total"), 3);
    // The same body again is known as a whole, whichever way it came.
    assert_eq!(sum("duplicates_total"), 4);
    assert!(
        text.text().contains(
            "spanwise_ingest_requests_total{source=\"otlp-http\",outcome=\"malformed\"} 1"
        )
    );
}
