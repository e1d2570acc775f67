//! `GET /api/v1/live`: server-sent events with the summaries of traces as they arrive or grow.
//!
//! What arrives is gathered for a quarter of a second, so that a busy trace is sent once and not
//! for each of its spans. A client that does not keep up is dropped, never buffered for: it
//! connects again and asks for a page.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde_json::json;
use spanwise_model::{StoredSpan, TraceId};
use spanwise_store::Store;
use spanwise_store::query::{Detail, Filter};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::params::Params;
use super::traces::Trace;
use super::wire::TraceSummaryJson;
use super::{Shared, blocking};
use crate::auth::Caller;
use crate::error::ApiError;

/// How long arrivals are gathered.
const GATHER: Duration = Duration::from_millis(250);

/// So often an idle connection gets a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How many traces are sent at once; a flood is told by its number.
const MAX_TRACES: usize = 100;

/// How many events wait for a client before it counts as too slow.
const BACKLOG: usize = 2 * MAX_TRACES;

/// How many clients follow at once.
static PLACES: Semaphore = Semaphore::const_new(100);

/// `GET /api/v1/live`
pub async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<impl IntoResponse, ApiError> {
    let filter = Arc::new(params.filter()?);
    let place = PLACES.try_acquire().map_err(|_| {
        ApiError::unavailable("too many clients follow already", Duration::from_secs(5))
    })?;
    let (sender, receiver) = mpsc::channel(BACKLOG);
    let follower = Follower {
        arrivals: shared.store.subscribe(),
        shared,
        project: caller.project,
        filter,
        sender,
    };
    tokio::spawn(async move {
        let _place = place;
        follower.follow().await;
    });
    let keep_alive = KeepAlive::new().interval(HEARTBEAT).text("still here");
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(keep_alive))
}

/// The rows of one batch that has become visible; all of one project.
type Arrival = Arc<[Arc<StoredSpan>]>;

/// One client that follows.
struct Follower {
    arrivals: Receiver<Arrival>,
    shared: Shared,
    project: Arc<str>,
    filter: Arc<Filter>,
    sender: mpsc::Sender<Result<Event, Infallible>>,
}

/// Traces that have changed since the last look.
#[derive(Default)]
struct Changed {
    traces: HashSet<TraceId>,
    /// Traces that are not among them because there were too many.
    n_skipped: u64,
}

impl Changed {
    fn note(&mut self, rows: &[Arc<StoredSpan>]) {
        let mut last = None;
        for id in rows.iter().map(|row| row.span.trace_id) {
            if last.replace(id) == Some(id) || self.traces.contains(&id) {
                continue;
            }
            if self.traces.len() < MAX_TRACES {
                self.traces.insert(id);
            } else {
                self.n_skipped += 1;
            }
        }
    }
}

impl Follower {
    async fn follow(mut self) {
        // A first event, so that a client knows at once that it is connected.
        if self.sender.try_send(Ok(Event::default().comment("following"))).is_err() {
            return;
        }
        let mut stopping = self.shared.stopping.clone();
        loop {
            let changed = tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return,
                () = self.sender.closed() => return,
                changed = gather(&mut self.arrivals, &self.project) => changed,
            };
            let Some(changed) = changed else { return };
            if self.send(changed).await.is_none() {
                return;
            }
        }
    }

    /// Sends what matches; `None` when the client is gone or too slow.
    async fn send(&self, changed: Changed) -> Option<()> {
        let Changed { traces, n_skipped } = changed;
        let (store, project, filter) =
            (Arc::clone(&self.shared.store), Arc::clone(&self.project), Arc::clone(&self.filter));
        let found = blocking(move || {
            Ok(traces
                .into_iter()
                .filter_map(|id| summary(&store, &project, id, &filter).transpose())
                .collect::<Vec<_>>())
        });
        for found in found.await.ok()? {
            self.emit(match found {
                Ok(summary) => Event::default().event("trace").data(summary),
                Err(error) => Event::default().event("error").data(error.message),
            })?;
        }
        if n_skipped > 0 {
            let data = json!({"traces": n_skipped}).to_string();
            self.emit(Event::default().event("skipped").data(data))?;
        }
        Some(())
    }

    fn emit(&self, event: Event) -> Option<()> {
        self.sender
            .try_send(Ok(event))
            .inspect_err(|_| {
                self.shared.metrics.live_dropped.fetch_add(1, Ordering::Relaxed);
            })
            .ok()
    }
}

/// Waits for something to change in the project and gathers what else changes shortly after.
/// `None` when nothing more will come.
async fn gather(arrivals: &mut Receiver<Arrival>, project: &str) -> Option<Changed> {
    let mut changed = Changed::default();
    let mut deadline = None;
    loop {
        let next = match deadline {
            None => arrivals.recv().await,
            Some(deadline) => match tokio::time::timeout_at(deadline, arrivals.recv()).await {
                Ok(next) => next,
                Err(_) => return Some(changed),
            },
        };
        match next {
            Ok(rows) if rows.first().is_some_and(|row| *row.project == *project) => {
                changed.note(&rows);
            }
            Ok(_) => continue,
            Err(RecvError::Lagged(n)) => changed.n_skipped += n,
            Err(RecvError::Closed) => return None,
        }
        deadline.get_or_insert_with(|| Instant::now() + GATHER);
    }
}

/// A trace's summary as JSON, if one of its spans matches.
fn summary(
    store: &Store,
    project: &Arc<str>,
    id: TraceId,
    filter: &Filter,
) -> Result<Option<String>, ApiError> {
    let detail = if filter.is_all() { Detail::Outline } else { Detail::Full };
    let Some(rows) = store.trace(project, id, detail)? else { return Ok(None) };
    let trace = Trace::of(project, id, rows);
    if !trace.matches(filter) {
        return Ok(None);
    }
    serde_json::to_string(&TraceSummaryJson::from(&trace.summary))
        .map(Some)
        .map_err(|error| ApiError::internal(error.to_string()))
}
