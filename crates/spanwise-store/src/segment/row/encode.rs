use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use spanwise_model::genai::{CostSource, Facts};
use spanwise_model::{
    Attributes, Event, Link, Resource, RowRole, Scope, Span, StoredSpan, Str, Value,
};

use super::{FAILED, N_NAMED_FACTS, fact, fact_strings, fails_by_attribute, part, tag};
use crate::segment::blocks::BlockWriter;
use crate::segment::chunk::{MIN_TEXT_BYTES, Texts};
use crate::segment::names::Names;
use crate::segment::varint::{put_bytes, put_signed, put_varint};
use crate::segment::{FileMeta, SegmentError};

/// Writes `rows.bin` and the files that rows refer to.
pub(in crate::segment) struct Encoder {
    rows: BlockWriter,
    names: Names,
    names_file: BlockWriter,
    texts: Texts,
    resources: Origins,
    scopes: Origins,
    row: Vec<u8>,
    outline: Vec<u8>,
    pieces: Vec<u32>,
    keys: Vec<Option<u32>>,
}

/// Distinct resources or scopes.
struct Origins {
    writer: BlockWriter,
    by_bytes: HashMap<Vec<u8>, u32>,
    /// The last one seen: spans come in runs of one resource and scope. Holding on to it keeps
    /// its address from being used again.
    last: Option<(Arc<dyn Send + Sync>, u32)>,
    entry: Vec<u8>,
}

/// What the columns need to know of a row beside the span itself.
pub(in crate::segment) struct Encoded<'e> {
    pub resource: u32,
    /// The number of the name of each attribute's key, in order.
    pub keys: &'e [Option<u32>],
}

impl Encoder {
    /// `keep_texts`: see [`Texts::new`].
    pub(in crate::segment) fn create(
        dir: &Path,
        level: i32,
        keep_texts: bool,
    ) -> Result<Self, SegmentError> {
        let file = |name| BlockWriter::create(dir, name, level);
        Ok(Encoder {
            rows: file("rows.bin")?,
            names: Names::default(),
            names_file: file("names.bin")?,
            texts: Texts::new(file("texts.bin")?, keep_texts),
            resources: Origins::new(file("resources.bin")?),
            scopes: Origins::new(file("scopes.bin")?),
            row: Vec::new(),
            outline: Vec::new(),
            pieces: Vec::new(),
            keys: Vec::new(),
        })
    }

    /// The number of a name, if it gets one.
    pub(in crate::segment) fn name(&mut self, name: &str) -> Option<u32> {
        self.names.number(name)
    }

