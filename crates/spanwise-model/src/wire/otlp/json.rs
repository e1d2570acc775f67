//! OTLP in JSON: proto3 JSON with hexadecimal ids, read straight into spans.
//!
//! Texts without escapes are slices of (one copy of) the body. Nesting is limited where values
//! nest; everything else has a fixed depth, and what is unknown is skipped without recursion, so
//! that serde_json's own limit, which would refuse the whole request, is not needed.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{DecodeError, Draft, MAX_VALUE_DEPTH, Repairs, Signal, bad_id, fill_gaps};
use crate::id::InvalidId;
use crate::span::StatusCode;
use crate::wire::base64;
use crate::{
    Attribute, Attributes, Batch, Event, Kind, Link, LogEvent, Resource, Scope, Span, SpanId,
    Status, Str, TraceId, Value,
};

/// Reads an `ExportTraceServiceRequest` in JSON.
pub fn decode_traces_json(body: &[u8]) -> Result<Batch, DecodeError> {
    decode(body, Signal::Traces).map(|(batch, _)| batch)
}

/// Reads an `ExportLogsServiceRequest` in JSON. Only records that belong to a span are kept.
pub fn decode_logs_json(body: &[u8]) -> Result<Batch, DecodeError> {
    decode(body, Signal::Logs).map(|(batch, _)| batch)
}

/// Checks the envelope of an `ExportMetricsServiceRequest` in JSON and counts its data points.
pub fn check_metrics_json(body: &[u8]) -> Result<usize, DecodeError> {
    decode(body, Signal::Metrics).map(|(_, points)| points)
}

fn decode(body: &[u8], signal: Signal) -> Result<(Batch, usize), DecodeError> {
    let text = Str::try_from(Bytes::copy_from_slice(body))
        .map_err(|error| DecodeError::new(error.valid_up_to(), "is not UTF-8"))?;
    let mut reading = Reading {
        text: &text,
        draft: Draft::new(signal),
        data_points: 0,
        no_resource: Arc::default(),
        no_scope: Arc::default(),
    };
    let mut json = serde_json::Deserializer::from_str(&text);
    json.disable_recursion_limit();
    Object { message: &mut Request, reading: &mut reading }
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|error| decode_error(&text, &error))?;
    Ok((reading.draft.batch, reading.data_points))
}

/// The error with its place as an offset. Its text is cut, since it may quote the input.
fn decode_error(text: &str, error: &serde_json::Error) -> DecodeError {
    let line_start: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let message = error.to_string();
    let place = message.rfind(" at line ").unwrap_or(message.len());
    let reason: String = message[..place].chars().take(200).collect();
    DecodeError::new(line_start + error.column(), reason)
}

/// What is known while a request is being read.
struct Reading<'t> {
    text: &'t Str,
    draft: Draft,
    data_points: usize,
    /// Stand in until the end of a group, when its resource and scope are known.
    no_resource: Arc<Resource>,
    no_scope: Arc<Scope>,
}

/// A message that is read field by field.
trait Message {
    /// Takes the value of `key` from `map`, or skips it.
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error>;
}

/// Reads a JSON object (or null) into a message.
struct Object<'a, 'de, M> {
    message: &'a mut M,
    reading: &'a mut Reading<'de>,
}

impl<'de, M: Message> DeserializeSeed<'de> for Object<'_, 'de, M> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, M: Message> Visitor<'de> for Object<'_, 'de, M> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of OTLP")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            self.message.field(self.reading, &key, &mut map)?;
        }
        Ok(())
    }
}

/// Reads a JSON array (or null) of messages, handing each to `done`.
struct List<'a, 'de, S, D> {
    reading: &'a mut Reading<'de>,
    start: S,
    done: D,
}

