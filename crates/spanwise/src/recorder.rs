//! The recorder: starts spans, takes them when they end, and has them delivered by one thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use spanwise_model::sampling::Randomness;
use spanwise_model::{Resource, Scope, SpanId, TraceId};

use crate::clock::Stamp;
use crate::content::Content;
use crate::context::Context;
use crate::intake::{Chunk, Intake};
use crate::recording::{Recording, Start};
use crate::sampler::{ASK, Root, Rules, Sampling};
use crate::settings::Settings;
use crate::{fork, resource, thread, worker};

/// Records spans of one resource, under one set of rules.
pub struct Recorder {
    settings: Settings,
    /// [`Rules::threshold`] of the rules in force, so that they are rarely looked at.
    threshold: AtomicU64,
    rules: RwLock<Rules>,
    scopes: RwLock<Vec<Scope>>,
    content: RwLock<Arc<Content>>,
    process: Process,
    is_shut_down: AtomicBool,
}

/// What belongs to one process: after a fork the child has the memory of its parent's queues,
/// maybe in the middle of a change, but not the thread that empties them. It starts anew.
struct Process {
    forks: u64,
    intake: Arc<Intake>,
    resource: OnceLock<Arc<Resource>>,
    child: OnceLock<Box<Process>>,
}

/// Names an instrumentation within a recorder. The default is the application itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScopeId(u32);

impl ScopeId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn to_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; 4]) -> Self {
        ScopeId(u32::from_le_bytes(bytes))
    }
}

/// A span that has started.
#[derive(Debug)]
pub enum Started {
    /// It is recorded.
    Recording(Box<Recording>),
    /// Its trace is not recorded; its context is passed on all the same.
    Unsampled(Context),
}

/// What a recorder has done so far, for its users to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Spans started and recorded.
    pub spans_started: u64,
    /// Spans delivered.
    pub spans_exported: u64,
    /// Spans lost: the sum of the next four.
    pub spans_dropped: u64,
    /// … because too many waited.
    pub dropped_queue_full: u64,
    /// … because nobody took them in time.
    pub dropped_undelivered: u64,
    /// … because the receiver refused them.
    pub dropped_rejected: u64,
    /// … because they ended after the shutdown.
    pub dropped_after_shutdown: u64,
    /// Spans of traces that intelligent sampling did not want.
    pub sampled_out: u64,
    /// Spans that ended and wait to leave.
    pub queue_size: usize,
    /// Attempts to deliver that failed, those that were repeated with success too.
    pub export_errors: u64,
}

/// What one exporter has done so far. With several, each gets every span; [`Metrics`] then count
/// a span as exported when one of them delivered it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExporterMetrics {
    /// What it is.
    pub name: &'static str,
    /// Spans it delivered.
    pub spans_exported: u64,
    /// Spans it lost: the sum of the next three.
    pub spans_dropped: u64,
    /// … because too many waited for it.
    pub dropped_queue_full: u64,
    /// … because nobody took them in time.
    pub dropped_undelivered: u64,
    /// … because the receiver refused them.
    pub dropped_rejected: u64,
    /// Attempts that failed.
    pub export_errors: u64,
}

impl Recorder {
    /// A recorder; it starts its thread with its first span.
    pub fn new(settings: Settings) -> Arc<Self> {
        let own = Scope {
            name: "spanwise".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            ..Scope::default()
        };
        let content = Arc::new(settings.content.clone());
        let recorder = Recorder {
            threshold: AtomicU64::new(0),
            rules: RwLock::new(Rules::new(Sampling::default())),
            scopes: RwLock::new(vec![own]),
            process: Process::new(settings.queue_bytes, Arc::clone(&content)),
            content: RwLock::new(content),
            is_shut_down: AtomicBool::new(false),
            settings,
        };
        recorder.set_sampling(recorder.settings.sampling.clone());
        Arc::new(recorder)
    }

    /// What it was made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes which traces are recorded from now on.
    pub fn set_sampling(&self, sampling: Sampling) {
        let rules = Rules::new(sampling);
        self.threshold.store(rules.threshold(), Relaxed);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// Changes what content may leave: of spans that end from now on.
    pub fn set_content(&self, content: impl Into<Content>) {
        let content = Arc::new(content.into());
        *self.content.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&content);
        self.intake().set_content(content);
    }

