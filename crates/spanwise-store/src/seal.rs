//! Sealing: a generation of the live index becomes a segment.
//!
//! The segment is written, then committed by the catalog's record, then shown in place of the
//! generation, then the log's files are freed. A crash before the commit leaves a folder that no
//! catalog names, and the log; a crash after it leaves log records that the mark skips.
//!
//! Spans that run are in the log and in no segment. Before the log is freed they are written into a
//! segment of their own, which is not served: it replaces the one of the seal before in the same
//! record. What the log has after the mark brings it up to date when the store is opened.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::catalog::Edit;
use crate::live::Closed;
use crate::segment::{self, Meta, Segment, SegmentError, WriteOptions};
use crate::store::{Checkpoint, SealError, Shared};
use crate::{compact, disk, retention};

/// How often the age of the live index, retention and files to remove are looked at.
const TICK: Duration = Duration::from_millis(500);

/// Generations that wait to be sealed, oldest first.
#[derive(Debug, Default)]
pub(crate) struct SealQueue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<Closed>,
    /// How often sealing failed.
    n_failures: u64,
    last_failure: Option<String>,
    stopped: bool,
}

impl SealQueue {
    pub(crate) fn push(&self, closed: Closed) {
        self.lock().waiting.push_back(closed);
        self.changed.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// How many generations wait, the one being sealed included.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Why sealing does not get on, if it does not.
    pub(crate) fn last_failure(&self) -> Option<String> {
        self.lock().last_failure.clone()
    }

    /// Waits until all that waits now has been sealed, or sealing fails.
    pub(crate) fn wait(&self) -> Result<(), SealError> {
        let mut state = self.lock();
        let n_failures = state.n_failures;
        let last = state.waiting.back().map(|closed| closed.generation.number());
        while state.waiting.front().is_some_and(|front| Some(front.generation.number()) <= last) {
            if state.n_failures > n_failures || state.stopped {
                let reason = state.last_failure.clone();
                return Err(SealError(reason.unwrap_or_else(|| "the store is closed".to_owned())));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Waits for a generation, at most a tick. `Err` when it is time to stop.
    fn next(&self) -> Result<Option<Closed>, Stopped> {
        let state = self.lock();
        let idle = |state: &mut QueueState| !state.stopped && state.waiting.is_empty();
        let waited = self.changed.wait_timeout_while(state, TICK, idle);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if state.stopped { Err(Stopped) } else { Ok(state.waiting.front().cloned()) }
    }

    fn done(&self) {
        let mut state = self.lock();
        state.waiting.pop_front();
        state.last_failure = None;
        drop(state);
        self.changed.notify_all();
    }

    /// Notes a failure, and waits a while before the next attempt.
    fn failed(&self, reason: String) {
        let mut state = self.lock();
        state.n_failures += 1;
        state.last_failure = Some(reason);
        self.changed.notify_all();
        let waited = self.changed.wait_timeout_while(state, 2 * TICK, |state| !state.stopped);
        drop(waited);
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Stopped;

/// Seals what waits, until told to stop.
pub(crate) fn run(shared: &Shared) {
    while let Ok(next) = shared.seal_queue.next() {
        match next {
            Some(_) if compact::is_full(shared) => drop(shared.compaction.wait(TICK)),
            Some(closed) => seal_next(shared, &closed),
            None => {}
        }
        shared.rotate_if_due();
        shared.remove_retired();
        retention::enforce(shared);
    }
}

fn seal_next(shared: &Shared, closed: &Closed) {
    match seal(shared, closed) {
        Ok(()) => shared.seal_queue.done(),
        Err(error) => {
            tracing::error!(%error, "sealing failed; the spans stay in the log");
            shared.seal_queue.failed(error.to_string());
        }
    }
}

fn seal(shared: &Shared, closed: &Closed) -> Result<(), SealError> {
    let rows: Vec<_> = closed.generation.spans().cloned().collect();
    let edit = Edit {
        log_mark: Some(closed.end_sequence),
        bodies: closed.bodies.clone(),
        ..Edit::default()
    };
    let written = if rows.is_empty() {
        None
    } else {
        Some(write_segment(shared, |dir| segment::write(dir, &rows, &WriteOptions::seal()))?)
    };
    drop(rows);
    let (id, segment) = written.unzip();
    let segment: Option<Segment> = segment;
    let add = id.zip(segment.as_ref()).map(|(id, segment)| (id, segment.meta().clone()));
    let edit = Edit { add: add.into_iter().collect(), ..edit };
    commit(shared, edit, closed.generation.number())?;
    shared.replace_generation(closed.generation.number(), segment.map(Arc::new));
    if let Err(error) = shared.wal_files.release_before(closed.end_sequence) {
        tracing::warn!(%error, "log files were not freed");
    }
    shared.compaction.wake();
    Ok(())
}

/// Commits what sealing made, together with the running spans as they are now.
fn commit(shared: &Shared, mut edit: Edit, sealed: u64) -> Result<(), SealError> {
    let running = shared.running_beside(sealed);
    let mut checkpoint = shared.checkpoint();
    if Arc::ptr_eq(&checkpoint.running, &running) {
        shared.hooks.step("seal.commit")?;
        return Ok(shared.catalog().commit(edit)?);
    }
    let mut written = None;
    if !running.is_empty() {
        let rows: Vec<_> = running.iter().cloned().collect();
        let (id, segment) =
            write_segment(shared, |dir| segment::write(dir, &rows, &WriteOptions::seal()))?;
        edit.add.push((id, Meta { keeps_running: true, ..segment.meta().clone() }));
        written = Some(id);
    }
    edit.remove.extend(checkpoint.segment);
    shared.hooks.step("seal.commit")?;
    shared.catalog().commit(edit)?;
    let before = std::mem::replace(&mut *checkpoint, Checkpoint { segment: written, running });
    if let Some(id) = before.segment
        && let Err(error) = disk::remove_dir(&shared.folder.segment(id))
    {
        tracing::warn!(%error, "running spans of before were not removed");
    }
    Ok(())
}

/// Writes a segment into a folder of its own and opens it. Nothing knows it until the catalog
/// does; a folder that was not finished is removed, here or when the store is opened again.
pub(crate) fn write_segment(
    shared: &Shared,
    write: impl FnOnce(&std::path::Path) -> Result<Meta, SegmentError>,
) -> Result<(u64, Segment), SealError> {
    let id = shared.catalog().new_id();
    let dir = shared.folder.segment(id);
    let written = shared.hooks.step("segment.write").map_err(SealError::from).and_then(|()| {
        let meta = guarded(|| write(&dir))?;
        disk::sync_dir(&shared.folder.segments())?;
        Ok(Segment::open(&dir, meta)?)
    });
    match written {
        Ok(segment) => Ok((id, segment)),
        Err(error) => {
            if let Err(error) = disk::remove_dir(&dir) {
                tracing::warn!(%error, "an unfinished segment was not removed");
            }
            Err(error)
        }
    }
}

/// A fault in reading or writing one segment must not stop the thread that tends all of them.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, SegmentError>) -> Result<T, SealError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => Ok(result?),
        Err(_) => Err(SealError("the work on a segment panicked".to_owned())),
    }
}
