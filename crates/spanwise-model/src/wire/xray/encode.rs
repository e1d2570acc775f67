//! Spans to segment documents.

use std::borrow::Cow;

use super::stack::frames;
use super::{EVENTS, HEADER, RESOURCE_PREFIX, SPAN_NAME};
use crate::span::StatusCode;
use crate::wire::fit::fit;
use crate::wire::json_writer::Object;
use crate::wire::lift::sink;
use crate::wire::tags::Tags;
use crate::wire::text_form::{text, write_json, write_json_map};
use crate::{Attribute, Attributes, Event, Kind, Link, Span, SpanId, TraceId, Value};

/// How large a document may be: the daemon takes 64 kB with the header.
pub const MAX_DOCUMENT_BYTES: usize = 64_000;

/// Attributes that are searched for: written as annotations, which X-Ray indexes.
pub const ANNOTATIONS: &[&str] = &[
    "agent.id",
    "conversation.id",
    "error.type",
    "gen_ai.agent.name",
    "gen_ai.conversation.id",
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.model",
    "gen_ai.tool.name",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "organization.id",
    "project.id",
    "request.id",
    "session.id",
    "user.id",
];

/// X-Ray's limit for a name.
const MAX_NAME_CHARS: usize = 200;

/// X-Ray's limit for the text of an annotation.
const MAX_ANNOTATION_CHARS: usize = 1000;

/// Writes a span as a document; attributes with one of the keys `annotations` (usually
/// [`ANNOTATIONS`]) are indexed. A span that is too large is cut; `None` if that does not help.
pub fn encode_document(span: &Span, annotations: &[&str]) -> Option<String> {
    let json = document(span, annotations);
    if json.len() <= MAX_DOCUMENT_BYTES {
        return Some(json);
    }
    let cut = fit(span, MAX_DOCUMENT_BYTES, |span| document(span, annotations).len())?;
    Some(document(&cut, annotations))
}

/// Writes a span as a datagram for the daemon, likewise.
pub fn encode_datagram(span: &Span, annotations: &[&str]) -> Option<Vec<u8>> {
    let document = encode_document(span, annotations)?;
    Some([HEADER.as_bytes(), document.as_bytes()].concat())
}

fn document(span: &Span, annotations: &[&str]) -> String {
    let mut json = String::new();
    Object::write(&mut json, |out| segment(out, span, annotations));
    json
}

fn segment(out: &mut Object<'_>, span: &Span, annotations: &[&str]) {
    let is_segment =
        matches!(span.kind, Kind::Server | Kind::Consumer) || span.parent_span_id.is_none();
    out.string("name", &name(span, is_segment));
    out.quoted("id", span.span_id);
    out.quoted("trace_id", xray_trace_id(span.trace_id));
    if let Some(parent) = span.parent_span_id {
        out.quoted("parent_id", parent);
    }
    out.raw("start_time", seconds(span.start_time_unix_nano));
    if span.end_time_unix_nano == 0 {
        out.raw("in_progress", true);
    } else {
        out.raw("end_time", seconds(span.end_time_unix_nano.max(span.start_time_unix_nano)));
    }
    if is_segment {
        if let Some(version) = span.resource.attributes.str("service.version") {
            out.object("service", |out| out.string("version", version));
        }
    } else {
        out.quoted("type", "subsegment");
        if is_aws(span) {
            out.quoted("namespace", "aws");
        } else if matches!(span.kind, Kind::Client | Kind::Producer) {
            out.quoted("namespace", "remote");
        }
    }
    http(out, &span.attributes);
    flags(out, span);
    cause(out, span);
    sql(out, &span.attributes);
    if let Some(user) = first(&span.attributes, &["enduser.id", "user.id"]) {
        out.text("user", &text(user));
    }
    out.list("links", &span.links, link);
    self::annotations(out, &span.attributes, annotations);
    out.object("metadata", |out| out.object("default", |out| metadata(out, span)));
}

fn first<'s>(attributes: &'s Attributes, keys: &[&str]) -> Option<&'s Value> {
    keys.iter().find_map(|key| attributes.get(key))
}

fn first_str<'s>(attributes: &'s Attributes, keys: &[&str]) -> Option<&'s str> {
    keys.iter().find_map(|key| attributes.str(key).filter(|text| !text.is_empty()))
}

