use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use spanwise_model::genai::{Cost, CostSource, Facts, Operation};
use spanwise_model::span::StatusCode;
use spanwise_model::{
    Attribute, Attributes, Event, Kind, Link, Resource, RowRole, Scope, Span, SpanId, Status,
    StoredSpan, Str, TraceId, Value, Warning,
};

use super::{FAILED, MAX_DEPTH, N_NAMED_FACTS, fact, fact_strings, outline_attributes, part, tag};
use crate::query::Detail;
use crate::segment::SegmentError;
use crate::segment::blocks::{BlockFile, Cursor};
use crate::segment::varint::{Malformed, Reader};

/// Turns rows back into spans for one task. Strings are slices of the blocks they were read in.
pub(in crate::segment) struct Decoder<'s> {
    rows: &'s BlockFile,
    names: &'s [Str],
    row_cursor: Cursor<'s>,
    texts: Cursor<'s>,
    resource_cursor: Cursor<'s>,
    scope_cursor: Cursor<'s>,
    resources: HashMap<u32, Arc<Resource>>,
    scopes: HashMap<u32, Arc<Scope>>,
    project: Arc<str>,
}

/// What stops decoding.
enum Fault {
    Malformed(Malformed),
    Segment(SegmentError),
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Fault::Malformed(malformed)
    }
}

impl From<SegmentError> for Fault {
    fn from(error: SegmentError) -> Self {
        Fault::Segment(error)
    }
}

/// Bytes that are being decoded: where strings are sliced from, and what is left.
struct Source<'b> {
    bytes: &'b Bytes,
    reader: Reader<'b>,
}

impl<'b> Source<'b> {
    fn new(bytes: &'b Bytes) -> Self {
        Source { bytes, reader: Reader::new(bytes) }
    }

    fn str(&mut self) -> Result<Str, Malformed> {
        let bytes = self.bytes.slice_ref(self.reader.bytes()?);
        text(bytes)
    }
}

fn text(bytes: Bytes) -> Result<Str, Malformed> {
    Str::try_from(bytes).map_err(|_| Malformed("text is not UTF-8"))
}

impl<'s> Decoder<'s> {
    pub(in crate::segment) fn new(
        rows: &'s BlockFile,
        names: &'s [Str],
        texts: &'s BlockFile,
        resources: &'s BlockFile,
        scopes: &'s BlockFile,
    ) -> Self {
        Decoder {
            rows,
            names,
            row_cursor: rows.cursor(),
            texts: texts.cursor(),
            resource_cursor: resources.cursor(),
            scope_cursor: scopes.cursor(),
            resources: HashMap::new(),
            scopes: HashMap::new(),
            project: Arc::from(""),
        }
    }

    /// The span of a row.
    pub(in crate::segment) fn span(
        &mut self,
        row: u32,
        detail: Detail,
    ) -> Result<StoredSpan, SegmentError> {
        let bytes = self.row_cursor.get(row)?;
        self.stored_span(&bytes, detail).map_err(|fault| self.error(row, fault))
    }

    /// The value of a resource's attribute.
    pub(in crate::segment) fn resource(
        &mut self,
        number: u32,
    ) -> Result<Arc<Resource>, SegmentError> {
        self.read_resource(number).map_err(|fault| self.error(number, fault))
    }

    /// A text put together from its pieces.
    pub(in crate::segment) fn joined(&mut self, pieces: &[u32]) -> Result<Str, SegmentError> {
        self.join(pieces).map_err(|fault| self.error(0, fault))
    }

    fn error(&self, row: u32, fault: Fault) -> SegmentError {
        match fault {
            Fault::Segment(error) => error,
            Fault::Malformed(malformed) => self.rows.corrupt(format!("row {row}: {malformed}")),
        }
    }

    fn stored_span(&mut self, row: &Bytes, detail: Detail) -> Result<StoredSpan, Fault> {
        let mut source = Source::new(row);
        let outline = row.slice_ref(source.reader.bytes()?);
        let mut stored = self.outline(&outline)?;
        if detail == Detail::Full {
            stored.span.attributes = self.attributes(&mut source, 0)?;
            stored.span.events = self.events(&mut source)?;
            stored.span.links = self.links(&mut source)?;
            if source.reader.remaining() != 0 {
                return Err(Malformed("bytes after the end").into());
            }
        }
        Ok(stored)
    }

