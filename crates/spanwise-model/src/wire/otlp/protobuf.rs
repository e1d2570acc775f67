//! OTLP in protobuf, read by hand: one shallow pass over a message to learn its ids and how many
//! children it has, one to read it into vectors of the right size. Texts are slices of the body.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{DecodeError, Draft, Ids, MAX_VALUE_DEPTH, Signal, fill_gaps};
use crate::span::StatusCode;
use crate::wire::fields::{Fault, Fields, Wire, fault};
use crate::wire::names;
use crate::{
    Attribute, Attributes, Batch, Event, Kind, Link, LogEvent, Resource, Scope, Span, SpanId,
    Status, Str, TraceId, Value,
};

/// Reads an `ExportTraceServiceRequest`.
#[expect(clippy::needless_pass_by_value, reason = "what is decoded keeps the body alive")]
pub fn decode_traces(body: Bytes) -> Result<Batch, DecodeError> {
    let mut decoder = Decoder { body: &body, draft: Draft::new(Signal::Traces) };
    decoder.request(Decoder::span).map_err(|fault| *fault)?;
    Ok(decoder.draft.batch)
}

/// Reads an `ExportLogsServiceRequest`. Only records that belong to a span are kept.
#[expect(clippy::needless_pass_by_value, reason = "what is decoded keeps the body alive")]
pub fn decode_logs(body: Bytes) -> Result<Batch, DecodeError> {
    let mut decoder = Decoder { body: &body, draft: Draft::new(Signal::Logs) };
    decoder.request(Decoder::log_record).map_err(|fault| *fault)?;
    Ok(decoder.draft.batch)
}

/// Checks the envelope of an `ExportMetricsServiceRequest` and counts its data points.
pub fn check_metrics(body: &[u8]) -> Result<usize, DecodeError> {
    all_data_points(body).map_err(|fault| *fault)
}

fn all_data_points(body: &[u8]) -> Result<usize, Fault> {
    let mut points = 0;
    let mut resources = Fields::new(body, 0..body.len());
    while let Some(range) = resources.next_message(1)? {
        let mut scopes = Fields::new(body, range);
        while let Some(range) = scopes.next_message(2)? {
            let mut metrics = Fields::new(body, range);
            while let Some(range) = metrics.next_message(2)? {
                points += data_points(body, range)?;
            }
        }
    }
    Ok(points)
}

/// The data points of one `Metric`, whichever of gauge, sum, histogram … it is.
fn data_points(body: &[u8], range: Range<usize>) -> Result<usize, Fault> {
    let mut points = 0;
    let mut fields = Fields::new(body, range);
    while let Some(field) = fields.next()? {
        if let (5 | 7 | 9 | 10 | 11, Wire::Bytes(range)) = field {
            points += Fields::new(body, range).count(1)?;
        }
    }
    Ok(points)
}

struct Decoder<'b> {
    body: &'b Bytes,
    draft: Draft,
}

