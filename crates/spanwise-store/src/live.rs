//! The live index: which spans are logged but not yet in a segment?
//!
//! Spans are kept in generations. One takes new spans; the others wait, oldest first, to be
//! sealed. A generation only ever grows, at one end, so a reader needs no lock: a [`View`] is the
//! generations there were and how many spans each held. Spans that have not ended are kept apart
//! (`running`), as they will be replaced.

mod append_vec;
mod running;
mod size;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use spanwise_model::{RowRole, SpanId, StoredSpan, TraceId, Warning};

use self::append_vec::AppendVec;
pub(crate) use self::running::Running;
pub(crate) use self::size::live_bytes;
use crate::bodies::BodyMark;

/// How many spans with the same ids are compared before a further one is kept unseen.
const MAX_COMPARED: usize = 64;
/// A generation is sealed when nothing has been received for this long …
const QUIET: Duration = Duration::from_secs(5);
/// … and it takes this much memory: a trickle should not make many small segments.
const QUIET_BYTES: usize = 8 << 20;
/// Ends a chain of entries.
const NONE: u32 = u32::MAX;

/// Spans that become one segment.
#[derive(Debug)]
pub struct Generation {
    number: u64,
    entries: AppendVec<Entry>,
    /// The newest entry of each trace.
    traces: RwLock<HashMap<TraceId, u32>>,
    /// Entries that are running spans which were given up.
    given_up: OnceLock<Vec<Arc<StoredSpan>>>,
    bytes: AtomicUsize,
    /// When its first span was received; 0 while it is empty.
    first_received_unix_nano: AtomicU64,
    /// When its last one was.
    last_received_unix_nano: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    span: Arc<StoredSpan>,
    /// The entry before this one of the same trace id.
    previous: u32,
}

impl Generation {
    fn new(number: u64) -> Self {
        Generation {
            number,
            entries: AppendVec::default(),
            traces: RwLock::default(),
            given_up: OnceLock::new(),
            bytes: AtomicUsize::new(0),
            first_received_unix_nano: AtomicU64::new(0),
            last_received_unix_nano: AtomicU64::new(0),
        }
    }

    /// Distinguishes generations of one process.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How many spans it holds by now.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When its first span was received.
    pub(crate) fn first_received_unix_nano(&self) -> Option<u64> {
        Some(self.first_received_unix_nano.load(Ordering::Relaxed)).filter(|&time| time != 0)
    }

    /// Whether it should be sealed now: its first span has waited for `seal_after`, or it takes
    /// memory that is worth giving back and nothing more comes.
    pub(crate) fn is_due(&self, now_unix_nano: u64, seal_after: Duration) -> bool {
        let since = |time| Duration::from_nanos(now_unix_nano.saturating_sub(time));
        let last = self.last_received_unix_nano.load(Ordering::Relaxed);
        self.first_received_unix_nano().is_some_and(|first| {
            since(first) >= seal_after || self.bytes() >= QUIET_BYTES && since(last) >= QUIET
        })
    }

    /// Its spans that were given up: as long as it is not sealed, they are nowhere else for certain,
    /// not even in the log.
    pub(crate) fn given_up(&self) -> &[Arc<StoredSpan>] {
        self.given_up.get().map_or(&[], Vec::as_slice)
    }

    /// Its spans in the order of the log.
    pub(crate) fn spans(&self) -> impl Iterator<Item = &Arc<StoredSpan>> {
        self.first(self.len())
    }

    fn first(&self, len: usize) -> impl DoubleEndedIterator<Item = &Arc<StoredSpan>> {
        (0..len).filter_map(|at| self.entries.get(at)).map(|entry| &entry.span)
    }

    /// The spans with this trace id among the first `len`, newest first, of any project.
    fn trace(&self, id: TraceId, len: usize) -> impl Iterator<Item = &Arc<StoredSpan>> {
        let traces = self.traces.read().unwrap_or_else(PoisonError::into_inner);
        let mut next = traces.get(&id).copied().unwrap_or(NONE);
        drop(traces);
        std::iter::from_fn(move || {
            loop {
                let at = next as usize;
                let entry = self.entries.get(at)?;
                next = entry.previous;
                if at < len {
                    return Some(&entry.span);
                }
            }
        })
    }
}

/// What a reader sees of the live index.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Generations, oldest first, with how many of their spans are seen.
    parts: Vec<(Arc<Generation>, usize)>,
    running: Arc<Running>,
}

impl View {
    /// The first spans of each generation, as many as there are now, and those that run.
    pub(crate) fn of(generations: &[Arc<Generation>], running: Arc<Running>) -> Self {
        let parts = generations.iter().map(|part| (Arc::clone(part), part.len())).collect();
        View { parts, running }
    }

