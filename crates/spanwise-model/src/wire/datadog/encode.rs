//! Spans to Datadog's version 0.4, which every agent in use takes.

use std::borrow::Cow;
use std::collections::HashMap;

use super::msgpack::Writer;
use super::{OTEL_TRACE_ID, TRACE_ID_HIGH};
use crate::span::StatusCode;
use crate::wire::json_writer::Object;
use crate::wire::lift::sink;
use crate::wire::tags::Tags;
use crate::wire::text_form::{text, write_json_map};
use crate::{Attributes, Event, Kind, Link, Span, SpanId, TraceId, Value};

/// A body for `PUT /v0.4/traces`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The body.
    pub body: Vec<u8>,
    /// How many traces it has parts of, for the header `X-Datadog-Trace-Count`.
    pub n_traces: usize,
}

/// Writes spans, those of each trace together.
pub fn encode<'a>(spans: impl IntoIterator<Item = &'a Span>) -> Payload {
    let mut traces: Vec<Vec<&Span>> = Vec::new();
    let mut positions: HashMap<TraceId, usize> = HashMap::new();
    for span in spans {
        let position = *positions.entry(span.trace_id).or_insert(traces.len());
        if position == traces.len() {
            traces.push(Vec::new());
        }
        traces[position].push(span);
    }
    let mut out = Writer::default();
    out.array(traces.len());
    for spans in &traces {
        out.array(spans.len());
        let trace = Trace::of(spans);
        for span in spans {
            trace.write(&mut out, span);
        }
    }
    Payload { body: out.0, n_traces: traces.len() }
}

/// What the spans of one trace have to know of each other.
struct Trace<'s> {
    services: HashMap<SpanId, &'s str>,
    first: SpanId,
    root: SpanId,
}

/// A tag: Datadog has texts and numbers.
enum Tag<'s> {
    Text(Cow<'s, str>),
    Number(f64),
}

impl<'s> From<&'s str> for Tag<'s> {
    fn from(text: &'s str) -> Self {
        Tag::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Tag<'_> {
    fn from(text: String) -> Self {
        Tag::Text(Cow::Owned(text))
    }
}

impl From<f64> for Tag<'_> {
    fn from(number: f64) -> Self {
        Tag::Number(number)
    }
}

impl<'s> From<&'s Value> for Tag<'s> {
    /// Numbers that a double does not hold exactly are better off as text.
    fn from(value: &'s Value) -> Self {
        const EXACT: u64 = 1 << 53;
        match value {
            Value::Int(number) if number.unsigned_abs() <= EXACT => Tag::Number(*number as f64),
            Value::Double(number) if number.is_finite() => Tag::Number(*number),
            other => Tag::Text(text(other)),
        }
    }
}