impl<'de, M, S, D> DeserializeSeed<'de> for List<'_, 'de, S, D>
where
    M: Message,
    S: Fn(&Reading<'de>) -> M,
    D: FnMut(&mut Reading<'de>, M) -> Result<(), String>,
{
    type Value = ();

    fn deserialize<T: Deserializer<'de>>(self, deserializer: T) -> Result<(), T::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, M, S, D> Visitor<'de> for List<'_, 'de, S, D>
where
    M: Message,
    S: Fn(&Reading<'de>) -> M,
    D: FnMut(&mut Reading<'de>, M) -> Result<(), String>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        loop {
            let mut message = (self.start)(self.reading);
            let item = Object { message: &mut message, reading: &mut *self.reading };
            if seq.next_element_seed(item)?.is_none() {
                return Ok(());
            }
            (self.done)(self.reading, message).map_err(A::Error::custom)?;
        }
    }
}

fn list<'de, A, M, S, D>(
    reading: &mut Reading<'de>,
    map: &mut A,
    start: S,
    done: D,
) -> Result<(), A::Error>
where
    A: MapAccess<'de>,
    M: Message,
    S: Fn(&Reading<'de>) -> M,
    D: FnMut(&mut Reading<'de>, M) -> Result<(), String>,
{
    map.next_value_seed(List { reading, start, done })
}

struct Request;

impl Message for Request {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let groups = match reading.draft.signal {
            Signal::Traces => "resourceSpans",
            Signal::Logs => "resourceLogs",
            Signal::Metrics => "resourceMetrics",
        };
        if key != groups {
            return skip(map);
        }
        list(
            reading,
            map,
            |reading| ResourceGroup { first: reading.draft.taken(), ..Default::default() },
            ResourceGroup::finish,
        )
    }
}

#[derive(Default)]
struct ResourceGroup {
    first: usize,
    resource: Resource,
    repairs: Repairs,
}

impl ResourceGroup {
    fn finish(reading: &mut Reading<'_>, group: Self) -> Result<(), String> {
        let resource = Arc::new(group.resource);
        for span in reading.draft.batch.spans.iter_mut().skip(group.first) {
            span.resource = Arc::clone(&resource);
        }
        for log in reading.draft.batch.log_events.iter_mut().skip(group.first) {
            log.resource = Arc::clone(&resource);
        }
        reading.draft.settle_group(group.first, group.repairs);
        Ok(())
    }
}

impl Message for ResourceGroup {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match (key, reading.draft.signal) {
            ("resource", _) => {
                map.next_value_seed(Object { message: &mut self.resource, reading })?;
                self.repairs.absorb(std::mem::take(&mut reading.draft.repairs));
            }
            ("schemaUrl", _) => self.resource.schema_url = text(reading, map)?,
            ("scopeSpans", Signal::Traces)
            | ("scopeLogs", Signal::Logs)
            | ("scopeMetrics", Signal::Metrics) => list(
                reading,
                map,
                |reading| ScopeGroup { first: reading.draft.taken(), ..Default::default() },
                ScopeGroup::finish,
            )?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct ScopeGroup {
    first: usize,
    scope: Scope,
    repairs: Repairs,
}

impl ScopeGroup {
    fn finish(reading: &mut Reading<'_>, group: Self) -> Result<(), String> {
        let scope = Arc::new(group.scope);
        for span in reading.draft.batch.spans.iter_mut().skip(group.first) {
            span.scope = Arc::clone(&scope);
        }
        for log in reading.draft.batch.log_events.iter_mut().skip(group.first) {
            log.scope = Arc::clone(&scope);
        }
        reading.draft.settle_group(group.first, group.repairs);
        Ok(())
    }
}

impl Message for ScopeGroup {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match (key, reading.draft.signal) {
            ("scope", _) => {
                map.next_value_seed(Object { message: &mut self.scope, reading })?;
                self.repairs.absorb(std::mem::take(&mut reading.draft.repairs));
            }
            ("schemaUrl", _) => self.scope.schema_url = text(reading, map)?,
            ("spans", Signal::Traces) => {
                list(reading, map, |_| SpanFields::default(), SpanFields::finish)?
            }
            ("logRecords", Signal::Logs) => {
                list(reading, map, |_| LogFields::default(), LogFields::finish)?
            }
            ("metrics", Signal::Metrics) => list(reading, map, |_| Metric, |_, _| Ok(()))?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

impl Message for Resource {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "attributes" => attributes(reading, map, &mut self.attributes, 1)?,
            "droppedAttributesCount" => self.dropped_attributes_count = integer(map)?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

impl Message for Scope {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "name" => self.name = text(reading, map)?,
            "version" => self.version = text(reading, map)?,
            "attributes" => attributes(reading, map, &mut self.attributes, 1)?,
            "droppedAttributesCount" => self.dropped_attributes_count = integer(map)?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct SpanFields {
    trace_id: Str,
    span_id: Str,
    parent_span_id: Str,
    trace_state: Str,
    flags: u32,
    name: Str,
    kind: Kind,
    start_time_unix_nano: u64,
    end_time_unix_nano: u64,
    attributes: Attributes,
    dropped_attributes_count: u32,
    events: Vec<Event>,
    dropped_events_count: u32,
    links: Vec<Link>,
    dropped_links_count: u32,
    status: Status,
}

impl SpanFields {
    fn finish(reading: &mut Reading<'_>, fields: Self) -> Result<(), String> {
        let name = fields.name.clone();
        match fields.into_span(reading) {
            Ok(span) => {
                reading.draft.charge::<Span>(1)?;
                reading.draft.take_span(span);
                Ok(())
            }
            Err(reason) => reading.draft.reject(&name, reason),
        }
    }

    fn into_span(self, reading: &mut Reading<'_>) -> Result<Span, String> {
        let repairs = &mut reading.draft.repairs;
        Ok(Span {
            trace_id: trace_id(repairs, &self.trace_id).map_err(bad_id("trace_id"))?,
            span_id: span_id(repairs, &self.span_id).map_err(bad_id("span_id"))?,
            parent_span_id: match span_id(repairs, &self.parent_span_id) {
                Ok(id) => Some(id),
                Err(InvalidId::Zero) => None,
                Err(_) if self.parent_span_id.is_empty() => None,
                Err(invalid) => return Err(bad_id("parent_span_id")(invalid)),
            },
            trace_state: self.trace_state,
            flags: self.flags,
            name: self.name,
            kind: self.kind,
            start_time_unix_nano: self.start_time_unix_nano,
            end_time_unix_nano: self.end_time_unix_nano,
            attributes: self.attributes,
            dropped_attributes_count: self.dropped_attributes_count,
            events: self.events,
            dropped_events_count: self.dropped_events_count,
            links: self.links,
            dropped_links_count: self.dropped_links_count,
            status: self.status,
            resource: Arc::clone(&reading.no_resource),
            scope: Arc::clone(&reading.no_scope),
        })
    }
}

impl Message for SpanFields {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "traceId" => self.trace_id = text(reading, map)?,
            "spanId" => self.span_id = text(reading, map)?,
            "parentSpanId" => self.parent_span_id = text(reading, map)?,
            "traceState" => self.trace_state = text(reading, map)?,
            "flags" => self.flags = integer(map)?,
            "name" => self.name = text(reading, map)?,
            "kind" => self.kind = Kind::from_number(choice(map, &KINDS)?),
            "startTimeUnixNano" => self.start_time_unix_nano = integer(map)?,
            "endTimeUnixNano" => self.end_time_unix_nano = integer(map)?,
            "attributes" => attributes(reading, map, &mut self.attributes, 1)?,
            "droppedAttributesCount" => self.dropped_attributes_count = integer(map)?,
            "events" => list(
                reading,
                map,
                |_| EMPTY_EVENT,
                |reading, event| push(reading, &mut self.events, event),
            )?,
            "droppedEventsCount" => self.dropped_events_count = integer(map)?,
            "links" => list(
                reading,
                map,
                |_| LinkFields::default(),
                |reading, link| link.finish(reading, &mut self.links),
            )?,
            "droppedLinksCount" => self.dropped_links_count = integer(map)?,
            "status" => map.next_value_seed(Object { message: &mut self.status, reading })?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

const KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];

const STATUS_CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

impl Message for Status {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "message" => self.message = text(reading, map)?,
            "code" => self.code = StatusCode::from_number(choice(map, &STATUS_CODES)?),
            _ => skip(map)?,
        }
        Ok(())
    }
}

const EMPTY_EVENT: Event = Event {
    time_unix_nano: 0,
    name: Str::new(),
    attributes: Attributes(Vec::new()),
    dropped_attributes_count: 0,
};

impl Message for Event {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "timeUnixNano" => self.time_unix_nano = integer(map)?,
            "name" => self.name = text(reading, map)?,
            "attributes" => attributes(reading, map, &mut self.attributes, 1)?,
            "droppedAttributesCount" => self.dropped_attributes_count = integer(map)?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct LinkFields {
    trace_id: Str,
    span_id: Str,
    trace_state: Str,
    attributes: Attributes,
    dropped_attributes_count: u32,
    flags: u32,
}

impl LinkFields {
    fn finish(self, reading: &mut Reading<'_>, links: &mut Vec<Link>) -> Result<(), String> {
        let repairs = &mut reading.draft.repairs;
        let trace_id = trace_id(repairs, &self.trace_id).map_err(bad_id("trace_id"));
        let span_id = span_id(repairs, &self.span_id).map_err(bad_id("span_id"));
        let (trace_id, span_id) = match (trace_id, span_id) {
            (Ok(trace_id), Ok(span_id)) => (trace_id, span_id),
            (Err(reason), _) | (_, Err(reason)) => {
                repairs.note_bad_link(&reason);
                return Ok(());
            }
        };
        let LinkFields { trace_state, attributes, dropped_attributes_count, flags, .. } = self;
        let link =
            Link { trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags };
        push(reading, links, link)
    }
}

impl Message for LinkFields {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "traceId" => self.trace_id = text(reading, map)?,
            "spanId" => self.span_id = text(reading, map)?,
            "traceState" => self.trace_state = text(reading, map)?,
            "attributes" => attributes(reading, map, &mut self.attributes, 1)?,
            "droppedAttributesCount" => self.dropped_attributes_count = integer(map)?,
            "flags" => self.flags = integer(map)?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

#[derive(Default)]
struct LogFields {
    trace_id: Str,
    span_id: Str,
    time_unix_nano: u64,
    observed_unix_nano: u64,
    name: Str,
    severity_number: i32,
    body: AnyValue,
    attributes: Attributes,
}

impl LogFields {
    fn finish(reading: &mut Reading<'_>, fields: Self) -> Result<(), String> {
        let repairs = &mut reading.draft.repairs;
        let trace_id = trace_id(repairs, &fields.trace_id);
        let (Ok(trace_id), Ok(span_id)) = (trace_id, span_id(repairs, &fields.span_id)) else {
            reading.draft.pass_unrelated_log();
            return Ok(());
        };
        let mut log = LogEvent {
            trace_id,
            span_id,
            time_unix_nano: fields.time_unix_nano,
            name: fields.name,
            severity_number: fields.severity_number.clamp(0, 255) as u8,
            body: fields.body.value,
            attributes: fields.attributes,
            resource: Arc::clone(&reading.no_resource),
            scope: Arc::clone(&reading.no_scope),
        };
        fill_gaps(&mut log, fields.observed_unix_nano);
        reading.draft.charge::<LogEvent>(1)?;
        reading.draft.take_log(log);
        Ok(())
    }
}

impl Message for LogFields {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "traceId" => self.trace_id = text(reading, map)?,
            "spanId" => self.span_id = text(reading, map)?,
            "timeUnixNano" => self.time_unix_nano = integer(map)?,
            "observedTimeUnixNano" => self.observed_unix_nano = integer(map)?,
            "severityNumber" => self.severity_number = choice(map, &SEVERITIES)?,
            "eventName" => self.name = text(reading, map)?,
            "body" => map.next_value_seed(Object { message: &mut self.body, reading })?,
            "attributes" => attributes(reading, map, &mut self.attributes, 1)?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

const SEVERITIES: [&str; 25] = [
    "SEVERITY_NUMBER_UNSPECIFIED",
    "SEVERITY_NUMBER_TRACE",
    "SEVERITY_NUMBER_TRACE2",
    "SEVERITY_NUMBER_TRACE3",
    "SEVERITY_NUMBER_TRACE4",
    "SEVERITY_NUMBER_DEBUG",
    "SEVERITY_NUMBER_DEBUG2",
    "SEVERITY_NUMBER_DEBUG3",
    "SEVERITY_NUMBER_DEBUG4",
    "SEVERITY_NUMBER_INFO",
    "SEVERITY_NUMBER_INFO2",
    "SEVERITY_NUMBER_INFO3",
    "SEVERITY_NUMBER_INFO4",
    "SEVERITY_NUMBER_WARN",
    "SEVERITY_NUMBER_WARN2",
    "SEVERITY_NUMBER_WARN3",
    "SEVERITY_NUMBER_WARN4",
    "SEVERITY_NUMBER_ERROR",
    "SEVERITY_NUMBER_ERROR2",
    "SEVERITY_NUMBER_ERROR3",
    "SEVERITY_NUMBER_ERROR4",
    "SEVERITY_NUMBER_FATAL",
    "SEVERITY_NUMBER_FATAL2",
    "SEVERITY_NUMBER_FATAL3",
    "SEVERITY_NUMBER_FATAL4",
];

/// Of a metric, only the number of its data points is wanted.
struct Metric;

impl Message for Metric {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "gauge" | "sum" | "histogram" | "exponentialHistogram" | "summary" => {
                map.next_value_seed(Object { message: &mut DataPoints, reading })
            }
            _ => skip(map),
        }
    }
}

struct DataPoints;

impl Message for DataPoints {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        if key == "dataPoints" {
            let points: Option<Vec<IgnoredAny>> = map.next_value()?;
            reading.data_points += points.unwrap_or_default().len();
            return Ok(());
        }
        skip(map)
    }
}

/// An `AnyValue` at a depth of nesting, from 1.
struct AnyValue {
    value: Value,
    depth: usize,
}

impl Default for AnyValue {
    fn default() -> Self {
        AnyValue { value: Value::Null, depth: 1 }
    }
}

impl Message for AnyValue {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let value = match key {
            "stringValue" => map.next_value_seed(Text(reading))?.map(Value::String),
            "boolValue" => map.next_value::<Option<bool>>()?.map(Value::Bool),
            "intValue" => optional_integer(map)?.map(Value::Int),
            "doubleValue" => map.next_value_seed(Double)?.map(Value::Double),
            "bytesValue" => map.next_value_seed(Text(reading))?.map(|text| bytes(reading, text)),
            "arrayValue" | "kvlistValue" if self.depth >= MAX_VALUE_DEPTH => {
                reading.draft.repairs.note_too_deep();
                skip(map)?;
                Some(Value::Null)
            }
            "arrayValue" => Some(self.array(reading, map)?),
            "kvlistValue" => Some(self.map(reading, map)?),
            _ => {
                skip(map)?;
                None
            }
        };
        if let Some(value) = value {
            self.value = value;
        }
        Ok(())
    }
}

impl AnyValue {
    fn array<'de, A: MapAccess<'de>>(
        &self,
        reading: &mut Reading<'de>,
        map: &mut A,
    ) -> Result<Value, A::Error> {
        let mut array = ArrayValue { values: Vec::new(), depth: self.depth + 1 };
        map.next_value_seed(Object { message: &mut array, reading })?;
        Ok(Value::Array(array.values))
    }

    fn map<'de, A: MapAccess<'de>>(
        &self,
        reading: &mut Reading<'de>,
        map: &mut A,
    ) -> Result<Value, A::Error> {
        let mut list = KeyValueList { entries: Attributes::default(), depth: self.depth + 1 };
        map.next_value_seed(Object { message: &mut list, reading })?;
        Ok(Value::Map(list.entries))
    }
}

struct ArrayValue {
    values: Vec<Value>,
    depth: usize,
}

impl Message for ArrayValue {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        if key != "values" {
            return skip(map);
        }
        let depth = self.depth;
        list(
            reading,
            map,
            |_| AnyValue { value: Value::Null, depth },
            |reading, any| push(reading, &mut self.values, any.value),
        )
    }
}

struct KeyValueList {
    entries: Attributes,
    depth: usize,
}

impl Message for KeyValueList {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        if key == "values" {
            attributes(reading, map, &mut self.entries, self.depth)
        } else {
            skip(map)
        }
    }
}

struct KeyValue {
    key: Str,
    value: AnyValue,
}

impl Message for KeyValue {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "key" => self.key = text(reading, map)?,
            "value" => map.next_value_seed(Object { message: &mut self.value, reading })?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

fn attributes<'de, A: MapAccess<'de>>(
    reading: &mut Reading<'de>,
    map: &mut A,
    attributes: &mut Attributes,
    depth: usize,
) -> Result<(), A::Error> {
    list(
        reading,
        map,
        |_| KeyValue { key: Str::new(), value: AnyValue { value: Value::Null, depth } },
        |reading, KeyValue { key, value }| {
            push(reading, &mut attributes.0, Attribute { key, value: value.value })
        },
    )
}

fn push<T>(reading: &mut Reading<'_>, list: &mut Vec<T>, item: T) -> Result<(), String> {
    reading.draft.charge::<T>(1)?;
    list.push(item);
    Ok(())
}

fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

fn trace_id(repairs: &mut Repairs, text: &str) -> Result<TraceId, InvalidId> {
    id(repairs, text, TraceId::from_bytes)
}

fn span_id(repairs: &mut Repairs, text: &str) -> Result<SpanId, InvalidId> {
    id(repairs, text, SpanId::from_bytes)
}

/// An id in hex. Producers that use protobuf's own JSON mapping send base64, which is told apart
/// by its length.
fn id<T: FromStr<Err = InvalidId>>(
    repairs: &mut Repairs,
    text: &str,
    from_bytes: fn(&[u8]) -> Result<T, InvalidId>,
) -> Result<T, InvalidId> {
    match text.parse() {
        Err(InvalidId::Length { expected, got }) => {
            let bytes = base64::decode(text).filter(|bytes| bytes.len() == expected);
            let bytes = bytes.ok_or(InvalidId::Length { expected, got })?;
            let id = from_bytes(&bytes)?;
            repairs.note("base64_id", "an id came in base64 where OTLP asks for hexadecimal");
            Ok(id)
        }
        parsed => parsed,
    }
}

/// A `bytesValue`; one that is not base64 stays the text that it is.
fn bytes(reading: &mut Reading<'_>, text: Str) -> Value {
    match base64::decode(&text) {
        Some(bytes) => Value::Bytes(bytes.into()),
        None => {
            let message = "a bytesValue is not base64; it is kept as text";
            reading.draft.repairs.note("invalid_base64", message);
            Value::String(text)
        }
    }
}

/// Reads the key of an object, borrowed unless it has escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

fn text<'de, A: MapAccess<'de>>(reading: &mut Reading<'de>, map: &mut A) -> Result<Str, A::Error> {
    Ok(map.next_value_seed(Text(reading))?.unwrap_or_default())
}

/// Reads a text or null. It is read as bytes, because JavaScript cuts texts in the middle of
/// surrogate pairs, and serde_json refuses to call the halves a string.
struct Text<'a, 'de>(&'a mut Reading<'de>);

impl<'de> DeserializeSeed<'de> for Text<'_, 'de> {
    type Value = Option<Str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Text<'_, 'de> {
    type Value = Option<Str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        let whole = self.0.text;
        let start = bytes.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        match whole.get(start..start.wrapping_add(bytes.len())) {
            Some(text) => Ok(Some(whole.slice_ref(text))),
            None => self.visit_bytes(bytes),
        }
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        let text = String::from_utf8_lossy(bytes);
        if let Cow::Owned(_) = text {
            self.0.draft.repairs.note_invalid_utf8("a text");
        }
        Ok(Some(text.into_owned().into()))
    }
}

fn integer<'de, T, A>(map: &mut A) -> Result<T, A::Error>
where
    T: TryFrom<i128> + Default,
    A: MapAccess<'de>,
{
    Ok(optional_integer(map)?.unwrap_or_default())
}

fn optional_integer<'de, T, A>(map: &mut A) -> Result<Option<T>, A::Error>
where
    T: TryFrom<i128>,
    A: MapAccess<'de>,
{
    map.next_value_seed(Integer)?
        .map(|number| T::try_from(number).map_err(|_| A::Error::custom("number out of range")))
        .transpose()
}

/// Reads an integer as a number or a decimal string, or null.
struct Integer;

impl<'de> DeserializeSeed<'de> for Integer {
    type Value = Option<i128>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Integer {
    type Value = Option<i128>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer or a string with one")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        if number.fract() == 0.0 {
            Ok(Some(number as i128))
        } else {
            Err(E::custom("expected an integer, found a fraction"))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        text.parse().map(Some).map_err(|_| E::custom("expected an integer in this string"))
    }
}

/// Reads a double as a number, as one of the strings that stand for what JSON cannot write, or
/// null.
struct Double;

impl<'de> DeserializeSeed<'de> for Double {
    type Value = Option<f64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Double {
    type Value = Option<f64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number as f64))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Some(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        // "NaN", "Infinity" and "-Infinity" are among what Rust parses.
        text.parse().map(Some).map_err(|_| E::custom("expected a number in this string"))
    }
}

/// Reads a number of an enumeration, or its name, which OTLP forbids and protobuf's own JSON
/// mapping writes. Unknown names and null are 0.
fn choice<'de, A: MapAccess<'de>>(
    map: &mut A,
    names: &'static [&'static str],
) -> Result<i32, A::Error> {
    map.next_value_seed(Choice(names))
}

struct Choice(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Choice {
    type Value = i32;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<i32, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Choice {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of an enumeration")
    }

    fn visit_unit<E: Error>(self) -> Result<i32, E> {
        Ok(0)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i32, E> {
        Ok(i32::try_from(number).unwrap_or_default())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i32, E> {
        Ok(i32::try_from(number).unwrap_or_default())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i32, E> {
        Ok(number as i32)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<i32, E> {
        let position = self.0.iter().position(|known| *known == name);
        Ok(position.map_or_else(|| name.parse().unwrap_or_default(), |number| number as i32))
    }
}
