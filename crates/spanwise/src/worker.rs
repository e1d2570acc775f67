//! The recorder's thread: makes batches of what has ended and has them delivered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::export::{Batch, Delivered, ExportError, Exporter, Retry};
use crate::intake::{Chunk, Intake};
use crate::recorder::Recorder;

/// Bytes of spans in one batch, about.
const BATCH_BYTES: usize = 2 << 20;
/// The pause before the second attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Starts the recorder's thread. Where that is impossible spans wait, and are counted when too
/// many do.
pub(crate) fn spawn(recorder: Arc<Recorder>) {
    let run = move || {
        let intake = Arc::clone(recorder.intake());
        Worker::new(&recorder, &intake).run();
        intake.stopped();
    };
    if let Err(error) = std::thread::Builder::new().name("spanwise-export".to_owned()).spawn(run) {
        tracing::error!(%error, "the thread that delivers spans was not started");
    }
}

struct Worker<'a> {
    recorder: &'a Recorder,
    intake: &'a Intake,
    exporters: Vec<Box<dyn Exporter>>,
}

impl<'a> Worker<'a> {
    fn new(recorder: &'a Recorder, intake: &'a Intake) -> Self {
        let exporters = recorder.settings().exporters.iter().map(|make| make()).collect();
        Worker { recorder, intake, exporters }
    }

    fn run(&mut self) {
        loop {
            let work = self.intake.next(self.recorder.settings().export_every);
            let lost_before = self.n_lost();
            self.deliver(work.chunks);
            if let Some(flush) = work.flush {
                self.intake.flushed(flush, self.n_lost() == lost_before);
            }
            if work.stop_at.is_some() {
                return;
            }
        }
    }

    fn n_lost(&self) -> u64 {
        let counts = &self.intake.counts;
        let lost = [&counts.queue_full, &counts.undelivered, &counts.rejected];
        lost.into_iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Delivers chunks in batches of a size that receivers like.
    fn deliver(&mut self, chunks: Vec<Chunk>) {
        let mut chunks = chunks.into_iter().peekable();
        while chunks.peek().is_some() {
            let mut bytes = 0;
            let fits = |chunk: &Chunk| {
                bytes += chunk.len();
                bytes == chunk.len() || bytes <= BATCH_BYTES
            };
            let some = take_while_next(&mut chunks, fits);
            self.deliver_batch(some);
        }
    }

    fn deliver_batch(&mut self, chunks: Vec<Chunk>) {
        let resource = self.recorder.settings().resource.clone();
        let batch = Batch::new(resource, self.recorder.scopes(), chunks);
        let timeout = self.recorder.settings().export_timeout;
        for exporter in &mut self.exporters {
            deliver_to(exporter.as_mut(), &batch, self.intake, timeout);
        }
        self.intake.release(batch.into_chunks());
    }
}

/// Has one exporter deliver a batch, as often as it takes and time allows.
fn deliver_to(exporter: &mut dyn Exporter, batch: &Batch, intake: &Intake, timeout: Duration) {
    let give_up = Instant::now() + timeout;
    let mut pause = FIRST_PAUSE;
    let counts = &intake.counts;
    let n_spans = batch.len() as u64;
    loop {
        let deadline = intake.stop_at().map_or(give_up, |stop| stop.min(give_up));
        let error = match attempt(exporter, batch, deadline) {
            Ok(delivered) => {
                let rejected = delivered.rejected.min(n_spans);
                if rejected > 0 {
                    tracing::warn!(rejected, reason = %delivered.reason, "spans were refused");
                }
                add(&counts.rejected, rejected);
                return add(&counts.exported, n_spans - rejected);
            }
            Err(error) => error,
        };
        add(&counts.export_errors, 1);
        let wait = match error.retry {
            Retry::Never => None,
            Retry::Later => Some(pause),
            Retry::After(asked) => Some(asked),
        };
        let deadline = intake.stop_at().map_or(give_up, |stop| stop.min(give_up));
        let Some(wait) = wait.filter(|wait| Instant::now() + *wait < deadline) else {
            tracing::warn!(%error, n_spans, "spans were dropped");
            return add(&counts.undelivered, n_spans);
        };
        tracing::debug!(%error, ?wait, "spans were not delivered, trying again");
        intake.pause(wait);
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// One attempt. An exporter may be the application's code.
fn attempt(
    exporter: &mut dyn Exporter,
    batch: &Batch,
    deadline: Instant,
) -> Result<Delivered, ExportError> {
    let attempt = AssertUnwindSafe(|| exporter.export(batch, deadline));
    catch_unwind(attempt).unwrap_or_else(|_| {
        Err(ExportError { reason: "the exporter panicked".to_owned(), retry: Retry::Never })
    })
}

fn add(count: &AtomicU64, n: u64) {
    count.fetch_add(n, Relaxed);
}

/// Takes from the front as long as `fits` says so.
fn take_while_next<T>(
    from: &mut std::iter::Peekable<impl Iterator<Item = T>>,
    mut fits: impl FnMut(&T) -> bool,
) -> Vec<T> {
    std::iter::from_fn(|| from.next_if(|next| fits(next))).collect()
}
