//! What each thread has of its own: the spans it is in, a place for those that ended, ids.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

use fastant::Anchor;
use spanwise_model::propagate::TraceFlags;

use crate::clock::Stamp;
use crate::context::{Context, Identity, Shared};
use crate::fork;
use crate::ids::Ids;
use crate::intake::{Chunk, Intake, Slot};
use crate::recorder::{Recorder, Started};
use crate::recording::{Recording, Start};
use crate::sampler::Root;
#[cfg(feature = "tracing-layer")]
use crate::shared;
use crate::span::State;

/// Recordings, and contexts of spans that are not recorded, that a thread keeps for its next spans.
const POOL: usize = 64;

thread_local! {
    static THREAD: RefCell<Thread> = const { RefCell::new(Thread::new()) };
}

/// The recorder of [`crate::span`] and its version, so that threads notice a new one.
static DEFAULT: RwLock<Option<Arc<Recorder>>> = RwLock::new(None);
static VERSION: AtomicU64 = AtomicU64::new(0);

/// Sets the recorder of spans that name none.
pub(crate) fn set_default(recorder: Option<Arc<Recorder>>) {
    *DEFAULT.write().unwrap_or_else(PoisonError::into_inner) = recorder;
    VERSION.fetch_add(1, Relaxed);
}

