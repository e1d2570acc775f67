//! Zipkin's spans as ours.

use super::LINK_PREFIX;
use crate::id::InvalidId;
use crate::span::StatusCode;
use crate::wire::draft::{Draft, Shared, bad_id};
use crate::wire::lift::{Lifted, lift, lift_resource, take};
use crate::wire::text_form::parse_json_map;
use crate::{
    Attribute, Attributes, Event, Kind, Link, Resource, Scope, Span, SpanId, Status, Str, TraceId,
    Value,
};

/// A span as Zipkin has it, whichever way it was written. Ids are hex; what is not said is empty
/// or 0.
#[derive(Default)]
pub(super) struct Zipkin {
    pub(super) trace_id: Str,
    pub(super) id: Str,
    pub(super) parent_id: Str,
    pub(super) kind: Kind,
    pub(super) name: Str,
    pub(super) timestamp_micros: u64,
    pub(super) duration_micros: u64,
    pub(super) local_endpoint: Endpoint,
    pub(super) remote_endpoint: Endpoint,
    pub(super) annotations: Vec<Annotation>,
    pub(super) tags: Attributes,
    pub(super) debug: bool,
    pub(super) shared: bool,
}

/// One end of a call.
#[derive(Default)]
pub(super) struct Endpoint {
    pub(super) service: Str,
    pub(super) ipv4: Str,
    pub(super) ipv6: Str,
    pub(super) port: u16,
}

/// A text at a time.
#[derive(Default)]
pub(super) struct Annotation {
    pub(super) timestamp_micros: u64,
    pub(super) value: Str,
}

/// A request that is being read.
pub(super) struct Request {
    pub(super) draft: Draft,
    resources: Shared<Resource>,
    scopes: Shared<Scope>,
}

impl Request {
    pub(super) fn new(draft: Draft) -> Self {
        Request { draft, resources: Shared::default(), scopes: Shared::default() }
    }

    /// Takes a span into the draft; fails only when the request as a whole takes too much.
    pub(super) fn take(&mut self, zipkin: Zipkin) -> Result<(), String> {
        self.draft.charge::<Span>(1)?;
        let name = zipkin.name.clone();
        match self.span(zipkin) {
            Ok(span) => {
                self.draft.take_span(span);
                Ok(())
            }
            Err(reason) => self.draft.reject(&name, reason),
        }
    }

    fn span(&mut self, zipkin: Zipkin) -> Result<Span, String> {
        let trace_id = parse_trace_id(&zipkin.trace_id).map_err(bad_id("traceId"))?;
        let span_id = parse_span_id(&zipkin.id).map_err(bad_id("id"))?;
        let parent_span_id = match parse_span_id(&zipkin.parent_id) {
            Ok(id) => Some(id),
            Err(InvalidId::Zero) => None,
            Err(_) if zipkin.parent_id.is_empty() => None,
            Err(invalid) => return Err(bad_id("parentId")(invalid)),
        };
        let mut attributes = zipkin.tags;
        let lifted = lift(&mut attributes);
        let resource = resource(zipkin.local_endpoint.service.clone(), &mut attributes);
        let links = self.links(&mut attributes);
        let status = status(&lifted, take(&mut attributes, "error"));
        endpoints(zipkin.local_endpoint, zipkin.remote_endpoint, &mut attributes);
        if zipkin.shared {
            attributes.push("zipkin.shared", true);
        }
        let start = zipkin.timestamp_micros.saturating_mul(1000);
        let duration = zipkin.duration_micros.saturating_mul(1000);
        let annotations = zipkin.annotations.into_iter();
        let mut span = Span {
            trace_id,
            span_id,
            parent_span_id,
            trace_state: lifted.trace_state.clone(),
            flags: u32::from(zipkin.debug),
            name: zipkin.name,
            kind: kind(zipkin.kind, lifted.kind),
            start_time_unix_nano: start,
            // Without a duration the span has not ended, or is reported in parts.
            end_time_unix_nano: if duration == 0 { 0 } else { start.saturating_add(duration) },
            attributes,
            dropped_attributes_count: 0,
            events: annotations.map(|annotation| self.event(annotation)).collect(),
            dropped_events_count: 0,
            links,
            dropped_links_count: 0,
            status,
            resource: self.resources.share(resource),
            scope: self.scopes.share(lifted.scope.clone()),
        };
        lifted.counts(&mut span);
        Ok(span)
    }

    /// A name, or one of the ways in which exporters write a name with attributes.
    fn event(&mut self, annotation: Annotation) -> Event {
        let value = annotation.value;
        let budget = &mut self.draft.budget;
        let parsed = quoted_with_attributes(&value, budget)
            .or_else(|| piped(&value, budget))
            .or_else(|| only_member(&value, budget));
        let (name, attributes, dropped_attributes_count) =
            parsed.unwrap_or_else(|| (value, Attributes::default(), 0));
        let time_unix_nano = annotation.timestamp_micros.saturating_mul(1000);
        Event { time_unix_nano, name, attributes, dropped_attributes_count }
    }

