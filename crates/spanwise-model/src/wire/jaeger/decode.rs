//! Jaeger's Thrift to spans.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::thrift::{Fields, Protocol, Reader, Type};
use super::{CHILD_OF, EMIT_BATCH, EVENT_DROPPED, REF_TYPE};
use crate::span::StatusCode;
use crate::wire::draft::{DecodeError, Draft, Ids, Shared, Signal};
use crate::wire::lift::{Lifted, lift, take};
use crate::wire::names;
use crate::{
    Attribute, Attributes, Batch, Event, Link, Resource, Scope, Span, SpanId, Status, Str, TraceId,
    Value,
};

type Result<T> = std::result::Result<T, Box<DecodeError>>;

/// Reads the body of `POST /api/traces`: a `Batch` in the binary protocol.
#[expect(clippy::needless_pass_by_value, reason = "what is decoded keeps the body alive")]
pub fn decode_batch(body: Bytes) -> std::result::Result<Batch, DecodeError> {
    Decoder::new(&body, Protocol::Binary).finish().map_err(|fault| *fault)
}

/// Reads a datagram for an agent: a message `emitBatch`, in whichever protocol it is, since some
/// clients send the one to the port of the other.
#[expect(clippy::needless_pass_by_value, reason = "what is decoded keeps the body alive")]
pub fn decode_datagram(datagram: Bytes) -> std::result::Result<Batch, DecodeError> {
    let protocol = match datagram.first() {
        Some(0x82) => Protocol::Compact,
        _ => Protocol::Binary,
    };
    let mut decoder = Decoder::new(&datagram, protocol);
    decoder.message().and_then(|()| decoder.finish()).map_err(|fault| *fault)
}

struct Decoder<'b> {
    body: &'b Bytes,
    reader: Reader<'b>,
    draft: Draft,
    scopes: Shared<Scope>,
}

/// A span as Jaeger has it, before its tags are understood.
#[derive(Default)]
struct Jaeger {
    trace_id_low: i64,
    trace_id_high: i64,
    span_id: i64,
    parent_span_id: i64,
    name: Str,
    references: Vec<Reference>,
    flags: i32,
    start_micros: i64,
    duration_micros: i64,
    tags: Attributes,
    events: Vec<Event>,
}

#[derive(Default)]
struct Reference {
    kind: i32,
    trace_id_low: i64,
    trace_id_high: i64,
    span_id: i64,
}

impl<'b> Decoder<'b> {
    fn new(body: &'b Bytes, protocol: Protocol) -> Self {
        Decoder {
            body,
            reader: Reader::new(body, protocol),
            draft: Draft::new(Signal::Traces),
            scopes: Shared::default(),
        }
    }

    /// Reads the head of a message up to the struct of its only argument.
    fn message(&mut self) -> Result<()> {
        let name = match self.reader.byte()? {
            0x82 => {
                let version_and_type = self.reader.byte()?;
                if version_and_type & 0x1f != 1 {
                    return self.reader.fault("unknown version of the compact protocol");
                }
                self.reader.varint()?;
                self.reader.binary()?
            }
            // The strict form begins with a version, the old one with the (short) name's length.
            0x80 => {
                let rest = [self.reader.byte()?, self.reader.byte()?, self.reader.byte()?];
                if rest[..2] != [1, 0] {
                    return self.reader.fault("unknown version of the binary protocol");
                }
                let name = self.reader.binary()?;
                self.reader.i32()?;
                name
            }
            0 => {
                let rest = [self.reader.byte()?, self.reader.byte()?, self.reader.byte()?];
                if rest != [0, 0, EMIT_BATCH.len() as u8] {
                    return self.reader.fault("not a message that an agent takes");
                }
                self.old_head()?
            }
            _ => return self.reader.fault("neither compact nor binary thrift"),
        };
        if self.body[name.clone()] != *EMIT_BATCH.as_bytes() {
            let name =
                String::from_utf8_lossy(&self.body[name]).chars().take(40).collect::<String>();
            return self.reader.fault(format!("message {name:?} is not supported, only emitBatch"));
        }
        let mut fields = Fields::default();
        while let Some((id, kind)) = self.reader.field(&mut fields)? {
            if (id, kind) == (1, Type::Struct) {
                return Ok(());
            }
            self.reader.skip(kind)?;
        }
        self.reader.fault("the message has no batch")
    }

