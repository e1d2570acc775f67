//! Segment documents to spans.

use std::sync::Arc;

use bytes::Bytes;

use super::{EVENTS, RESOURCE_PREFIX, SPAN_NAME};
use crate::id::InvalidId;
use crate::span::StatusCode;
use crate::wire::draft::{DecodeError, Draft, Shared, Signal, bad_id};
use crate::wire::lift::{Lifted, lift, take};
use crate::wire::text_form::{json, parse_json, text};
use crate::wire::utf8;
use crate::{
    Attribute, Attributes, Batch, Event, Kind, Link, Resource, Scope, Span, SpanId, Status, Str,
    TraceId, Value,
};

/// Reads a datagram for the daemon: a header, a line feed, a document.
#[expect(clippy::needless_pass_by_value, reason = "the same as every other decoder")]
pub fn decode_datagram(datagram: Bytes) -> Result<Batch, DecodeError> {
    let end = datagram.iter().position(|byte| *byte == b'\n').unwrap_or(datagram.len());
    let mut budget = usize::from(u16::MAX);
    let header = utf8::slice(&datagram, 0..end).and_then(|text| parse_json(&text, &mut budget));
    let Some(Value::Map(header)) = header else {
        return Err(DecodeError::new(0, "a datagram has to begin with a header in JSON"));
    };
    if header.str("format") != Some("json") || header.get("version") != Some(&Value::Int(1)) {
        return Err(DecodeError::new(0, "only documents of format json, version 1 are supported"));
    }
    let start = (end + 1).min(datagram.len());
    decode_document(datagram.slice(start..)).map_err(|mut error| {
        error.offset += start;
        error
    })
}

/// Reads a document: a segment or subsegment with all that it holds.
#[expect(clippy::needless_pass_by_value, reason = "the same as every other decoder")]
pub fn decode_document(body: Bytes) -> Result<Batch, DecodeError> {
    let text = utf8::slice(&body, 0..body.len()).ok_or_else(|| DecodeError::not_utf8(&body))?;
    let mut reader = Reader { draft: Draft::new(Signal::Traces), scopes: Shared::default() };
    // Only to learn what is wrong, since the values are read otherwise.
    serde_json::from_str::<serde::de::IgnoredAny>(&text)
        .map_err(|error| DecodeError::of_json(&text, &error))?;
    match parse_json(&text, &mut reader.draft.budget) {
        Some(Value::Map(document)) => reader.document(document),
        Some(_) => Err("expected a segment document, which is an object".to_owned()),
        None => Err("nests too deep or unfolds to too much".to_owned()),
    }
    .map_err(|reason| DecodeError::new(0, reason))?;
    Ok(reader.draft.batch)
}

struct Reader {
    draft: Draft,
    scopes: Shared<Scope>,
}

/// What a subsegment has from the segment around it.
#[derive(Clone)]
struct Enclosing {
    trace_id: Str,
    span_id: Option<SpanId>,
    resource: Arc<Resource>,
}

impl Reader {
    fn document(&mut self, mut document: Attributes) -> Result<(), String> {
        let mut resource = resource(&mut document);
        let is_subsegment = document.str("type") == Some("subsegment");
        if !is_subsegment
            && resource.service().is_empty()
            && let Some(name) = document.str("name")
        {
            resource.attributes.push("service.name", name.to_owned());
        }
        let enclosing = Enclosing {
            trace_id: text_of(&document, "trace_id"),
            span_id: None,
            resource: Arc::new(resource),
        };
        self.segment(document, &enclosing, is_subsegment)
    }

    /// Takes a segment, then those that it holds.
    fn segment(
        &mut self,
        mut document: Attributes,
        enclosing: &Enclosing,
        is_subsegment: bool,
    ) -> Result<(), String> {
        let subsegments = take(&mut document, "subsegments");
        let name = text_of(&document, "name");
        let mut within = enclosing.clone();
        self.draft.charge::<Span>(1)?;
        match self.span(document, enclosing, is_subsegment) {
            Ok(span) => {
                within.span_id = Some(span.span_id);
                self.draft.take_span(span);
            }
            Err(reason) => self.draft.reject(&name, reason)?,
        }
        if let Some(Value::Array(subsegments)) = subsegments {
            for subsegment in subsegments {
                match subsegment {
                    Value::Map(document) => self.segment(document, &within, true)?,
                    _ => self.draft.reject("", "a subsegment is no object".to_owned())?,
                }
            }
        }
        Ok(())
    }