impl<'s> Trace<'s> {
    fn of(spans: &[&'s Span]) -> Self {
        let services: HashMap<SpanId, &str> =
            spans.iter().map(|span| (span.span_id, span.resource.service())).collect();
        let is_root = |span: &&&Span| match span.parent_span_id {
            Some(parent) => !services.contains_key(&parent),
            None => true,
        };
        let first = spans[0].span_id;
        let root = spans.iter().find(is_root).map_or(first, |root| root.span_id);
        Trace { services, first, root }
    }

    fn write(&self, out: &mut Writer, span: &Span) {
        let tags = self.tags(span);
        let is_text = |tag: &&(Cow<'_, str>, Tag<'_>)| matches!(tag.1, Tag::Text(_));
        let n_texts = tags.entries.iter().filter(is_text).count();
        out.map(if span.links.is_empty() { 12 } else { 13 });
        let operation = operation(span);
        for (key, value) in [
            ("service", span.resource.service()),
            ("name", &*operation),
            ("resource", &*span.name),
            ("type", span_type(span)),
        ] {
            out.text(key);
            out.text(value);
        }
        let is_error = span.status.code == StatusCode::Error;
        for (key, number) in [
            ("trace_id", halves(span.trace_id).1),
            ("span_id", number(span.span_id)),
            ("parent_id", span.parent_span_id.map_or(0, number)),
            ("start", span.start_time_unix_nano.min(i64::MAX as u64)),
            ("duration", span.duration_ns().min(i64::MAX as u64)),
            ("error", u64::from(is_error)),
        ] {
            out.text(key);
            out.u64(number);
        }
        out.text("meta");
        out.map(n_texts);
        for (key, tag) in &tags.entries {
            if let Tag::Text(text) = tag {
                out.text(key);
                out.text(text);
            }
        }
        out.text("metrics");
        out.map(tags.entries.len() - n_texts);
        for (key, tag) in &tags.entries {
            if let Tag::Number(number) = tag {
                out.text(key);
                out.double(*number);
            }
        }
        if !span.links.is_empty() {
            out.text("span_links");
            out.array(span.links.len());
            span.links.iter().for_each(|one| link(out, one));
        }
    }

    fn tags(&self, span: &'s Span) -> Tags<'s, Tag<'s>> {
        let mut tags = Tags::default();
        for attribute in &span.resource.attributes {
            match &*attribute.key {
                "service.name" => {}
                "service.version" => tags.set("version", text(&attribute.value).into_owned()),
                "deployment.environment.name" | "deployment.environment" => {
                    tags.set("env", text(&attribute.value).into_owned());
                }
                key => tags.set(key, &attribute.value),
            }
        }
        for attribute in &span.attributes {
            tags.set(&*attribute.key, &attribute.value);
        }
        if span.status.code == StatusCode::Error {
            error_tags(&mut tags, span);
        }
        if !span.status.message.is_empty() {
            tags.set("otel.status_description", &*span.status.message);
        }
        if !span.events.is_empty() {
            tags.set("events", events(&span.events));
        }
        for (key, value) in sink(span) {
            tags.set(key, text(&value).into_owned());
        }
        tags.set("span.kind", span.kind.as_str());
        tags.set(OTEL_TRACE_ID, span.trace_id.to_string());
        if span.span_id == self.first {
            tags.set(TRACE_ID_HIGH, format!("{:016x}", halves(span.trace_id).0));
        }
        if span.span_id == self.root {
            tags.set("_sampling_priority_v1", 1.0);
        }
        if self.is_top_level(span) {
            tags.set("_dd.top_level", 1.0);
        }
        tags
    }

    /// Whether the span is where its service was entered.
    fn is_top_level(&self, span: &Span) -> bool {
        let parent = span.parent_span_id.and_then(|parent| self.services.get(&parent));
        parent.is_none_or(|service| *service != span.resource.service())
    }
}

/// Where Datadog looks for what went wrong, unless attributes say it already.
fn error_tags<'s>(tags: &mut Tags<'s, Tag<'s>>, span: &'s Span) {
    if !span.status.message.is_empty() {
        tags.set_default("error.message", &*span.status.message);
    }
    let exception = span.events.iter().rfind(|event| event.name == "exception");
    let Some(exception) = exception else { return };
    for (from, to) in [
        ("exception.type", "error.type"),
        ("exception.message", "error.message"),
        ("exception.stacktrace", "error.stack"),
    ] {
        if let Some(text) = exception.attributes.str(from) {
            tags.set_default(to, text);
        }
    }
}

/// A name of low cardinality, as Datadog's agent makes it of scope and kind, in the characters and
/// the length that it would leave of it.
pub(super) fn operation(span: &Span) -> String {
    const MAX_BYTES: usize = 100;
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' };
    let kind = span.kind.as_str();
    let scope: String =
        span.scope.name.chars().map(legal).take(MAX_BYTES - 1 - kind.len()).collect();
    match scope.trim_start_matches(|c: char| !c.is_ascii_alphabetic()) {
        "" => format!("opentelemetry.{kind}"),
        scope => format!("{scope}.{kind}"),
    }
}

fn span_type(span: &Span) -> &'static str {
    let is_database =
        ["db.system", "db.system.name"].iter().any(|key| span.attributes.get(key).is_some());
    match span.kind {
        Kind::Server => "web",
        Kind::Client if is_database => "db",
        Kind::Client => "http",
        _ => "custom",
    }
}

/// Events as JSON in a tag, which every agent passes on.
fn events(events: &[Event]) -> String {
    let mut json = String::from("[");
    for (position, event) in events.iter().enumerate() {
        if position > 0 {
            json.push(',');
        }
        Object::write(&mut json, |out| {
            out.string("name", &event.name);
            out.raw("time_unix_nano", event.time_unix_nano);
            if !event.attributes.is_empty() {
                write_json_map(out.any_key("attributes"), &event.attributes);
            }
        });
    }
    json.push(']');
    json
}

fn link(out: &mut Writer, link: &Link) {
    const FLAGS_ARE_SET: u64 = 1 << 31;
    let (high, low) = halves(link.trace_id);
    out.map(6);
    for (key, number) in [
        ("trace_id", low),
        ("trace_id_high", high),
        ("span_id", number(link.span_id)),
        ("flags", u64::from(link.flags & 0xff) | FLAGS_ARE_SET),
    ] {
        out.text(key);
        out.u64(number);
    }
    out.text("tracestate");
    out.text(&link.trace_state);
    out.text("attributes");
    texts(out, &link.attributes);
}

fn texts(out: &mut Writer, attributes: &Attributes) {
    out.map(attributes.len());
    for attribute in attributes {
        out.text(&attribute.key);
        out.text(&text(&attribute.value));
    }
}

/// High and low 64 bits.
fn halves(trace_id: TraceId) -> (u64, u64) {
    let whole = u128::from_be_bytes(*trace_id.as_bytes());
    ((whole >> 64) as u64, whole as u64)
}

fn number(span_id: SpanId) -> u64 {
    u64::from_be_bytes(*span_id.as_bytes())
}
