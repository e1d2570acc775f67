//! What the pipeline costs per span. Run: `cargo bench -p spanwise-pipeline`.

#![expect(clippy::unwrap_used, reason = "the ids are constants")]

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use spanwise_model::price::PriceTable;
use spanwise_model::{
    Attributes, Batch, Kind, Resource, Scope, Span, SpanId, Status, Str, TraceId, Value,
};
use spanwise_pipeline::{Pipeline, llm_view};

const N_SPANS: usize = 200;
const START: u64 = 1_780_000_000_000_000_000;

/// The allocator of the server.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    divan::main();
}

fn batch(attributes: &Attributes) -> Batch {
    let resource: Arc<Resource> = Arc::new(Resource {
        attributes: [
            ("service.name", "bench"),
            ("deployment.environment.name", "production"),
            ("telemetry.sdk.language", "python"),
        ]
        .into_iter()
        .collect(),
        ..Resource::default()
    });
    let scope = Arc::new(Scope { name: Str::from_static("bench"), ..Scope::default() });
    let span = |n: u64| Span {
        trace_id: TraceId::from_bytes(&[1; 16]).unwrap(),
        span_id: SpanId::from_bytes(&(n + 1).to_be_bytes()).unwrap(),
        parent_span_id: SpanId::from_bytes(&[9; 8]).ok(),
        trace_state: Str::new(),
        flags: 0,
        name: Str::from_static("chat gpt-4o-mini"),
        kind: Kind::Client,
        start_time_unix_nano: START,
        end_time_unix_nano: START + 800_000_000,
        attributes: attributes.clone(),
        dropped_attributes_count: 0,
        events: Vec::new(),
        dropped_events_count: 0,
        links: Vec::new(),
        dropped_links_count: 0,
        status: Status::default(),
        resource: Arc::clone(&resource),
        scope: Arc::clone(&scope),
    };
    Batch { spans: (0..N_SPANS as u64).map(span).collect(), ..Batch::default() }
}

/// 18 attributes, 1.8 kB, messages as JSON.
fn chat() -> Attributes {
    let question = "What should I see in Lisbon on a rainy afternoon with two children? ".repeat(6);
    let answer = "Start at the tile museum, then take the old tram to the aquarium. ".repeat(9);
    let mut attributes: Attributes = [
        ("gen_ai.operation.name", "chat".to_owned()),
        ("gen_ai.provider.name", "openai".to_owned()),
        ("gen_ai.request.model", "gpt-4o-mini".to_owned()),
        ("gen_ai.response.model", "gpt-4o-mini-2024-07-18".to_owned()),
        ("gen_ai.response.id", "chatcmpl-A6125850".to_owned()),
        ("gen_ai.response.finish_reasons", "[\"stop\"]".to_owned()),
        ("gen_ai.conversation.id", "conversation-812".to_owned()),
        ("user.id", "user-17".to_owned()),
        ("server.address", "api.openai.com".to_owned()),
        (
            "gen_ai.input.messages",
            format!(
                r#"[{{"role":"system","parts":[{{"type":"text","content":"Be brief."}}]}},{{"role":"user","parts":[{{"type":"text","content":"{question}"}}]}}]"#
            ),
        ),
        (
            "gen_ai.output.messages",
            format!(
                r#"[{{"role":"assistant","parts":[{{"type":"text","content":"{answer}"}}],"finish_reason":"stop"}}]"#
            ),
        ),
    ]
    .into_iter()
    .collect();
    attributes.push("server.port", 443);
    attributes.push("gen_ai.request.max_tokens", 256);
    attributes.push("gen_ai.request.temperature", 0.2);
    attributes.push("gen_ai.usage.input_tokens", 421);
    attributes.push("gen_ai.usage.output_tokens", 123);
    attributes.push("gen_ai.usage.cache_read.input_tokens", 0);
    attributes.push("gen_ai.response.time_to_first_chunk", 0.211);
    attributes
}

/// The same call, its messages flattened by OpenInference.
fn flattened() -> Attributes {
    let mut attributes: Attributes = [
        ("openinference.span.kind", "LLM".to_owned()),
        ("llm.system", "openai".to_owned()),
        ("llm.model_name", "gpt-4o-mini-2024-07-18".to_owned()),
        (
            "llm.invocation_parameters",
            r#"{"model": "gpt-4o-mini", "max_tokens": 256, "temperature": 0.2}"#.to_owned(),
        ),
        ("llm.finish_reason", "stop".to_owned()),
        ("session.id", "session-9".to_owned()),
        ("user.id", "user-17".to_owned()),
    ]
    .into_iter()
    .collect();
    let text = "What should I see in Lisbon on a rainy afternoon? ".repeat(6);
    for n in 0..4 {
        let role = if n % 2 == 0 { "user" } else { "assistant" };
        attributes.push(format!("llm.input_messages.{n}.message.role"), role);
        attributes.push(format!("llm.input_messages.{n}.message.content"), text.clone());
    }
    attributes.push("llm.output_messages.0.message.role", "assistant");
    attributes.push("llm.output_messages.0.message.content", text);
    attributes.push("llm.token_count.prompt", 421);
    attributes.push("llm.token_count.completion", 123);
    attributes.push("llm.token_count.total", 544);
    attributes
}

fn http() -> Attributes {
    let mut attributes: Attributes = [
        ("http.request.method", "GET"),
        ("http.route", "/api/orders/{id}"),
        ("url.scheme", "https"),
        ("url.path", "/api/orders/4711"),
        ("server.address", "shop.example"),
        ("client.address", "203.0.113.7"),
        ("user_agent.original", "Mozilla/5.0"),
        ("network.protocol.version", "1.1"),
        ("network.peer.address", "10.0.3.9"),
        ("thread.name", "http-nio-8080-exec-3"),
        ("code.function.name", "orders.get"),
    ]
    .into_iter()
    .collect();
    attributes.push("http.response.status_code", Value::Int(200));
    attributes.push("server.port", 443);
    attributes.push("network.peer.port", 51422);
    attributes.push("thread.id", 31);
    attributes.push("http.response.body.size", 1822);
    attributes
}

fn process(bencher: Bencher<'_, '_>, attributes: &Attributes) {
    let pipeline = Pipeline::new(Arc::new(PriceTable::bundled()));
    let project = Arc::from("bench");
    bencher
        .counter(ItemsCount::new(N_SPANS))
        .with_inputs(|| batch(attributes))
        .bench_values(|batch| pipeline.process(batch, &project, START));
}

#[divan::bench]
fn llm_span(bencher: Bencher<'_, '_>) {
    process(bencher, &chat());
}

#[divan::bench]
fn openinference_span(bencher: Bencher<'_, '_>) {
    process(bencher, &flattened());
}

#[divan::bench]
fn http_span(bencher: Bencher<'_, '_>) {
    process(bencher, &http());
}

#[divan::bench]
fn view_of_an_llm_span(bencher: Bencher<'_, '_>) {
    let pipeline = Pipeline::new(Arc::new(PriceTable::bundled()));
    let stored = pipeline.process(batch(&chat()), &Arc::from("bench"), START).stored;
    bencher.counter(ItemsCount::new(1_usize)).bench(|| llm_view(&stored[0], &[]));
}