    fn span(
        &mut self,
        mut document: Attributes,
        enclosing: &Enclosing,
        is_subsegment: bool,
    ) -> Result<Span, String> {
        let trace_id = document.str("trace_id").unwrap_or(&enclosing.trace_id);
        let trace_id = parse_trace_id(trace_id).map_err(bad_id("trace_id"))?;
        let span_id = text_of(&document, "id").parse::<SpanId>().map_err(bad_id("id"))?;
        let parent_span_id = match document.str("parent_id") {
            Some(hex) if !hex.is_empty() => Some(hex.parse().map_err(bad_id("parent_id"))?),
            _ => enclosing.span_id,
        };
        let start = nanos(document.get("start_time")).ok_or("start_time is not a number")?;
        let in_progress = document.get("in_progress") == Some(&Value::Bool(true));
        let end = nanos(document.get("end_time")).unwrap_or_default();
        let mut attributes = Attributes::default();
        let is_ours = own_metadata(&mut document, &mut attributes);
        let lifted = lift(&mut attributes);
        let mut events = own_events(&mut attributes);
        let name = match take(&mut attributes, SPAN_NAME) {
            Some(Value::String(name)) => name,
            _ => text_of(&document, "name"),
        };
        let exceptions = exceptions(&document, if end == 0 { start } else { end });
        let status = status(&document, &lifted, &exceptions, is_ours);
        events.extend(exceptions);
        if !is_ours {
            fields(&mut document, &mut attributes, is_subsegment);
        }
        let mut span = Span {
            trace_id,
            span_id,
            parent_span_id,
            trace_state: lifted.trace_state.clone(),
            flags: 0,
            name,
            kind: lifted.kind.unwrap_or_else(|| kind(&document, is_subsegment)),
            start_time_unix_nano: start,
            // A later document completes what is in progress.
            end_time_unix_nano: if in_progress { 0 } else { end },
            attributes,
            dropped_attributes_count: 0,
            events,
            dropped_events_count: 0,
            links: self.links(&mut document),
            dropped_links_count: 0,
            status,
            resource: Arc::clone(&enclosing.resource),
            scope: self.scopes.share(lifted.scope.clone()),
        };
        lifted.counts(&mut span);
        Ok(span)
    }

    fn links(&mut self, document: &mut Attributes) -> Vec<Link> {
        let mut links = Vec::new();
        for mut link in objects(take(document, "links")) {
            let trace_id = parse_trace_id(link.str("trace_id").unwrap_or_default());
            match (trace_id, text_of(&link, "id").parse()) {
                (Ok(trace_id), Ok(span_id)) => links.push(Link {
                    trace_id,
                    span_id,
                    trace_state: Str::new(),
                    attributes: object(take(&mut link, "attributes")),
                    dropped_attributes_count: 0,
                    flags: 0,
                }),
                (Err(invalid), _) => {
                    self.draft.repairs.note_bad_link(&bad_id("trace_id")(invalid));
                }
                (_, Err(invalid)) => self.draft.repairs.note_bad_link(&bad_id("id")(invalid)),
            }
        }
        links
    }
}

fn text_of(document: &Attributes, key: &str) -> Str {
    match document.get(key) {
        Some(Value::String(text)) => text.clone(),
        _ => Str::new(),
    }
}

fn object(value: Option<Value>) -> Attributes {
    match value {
        Some(Value::Map(entries)) => entries,
        _ => Attributes::default(),
    }
}

fn objects(value: Option<Value>) -> Vec<Attributes> {
    match value {
        Some(Value::Array(items)) => items.into_iter().map(|item| object(Some(item))).collect(),
        _ => Vec::new(),
    }
}

/// `1-<8 hex>-<24 hex>`, or W3C's form of the same.
fn parse_trace_id(text: &str) -> Result<TraceId, InvalidId> {
    match text.strip_prefix("1-").and_then(|rest| rest.split_once('-')) {
        Some((time, rest)) => format!("{time}{rest}").parse(),
        None => text.parse(),
    }
}