/// Reads one span or log record of a group.
type Record<'b> =
    fn(&mut Decoder<'b>, Range<usize>, &Arc<Resource>, &Arc<Scope>) -> Result<(), Fault>;

impl<'b> Decoder<'b> {
    /// The three levels that traces and logs have in common, by the same field numbers.
    fn request(&mut self, record: Record<'b>) -> Result<(), Fault> {
        let mut groups = self.fields(0..self.body.len());
        while let Some(range) = groups.next_message(1)? {
            self.resource_group(range, record)?;
        }
        Ok(())
    }

    fn resource_group(&mut self, range: Range<usize>, record: Record<'b>) -> Result<(), Fault> {
        // The resource may come after its spans, and the schema URL does.
        let mut resource = Resource::default();
        let mut fields = self.fields(range.clone());
        while let Some(field) = fields.next()? {
            match field {
                (1, Wire::Bytes(range)) => self.resource(range, &mut resource)?,
                (3, Wire::Bytes(range)) => resource.schema_url = self.text(range, "a schema URL"),
                _ => {}
            }
        }
        let repairs = mem::take(&mut self.draft.repairs);
        let first = self.draft.taken();
        let resource = Arc::new(resource);
        let mut groups = self.fields(range);
        while let Some(range) = groups.next_message(2)? {
            self.scope_group(range, &resource, record)?;
        }
        self.draft.settle_group(first, repairs);
        Ok(())
    }

    fn scope_group(
        &mut self,
        range: Range<usize>,
        resource: &Arc<Resource>,
        record: Record<'b>,
    ) -> Result<(), Fault> {
        let mut scope = Scope::default();
        let mut fields = self.fields(range.clone());
        let mut count = 0;
        while let Some(field) = fields.next()? {
            match field {
                (1, Wire::Bytes(range)) => self.scope(range, &mut scope)?,
                (2, Wire::Bytes(_)) => count += 1,
                (3, Wire::Bytes(range)) => scope.schema_url = self.text(range, "a schema URL"),
                _ => {}
            }
        }
        let repairs = mem::take(&mut self.draft.repairs);
        let first = self.draft.taken();
        self.reserve_records(count, range.len());
        let scope = Arc::new(scope);
        let mut records = self.fields(range);
        while let Some(range) = records.next_message(2)? {
            record(self, range, resource, &scope)?;
        }
        self.draft.settle_group(first, repairs);
        Ok(())
    }

    /// Makes room for `count` records that lie in `bytes` bytes, as far as so many fit into them.
    fn reserve_records(&mut self, count: usize, bytes: usize) {
        const SMALLEST_USUAL_RECORD: usize = 128;
        let count = count.min(bytes / SMALLEST_USUAL_RECORD);
        match self.draft.signal {
            Signal::Traces => self.draft.batch.spans.reserve(count),
            // Most log records belong to no span.
            Signal::Logs | Signal::Metrics => {}
        }
    }

    fn resource(&mut self, range: Range<usize>, resource: &mut Resource) -> Result<(), Fault> {
        let mut fields = self.fields(range);
        while let Some(field) = fields.next()? {
            match field {
                (1, Wire::Bytes(range)) => {
                    self.charge::<Attribute>(1, range.start)?;
                    self.attribute(range, &mut resource.attributes, 1)?;
                }
                (2, Wire::Varint(count)) => resource.dropped_attributes_count = count as u32,
                _ => {}
            }
        }
        Ok(())
    }

    fn scope(&mut self, range: Range<usize>, scope: &mut Scope) -> Result<(), Fault> {
        let mut fields = self.fields(range);
        while let Some(field) = fields.next()? {
            match field {
                (1, Wire::Bytes(range)) => scope.name = self.text(range, "a scope's name"),
                (2, Wire::Bytes(range)) => scope.version = self.text(range, "a scope's version"),
                (3, Wire::Bytes(range)) => {
                    self.charge::<Attribute>(1, range.start)?;
                    self.attribute(range, &mut scope.attributes, 1)?;
                }
                (4, Wire::Varint(count)) => scope.dropped_attributes_count = count as u32,
                _ => {}
            }
        }
        Ok(())
    }

    fn span(
        &mut self,
        range: Range<usize>,
        resource: &Arc<Resource>,
        scope: &Arc<Scope>,
    ) -> Result<(), Fault> {
        let outline = SpanOutline::read(self.body, range.clone())?;
        let ids = match outline.ids(self.body) {
            Ok(ids) => ids,
            Err(reason) => {
                let name = String::from_utf8_lossy(&self.body[outline.name]);
                return at(range.start, self.draft.reject(&name, reason));
            }
        };
        self.charge::<Span>(1, range.start)?;
        self.charge::<Attribute>(outline.n_attributes, range.start)?;
        self.charge::<Event>(outline.n_events, range.start)?;
        self.charge::<Link>(outline.n_links, range.start)?;
        let mut span = Span {
            trace_id: ids.trace,
            span_id: ids.span,
            parent_span_id: ids.parent,
            trace_state: Str::new(),
            flags: 0,
            name: self.text(outline.name, "the span's name"),
            kind: Kind::Unspecified,
            start_time_unix_nano: 0,
            end_time_unix_nano: 0,
            attributes: Attributes(Vec::with_capacity(outline.n_attributes)),
            dropped_attributes_count: 0,
            events: Vec::with_capacity(outline.n_events),
            dropped_events_count: 0,
            links: Vec::with_capacity(outline.n_links),
            dropped_links_count: 0,
            status: Status::default(),
            resource: Arc::clone(resource),
            scope: Arc::clone(scope),
        };
        self.span_fields(range, &mut span)?;
        self.draft.take_span(span);
        Ok(())
    }

    fn span_fields(&mut self, range: Range<usize>, span: &mut Span) -> Result<(), Fault> {
        let mut fields = self.fields(range);
        while let Some(field) = fields.next()? {
            match field {
                (9, Wire::Bytes(range)) => self.attribute(range, &mut span.attributes, 1)?,
                (3, Wire::Bytes(range)) => span.trace_state = self.text(range, "tracestate"),
                (6, Wire::Varint(number)) => span.kind = Kind::from_number(number as i32),
                (7, Wire::Fixed64(time)) => span.start_time_unix_nano = time,
                (8, Wire::Fixed64(time)) => span.end_time_unix_nano = time,
                (10, Wire::Varint(count)) => span.dropped_attributes_count = count as u32,
                (11, Wire::Bytes(range)) => span.events.push(self.event(range)?),
                (12, Wire::Varint(count)) => span.dropped_events_count = count as u32,
                (13, Wire::Bytes(range)) => span.links.extend(self.link(range)?),
                (14, Wire::Varint(count)) => span.dropped_links_count = count as u32,
                (15, Wire::Bytes(range)) => self.status(range, &mut span.status)?,
                (16, Wire::Fixed32(flags)) => span.flags = flags,
                _ => {}
            }
        }
        Ok(())
    }

    fn event(&mut self, range: Range<usize>) -> Result<Event, Fault> {
        let mut event = Event {
            time_unix_nano: 0,
            name: Str::new(),
            attributes: Attributes(self.room(range.clone(), 3)?),
            dropped_attributes_count: 0,
        };
        let mut fields = self.fields(range);
        while let Some(field) = fields.next()? {
            match field {
                (1, Wire::Fixed64(time)) => event.time_unix_nano = time,
                (2, Wire::Bytes(range)) => event.name = self.text(range, "an event's name"),
                (3, Wire::Bytes(range)) => self.attribute(range, &mut event.attributes, 1)?,
                (4, Wire::Varint(count)) => event.dropped_attributes_count = count as u32,
                _ => {}
            }
        }
        Ok(event)
    }

    /// A link, or `None` (and a repair) when its ids lead nowhere.
    fn link(&mut self, range: Range<usize>) -> Result<Option<Link>, Fault> {
        let (mut trace_id, mut span_id, mut trace_state) = (0..0, 0..0, Str::new());
        let mut attributes = Attributes(self.room(range.clone(), 4)?);
        let (mut dropped_attributes_count, mut flags) = (0, 0);
        let mut fields = self.fields(range);
        while let Some(field) = fields.next()? {
            match field {
                (1, Wire::Bytes(range)) => trace_id = range,
                (2, Wire::Bytes(range)) => span_id = range,
                (3, Wire::Bytes(range)) => trace_state = self.text(range, "a link's tracestate"),
                (4, Wire::Bytes(range)) => self.attribute(range, &mut attributes, 1)?,
                (5, Wire::Varint(count)) => dropped_attributes_count = count as u32,
                (6, Wire::Fixed32(number)) => flags = number,
                _ => {}
            }
        }
        match Ids::from_bytes(&self.body[trace_id], &self.body[span_id], &[]) {
            Ok(Ids { trace, span, .. }) => Ok(Some(Link {
                trace_id: trace,
                span_id: span,
                trace_state,
                attributes,
                dropped_attributes_count,
                flags,
            })),
            Err(reason) => {
                self.draft.repairs.note_bad_link(&reason);
                Ok(None)
            }
        }
    }

    fn status(&mut self, range: Range<usize>, status: &mut Status) -> Result<(), Fault> {
        let mut fields = self.fields(range);
        while let Some(field) = fields.next()? {
            match field {
                (2, Wire::Bytes(range)) => status.message = self.text(range, "the status message"),
                (3, Wire::Varint(code)) => status.code = StatusCode::from_number(code as i32),
                _ => {}
            }
        }
        Ok(())
    }

    fn log_record(
        &mut self,
        range: Range<usize>,
        resource: &Arc<Resource>,
        scope: &Arc<Scope>,
    ) -> Result<(), Fault> {
        let Some((trace_id, span_id)) = self.log_ids(range.clone())? else {
            self.draft.pass_unrelated_log();
            return Ok(());
        };
        self.charge::<LogEvent>(1, range.start)?;
        let mut log = LogEvent {
            trace_id,
            span_id,
            time_unix_nano: 0,
            name: Str::new(),
            severity_number: 0,
            body: Value::Null,
            attributes: Attributes(self.room(range.clone(), 6)?),
            resource: Arc::clone(resource),
            scope: Arc::clone(scope),
        };
        let mut observed_unix_nano = 0;
        let mut fields = self.fields(range);
        while let Some(field) = fields.next()? {
            match field {
                (1, Wire::Fixed64(time)) => log.time_unix_nano = time,
                (2, Wire::Varint(number)) => log.severity_number = number.min(255) as u8,
                (5, Wire::Bytes(range)) => self.value(range, &mut log.body, 1)?,
                (6, Wire::Bytes(range)) => self.attribute(range, &mut log.attributes, 1)?,
                (11, Wire::Fixed64(time)) => observed_unix_nano = time,
                (12, Wire::Bytes(range)) => log.name = self.text(range, "an event's name"),
                _ => {}
            }
        }
        fill_gaps(&mut log, observed_unix_nano);
        self.draft.take_log(log);
        Ok(())
    }

    fn log_ids(&self, range: Range<usize>) -> Result<Option<(TraceId, SpanId)>, Fault> {
        let (mut trace_id, mut span_id) = (None, None);
        let mut fields = self.fields(range);
        while let Some(field) = fields.next()? {
            match field {
                (9, Wire::Bytes(range)) => trace_id = TraceId::from_bytes(&self.body[range]).ok(),
                (10, Wire::Bytes(range)) => span_id = SpanId::from_bytes(&self.body[range]).ok(),
                _ => {}
            }
        }
        Ok(trace_id.zip(span_id))
    }

    /// Reads a `KeyValue`, for which room has been accounted, to the end of `attributes`.
    ///
    /// Values are read into their places, here and below: moving one from hand to hand costs more
    /// than reading it.
    fn attribute(
        &mut self,
        range: Range<usize>,
        attributes: &mut Attributes,
        depth: usize,
    ) -> Result<(), Fault> {
        let (mut key, mut value) = (0..0, None);
        let mut fields = self.fields(range);
        while let Some(field) = fields.next()? {
            match field {
                (1, Wire::Bytes(range)) => key = range,
                (2, Wire::Bytes(range)) => value = Some(range),
                _ => {}
            }
        }
        let key = match names::known(&self.body[key.clone()]) {
            Some(name) => Str::from_static(name),
            None => self.text(key, "an attribute's key"),
        };
        let attribute = attributes.0.push_mut(Attribute { key, value: Value::Null });
        value.map_or(Ok(()), |range| self.value(range, &mut attribute.value, depth))
    }

    /// Reads an `AnyValue`. Only one of its fields should be there; the last one counts.
    fn value(&mut self, range: Range<usize>, value: &mut Value, depth: usize) -> Result<(), Fault> {
        let mut last = None;
        let mut fields = self.fields(range);
        while let Some(field) = fields.next()? {
            if let (1 | 5..=7, Wire::Bytes(_)) | (2 | 3, Wire::Varint(_)) | (4, Wire::Fixed64(_)) =
                field
            {
                last = Some(field);
            }
        }
        match last {
            Some((1, Wire::Bytes(range))) => *value = self.draft.text_value(self.body, range),
            Some((2, Wire::Varint(truth))) => *value = Value::Bool(truth != 0),
            Some((_, Wire::Varint(number))) => *value = Value::Int(number as i64),
            Some((_, Wire::Fixed64(bits))) => *value = Value::Double(f64::from_bits(bits)),
            Some((7, Wire::Bytes(range))) => *value = Value::Bytes(self.body.slice(range)),
            Some((_, Wire::Bytes(_))) if depth >= MAX_VALUE_DEPTH => {
                self.draft.repairs.note_too_deep();
            }
            Some((5, Wire::Bytes(range))) => *value = self.array(range, depth + 1)?,
            Some((_, Wire::Bytes(range))) => *value = self.map(range, depth + 1)?,
            _ => {}
        }
        Ok(())
    }

    fn array(&mut self, range: Range<usize>, depth: usize) -> Result<Value, Fault> {
        let mut values = self.room(range.clone(), 1)?;
        let mut fields = self.fields(range);
        while let Some(range) = fields.next_message(1)? {
            self.value(range, values.push_mut(Value::Null), depth)?;
        }
        Ok(Value::Array(values))
    }

    fn map(&mut self, range: Range<usize>, depth: usize) -> Result<Value, Fault> {
        let mut entries = Attributes(self.room(range.clone(), 1)?);
        let mut fields = self.fields(range);
        while let Some(range) = fields.next_message(1)? {
            self.attribute(range, &mut entries, depth)?;
        }
        Ok(Value::Map(entries))
    }

    fn fields(&self, range: Range<usize>) -> Fields<'b> {
        Fields::new(self.body, range)
    }

    /// A vector with room for all the messages of this number in the message at `range`.
    fn room<T>(&mut self, range: Range<usize>, number: u32) -> Result<Vec<T>, Fault> {
        let start = range.start;
        let count = self.fields(range).count(number)?;
        self.charge::<T>(count, start)?;
        Ok(Vec::with_capacity(count))
    }

    fn charge<T>(&mut self, count: usize, offset: usize) -> Result<(), Fault> {
        at(offset, self.draft.charge::<T>(count))
    }

    #[inline]
    fn text(&mut self, range: Range<usize>, what: &str) -> Str {
        self.draft.text(self.body, range, what)
    }
}

