//! OTLP: OpenTelemetry's own protocol, in protobuf and in JSON.
//!
//! Decoding borrows: every text of a [`Batch`](crate::Batch) is a slice of the request it came in.
//! One bad span never fails its neighbours: it is listed among the rejected, and what could be
//! mended is listed among the repairs. Only a request that cannot be read as a whole is a
//! [`DecodeError`].

mod answer;
mod encode;
mod encode_json;
mod json;
mod json_records;
mod json_scalars;
mod json_values;
mod protobuf;
mod record;

pub use super::draft::{DecodeError, MAX_DECODED_BYTES, MAX_VALUE_DEPTH, Signal};
pub use answer::{
    decode_partial_success, decode_partial_success_json, decode_retry_delay,
    encode_partial_success, encode_partial_success_json, encode_status, encode_status_json,
};
pub use encode::{encode_logs, encode_traces};
pub use encode_json::{encode_logs_json, encode_traces_json};
pub use json::{check_metrics_json, decode_logs_json, decode_traces_json};
pub use protobuf::{check_metrics, decode_logs, decode_traces};
pub use record::{
    Owner, SpanParts, ValueRef, key_of, put_attribute, put_event, put_link, put_request, put_span,
};

use std::sync::Arc;

use super::draft::{Draft, Ids, Repairs, bad_id};
use crate::{LogEvent, Resource, Scope, Value};

/// Older SDKs put the name of an event among its attributes, and some records have no time but
/// that at which they were seen.
fn fill_gaps(log: &mut LogEvent, observed_unix_nano: u64) {
    if log.time_unix_nano == 0 {
        log.time_unix_nano = observed_unix_nano;
    }
    if log.name.is_empty()
        && let Some(Value::String(name)) = log.attributes.get("event.name")
    {
        log.name = name.clone();
    }
}

/// Neighbouring records of one resource, as the envelopes group them.
struct ResourceRecords<'a, T> {
    resource: &'a Resource,
    scopes: Vec<ScopeRecords<'a, T>>,
}

/// Neighbouring records of one resource and one scope.
struct ScopeRecords<'a, T> {
    scope: &'a Scope,
    records: Vec<&'a T>,
}

fn group<'a, T>(
    records: impl IntoIterator<Item = &'a T>,
    origin: impl Fn(&'a T) -> (&'a Arc<Resource>, &'a Arc<Scope>),
) -> Vec<ResourceRecords<'a, T>> {
    let mut groups: Vec<ResourceRecords<'_, T>> = Vec::new();
    for record in records {
        let (resource, scope) = origin(record);
        match groups.last_mut() {
            Some(last) if same::<Resource>(last.resource, resource) => last.add(scope, record),
            _ => {
                let scopes = vec![ScopeRecords { scope, records: vec![record] }];
                groups.push(ResourceRecords { resource, scopes });
            }
        }
    }
    groups
}

impl<'a, T> ResourceRecords<'a, T> {
    fn add(&mut self, scope: &'a Scope, record: &'a T) {
        match self.scopes.last_mut() {
            Some(last) if same::<Scope>(last.scope, scope) => last.records.push(record),
            _ => self.scopes.push(ScopeRecords { scope, records: vec![record] }),
        }
    }
}

/// Equality that is quick for the usual case, in which neighbours share one allocation.
fn same<T: PartialEq>(a: &T, b: &T) -> bool {
    std::ptr::eq(a, b) || a == b
}

#[cfg(test)]
mod tests;
