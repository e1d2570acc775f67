//! Zipkin JSON to spans.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::LINK_PREFIX;
use crate::id::InvalidId;
use crate::span::StatusCode;
use crate::wire::draft::{DecodeError, Draft, Shared, Signal, bad_id};
use crate::wire::lift::{Lifted, lift, lift_resource, take};
use crate::wire::text_form::parse_json_map;
use crate::wire::utf8;
use crate::{
    Attribute, Attributes, Batch, Event, Kind, Link, Resource, Scope, Span, SpanId, Status, Str,
    TraceId, Value,
};

/// Reads the JSON array of spans that Zipkin's clients post. A span that is not as it should be is
/// rejected, or repaired; its neighbours are taken.
#[expect(clippy::needless_pass_by_value, reason = "what is decoded keeps the body alive")]
pub fn decode(body: Bytes) -> Result<Batch, DecodeError> {
    let text = utf8::slice(&body, 0..body.len()).ok_or_else(|| DecodeError::not_utf8(&body))?;
    let mut reader = Reader {
        text: &text,
        draft: Draft::new(Signal::Traces),
        resources: Shared::default(),
        scopes: Shared::default(),
    };
    let mut json = serde_json::Deserializer::from_str(&text);
    Spans(&mut reader)
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|error| DecodeError::of_json(&text, &error))?;
    Ok(reader.draft.batch)
}

/// Reads the array, span by span, so that one that is odd does not spoil the others.
struct Spans<'r, 't>(&'r mut Reader<'t>);

impl<'t> DeserializeSeed<'t> for Spans<'_, 't> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Spans<'_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of Zipkin v2 spans (a body of OTLP goes to /v1/traces)")
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(raw) = seq.next_element::<&'t RawValue>()? {
            self.0.read(raw).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// A span as it is written, to be read field by field with an eye to what clients get wrong.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Zipkin<'t> {
    #[serde(borrow)]
    trace_id: Option<&'t RawValue>,
    id: Option<&'t RawValue>,
    parent_id: Option<&'t RawValue>,
    kind: Option<&'t RawValue>,
    name: Option<&'t RawValue>,
    timestamp: Option<&'t RawValue>,
    duration: Option<&'t RawValue>,
    local_endpoint: Option<Endpoint<'t>>,
    remote_endpoint: Option<Endpoint<'t>>,
    annotations: Option<Vec<Annotation<'t>>>,
    tags: Option<Entries<'t>>,
    debug: Option<&'t RawValue>,
    shared: Option<&'t RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint<'t> {
    #[serde(borrow)]
    service_name: Option<&'t RawValue>,
    ipv4: Option<&'t RawValue>,
    ipv6: Option<&'t RawValue>,
    port: Option<&'t RawValue>,
}

#[derive(Deserialize)]
struct Annotation<'t> {
    #[serde(borrow)]
    timestamp: Option<&'t RawValue>,
    value: Option<&'t RawValue>,
}

/// The members of an object, in order.
struct Entries<'t>(Vec<(Cow<'t, str>, &'t RawValue)>);

impl<'de: 't, 't> Deserialize<'de> for Entries<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<Key<'de>, _>()? {
                    members.push((member.0.0, member.1));
                }
                Ok(members)
            }
        }

        #[derive(Deserialize)]
        struct Key<'t>(#[serde(borrow)] Cow<'t, str>);

        deserializer.deserialize_map(Members).map(Entries)
    }
}

struct Reader<'t> {
    text: &'t Str,
    draft: Draft,
    resources: Shared<Resource>,
    scopes: Shared<Scope>,
}