    /// Takes the tags that are links out of the attributes.
    fn links(&mut self, attributes: &mut Attributes) -> Vec<Link> {
        let budget = &mut self.draft.budget;
        let mut links = Vec::new();
        attributes.0.retain(|Attribute { key, value }| {
            let Value::String(value) = value else { return true };
            let number = key.strip_prefix(LINK_PREFIX).and_then(|n| n.parse::<u32>().ok());
            match number.and_then(|number| Some((number, parse_link(value, budget)?))) {
                Some(link) => {
                    links.push(link);
                    false
                }
                None => true,
            }
        });
        links.sort_by_key(|(number, _)| *number);
        links.into_iter().map(|(_, link)| link).collect()
    }
}

/// Ids are hex of 16 or 32 digits; some clients leave out leading zeros, older ones have 64 bits.
fn parse_trace_id(hex: &str) -> Result<TraceId, InvalidId> {
    match hex.len() {
        1..32 if hex.is_ascii() => format!("{hex:0>32}").parse(),
        _ => hex.parse(),
    }
}

fn parse_span_id(hex: &str) -> Result<SpanId, InvalidId> {
    match hex.len() {
        1..16 if hex.is_ascii() => format!("{hex:0>16}").parse(),
        _ => hex.parse(),
    }
}

/// Zipkin leaves the kind of local spans out.
fn kind(kind: Kind, tagged: Option<Kind>) -> Kind {
    match kind {
        Kind::Unspecified => tagged.unwrap_or(Kind::Internal),
        said => said,
    }
}

fn resource(service: Str, attributes: &mut Attributes) -> Resource {
    let mut resource = lift_resource(attributes, Some(service));
    if resource.service().is_empty() {
        resource.attributes.push("service.name", "unknown_service");
    }
    resource
}

/// Who called and who was called, unless tags say it already.
fn endpoints(local: Endpoint, remote: Endpoint, attributes: &mut Attributes) {
    add(attributes, "peer.service", remote.service.clone());
    for (end, address_key, port_key) in [
        (remote, "network.peer.address", "network.peer.port"),
        (local, "network.local.address", "network.local.port"),
    ] {
        add(attributes, address_key, if end.ipv4.is_empty() { end.ipv6 } else { end.ipv4 });
        if end.port > 0 && attributes.get(port_key).is_none() {
            attributes.push(port_key, i64::from(end.port));
        }
    }
}

/// Adds a text that there is, unless an attribute of that key is there already.
fn add(attributes: &mut Attributes, key: &'static str, text: Str) {
    if !text.is_empty() && attributes.get(key).is_none() {
        attributes.push(key, text);
    }
}

/// The presence of the tag `error` means failure, whatever it and other tags say.
fn status(lifted: &Lifted, error: Option<Value>) -> Status {
    let description = lifted.description.clone();
    let Some(error) = error else {
        let code = lifted.status_code.unwrap_or_default();
        return Status { code, message: description.unwrap_or_default() };
    };
    let said = error.as_str().filter(|said| *said != "true").map(Str::from);
    Status { code: StatusCode::Error, message: description.or(said).unwrap_or_default() }
}

/// Whether an annotation of this text reads as a name without attributes.
pub(super) fn is_plain_annotation(value: &str) -> bool {
    let budget = &mut usize::MAX.clone();
    quoted_with_attributes(value, budget).is_none()
        && piped(value, budget).is_none()
        && only_member(value, budget).is_none()
}

type NameAndAttributes = Option<(Str, Attributes, u32)>;

/// `"name": {attributes}`.
fn quoted_with_attributes(value: &str, budget: &mut usize) -> NameAndAttributes {
    if !value.starts_with('"') {
        return None;
    }
    let mut json = serde_json::Deserializer::from_str(value).into_iter::<String>();
    let name = json.next()?.ok()?;
    let rest = value[json.byte_offset()..].trim_start().strip_prefix(':')?;
    Some((name.into(), parse_json_map(rest.trim(), budget)?, 0))
}

/// `name|{attributes}|dropped`.
fn piped(value: &str, budget: &mut usize) -> NameAndAttributes {
    let (rest, dropped) = value.rsplit_once('|')?;
    let (name, attributes) = rest.split_once("|{")?;
    let attributes = &rest[rest.len() - attributes.len() - 1..];
    Some((name.into(), parse_json_map(attributes, budget)?, dropped.parse().ok()?))
}

/// `{"name":{attributes}}`.
fn only_member(value: &str, budget: &mut usize) -> NameAndAttributes {
    let mut members = parse_json_map(value, budget)?;
    match members.0.pop() {
        Some(Attribute { key, value: Value::Map(attributes) }) if members.is_empty() => {
            Some((key, attributes, 0))
        }
        _ => None,
    }
}

/// `trace id|span id|tracestate|{attributes}|dropped`; a tracestate may contain bars, too.
fn parse_link(value: &str, budget: &mut usize) -> Option<Link> {
    let (rest, dropped) = value.rsplit_once('|')?;
    let (trace_id, rest) = rest.split_once('|')?;
    let (span_id, rest) = rest.split_once('|')?;
    let mut json_starts = rest.match_indices("|{").map(|(at, _)| at).take(4);
    let (trace_state, attributes) =
        json_starts.find_map(|at| Some((&rest[..at], parse_json_map(&rest[at + 1..], budget)?)))?;
    Some(Link {
        trace_id: parse_trace_id(trace_id).ok()?,
        span_id: parse_span_id(span_id).ok()?,
        trace_state: trace_state.into(),
        attributes,
        dropped_attributes_count: dropped.parse().ok()?,
        flags: 0,
    })
}
