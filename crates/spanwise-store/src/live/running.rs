//! Spans that are still open, each as it was last heard of.
//!
//! A running span stands for the span until that arrives, so it must be possible to take it away
//! again, and segments never change. So running spans stay here, through seals and restarts, until
//! they end; sealing writes them down as they are (`seal`). One that is not heard of any more is
//! given up after a while and sealed like any other row.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanwise_model::{SpanId, StoredSpan, TraceId};

use super::live_bytes;

/// The running spans of all projects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running {
    traces: BTreeMap<TraceId, BTreeMap<Key, Arc<StoredSpan>>>,
    len: usize,
    bytes: usize,
}

/// Ids are unique within a project only.
type Key = (SpanId, Arc<str>);

fn key(row: &StoredSpan) -> Key {
    (row.span.span_id, Arc::clone(&row.project))
}

impl Running {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<StoredSpan>> {
        self.traces.values().flat_map(BTreeMap::values)
    }

    /// The running spans with this trace id, of any project.
    pub(super) fn trace(&self, id: TraceId) -> impl Iterator<Item = &Arc<StoredSpan>> {
        self.traces.get(&id).into_iter().flat_map(BTreeMap::values)
    }

    /// The span with the ids of this one, as it was last heard of.
    pub(super) fn get(&self, row: &StoredSpan) -> Option<&Arc<StoredSpan>> {
        self.traces.get(&row.span.trace_id)?.get(&key(row))
    }

    /// Takes a span in place of what was known of it.
    pub(crate) fn insert(&mut self, row: Arc<StoredSpan>) {
        self.remove(&row);
        self.len += 1;
        self.bytes += live_bytes(&row);
        self.traces.entry(row.span.trace_id).or_default().insert(key(&row), row);
    }

    /// Forgets the span with these ids; it has ended.
    pub(super) fn remove(&mut self, row: &StoredSpan) {
        let Some(of_trace) = self.traces.get_mut(&row.span.trace_id) else { return };
        if let Some(old) = of_trace.remove(&key(row)) {
            self.len -= 1;
            self.bytes -= live_bytes(&old);
        }
        if of_trace.is_empty() {
            self.traces.remove(&row.span.trace_id);
        }
    }

    /// Those that were heard of before this time for the last time, and of the others those that
    /// were not for longest, until the rest takes no more memory than this.
    pub(crate) fn lost(&self, before_unix_nano: u64, max_bytes: usize) -> Vec<Arc<StoredSpan>> {
        let oldest = self.iter().map(|row| row.received_unix_nano).min();
        if oldest.is_none_or(|oldest| oldest >= before_unix_nano) && self.bytes <= max_bytes {
            return Vec::new();
        }
        let mut by_age: Vec<&Arc<StoredSpan>> = self.iter().collect();
        by_age.sort_by_key(|row| row.received_unix_nano);
        let mut bytes = self.bytes;
        let is_lost = |row: &&&Arc<StoredSpan>| {
            let is_lost = row.received_unix_nano < before_unix_nano || bytes > max_bytes;
            bytes -= live_bytes(row);
            is_lost
        };
        by_age.iter().take_while(is_lost).map(|row| Arc::clone(row)).collect()
    }
}
