//! A thread that tells a tracer what happens, so that no request waits for it.
//!
//! A request waits at its end until its own notes are told, a few milliseconds at most, so that log
//! lines are there when the answer is. A tracer that once took longer is not waited for again until
//! it has caught up.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::tracer::{Note, Records, Telling, Told, Tracer};
use crate::{Context, fork};

/// What waits for a tracer; the rest is left out.
const MAX_WAITING: usize = 8192;
/// How long a request waits for its log lines.
const PATIENCE: Duration = Duration::from_millis(10);
/// How long the end of the process, or of the engine, waits for what is still to be told.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// A tracer and its thread.
#[derive(Clone)]
pub struct Lane(Arc<Owner>);

/// Held by all users of a lane: when the last is gone, the thread may end.
struct Owner {
    shared: Arc<Shared>,
}

struct Shared {
    tracer: Mutex<Box<dyn Tracer>>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Told>,
    /// How many were ever put in, and how many of those are done with.
    n_taken: u64,
    n_told: u64,
    n_left_out: u64,
    /// Whether somebody waited for the tracer in vain.
    is_slow: bool,
    /// The process that the thread belongs to, by its forks.
    thread_of: Option<u64>,
    is_closed: bool,
}

impl Lane {
    /// A lane of this tracer. Its thread starts with the first request.
    pub fn new(tracer: Box<dyn Tracer>) -> Self {
        let shared =
            Shared { tracer: Mutex::new(tracer), queue: Mutex::default(), changed: Condvar::new() };
        Lane(Arc::new(Owner { shared: Arc::new(shared) }))
    }

    /// Tells its tracer of one request, below `above` or what is current.
    pub fn telling(&self, above: Option<Context>) -> Box<dyn Telling> {
        let records = Records::default();
        Box::new(Teller { lane: self.clone(), records, above, last: 0 })
    }

    /// Puts it in line; its number, by which it can be waited for.
    fn put(&self, told: Told) -> u64 {
        let shared = &self.0.shared;
        let mut queue = shared.queue();
        if queue.waiting.len() >= MAX_WAITING {
            queue.n_left_out += 1;
            return queue.n_taken;
        }
        queue.waiting.push_back(told);
        queue.n_taken += 1;
        let number = queue.n_taken;
        if queue.thread_of != Some(fork::count()) {
            // The first one, or the first one in the child of a fork, which has no other threads.
            queue.thread_of = Some(fork::count());
            let shared = Arc::clone(shared);
            let named = std::thread::Builder::new().name("spanwise-rag-tracer".to_owned());
            if named.spawn(move || shared.work()).is_err() {
                queue.thread_of = None;
            }
        }
        drop(queue);
        shared.changed.notify_all();
        number
    }

    /// Waits until everything up to this number is told, unless the tracer is slow.
    fn settle(&self, number: u64) {
        let shared = &self.0.shared;
        let queue = shared.queue();
        if queue.is_slow && queue.n_told < number {
            return;
        }
        let is_told = shared.wait(queue, number, PATIENCE);
        shared.queue().is_slow = !is_told;
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everything up to this number was told in time.
    fn wait(&self, mut queue: MutexGuard<'_, Queue>, number: u64, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while queue.n_told < number {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn work(&self) {
        let mut tracer = self.tracer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut was_reported = false;
        loop {
            let mut queue = self.queue();
            let told = loop {
                if let Some(told) = queue.waiting.pop_front() {
                    break told;
                }
                if queue.is_closed {
                    return;
                }
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            let left_out = std::mem::take(&mut queue.n_left_out);
            drop(queue);
            if left_out > 0 {
                tracing::warn!(left_out, "a tracer of RAG control is too slow");
            }
            let called = catch_unwind(AssertUnwindSafe(|| told.tell(&mut **tracer)));
            if called.is_err() && !std::mem::replace(&mut was_reported, true) {
                tracing::warn!("a tracer of RAG control panicked; requests go on without it");
            }
            self.queue().n_told += 1;
            self.changed.notify_all();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.is_closed = true;
        let n_taken = queue.n_taken;
        let is_here = queue.thread_of == Some(fork::count());
        self.shared.changed.notify_all();
        if is_here && !queue.is_slow {
            self.shared.wait(queue, n_taken, LAST_PATIENCE);
        }
    }
}

/// One request's notes on their way to the tracer of a lane.
struct Teller {
    lane: Lane,
    records: Records,
    above: Option<Context>,
    last: u64,
}

impl Telling for Teller {
    fn tell(&mut self, note: Note<'_>) {
        if let Some(told) = self.records.take(note, self.above.as_ref()) {
            self.last = self.lane.put(told);
        }
    }

    fn trace_id(&self) -> Option<String> {
        self.records.trace_id()
    }

    fn finish(&mut self) {
        self.lane.settle(self.last);
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}
