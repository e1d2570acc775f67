//! Datadog's payloads, version by version, to chunks of Datadog spans.

use bytes::Bytes;

use super::Tracer;
use super::mapping::{Chunk, DatadogEvent, DatadogLink, DatadogSpan, Payload, settle};
use super::msgpack::{Reader, Result, owned_text};
use crate::wire::draft::{DecodeError, Draft, Signal};
use crate::{Attribute, Attributes, Batch, Str, Value};

/// Reads a body of `/v0.3/traces` or `/v0.4/traces`.
#[expect(clippy::needless_pass_by_value, reason = "what is decoded keeps the body alive")]
pub fn decode_v04(body: Bytes, tracer: Tracer<'_>) -> std::result::Result<Batch, DecodeError> {
    let mut decoder = Decoder::new(&body, Payload::of(tracer));
    decoder.chunks().map_err(|fault| *fault)?;
    Ok(decoder.draft.batch)
}

/// Reads a body of `/v0.5/traces`.
#[expect(clippy::needless_pass_by_value, reason = "what is decoded keeps the body alive")]
pub fn decode_v05(body: Bytes, tracer: Tracer<'_>) -> std::result::Result<Batch, DecodeError> {
    let mut decoder = Decoder::new(&body, Payload::of(tracer));
    decoder.with_table().map_err(|fault| *fault)?;
    Ok(decoder.draft.batch)
}

/// Reads a body of `/v0.7/traces`.
#[expect(clippy::needless_pass_by_value, reason = "what is decoded keeps the body alive")]
pub fn decode_v07(body: Bytes, tracer: Tracer<'_>) -> std::result::Result<Batch, DecodeError> {
    let mut decoder = Decoder::new(&body, Payload::of(tracer));
    decoder.envelope().map_err(|fault| *fault)?;
    Ok(decoder.draft.batch)
}

struct Decoder<'b> {
    body: &'b Bytes,
    reader: Reader<'b>,
    draft: Draft,
    payload: Payload,
}

impl<'b> Decoder<'b> {
    fn new(body: &'b Bytes, payload: Payload) -> Self {
        Decoder { body, reader: Reader::new(body), draft: Draft::new(Signal::Traces), payload }
    }

    /// A list of chunks, each of them a list of spans.
    fn chunks(&mut self) -> Result<()> {
        for _ in 0..self.reader.array()? {
            let spans = self.spans()?;
            self.settle(Chunk { spans, ..Chunk::default() })?;
        }
        Ok(())
    }

    fn settle(&mut self, chunk: Chunk) -> Result<()> {
        let settled = settle(&mut self.draft, &mut self.payload, chunk);
        settled.or_else(|reason| self.reader.fault(reason))
    }

    /// A map around the chunks, and one around the spans of each.
    fn envelope(&mut self) -> Result<()> {
        let mut chunks = Vec::new();
        for _ in 0..self.reader.map()? {
            let key = self.reader.text()?;
            let payload = &mut self.payload;
            let place = match &self.body[key] {
                b"chunks" => {
                    for _ in 0..self.reader.array()? {
                        self.reader.charge::<Chunk>(&mut self.draft, 1)?;
                        chunks.push(self.chunk()?);
                    }
                    continue;
                }
                b"container_id" => &mut payload.container_id,
                b"language_name" => &mut payload.language,
                b"tracer_version" => &mut payload.tracer_version,
                b"runtime_id" => &mut payload.runtime_id,
                b"env" => &mut payload.env,
                b"hostname" => &mut payload.hostname,
                b"app_version" => &mut payload.app_version,
                _ => {
                    self.reader.skip()?;
                    continue;
                }
            };
            let text = owned_text(&mut self.reader, &mut self.draft)?;
            if !text.is_empty() {
                *place = text;
            }
        }
        // What holds for the whole payload may come after the chunks.
        chunks.into_iter().try_for_each(|chunk| self.settle(chunk))
    }

    fn chunk(&mut self) -> Result<Chunk> {
        let mut chunk = Chunk::default();
        for _ in 0..self.reader.map()? {
            let key = self.reader.text()?;
            match &self.body[key] {
                b"spans" => chunk.spans = self.spans()?,
                b"tags" => chunk.tags = self.values()?,
                _ => self.reader.skip()?,
            }
        }
        Ok(chunk)
    }

    fn spans(&mut self) -> Result<Vec<DatadogSpan>> {
        let mut spans = Vec::new();
        for _ in 0..self.reader.array()? {
            self.reader.charge::<DatadogSpan>(&mut self.draft, 2)?;
            spans.push(self.span()?);
        }
        Ok(spans)
    }

    fn span(&mut self) -> Result<DatadogSpan> {
        let mut span = DatadogSpan::default();
        for _ in 0..self.reader.map()? {
            let key = self.reader.text()?;
            match &self.body[key] {
                b"service" => span.service = self.text()?,
                b"name" => span.name = self.text()?,
                b"resource" => span.resource = self.text()?,
                b"type" => span.span_type = self.text()?,
                b"trace_id" => span.trace_id = self.reader.u64()?,
                b"span_id" => span.span_id = self.reader.u64()?,
                b"parent_id" => span.parent_id = self.reader.u64()?,
                b"start" => span.start = self.reader.u64()? as i64,
                b"duration" => span.duration = self.reader.u64()? as i64,
                b"error" => span.is_error = self.reader.u64()? != 0,
                b"meta" => span.meta = self.values()?,
                b"metrics" => span.metrics = self.values()?,
                b"meta_struct" => span.meta_struct = self.values()?,
                b"span_links" => span.links = self.links()?,
                b"span_events" => span.events = self.events()?,
                _ => self.reader.skip()?,
            }
        }
        Ok(span)
    }