/// What the shallow pass over a span finds.
struct SpanOutline {
    trace_id: Range<usize>,
    span_id: Range<usize>,
    parent_span_id: Range<usize>,
    name: Range<usize>,
    n_attributes: usize,
    n_events: usize,
    n_links: usize,
}

impl SpanOutline {
    fn read(body: &[u8], range: Range<usize>) -> Result<Self, Fault> {
        let mut outline = SpanOutline {
            trace_id: 0..0,
            span_id: 0..0,
            parent_span_id: 0..0,
            name: 0..0,
            n_attributes: 0,
            n_events: 0,
            n_links: 0,
        };
        let mut fields = Fields::new(body, range);
        while let Some(field) = fields.next()? {
            match field {
                (9, Wire::Bytes(_)) => outline.n_attributes += 1,
                (1, Wire::Bytes(range)) => outline.trace_id = range,
                (2, Wire::Bytes(range)) => outline.span_id = range,
                (4, Wire::Bytes(range)) => outline.parent_span_id = range,
                (5, Wire::Bytes(range)) => outline.name = range,
                (11, Wire::Bytes(_)) => outline.n_events += 1,
                (13, Wire::Bytes(_)) => outline.n_links += 1,
                _ => {}
            }
        }
        Ok(outline)
    }

    fn ids(&self, body: &[u8]) -> Result<Ids, String> {
        Ids::from_bytes(
            &body[self.trace_id.clone()],
            &body[self.span_id.clone()],
            &body[self.parent_span_id.clone()],
        )
    }
}

fn at<T>(offset: usize, result: Result<T, String>) -> Result<T, Fault> {
    result.or_else(|reason| fault(offset, reason))
}
