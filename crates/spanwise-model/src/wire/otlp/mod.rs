//! OTLP: OpenTelemetry's own protocol, in protobuf and in JSON.
//!
//! Decoding borrows: every text of a [`Batch`] is a slice of the request it came in. One bad span
//! never fails its neighbours: it is listed in [`Batch::rejected`], and what could be mended is
//! listed in [`Batch::repairs`]. Only a request that cannot be read as a whole is a
//! [`DecodeError`].

mod answer;
mod encode;
mod encode_json;
mod fields;
mod json;
mod json_records;
mod json_scalars;
mod json_values;
mod protobuf;
mod record;

pub use answer::{
    encode_partial_success, encode_partial_success_json, encode_status, encode_status_json,
};
pub use encode::{encode_logs, encode_traces};
pub use encode_json::{encode_logs_json, encode_traces_json};
pub use json::{check_metrics_json, decode_logs_json, decode_traces_json};
pub use record::{
    Owner, SpanParts, ValueRef, key_of, put_attribute, put_event, put_link, put_request, put_span,
};
pub use protobuf::{check_metrics, decode_logs, decode_traces};

use std::sync::Arc;

use crate::id::InvalidId;
use crate::{Batch, LogEvent, Rejection, Resource, Scope, Span, SpanId, TraceId, Value, Warning};

/// How deep values may nest (a list in a list in a list …). Deeper ones become null.
pub const MAX_VALUE_DEPTH: usize = 128;

/// How much memory the structures of one decoded request may take, beside the request itself.
/// Two bytes of protobuf can stand for an attribute of 72, so the size of a request alone does
/// not bound what it unfolds to.
pub const MAX_DECODED_BYTES: usize = 512 << 20;

/// How many repairs are listed per span; further ones are only counted.
const MAX_REPAIRS: usize = 8;

/// How much of a rejected span's name is kept, in characters.
const MAX_REJECTED_NAME: usize = 200;

/// Why a request cannot be read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (at byte {offset})")]
pub struct DecodeError {
    /// Where in the body reading stopped.
    pub offset: usize,
    /// What is wrong there.
    pub reason: String,
}

impl DecodeError {
    fn new(offset: usize, reason: impl Into<String>) -> Self {
        DecodeError { offset, reason: reason.into() }
    }
}

/// What a request carries. The three envelopes differ in names only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Signal {
    Traces,
    Logs,
    Metrics,
}

/// A batch while its request is being read.
struct Draft {
    signal: Signal,
    batch: Batch,
    /// Repairs of the record or group that is being read.
    repairs: Repairs,
    /// How many records (spans, log records) were met, good or bad.
    met: usize,
    /// What is left of [`MAX_DECODED_BYTES`].
    budget: usize,
}

impl Draft {
    fn new(signal: Signal) -> Self {
        Draft {
            signal,
            batch: Batch::default(),
            repairs: Repairs::default(),
            met: 0,
            budget: MAX_DECODED_BYTES,
        }
    }

    /// Accounts for `count` values of `T`; says why not when the request has unfolded too far.
    fn charge<T>(&mut self, count: usize) -> Result<(), String> {
        let cost = count.saturating_mul(size_of::<T>());
        self.budget = self.budget.checked_sub(cost).ok_or_else(|| {
            format!("request unfolds to more than {} MiB", MAX_DECODED_BYTES >> 20)
        })?;
        Ok(())
    }

    /// How many records of the signal were taken.
    fn taken(&self) -> usize {
        match self.signal {
            Signal::Traces => self.batch.spans.len(),
            Signal::Logs | Signal::Metrics => self.batch.log_events.len(),
        }
    }

    fn take_span(&mut self, span: Span) {
        let repairs = std::mem::take(&mut self.repairs);
        self.settle(self.batch.spans.len(), repairs);
        self.batch.spans.push(span);
        self.met += 1;
    }

    fn take_log(&mut self, log: LogEvent) {
        let repairs = std::mem::take(&mut self.repairs);
        self.settle(self.batch.log_events.len(), repairs);
        self.batch.log_events.push(log);
        self.met += 1;
    }

    fn pass_unrelated_log(&mut self) {
        self.repairs = Repairs::default();
        self.batch.unrelated_logs += 1;
        self.met += 1;
    }

    fn reject(&mut self, name: &str, reason: String) -> Result<(), String> {
        // The reason and the name take about as much again on the heap.
        self.charge::<[Rejection; 2]>(1)?;
        self.repairs = Repairs::default();
        let name = name.chars().take(MAX_REJECTED_NAME).collect();
        self.batch.rejected.push(Rejection { index: self.met, name, reason });
        self.met += 1;
        Ok(())
    }

    /// Lists the repairs of a resource or scope at the first record that was taken with it.
    fn settle_group(&mut self, first: usize, repairs: Repairs) {
        if first < self.taken() {
            self.settle(first, repairs);
        }
    }

    fn settle(&mut self, index: usize, repairs: Repairs) {
        let listed = match self.signal {
            Signal::Traces => &mut self.batch.repairs,
            Signal::Logs | Signal::Metrics => &mut self.batch.log_repairs,
        };
        listed.extend(repairs.listed.into_iter().map(|warning| (index, warning)));
        if repairs.unlisted > 0 {
            let message = format!("{} further repairs are not listed", repairs.unlisted);
            listed.push((index, Warning::new("more_repairs", message)));
        }
    }
}

/// What was mended in one span or group. Bounded, since one request can hold millions of faults.
#[derive(Default)]
struct Repairs {
    listed: Vec<Warning>,
    unlisted: usize,
}

impl Repairs {
    #[cold]
    fn note(&mut self, kind: &'static str, message: impl Into<String>) {
        if self.listed.len() < MAX_REPAIRS {
            self.listed.push(Warning::new(kind, message.into()));
        } else {
            self.unlisted += 1;
        }
    }

    fn absorb(&mut self, later: Repairs) {
        self.unlisted += later.unlisted;
        for warning in later.listed {
            if self.listed.len() < MAX_REPAIRS {
                self.listed.push(warning);
            } else {
                self.unlisted += 1;
            }
        }
    }

    fn note_invalid_utf8(&mut self, what: &str) {
        self.note("invalid_utf8", format!("{what} is not UTF-8; the bad bytes were replaced"));
    }

    fn note_too_deep(&mut self) {
        self.note(
            "value_too_deep",
            format!("a value nests deeper than {MAX_VALUE_DEPTH} levels; the rest became null"),
        );
    }

    fn note_bad_link(&mut self, reason: &str) {
        self.note("invalid_link", format!("a link was left out: its {reason}"));
    }
}

/// A reason such as `trace_id is zero` from an id that does not parse.
fn bad_id(field: &str) -> impl Fn(InvalidId) -> String {
    move |invalid| format!("{field} {invalid}")
}

/// The ids of a span; the parent's is `None` where it is empty or zero.
struct Ids {
    trace: TraceId,
    span: SpanId,
    parent: Option<SpanId>,
}

impl Ids {
    fn from_bytes(trace_id: &[u8], span_id: &[u8], parent: &[u8]) -> Result<Self, String> {
        Ok(Ids {
            trace: TraceId::from_bytes(trace_id).map_err(bad_id("trace_id"))?,
            span: SpanId::from_bytes(span_id).map_err(bad_id("span_id"))?,
            parent: match SpanId::from_bytes(parent) {
                Ok(id) => Some(id),
                Err(InvalidId::Zero) => None,
                Err(_) if parent.is_empty() => None,
                Err(invalid) => return Err(bad_id("parent_span_id")(invalid)),
            },
        })
    }
}

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