impl<'t> Reader<'t> {
    /// Reads one span into the draft; fails only when the request as a whole takes too much.
    fn read(&mut self, raw: &'t RawValue) -> Result<(), String> {
        let zipkin: Zipkin<'t> = match serde_json::from_str(raw.get()) {
            Ok(zipkin) => zipkin,
            Err(error) => {
                let reason = DecodeError::of_json(raw.get(), &error).reason;
                return self.draft.reject("", reason);
            }
        };
        self.draft.charge::<Span>(1)?;
        let n_tags = zipkin.tags.as_ref().map_or(0, |tags| tags.0.len());
        self.draft.charge::<[Attribute; 2]>(n_tags)?;
        self.draft.charge::<Event>(zipkin.annotations.as_ref().map_or(0, Vec::len))?;
        let name = self.optional_text(zipkin.name);
        match self.span(&zipkin, name.clone()) {
            Ok(span) => {
                self.draft.take_span(span);
                Ok(())
            }
            Err(reason) => self.draft.reject(&name, reason),
        }
    }

    fn span(&mut self, zipkin: &Zipkin<'t>, name: Str) -> Result<Span, String> {
        let (trace_id, span_id) =
            (self.optional_text(zipkin.trace_id), self.optional_text(zipkin.id));
        let start = micros(zipkin.timestamp).map_err(|()| "timestamp is not a number")?;
        let duration = micros(zipkin.duration).map_err(|()| "duration is not a number")?;
        let mut attributes = self.tags(zipkin.tags.as_ref());
        let lifted = lift(&mut attributes);
        let resource = self.resource(zipkin, &mut attributes);
        let links = self.links(&mut attributes);
        let status = status(&lifted, take(&mut attributes, "error"));
        self.endpoints(zipkin, &mut attributes);
        if is_true(zipkin.shared) {
            attributes.push("zipkin.shared", true);
        }
        let mut span = Span {
            trace_id: parse_trace_id(&trace_id).map_err(bad_id("traceId"))?,
            span_id: parse_span_id(&span_id).map_err(bad_id("id"))?,
            parent_span_id: self.parent(zipkin.parent_id)?,
            trace_state: lifted.trace_state.clone(),
            flags: u32::from(is_true(zipkin.debug)),
            name,
            kind: kind(&self.optional_text(zipkin.kind), lifted.kind),
            start_time_unix_nano: start,
            end_time_unix_nano: if duration == 0 { 0 } else { start.saturating_add(duration) },
            attributes,
            dropped_attributes_count: 0,
            events: self.events(zipkin.annotations.as_deref().unwrap_or_default())?,
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

    /// A text, or the literal of what is there in its place.
    fn any_text(&mut self, raw: &'t RawValue) -> Str {
        let literal = raw.get();
        let Some(inner) = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return self.text.slice_ref(literal);
        };
        if !inner.contains('\\') {
            return self.text.slice_ref(inner);
        }
        let bytes: Result<Unescaped, _> = serde_json::from_str(literal);
        let bytes = bytes.map_or_else(|_| inner.as_bytes().to_vec(), |unescaped| unescaped.0);
        match String::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(error) => {
                self.draft.repairs.note_invalid_utf8("a text");
                String::from_utf8_lossy(error.as_bytes()).into_owned().into()
            }
        }
    }

    fn optional_text(&mut self, raw: Option<&'t RawValue>) -> Str {
        raw.filter(|raw| raw.get() != "null").map(|raw| self.any_text(raw)).unwrap_or_default()
    }

    fn parent(&mut self, raw: Option<&'t RawValue>) -> Result<Option<SpanId>, String> {
        let hex = self.optional_text(raw);
        match parse_span_id(&hex) {
            Ok(id) => Ok(Some(id)),
            Err(InvalidId::Zero) => Ok(None),
            Err(_) if hex.is_empty() => Ok(None),
            Err(invalid) => Err(bad_id("parentId")(invalid)),
        }
    }

    fn tags(&mut self, tags: Option<&Entries<'t>>) -> Attributes {
        let tags = tags.map_or(&[][..], |tags| &tags.0);
        let read = |(key, raw): &(Cow<'t, str>, &'t RawValue)| Attribute {
            key: match key {
                Cow::Borrowed(key) => self.text.slice_ref(key),
                Cow::Owned(key) => key.as_str().into(),
            },
            value: Value::String(self.any_text(raw)),
        };
        Attributes(tags.iter().map(read).collect())
    }

    fn resource(&mut self, zipkin: &Zipkin<'t>, attributes: &mut Attributes) -> Resource {
        let name = zipkin.local_endpoint.as_ref().and_then(|endpoint| endpoint.service_name);
        let name = self.optional_text(name);
        let mut resource = lift_resource(attributes, Some(name));
        if resource.service().is_empty() {
            resource.attributes.push("service.name", "unknown_service");
        }
        resource
    }

    /// Who called and who was called, unless tags say it already.
    fn endpoints(&mut self, zipkin: &Zipkin<'t>, attributes: &mut Attributes) {
        let ends = [
            (&zipkin.remote_endpoint, "network.peer.address", "network.peer.port"),
            (&zipkin.local_endpoint, "network.local.address", "network.local.port"),
        ];
        if let Some(remote) = &zipkin.remote_endpoint {
            let name = self.optional_text(remote.service_name);
            add(attributes, "peer.service", Some(name).filter(|name| !name.is_empty()));
        }
        for (endpoint, address_key, port_key) in ends {
            let Some(endpoint) = endpoint else { continue };
            let addresses = [self.optional_text(endpoint.ipv4), self.optional_text(endpoint.ipv6)];
            add(attributes, address_key, addresses.into_iter().find(|address| !address.is_empty()));
            let port =
                endpoint.port.and_then(|raw| raw.get().trim_matches('"').parse::<u16>().ok());
            add(attributes, port_key, port.filter(|port| *port > 0).map(i64::from));
        }
    }

    fn events(&mut self, annotations: &[Annotation<'t>]) -> Result<Vec<Event>, String> {
        let mut events = Vec::with_capacity(annotations.len());
        for annotation in annotations {
            let value = self.optional_text(annotation.value);
            let time = micros(annotation.timestamp);
            let (name, attributes, dropped) = self.annotation(value);
            events.push(Event {
                time_unix_nano: time.map_err(|()| "an annotation's timestamp is not a number")?,
                name,
                attributes,
                dropped_attributes_count: dropped,
            });
        }
        Ok(events)
    }

    /// A name, or one of the ways in which exporters write a name with attributes.
    fn annotation(&mut self, value: Str) -> (Str, Attributes, u32) {
        let parsed = quoted_with_attributes(&value, &mut self.draft.budget)
            .or_else(|| piped(&value, &mut self.draft.budget))
            .or_else(|| only_member(&value, &mut self.draft.budget));
        parsed.unwrap_or_else(|| (value, Attributes::default(), 0))
    }

    /// Takes the tags that are links out of the attributes.
    fn links(&mut self, attributes: &mut Attributes) -> Vec<Link> {
        let budget = &mut self.draft.budget;
        let mut links = Vec::new();
        attributes.0.retain(|attribute| {
            let Value::String(value) = &attribute.value else { return true };
            let number =
                attribute.key.strip_prefix(LINK_PREFIX).and_then(|n| n.parse::<u32>().ok());
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

/// The bytes of a JSON string: JavaScript cuts texts in the middle of surrogate pairs, and
/// serde_json refuses to call the halves a string.
struct Unescaped(Vec<u8>);

impl<'de> Deserialize<'de> for Unescaped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }

        deserializer.deserialize_bytes(Text).map(Unescaped)
    }
}

/// Adds an attribute that there is, unless one of that key is there already.
fn add(attributes: &mut Attributes, key: &'static str, value: Option<impl Into<Value>>) {
    if let Some(value) = value
        && attributes.get(key).is_none()
    {
        attributes.push(Str::from_static(key), value);
    }
}

/// Microseconds (a number, or one in quotes) as nanoseconds; none are 0, as are negative ones.
fn micros(raw: Option<&RawValue>) -> Result<u64, ()> {
    let literal = raw.map_or("null", RawValue::get).trim_matches('"');
    if matches!(literal, "null" | "") {
        return Ok(0);
    }
    let micros = literal.parse().or_else(|_| literal.parse().map(|micros: f64| micros as u64));
    micros.map(|micros: u64| micros.saturating_mul(1000)).map_err(|_| ())
}

fn is_true(raw: Option<&RawValue>) -> bool {
    raw.is_some_and(|raw| raw.get() == "true")
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
fn kind(name: &str, tagged: Option<Kind>) -> Kind {
    match name {
        "CLIENT" => Kind::Client,
        "SERVER" => Kind::Server,
        "PRODUCER" => Kind::Producer,
        "CONSUMER" => Kind::Consumer,
        _ => tagged.unwrap_or(Kind::Internal),
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
