//! One exporter, how often it tries, and what became of what it was given.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::export::{Batch, Delivered, ExportError, Exporter, Retry};
use crate::intake::{Chunk, Counts, Intake};
use crate::recorder::ExporterMetrics;

/// The pause before the second attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What became of spans at one exporter.
#[derive(Debug, Default)]
pub(crate) struct LaneCounts {
    name: &'static str,
    exported: AtomicU64,
    queue_full: AtomicU64,
    undelivered: AtomicU64,
    rejected: AtomicU64,
    errors: AtomicU64,
}

impl LaneCounts {
    pub fn metrics(&self) -> ExporterMetrics {
        let lost = [&self.queue_full, &self.undelivered, &self.rejected];
        let [queue_full, undelivered, rejected] = lost.map(|count| count.load(Relaxed));
        ExporterMetrics {
            name: self.name,
            spans_exported: self.exported.load(Relaxed),
            spans_dropped: queue_full + undelivered + rejected,
            dropped_queue_full: queue_full,
            dropped_undelivered: undelivered,
            dropped_rejected: rejected,
            export_errors: self.errors.load(Relaxed),
        }
    }
}

/// A batch on its way to every exporter.
pub(super) struct Shipment {
    batch: Batch,
    fate: Mutex<Fate>,
}

/// What became of a batch so far.
#[derive(Default)]
struct Fate {
    lanes_left: usize,
    /// What the luckiest exporter delivered.
    n_exported: u64,
    is_queue_full: bool,
    is_rejected: bool,
}

impl Shipment {
    pub fn new(batch: Batch, n_lanes: usize) -> Self {
        let fate = Mutex::new(Fate { lanes_left: n_lanes, ..Fate::default() });
        Shipment { batch, fate }
    }

    pub fn into_chunks(self) -> Vec<Chunk> {
        self.batch.into_chunks()
    }

    /// One exporter is done with it. Spans count as exported with the first that delivers them, and
    /// as dropped when the last did not.
    pub fn settle(&self, counts: &Counts, n_delivered: u64) {
        self.settle_as(counts, n_delivered, |_| {});
    }

    fn settle_as(&self, counts: &Counts, n_delivered: u64, note: impl FnOnce(&mut Fate)) {
        let mut fate = self.fate.lock().unwrap_or_else(PoisonError::into_inner);
        note(&mut fate);
        let mut n_settled = n_delivered.saturating_sub(fate.n_exported);
        add(&counts.exported, n_settled);
        fate.n_exported += n_settled;
        fate.lanes_left -= 1;
        if fate.lanes_left == 0 {
            let n_lost = self.batch.len() as u64 - fate.n_exported;
            n_settled += n_lost;
            add(
                match (fate.is_rejected, fate.is_queue_full) {
                    (true, _) => &counts.rejected,
                    (false, true) => &counts.queue_full,
                    (false, false) => &counts.undelivered,
                },
                n_lost,
            );
        }
        counts.leaving.fetch_sub(n_settled, Relaxed);
    }
}

/// A flush on its way through all lanes.
pub(super) struct Flush {
    number: u64,
    lanes_left: AtomicUsize,
    nothing_lost: AtomicBool,
}

impl Flush {
    pub fn new(number: u64, n_lanes: usize, nothing_lost: bool) -> Self {
        Flush {
            number,
            lanes_left: AtomicUsize::new(n_lanes),
            nothing_lost: AtomicBool::new(nothing_lost),
        }
    }
}

/// An exporter with its counts.
pub(super) struct Lane {
    exporter: Box<dyn Exporter>,
    counts: Arc<LaneCounts>,
    intake: Arc<Intake>,
    timeout: Duration,
    /// How many spans were lost before the last flush.
    n_lost: u64,
}

impl Lane {
    pub fn new(exporter: Box<dyn Exporter>, intake: Arc<Intake>, timeout: Duration) -> Self {
        let counts = LaneCounts { name: exporter.name(), ..LaneCounts::default() };
        Lane { exporter, counts: Arc::new(counts), intake, timeout, n_lost: 0 }
    }

    pub fn counts(&self) -> Arc<LaneCounts> {
        Arc::clone(&self.counts)
    }