    fn outline(&mut self, bytes: &Bytes) -> Result<StoredSpan, Fault> {
        let mut source = Source::new(bytes);
        let name = self.name(&mut source)?;
        let message = source.str()?;
        let project = self.name(&mut source)?;
        if *self.project != *project {
            self.project = Arc::from(&*project);
        }
        let trace_id = trace_id(&mut source.reader)?;
        let span_id = span_id(&mut source.reader)?;
        let kind_and_status = source.reader.byte()?;
        let start = u64::from_le_bytes(source.reader.array()?);
        let end = start.wrapping_add(source.reader.signed()? as u64);
        let received_unix_nano = end.wrapping_add(source.reader.signed()? as u64);
        let resource = source.reader.u32()?;
        let scope = source.reader.u32()?;
        let parts = source.reader.byte()?;
        let has = |part: u8| parts & part != 0;
        let mut stored = StoredSpan {
            project: self.project.clone(),
            role: if has(part::LOG_EVENT) { RowRole::LogEvent } else { RowRole::Span },
            span: Span {
                trace_id,
                span_id,
                parent_span_id: None,
                trace_state: Str::new(),
                flags: 0,
                name,
                kind: Kind::from_number(i32::from(kind_and_status & 15)),
                start_time_unix_nano: start,
                end_time_unix_nano: end,
                attributes: outline_attributes(kind_and_status & FAILED != 0),
                dropped_attributes_count: 0,
                events: Vec::new(),
                dropped_events_count: 0,
                links: Vec::new(),
                dropped_links_count: 0,
                status: Status {
                    code: StatusCode::from_number(i32::from(kind_and_status >> 4 & 7)),
                    message,
                },
                resource: self.read_resource(resource)?,
                scope: self.read_scope(scope)?,
            },
            facts: Facts::default(),
            warnings: Vec::new(),
            received_unix_nano,
        };
        self.rare_parts(&mut source, parts, &mut stored)?;
        if has(part::FACTS) {
            stored.facts = self.facts(&mut source)?;
        }
        Ok(stored)
    }

    fn rare_parts(
        &mut self,
        source: &mut Source<'_>,
        parts: u8,
        stored: &mut StoredSpan,
    ) -> Result<(), Fault> {
        let span = &mut stored.span;
        if parts & part::PARENT != 0 {
            span.parent_span_id = Some(span_id(&mut source.reader)?);
        }
        if parts & part::TRACE_STATE != 0 {
            span.trace_state = source.str()?;
        }
        if parts & part::FLAGS != 0 {
            span.flags = source.reader.u32()?;
        }
        if parts & part::DROPPED != 0 {
            span.dropped_attributes_count = source.reader.u32()?;
            span.dropped_events_count = source.reader.u32()?;
            span.dropped_links_count = source.reader.u32()?;
        }
        if parts & part::WARNINGS != 0 {
            for _ in 0..source.reader.count()? {
                let kind = self.name(source)?;
                stored.warnings.push(Warning { kind, message: source.str()? });
            }
        }
        Ok(())
    }

    fn facts(&mut self, source: &mut Source<'_>) -> Result<Facts, Fault> {
        let known = source.reader.varint()?;
        let has = |bit: u32| known >> bit & 1 == 1;
        let mut facts = Facts::default();
        for (at, text) in fact_strings!(mut facts).into_iter().enumerate() {
            if has(at as u32) {
                *text = if at < N_NAMED_FACTS { self.name(source)? } else { source.str()? };
            }
        }
        debug_assert_eq!(fact_strings!(facts).len(), fact::N_STRINGS as usize);
        let reader = &mut source.reader;
        if has(fact::OPERATION) {
            let number = reader.byte()?;
            let known = Operation::ALL.into_iter().find(|&operation| operation as u8 == number);
            facts.operation = Some(known.ok_or(Malformed("unknown operation"))?);
        }
        let usage = &mut facts.usage;
        let counts = [
            &mut usage.input,
            &mut usage.output,
            &mut usage.total,
            &mut usage.cache_read,
            &mut usage.cache_write,
            &mut usage.reasoning,
        ];
        for (bit, count) in (fact::USAGE..).zip(counts) {
            if has(bit) {
                *count = Some(reader.varint()?);
            }
        }
        if has(fact::COST) {
            let computed = has(fact::COST_COMPUTED);
            let source = if computed { CostSource::Computed } else { CostSource::Reported };
            facts.cost = Some(Cost { nano_usd: reader.signed()?, source });
        }
        if has(fact::FIRST_TOKEN) {
            facts.time_to_first_token_ns = Some(reader.varint()?);
        }
        facts.input_is_message = has(fact::INPUT_IS_MESSAGE);
        facts.output_is_message = has(fact::OUTPUT_IS_MESSAGE);
        Ok(facts)
    }

    fn name(&mut self, source: &mut Source<'_>) -> Result<Str, Malformed> {
        match source.reader.u32()? {
            0 => source.str(),
            number => self.names.get(number as usize - 1).cloned().ok_or(Malformed("no such name")),
        }
    }

    fn attributes(&mut self, source: &mut Source<'_>, depth: usize) -> Result<Attributes, Fault> {
        let n_attributes = source.reader.count()?;
        let mut attributes = Vec::with_capacity(n_attributes.min(1024));
        for _ in 0..n_attributes {
            let key = self.name(source)?;
            attributes.push(Attribute { key, value: self.value(source, depth)? });
        }
        Ok(Attributes(attributes))
    }

