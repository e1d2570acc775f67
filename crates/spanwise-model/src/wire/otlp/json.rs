//! OTLP in JSON: proto3 JSON with hexadecimal ids, read straight into spans.
//!
//! Texts without escapes are slices of (one copy of) the body. Nesting is limited where values
//! nest; everything else has a fixed depth, and what is unknown is skipped without recursion, so
//! that serde_json's own limit, which would refuse the whole request, is not needed.

use std::fmt;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::json_records::{LogFields, Metric, SpanFields};
use super::json_scalars::{Key, integer, text};
use super::json_values::attributes;
use super::{DecodeError, Draft, Repairs, Signal};
use crate::wire::utf8;
use crate::{Batch, Resource, Scope, Str};

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
    let copy = Bytes::copy_from_slice(body);
    let text = utf8::slice(&copy, 0..copy.len()).ok_or_else(|| DecodeError::not_utf8(body))?;
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
        .map_err(|error| DecodeError::of_json(&text, &error))?;
    Ok((reading.draft.batch, reading.data_points))
}

/// What is known while a request is being read.
pub(super) struct Reading<'t> {
    pub(super) text: &'t Str,
    pub(super) draft: Draft,
    pub(super) data_points: usize,
    /// Stand in until the end of a group, when its resource and scope are known.
    pub(super) no_resource: Arc<Resource>,
    pub(super) no_scope: Arc<Scope>,
}

/// A message that is read field by field.
pub(super) trait Message {
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

/// Reads the value of the current key into `message`.
pub(super) fn object<'de, A: MapAccess<'de>>(
    reading: &mut Reading<'de>,
    map: &mut A,
    message: &mut impl Message,
) -> Result<(), A::Error> {
    map.next_value_seed(Object { message, reading })
}

/// Reads the value of the current key as a list of messages. Each begins as what `start` makes
/// and ends in `done`.
pub(super) fn list<'de, A, M, S, D>(
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
            |reading, group| {
                group.finish(reading);
                Ok(())
            },
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
    fn finish(self, reading: &mut Reading<'_>) {
        let resource = Arc::new(self.resource);
        for span in reading.draft.batch.spans.iter_mut().skip(self.first) {
            span.resource = Arc::clone(&resource);
        }
        for log in reading.draft.batch.log_events.iter_mut().skip(self.first) {
            log.resource = Arc::clone(&resource);
        }
        reading.draft.settle_group(self.first, self.repairs);
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
                object(reading, map, &mut self.resource)?;
                self.repairs.absorb(mem::take(&mut reading.draft.repairs));
            }
            ("schemaUrl", _) => {
                self.resource.schema_url = text(reading, map)?;
                self.repairs.absorb(mem::take(&mut reading.draft.repairs));
            }
            ("scopeSpans", Signal::Traces)
            | ("scopeLogs", Signal::Logs)
            | ("scopeMetrics", Signal::Metrics) => list(
                reading,
                map,
                |reading| ScopeGroup { first: reading.draft.taken(), ..Default::default() },
                |reading, group| {
                    group.finish(reading);
                    Ok(())
                },
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
    fn finish(self, reading: &mut Reading<'_>) {
        let scope = Arc::new(self.scope);
        for span in reading.draft.batch.spans.iter_mut().skip(self.first) {
            span.scope = Arc::clone(&scope);
        }
        for log in reading.draft.batch.log_events.iter_mut().skip(self.first) {
            log.scope = Arc::clone(&scope);
        }
        reading.draft.settle_group(self.first, self.repairs);
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
                object(reading, map, &mut self.scope)?;
                self.repairs.absorb(mem::take(&mut reading.draft.repairs));
            }
            ("schemaUrl", _) => {
                self.scope.schema_url = text(reading, map)?;
                self.repairs.absorb(mem::take(&mut reading.draft.repairs));
            }
            ("spans", Signal::Traces) => {
                list(
                    reading,
                    map,
                    |_| SpanFields::default(),
                    |reading, span| span.finish(reading),
                )?;
            }
            ("logRecords", Signal::Logs) => {
                list(reading, map, |_| LogFields::default(), |reading, log| log.finish(reading))?;
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

/// Adds to a list and accounts for it.
pub(super) fn push<T>(reading: &mut Reading<'_>, list: &mut Vec<T>, item: T) -> Result<(), String> {
    reading.draft.charge::<T>(1)?;
    list.push(item);
    Ok(())
}

pub(super) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}
