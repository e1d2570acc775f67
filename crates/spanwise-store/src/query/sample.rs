//! Spans to try queries on.

use std::sync::Arc;

use spanwise_model::genai::{Cost, CostSource, Facts, Operation, Usage};
use spanwise_model::span::{Event, Kind, StatusCode};
use spanwise_model::stored::LOG_BODY_KEY;
use spanwise_model::{
    Attributes, Resource, RowRole, Scope, Span, SpanId, Status, StoredSpan, TraceId, Value,
};

/// A span with nothing but ids, a name and a time.
pub fn plain_span(trace: u64, span: u64, name: &str, start: u64) -> StoredSpan {
    let mut trace_id = [0xa0; 16];
    trace_id[..8].copy_from_slice(&trace.to_be_bytes());
    StoredSpan {
        project: Arc::from("default"),
        role: RowRole::Span,
        span: Span {
            trace_id: TraceId::from_bytes(&trace_id).unwrap(),
            span_id: SpanId::from_bytes(&span.to_be_bytes()).unwrap(),
            parent_span_id: None,
            trace_state: "".into(),
            flags: 0,
            name: name.into(),
            kind: Kind::Internal,
            start_time_unix_nano: start,
            end_time_unix_nano: start + 1_000_000,
            attributes: Attributes::default(),
            dropped_attributes_count: 0,
            events: vec![],
            dropped_events_count: 0,
            links: vec![],
            dropped_links_count: 0,
            status: Status::default(),
            resource: Arc::new(Resource::default()),
            scope: Arc::new(Scope::default()),
        },
        facts: Facts::default(),
        warnings: vec![],
        received_unix_nano: start,
    }
}

/// A span on which most fields are known.
pub fn llm_span() -> StoredSpan {
    let mut stored = plain_span(0x0102_0304_0506_0708, 0x1112_1314_1516_1718, "chat gpt-4o", 1000);
    let span = &mut stored.span;
    span.kind = Kind::Client;
    span.end_time_unix_nano = 1000 + 2_000_000_000;
    span.status = Status { code: StatusCode::Error, message: "connection reset".into() };
    span.attributes = [
        ("http.status_code", Value::Int(500)),
        ("temperature", Value::Double(0.7)),
        ("stream", Value::Bool(true)),
        ("count.text", Value::from("42")),
        ("tags", Value::Array(vec![Value::from("a")])),
        ("input", Value::from(r#"[{"role":"user","content":"a Quixotic\nzephyr"},{"x":["b"]}]"#)),
    ]
    .into_iter()
    .collect();
    span.events = vec![Event {
        time_unix_nano: 1500,
        name: "exception".into(),
        attributes: [("exception.message", Value::from("it exploded"))].into_iter().collect(),
        dropped_attributes_count: 0,
    }];
    let attributes = [
        ("service.name", Value::from("checkout")),
        ("deployment.environment", Value::from("prod")),
    ];
    span.resource =
        Arc::new(Resource { attributes: attributes.into_iter().collect(), ..Resource::default() });
    stored.facts = Facts {
        operation: Some(Operation::Chat),
        provider: "openai".into(),
        request_model: "gpt-4o".into(),
        response_model: "gpt-4o-2024".into(),
        usage: Usage { input: Some(1000), output: Some(200), ..Usage::default() },
        cost: Some(Cost { nano_usd: 50_000_000, source: CostSource::Computed }),
        time_to_first_token_ns: Some(300_000_000),
        finish_reasons: "stop,tool_calls".into(),
        session_id: "s-1".into(),
        user_id: "ada".into(),
        agent_name: "helper".into(),
        error_type: "TimeoutError".into(),
        ..Facts::default()
    };
    stored
}

/// A log record that belongs to a span.
pub fn log_event(of: &StoredSpan, text: &str) -> StoredSpan {
    let mut stored = of.clone();
    stored.role = RowRole::LogEvent;
    stored.facts = Facts::default();
    let span = &mut stored.span;
    span.name = "gen_ai.choice".into();
    span.kind = Kind::Unspecified;
    span.status = Status::default();
    span.end_time_unix_nano = span.start_time_unix_nano;
    span.events.clear();
    span.attributes = [(LOG_BODY_KEY, Value::from(text.to_owned()))].into_iter().collect();
    stored
}
