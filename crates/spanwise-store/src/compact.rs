//! Compaction: which segments should become one, and when is there time for it?
//!
//! Segments are merged within a tier, the oldest first, when there are many of them or when they
//! make a large one. The largest are left alone. It gives way to sealing: nothing is begun while
//! generations wait.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::catalog::Edit;
use crate::seal::{apart, write_segment};
use crate::segment::{self, Meta, Segment, WriteOptions};
use crate::store::{SealError, Shared, now_unix_nano};

/// Segments below each size make a tier; those above the last are never merged.
const TIERS: [u64; 3] = [16 << 10, 128 << 10, 1 << 20];
/// How many segments of a tier are merged.
const FAN_IN: usize = 8;
/// Fewer are merged when together they have this many rows.
const ENOUGH_ROWS: u64 = 2 << 20;
/// No merge makes a segment of more rows …
const MAX_ROWS: u64 = 4 << 20;
/// … or more bytes than this.
const MAX_BYTES: u64 = 4 << 30;
/// How much later a background thread gets the processor than those who serve.
const NICENESS: i32 = 10;
/// How often there is a look for something to do without being woken.
const IDLE: Duration = Duration::from_secs(2);
/// Small segments are indexed when they have not been merged for so long.
const SETTLED_AFTER: Duration = Duration::from_secs(20);
/// How long a failed merge or index is left alone.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Wakes the background threads.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    stopped: Mutex<bool>,
    rung: Condvar,
}

impl Bell {
    pub(crate) fn wake(&self) {
        self.rung.notify_all();
    }

    pub(crate) fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rung.notify_all();
    }

    /// Waits to be woken, at most as long as said. False when it is time to stop.
    fn wait(&self, at_most: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        if *stopped || at_most.is_zero() {
            return !*stopped;
        }
        let waited = self.rung.wait_timeout(stopped, at_most);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Merges segments until told to stop.
pub(crate) fn run(shared: &Shared) {
    be_nice();
    let mut pause = Duration::ZERO;
    while shared.compaction.wait(pause) {
        pause = IDLE;
        if shared.is_backlogged() {
            continue;
        }
        let segments = shared.segments();
        let metas: Vec<&Meta> = segments.iter().map(|segment| segment.meta()).collect();
        let Some(chosen) = plan(&metas, shared.merge_window_ns()) else { continue };
        let inputs: Vec<_> = chosen.iter().map(|&at| Arc::clone(&segments[at])).collect();
        drop(segments);
        match merge(shared, &inputs) {
            Ok(()) => pause = Duration::ZERO,
            Err(error) => {
                tracing::warn!(%error, "segments were not merged");
                shared.set_damaged_aside(&inputs);
                pause = AFTER_FAILURE;
            }
        }
    }
}

/// Builds the full-text indexes of segments until told to stop.
pub(crate) fn run_text_index(shared: &Shared) {
    be_nice();
    let mut pause = Duration::ZERO;
    while shared.compaction.wait(pause) {
        pause = IDLE;
        if shared.is_backlogged() {
            continue;
        }
        let Some(segment) = next_to_index(shared) else { continue };
        match apart(|| segment::index_text(&segment)) {
            Ok(()) => pause = Duration::ZERO,
            Err(error) => {
                tracing::warn!(%error, "a text index was not built; its texts are scanned");
                pause = AFTER_FAILURE;
            }
        }
    }
}

/// The largest segment without a text index, as it saves searches the most. Those that are about
/// to be merged are left alone: their texts would be indexed twice.
fn next_to_index(shared: &Shared) -> Option<Arc<Segment>> {
    let segments = shared.segments();
    let metas: Vec<&Meta> = segments.iter().map(|segment| segment.meta()).collect();
    let about_to_merge = plan(&metas, shared.merge_window_ns()).unwrap_or_default();
    let settled_before = now_unix_nano().saturating_sub(SETTLED_AFTER.as_nanos() as u64);
    let is_due = |at: &usize| {
        let is_settled =
            u64::from(metas[*at].n_rows) >= TIERS[1] || metas[*at].max_received < settled_before;
        is_settled && !about_to_merge.contains(at) && !segments[*at].text_indexed()
    };
    let largest = (0..segments.len()).filter(is_due).max_by_key(|&at| metas[at].n_rows);
    largest.map(|at| Arc::clone(&segments[at]))
}

/// On Linux the niceness is the thread's own.
fn be_nice() {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the priority was not lowered");
    }
}

fn merge(shared: &Shared, inputs: &[Arc<Segment>]) -> Result<(), SealError> {
    let level = inputs.iter().map(|input| input.meta().level).max().unwrap_or(0) + 1;
    let write = |dir: &std::path::Path| segment::merge(inputs, dir, &WriteOptions::merge(level));
    let (id, output) = write_segment(shared, write)?;
    shared.hooks.step("compact.commit")?;
    let edit = Edit { add: vec![(id, output.meta().clone())], ..Edit::default() };
    shared.swap_segments(inputs, Some(Arc::new(output)), edit)
}

/// Which of these segments, oldest first, to merge next. Only segments received within one
/// window are merged, so that retention can drop them together.
fn plan(segments: &[&Meta], window_ns: Option<u64>) -> Option<Vec<usize>> {
    TIERS.iter().enumerate().find_map(|(tier, _)| {
        let of_tier: Vec<usize> =
            (0..segments.len()).filter(|&at| tier_of(segments[at]) == Some(tier)).collect();
        let window = |at: usize| window_ns.map(|width| segments[at].max_received / width.max(1));
        let runs = of_tier.chunk_by(|&one, &other| window(one) == window(other));
        runs.map(|run| fitting(segments, run)).find(|run| is_worth_it(segments, run))
    })
}

fn tier_of(meta: &Meta) -> Option<usize> {
    TIERS.iter().position(|&limit| u64::from(meta.n_rows) < limit)
}

/// As many of a run, from its start, as one segment may hold.
fn fitting(segments: &[&Meta], run: &[usize]) -> Vec<usize> {
    let (mut rows, mut bytes) = (0, 0);
    let fits = |at: &&usize| {
        rows += u64::from(segments[**at].n_rows);
        bytes += segments[**at].bytes;
        rows <= MAX_ROWS && bytes <= MAX_BYTES
    };
    run.iter().take_while(fits).take(2 * FAN_IN).copied().collect()
}

fn is_worth_it(segments: &[&Meta], run: &[usize]) -> bool {
    let rows: u64 = run.iter().map(|&at| u64::from(segments[at].n_rows)).sum();
    run.len() >= FAN_IN || (run.len() >= 2 && rows >= ENOUGH_ROWS)
}

#[cfg(test)]
pub(crate) mod tests;