/// Seconds as nanoseconds, to the microsecond: a double is no more exact than that.
fn nanos(seconds: Option<&Value>) -> Option<u64> {
    match seconds? {
        Value::Int(seconds) => u64::try_from(*seconds).ok()?.checked_mul(1_000_000_000),
        Value::Double(seconds) if *seconds >= 0.0 => {
            Some(((seconds * 1e6).round() as u64).saturating_mul(1000))
        }
        _ => None,
    }
}

fn kind(document: &Attributes, is_subsegment: bool) -> Kind {
    match document.str("namespace") {
        _ if !is_subsegment => Kind::Server,
        Some("remote" | "aws") => Kind::Client,
        _ => Kind::Internal,
    }
}

/// Takes `metadata.default` as attributes if we wrote it.
fn own_metadata(document: &mut Attributes, attributes: &mut Attributes) -> bool {
    let Some(default) = own_default(document) else { return false };
    let is_own = |attribute: &Attribute| !attribute.key.starts_with(RESOURCE_PREFIX);
    attributes.0.extend(std::mem::take(&mut default.0).into_iter().filter(is_own));
    true
}

/// `metadata.default`, if we wrote it.
fn own_default(document: &mut Attributes) -> Option<&mut Attributes> {
    let is_metadata = |attribute: &&mut Attribute| attribute.key == "metadata";
    let Value::Map(metadata) = &mut document.0.iter_mut().find(is_metadata)?.value else {
        return None;
    };
    let is_default = |attribute: &&mut Attribute| attribute.key == "default";
    match &mut metadata.0.iter_mut().find(is_default)?.value {
        Value::Map(default) if default.get(SPAN_NAME).is_some() => Some(default),
        _ => None,
    }
}

fn own_events(attributes: &mut Attributes) -> Vec<Event> {
    let events = objects(take(attributes, EVENTS)).into_iter();
    events
        .map(|mut event| Event {
            time_unix_nano: match event.get("time_unix_nano") {
                Some(Value::Int(time)) => u64::try_from(*time).unwrap_or_default(),
                _ => 0,
            },
            name: text_of(&event, "name"),
            attributes: object(take(&mut event, "attributes")),
            dropped_attributes_count: 0,
        })
        .collect()
}

/// The resource, from our own metadata, or from what the document says of where it ran.
fn resource(document: &mut Attributes) -> Resource {
    let mut attributes = Attributes::default();
    if let Some(default) = own_default(document) {
        for Attribute { key, value } in &default.0 {
            if let Some(key) = key.strip_prefix(RESOURCE_PREFIX) {
                attributes.push(key.to_owned(), value.clone());
            }
        }
        return Resource { attributes, ..Resource::default() };
    }
    let is_segment = document.str("type") != Some("subsegment");
    if is_segment && (document.get("aws").is_some() || document.get("origin").is_some()) {
        attributes.push("cloud.provider", "aws");
        flatten("aws", take(document, "aws"), &mut attributes);
        flatten("aws.origin", take(document, "origin"), &mut attributes);
    }
    for Attribute { key, value } in object(take(document, "service")).0 {
        let key = match &*key {
            "version" => Str::from_static("service.version"),
            "runtime" => Str::from_static("process.runtime.name"),
            "runtime_version" => Str::from_static("process.runtime.version"),
            other => format!("aws.xray.service.{other}").into(),
        };
        attributes.push(key, value);
    }
    Resource { attributes, ..Resource::default() }
}

/// The leaves of nested objects, by keys joined with dots.
fn flatten(prefix: &str, value: Option<Value>, attributes: &mut Attributes) {
    match value {
        None | Some(Value::Null) => {}
        Some(Value::Map(entries)) => {
            for Attribute { key, value } in entries.0 {
                flatten(&format!("{prefix}.{key}"), Some(value), attributes);
            }
        }
        Some(leaf) => attributes.push(prefix.to_owned(), leaf),
    }
}

