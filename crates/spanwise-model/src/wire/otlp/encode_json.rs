//! OTLP in JSON, as its specification writes it: ids in hex, enumerations as numbers, 64-bit
//! integers as strings, default values left out.

use super::{ResourceRecords, group};
use crate::wire::base64;
use crate::wire::json_writer::Object;
use crate::{Attributes, Event, Link, LogEvent, Resource, Scope, Span, Status, Value};

/// Writes an `ExportTraceServiceRequest` (which is also a `TracesData`) in JSON. Neighbouring
/// spans of one resource and scope share a group.
pub fn encode_traces_json<'a>(spans: impl IntoIterator<Item = &'a Span>) -> String {
    let groups = group(spans, |span| (&span.resource, &span.scope));
    encode(&groups, ["resourceSpans", "scopeSpans", "spans"], span)
}

/// Writes an `ExportLogsServiceRequest` in JSON, likewise.
pub fn encode_logs_json(logs: &[LogEvent]) -> String {
    let groups = group(logs, |log| (&log.resource, &log.scope));
    encode(&groups, ["resourceLogs", "scopeLogs", "logRecords"], log_record)
}

fn encode<T>(
    groups: &[ResourceRecords<'_, T>],
    [resources, scopes, records]: [&str; 3],
    record: impl Fn(&mut Object<'_>, &T),
) -> String {
    let mut json = String::new();
    Object::write(&mut json, |request| {
        request.list(resources, groups, |out, origin| {
            out.object("resource", |out| resource(out, origin.resource));
            out.list(scopes, &origin.scopes, |out, library| {
                out.object("scope", |out| scope(out, library.scope));
                out.list(records, &library.records, |out, one| record(out, one));
                out.text("schemaUrl", &library.scope.schema_url);
            });
            out.text("schemaUrl", &origin.resource.schema_url);
        });
    });
    json
}

fn resource(out: &mut Object<'_>, resource: &Resource) {
    attributes(out, &resource.attributes);
    out.number("droppedAttributesCount", resource.dropped_attributes_count);
}

fn scope(out: &mut Object<'_>, scope: &Scope) {
    out.text("name", &scope.name);
    out.text("version", &scope.version);
    attributes(out, &scope.attributes);
    out.number("droppedAttributesCount", scope.dropped_attributes_count);
}

fn span(out: &mut Object<'_>, span: &Span) {
    out.quoted("traceId", span.trace_id);
    out.quoted("spanId", span.span_id);
    out.text("traceState", &span.trace_state);
    if let Some(parent) = span.parent_span_id {
        out.quoted("parentSpanId", parent);
    }
    out.number("flags", span.flags);
    out.text("name", &span.name);
    out.number("kind", span.kind as u32);
    out.time("startTimeUnixNano", span.start_time_unix_nano);
    out.time("endTimeUnixNano", span.end_time_unix_nano);
    attributes(out, &span.attributes);
    out.number("droppedAttributesCount", span.dropped_attributes_count);
    out.list("events", &span.events, event);
    out.number("droppedEventsCount", span.dropped_events_count);
    out.list("links", &span.links, link);
    out.number("droppedLinksCount", span.dropped_links_count);
    if span.status != Status::default() {
        out.object("status", |out| {
            out.text("message", &span.status.message);
            out.number("code", span.status.code as u32);
        });
    }
}

fn event(out: &mut Object<'_>, event: &Event) {
    out.time("timeUnixNano", event.time_unix_nano);
    out.text("name", &event.name);
    attributes(out, &event.attributes);
    out.number("droppedAttributesCount", event.dropped_attributes_count);
}

fn link(out: &mut Object<'_>, link: &Link) {
    out.quoted("traceId", link.trace_id);
    out.quoted("spanId", link.span_id);
    out.text("traceState", &link.trace_state);
    attributes(out, &link.attributes);
    out.number("droppedAttributesCount", link.dropped_attributes_count);
    out.number("flags", link.flags);
}

fn log_record(out: &mut Object<'_>, log: &LogEvent) {
    out.time("timeUnixNano", log.time_unix_nano);
    out.number("severityNumber", u32::from(log.severity_number));
    if log.body != Value::Null {
        out.object("body", |out| value(out, &log.body));
    }
    attributes(out, &log.attributes);
    out.quoted("traceId", log.trace_id);
    out.quoted("spanId", log.span_id);
    out.text("eventName", &log.name);
}

fn attributes(out: &mut Object<'_>, attributes: &Attributes) {
    key_values(out, "attributes", attributes);
}

fn key_values(out: &mut Object<'_>, key: &str, entries: &Attributes) {
    out.list(key, &entries.0, |out, attribute| {
        out.string("key", &attribute.key);
        out.object("value", |out| value(out, &attribute.value));
    });
}

/// An `AnyValue`: null is an empty object.
fn value(out: &mut Object<'_>, any: &Value) {
    match any {
        Value::Null => {}
        Value::String(text) => out.string("stringValue", text),
        Value::Bool(truth) => out.raw("boolValue", truth),
        Value::Int(number) => out.quoted("intValue", number),
        Value::Double(number) => double(out, *number),
        Value::Bytes(bytes) => out.quoted("bytesValue", base64::encode(bytes)),
        Value::Array(values) => out.object("arrayValue", |out| out.list("values", values, value)),
        Value::Map(entries) => out.object("kvlistValue", |out| key_values(out, "values", entries)),
    }
}

fn double(out: &mut Object<'_>, number: f64) {
    let key = "doubleValue";
    if number.is_finite() {
        // Debug, unlike Display, does not write out the zeros of 1e300.
        out.raw(key, format_args!("{number:?}"));
    } else if number.is_nan() {
        out.quoted(key, "NaN");
    } else {
        out.quoted(key, if number > 0.0 { "Infinity" } else { "-Infinity" });
    }
}
