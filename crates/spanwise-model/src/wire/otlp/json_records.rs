//! Spans, log records and metrics in OTLP's JSON.

use std::str::FromStr;
use std::sync::Arc;

use serde::de::{IgnoredAny, MapAccess};

use super::json::{Message, Reading, list, object, push, skip};
use super::json_scalars::{choice, integer, text};
use super::json_values::{AnyValue, attributes};
use super::{Repairs, bad_id, fill_gaps};
use crate::id::InvalidId;
use crate::span::StatusCode;
use crate::wire::base64;
use crate::{Attributes, Event, Kind, Link, LogEvent, Span, SpanId, Status, Str, TraceId};

#[derive(Default)]
pub(super) struct SpanFields {
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
    pub(super) fn finish(self, reading: &mut Reading<'_>) -> Result<(), String> {
        let name = self.name.clone();
        match self.into_span(reading) {
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
            "status" => object(reading, map, &mut self.status)?,
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
pub(super) struct LogFields {
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
    pub(super) fn finish(self, reading: &mut Reading<'_>) -> Result<(), String> {
        let repairs = &mut reading.draft.repairs;
        let trace_id = trace_id(repairs, &self.trace_id);
        let (Ok(trace_id), Ok(span_id)) = (trace_id, span_id(repairs, &self.span_id)) else {
            reading.draft.pass_unrelated_log();
            return Ok(());
        };
        let mut log = LogEvent {
            trace_id,
            span_id,
            time_unix_nano: self.time_unix_nano,
            name: self.name,
            severity_number: self.severity_number.clamp(0, 255) as u8,
            body: self.body.value,
            attributes: self.attributes,
            resource: Arc::clone(&reading.no_resource),
            scope: Arc::clone(&reading.no_scope),
        };
        fill_gaps(&mut log, self.observed_unix_nano);
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
            "body" => object(reading, map, &mut self.body)?,
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
pub(super) struct Metric;

impl Message for Metric {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "gauge" | "sum" | "histogram" | "exponentialHistogram" | "summary" => {
                object(reading, map, &mut DataPoints)
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
