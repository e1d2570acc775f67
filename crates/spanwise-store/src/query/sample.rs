//! Spans to try queries on.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use spanwise_model::genai::{Cost, CostSource, Facts, Operation, Usage};
use spanwise_model::span::{Event, Kind, StatusCode};
use spanwise_model::stored::LOG_BODY_KEY;
use spanwise_model::{
    Attributes, Resource, RowRole, Scope, Span, SpanId, Status, StoredSpan, TraceId, Value,
};

use super::Filter;
use super::parser::parse;
use crate::bodies::BodyMark;
use crate::live::{View, Writer};
use crate::segment::{self, Segment, WriteOptions};

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

/// Some of everything that searches tell apart.
pub fn arbitrary_span() -> impl Strategy<Value = StoredSpan> {
    let choice = |n: usize| 0..n;
    let place = (0..6_u64, 1..8_u64, 0..40_u64, choice(2), choice(8));
    let shape = (choice(4), choice(3), choice(4), choice(3), choice(4), choice(5));
    let facts = (choice(4), choice(4), choice(4), choice(4), choice(3));
    let content = (choice(10), choice(4), choice(6), choice(6));
    (place, shape, facts, content).prop_map(|(place, shape, facts, content)| {
        let (trace, id, start, project, log) = place;
        let mut stored = plain_span(trace + 1, id, NAMES[shape.0], start * 1_000_000);
        stored.project = Arc::from(["default", "other"][project]);
        set_shape(&mut stored.span, shape);
        set_facts(&mut stored.facts, facts);
        set_content(&mut stored.span, content);
        if log == 0 { log_event(&stored, TEXTS[content.2]) } else { stored }
    })
}

const NAMES: [&str; 4] = ["chat gpt-4o", "search zephyr", "", "GET /a"];
const TEXTS: [&str; 6] = [
    "",
    "the quixotic zephyr",
    r#"{"zephyr":["Quixotic \u007aephyr", 42]}"#,
    r#"[{"role":"user","content":"tell me of the quixotic"},{"content":"zephyr"}]"#,
    "zephyrs of straße",
    "42 GET",
];

fn set_shape(span: &mut Span, shape: (usize, usize, usize, usize, usize, usize)) {
    let (_, kind, code, service, resource, duration) = shape;
    span.kind = Kind::from_number(kind as i32 + 1);
    span.status.code = StatusCode::from_number(code as i32);
    span.status.message = if code == 3 { "quixotic".into() } else { "".into() };
    span.end_time_unix_nano =
        span.start_time_unix_nano + [0, 1_000_000, 2_000_000, 5_000_000_000, 7][duration];
    let mut attributes = Attributes::default();
    match service {
        1 => attributes.push("service.name", "api"),
        2 => attributes.push("service.name", "web shop"),
        _ => {}
    }
    match resource {
        1 => attributes.push("k", "x"),
        2 => attributes.push("r", 5_i64),
        3 => attributes.push("r", Value::Array(vec![])),
        _ => {}
    }
    span.resource = Arc::new(Resource { attributes, ..Resource::default() });
}

fn set_facts(
    facts: &mut Facts,
    (operation, model, cost, tokens, user): (usize, usize, usize, usize, usize),
) {
    facts.operation = [None, Some(Operation::Chat), Some(Operation::Tool), None][operation];
    facts.response_model = ["", "m1", "m2", "gpt-4o"][model].into();
    let costs = [None, Some(0), Some(50_000_000), Some(2_000_000_000)];
    facts.cost = costs[cost].map(|nano_usd| Cost { nano_usd, source: CostSource::Computed });
    facts.usage.input = [None, Some(10), None, Some(1000)][tokens];
    facts.usage.output = [None, Some(5), None, None][tokens];
    facts.usage.total = [None, None, Some(7), Some(9)][tokens];
    facts.user_id = ["", "ada", "bob"][user].into();
    facts.finish_reasons = ["", "stop", "stop,tool_calls"][user].into();
    facts.error_type = ["", "TimeoutError", ""][user].into();
}

fn set_content(span: &mut Span, (value, events, text, error): (usize, usize, usize, usize)) {
    let value = match value {
        0 => Value::Int(1),
        1 => Value::Int(500),
        2 => Value::Double(1.0),
        3 => Value::Double(f64::NAN),
        4 => Value::Bool(true),
        5 => Value::from("x"),
        6 => Value::from("1.5"),
        7 => Value::Array(vec![Value::from("x")]),
        _ => Value::Null,
    };
    if value != Value::Null {
        span.attributes.push("k", value);
    }
    match error {
        0 => span.attributes.push("error", true),
        1 => span.attributes.push("error", "timeout"),
        2 => span.attributes.push("error", "false"),
        _ => {}
    }
    if !TEXTS[text].is_empty() {
        span.attributes.push("input", TEXTS[text]);
    }
    if events == 0 {
        span.events.push(Event {
            time_unix_nano: 1,
            name: "quixotic".into(),
            attributes: Attributes::default(),
            dropped_attributes_count: 0,
        });
    }
}

/// Searches of every kind, nested.
pub fn arbitrary_filter() -> impl Strategy<Value = Filter> {
    const LEAVES: &[&str] = &[
        "service:api",
        "service:\"web shop\",x*",
        "has:service",
        "name:*z*",
        "name:~^GET",
        "kind:client,server",
        "status:error",
        "status:ok",
        "-status:unset",
        "duration:>=2ms",
        "duration:0",
        "cost:>0.01",
        "has:cost",
        "tokens:>8",
        "tokens:7,15",
        "input_tokens:10",
        "output_tokens:<100",
        "operation:chat",
        "model:m*",
        "model:gpt-4o",
        "finish:tool_calls",
        "error:*",
        "error:true",
        "error:false",
        "has:error",
        "error:Timeout*",
        "user:ada",
        "project:default",
        "k:1",
        "k:>0.5",
        "k:true",
        "k:x,500",
        "k:~^1",
        "has:k",
        "r:5",
        "has:r",
        "nothing:1",
        "zephyr",
        "zeph*",
        "\"quixotic zephyr\"",
        "42",
        "stra*",
        "trace_id:0000000000000001a0a0a0a0a0a0a0a0",
        "trace_id:000000000000000*",
        "span_id:*3",
        "*",
    ];
    let leaf = prop::sample::select(LEAVES).prop_map(|text| parse(text).unwrap());
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::Or),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

/// A live index that holds these rows.
pub fn live(rows: &[StoredSpan]) -> View {
    let mut writer = Writer::new(0);
    let rows = rows.iter().cloned().map(Arc::new).collect();
    writer.insert(0, BodyMark { hash: 0, received_unix_nano: 1 }, rows);
    View::of(&[Arc::clone(writer.active())], Arc::default())
}

/// A segment that holds these rows, in a folder of its own.
pub fn sealed(dir: &Path, rows: &[StoredSpan]) -> Arc<Segment> {
    let rows: Vec<Arc<StoredSpan>> = rows.iter().cloned().map(Arc::new).collect();
    let meta = segment::write(dir, &rows, &WriteOptions::seal()).unwrap();
    Arc::new(Segment::open(dir, meta).unwrap())
}
