//! Spans to write: simple ones made by hand, arbitrary ones made by proptest.

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use spanwise_model::genai::{Cost, CostSource, Facts, Operation, Usage};
use spanwise_model::span::StatusCode;
use spanwise_model::{
    Attribute, Attributes, Event, Kind, Link, Resource, RowRole, Scope, Span, SpanId, Status,
    StoredSpan, Str, TraceId, Value, Warning,
};

pub fn trace_id(number: u64) -> TraceId {
    let mut bytes = [1; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TraceId::from_bytes(&bytes).unwrap()
}

pub fn span_id(number: u64) -> SpanId {
    SpanId::from_bytes(&(number + 1).to_be_bytes()).unwrap()
}

/// A span that says little: fill in what matters with `..`-free assignments.
pub fn simple(project: &str, trace: u64, span: u64, start: u64) -> StoredSpan {
    let resource = Resource {
        attributes: [("service.name", "shop")].into_iter().collect(),
        ..Resource::default()
    };
    StoredSpan {
        project: project.into(),
        role: RowRole::Span,
        span: Span {
            trace_id: trace_id(trace),
            span_id: span_id(span),
            parent_span_id: None,
            trace_state: Str::new(),
            flags: 0,
            name: "work".into(),
            kind: Kind::Internal,
            start_time_unix_nano: start,
            end_time_unix_nano: start + 1000,
            attributes: Attributes::default(),
            dropped_attributes_count: 0,
            events: vec![],
            dropped_events_count: 0,
            links: vec![],
            dropped_links_count: 0,
            status: Status::default(),
            resource: Arc::new(resource),
            scope: Arc::new(Scope::default()),
        },
        facts: Facts::default(),
        warnings: vec![],
        received_unix_nano: start + 2000,
    }
}

fn text() -> impl Strategy<Value = Str> {
    let words = vec(
        prop_oneof![
            Just("Quixotic"),
            Just("zephyr"),
            Just("the"),
            Just("order-17"),
            Just("\"é\\"),
            Just("{"),
            Just("\n"),
            Just("К"),
            Just("日本"),
            Just("_x_"),
        ],
        0..30,
    );
    let json = vec(words.clone(), 0..6).prop_map(|messages| {
        let messages: Vec<_> = messages
            .into_iter()
            .map(|m| serde_json::json!({"role": "user", "parts": [{"content": m.join(" ")}, 3]}))
            .collect();
        serde_json::to_string(&messages).unwrap()
    });
    prop_oneof![
        4 => words.prop_map(|words| words.join(" ")),
        2 => json,
        1 => ".{0,12}",
    ]
    .prop_map(Str::from)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        text().prop_map(Value::String),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(|bits| Value::Double(f64::from_bits(bits))),
        vec(any::<u8>(), 0..100).prop_map(|bytes| Value::Bytes(Bytes::from(bytes))),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec((key(), inner), 0..4).prop_map(|pairs| Value::Map(pairs.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = Str> {
    prop_oneof![
        Just("http.method".to_owned()),
        Just("error".to_owned()),
        Just("input.value".to_owned()),
        Just("llm.input_messages.3.content".to_owned()),
        Just(String::new()),
        Just("k".repeat(400)),
        "[a-c]",
        ".{0,3}",
    ]
    .prop_map(Str::from)
}

fn attributes() -> impl Strategy<Value = Attributes> {
    vec((key(), value()).prop_map(|(key, value)| Attribute { key, value }), 0..8)
        .prop_map(Attributes)
}

fn facts() -> impl Strategy<Value = Facts> {
    let strings = vec(prop_oneof![3 => Just(Str::new()), 1 => text()], 16);
    let counts = vec(option::of(any::<u64>()), 7);
    let cost = option::of((any::<i64>(), any::<bool>()));
    let operation = option::of(proptest::sample::select(&Operation::ALL[..]));
    (strings, counts, cost, operation, any::<[bool; 2]>()).prop_map(
        |(strings, counts, cost, operation, is_message)| {
            let mut strings = strings.into_iter();
            let mut next = || strings.next().unwrap_or_default();
            Facts {
                operation,
                provider: next(),
                request_model: next(),
                response_model: next(),
                usage: Usage {
                    input: counts[0],
                    output: counts[1],
                    total: counts[2],
                    cache_read: counts[3],
                    cache_write: counts[4],
                    reasoning: counts[5],
                },
                cost: cost.map(|(nano_usd, computed)| Cost {
                    nano_usd,
                    source: if computed { CostSource::Computed } else { CostSource::Reported },
                }),
                time_to_first_token_ns: counts[6],
                finish_reasons: next(),
                response_id: next(),
                session_id: next(),
                conversation_id: next(),
                user_id: next(),
                agent_name: next(),
                agent_id: next(),
                tool_name: next(),
                workflow_name: next(),
                environment: next(),
                error_type: next(),
                input_preview: next(),
                output_preview: next(),
                input_is_message: is_message[0],
                output_is_message: is_message[1],
            }
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    (any::<u64>(), text(), attributes(), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (0..9u64, text(), attributes(), any::<[u32; 2]>()).prop_map(
        |(number, trace_state, attributes, numbers)| Link {
            trace_id: trace_id(number),
            span_id: span_id(number),
            trace_state,
            attributes,
            dropped_attributes_count: numbers[0],
            flags: numbers[1],
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (0..5u64, any::<u64>().prop_map(|n| n / 2), option::of(0..9u64));
    let numbers = (any::<[u64; 2]>(), any::<[u32; 4]>(), 0..6i32, 0..3i32);
    let origin = || (attributes(), any::<u32>(), text());
    let lists = (attributes(), vec(event(), 0..3), vec(link(), 0..2));
    (ids, numbers, [text(), text(), text()], lists, origin(), origin()).prop_map(
        |(ids, (times, numbers, kind, status), texts, lists, resource, scope)| Span {
            trace_id: trace_id(ids.0),
            span_id: span_id(ids.1),
            parent_span_id: ids.2.map(span_id),
            trace_state: texts[0].clone(),
            flags: numbers[0],
            name: texts[1].clone(),
            kind: Kind::from_number(kind),
            start_time_unix_nano: times[0],
            end_time_unix_nano: times[1],
            attributes: lists.0,
            dropped_attributes_count: numbers[1],
            events: lists.1,
            dropped_events_count: numbers[2],
            links: lists.2,
            dropped_links_count: numbers[3],
            status: Status { code: StatusCode::from_number(status), message: texts[2].clone() },
            resource: Arc::new(Resource {
                attributes: resource.0,
                dropped_attributes_count: resource.1,
                schema_url: resource.2,
            }),
            scope: Arc::new(Scope {
                name: scope.2.clone(),
                version: scope.2,
                attributes: scope.0,
                dropped_attributes_count: scope.1,
                schema_url: Str::new(),
            }),
        },
    )
}

/// Rows of a few traces in two projects, with everything a span can have.
pub fn arbitrary(n_rows: std::ops::Range<usize>) -> impl Strategy<Value = Vec<StoredSpan>> {
    let warning = (text(), text()).prop_map(|(kind, message)| Warning { kind, message });
    let row = (span(), facts(), vec(warning, 0..2), any::<u64>(), any::<[bool; 2]>()).prop_map(
        |(span, facts, warnings, received_unix_nano, [is_log, is_other])| StoredSpan {
            project: if is_other { "other".into() } else { "default".into() },
            role: if is_log { RowRole::LogEvent } else { RowRole::Span },
            span,
            facts,
            warnings,
            received_unix_nano,
        },
    );
    vec(row, n_rows)
}
