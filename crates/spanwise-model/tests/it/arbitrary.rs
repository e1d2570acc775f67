//! Any batch at all.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use spanwise_model::span::StatusCode;
use spanwise_model::{
    Attribute, Attributes, Event, Kind, Link, LogEvent, Resource, Scope, Span, SpanId, Status, Str,
    TraceId, Value,
};

fn text() -> impl Strategy<Value = Str> {
    prop_oneof![Just(String::new()), "[a-z.]{1,20}", any::<String>()].prop_map(Str::from)
}

fn trace_id() -> impl Strategy<Value = TraceId> {
    any::<[u8; 16]>().prop_filter_map("zero", |bytes| TraceId::from_bytes(&bytes).ok())
}

fn span_id() -> impl Strategy<Value = SpanId> {
    any::<[u8; 8]>().prop_filter_map("zero", |bytes| SpanId::from_bytes(&bytes).ok())
}

/// Any value but NaN, which is not equal to itself.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        text().prop_map(Value::String),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter("NaN", |number| !number.is_nan()).prop_map(Value::Double),
        vec(any::<u8>(), 0..20).prop_map(|bytes| Value::Bytes(bytes.into())),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let entry = (text(), inner.clone()).prop_map(|(key, value)| Attribute { key, value });
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::Array),
            vec(entry, 0..4).prop_map(|entries| Value::Map(Attributes(entries))),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    vec((text(), value()), 0..4).prop_map(|entries| entries.into_iter().collect())
}

prop_compose! {
    fn event()(
        time_unix_nano in any::<u64>(),
        name in text(),
        attributes in attributes(),
        dropped_attributes_count in any::<u32>(),
    ) -> Event {
        Event { time_unix_nano, name, attributes, dropped_attributes_count }
    }
}

prop_compose! {
    fn link()(
        trace_id in trace_id(),
        span_id in span_id(),
        trace_state in text(),
        attributes in attributes(),
        [dropped_attributes_count, flags] in any::<[u32; 2]>(),
    ) -> Link {
        Link { trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags }
    }
}

prop_compose! {
    fn resource()(
        attributes in attributes(),
        dropped_attributes_count in any::<u32>(),
        schema_url in text(),
    ) -> Arc<Resource> {
        Arc::new(Resource { attributes, dropped_attributes_count, schema_url })
    }
}

prop_compose! {
    fn scope()(
        [name, version, schema_url] in [text(), text(), text()],
        attributes in attributes(),
        dropped_attributes_count in any::<u32>(),
    ) -> Arc<Scope> {
        Arc::new(Scope { name, version, attributes, dropped_attributes_count, schema_url })
    }
}

prop_compose! {
    fn span(resources: Vec<Arc<Resource>>, scopes: Vec<Arc<Scope>>)(
        (trace_id, span_id) in (trace_id(), span_id()),
        parent_span_id in proptest::option::of(span_id()),
        [trace_state, name, message] in [text(), text(), text()],
        [kind, code] in [0..6_i32, 0..3],
        [start_time_unix_nano, end_time_unix_nano] in any::<[u64; 2]>(),
        attributes in attributes(),
        events in vec(event(), 0..3),
        links in vec(link(), 0..3),
        [flags, attributes_dropped, events_dropped, links_dropped] in any::<[u32; 4]>(),
        resource in proptest::sample::select(resources),
        scope in proptest::sample::select(scopes),
    ) -> Span {
        Span {
            trace_id,
            span_id,
            parent_span_id,
            trace_state,
            flags,
            name,
            kind: Kind::from_number(kind),
            start_time_unix_nano,
            end_time_unix_nano,
            attributes,
            dropped_attributes_count: attributes_dropped,
            events,
            dropped_events_count: events_dropped,
            links,
            dropped_links_count: links_dropped,
            status: Status { code: StatusCode::from_number(code), message },
            resource,
            scope,
        }
    }
}

prop_compose! {
    fn log_event(resources: Vec<Arc<Resource>>, scopes: Vec<Arc<Scope>>)(
        (trace_id, span_id) in (trace_id(), span_id()),
        time_unix_nano in any::<u64>(),
        name in text(),
        severity_number in any::<u8>(),
        body in value(),
        attributes in attributes(),
        resource in proptest::sample::select(resources),
        scope in proptest::sample::select(scopes),
    ) -> LogEvent {
        LogEvent {
            trace_id, span_id, time_unix_nano, name, severity_number, body, attributes, resource, scope,
        }
    }
}

/// Spans of a few resources and scopes.
pub fn spans() -> impl Strategy<Value = Vec<Span>> {
    (vec(resource(), 1..3), vec(scope(), 1..3))
        .prop_flat_map(|(resources, scopes)| vec(span(resources, scopes), 0..6))
}

/// Log events of a few resources and scopes.
pub fn log_events() -> impl Strategy<Value = Vec<LogEvent>> {
    (vec(resource(), 1..3), vec(scope(), 1..3))
        .prop_flat_map(|(resources, scopes)| vec(log_event(resources, scopes), 0..6))
}
