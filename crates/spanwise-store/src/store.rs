//! The store as its users see it, and what its threads share.

mod open;
mod shared;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use spanwise_model::summary::TraceSummary;
use spanwise_model::{RowRole, SpanId, StoredSpan, TraceId};
use tokio::sync::{broadcast, oneshot};

pub(crate) use self::shared::{Checkpoint, Shared, now_unix_nano};
use crate::bodies::BodyMark;
use crate::committer::Pending;
use crate::live::{View, live_bytes};
use crate::query::{
    Detail, Field, FieldInfo, Page, QueryError, Series, SpanHit, SpanQuery, StatsQuery, TraceQuery,
    exec,
};
use crate::segment::{Segment, SegmentError};
use crate::wal::Wal;
use crate::{AppendError, Appended, Config, Hooks, LoggedBody, OpenError, Replay};

/// A folder of durable traces, open for appends and queries.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What a query reads: everything that was visible at one moment, each span once.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Spans that are not in a segment.
    pub live: View,
    /// Segments, oldest first.
    pub segments: Vec<Arc<Segment>>,
}

/// How a store is doing.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Bytes of records in the write-ahead log.
    pub wal_bytes: u64,
    /// Rows that wait to be sealed.
    pub live_rows: usize,
    /// Spans that have not ended.
    pub running_spans: usize,
    /// About how much memory they take.
    pub live_bytes: usize,
    /// Generations that are closed and wait to be sealed.
    pub sealing: usize,
    /// Segments that are served.
    pub segments: usize,
    /// Rows in them, log records included.
    pub segment_rows: u64,
    /// Bytes of their files, without text indexes.
    pub segment_bytes: u64,
    /// Rows of segments without a text index yet; a text search scans them.
    pub text_pending_rows: u64,
    /// All spans that started before this are in the text index; `None` when there is nothing to
    /// index at all.
    pub indexed_up_to_unix_nano: Option<u64>,
    /// Bytes that may still be written, as last asked.
    pub free_bytes: u64,
    /// Why the store takes no more spans until it is opened again.
    pub poisoned: Option<String>,
    /// Why sealing does not get on.
    pub seal_failure: Option<String>,
    /// Files that are not served because they are damaged.
    pub set_aside: Vec<SetAside>,
    /// What opening found in the log.
    pub recovery: Recovery,
}

/// A damaged file or segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is.
    pub path: std::path::PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// What opening found in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bodies that were not in segments.
    pub bodies: u64,
    /// Their rows.
    pub rows: u64,
    /// Bytes of a write that was cut short; they were never acknowledged.
    pub torn_bytes: u64,
    /// How long opening took.
    pub took: Duration,
}

/// Why spans were not sealed or segments not merged. They are where they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealError(pub(crate) String);

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SealError {}

impl From<std::io::Error> for SealError {
    fn from(error: std::io::Error) -> Self {
        SealError(error.to_string())
    }
}

impl From<SegmentError> for SealError {
    fn from(error: SegmentError) -> Self {
        SealError(error.to_string())
    }
}

impl Store {
    /// Opens a data folder, making it if it is missing. Spans that were logged but are not in a
    /// segment are made again with `replay`.
    #[expect(clippy::needless_pass_by_value, reason = "it is shared with whoever accepts spans")]
    pub fn open(config: Config, replay: Arc<Replay>) -> Result<Store, OpenError> {
        Store::open_with(config, &*replay, Hooks::default())
    }

    /// As [`open`](Self::open), with something in place of the outside world.
    pub fn open_with(config: Config, replay: &Replay, hooks: Hooks) -> Result<Store, OpenError> {
        open::open(config, replay, hooks)
    }

    /// Whether an append would be tried now. Asked before a body is read, so that what has to be
    /// refused under pressure costs nothing.
    pub fn admit(&self) -> Result<(), AppendError> {
        self.shared.admit()
    }

    /// Makes a body durable and its spans visible. `Ok` means that both are done; an error means
    /// that nothing of it is kept. If the caller does not wait for the answer, it happens all the
    /// same.
    pub async fn append(
        &self,
        body: LoggedBody,
        spans: Vec<StoredSpan>,
    ) -> Result<Appended, AppendError> {
        if spans.is_empty() {
            return Ok(Appended::New { spans: 0, duplicates: 0 });
        }
        self.shared.admit()?;
        if Wal::record_bytes(&body).is_none() {
            return Err(AppendError::TooLarge { bytes: body.body.len() });
        }
        let live_bytes = spans.iter().map(live_bytes).sum();
        let rows = spans.into_iter().map(Arc::new).collect();
        let mark = BodyMark::of(&body);
        let (reply, answer) = oneshot::channel();
        let pending = Pending { body, mark, rows, live_bytes, reply };
        self.shared.queue.push(pending).map_err(|_| AppendError::Closed)?;
        // The thread that logs answers everything it takes, unless it is gone.
        let gone = |_| AppendError::LogFailed("the thread that writes the log stopped".to_owned());
        answer.await.map_err(gone)?
    }