    /// How many rows there are, log records included.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|(_, len)| len).sum::<usize>() + self.running.len()
    }

    /// How many of them are spans that have not ended.
    pub fn n_running(&self) -> usize {
        self.running.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rows in the order in which they were logged, then those that run; from the back, the
    /// last logged first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<StoredSpan>> {
        self.waiting().chain(self.running.iter())
    }

    /// The rows that wait to be sealed.
    pub(crate) fn waiting(&self) -> impl DoubleEndedIterator<Item = &Arc<StoredSpan>> {
        self.parts.iter().flat_map(|(part, len)| part.first(*len))
    }

    /// The rows of one trace, in no particular order.
    pub fn trace<'a>(
        &'a self,
        project: &'a str,
        id: TraceId,
    ) -> impl Iterator<Item = &'a Arc<StoredSpan>> {
        let rows = self.parts.iter().flat_map(move |(part, len)| part.trace(id, *len));
        rows.chain(self.running.trace(id)).filter(move |row| *row.project == *project)
    }

    /// The numbers of the generations seen, oldest first.
    pub fn generations(&self) -> impl Iterator<Item = u64> {
        self.parts.iter().map(|(part, _)| part.number)
    }
}

/// The one place where spans enter the live index.
#[derive(Debug)]
pub(crate) struct Writer {
    active: Arc<Generation>,
    bodies: Vec<BodyMark>,
    /// The first entry with these ids, in every generation that is still live.
    known: Vec<(u64, HashMap<RowKey, Known>)>,
    /// The log's sequence after the last record whose spans are in.
    end_sequence: u64,
}

/// A generation that takes no more spans, with what the catalog must know once it is sealed.
#[derive(Clone, Debug)]
pub(crate) struct Closed {
    pub(crate) generation: Arc<Generation>,
    /// All records before this one are in this generation or in earlier ones.
    pub(crate) end_sequence: u64,
    pub(crate) bodies: Vec<BodyMark>,
}

/// What makes two rows possibly the same. Log records of one span differ by time and name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RowKey {
    trace_id: TraceId,
    span_id: SpanId,
    log_event: Option<(u64, spanwise_model::Str)>,
}

impl RowKey {
    fn of(row: &StoredSpan) -> Self {
        let log_event = (row.role == RowRole::LogEvent)
            .then(|| (row.span.start_time_unix_nano, row.span.name.clone()));
        RowKey { trace_id: row.span.trace_id, span_id: row.span.span_id, log_event }
    }
}

/// The rows with one key; nearly always one.
#[derive(Debug)]
enum Known {
    One(Arc<StoredSpan>),
    Many(Vec<Arc<StoredSpan>>),
}

impl Known {
    fn rows(&self) -> &[Arc<StoredSpan>] {
        match self {
            Known::One(row) => std::slice::from_ref(row),
            Known::Many(rows) => rows,
        }
    }

    fn push(&mut self, row: Arc<StoredSpan>) {
        match self {
            Known::One(first) => *self = Known::Many(vec![Arc::clone(first), row]),
            Known::Many(rows) if rows.len() < MAX_COMPARED => rows.push(row),
            Known::Many(_) => {}
        }
    }
}

/// What is known of a row that arrives.
enum Seen {
    Never,
    Identical,
    SameIds,
}

/// What a batch brings.
#[derive(Debug, Default)]
pub(crate) struct Arrival {
    /// The rows that are new, to be told to those who follow.
    pub(crate) taken: Vec<Arc<StoredSpan>>,
    /// What becomes of running spans, in order.
    changes: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    /// It runs, or goes on running.
    Runs(Arc<StoredSpan>),
    /// The span with the ids of this row runs no longer.
    Ended(Arc<StoredSpan>),
}

impl Arrival {
    /// Whether anything becomes of running spans.
    pub(crate) fn concerns_running(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Brings the running spans up to date.
    pub(crate) fn apply(&self, running: &mut Running) {
        for change in &self.changes {
            match change {
                Change::Runs(row) => running.insert(Arc::clone(row)),
                Change::Ended(row) => running.remove(row),
            }
        }
    }
}

impl Writer {
    pub(crate) fn new(end_sequence: u64) -> Self {
        Writer {
            active: Arc::new(Generation::new(0)),
            bodies: Vec::new(),
            known: vec![(0, HashMap::new())],
            end_sequence,
        }
    }

    /// The generation that takes spans.
    pub(crate) fn active(&self) -> &Arc<Generation> {
        &self.active
    }

