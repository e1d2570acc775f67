//! Compaction: which segments should become one, and when is there time for it?
//!
//! Segments are merged within a tier, the oldest first, when there are many of them or when they
//! make a large one; the tier that has most comes first. The largest are left alone.
//!
//! Merging gives way to sealing: nothing is begun while generations wait. Only so far, though, or
//! a writer that never pauses would pile up segments without end: when a tier is crowded, merging
//! goes on beside sealing, and when it is full, sealing waits for it. What then waits to be sealed
//! grows until appends are refused, which slows the writer down.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::catalog::Edit;
use crate::seal::{guarded, write_segment};
use crate::segment::{self, Meta, Segment, WriteOptions};
use crate::store::{SealError, Shared, now_unix_nano};

/// Segments below each weight make a tier; those above the last are never merged.
const TIERS: [u64; 3] = [16 << 10, 128 << 10, 1 << 20];
/// So many bytes weigh as much as a row.
const BYTES_PER_ROW: u64 = 1 << 10;
/// How many segments of a tier are merged …
const FAN_IN: usize = 8;
/// … unless fewer have this weight together.
const ENOUGH: u64 = 2 << 20;
/// No merge makes a segment of more weight.
const MAX_WEIGHT: u64 = 4 << 20;
/// With so many segments in a tier, merging does not give way to sealing any more.
const CROWDED: usize = 2 * FAN_IN;
/// With so many, sealing gives way to merging. One merge takes no more of them at once.
const FULL: usize = 8 * FAN_IN;
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
    /// Whether the last merge failed.
    merging_fails: AtomicBool,
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
    pub(crate) fn wait(&self, at_most: Duration) -> bool {
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
    let mut not_before = Instant::now();
    while shared.compaction.wait(pause) {
        pause = IDLE;
        if Instant::now() < not_before {
            continue;
        }
        let segments = shared.segments();
        let Some(plan) = plan_for(shared, &segments) else { continue };
        if plan.n_waiting < CROWDED && shared.is_backlogged() {
            continue;
        }
        let inputs: Vec<_> = plan.inputs.iter().map(|&at| Arc::clone(&segments[at])).collect();
        drop(segments);
        let merged = merge(shared, &inputs);
        shared.compaction.merging_fails.store(merged.is_err(), Ordering::Relaxed);
        match merged {
            Ok(()) => pause = Duration::ZERO,
            Err(error) => {
                tracing::warn!(%error, "segments were not merged");
                shared.set_damaged_aside(&inputs);
                not_before = Instant::now() + AFTER_FAILURE;
            }
        }
        // Sealing may be waiting for this.
        shared.compaction.wake();
    }
}

/// Whether there are so many segments that some must be merged before another one is made. While
/// merging fails nothing waits for it: the log cannot hold everything.
pub(crate) fn is_full(shared: &Shared) -> bool {
    let plan = plan_for(shared, &shared.segments());
    plan.is_some_and(|plan| plan.n_waiting >= FULL)
        && !shared.compaction.merging_fails.load(Ordering::Relaxed)
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
        match guarded(|| segment::index_text(&segment)) {
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
    let about_to_merge = plan_for(shared, &segments).map_or_else(Vec::new, |plan| plan.inputs);
    let metas: Vec<&Meta> = segments.iter().map(|segment| segment.meta()).collect();
    let settled_before = now_unix_nano().saturating_sub(SETTLED_AFTER.as_nanos() as u64);
    let is_due = |at: &usize| {
        let is_settled =
            u64::from(metas[*at].n_rows) >= TIERS[1] || metas[*at].max_received < settled_before;
        is_settled && !about_to_merge.contains(at) && segments[*at].wants_text_index()
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

/// What to merge next.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// Positions among the segments.
    inputs: Vec<usize>,
    /// How many could be merged with one another if it were not for the bounds on one merge.
    n_waiting: usize,
}

fn plan_for(shared: &Shared, segments: &[Arc<Segment>]) -> Option<Plan> {
    let metas: Vec<&Meta> = segments.iter().map(|segment| segment.meta()).collect();
    plan(&metas, shared.merge_window_ns())
}

/// Which of these segments, oldest first, to merge next: where most wait, so that no tier starves,
/// and the smaller ones where equally many do. Only segments received within one window are
/// merged, so that retention can drop them together.
fn plan(segments: &[&Meta], window_ns: Option<u64>) -> Option<Plan> {
    let window = |at: usize| window_ns.map(|width| segments[at].max_received / width.max(1));
    let mut best: Option<Plan> = None;
    for tier in 0..TIERS.len() {
        let mut of_tier: Vec<usize> =
            (0..segments.len()).filter(|&at| tier_of(segments[at]) == Some(tier)).collect();
        of_tier.sort_by_key(|&at| window(at));
        for run in of_tier.chunk_by(|&one, &other| window(one) == window(other)) {
            let inputs = fitting(segments, run);
            let is_fuller = best.as_ref().is_none_or(|best| run.len() > best.n_waiting);
            if is_fuller && is_worth_it(segments, &inputs) {
                best = Some(Plan { inputs, n_waiting: run.len() });
            }
        }
    }
    best
}

fn weight(meta: &Meta) -> u64 {
    u64::from(meta.n_rows).max(meta.bytes / BYTES_PER_ROW)
}

fn tier_of(meta: &Meta) -> Option<usize> {
    TIERS.iter().position(|&limit| weight(meta) < limit)
}

/// As many of a run, from its start, as one merge may take.
fn fitting(segments: &[&Meta], run: &[usize]) -> Vec<usize> {
    let mut total = 0;
    let fits = |at: &&usize| {
        total += weight(segments[**at]);
        total <= MAX_WEIGHT
    };
    run.iter().take_while(fits).take(FULL).copied().collect()
}

fn is_worth_it(segments: &[&Meta], run: &[usize]) -> bool {
    let total: u64 = run.iter().map(|&at| weight(segments[at])).sum();
    run.len() >= FAN_IN || (run.len() >= 2 && total >= ENOUGH)
}

#[cfg(test)]
pub(crate) mod tests;