/// `1-<8 hex>-<24 hex>`.
fn xray_trace_id(trace_id: TraceId) -> String {
    let hex = trace_id.to_string();
    format!("1-{}-{}", &hex[..8], &hex[8..])
}

/// Seconds with six decimals.
fn seconds(nanos: u64) -> String {
    let micros = nanos / 1000;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn is_aws(span: &Span) -> bool {
    span.attributes.str("rpc.system") == Some("aws-api")
}

/// Who serves (a segment) or who is called (a subsegment); of characters that X-Ray takes.
fn name(span: &Span, is_segment: bool) -> String {
    let attributes = &span.attributes;
    let service = Some(span.resource.service()).filter(|name| !name.is_empty());
    let named = if is_segment {
        first_str(attributes, &["aws.local.service"]).or(service).map(Cow::Borrowed)
    } else if matches!(span.kind, Kind::Client | Kind::Producer) {
        remote_name(span)
    } else {
        None
    };
    let named = named.unwrap_or(Cow::Borrowed(&*span.name));
    let legal = |c: &char| c.is_alphanumeric() || *c == ' ' || "_.:/%&#=+\\-@".contains(*c);
    let name: String = named.chars().filter(legal).take(MAX_NAME_CHARS).collect();
    if name.trim().is_empty() { "unknown".to_owned() } else { name }
}

fn remote_name(span: &Span) -> Option<Cow<'_, str>> {
    let attributes = &span.attributes;
    if let Some(name) = first_str(attributes, &["aws.remote.service", "peer.service"]) {
        return Some(Cow::Borrowed(name));
    }
    let host = first_str(attributes, &["server.address", "net.peer.name"]);
    if let Some(name) = first_str(attributes, &["db.namespace", "db.name"]) {
        let database = |host| Cow::Owned(format!("{name}@{host}"));
        return Some(host.map_or(Cow::Borrowed(name), database));
    }
    let service = first_str(attributes, &["rpc.service"]);
    let url = || first_str(attributes, &["url.full", "http.url"]).and_then(url_host);
    service.or_else(url).or(host).map(Cow::Borrowed)
}

/// The host of a URL, without user and port.
fn url_host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    host.split(':').next().filter(|host| !host.is_empty())
}

fn http(out: &mut Object<'_>, attributes: &Attributes) {
    let request = [
        ("method", first(attributes, &["http.request.method", "http.method"])),
        ("url", first(attributes, &["url.full", "http.url"])),
        ("user_agent", first(attributes, &["user_agent.original", "http.user_agent"])),
        ("client_ip", first(attributes, &["client.address", "http.client_ip"])),
    ];
    let status = http_status(attributes);
    let size = first(attributes, &["http.response.body.size", "http.response_content_length"]);
    if request.iter().all(|(_, value)| value.is_none()) && status.is_none() {
        return;
    }
    out.object("http", |out| {
        out.object("request", |out| {
            for (key, value) in request {
                out.text(key, &value.map(text).unwrap_or_default());
            }
        });
        out.object("response", |out| {
            if let Some(status) = status {
                out.raw("status", status);
            }
            if let Some(Value::Int(size)) = size {
                out.raw("content_length", size);
            }
        });
    });
}

fn http_status(attributes: &Attributes) -> Option<u16> {
    let status = first(attributes, &["http.response.status_code", "http.status_code"])?;
    text(status).parse().ok().filter(|status| (100..600).contains(status))
}

/// X-Ray's words for failures: the caller's (4xx), among them throttling, and the service's.
fn flags(out: &mut Object<'_>, span: &Span) {
    let status = http_status(&span.attributes).unwrap_or_default();
    let is_error = (400..500).contains(&status);
    let is_fault = status >= 500 || (span.status.code == StatusCode::Error && !is_error);
    for (key, is_set) in [("error", is_error), ("throttle", status == 429), ("fault", is_fault)] {
        if is_set {
            out.raw(key, true);
        }
    }
}

fn exceptions(span: &Span) -> Vec<&Event> {
    span.events.iter().filter(|event| event.name == "exception").collect()
}

