//! Where ended spans wait: a chunk for each thread, and a bounded queue of full ones.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::content::Content;
use crate::recorder::ScopeId;
use crate::running::Running;
use crate::tail::Held;
use crate::worker::LaneCounts;

/// A thread's chunk is queued when it has grown to this.
const CHUNK_BYTES: usize = 64 << 10;
/// The recorder's thread is told when this many chunks wait; fewer wait until their time has come.
/// Waking a thread up costs as much as recording dozens of spans.
const CHUNKS_TO_WAKE: usize = 8;
/// What stands before each span: its length and its scope.
const HEAD: usize = 8;
/// How much longer than its deadline the recorder's thread is waited for.
const GRACE: Duration = Duration::from_millis(500);
/// Emptied chunks that are kept for the next spans.
const SPARES: usize = 32;

/// Ended spans, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    n_spans: usize,
    /// What content was allowed when the spans ended, as far as it is known.
    content: Option<Arc<Content>>,
}

impl Chunk {
    pub fn n_spans(&self) -> usize {
        self.n_spans
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What content was allowed when the spans ended.
    pub fn content(&self) -> Option<&Arc<Content>> {
        self.content.as_ref()
    }

    /// For spans that end while this content is allowed.
    pub fn under(content: Arc<Content>) -> Self {
        Chunk { content: Some(content), ..Chunk::default() }
    }

    /// For a thread that fills chunk after chunk: one that need not grow on the way.
    fn roomy() -> Self {
        Chunk { bytes: Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8), ..Chunk::default() }
    }

    /// Adds a span that `write` writes.
    #[inline]
    pub fn push(&mut self, scope: ScopeId, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEAD]);
        write(&mut self.bytes);
        let Ok(length) = u32::try_from(self.bytes.len() - start - HEAD) else {
            // Four gigabytes in one span can be sent nowhere.
            self.bytes.truncate(start);
            return;
        };
        let head = &mut self.bytes[start..start + HEAD];
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[4..].copy_from_slice(&scope.to_bytes());
        self.n_spans += 1;
    }

    /// The spans with their scopes.
    pub fn spans(&self) -> impl Iterator<Item = (ScopeId, &[u8])> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk()?;
            let (scope, after) = after.split_first_chunk()?;
            let (span, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = after;
            Some((ScopeId::from_bytes(*scope), span))
        })
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= CHUNK_BYTES
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(2 * CHUNK_BYTES);
        self.n_spans = 0;
        self.content = None;
    }
}

/// What one thread shares with the recorder's.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    chunk: Mutex<Chunk>,
    /// Its spans that have not ended, if they are to be seen.
    pub running: Running,
    /// Spans that this thread started and records. Only it writes here.
    pub started: AtomicU64,
}

/// All that waits in one process, and what became of what does no longer.
#[derive(Debug)]
pub(crate) struct Intake {
    slots: Mutex<Vec<Arc<Slot>>>,
    queue: Mutex<Queue>,
    /// Told when there is something to do.
    wake: Condvar,
    /// Told when something was done.
    done: Condvar,
    /// Told when the recorder's threads are to stop.
    stopping: Condvar,
    /// Whether the recorder's thread sleeps without a time to wake up at.
    asleep: AtomicBool,
    /// Whether there are open spans to be looked at now and then.
    has_running: AtomicBool,
    /// Whether an exporter did not get open spans that it wanted.
    pub running_undelivered: AtomicBool,
    queue_bytes: usize,
    /// So many bytes in the queue are taken out before their time.
    wake_bytes: usize,
    content_version: AtomicU64,
    pub counts: Counts,
    /// What waits in tails.
    pub held: Held,
    /// What became of spans at each exporter, once there are any.
    pub lanes: OnceLock<Vec<Arc<LaneCounts>>>,
}

#[derive(Debug, Default)]
struct Queue {
    full: VecDeque<Chunk>,
    bytes: usize,
    spares: Vec<Chunk>,
    /// Whether the recorder's thread waits, and was not told yet that there are many.
    waits: bool,
    /// What content is allowed.
    content: Arc<Content>,
    /// How many flushes were asked for, how many of them began, and how many are over.
    flushes: u64,
    begun: u64,
    flushed: u64,
    /// Until when the recorder's thread may go on, once it has been told to stop.
    stop_at: Option<Instant>,
    /// Whether the last flush lost nothing.
    flush_delivered: bool,
    stopped: bool,
    has_thread: bool,
}

