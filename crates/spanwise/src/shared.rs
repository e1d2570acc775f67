//! Spans that several threads can be in at once, as those of `tracing`.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spanwise_model::wire::otlp::ValueRef;

use crate::context::Context;
use crate::recorder::{Recorder, Started};
use crate::recording::Recording;
use crate::settings::Limits;

/// An open span, for all who are in it.
#[derive(Debug)]
pub(crate) struct Shared {
    context: Context,
    id: u64,
    state: Mutex<State>,
    /// Whether attributes were added to the context since.
    is_newer: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// `None` once it has ended, and in traces that are not recorded.
    recording: Option<Box<Recording>>,
    newer: Option<Context>,
}

impl Shared {
    /// A span that its maker knows by this number.
    pub fn new(started: Started, id: u64) -> Self {
        let (context, recording) = match started {
            Started::Unsampled(context) => (context, None),
            Started::Recording(recording) => (recording.context().clone(), Some(recording)),
        };
        let state = Mutex::new(State { recording, newer: None });
        Shared { context, id, state, is_newer: AtomicBool::new(false) }
    }

    /// What spans below it start from.
    pub fn context(&self) -> Context {
        self.newer().unwrap_or_else(|| self.context.clone())
    }

    pub fn is_recording(&self) -> bool {
        self.state().recording.is_some()
    }

    #[inline]
    pub fn record<R>(&self, work: impl FnOnce(&mut Recording) -> R) -> Option<R> {
        self.state().recording.as_deref_mut().map(work)
    }

    pub fn end(&self) {
        let recording = self.state().recording.take();
        if let Some(recording) = recording {
            Recorder::end(recording, None);
        }
    }

    fn newer(&self) -> Option<Context> {
        if self.is_newer.load(Relaxed) { self.state().newer.clone() } else { None }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread's stay in it.
#[derive(Debug)]
pub(crate) struct Handle {
    span: Arc<Shared>,
    newer: Option<Box<Context>>,
}

impl Handle {
    #[inline]
    pub fn new(span: Arc<Shared>) -> Self {
        let newer = span.newer().map(Box::new);
        Handle { span, newer }
    }

    #[inline]
    pub fn context(&self) -> &Context {
        self.newer.as_deref().unwrap_or(&self.span.context)
    }

    #[inline]
    pub fn record<R>(&self, work: impl FnOnce(&mut Recording) -> R) -> Option<R> {
        self.span.record(work)
    }

    pub fn is_recording(&self) -> bool {
        self.span.is_recording()
    }

    #[inline]
    pub fn id(&self) -> u64 {
        self.span.id
    }

    pub fn inherit(&mut self, key: &str, value: ValueRef<'_>) {
        let mut context = self.context().clone();
        context.inherit_value(&Limits::default(), key, value);
        let mut state = self.span.state();
        if let Some(recording) = &mut state.recording {
            recording.inherit(key, value);
        }
        state.newer = Some(context.clone());
        drop(state);
        self.span.is_newer.store(true, Relaxed);
        self.newer = Some(Box::new(context));
    }
}