    /// Delivers a batch, as often as it takes and time allows.
    pub fn deliver(&mut self, shipment: &Shipment) {
        let give_up = Instant::now() + self.timeout;
        let mut pause = FIRST_PAUSE;
        let batch = &shipment.batch;
        let n_spans = batch.len() as u64;
        loop {
            let deadline = self.deadline(give_up);
            let error = match attempt(self.exporter.as_mut(), batch, deadline) {
                Ok(delivered) => return self.delivered(shipment, &delivered),
                Err(error) => error,
            };
            add(&self.counts.errors, 1);
            add(&self.intake.counts.export_errors, 1);
            let wait = match error.retry {
                Retry::Never => None,
                Retry::Later => Some(pause),
                Retry::After(asked) => Some(asked),
            };
            let deadline = self.deadline(give_up);
            let in_time = |wait: &Duration| Instant::now() + *wait < deadline;
            let exporter = self.counts.name;
            let Some(wait) = wait.filter(in_time) else {
                tracing::warn!(%error, exporter, n_spans, "spans were dropped");
                add(&self.counts.undelivered, n_spans);
                return shipment.settle(&self.intake.counts, 0);
            };
            tracing::debug!(%error, exporter, ?wait, "spans were not delivered, trying again");
            self.intake.pause(wait);
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Delivers spans that have not ended, if they are wanted. There is one attempt: soon there is
    /// more to tell of them.
    pub fn show(&mut self, batch: &Batch, deadline: Instant) {
        if !self.exporter.takes_running() {
            return;
        }
        let deadline = self.deadline(deadline);
        if let Err(error) = attempt(self.exporter.as_mut(), batch, deadline) {
            tracing::debug!(%error, exporter = self.counts.name, "running spans were not delivered");
            self.intake.running_undelivered.store(true, Relaxed);
        }
    }

    fn delivered(&self, shipment: &Shipment, delivered: &Delivered) {
        let n_spans = shipment.batch.len() as u64;
        let rejected = delivered.rejected.min(n_spans);
        let exporter = self.counts.name;
        if rejected > 0 {
            tracing::warn!(exporter, rejected, reason = %delivered.reason, "spans were refused");
        } else if !delivered.reason.is_empty() {
            tracing::warn!(exporter, warning = %delivered.reason, "spans were taken");
        }
        add(&self.counts.rejected, rejected);
        add(&self.counts.exported, n_spans - rejected);
        let note = |fate: &mut Fate| fate.is_rejected |= rejected > 0;
        shipment.settle_as(&self.intake.counts, n_spans - rejected, note);
    }

    /// Everything before this was delivered or lost.
    pub fn flush(&mut self, flush: &Flush) {
        let metrics = self.counts.metrics();
        if std::mem::replace(&mut self.n_lost, metrics.spans_dropped) != metrics.spans_dropped {
            flush.nothing_lost.store(false, Relaxed);
        }
        // The last one sees what the others stored.
        if flush.lanes_left.fetch_sub(1, std::sync::atomic::Ordering::AcqRel) == 1 {
            self.intake.flushed(flush.number, flush.nothing_lost.load(Relaxed));
        }
    }

    fn deadline(&self, give_up: Instant) -> Instant {
        self.intake.stop_at().map_or(give_up, |stop| stop.min(give_up))
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

/// A lane on a thread of its own, behind a bounded queue.
pub(super) struct LaneThread {
    orders: Sender<Order>,
    /// Bytes of spans that wait for this lane.
    waiting: Arc<AtomicUsize>,
    most_waiting: usize,
    counts: Arc<LaneCounts>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Deliver(Arc<Shipment>),
    Show(Arc<Batch>, Instant),
    Flush(Arc<Flush>),
}

impl LaneThread {
    pub fn start(lane: Lane, most_waiting: usize) -> Self {
        let (sender, orders) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let (counts, shared) = (lane.counts(), Arc::clone(&waiting));
        let name = format!("spanwise-{}", counts.name);
        let thread = std::thread::Builder::new().name(name);
        let thread = thread.spawn(move || run(lane, &orders, &shared));
        if let Err(error) = &thread {
            tracing::error!(%error, exporter = counts.name, "an exporter's thread was not started");
        }
        LaneThread { orders: sender, waiting, most_waiting, counts, thread: thread.ok() }
    }

    /// Queues a batch, or drops it for this exporter.
    pub fn ship(&self, shipment: &Arc<Shipment>, intake: &Intake) {
        let n_bytes = shipment.batch.n_bytes();
        let waiting = self.waiting.fetch_add(n_bytes, Relaxed);
        let is_full = waiting > 0 && waiting + n_bytes > self.most_waiting;
        if is_full || self.orders.send(Order::Deliver(Arc::clone(shipment))).is_err() {
            self.waiting.fetch_sub(n_bytes, Relaxed);
            add(&self.counts.queue_full, shipment.batch.len() as u64);
            shipment.settle_as(&intake.counts, 0, |fate| fate.is_queue_full = true);
        }
    }

    /// Queues spans that have not ended, unless others wait.
    pub fn show(&self, batch: &Arc<Batch>, deadline: Instant, intake: &Intake) {
        let is_busy = self.waiting.load(Relaxed) > 0;
        if is_busy || self.orders.send(Order::Show(Arc::clone(batch), deadline)).is_err() {
            intake.running_undelivered.store(true, Relaxed);
        }
    }

    /// Queues a flush. A lane that has no thread loses everything, and says so in its counts.
    pub fn flush(&self, flush: Arc<Flush>) {
        let _ = self.orders.send(Order::Flush(flush));
    }

    /// Lets it end when it has done what is queued.
    pub fn stop(self) -> Option<JoinHandle<()>> {
        self.thread
    }
}

fn run(mut lane: Lane, orders: &Receiver<Order>, waiting: &AtomicUsize) {
    let _quiet = super::untraced();
    while let Ok(order) = orders.recv() {
        match order {
            Order::Deliver(shipment) => {
                lane.deliver(&shipment);
                waiting.fetch_sub(shipment.batch.n_bytes(), Relaxed);
                if let Some(shipment) = Arc::into_inner(shipment) {
                    lane.intake.recycle(shipment.into_chunks());
                }
            }
            Order::Show(batch, deadline) => lane.show(&batch, deadline),
            Order::Flush(flush) => lane.flush(&flush),
        }
    }
}

fn add(count: &AtomicU64, n: u64) {
    count.fetch_add(n, Relaxed);
}