    /// Sorts the rows of a batch out. Rows that are live already are left out; a span whose ids
    /// are taken by another is kept with a warning; a running one is left out when it has ended,
    /// here or as `is_sealed` knows.
    pub(crate) fn sort_out(
        &mut self,
        rows: Vec<Arc<StoredSpan>>,
        running: &Running,
        is_sealed: impl Fn(&StoredSpan) -> bool,
    ) -> Arrival {
        let mut arrival = Arrival { taken: Vec::with_capacity(rows.len()), ..Arrival::default() };
        for mut row in rows {
            if row.is_running() {
                let known = running.get(&row);
                let is_news = match known {
                    Some(known) => known.span != row.span,
                    None => !is_sealed(&row),
                };
                if is_news && matches!(self.seen(&row), Seen::Never) {
                    arrival.changes.push(Change::Runs(Arc::clone(&row)));
                    arrival.taken.push(row);
                }
                continue;
            }
            match self.seen(&row) {
                Seen::Identical => continue,
                Seen::SameIds if row.role == RowRole::Span => warn_of_duplicate(&mut row),
                Seen::SameIds | Seen::Never => {}
            }
            self.remember(&row);
            let may_run = !arrival.changes.is_empty() || running.get(&row).is_some();
            if may_run && row.role == RowRole::Span {
                arrival.changes.push(Change::Ended(Arc::clone(&row)));
            }
            arrival.taken.push(row);
        }
        arrival
    }

    /// Makes the rows of a batch visible, all together.
    pub(crate) fn publish(&self, arrival: &Arrival) {
        self.publish_rows(arrival.taken.iter().filter(|row| !row.is_running()));
        let running = arrival.changes.iter().filter_map(|change| match change {
            Change::Runs(row) => Some(live_bytes(row)),
            Change::Ended(_) => None,
        });
        // They are not in the generation, but sealing it frees the log of them.
        self.active.bytes.fetch_add(running.sum(), Ordering::Relaxed);
    }

    /// Moves running spans that are not waited for any longer to those that are sealed, just
    /// before they are.
    pub(crate) fn give_up(&self, running: &mut Running, lost: Vec<Arc<StoredSpan>>) {
        for row in &lost {
            running.remove(row);
        }
        self.publish_rows(lost.iter());
        // A generation is closed once, and this is said once before.
        let _ = self.active.given_up.set(lost);
    }

    /// Notes that the rows of the log's record `sequence` are here.
    pub(crate) fn took(&mut self, sequence: u64, body: BodyMark) {
        let received = body.received_unix_nano.max(1);
        let first = &self.active.first_received_unix_nano;
        let _ = first.compare_exchange(0, received, Ordering::Relaxed, Ordering::Relaxed);
        self.active.last_received_unix_nano.fetch_max(received, Ordering::Relaxed);
        self.bodies.push(body);
        self.end_sequence = sequence + 1;
    }

    /// Starts a new generation and returns the old one.
    pub(crate) fn rotate(&mut self) -> (Closed, Arc<Generation>) {
        let number = self.active.number + 1;
        let next = Arc::new(Generation::new(number));
        let generation = std::mem::replace(&mut self.active, Arc::clone(&next));
        self.known.push((number, HashMap::new()));
        let bodies = std::mem::take(&mut self.bodies);
        (Closed { generation, end_sequence: self.end_sequence, bodies }, next)
    }

    /// Forgets the ids of a generation that has been sealed.
    pub(crate) fn forget(&mut self, generation: u64) {
        self.known.retain(|(number, _)| *number != generation);
    }

    fn seen(&self, row: &StoredSpan) -> Seen {
        let key = RowKey::of(row);
        let mut seen = Seen::Never;
        for known in self.known.iter().filter_map(|(_, known)| known.get(&key)) {
            for other in known.rows().iter().filter(|other| other.project == row.project) {
                if other.span == row.span {
                    return Seen::Identical;
                }
                seen = Seen::SameIds;
            }
        }
        seen
    }

    fn remember(&mut self, row: &Arc<StoredSpan>) {
        if let Some((_, known)) = self.known.last_mut() {
            known
                .entry(RowKey::of(row))
                .and_modify(|rows| rows.push(Arc::clone(row)))
                .or_insert_with(|| Known::One(Arc::clone(row)));
        }
    }

    fn publish_rows<'r>(&self, rows: impl Iterator<Item = &'r Arc<StoredSpan>>) {
        let active = &*self.active;
        let mut traces = active.traces.write().unwrap_or_else(PoisonError::into_inner);
        let mut at = active.len();
        let mut bytes = 0;
        for row in rows {
            bytes += live_bytes(row);
            let previous = traces.insert(row.span.trace_id, at as u32).unwrap_or(NONE);
            active.entries.write(at, Entry { span: Arc::clone(row), previous });
            at += 1;
        }
        active.bytes.fetch_add(bytes, Ordering::Relaxed);
        active.entries.publish(at);
    }
}

fn warn_of_duplicate(row: &mut Arc<StoredSpan>) {
    let message = "another span with the same trace id and span id has different content";
    Arc::make_mut(row).warnings.push(Warning::new("duplicate_id", message));
}

#[cfg(test)]
mod tests;
