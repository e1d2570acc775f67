//! Spans that several threads can be in at once, as those of `tracing`.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spanwise_model::wire::otlp::ValueRef;

use crate::context::Context;
use crate::recorder::Recorder;
use crate::recording::Recording;
use crate::settings::Limits;
use crate::span::State;

/// An open span, for all who are in it.
#[derive(Debug)]
pub(crate) struct Shared {
    name: Name,
    context: Context,
    inner: Mutex<Inner>,
    /// Whether attributes were added to the context since.
    is_newer: AtomicBool,
    has_ended: AtomicBool,
}

/// What its maker knows a span by, as long as it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// Which layer made it: each has a registry with numbers of its own.
    pub layer: u64,
    pub id: u64,
}

#[derive(Debug)]
struct Inner {
    /// `None` once it has ended, and in traces that are not recorded.
    recording: Option<Box<Recording>>,
    newer: Option<Context>,
}

impl Shared {
    /// `None` if nothing was started.
    pub fn new(started: State, name: Name) -> Option<Self> {
        let (context, recording) = match started {
            State::Passing(context) => (*context, None),
            State::Recording(recording) => (recording.context().clone(), Some(recording)),
            State::Off | State::Shared(_) | State::Newer(_) | State::Left => return None,
        };
        let inner = Mutex::new(Inner { recording, newer: None });
        let (is_newer, has_ended) = (AtomicBool::new(false), AtomicBool::new(false));
        Some(Shared { name, context, inner, is_newer, has_ended })
    }

    pub fn name(&self) -> Name {
        self.name
    }

    /// Whether this is the open span of this name. Names are given again when a span has ended.
    pub fn is_open_as(&self, name: Name) -> bool {
        self.name == name && !self.has_ended.load(Relaxed)
    }

    /// The context that it started with.
    #[inline]
    pub fn first_context(&self) -> &Context {
        &self.context
    }

    /// What spans below it start from.
    pub fn context(&self) -> Context {
        self.newer().unwrap_or_else(|| self.context.clone())
    }

    /// One thread's stay in it.
    #[inline]
    pub fn entered(self: Arc<Self>) -> State {
        match self.newer() {
            None => State::Shared(self),
            Some(context) => State::Newer(Box::new(Newer { shared: self, context })),
        }
    }

    pub fn is_recording(&self) -> bool {
        self.inner().recording.is_some()
    }

    pub fn record<R>(&self, work: impl FnOnce(&mut Recording) -> R) -> Option<R> {
        self.inner().recording.as_deref_mut().map(work)
    }

    /// Sets an attribute of this span, and of those below a context of it that start from now on.
    pub fn inherit(self: &Arc<Self>, from: &Context, key: &str, value: ValueRef<'_>) -> Newer {
        let mut context = from.clone();
        context.inherit_value(&Limits::default(), key, value);
        let mut inner = self.inner();
        if let Some(recording) = &mut inner.recording {
            recording.inherit(key, value);
        }
        inner.newer = Some(context.clone());
        drop(inner);
        self.is_newer.store(true, Relaxed);
        Newer { shared: Arc::clone(self), context }
    }

    pub fn end(&self) {
        self.has_ended.store(true, Relaxed);
        let recording = self.inner().recording.take();
        if let Some(recording) = recording {
            Recorder::end(recording, None);
        }
    }

    fn newer(&self) -> Option<Context> {
        if self.is_newer.load(Relaxed) { self.inner().newer.clone() } else { None }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A span whose context got attributes since it started, as one thread sees it.
#[derive(Debug)]
pub(crate) struct Newer {
    pub shared: Arc<Shared>,
    pub context: Context,
}
