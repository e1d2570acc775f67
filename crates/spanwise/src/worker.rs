//! The recorder's thread: makes batches of what has ended and has them delivered. One exporter
//! works on this thread; several have a lane each, so that none waits for another.

mod lane;

use std::iter::Peekable;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use spanwise_model::propagate::{Baggage, SpanContext, TraceFlags, TraceState};
use spanwise_model::{Resource, SpanId, TraceId};

use self::lane::{Flush, Lane, LaneThread, Shipment};
use crate::content::Content;
use crate::context::Context;
use crate::export::Batch;
use crate::intake::{Chunk, Intake};
use crate::recorder::Recorder;
use crate::span::{Entered, Span};

pub(crate) use self::lane::LaneCounts;

/// Bytes of spans in one batch, about.
const BATCH_BYTES: usize = 2 << 20;

/// Starts the recorder's thread. Where that is impossible spans wait, and are counted when too
/// many do.
pub(crate) fn spawn(recorder: Arc<Recorder>) {
    let run = move || {
        let _quiet = untraced();
        let intake = Arc::clone(recorder.intake());
        Worker::new(&recorder, &intake).run();
        intake.stopped();
    };
    if let Err(error) = std::thread::Builder::new().name("spanwise-export".to_owned()).spawn(run) {
        tracing::error!(%error, "the thread that delivers spans was not started");
    }
}

/// Makes the calling thread part of a trace that is not recorded: spans of delivering spans would
/// have to be delivered in turn, for ever.
fn untraced() -> Option<Entered> {
    let context = SpanContext {
        trace_id: TraceId::from_bytes(&[0xff; 16]).ok()?,
        span_id: SpanId::from_bytes(&[0xff; 8]).ok()?,
        flags: TraceFlags::default(),
        trace_state: TraceState::default(),
    };
    Some(Span::remote(Context::remote(context, Baggage::default())).enter())
}

struct Worker<'a> {
    recorder: &'a Recorder,
    intake: &'a Arc<Intake>,
    resource: Arc<Resource>,
    lanes: Lanes,
    /// How many spans had found the queue full at the last flush.
    n_lost: u64,
}

enum Lanes {
    /// Spans go nowhere.
    None,
    Here(Box<Lane>),
    Threads(Vec<LaneThread>),
}

impl<'a> Worker<'a> {
    fn new(recorder: &'a Recorder, intake: &'a Arc<Intake>) -> Self {
        let settings = recorder.settings();
        let exporters = settings.exporters.iter().map(|make| make());
        let lane = |exporter| Lane::new(exporter, Arc::clone(intake), settings.export_timeout);
        let mut lanes: Vec<Lane> = exporters.map(lane).collect();
        let counts = lanes.iter().map(Lane::counts).collect();
        // Nobody else sets it: there is one such thread in a process.
        let _ = intake.lanes.set(counts);
        let lanes = match lanes.len() {
            0 => Lanes::None,
            1 => lanes.pop().map_or(Lanes::None, |lane| Lanes::Here(Box::new(lane))),
            _ => {
                let start = |lane| LaneThread::start(lane, settings.queue_bytes);
                Lanes::Threads(lanes.into_iter().map(start).collect())
            }
        };
        Worker { recorder, intake, resource: recorder.resource(), lanes, n_lost: 0 }
    }

    fn run(mut self) {
        loop {
            let work = self.intake.next(self.recorder.settings().export_every);
            self.deliver(work.chunks);
            self.show_running(work.stop_at.is_some());
            if let Some(flush) = work.flush {
                self.flush(flush);
            }
            if work.stop_at.is_some() {
                break;
            }
        }
        if let Lanes::Threads(threads) = self.lanes {
            let stopping: Vec<_> = threads.into_iter().map(LaneThread::stop).collect();
            for thread in stopping.into_iter().flatten() {
                // What an exporter does is caught where it is called.
                let _ = thread.join();
            }
        }
    }