fn cause(out: &mut Object<'_>, span: &Span) {
    let exceptions: Vec<(usize, &Event)> = exceptions(span).into_iter().enumerate().collect();
    if exceptions.is_empty() {
        return;
    }
    out.object("cause", |out| {
        out.list("exceptions", &exceptions, |out, (number, exception)| {
            let text = |key: &str| exception.attributes.str(key).unwrap_or_default();
            out.quoted("id", exception_id(span.span_id, *number));
            out.text("type", text("exception.type"));
            out.text("message", text("exception.message"));
            let frames: Vec<_> = frames(text("exception.stacktrace")).collect();
            out.list("stack", &frames, |out, frame| {
                out.string("path", frame.path);
                out.raw("line", frame.line);
                out.string("label", frame.label);
            });
        });
    });
}

/// An id that is the same whenever the document is written, and another for each exception.
fn exception_id(span_id: SpanId, number: usize) -> String {
    let span = u64::from_be_bytes(*span_id.as_bytes());
    format!("{:016x}", span.rotate_left(32) ^ (number as u64 + 1))
}

fn sql(out: &mut Object<'_>, attributes: &Attributes) {
    let Some(query) = first_str(attributes, &["db.query.text", "db.statement"]) else { return };
    out.object("sql", |out| {
        out.string("sanitized_query", query);
        for (key, names) in [
            ("database_type", &["db.system.name", "db.system"][..]),
            ("url", &["db.connection_string"]),
            ("user", &["db.user"]),
        ] {
            out.text(key, first_str(attributes, names).unwrap_or_default());
        }
    });
}

fn link(out: &mut Object<'_>, link: &Link) {
    out.quoted("trace_id", xray_trace_id(link.trace_id));
    out.quoted("id", link.span_id);
    if !link.attributes.is_empty() {
        write_json_map(out.any_key("attributes"), &link.attributes);
    }
}

fn annotations(out: &mut Object<'_>, attributes: &Attributes, keys: &[&str]) {
    let mut indexed: Tags<'_, &Value> = Tags::default();
    for Attribute { key, value } in attributes {
        let fits = match value {
            Value::String(text) => text.chars().nth(MAX_ANNOTATION_CHARS).is_none(),
            Value::Double(number) => number.is_finite(),
            Value::Int(_) | Value::Bool(_) => true,
            Value::Null | Value::Bytes(_) | Value::Array(_) | Value::Map(_) => false,
        };
        if fits && keys.contains(&&**key) {
            let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
            indexed.set(key.chars().map(legal).collect::<String>(), value);
        }
    }
    if !indexed.entries.is_empty() {
        out.object("annotations", |out| members(out, &indexed));
    }
}

fn members(out: &mut Object<'_>, tags: &Tags<'_, &Value>) {
    for (key, value) in &tags.entries {
        write_json(out.any_key(key), value);
    }
}

/// Everything that a document has no field for, and all attributes with their own keys.
fn metadata(out: &mut Object<'_>, span: &Span) {
    let mut added = sink(span);
    added.push((SPAN_NAME, Value::String(span.name.clone())));
    added.push(("span.kind", span.kind.as_str().into()));
    if !span.status.message.is_empty() {
        added.push(("otel.status_description", Value::String(span.status.message.clone())));
    }
    let events = events(span);
    if let Value::Array(_) = events {
        added.push((EVENTS, events));
    }
    let mut tags: Tags<'_, &Value> = Tags::default();
    for Attribute { key, value } in &span.resource.attributes {
        tags.set(format!("{RESOURCE_PREFIX}{key}"), value);
    }
    for Attribute { key, value } in &span.attributes {
        tags.set(&**key, value);
    }
    for (key, value) in &added {
        tags.set(*key, value);
    }
    members(out, &tags);
}

/// Events that are no exceptions; null if there are none.
fn events(span: &Span) -> Value {
    let others = span.events.iter().filter(|event| event.name != "exception");
    let events: Vec<Value> = others
        .map(|event| {
            let mut map = Attributes::default();
            map.push("name", event.name.clone());
            map.push("time_unix_nano", event.time_unix_nano as i64);
            map.push("attributes", Value::Map(event.attributes.clone()));
            Value::Map(map)
        })
        .collect();
    if events.is_empty() { Value::Null } else { Value::Array(events) }
}