/// The recorder of spans that name none.
pub(crate) fn default() -> Option<Arc<Recorder>> {
    DEFAULT.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Works with the calling thread's own. `None` while the thread is ending.
#[inline]
pub(crate) fn with<R>(work: impl FnOnce(&mut Thread) -> R) -> Option<R> {
    THREAD
        .try_with(|thread| thread.try_borrow_mut().ok().map(|mut thread| work(&mut thread)))
        .ok()
        .flatten()
}

/// Works with the calling thread's ids, or with fresh ones while the thread is ending.
pub(crate) fn with_ids<R>(work: impl Fn(&mut Ids) -> R) -> R {
    with(|thread| work(thread.ids())).unwrap_or_else(|| work(&mut Ids::unseeded()))
}

/// See the module.
pub(crate) struct Thread {
    ids: Ids,
    /// One for each recorder that was used here.
    places: Vec<Place>,
    /// The spans that this thread is in, innermost last.
    pub entered: Vec<State>,
    /// The span of `tracing` that this thread made or left last: most likely the one that it will
    /// enter or close next, which then need not be looked up.
    #[cfg(feature = "tracing-layer")]
    pub recent: Option<Arc<shared::Shared>>,
    #[expect(clippy::vec_box, reason = "what moves between pool and span is a pointer")]
    contexts: Vec<Box<Context>>,
    default: Option<Arc<Recorder>>,
    version: u64,
    forks: u64,
}

/// A recorder's things in one thread.
struct Place {
    recorder: Arc<Recorder>,
    intake: Arc<Intake>,
    slot: Arc<Slot>,
    #[expect(clippy::vec_box, reason = "what moves between pool and span is a pointer")]
    pool: Vec<Box<Recording>>,
    anchor: Anchor,
    /// Whether spans are looked at while they are open.
    shows_running: bool,
}

impl Thread {
    const fn new() -> Self {
        Thread {
            ids: Ids::unseeded(),
            places: Vec::new(),
            entered: Vec::new(),
            #[cfg(feature = "tracing-layer")]
            recent: None,
            contexts: Vec::new(),
            default: None,
            version: 0,
            forks: 0,
        }
    }

    /// The context that new spans are below.
    #[inline]
    pub fn current(&self) -> Option<&Context> {
        self.entered.iter().rev().find_map(State::context)
    }

    /// Starts a span of the default recorder below the current one, as an application holds it.
    #[inline]
    pub fn start_here(&mut self, start: &Start<'_>) -> Option<State> {
        let version = VERSION.load(Relaxed);
        if self.version != version {
            self.version = version;
            self.default = default();
        }
        let recorder = Arc::as_ptr(self.default.as_ref()?);
        let at = self.places.iter().position(|place| Arc::as_ptr(&place.recorder) == recorder);
        let at = match at {
            Some(at) if self.forks == fork::count() => at,
            _ => self.make_place(&self.default.clone()?),
        };
        let Thread { ids, places, entered, .. } = self;
        let parent = entered.iter().rev().find_map(State::context);
        Some(match places[at].start(ids, start, parent) {
            Started::Recording(recording) => State::Recording(recording),
            Started::Unsampled(context) => self.passing(context),
        })
    }

    #[inline]
    fn passing(&mut self, context: Context) -> State {
        State::Passing(match self.contexts.pop() {
            Some(mut kept) => {
                *kept = context;
                kept
            }
            None => Box::new(context),
        })
    }

    /// Keeps a context's memory for a later span.
    #[inline]
    fn let_go(&mut self, mut context: Box<Context>) {
        context.shared = None;
        if self.contexts.len() < POOL {
            self.contexts.push(context);
        }
    }

    #[inline]
    pub fn start(
        &mut self,
        recorder: &Arc<Recorder>,
        start: &Start<'_>,
        parent: Option<&Context>,
    ) -> Started {
        let at = self.place(recorder);
        self.places[at].start(&mut self.ids, start, parent)
    }

    /// Starts a span whose identity was decided elsewhere.
    pub fn start_as(
        &mut self,
        recorder: &Arc<Recorder>,
        start: &Start<'_>,
        context: Context,
        parent: Option<&Context>,
    ) -> Box<Recording> {
        let at = self.place(recorder);
        self.places[at].record(start, context.identity(), context.shared, parent)
    }

    /// New ids, for those who decide themselves about a trace.
    pub fn ids(&mut self) -> &mut Ids {
        let forks = fork::count();
        if self.forks != forks {
            self.forget_before_fork(forks);
        }
        &mut self.ids
    }

    /// Ends a span. Returns the recorder if its thread has to be woken up.
    #[inline]
    fn end(&mut self, mut recording: Box<Recording>, end: Stamp) -> Option<Arc<Recorder>> {
        let at = self.place(&recording.recorder);
        let to_wake = self.places[at].submit(&mut recording, end);
        self.places[at].recycle(recording);
        to_wake
    }

    fn submit(&mut self, recording: &mut Recording, end: Stamp) -> Option<Arc<Recorder>> {
        let at = self.place(&recording.recorder);
        self.places[at].submit(recording, end)
    }

    fn recycle(&mut self, recording: Box<Recording>) {
        let at = self.place(&recording.recorder);
        self.places[at].recycle(recording);
    }

    /// Takes the span at this depth, counted from one, off the stack.
    #[inline]
    pub fn leave(&mut self, depth: usize) -> State {
        if depth == self.entered.len() {
            let state = self.entered.pop().unwrap_or(State::Off);
            while matches!(self.entered.last(), Some(State::Left)) {
                self.entered.pop();
            }
            return state;
        }
        // Spans inside it are still entered; their places stay where they are.
        let at = depth.checked_sub(1).and_then(|at| self.entered.get_mut(at));
        at.map_or(State::Off, |state| std::mem::replace(state, State::Left))
    }

    #[inline]
    fn place(&mut self, recorder: &Arc<Recorder>) -> usize {
        let known = self.places.iter().position(|place| Arc::ptr_eq(&place.recorder, recorder));
        match known {
            Some(at) if self.forks == fork::count() => at,
            _ => self.make_place(recorder),
        }
    }

    /// What was recorded here before the fork is the parent's to deliver.
    #[cold]
    fn forget_before_fork(&mut self, forks: u64) {
        self.forks = forks;
        self.ids = Ids::unseeded();
        self.places.clear();
    }

    #[cold]
    fn make_place(&mut self, recorder: &Arc<Recorder>) -> usize {
        let forks = fork::count();
        if self.forks != forks {
            self.forget_before_fork(forks);
        }
        self.places.retain(|place| !place.recorder.is_shut_down());
        let intake = Arc::clone(recorder.intake());
        self.places.push(Place {
            slot: intake.slot(),
            shows_running: recorder.settings().running_every.is_some(),
            intake,
            recorder: Arc::clone(recorder),
            pool: Vec::new(),
            anchor: Anchor::new(),
        });
        self.places.len() - 1
    }
}

impl Place {
    #[inline]
    fn start(&mut self, ids: &mut Ids, start: &Start<'_>, parent: Option<&Context>) -> Started {
        let (identity, shared) = match parent {
            Some(parent) => {
                let identity = Identity { span_id: ids.span_id(), ..parent.identity() };
                (identity, parent.shared.clone())
            }
            None => self.root(ids, start),
        };
        if !identity.flags.is_sampled() || self.recorder.is_shut_down() {
            return Started::Unsampled(Context::of(identity, shared));
        }
        Started::Recording(self.record(start, identity, shared, parent))
    }

    #[inline]
    fn record(
        &mut self,
        start: &Start<'_>,
        identity: Identity,
        shared: Option<Arc<Shared>>,
        parent: Option<&Context>,
    ) -> Box<Recording> {
        if identity.flags.is_sampled() {
            let started = self.slot.started.load(Relaxed);
            self.slot.started.store(started + 1, Relaxed);
        }
        let mut recording = match self.pool.pop() {
            Some(recording) => recording,
            None => self.another(identity),
        };
        recording.begin(start, identity, shared, parent);
        if self.shows_running {
            self.show(&mut recording);
        }
        recording
    }

    /// Lets others see a span while it is open. One that waits for its trace to be decided about
    /// is nobody's business yet.
    #[cold]
    fn show(&self, recording: &mut Recording) {
        if recording.context.is_sampled() && !recording.context.has_tail() {
            self.slot.running.insert(recording.show());
            if self.intake.note_running() {
                self.recorder.wake_up();
            }
        }
    }

    #[cold]
    fn another(&self, identity: Identity) -> Box<Recording> {
        Box::new(Recording::unused(Arc::clone(&self.recorder), identity))
    }

    /// A new trace, and whether it is recorded.
    #[inline]
    fn root(&self, ids: &mut Ids, start: &Start<'_>) -> (Identity, Option<Arc<Shared>>) {
        let (trace_id, span_id) = (ids.trace_id(), ids.span_id());
        let Root { sampled, shared } = self.recorder.root(trace_id, span_id, start.name);
        let flags = TraceFlags::RANDOM.with_sampled(sampled);
        (Identity { trace_id, span_id, flags }, shared)
    }

    #[inline]
    fn submit(&mut self, recording: &mut Recording, end: Stamp) -> Option<Arc<Recorder>> {
        if self.recorder.is_shut_down() {
            self.intake.counts.after_shutdown.fetch_add(1, Relaxed);
            return None;
        }
        let scope = recording.scope;
        let needs_wake = if recording.context.has_tail() {
            self.end_in_tail(recording, end)
        } else {
            self.intake.push(&self.slot, scope, |out, is_first| {
                if is_first {
                    // The counter drifts against the wall clock, so they are compared now and then.
                    self.anchor = Anchor::new();
                }
                recording.write(out, &self.anchor, end);
            })
        };
        needs_wake.then(|| Arc::clone(&self.recorder))
    }

    /// Keeps a recording's memory for a later span.
    #[inline]
    fn recycle(&mut self, mut recording: Box<Recording>) {
        recording.clear();
        if self.pool.len() < POOL {
            self.pool.push(recording);
        }
    }

    /// Ends a span whose trace waits for a decision.
    #[cold]
    fn end_in_tail(&mut self, recording: &mut Recording, end: Stamp) -> bool {
        self.anchor = Anchor::new();
        let chunks = recording.end_in_tail(&self.intake, &self.anchor, end);
        let is_due = !chunks.is_empty();
        for chunk in chunks {
            self.intake.submit(chunk);
        }
        is_due
    }
}

/// Leaves the span at this depth and ends it.
#[inline]
pub(crate) fn leave_and_end(depth: usize) {
    let to_wake = with(|thread| match thread.leave(depth) {
        State::Recording(recording) => thread.end(recording, Stamp::now()),
        State::Passing(context) => {
            thread.let_go(context);
            None
        }
        _ => None,
    });
    if let Some(recorder) = to_wake.flatten() {
        recorder.wake_up();
    }
}

/// Ends a span, wherever it started.
#[inline]
pub(crate) fn end(recording: Box<Recording>, end: Stamp) {
    let mut recording = Some(recording);
    let to_wake = with(|thread| recording.take().and_then(|recording| thread.end(recording, end)));
    if let Some(recorder) = to_wake.flatten() {
        recorder.wake_up();
    }
    if let Some(recording) = recording {
        end_alone(recording, end);
    }
}

/// Hands a span in that stays readable.
pub(crate) fn submit(recording: &mut Recording, end: Stamp) {
    match with(|thread| thread.submit(recording, end)) {
        Some(Some(recorder)) => recorder.wake_up(),
        Some(None) => {}
        None => submit_alone(recording, end),
    }
}

/// Keeps the memory of a span that was handed in.
pub(crate) fn recycle(recording: Box<Recording>) {
    with(|thread| thread.recycle(recording));
}

/// Ends a span while the thread is ending, or while it is in a sampler.
#[cold]
fn end_alone(mut recording: Box<Recording>, end: Stamp) {
    submit_alone(&mut recording, end);
}

fn submit_alone(recording: &mut Recording, end: Stamp) {
    let recorder = Arc::clone(&recording.recorder);
    let mut chunk = Chunk::default();
    chunk.push(recording.scope, |out| recording.write(out, &Anchor::new(), end));
    recorder.submit_chunk(chunk);
}

/// A span that is not recorded, for where no span can be.
#[cold]
pub(crate) fn start_unsampled(parent: Option<&Context>) -> Started {
    let mut ids = Ids::unseeded();
    let root = || Context::root(ids.trace_id(), ids.span_id());
    Started::Unsampled(parent.cloned().unwrap_or_else(root))
}