    /// The name of an old message, whose length was read, its type and sequence number.
    fn old_head(&mut self) -> Result<Range<usize>> {
        let start = self.reader.at();
        for _ in 0..=EMIT_BATCH.len() {
            self.reader.byte()?;
        }
        self.reader.i32()?;
        Ok(start..start + EMIT_BATCH.len())
    }

    fn finish(mut self) -> Result<Batch> {
        let mut resource = Resource::default();
        let mut fields = Fields::default();
        let unknown = Arc::new(Resource::default());
        while let Some((id, kind)) = self.reader.field(&mut fields)? {
            match (id, kind) {
                (1, Type::Struct) => resource = self.process()?,
                (2, Type::List) => self.each_struct(|decoder| decoder.span(&unknown))?,
                _ => self.reader.skip(kind)?,
            }
        }
        // The process may come after the spans.
        let resource = Arc::new(resource);
        for span in &mut self.draft.batch.spans {
            span.resource = Arc::clone(&resource);
        }
        Ok(self.draft.batch)
    }

    fn each_struct(&mut self, mut read: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        match self.reader.list()? {
            (Type::Struct, count) => (0..count).try_for_each(|_| read(self)),
            (kind, count) => (0..count).try_for_each(|_| self.reader.skip(kind)),
        }
    }

    fn process(&mut self) -> Result<Resource> {
        let (mut service, mut tags) = (Str::new(), Attributes::default());
        let mut fields = Fields::default();
        while let Some((id, kind)) = self.reader.field(&mut fields)? {
            match (id, kind) {
                (1, Type::Binary) => service = self.text("the service's name")?,
                (2, Type::List) => self.each_struct(|decoder| decoder.tag(&mut tags))?,
                _ => self.reader.skip(kind)?,
            }
        }
        let mut attributes = Attributes::default();
        if !service.is_empty() {
            attributes.push("service.name", service);
        }
        if tags.get("host.name").is_none() {
            for tag in &mut tags.0 {
                if tag.key == "hostname" {
                    tag.key = Str::from_static("host.name");
                }
            }
        }
        attributes.0.append(&mut tags.0);
        Ok(Resource { attributes, ..Resource::default() })
    }

    fn span(&mut self, resource: &Arc<Resource>) -> Result<()> {
        let mut jaeger = Jaeger::default();
        let mut fields = Fields::default();
        while let Some((id, kind)) = self.reader.field(&mut fields)? {
            match (id, kind) {
                (1, Type::I64) => jaeger.trace_id_low = self.reader.i64()?,
                (2, Type::I64) => jaeger.trace_id_high = self.reader.i64()?,
                (3, Type::I64) => jaeger.span_id = self.reader.i64()?,
                (4, Type::I64) => jaeger.parent_span_id = self.reader.i64()?,
                (5, Type::Binary) => jaeger.name = self.text("the span's name")?,
                (6, Type::List) => self.each_struct(|decoder| {
                    let reference = decoder.reference()?;
                    decoder.push(&mut jaeger.references, reference)
                })?,
                (7, Type::I32) => jaeger.flags = self.reader.i32()?,
                (8, Type::I64) => jaeger.start_micros = self.reader.i64()?,
                (9, Type::I64) => jaeger.duration_micros = self.reader.i64()?,
                (10, Type::List) => self.each_struct(|decoder| decoder.tag(&mut jaeger.tags))?,
                (11, Type::List) => self.each_struct(|decoder| {
                    let event = decoder.log()?;
                    decoder.push(&mut jaeger.events, event)
                })?,
                _ => self.reader.skip(kind)?,
            }
        }
        self.charge::<Span>(1)?;
        self.charge::<Link>(jaeger.references.len())?;
        match jaeger.ids() {
            Ok(ids) => {
                let span = jaeger.into_span(&ids, resource, &mut self.scopes);
                self.draft.take_span(span);
                Ok(())
            }
            Err(reason) => {
                let rejected = self.draft.reject(&jaeger.name, reason);
                self.check(rejected)
            }
        }
    }