    /// Appends a row.
    pub(in crate::segment) fn push(
        &mut self,
        stored: &StoredSpan,
    ) -> Result<Encoded<'_>, SegmentError> {
        let resource = self.resource(&stored.span.resource)?;
        let scope = self.scope(&stored.span.scope)?;
        let mut outline = std::mem::take(&mut self.outline);
        let mut row = std::mem::take(&mut self.row);
        outline.clear();
        row.clear();
        self.put_outline(&mut outline, stored, resource, scope);
        put_bytes(&mut row, &outline);
        self.keys.clear();
        put_varint(&mut row, stored.span.attributes.len() as u64);
        for attribute in &stored.span.attributes {
            let number = self.put_name(&mut row, &attribute.key);
            self.keys.push(number);
            self.put_value(&mut row, &attribute.value)?;
        }
        self.put_events(&mut row, &stored.span.events)?;
        self.put_links(&mut row, &stored.span.links)?;
        self.rows.push(&row)?;
        row.shrink_to(1 << 20);
        self.outline = outline;
        self.row = row;
        Ok(Encoded { resource, keys: &self.keys })
    }

    /// Finishes all files.
    pub(in crate::segment) fn finish(self) -> Result<Vec<FileMeta>, SegmentError> {
        Ok(vec![
            self.rows.finish()?,
            self.names.write(self.names_file)?,
            self.texts.finish()?,
            self.resources.writer.finish()?,
            self.scopes.writer.finish()?,
        ])
    }

    fn put_outline(&mut self, out: &mut Vec<u8>, stored: &StoredSpan, resource: u32, scope: u32) {
        let span = &stored.span;
        // The two texts that a search looks at come first.
        self.put_name(out, &span.name);
        put_bytes(out, span.status.message.as_bytes());
        self.put_name(out, &stored.project);
        out.extend_from_slice(span.trace_id.as_bytes());
        out.extend_from_slice(span.span_id.as_bytes());
        let failed = if fails_by_attribute(span) { FAILED } else { 0 };
        out.push(span.kind as u8 | (span.status.code as u8) << 4 | failed);
        out.extend_from_slice(&span.start_time_unix_nano.to_le_bytes());
        put_signed(out, span.end_time_unix_nano.wrapping_sub(span.start_time_unix_nano) as i64);
        put_signed(out, stored.received_unix_nano.wrapping_sub(span.end_time_unix_nano) as i64);
        put_varint(out, u64::from(resource));
        put_varint(out, u64::from(scope));
        let parts = parts(stored);
        out.push(parts);
        self.put_rare_parts(out, stored, parts);
        if parts & part::FACTS != 0 {
            self.put_facts(out, &stored.facts);
        }
    }

    fn put_rare_parts(&mut self, out: &mut Vec<u8>, stored: &StoredSpan, parts: u8) {
        let span = &stored.span;
        if let Some(parent) = span.parent_span_id {
            out.extend_from_slice(parent.as_bytes());
        }
        if parts & part::TRACE_STATE != 0 {
            put_bytes(out, span.trace_state.as_bytes());
        }
        if parts & part::FLAGS != 0 {
            put_varint(out, u64::from(span.flags));
        }
        if parts & part::DROPPED != 0 {
            for count in dropped(span) {
                put_varint(out, u64::from(count));
            }
        }
        if parts & part::WARNINGS != 0 {
            put_varint(out, stored.warnings.len() as u64);
            for warning in &stored.warnings {
                self.put_name(out, &warning.kind);
                put_bytes(out, warning.message.as_bytes());
            }
        }
    }

    fn put_facts(&mut self, out: &mut Vec<u8>, facts: &Facts) {
        put_varint(out, u64::from(known_facts(facts)));
        for (at, text) in fact_strings!(facts).into_iter().enumerate() {
            if text.is_empty() {
                continue;
            }
            if at < N_NAMED_FACTS {
                self.put_name(out, text);
            } else {
                put_bytes(out, text.as_bytes());
            }
        }
        if let Some(operation) = facts.operation {
            out.push(operation as u8);
        }
        for count in usage_counts(facts).into_iter().flatten() {
            put_varint(out, count);
        }
        if let Some(cost) = facts.cost {
            put_signed(out, cost.nano_usd);
        }
        if let Some(first_token) = facts.time_to_first_token_ns {
            put_varint(out, first_token);
        }
    }

    fn put_name(&mut self, out: &mut Vec<u8>, name: &str) -> Option<u32> {
        let number = self.names.number(name);
        if let Some(number) = number {
            put_varint(out, u64::from(number) + 1);
        } else {
            out.push(0);
            put_bytes(out, name.as_bytes());
        }
        number
    }

    fn put_attributes(
        &mut self,
        out: &mut Vec<u8>,
        attributes: &Attributes,
    ) -> Result<(), SegmentError> {
        put_varint(out, attributes.len() as u64);
        for attribute in attributes {
            self.put_name(out, &attribute.key);
            self.put_value(out, &attribute.value)?;
        }
        Ok(())
    }

    fn put_value(&mut self, out: &mut Vec<u8>, value: &Value) -> Result<(), SegmentError> {
        match value {
            Value::Null => out.push(tag::NULL),
            Value::String(text) => self.put_text(out, text)?,
            Value::Bool(truth) => out.push(if *truth { tag::TRUE } else { tag::FALSE }),
            Value::Int(number) => {
                out.push(tag::INT);
                put_signed(out, *number);
            }
            Value::Double(number) => {
                out.push(tag::DOUBLE);
                out.extend_from_slice(&number.to_bits().to_le_bytes());
            }
            Value::Bytes(bytes) if bytes.len() < MIN_TEXT_BYTES => {
                out.push(tag::BYTES);
                put_bytes(out, bytes);
            }
            Value::Bytes(bytes) => {
                out.push(tag::BINARY);
                put_varint(out, u64::from(self.texts.binary(bytes)?));
            }
            Value::Array(values) => {
                out.push(tag::ARRAY);
                put_varint(out, values.len() as u64);
                for value in values {
                    self.put_value(out, value)?;
                }
            }
            Value::Map(attributes) => {
                out.push(tag::MAP);
                self.put_attributes(out, attributes)?;
            }
        }
        Ok(())
    }

    fn put_text(&mut self, out: &mut Vec<u8>, text: &Str) -> Result<(), SegmentError> {
        if text.len() < MIN_TEXT_BYTES {
            out.push(tag::SHORT);
            put_bytes(out, text.as_bytes());
            return Ok(());
        }
        self.texts.text(text, &mut self.pieces)?;
        out.push(tag::TEXT);
        put_varint(out, self.pieces.len() as u64);
        let mut last = 0;
        for &piece in &self.pieces {
            put_signed(out, i64::from(piece) - last);
            last = i64::from(piece);
        }
        Ok(())
    }

    fn put_events(&mut self, out: &mut Vec<u8>, events: &[Event]) -> Result<(), SegmentError> {
        put_varint(out, events.len() as u64);
        for event in events {
            self.put_name(out, &event.name);
            out.extend_from_slice(&event.time_unix_nano.to_le_bytes());
            put_varint(out, u64::from(event.dropped_attributes_count));
            self.put_attributes(out, &event.attributes)?;
        }
        Ok(())
    }

    fn put_links(&mut self, out: &mut Vec<u8>, links: &[Link]) -> Result<(), SegmentError> {
        put_varint(out, links.len() as u64);
        for link in links {
            out.extend_from_slice(link.trace_id.as_bytes());
            out.extend_from_slice(link.span_id.as_bytes());
            put_bytes(out, link.trace_state.as_bytes());
            put_varint(out, u64::from(link.dropped_attributes_count));
            put_varint(out, u64::from(link.flags));
            self.put_attributes(out, &link.attributes)?;
        }
        Ok(())
    }

    fn resource(&mut self, resource: &Arc<Resource>) -> Result<u32, SegmentError> {
        if let Some(number) = self.resources.last(resource) {
            return Ok(number);
        }
        let mut entry = self.resources.take_entry();
        put_varint(&mut entry, u64::from(resource.dropped_attributes_count));
        put_bytes(&mut entry, resource.schema_url.as_bytes());
        self.put_attributes(&mut entry, &resource.attributes)?;
        self.resources.number(resource.clone(), entry)
    }

    fn scope(&mut self, scope: &Arc<Scope>) -> Result<u32, SegmentError> {
        if let Some(number) = self.scopes.last(scope) {
            return Ok(number);
        }
        let mut entry = self.scopes.take_entry();
        put_bytes(&mut entry, scope.name.as_bytes());
        put_bytes(&mut entry, scope.version.as_bytes());
        put_varint(&mut entry, u64::from(scope.dropped_attributes_count));
        put_bytes(&mut entry, scope.schema_url.as_bytes());
        self.put_attributes(&mut entry, &scope.attributes)?;
        self.scopes.number(scope.clone(), entry)
    }
}