    /// The rows of each body from now on, as they become visible. Whoever is too slow misses
    /// some, and is told so.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<[Arc<StoredSpan>]>> {
        self.shared.subscribers.subscribe()
    }

    /// What is visible now.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// The spans and log records of a trace by start; `None` if there is no such trace.
    pub fn trace(
        &self,
        project: &str,
        id: TraceId,
        detail: Detail,
    ) -> Result<Option<Vec<StoredSpan>>, QueryError> {
        let rows = self.shared.query(|snapshot| snapshot.trace(project, id, detail))?;
        Ok(Some(rows).filter(|rows| !rows.is_empty()))
    }

    /// A span with the log records that belong to it, by start; empty if there is no such span.
    /// More than one span has been recorded with the same ids if there are several.
    pub fn span(
        &self,
        project: &str,
        trace_id: TraceId,
        span_id: SpanId,
    ) -> Result<Vec<StoredSpan>, QueryError> {
        let mut rows =
            self.shared.query(|snapshot| snapshot.trace(project, trace_id, Detail::Full))?;
        rows.retain(|row| row.span.span_id == span_id);
        let has_span = rows.iter().any(|row| row.role == RowRole::Span);
        Ok(if has_span { rows } else { Vec::new() })
    }

    /// A page of traces.
    pub fn traces(&self, query: &TraceQuery) -> Result<Page<TraceSummary>, QueryError> {
        self.shared.query(|snapshot| exec::traces(snapshot, query))
    }

    /// A page of spans.
    pub fn spans(&self, query: &SpanQuery) -> Result<Page<SpanHit>, QueryError> {
        self.shared.query(|snapshot| exec::spans(snapshot, query))
    }

    /// Numbers over many spans.
    pub fn stats(&self, query: &StatsQuery) -> Result<Vec<Series>, QueryError> {
        self.shared.query(|snapshot| exec::stats(snapshot, query))
    }

    /// The fields that spans of a project have.
    pub fn fields(&self, project: &Arc<str>) -> Result<Vec<FieldInfo>, QueryError> {
        self.shared.query(|snapshot| exec::fields(snapshot, project))
    }

    /// Values of a field that start with `prefix`, the most frequent first, with their counts.
    pub fn field_values(
        &self,
        project: &Arc<str>,
        field: &Field,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, QueryError> {
        self.shared.query(|snapshot| exec::field_values(snapshot, project, field, prefix, limit))
    }

    /// How the store is doing.
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Makes a segment of everything that is live now, and waits for it.
    pub fn seal(&self) -> Result<(), SealError> {
        self.shared.rotate();
        self.shared.seal_queue.wait()
    }

    /// Takes no more spans, finishes those that wait, and ends all threads. What is live stays in
    /// the log. May be called again.
    pub fn close(&self) {
        self.shared.queue.close();
        self.shared.seal_queue.stop();
        self.shared.compaction.stop();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl Snapshot {
    /// The rows of a trace by start. The same row twice (a batch that was sent again after its
    /// first copy had been sealed) is given once.
    fn trace(
        &self,
        project: &str,
        id: TraceId,
        detail: Detail,
    ) -> Result<Vec<StoredSpan>, QueryError> {
        let mut rows = Vec::new();
        for segment in &self.segments {
            rows.append(&mut segment.trace(project, id, detail).map_err(|e| storage(&e))?);
        }
        rows.extend(self.live.trace(project, id).map(|row| StoredSpan::clone(row)));
        let key = |row: &StoredSpan| {
            let span = &row.span;
            (span.start_time_unix_nano, row.role as u8, span.span_id, row.received_unix_nano)
        };
        rows.sort_by_cached_key(key);
        rows.dedup_by(|next, first| next.role == first.role && next.span == first.span);
        let superseded = superseded(rows.iter());
        if !superseded.is_empty() {
            rows.retain(|row| !(row.is_running() && superseded.contains(&row.span.span_id)));
        }
        Ok(rows)
    }
}

/// The spans of one trace that are there as they were while they ran and as they ended: a span was
/// given up, and ended after all.
pub(crate) fn superseded<'a>(
    rows: impl Iterator<Item = &'a StoredSpan> + Clone,
) -> HashSet<SpanId> {
    let mut running: HashSet<SpanId> =
        rows.clone().filter(|row| row.is_running()).map(|row| row.span.span_id).collect();
    if !running.is_empty() {
        let has_ended = |row: &&StoredSpan| row.role == RowRole::Span && !row.is_running();
        let ended: HashSet<SpanId> = rows.filter(has_ended).map(|row| row.span.span_id).collect();
        running.retain(|id| ended.contains(id));
    }
    running
}

fn storage(error: &SegmentError) -> QueryError {
    QueryError::Storage(error.to_string())
}