/// Where the members of a document's objects belong by OpenTelemetry's names.
const NAMES: [(&str, &str, &str); 10] = [
    ("request", "method", "http.request.method"),
    ("request", "url", "url.full"),
    ("request", "user_agent", "user_agent.original"),
    ("request", "client_ip", "client.address"),
    ("response", "status", "http.response.status_code"),
    ("response", "content_length", "http.response.body.size"),
    ("sql", "database_type", "db.system.name"),
    ("sql", "sanitized_query", "db.query.text"),
    ("sql", "url", "db.connection_string"),
    ("sql", "user", "db.user"),
];

/// Makes attributes of the fields of a document that is not ours.
fn fields(document: &mut Attributes, attributes: &mut Attributes, is_subsegment: bool) {
    let mut http = object(take(document, "http"));
    for (part, members) in [
        ("request", take(&mut http, "request")),
        ("response", take(&mut http, "response")),
        ("sql", take(document, "sql")),
    ] {
        for Attribute { key, value } in object(members).0 {
            let named = NAMES.iter().find(|(of, member, _)| *of == part && key == **member);
            let key = match named {
                Some((.., name)) => Str::from_static(name),
                None => format!("aws.xray.{part}.{key}").into(),
            };
            attributes.push(key, value);
        }
    }
    for (field, name) in [("user", "enduser.id"), ("resource_arn", "cloud.resource_id")] {
        if let Some(value) = take(document, field) {
            attributes.push(name, value);
        }
    }
    for (field, name) in [
        ("error", "aws.xray.error"),
        ("fault", "aws.xray.fault"),
        ("throttle", "aws.xray.throttle"),
    ] {
        if document.get(field) == Some(&Value::Bool(true)) {
            attributes.push(name, true);
        }
    }
    if let Some(Value::String(id)) = document.get("cause") {
        attributes.push("aws.xray.cause_id", id.clone());
    }
    if let Some(ids @ Value::Array(_)) = take(document, "precursor_ids") {
        attributes.push("aws.xray.precursor_ids", ids);
    }
    if is_subsegment {
        flatten("aws", take(document, "aws"), attributes);
    }
    attributes.0.append(&mut object(take(document, "annotations")).0);
    for Attribute { key, value } in object(take(document, "metadata")).0 {
        attributes.push(format!("aws.xray.metadata.{key}"), json(&value));
    }
}

/// Each exception of the cause as an event.
fn exceptions(document: &Attributes, time_unix_nano: u64) -> Vec<Event> {
    let Some(Value::Map(cause)) = document.get("cause") else { return Vec::new() };
    let Some(Value::Array(exceptions)) = cause.get("exceptions") else { return Vec::new() };
    let mut events = Vec::new();
    for exception in exceptions {
        let Value::Map(exception) = exception else { continue };
        let mut attributes = Attributes::default();
        for (from, to) in [("type", "exception.type"), ("message", "exception.message")] {
            if let Some(Value::String(text)) = exception.get(from) {
                attributes.push(to, text.clone());
            }
        }
        if let Some(Value::Array(stack)) = exception.get("stack") {
            let lines: Vec<String> = stack.iter().map(stack_line).collect();
            attributes.push("exception.stacktrace", lines.join("\n"));
        }
        events.push(Event {
            time_unix_nano,
            name: Str::from_static("exception"),
            attributes,
            dropped_attributes_count: 0,
        });
    }
    events
}

/// `at label (path: line)`.
fn stack_line(frame: &Value) -> String {
    let Value::Map(frame) = frame else { return String::new() };
    let part = |key: &str| frame.get(key).map(text).unwrap_or_default();
    format!("at {} ({}: {})", part("label"), part("path"), part("line"))
}

fn status(document: &Attributes, lifted: &Lifted, exceptions: &[Event], is_ours: bool) -> Status {
    let description = lifted.description.clone().unwrap_or_default();
    if is_ours {
        return Status { code: lifted.status_code.unwrap_or_default(), message: description };
    }
    let is_set = |flag: &&str| document.get(flag) == Some(&Value::Bool(true));
    if !["error", "fault", "throttle"].iter().any(is_set) {
        return Status::default();
    }
    let first = exceptions.first().and_then(|event| event.attributes.str("exception.message"));
    Status { code: StatusCode::Error, message: first.map(Str::from).unwrap_or_default() }
}