    fn reference(&mut self) -> Result<Reference> {
        let mut reference = Reference::default();
        let mut fields = Fields::default();
        while let Some((id, kind)) = self.reader.field(&mut fields)? {
            match (id, kind) {
                (1, Type::I32) => reference.kind = self.reader.i32()?,
                (2, Type::I64) => reference.trace_id_low = self.reader.i64()?,
                (3, Type::I64) => reference.trace_id_high = self.reader.i64()?,
                (4, Type::I64) => reference.span_id = self.reader.i64()?,
                _ => self.reader.skip(kind)?,
            }
        }
        Ok(reference)
    }

    fn log(&mut self) -> Result<Event> {
        let (mut micros, mut attributes) = (0, Attributes::default());
        let mut fields = Fields::default();
        while let Some((id, kind)) = self.reader.field(&mut fields)? {
            match (id, kind) {
                (1, Type::I64) => micros = self.reader.i64()?,
                (2, Type::List) => self.each_struct(|decoder| decoder.tag(&mut attributes))?,
                _ => self.reader.skip(kind)?,
            }
        }
        let dropped = match attributes.get(EVENT_DROPPED) {
            Some(Value::Int(count)) => u32::try_from(*count).unwrap_or_default(),
            _ => 0,
        };
        if dropped > 0 {
            take(&mut attributes, EVENT_DROPPED);
        }
        Ok(Event {
            time_unix_nano: nanos(micros),
            name: take_name(&mut attributes),
            attributes,
            dropped_attributes_count: dropped,
        })
    }

    fn tag(&mut self, tags: &mut Attributes) -> Result<()> {
        let (mut key, mut v_type) = (Str::new(), 0);
        // By the number of a value's type.
        let mut values = [const { Value::Null }; 5];
        let mut fields = Fields::default();
        while let Some((id, kind)) = self.reader.field(&mut fields)? {
            match (id, kind) {
                (1, Type::Binary) => key = self.key()?,
                (2, Type::I32) => v_type = self.reader.i32()?,
                (3, Type::Binary) => {
                    let range = self.reader.binary()?;
                    values[0] = self.draft.text_value(self.body, range);
                }
                (4, Type::Double) => values[1] = Value::Double(self.reader.double()?),
                (5, Type::Bool) => values[2] = Value::Bool(self.reader.bool()?),
                (6, Type::I64) => values[3] = Value::Int(self.reader.i64()?),
                (7, Type::Binary) => {
                    let range = self.reader.binary()?;
                    values[4] = Value::Bytes(self.body.slice(range));
                }
                _ => self.reader.skip(kind)?,
            }
        }
        let value = usize::try_from(v_type).ok().and_then(|number| values.get_mut(number));
        let value = value.map_or(Value::Null, std::mem::take);
        self.push(&mut tags.0, Attribute { key, value })
    }

    fn key(&mut self) -> Result<Str> {
        let range = self.reader.binary()?;
        Ok(match names::known(&self.body[range.clone()]) {
            Some(name) => Str::from_static(name),
            None => self.draft.text(self.body, range, "a tag's key"),
        })
    }

    fn text(&mut self, what: &str) -> Result<Str> {
        let range = self.reader.binary()?;
        Ok(self.draft.text(self.body, range, what))
    }

    fn push<T>(&mut self, list: &mut Vec<T>, item: T) -> Result<()> {
        self.charge::<T>(1)?;
        list.push(item);
        Ok(())
    }

    fn charge<T>(&mut self, count: usize) -> Result<()> {
        let charged = self.draft.charge::<T>(count);
        self.check(charged)
    }

    fn check(&self, result: std::result::Result<(), String>) -> Result<()> {
        result.or_else(|reason| self.reader.fault(reason))
    }
}

impl Jaeger {
    /// The parent is named twice, or once: by number, or as the first reference of its sort.
    fn ids(&self) -> std::result::Result<Ids, String> {
        let is_parent = |reference: &&Reference| self.may_be_parent(reference);
        let parent = match self.parent_span_id {
            0 => self.references.iter().find(is_parent).map_or(0, |reference| reference.span_id),
            id => id,
        };
        let trace_id = trace_id_bytes(self.trace_id_high, self.trace_id_low);
        Ids::from_bytes(&trace_id, &self.span_id.to_be_bytes(), &parent.to_be_bytes())
    }