    fn text(&mut self) -> Result<Str> {
        owned_text(&mut self.reader, &mut self.draft)
    }

    /// A map with values of any types.
    fn values(&mut self) -> Result<Attributes> {
        let count = self.reader.map()?;
        self.reader.charge::<Attribute>(&mut self.draft, count)?;
        let mut values = Attributes(Vec::with_capacity(count));
        for _ in 0..count {
            let key = self.text()?;
            values.push(key, self.reader.any(&mut self.draft)?);
        }
        Ok(values)
    }

    fn links(&mut self) -> Result<Vec<DatadogLink>> {
        let mut links = Vec::new();
        for _ in 0..self.reader.array()? {
            self.reader.charge::<DatadogLink>(&mut self.draft, 2)?;
            let mut link = DatadogLink::default();
            for _ in 0..self.reader.map()? {
                let key = self.reader.text()?;
                match &self.body[key] {
                    b"trace_id" => link.trace_id = self.reader.u64()?,
                    b"trace_id_high" => link.trace_id_high = self.reader.u64()?,
                    b"span_id" => link.span_id = self.reader.u64()?,
                    b"attributes" => link.attributes = self.values()?,
                    b"tracestate" => link.trace_state = self.text()?,
                    b"flags" => link.flags = self.reader.u64()? as u32,
                    _ => self.reader.skip()?,
                }
            }
            links.push(link);
        }
        Ok(links)
    }

    fn events(&mut self) -> Result<Vec<DatadogEvent>> {
        let mut events = Vec::new();
        for _ in 0..self.reader.array()? {
            self.reader.charge::<DatadogEvent>(&mut self.draft, 2)?;
            let mut event = DatadogEvent::default();
            for _ in 0..self.reader.map()? {
                let key = self.reader.text()?;
                match &self.body[key] {
                    b"time_unix_nano" => event.time_unix_nano = self.reader.u64()?,
                    b"name" => event.name = self.text()?,
                    b"attributes" => {
                        let typed = self.values()?.0.into_iter();
                        event.attributes = typed.map(|a| (a.key, untyped(a.value))).collect();
                    }
                    _ => self.reader.skip()?,
                }
            }
            events.push(event);
        }
        Ok(events)
    }

    /// A table of strings, then chunks of spans that are lists of twelve.
    fn with_table(&mut self) -> Result<()> {
        if self.reader.array()? != 2 {
            return self.reader.fault("expected a table of strings and a list of traces");
        }
        let count = self.reader.array()?;
        self.reader.charge::<Str>(&mut self.draft, count)?;
        let mut table = Vec::with_capacity(count);
        for _ in 0..count {
            table.push(self.text()?);
        }
        for _ in 0..self.reader.array()? {
            let mut chunk = Chunk::default();
            for _ in 0..self.reader.array()? {
                self.reader.charge::<DatadogSpan>(&mut self.draft, 2)?;
                chunk.spans.push(self.row(&table)?);
            }
            self.settle(chunk)?;
        }
        Ok(())
    }

    fn row(&mut self, table: &[Str]) -> Result<DatadogSpan> {
        match self.reader.array()? {
            12 => {}
            count => return self.reader.fault(format!("a span has {count} parts, expected 12")),
        }
        // In the order of the parts.
        Ok(DatadogSpan {
            service: self.entry(table)?,
            name: self.entry(table)?,
            resource: self.entry(table)?,
            trace_id: self.reader.u64()?,
            span_id: self.reader.u64()?,
            parent_id: self.reader.u64()?,
            start: self.reader.u64()? as i64,
            duration: self.reader.u64()? as i64,
            is_error: self.reader.u64()? != 0,
            meta: self.entries(table, |decoder| Ok(Value::String(decoder.entry(table)?)))?,
            metrics: self.entries(table, |decoder| decoder.reader.any(&mut decoder.draft))?,
            span_type: self.entry(table)?,
            ..DatadogSpan::default()
        })
    }

    fn entry(&mut self, table: &[Str]) -> Result<Str> {
        let position = self.reader.u64()?;
        match usize::try_from(position).ok().and_then(|position| table.get(position)) {
            Some(text) => Ok(text.clone()),
            None => self.reader.fault(format!("string {position} of a table of {}", table.len())),
        }
    }

    fn entries(
        &mut self,
        table: &[Str],
        mut value: impl FnMut(&mut Self) -> Result<Value>,
    ) -> Result<Attributes> {
        let count = self.reader.map()?;
        self.reader.charge::<Attribute>(&mut self.draft, count)?;
        let mut entries = Attributes(Vec::with_capacity(count));
        for _ in 0..count {
            let key = self.entry(table)?;
            entries.push(key, value(self)?);
        }
        Ok(entries)
    }
}

/// The value of `{"type": 2, "int_value": 7}`, and of lists of such.
fn untyped(value: Value) -> Value {
    let Value::Map(mut parts) = value else { return value };
    let is_value = |part: &Attribute| part.key.ends_with("_value");
    let Some(position) = parts.0.iter().position(is_value) else { return Value::Map(parts) };
    match parts.0.swap_remove(position).value {
        Value::Map(mut list) => match list.0.pop() {
            Some(Attribute { value: Value::Array(values), .. }) => {
                Value::Array(values.into_iter().map(untyped).collect())
            }
            _ => Value::Null,
        },
        plain => plain,
    }
}