/// What became of spans.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub(crate) struct Counts {
    /// Started by threads that have ended since.
    pub started_before: AtomicU64,
    pub exported: AtomicU64,
    pub queue_full: AtomicU64,
    pub undelivered: AtomicU64,
    pub rejected: AtomicU64,
    pub after_shutdown: AtomicU64,
    /// Not wanted, as intelligent sampling decided.
    pub sampled_out: AtomicU64,
    pub export_errors: AtomicU64,
    /// Taken by the recorder's thread, and nothing became of them yet.
    pub leaving: AtomicU64,
}

/// What the recorder's thread is to do next.
pub(crate) struct Work {
    pub chunks: Vec<Chunk>,
    /// A flush is due: everything up to here has to leave.
    pub flush: Option<u64>,
    pub stop_at: Option<Instant>,
}

impl Intake {
    pub fn new(queue_bytes: usize, content: Arc<Content>) -> Self {
        Intake {
            slots: Mutex::default(),
            queue: Mutex::new(Queue { content, ..Queue::default() }),
            wake: Condvar::new(),
            done: Condvar::new(),
            stopping: Condvar::new(),
            asleep: AtomicBool::new(true),
            has_running: AtomicBool::new(false),
            running_undelivered: AtomicBool::new(false),
            queue_bytes,
            wake_bytes: (queue_bytes / 8).min(CHUNKS_TO_WAKE * CHUNK_BYTES),
            content_version: AtomicU64::new(0),
            counts: Counts::default(),
            held: Held::default(),
            lanes: OnceLock::new(),
        }
    }

    /// What content is allowed now.
    pub fn content(&self) -> Arc<Content> {
        Arc::clone(&lock(&self.queue).content)
    }

    /// Changes with what content is allowed.
    pub fn content_version(&self) -> u64 {
        self.content_version.load(Relaxed)
    }

    pub fn queue_bytes(&self) -> usize {
        self.queue_bytes
    }

    /// A place for the calling thread's spans.
    pub fn slot(&self) -> Arc<Slot> {
        let slot = Arc::new(Slot::default());
        lock(&self.slots).push(Arc::clone(&slot));
        slot
    }

    /// Adds a span; `write` is told whether it is the first since the slot was emptied. Says
    /// whether somebody has to [wake](Intake::wake_up) the recorder's thread up.
    #[inline]
    pub fn push(
        &self,
        slot: &Slot,
        scope: ScopeId,
        write: impl FnOnce(&mut Vec<u8>, bool),
    ) -> bool {
        let mut chunk = lock(&slot.chunk);
        let is_first = chunk.n_spans == 0;
        chunk.push(scope, |out| write(out, is_first));
        if chunk.is_full() {
            let full = std::mem::take(&mut *chunk);
            *chunk = self.submit(full);
        }
        is_first && self.asleep.load(Relaxed)
    }

    /// Notes that a span is open that is to be looked at. Says whether somebody has to
    /// [wake](Intake::wake_up) the recorder's thread up.
    pub fn note_running(&self) -> bool {
        !self.has_running.swap(true, Relaxed)
    }

    /// For the recorder's thread: the open spans that are to be seen now. With `again`, also those
    /// that have not changed since.
    pub fn running(&self, every: Duration, again: bool) -> Option<Chunk> {
        // Before the slots are looked at: a span that starts later wakes the thread up.
        if !self.has_running.swap(false, Relaxed) {
            return None;
        }
        let slots = lock(&self.slots).clone();
        let mut chunk = Chunk::under(self.content());
        let now = Instant::now();
        let mut is_any_open = false;
        for slot in &slots {
            is_any_open |= slot.running.push_due(&mut chunk, now, every, again);
        }
        if is_any_open {
            self.has_running.store(true, Relaxed);
        }
        Some(chunk).filter(|chunk| chunk.n_spans > 0)
    }

