//! Spans to Zipkin JSON.

use core::net::IpAddr;
use std::borrow::Cow;

use super::LINK_PREFIX;
use super::mapping::is_plain_annotation;
use crate::span::StatusCode;
use crate::wire::json_writer::{Object, quote};
use crate::wire::lift::sink;
use crate::wire::tags::Tags;
use crate::wire::text_form::{text, write_json_map};
use crate::{Attributes, Event, Kind, Link, Span, Value};

/// Writes spans as the JSON array that Zipkin takes.
pub fn encode<'a>(spans: impl IntoIterator<Item = &'a Span>) -> String {
    let mut json = String::from("[");
    for (position, one) in spans.into_iter().enumerate() {
        if position > 0 {
            json.push(',');
        }
        Object::write(&mut json, |out| span(out, one));
    }
    json.push(']');
    json
}

fn span(out: &mut Object<'_>, span: &Span) {
    out.quoted("traceId", span.trace_id);
    if let Some(parent) = span.parent_span_id {
        out.quoted("parentId", parent);
    }
    out.quoted("id", span.span_id);
    match span.kind {
        Kind::Unspecified | Kind::Internal => {}
        Kind::Server => out.quoted("kind", "SERVER"),
        Kind::Client => out.quoted("kind", "CLIENT"),
        Kind::Producer => out.quoted("kind", "PRODUCER"),
        Kind::Consumer => out.quoted("kind", "CONSUMER"),
    }
    out.string("name", &span.name);
    if span.start_time_unix_nano > 0 {
        out.raw("timestamp", span.start_time_unix_nano / 1000);
        if let Some(duration) = duration_micros(span) {
            out.raw("duration", duration);
        }
    }
    let service = span.resource.service();
    if !service.is_empty() {
        out.object("localEndpoint", |out| out.string("serviceName", service));
    }
    if matches!(span.kind, Kind::Client | Kind::Producer)
        && let Some(endpoint) = RemoteEndpoint::of(&span.attributes)
    {
        out.object("remoteEndpoint", |out| endpoint.write(out));
    }
    out.list("annotations", &span.events, |out, event| {
        out.raw("timestamp", event.time_unix_nano / 1000);
        out.string("value", &annotation(event));
    });
    let tags = tags(span);
    if !tags.entries.is_empty() {
        out.object("tags", |out| {
            for (key, value) in &tags.entries {
                quote(out.any_key(key), value);
            }
        });
    }
}

/// Zipkin knows no duration of 0 but for "unknown": a span that has not ended has none, one of less
/// than a microsecond has one.
fn duration_micros(span: &Span) -> Option<u64> {
    let nanos = span.duration_ns();
    (nanos > 0).then(|| (nanos / 1000).max(1))
}

/// The name, or the name with attributes. A name that looks like more than a name has to be
/// written like one with attributes.
fn annotation(event: &Event) -> Cow<'_, str> {
    if event.attributes.is_empty() && is_plain_annotation(&event.name) {
        return Cow::Borrowed(&event.name);
    }
    let mut annotation = String::new();
    quote(&mut annotation, &event.name);
    annotation.push_str(": ");
    write_json_map(&mut annotation, &event.attributes);
    Cow::Owned(annotation)
}

fn link_tag(link: &Link) -> String {
    let mut tag = format!("{}|{}|{}|", link.trace_id, link.span_id, link.trace_state);
    write_json_map(&mut tag, &link.attributes);
    tag.push('|');
    tag.push_str(&link.dropped_attributes_count.to_string());
    tag
}

/// Everything that Zipkin has no field for, as text. The span's own say wins over its resource's.
fn tags(span: &Span) -> Tags<'_, Cow<'_, str>> {
    let mut tags = Tags::default();
    for attribute in &span.resource.attributes {
        if attribute.key != "service.name" {
            tags.set(&*attribute.key, text(&attribute.value));
        }
    }
    let is_error = span.status.code == StatusCode::Error;
    for attribute in &span.attributes {
        // The presence of this tag means failure, whatever it says.
        let misleads = is_error || matches!(&*text(&attribute.value), "false" | "");
        if attribute.key != "error" || !misleads {
            tags.set(&*attribute.key, text(&attribute.value));
        }
    }
    for (position, link) in span.links.iter().enumerate() {
        tags.set(format!("{LINK_PREFIX}{position}"), link_tag(link));
    }
    for (key, value) in sink(span) {
        tags.set(key, text(&value).into_owned());
    }
    if is_error {
        tags.set("error", &*span.status.message);
    } else if !span.status.message.is_empty() {
        tags.set("otel.status_description", &*span.status.message);
    }
    tags
}

/// Who was called: Zipkin draws its dependency graph from it.
struct RemoteEndpoint<'s> {
    name: Cow<'s, str>,
    port: Option<u16>,
}

/// What tells who was called, best first, with the port that goes with it.
const REMOTE_KEYS: [(&str, &str); 11] = [
    ("peer.service", ""),
    ("server.address", "server.port"),
    ("net.peer.name", "net.peer.port"),
    ("network.peer.address", "network.peer.port"),
    ("server.socket.domain", "server.socket.port"),
    ("server.socket.address", "server.socket.port"),
    ("net.sock.peer.name", "net.sock.peer.port"),
    ("net.sock.peer.addr", "net.sock.peer.port"),
    ("peer.hostname", ""),
    ("peer.address", ""),
    ("db.name", ""),
];

impl<'s> RemoteEndpoint<'s> {
    fn of(attributes: &'s Attributes) -> Option<Self> {
        REMOTE_KEYS.iter().find_map(|(key, port_key)| {
            let name = attributes.get(key).map(text).filter(|name| !name.is_empty())?;
            let port = attributes.get(port_key).and_then(port);
            Some(RemoteEndpoint { name, port })
        })
    }

    fn write(&self, out: &mut Object<'_>) {
        match self.name.parse() {
            Ok(IpAddr::V4(ip)) => out.quoted("ipv4", ip),
            Ok(IpAddr::V6(ip)) => out.quoted("ipv6", ip),
            Err(_) => out.string("serviceName", &self.name),
        }
        if let Some(port) = self.port {
            out.raw("port", port);
        }
    }
}

fn port(value: &Value) -> Option<u16> {
    text(value).parse().ok().filter(|port| *port > 0)
}
