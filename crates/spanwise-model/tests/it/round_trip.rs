//! What is written is read again, by us and by others.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as proto;
use proptest::prelude::*;
use prost::Message;
use spanwise_model::wire::otlp;

use crate::arbitrary::{log_events, spans};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn spans_survive_protobuf(spans in spans()) {
        let batch = otlp::decode_traces(otlp::encode_traces(&spans).into()).unwrap();
        prop_assert_eq!(batch.spans, spans);
        prop_assert!(batch.rejected.is_empty() && batch.repairs.is_empty());
    }

    #[test]
    fn spans_survive_json(spans in spans()) {
        let json = otlp::encode_traces_json(&spans);
        let batch = otlp::decode_traces_json(json.as_bytes()).unwrap();
        prop_assert_eq!(batch.spans, spans);
        prop_assert!(batch.rejected.is_empty() && batch.repairs.is_empty());
    }

    #[test]
    fn spans_survive_another_implementation(spans in spans()) {
        let ours = otlp::encode_traces(&spans);
        let theirs = ExportTraceServiceRequest::decode(&ours[..]).unwrap().encode_to_vec();
        prop_assert_eq!(otlp::decode_traces(theirs.into()).unwrap().spans, spans);
    }

    #[test]
    fn log_events_survive(logs in log_events()) {
        let ours = otlp::encode_logs(&logs);
        let theirs = ExportLogsServiceRequest::decode(&ours[..]).unwrap().encode_to_vec();
        let json = otlp::encode_logs_json(&logs);
        for batch in [
            otlp::decode_logs(ours.into()),
            otlp::decode_logs(theirs.into()),
            otlp::decode_logs_json(json.as_bytes()),
        ] {
            let batch = batch.unwrap();
            prop_assert_eq!(&batch.log_events, &logs);
            prop_assert_eq!(batch.unrelated_logs, 0);
        }
    }
}

fn key_value(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// Round trips do not notice two fields of one type that are swapped in reader and writer.
#[test]
fn every_field_is_where_the_specification_has_it() {
    let span = proto::Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        trace_state: "a=b".into(),
        parent_span_id: vec![3; 8],
        flags: 0x301,
        name: "chat".into(),
        kind: 3,
        start_time_unix_nano: 4,
        end_time_unix_nano: 5,
        attributes: vec![key_value("k", any_value::Value::IntValue(-1))],
        dropped_attributes_count: 6,
        events: vec![proto::span::Event {
            time_unix_nano: 7,
            name: "e".into(),
            attributes: vec![key_value("b", any_value::Value::BytesValue(vec![0xff]))],
            dropped_attributes_count: 8,
        }],
        dropped_events_count: 9,
        links: vec![proto::span::Link {
            trace_id: vec![10; 16],
            span_id: vec![11; 8],
            trace_state: "c=d".into(),
            attributes: vec![key_value("d", any_value::Value::DoubleValue(0.5))],
            dropped_attributes_count: 12,
            flags: 13,
        }],
        dropped_links_count: 14,
        status: Some(proto::Status { message: "bad".into(), code: 2 }),
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![proto::ResourceSpans {
            resource: Some(Resource {
                attributes: vec![key_value(
                    "service.name",
                    any_value::Value::StringValue("s".into()),
                )],
                dropped_attributes_count: 15,
                ..Resource::default()
            }),
            scope_spans: vec![proto::ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "lib".into(),
                    version: "1".into(),
                    attributes: vec![key_value("t", any_value::Value::BoolValue(true))],
                    dropped_attributes_count: 16,
                }),
                spans: vec![span],
                schema_url: "scope-schema".into(),
            }],
            schema_url: "resource-schema".into(),
        }],
    };
    let bytes = request.encode_to_vec();
    let spans = otlp::decode_traces(Bytes::from(bytes.clone())).unwrap().spans;
    insta::assert_debug_snapshot!(spans[0]);
    assert_eq!(ExportTraceServiceRequest::decode(&otlp::encode_traces(&spans)[..]), Ok(request));
    let json: serde_json::Value = serde_json::from_str(&otlp::encode_traces_json(&spans)).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
}

#[test]
fn answers_are_what_others_read() {
    let answer = otlp::encode_partial_success(2, "span 0: trace_id is zero");
    let partial = ExportTraceServiceResponse::decode(&answer[..]).unwrap().partial_success;
    let expected = ExportTracePartialSuccess {
        rejected_spans: 2,
        error_message: "span 0: trace_id is zero".into(),
    };
    assert_eq!(partial, Some(expected));
    assert_eq!(otlp::encode_partial_success(0, ""), b"");
}