    /// Queues a full chunk, or drops and counts it; returns an empty one in its place.
    pub fn submit(&self, full: Chunk) -> Chunk {
        let mut queue = lock(&self.queue);
        let mut spare = queue.spares.pop().unwrap_or_else(Chunk::roomy);
        if queue.stopped {
            self.counts.after_shutdown.fetch_add(full.n_spans as u64, Relaxed);
        } else if queue.bytes + full.len() > self.queue_bytes {
            self.counts.queue_full.fetch_add(full.n_spans as u64, Relaxed);
            spare = full;
            spare.clear();
        } else {
            queue.bytes += full.len();
            queue.full.push_back(full);
            if queue.bytes >= self.wake_bytes && std::mem::take(&mut queue.waits) {
                drop(queue);
                self.wake.notify_one();
            }
        }
        spare
    }

    /// Wakes the recorder's thread up. Says whether there is none yet.
    pub fn wake_up(&self) -> bool {
        let mut queue = lock(&self.queue);
        self.asleep.store(false, Relaxed);
        self.wake.notify_one();
        let is_missing = !queue.has_thread && !queue.stopped;
        queue.has_thread |= is_missing;
        is_missing
    }

    /// For the recorder's thread: waits until something is due.
    pub fn next(&self, export_every: Duration) -> Work {
        let mut queue = lock(&self.queue);
        let due = Instant::now() + export_every;
        let ready = |queue: &Queue| {
            let is_much = !queue.full.is_empty() && queue.bytes >= self.wake_bytes;
            is_much || queue.flushes > queue.begun || queue.stop_at.is_some()
        };
        while !ready(&queue) {
            queue.waits = true;
            let nothing_comes = !self.has_running.load(Relaxed) && queue.full.is_empty();
            if self.asleep.load(Relaxed) && nothing_comes {
                queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue = self.wake.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.waits = false;
        let mut chunks: Vec<_> = queue.full.drain(..).collect();
        self.leave(&queue, &mut chunks);
        let work = (queue.stop_at, (queue.flushes > queue.begun).then_some(queue.flushes));
        queue.begun = queue.flushes;
        drop(queue);
        // Before the slots are looked at: a span that comes later wakes the thread again.
        self.asleep.store(true, Relaxed);
        let n_full = chunks.len();
        self.sweep(&mut chunks);
        if chunks.len() > n_full {
            self.asleep.store(false, Relaxed);
        }
        Work { chunks, flush: work.1, stop_at: work.0 }
    }

    /// Takes what is in the threads' own chunks, and forgets threads that have ended.
    fn sweep(&self, into: &mut Vec<Chunk>) {
        lock(&self.slots).retain(|slot| {
            // A span may be open for longer than the thread that started it.
            let has_ended = Arc::strong_count(slot) == 1 && slot.running.is_empty();
            let mut chunk = lock(&slot.chunk);
            if chunk.n_spans > 0 {
                let mut queue = lock(&self.queue);
                queue.bytes += chunk.len();
                let spare = queue.spares.pop().unwrap_or_default();
                let mut taken = std::mem::replace(&mut *chunk, spare);
                self.leave(&queue, std::slice::from_mut(&mut taken));
                into.push(taken);
            }
            if has_ended {
                self.counts.started_before.fetch_add(slot.started.load(Relaxed), Relaxed);
            }
            !has_ended
        });
    }

    /// Chunks are taken: says under which rules, and counts them until something becomes of them.
    fn leave(&self, queue: &Queue, chunks: &mut [Chunk]) {
        for chunk in chunks {
            chunk.content.get_or_insert_with(|| Arc::clone(&queue.content));
            self.counts.leaving.fetch_add(chunk.n_spans as u64, Relaxed);
        }
    }

    /// Allows other content from now on. What has ended before stays under the old rules.
    pub fn set_content(&self, content: Arc<Content>) {
        let mut ended = Vec::new();
        for slot in lock(&self.slots).iter() {
            let mut chunk = lock(&slot.chunk);
            if chunk.n_spans > 0 {
                ended.push(std::mem::take(&mut *chunk));
            }
        }
        let mut queue = lock(&self.queue);
        queue.bytes += ended.iter().map(Chunk::len).sum::<usize>();
        queue.full.extend(ended);
        let old = std::mem::replace(&mut queue.content, content);
        self.content_version.fetch_add(1, Relaxed);
        for chunk in &mut queue.full {
            chunk.content.get_or_insert_with(|| Arc::clone(&old));
        }
        self.wake.notify_one();
    }

    /// For the recorder's thread: this much no longer counts as waiting here.
    pub fn release(&self, n_bytes: usize) {
        let mut queue = lock(&self.queue);
        queue.bytes = queue.bytes.saturating_sub(n_bytes);
    }

    /// For the recorder's threads: these may be filled again.
    pub fn recycle(&self, chunks: Vec<Chunk>) {
        let mut queue = lock(&self.queue);
        for mut chunk in chunks {
            if queue.spares.len() < SPARES {
                chunk.clear();
                queue.spares.push(chunk);
            }
        }
    }

    /// For the recorder's thread: a flush is over.
    pub fn flushed(&self, flush: u64, delivered: bool) {
        let mut queue = lock(&self.queue);
        queue.flushed = flush;
        queue.flush_delivered = delivered;
        self.done.notify_all();
    }

    /// For the recorder's threads: waits before another attempt, at most until they are to stop.
    pub fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut queue = lock(&self.queue);
        loop {
            let until = queue.stop_at.map_or(until, |stop| stop.min(until));
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.stopping.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Until when the recorder's thread may go on, if it was told to stop.
    pub fn stop_at(&self) -> Option<Instant> {
        lock(&self.queue).stop_at
    }

    /// For the recorder's thread: it ends. What still comes is dropped and counted.
    pub fn stopped(&self) {
        let mut queue = lock(&self.queue);
        queue.stopped = true;
        let left: usize = queue.full.drain(..).map(|chunk| chunk.n_spans).sum();
        self.counts.undelivered.fetch_add(left as u64, Relaxed);
        queue.bytes = 0;
        self.done.notify_all();
    }

    /// Asks for everything that has ended to be delivered, and waits. `false` when not all of it
    /// was, or the time was over before.
    pub fn flush(&self, timeout: Duration) -> bool {
        let mut queue = lock(&self.queue);
        if !queue.has_thread {
            return true;
        }
        queue.flushes += 1;
        let own = queue.flushes;
        self.wake.notify_all();
        let pending = |queue: &mut Queue| queue.flushed < own && !queue.stopped;
        let waited = self.done.wait_timeout_while(queue, timeout, pending);
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.flushed >= own && queue.flush_delivered
    }

    /// Tells the recorder's thread to deliver what it can and to stop, and waits for it. `false`
    /// when the time was over before.
    pub fn stop(&self, timeout: Duration) -> bool {
        let mut queue = lock(&self.queue);
        if !queue.has_thread {
            queue.stopped = true;
            return true;
        }
        queue.stop_at.get_or_insert(Instant::now() + timeout);
        self.wake.notify_all();
        self.stopping.notify_all();
        // The exporter looks at the deadline now and then, not all the time.
        let waited = self.done.wait_timeout_while(queue, timeout + GRACE, |queue| !queue.stopped);
        waited.unwrap_or_else(PoisonError::into_inner).0.stopped
    }

    /// Spans started and recorded so far.
    pub fn n_started(&self) -> u64 {
        let running: u64 = lock(&self.slots).iter().map(|slot| slot.started.load(Relaxed)).sum();
        running + self.counts.started_before.load(Relaxed)
    }

    /// Spans that wait to leave.
    pub fn n_waiting(&self) -> usize {
        let in_slots: usize = lock(&self.slots).iter().map(|slot| lock(&slot.chunk).n_spans).sum();
        let in_tails = self.held.spans.load(Relaxed);
        let leaving = self.counts.leaving.load(Relaxed) as usize;
        in_slots
            + in_tails
            + leaving
            + lock(&self.queue).full.iter().map(Chunk::n_spans).sum::<usize>()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