    /// What content may leave, for those who can save themselves the work of collecting it.
    pub fn content(&self) -> Arc<Content> {
        Arc::clone(&self.content.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who records, in this process.
    pub fn resource(&self) -> Arc<Resource> {
        let of_process = || {
            let resource = self.settings.resource.clone();
            let is_described = self.settings.describe_process;
            Arc::new(if is_described { resource::of_process(resource) } else { resource })
        };
        Arc::clone(self.process().resource.get_or_init(of_process))
    }

    /// What each exporter has done so far in this process, in the order of the settings. None
    /// before the first span has left.
    pub fn exporter_metrics(&self) -> Vec<ExporterMetrics> {
        let lanes = self.intake().lanes.get();
        lanes.into_iter().flatten().map(|lane| lane.metrics()).collect()
    }

    /// The number of an instrumentation, the same for the same scope.
    pub fn scope(&self, scope: &Scope) -> ScopeId {
        let found = |scopes: &[Scope]| scopes.iter().position(|known| known == scope);
        let known = found(&self.scopes.read().unwrap_or_else(PoisonError::into_inner));
        let at = known.unwrap_or_else(|| {
            let mut scopes = self.scopes.write().unwrap_or_else(PoisonError::into_inner);
            found(&scopes).unwrap_or_else(|| {
                scopes.push(scope.clone());
                scopes.len() - 1
            })
        });
        ScopeId(u32::try_from(at).unwrap_or_default())
    }

    /// Starts a span below `parent`, or a new trace.
    #[inline]
    pub fn start(self: &Arc<Self>, start: &Start<'_>, parent: Option<&Context>) -> Started {
        let started = thread::with(|thread| thread.start(self, start, parent));
        started.unwrap_or_else(|| thread::start_unsampled(parent))
    }

    /// Ends a span, now unless a time is given.
    #[inline]
    pub fn end(recording: Box<Recording>, time: Option<u64>) {
        thread::end(recording, Stamp::or_now(time));
    }

    /// Starts a span whose identity and sampling were decided elsewhere. It is recorded in any
    /// case, and delivered if its context says that it is sampled.
    pub fn start_as(
        self: &Arc<Self>,
        start: &Start<'_>,
        context: Context,
        parent: Option<&Context>,
    ) -> Box<Recording> {
        let mut parts = Some(context);
        let started = thread::with(|thread| {
            let context = parts.take()?;
            Some(thread.start_as(self, start, context, parent))
        });
        started.flatten().unwrap_or_else(|| {
            // The thread is ending and keeps nothing any more.
            let context = parts.take().unwrap_or_else(Context::new_root);
            let identity = context.identity();
            let mut alone = Box::new(Recording::unused(Arc::clone(self), identity));
            alone.begin(start, identity, context.shared, parent);
            alone
        })
    }

    /// Hands in a span that stays readable, for those whose users look at spans that have ended.
    /// It ends now unless it was [closed](Recording::close) before.
    pub fn submit(recording: &mut Recording) {
        let end = recording.closed_at();
        if recording.context().is_sampled() {
            thread::submit(recording, end);
        }
    }

    /// Keeps the memory of a span that was handed in for later ones.
    pub fn recycle(recording: Box<Recording>) {
        thread::recycle(recording);
    }

    /// Waits until every span that has ended is delivered, at most this long. `false` if not all
    /// of them were.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.intake().flush(timeout)
    }

    /// Delivers what it can within this time and stops; spans that end later are dropped and
    /// counted. `false` if the time was too short.
    pub fn shutdown(&self, timeout: Duration) -> bool {
        self.is_shut_down.store(true, Relaxed);
        self.intake().stop(timeout)
    }

    /// What it has done so far.
    pub fn metrics(&self) -> Metrics {
        let intake = self.intake();
        let counts = &intake.counts;
        let dropped =
            [&counts.queue_full, &counts.undelivered, &counts.rejected, &counts.after_shutdown];
        let [queue_full, undelivered, rejected, after_shutdown] =
            dropped.map(|count| count.load(Relaxed));
        Metrics {
            spans_started: intake.n_started(),
            spans_exported: counts.exported.load(Relaxed),
            spans_dropped: queue_full + undelivered + rejected + after_shutdown,
            dropped_queue_full: queue_full,
            dropped_undelivered: undelivered,
            dropped_rejected: rejected,
            dropped_after_shutdown: after_shutdown,
            sampled_out: counts.sampled_out.load(Relaxed),
            queue_size: intake.n_waiting(),
            export_errors: counts.export_errors.load(Relaxed),
        }
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.is_shut_down.load(Relaxed)
    }

    /// What becomes of a trace that starts here with this span.
    #[inline]
    pub(crate) fn root(&self, trace_id: TraceId, span_id: SpanId, name: &str) -> Root {
        let threshold = self.threshold.load(Relaxed);
        if threshold == 0 {
            return Root { sampled: true, shared: None };
        }
        if threshold != ASK && Randomness::of_trace(trace_id).get() < threshold {
            return Root::default();
        }
        let context = Context::root(trace_id, span_id);
        self.rules.read().unwrap_or_else(PoisonError::into_inner).root(&context, name)
    }

    pub(crate) fn scopes(&self) -> Vec<Scope> {
        self.scopes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn intake(&self) -> &Arc<Intake> {
        &self.process().intake
    }

    /// What belongs to this process.
    fn process(&self) -> &Process {
        let forks = fork::count();
        let mut process = &self.process;
        while process.forks != forks {
            let anew = || Box::new(Process::new(self.settings.queue_bytes, self.content()));
            process = process.child.get_or_init(anew);
        }
        process
    }

    /// Takes a span from a thread that is ending and has no place for it any more.
    pub(crate) fn submit_chunk(self: &Arc<Self>, chunk: Chunk) {
        self.intake().submit(chunk);
        self.wake_up();
    }

    #[cold]
    pub(crate) fn wake_up(self: &Arc<Self>) {
        if self.intake().wake_up() {
            worker::spawn(Arc::clone(self));
        }
    }
}

impl Process {
    fn new(queue_bytes: usize, content: Arc<Content>) -> Self {
        let intake = Arc::new(Intake::new(queue_bytes, content));
        let (resource, child) = (OnceLock::new(), OnceLock::new());
        Process { forks: fork::count(), intake, resource, child }
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("metrics", &self.metrics()).finish_non_exhaustive()
    }
}
