//! A batch while it is being read: what every decoder keeps count of, whatever the format.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::utf8;
use crate::id::InvalidId;
use crate::{Batch, LogEvent, Rejection, Span, SpanId, Str, TraceId, Value, Warning};

/// How deep values may nest (a list in a list in a list …). Deeper ones become null.
pub const MAX_VALUE_DEPTH: usize = 128;

/// How much memory the structures of one decoded request may take, beside the request itself.
/// Two bytes of protobuf can stand for an attribute of 72, so the size of a request alone does
/// not bound what it unfolds to.
pub const MAX_DECODED_BYTES: usize = 512 << 20;

/// How many repairs are listed per span; further ones are only counted.
pub(super) const MAX_REPAIRS: usize = 8;

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
    pub(super) fn new(offset: usize, reason: impl Into<String>) -> Self {
        DecodeError { offset, reason: reason.into() }
    }

    /// A body that had to be text and is not.
    pub(super) fn not_utf8(body: &[u8]) -> Self {
        let valid = body.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
        DecodeError::new(valid, "is not UTF-8")
    }

    /// The error with its place as an offset, and without the text of the request that serde quotes.
    pub(super) fn of_json(text: &str, error: &serde_json::Error) -> Self {
        let line_start: usize =
            text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        let message = error.to_string();
        let reason = message.rfind(" at line ").map_or(&*message, |place| &message[..place]);
        let quoted = reason.split_once(" \"").zip(reason.rsplit_once("\", "));
        let reason = match quoted {
            Some(((before, _), (_, after))) => format!("{before}, {after}"),
            None => reason.to_owned(),
        };
        DecodeError::new(line_start + error.column(), reason)
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
pub(super) struct Draft {
    pub(super) signal: Signal,
    pub(super) batch: Batch,
    /// Repairs of the record or group that is being read.
    pub(super) repairs: Repairs,
    /// How many records (spans, log records) were met, good or bad.
    met: usize,
    /// What is left of [`MAX_DECODED_BYTES`].
    pub(super) budget: usize,
}

impl Draft {
    pub(super) fn new(signal: Signal) -> Self {
        Draft {
            signal,
            batch: Batch::default(),
            repairs: Repairs::default(),
            met: 0,
            budget: MAX_DECODED_BYTES,
        }
    }

    /// Accounts for `count` values of `T`; says why not when the request has unfolded too far.
    pub(super) fn charge<T>(&mut self, count: usize) -> Result<(), String> {
        let cost = count.saturating_mul(size_of::<T>());
        self.budget = self.budget.checked_sub(cost).ok_or_else(|| {
            format!("request unfolds to more than {} MiB", MAX_DECODED_BYTES >> 20)
        })?;
        Ok(())
    }

    /// A text that has to be one (a name, a key): bad bytes are replaced.
    #[inline]
    pub(super) fn text(&mut self, body: &Bytes, range: Range<usize>, what: &str) -> Str {
        utf8::slice(body, range.clone()).unwrap_or_else(|| {
            self.repairs.note_invalid_utf8(what);
            String::from_utf8_lossy(&body[range]).into_owned().into()
        })
    }

    /// A string value; one that is not UTF-8 is kept as bytes.
    pub(super) fn text_value(&mut self, body: &Bytes, range: Range<usize>) -> Value {
        if let Some(text) = utf8::slice(body, range.clone()) {
            return Value::String(text);
        }
        let message = "a string value is not UTF-8; it is kept as bytes";
        self.repairs.note("invalid_utf8", message);
        Value::Bytes(body.slice(range))
    }

    /// How many records of the signal were taken.
    pub(super) fn taken(&self) -> usize {
        match self.signal {
            Signal::Traces => self.batch.spans.len(),
            Signal::Logs | Signal::Metrics => self.batch.log_events.len(),
        }
    }

    pub(super) fn take_span(&mut self, span: Span) {
        let repairs = std::mem::take(&mut self.repairs);
        self.settle(self.batch.spans.len(), repairs);
        self.batch.spans.push(span);
        self.met += 1;
    }

    pub(super) fn take_log(&mut self, log: LogEvent) {
        let repairs = std::mem::take(&mut self.repairs);
        self.settle(self.batch.log_events.len(), repairs);
        self.batch.log_events.push(log);
        self.met += 1;
    }

    pub(super) fn pass_unrelated_log(&mut self) {
        self.repairs = Repairs::default();
        self.batch.unrelated_logs += 1;
        self.met += 1;
    }

    pub(super) fn reject(&mut self, name: &str, reason: String) -> Result<(), String> {
        // The reason and the name take about as much again on the heap.
        self.charge::<[Rejection; 2]>(1)?;
        self.repairs = Repairs::default();
        let name = name.chars().take(MAX_REJECTED_NAME).collect();
        self.batch.rejected.push(Rejection { index: self.met, name, reason });
        self.met += 1;
        Ok(())
    }

    /// Lists the repairs of a resource or scope at the first record that was taken with it.
    pub(super) fn settle_group(&mut self, first: usize, repairs: Repairs) {
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
pub(super) struct Repairs {
    listed: Vec<Warning>,
    unlisted: usize,
}

impl Repairs {
    #[cold]
    pub(super) fn note(&mut self, kind: &'static str, message: impl Into<String>) {
        if self.listed.len() < MAX_REPAIRS {
            self.listed.push(Warning::new(kind, message.into()));
        } else {
            self.unlisted += 1;
        }
    }

    pub(super) fn absorb(&mut self, later: Repairs) {
        self.unlisted += later.unlisted;
        for warning in later.listed {
            if self.listed.len() < MAX_REPAIRS {
                self.listed.push(warning);
            } else {
                self.unlisted += 1;
            }
        }
    }

    pub(super) fn note_invalid_utf8(&mut self, what: &str) {
        self.note("invalid_utf8", format!("{what} is not UTF-8; the bad bytes were replaced"));
    }

    pub(super) fn note_too_deep(&mut self) {
        self.note(
            "value_too_deep",
            format!("a value nests deeper than {MAX_VALUE_DEPTH} levels; the rest became null"),
        );
    }

    pub(super) fn note_bad_link(&mut self, reason: &str) {
        self.note("invalid_link", format!("a link was left out: its {reason}"));
    }
}

/// A reason such as `trace_id is zero` from an id that does not parse.
pub(super) fn bad_id(field: &str) -> impl Fn(InvalidId) -> String {
    move |invalid| format!("{field} {invalid}")
}

/// The ids of a span; the parent's is `None` where it is empty or zero.
pub(super) struct Ids {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) parent: Option<SpanId>,
}

impl Ids {
    pub(super) fn from_bytes(
        trace_id: &[u8],
        span_id: &[u8],
        parent: &[u8],
    ) -> Result<Self, String> {
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

/// The resources (or scopes) of a request, so that spans of the same one share an allocation in
/// formats that repeat it with every span.
pub(super) struct Shared<T>(Vec<Arc<T>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Shared(Vec::new())
    }
}

impl<T: PartialEq> Shared<T> {
    /// How many are remembered. A request hardly ever has more; if so, some are made twice.
    const REMEMBERED: usize = 16;

    pub(super) fn share(&mut self, item: T) -> Arc<T> {
        if let Some(known) = self.0.iter().find(|known| ***known == item) {
            return Arc::clone(known);
        }
        if self.0.len() == Self::REMEMBERED {
            self.0.remove(0);
        }
        Arc::clone(self.0.push_mut(Arc::new(item)))
    }
}
