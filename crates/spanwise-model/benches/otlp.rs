//! Decoding OTLP, ours beside prost's, on the same bytes. `cargo bench -p spanwise-model` prints
//! spans per second (as items) and bytes per second. Decoding includes dropping what was decoded,
//! which is also shown on its own.

use std::sync::Arc;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use spanwise_model::span::Status;
use spanwise_model::wire::otlp;
use spanwise_model::{Attributes, Kind, Resource, Scope, Span, SpanId, Str, TraceId, Value};

/// As many spans as an exporter usually sends at once.
const N_SPANS: usize = 200;

/// What the conversations are written in: UTF-8 is cheap to check only where it is ASCII.
const LANGUAGES: [&str; 2] = ["english", "chinese"];

/// The allocator of the server.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    divan::main();
}

/// The length of a sentence differs by language; the size of a span is about the same.
fn sentence(language: &str) -> String {
    match language {
        "english" => "The order was shipped on Tuesday and arrives within three days. ".repeat(6),
        _ => "订单已于星期二发货，预计三天之内送达，请注意查收。".repeat(5),
    }
}

fn resource() -> Resource {
    let attributes = [("service.name", "support-agent"), ("telemetry.sdk.language", "python")];
    Resource { attributes: attributes.into_iter().collect(), ..Resource::default() }
}

/// A chat call with its messages: 1.6 kB or so.
fn span(number: usize, language: &str, resource: &Arc<Resource>, scope: &Arc<Scope>) -> Span {
    let id = (number as u64 + 1).to_be_bytes();
    let message = |role: &str| {
        let content = sentence(language);
        format!(r#"[{{"role":"{role}","parts":[{{"type":"text","content":"{content}"}}]}}]"#)
    };
    let mut attributes: Attributes = [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "gpt-4o"),
        ("gen_ai.response.model", "gpt-4o-2024-08-06"),
        ("gen_ai.response.id", "chatcmpl-9J3uIL87gldCFtiIbyaOvTeYBRA3l"),
        ("gen_ai.conversation.id", "conversation-4711"),
        ("user.id", "user-0815"),
        ("server.address", "api.openai.com"),
    ]
    .into_iter()
    .collect();
    attributes.push("gen_ai.input.messages", message("user"));
    attributes.push("gen_ai.output.messages", message("assistant"));
    attributes.push("gen_ai.usage.input_tokens", 1234);
    attributes.push("gen_ai.usage.output_tokens", 321);
    attributes.push("gen_ai.request.max_tokens", 1024);
    attributes.push("gen_ai.request.temperature", 0.7);
    let reasons = Value::Array(vec!["stop".into()]);
    attributes.push("gen_ai.response.finish_reasons", reasons);
    Span {
        trace_id: TraceId::from_bytes(&[7; 16]).expect("not zero"),
        span_id: SpanId::from_bytes(&id).expect("not zero"),
        parent_span_id: SpanId::from_bytes(&[9; 8]).ok(),
        trace_state: Str::new(),
        flags: 0x101,
        name: "chat gpt-4o".into(),
        kind: Kind::Client,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_001_000_000_000,
        attributes,
        dropped_attributes_count: 0,
        events: Vec::new(),
        dropped_events_count: 0,
        links: Vec::new(),
        dropped_links_count: 0,
        status: Status::default(),
        resource: Arc::clone(resource),
        scope: Arc::clone(scope),
    }
}

fn spans(language: &str) -> Vec<Span> {
    let scope = Arc::new(Scope { name: "demo".into(), ..Scope::default() });
    let resource = Arc::new(resource());
    (0..N_SPANS).map(|number| span(number, language, &resource, &scope)).collect()
}

fn counted<'a, 'b>(bencher: Bencher<'a, 'b>, body: &[u8]) -> Bencher<'a, 'b> {
    bencher.counter(ItemsCount::new(N_SPANS)).counter(BytesCount::new(body.len()))
}

#[divan::bench(args = LANGUAGES)]
fn decode_protobuf(bencher: Bencher<'_, '_>, language: &str) {
    let body = Bytes::from(otlp::encode_traces(&spans(language)));
    counted(bencher, &body).bench(|| drop(otlp::decode_traces(body.clone())));
}

#[divan::bench(args = LANGUAGES)]
fn decode_protobuf_with_prost(bencher: Bencher<'_, '_>, language: &str) {
    let body = otlp::encode_traces(&spans(language));
    counted(bencher, &body).bench(|| drop(ExportTraceServiceRequest::decode(&body[..])));
}

#[divan::bench(args = LANGUAGES)]
fn drop_decoded(bencher: Bencher<'_, '_>, language: &str) {
    let body = Bytes::from(otlp::encode_traces(&spans(language)));
    counted(bencher, &body).with_inputs(|| otlp::decode_traces(body.clone())).bench_values(drop);
}

#[divan::bench(args = LANGUAGES)]
fn drop_decoded_with_prost(bencher: Bencher<'_, '_>, language: &str) {
    let body = otlp::encode_traces(&spans(language));
    counted(bencher, &body)
        .with_inputs(|| ExportTraceServiceRequest::decode(&body[..]))
        .bench_values(drop);
}

#[divan::bench(args = LANGUAGES)]
fn decode_json(bencher: Bencher<'_, '_>, language: &str) {
    let body = otlp::encode_traces_json(&spans(language));
    counted(bencher, body.as_bytes()).bench(|| drop(otlp::decode_traces_json(body.as_bytes())));
}

#[divan::bench(args = LANGUAGES)]
fn encode_protobuf(bencher: Bencher<'_, '_>, language: &str) {
    let spans = spans(language);
    let size = otlp::encode_traces(&spans);
    counted(bencher, &size).bench(|| otlp::encode_traces(&spans));
}