    fn value(&mut self, source: &mut Source<'_>, depth: usize) -> Result<Value, Fault> {
        if depth > MAX_DEPTH {
            return Err(Malformed("nested too deep").into());
        }
        let reader = &mut source.reader;
        Ok(match reader.byte()? {
            tag::NULL => Value::Null,
            tag::SHORT => Value::String(source.str()?),
            tag::TEXT => {
                let pieces = pieces(reader)?;
                Value::String(self.join(&pieces)?)
            }
            tag::FALSE => Value::Bool(false),
            tag::TRUE => Value::Bool(true),
            tag::INT => Value::Int(reader.signed()?),
            tag::DOUBLE => Value::Double(f64::from_bits(u64::from_le_bytes(reader.array()?))),
            tag::BYTES => Value::Bytes(source.bytes.slice_ref(reader.bytes()?)),
            tag::BINARY => Value::Bytes(self.piece(reader.u32()?)?),
            tag::ARRAY => {
                let n_values = reader.count()?;
                let mut values = Vec::with_capacity(n_values.min(1024));
                for _ in 0..n_values {
                    values.push(self.value(source, depth + 1)?);
                }
                Value::Array(values)
            }
            tag::MAP => Value::Map(self.attributes(source, depth + 1)?),
            _ => return Err(Malformed("unknown type of value").into()),
        })
    }

    /// An entry of `texts.bin` without its kind.
    fn piece(&mut self, number: u32) -> Result<Bytes, Fault> {
        let entry = self.texts.get(number)?;
        if entry.is_empty() {
            Err(Malformed("text without a kind").into())
        } else {
            Ok(entry.slice(1..))
        }
    }

    fn join(&mut self, pieces: &[u32]) -> Result<Str, Fault> {
        if let [piece] = pieces {
            return Ok(text(self.piece(*piece)?)?);
        }
        let mut whole = BytesMut::new();
        for &piece in pieces {
            whole.extend_from_slice(&self.piece(piece)?);
        }
        Ok(text(whole.freeze())?)
    }

    fn events(&mut self, source: &mut Source<'_>) -> Result<Vec<Event>, Fault> {
        let n_events = source.reader.count()?;
        let mut events = Vec::with_capacity(n_events.min(1024));
        for _ in 0..n_events {
            let name = self.name(source)?;
            let time_unix_nano = u64::from_le_bytes(source.reader.array()?);
            let dropped_attributes_count = source.reader.u32()?;
            let attributes = self.attributes(source, 0)?;
            events.push(Event { time_unix_nano, name, attributes, dropped_attributes_count });
        }
        Ok(events)
    }

    fn links(&mut self, source: &mut Source<'_>) -> Result<Vec<Link>, Fault> {
        let n_links = source.reader.count()?;
        let mut links = Vec::with_capacity(n_links.min(1024));
        for _ in 0..n_links {
            let trace_id = trace_id(&mut source.reader)?;
            let span_id = span_id(&mut source.reader)?;
            let trace_state = source.str()?;
            let dropped_attributes_count = source.reader.u32()?;
            let flags = source.reader.u32()?;
            let attributes = self.attributes(source, 0)?;
            links.push(Link {
                trace_id,
                span_id,
                trace_state,
                attributes,
                dropped_attributes_count,
                flags,
            });
        }
        Ok(links)
    }

    fn read_resource(&mut self, number: u32) -> Result<Arc<Resource>, Fault> {
        if let Some(resource) = self.resources.get(&number) {
            return Ok(resource.clone());
        }
        let bytes = self.resource_cursor.get(number)?;
        let mut source = Source::new(&bytes);
        let resource = Arc::new(Resource {
            dropped_attributes_count: source.reader.u32()?,
            schema_url: source.str()?,
            attributes: self.attributes(&mut source, 0)?,
        });
        self.resources.insert(number, resource.clone());
        Ok(resource)
    }

    fn read_scope(&mut self, number: u32) -> Result<Arc<Scope>, Fault> {
        if let Some(scope) = self.scopes.get(&number) {
            return Ok(scope.clone());
        }
        let bytes = self.scope_cursor.get(number)?;
        let mut source = Source::new(&bytes);
        let scope = Arc::new(Scope {
            name: source.str()?,
            version: source.str()?,
            dropped_attributes_count: source.reader.u32()?,
            schema_url: source.str()?,
            attributes: self.attributes(&mut source, 0)?,
        });
        self.scopes.insert(number, scope.clone());
        Ok(scope)
    }
}

/// The numbers of a text's pieces.
pub(super) fn pieces(reader: &mut Reader<'_>) -> Result<Vec<u32>, Malformed> {
    let n_pieces = reader.count()?;
    let mut pieces = Vec::with_capacity(n_pieces);
    let mut last = 0i64;
    for _ in 0..n_pieces {
        last = last.wrapping_add(reader.signed()?);
        pieces.push(u32::try_from(last).map_err(|_| Malformed("no such text"))?);
    }
    Ok(pieces)
}

fn trace_id(reader: &mut Reader<'_>) -> Result<TraceId, Malformed> {
    TraceId::from_bytes(reader.take(16)?).map_err(|_| Malformed("trace id is zero"))
}

fn span_id(reader: &mut Reader<'_>) -> Result<SpanId, Malformed> {
    SpanId::from_bytes(reader.take(8)?).map_err(|_| Malformed("span id is zero"))
}