    /// Delivers spans that have not ended, after all that have. At the end these are all there are:
    /// nobody will hear of them again.
    fn show_running(&mut self, is_last: bool) {
        let Some(every) = self.recorder.settings().running_every else { return };
        let again = self.intake.running_undelivered.swap(false, Relaxed);
        let due = if is_last { Duration::ZERO } else { every };
        let Some(chunk) = self.intake.running(due, again) else { return };
        let content = chunk.content().cloned().unwrap_or_default();
        let mut batch = self.batch(vec![chunk]);
        if !remove_content(&mut batch, &content) {
            return;
        }
        let deadline = Instant::now() + every;
        match &mut self.lanes {
            Lanes::None => {}
            Lanes::Here(lane) => lane.show(&batch, deadline),
            Lanes::Threads(threads) => {
                let batch = Arc::new(batch);
                for thread in threads {
                    thread.show(&batch, deadline, self.intake);
                }
            }
        }
    }

    fn flush(&mut self, flush: u64) {
        let n_lost = self.intake.counts.queue_full.load(Relaxed);
        let nothing_lost = std::mem::replace(&mut self.n_lost, n_lost) == n_lost;
        match &mut self.lanes {
            Lanes::None => self.intake.flushed(flush, nothing_lost),
            Lanes::Here(lane) => lane.flush(&Flush::new(flush, 1, nothing_lost)),
            Lanes::Threads(threads) => {
                let flush = Arc::new(Flush::new(flush, threads.len(), nothing_lost));
                for thread in threads {
                    thread.flush(Arc::clone(&flush));
                }
            }
        }
    }

    /// Delivers chunks in batches of a size that receivers like.
    fn deliver(&mut self, chunks: Vec<Chunk>) {
        let mut chunks = chunks.into_iter().peekable();
        while let Some(first) = chunks.peek() {
            let content = first.content().cloned().unwrap_or_default();
            let mut bytes = 0;
            let fits = |chunk: &Chunk| {
                bytes += chunk.len();
                let is_alike = chunk.content().is_none_or(|own| Arc::ptr_eq(own, &content));
                is_alike && (bytes == chunk.len() || bytes <= BATCH_BYTES)
            };
            let some = take_while_next(&mut chunks, fits);
            let mut batch = self.batch(some);
            if remove_content(&mut batch, &content) {
                self.ship(batch);
            } else {
                self.intake.release(batch.n_bytes());
                Shipment::new(batch, 1).settle(&self.intake.counts, 0);
            }
        }
    }

    fn batch(&self, chunks: Vec<Chunk>) -> Batch {
        Batch::new(Arc::clone(&self.resource), self.recorder.scopes(), chunks)
    }

    fn ship(&mut self, batch: Batch) {
        let n_bytes = batch.n_bytes();
        match &mut self.lanes {
            Lanes::None => {
                let n_spans = batch.len() as u64;
                Shipment::new(batch, 1).settle(&self.intake.counts, n_spans);
                self.intake.release(n_bytes);
            }
            Lanes::Here(lane) => {
                let shipment = Shipment::new(batch, 1);
                lane.deliver(&shipment);
                self.intake.release(n_bytes);
                self.intake.recycle(shipment.into_chunks());
            }
            Lanes::Threads(threads) => {
                // From here on the lanes' own bounds hold.
                self.intake.release(n_bytes);
                let shipment = Arc::new(Shipment::new(batch, threads.len()));
                for thread in threads {
                    thread.ship(&shipment, self.intake);
                }
            }
        }
    }
}

/// Removes what must not leave. If that panics, the spans are better lost than with it.
fn remove_content(batch: &mut Batch, content: &Content) -> bool {
    if content.is_everything() {
        return true;
    }
    let rewrite = AssertUnwindSafe(|| batch.rewrite(|span| content.apply(span)));
    let is_removed = catch_unwind(rewrite).is_ok();
    if !is_removed {
        tracing::error!(n_spans = batch.len(), "removing content panicked: spans dropped");
    }
    is_removed
}

/// Takes from the front as long as `fits` says so.
fn take_while_next<T>(
    from: &mut Peekable<impl Iterator<Item = T>>,
    mut fits: impl FnMut(&T) -> bool,
) -> Vec<T> {
    std::iter::from_fn(|| from.next_if(|next| fits(next))).collect()
}
