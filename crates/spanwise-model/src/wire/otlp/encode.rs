//! OTLP in protobuf, written by hand.

use super::{ResourceRecords, group};
use crate::{Attribute, Attributes, Event, Link, LogEvent, Resource, Scope, Span, Value};

/// Writes an `ExportTraceServiceRequest` (which is also a `TracesData`). Neighbouring spans of
/// one resource and scope share a group.
pub fn encode_traces<'a>(spans: impl IntoIterator<Item = &'a Span>) -> Vec<u8> {
    encode(&group(spans, |span| (&span.resource, &span.scope)), span)
}

/// Writes an `ExportLogsServiceRequest`, likewise.
pub fn encode_logs(logs: &[LogEvent]) -> Vec<u8> {
    encode(&group(logs, |log| (&log.resource, &log.scope)), log_record)
}

fn encode<T>(groups: &[ResourceRecords<'_, T>], record: impl Fn(&mut Writer, &T)) -> Vec<u8> {
    let mut request = Writer::default();
    for origin in groups {
        request.message(1, |out| {
            out.message(1, |out| resource(out, origin.resource));
            for library in &origin.scopes {
                out.message(2, |out| {
                    out.message(1, |out| scope(out, library.scope));
                    for one in &library.records {
                        out.message(2, |out| record(out, one));
                    }
                    out.text(3, &library.scope.schema_url);
                });
            }
            out.text(3, &origin.resource.schema_url);
        });
    }
    request.0
}

pub(super) fn resource(out: &mut Writer, resource: &Resource) {
    attributes(out, 1, &resource.attributes);
    out.count(2, resource.dropped_attributes_count);
}

pub(super) fn scope(out: &mut Writer, scope: &Scope) {
    out.text(1, &scope.name);
    out.text(2, &scope.version);
    attributes(out, 3, &scope.attributes);
    out.count(4, scope.dropped_attributes_count);
}

fn span(out: &mut Writer, span: &Span) {
    out.bytes(1, span.trace_id.as_bytes());
    out.bytes(2, span.span_id.as_bytes());
    out.text(3, &span.trace_state);
    if let Some(parent) = &span.parent_span_id {
        out.bytes(4, parent.as_bytes());
    }
    out.text(5, &span.name);
    out.count(6, span.kind as u32);
    out.time(7, span.start_time_unix_nano);
    out.time(8, span.end_time_unix_nano);
    attributes(out, 9, &span.attributes);
    out.count(10, span.dropped_attributes_count);
    for one in &span.events {
        out.message(11, |out| event(out, one));
    }
    out.count(12, span.dropped_events_count);
    for one in &span.links {
        out.message(13, |out| link(out, one));
    }
    out.count(14, span.dropped_links_count);
    if span.status != crate::Status::default() {
        out.message(15, |out| {
            out.text(2, &span.status.message);
            out.count(3, span.status.code as u32);
        });
    }
    out.flags(16, span.flags);
}

fn event(out: &mut Writer, event: &Event) {
    out.time(1, event.time_unix_nano);
    out.text(2, &event.name);
    attributes(out, 3, &event.attributes);
    out.count(4, event.dropped_attributes_count);
}

fn link(out: &mut Writer, link: &Link) {
    out.bytes(1, link.trace_id.as_bytes());
    out.bytes(2, link.span_id.as_bytes());
    out.text(3, &link.trace_state);
    attributes(out, 4, &link.attributes);
    out.count(5, link.dropped_attributes_count);
    out.flags(6, link.flags);
}

fn log_record(out: &mut Writer, log: &LogEvent) {
    out.time(1, log.time_unix_nano);
    out.count(2, u32::from(log.severity_number));
    if log.body != Value::Null {
        out.message(5, |out| value(out, &log.body));
    }
    attributes(out, 6, &log.attributes);
    out.bytes(9, log.trace_id.as_bytes());
    out.bytes(10, log.span_id.as_bytes());
    out.text(12, &log.name);
}

fn attributes(out: &mut Writer, number: u32, attributes: &Attributes) {
    for one in attributes {
        out.message(number, |out| attribute(out, one));
    }
}

fn attribute(out: &mut Writer, attribute: &Attribute) {
    out.text(1, &attribute.key);
    out.message(2, |out| value(out, &attribute.value));
}

/// An `AnyValue`. Its fields are a choice, so even an empty text or a zero has to be written.
pub(super) fn value(out: &mut Writer, any: &Value) {
    match any {
        Value::Null => {}
        Value::String(text) => out.bytes(1, text.as_bytes()),
        Value::Bool(truth) => out.varint_field(2, u64::from(*truth)),
        Value::Int(number) => out.varint_field(3, *number as u64),
        Value::Double(number) => out.fixed64(4, number.to_bits()),
        Value::Array(values) => out.message(5, |out| {
            for one in values {
                out.message(1, |out| value(out, one));
            }
        }),
        Value::Map(entries) => out.message(6, |out| attributes(out, 1, entries)),
        Value::Bytes(bytes) => out.bytes(7, bytes),
    }
}

/// Appends protobuf fields. Except for `bytes`, `fixed64` and `varint_field`, default values are
/// left out, as proto3 does.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    /// A nested message. One byte is kept for its length; a message that needs more is moved.
    pub(super) fn message(&mut self, number: u32, write: impl FnOnce(&mut Self)) {
        self.tag(number, 2);
        self.0.push(0);
        let start = self.0.len();
        write(self);
        let length = self.0.len() - start;
        if length < 0x80 {
            self.0[start - 1] = length as u8;
            return;
        }
        let mut prefix = Writer::default();
        prefix.varint(length as u64);
        self.0.splice(start - 1..start, prefix.0);
    }

    pub(super) fn text(&mut self, number: u32, text: &str) {
        if !text.is_empty() {
            self.bytes(number, text.as_bytes());
        }
    }

    pub(super) fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn count(&mut self, number: u32, count: u32) {
        if count != 0 {
            self.varint_field(number, u64::from(count));
        }
    }

    pub(super) fn varint_field(&mut self, number: u32, value: u64) {
        self.tag(number, 0);
        self.varint(value);
    }

    pub(super) fn time(&mut self, number: u32, nanos: u64) {
        if nanos != 0 {
            self.fixed64(number, nanos);
        }
    }

    fn fixed64(&mut self, number: u32, value: u64) {
        self.tag(number, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn flags(&mut self, number: u32, flags: u32) {
        if flags != 0 {
            self.tag(number, 5);
            self.0.extend_from_slice(&flags.to_le_bytes());
        }
    }

    fn tag(&mut self, number: u32, wire_type: u32) {
        self.varint(u64::from(number << 3 | wire_type));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