impl Origins {
    fn new(writer: BlockWriter) -> Self {
        Origins { writer, by_bytes: HashMap::new(), last: None, entry: Vec::new() }
    }

    fn last<T>(&self, origin: &Arc<T>) -> Option<u32> {
        let (last, number) = self.last.as_ref()?;
        std::ptr::addr_eq(Arc::as_ptr(last), Arc::as_ptr(origin)).then_some(*number)
    }

    fn take_entry(&mut self) -> Vec<u8> {
        self.entry.clear();
        std::mem::take(&mut self.entry)
    }

    fn number(
        &mut self,
        origin: Arc<dyn Send + Sync>,
        entry: Vec<u8>,
    ) -> Result<u32, SegmentError> {
        let number = if let Some(&number) = self.by_bytes.get(&entry) {
            number
        } else {
            let number = self.writer.push(&entry)?;
            self.by_bytes.insert(entry.clone(), number);
            number
        };
        self.entry = entry;
        self.last = Some((origin, number));
        Ok(number)
    }
}

fn dropped(span: &Span) -> [u32; 3] {
    [span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count]
}

/// Which rare parts an outline has.
fn parts(stored: &StoredSpan) -> u8 {
    let span = &stored.span;
    let bit = |present: bool, bit: u8| if present { bit } else { 0 };
    bit(stored.role == RowRole::LogEvent, part::LOG_EVENT)
        | bit(span.parent_span_id.is_some(), part::PARENT)
        | bit(!span.trace_state.is_empty(), part::TRACE_STATE)
        | bit(span.flags != 0, part::FLAGS)
        | bit(dropped(span) != [0; 3], part::DROPPED)
        | bit(!stored.warnings.is_empty(), part::WARNINGS)
        | bit(known_facts(&stored.facts) != 0, part::FACTS)
}

fn usage_counts(facts: &Facts) -> [Option<u64>; 6] {
    let usage = &facts.usage;
    [usage.input, usage.output, usage.total, usage.cache_read, usage.cache_write, usage.reasoning]
}

/// Which facts are known, as bits.
fn known_facts(facts: &Facts) -> u32 {
    let mut known = 0;
    let mut set = |bit: u32, present: bool| known |= u32::from(present) << bit;
    for (bit, text) in (0..).zip(fact_strings!(facts)) {
        set(bit, !text.is_empty());
    }
    set(fact::OPERATION, facts.operation.is_some());
    for (at, count) in (0..).zip(usage_counts(facts)) {
        set(fact::USAGE + at, count.is_some());
    }
    set(fact::COST, facts.cost.is_some());
    let computed = facts.cost.is_some_and(|cost| cost.source == CostSource::Computed);
    set(fact::COST_COMPUTED, computed);
    set(fact::FIRST_TOKEN, facts.time_to_first_token_ns.is_some());
    set(fact::INPUT_IS_MESSAGE, facts.input_is_message);
    set(fact::OUTPUT_IS_MESSAGE, facts.output_is_message);
    known
}