    fn may_be_parent(&self, reference: &Reference) -> bool {
        reference.kind == CHILD_OF
            && reference.trace_id_low == self.trace_id_low
            && reference.trace_id_high == self.trace_id_high
    }

    /// References other than that to the parent.
    fn links(&self, parent: Option<SpanId>) -> Vec<Link> {
        let mut parent = parent.map(|id| i64::from_be_bytes(*id.as_bytes()));
        let mut links = Vec::new();
        for reference in &self.references {
            if parent == Some(reference.span_id) && self.may_be_parent(reference) {
                parent = None;
                continue;
            }
            let ref_type = if reference.kind == CHILD_OF { "child_of" } else { "follows_from" };
            let trace_id = trace_id_bytes(reference.trace_id_high, reference.trace_id_low);
            if let (Ok(trace_id), Ok(span_id)) = (
                TraceId::from_bytes(&trace_id),
                SpanId::from_bytes(&reference.span_id.to_be_bytes()),
            ) {
                links.push(Link {
                    trace_id,
                    span_id,
                    trace_state: Str::new(),
                    attributes: [(REF_TYPE, ref_type)].into_iter().collect(),
                    dropped_attributes_count: 0,
                    flags: 0,
                });
            }
        }
        links
    }

    fn into_span(
        mut self,
        ids: &Ids,
        resource: &Arc<Resource>,
        scopes: &mut Shared<Scope>,
    ) -> Span {
        let lifted = lift(&mut self.tags);
        let status = status(&lifted, &mut self.tags);
        let start = nanos(self.start_micros);
        let mut span = Span {
            trace_id: ids.trace,
            span_id: ids.span,
            parent_span_id: ids.parent,
            trace_state: lifted.trace_state.clone(),
            flags: u32::from(self.flags & 3 != 0),
            links: self.links(ids.parent),
            name: self.name,
            kind: lifted.kind.unwrap_or_default(),
            start_time_unix_nano: start,
            end_time_unix_nano: start.saturating_add(nanos(self.duration_micros)),
            attributes: self.tags,
            dropped_attributes_count: 0,
            events: self.events,
            dropped_events_count: 0,
            dropped_links_count: 0,
            status,
            resource: Arc::clone(resource),
            scope: scopes.share(lifted.scope.clone()),
        };
        lifted.counts(&mut span);
        span
    }
}

/// The tag `error` wins over a status, which wins over what HTTP's status code says.
fn status(lifted: &Lifted, tags: &mut Attributes) -> Status {
    let says_error = match tags.get("error") {
        Some(Value::Bool(truth)) => *truth,
        Some(Value::String(text)) => text == "true",
        _ => false,
    };
    if says_error {
        take(tags, "error");
    }
    let code = match lifted.status_code {
        _ if says_error => StatusCode::Error,
        Some(code) => code,
        None => http_status(lifted, tags),
    };
    let mut message = lifted.description.clone().unwrap_or_default();
    if code == StatusCode::Error
        && message.is_empty()
        && let Some(Value::String(text)) = tags.get("http.status_message")
    {
        message = text.clone();
    }
    Status { code, message }
}

fn http_status(lifted: &Lifted, tags: &Attributes) -> StatusCode {
    let code = match tags.get("http.status_code") {
        Some(Value::Int(code)) => *code,
        Some(Value::String(text)) => text.parse().unwrap_or_default(),
        _ => 0,
    };
    match code {
        500.. => StatusCode::Error,
        400.. if lifted.kind == Some(crate::Kind::Client) => StatusCode::Error,
        _ => StatusCode::Unset,
    }
}

/// Takes the field that names a log out of its fields.
fn take_name(fields: &mut Attributes) -> Str {
    for key in ["event", "message"] {
        let is_name = |field: &Attribute| field.key == key && field.value.as_str().is_some();
        if let Some(position) = fields.0.iter().position(is_name)
            && let Value::String(name) = fields.0.remove(position).value
        {
            return name;
        }
    }
    Str::from_static("log")
}

/// Microseconds as nanoseconds; negative ones are 0.
fn nanos(micros: i64) -> u64 {
    u64::try_from(micros).unwrap_or_default().saturating_mul(1000)
}

fn trace_id_bytes(high: i64, low: i64) -> [u8; 16] {
    (u128::from(high as u64) << 64 | u128::from(low as u64)).to_be_bytes()
}
