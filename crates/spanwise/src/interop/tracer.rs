//! OpenTelemetry's provider, tracer and span over a recorder.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use opentelemetry::trace::{self as otel, SpanBuilder, SpanContext, TraceContextExt as _};
use opentelemetry::{Context as OtelContext, InstrumentationScope, KeyValue};
use spanwise_model::span::StatusCode;
use spanwise_model::{Kind, Scope, SpanId};

use super::convert;
use crate::context::{Context, Shared};
use crate::recorder::{Recorder, ScopeId, Started};
use crate::recording::{Recording, Start};
use crate::thread;

/// Gives tracers to libraries.
#[derive(Clone, Debug)]
pub struct TracerProvider {
    recorder: Option<Arc<Recorder>>,
}

impl TracerProvider {
    /// Over the default recorder, whichever that is at the time.
    #[expect(clippy::new_without_default, reason = "it also connects both kinds of contexts")]
    pub fn new() -> Self {
        super::activate();
        TracerProvider { recorder: None }
    }

    /// Over this recorder.
    pub fn with_recorder(recorder: Arc<Recorder>) -> Self {
        super::activate();
        TracerProvider { recorder: Some(recorder) }
    }
}

impl otel::TracerProvider for TracerProvider {
    type Tracer = Tracer;

    fn tracer_with_scope(&self, scope: InstrumentationScope) -> Tracer {
        let scope = convert::scope_in(&scope);
        Tracer { recorder: self.recorder.clone(), scope, known: Mutex::default() }
    }
}

/// Starts the spans of one library.
#[derive(Debug)]
pub struct Tracer {
    recorder: Option<Arc<Recorder>>,
    scope: Scope,
    /// What the last recorder calls the scope.
    known: Mutex<Option<(Arc<Recorder>, ScopeId)>>,
}

impl Tracer {
    fn recorder(&self) -> Option<(Arc<Recorder>, ScopeId)> {
        let recorder = self.recorder.clone().or_else(thread::default)?;
        let mut known = lock(&self.known);
        match &*known {
            Some((of, scope)) if Arc::ptr_eq(of, &recorder) => Some((recorder, *scope)),
            _ => {
                let scope = recorder.scope(&self.scope);
                *known = Some((Arc::clone(&recorder), scope));
                Some((recorder, scope))
            }
        }
    }
}

impl otel::Tracer for Tracer {
    type Span = Span;

    fn build_with_context(&self, builder: SpanBuilder, parent: &OtelContext) -> Span {
        let Some((recorder, scope)) = self.recorder().filter(|_| !parent.is_telemetry_suppressed())
        else {
            return Span { context: parent.span().span_context().clone(), recording: None };
        };
        let start = Start {
            name: &builder.name,
            kind: builder.span_kind.as_ref().map_or(Kind::Internal, convert::kind_in),
            scope,
            time: builder.start_time.map(convert::nanos),
        };
        match recorder.start(&start, super::context_of(parent).as_ref()) {
            Started::Unsampled(context) => {
                Span { context: convert::context_out(&context), recording: None }
            }
            Started::Recording(mut recording) => {
                describe(&mut recording, &builder);
                remember(recording.context());
                let context = convert::context_out(recording.context());
                Span { context, recording: Some(recording) }
            }
        }
    }
}

fn describe(recording: &mut Recording, builder: &SpanBuilder) {
    for attribute in builder.attributes.iter().flatten() {
        set(recording, attribute);
    }
    for event in builder.events.iter().flatten() {
        let attributes = convert::attributes_in(&event.attributes);
        recording.event(&event.name, Some(convert::nanos(event.timestamp)), &attributes);
    }
    for to in builder.links.iter().flatten() {
        link(recording, &to.span_context, &to.attributes);
    }
}

fn set(recording: &mut Recording, attribute: &KeyValue) {
    convert::with_value(&attribute.value, |value| recording.set(attribute.key.as_str(), value));
}

fn link(recording: &mut Recording, to: &SpanContext, attributes: &[KeyValue]) {
    if let Some(own) = convert::span_context_in(to) {
        recording.link(&own, to.is_remote(), &convert::attributes_in(attributes));
    }
}

/// A span of a library. It ends when it is told to, or dropped.
#[derive(Debug)]
pub struct Span {
    context: SpanContext,
    recording: Option<Box<Recording>>,
}

impl Span {
    fn end_at(&mut self, time: Option<u64>) {
        if let Some(recording) = self.recording.take() {
            forget(recording.context());
            Recorder::end(recording, time);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.end_at(None);
    }
}

impl Record for Span {
    fn context(&self) -> &SpanContext {
        &self.context
    }

    fn is_open(&self) -> bool {
        self.recording.is_some()
    }

    fn record(&mut self, work: impl FnOnce(&mut Recording)) {
        self.recording.as_deref_mut().map(work);
    }

    fn finish(&mut self, time: Option<u64>) {
        self.end_at(time);
    }
}

/// A span of ours that the thread is in, as the active span of OpenTelemetry: what is set on it
/// is set on ours, and it cannot be ended.
#[derive(Debug)]
pub(super) struct Entered {
    context: SpanContext,
    id: SpanId,
}

impl Entered {
    pub fn new(context: &Context) -> Self {
        Entered { context: convert::context_out(context), id: context.span_id }
    }
}

impl Record for Entered {
    fn context(&self) -> &SpanContext {
        &self.context
    }

    fn is_open(&self) -> bool {
        self.context.is_sampled() && !self.context.is_remote()
    }

    fn record(&mut self, work: impl FnOnce(&mut Recording)) {
        thread::with(|thread| {
            let is_it = |state: &&mut crate::span::State| {
                state.context().is_some_and(|context| context.span_id == self.id)
            };
            thread.entered.iter_mut().rev().find(is_it).map(|state| state.record(work))
        });
    }

    fn finish(&mut self, _: Option<u64>) {}
}

/// What both sorts of spans do in their own way, so that all else is written once.
trait Record {
    fn context(&self) -> &SpanContext;
    fn is_open(&self) -> bool;
    fn record(&mut self, work: impl FnOnce(&mut Recording));
    fn finish(&mut self, time: Option<u64>);
}

macro_rules! spans {
    ($($span:ident),*) => {$(
        impl otel::Span for $span {
            fn add_event_with_timestamp<T>(&mut self, name: T, at: SystemTime, attributes: Vec<KeyValue>)
            where
                T: Into<Cow<'static, str>>,
            {
                let (name, attributes) = (name.into(), convert::attributes_in(&attributes));
                self.record(|span| span.event(&name, Some(convert::nanos(at)), &attributes));
            }

            fn span_context(&self) -> &SpanContext {
                self.context()
            }

            fn is_recording(&self) -> bool {
                self.is_open()
            }

            fn set_attribute(&mut self, attribute: KeyValue) {
                self.record(|span| set(span, &attribute));
            }

            fn set_status(&mut self, status: otel::Status) {
                self.record(|span| match &status {
                    otel::Status::Unset => {}
                    otel::Status::Ok => span.set_status(StatusCode::Ok, ""),
                    otel::Status::Error { description } => {
                        span.set_status(StatusCode::Error, description);
                    }
                });
            }

            fn update_name<T: Into<Cow<'static, str>>>(&mut self, new_name: T) {
                let name = new_name.into();
                self.record(|span| span.rename(&name));
            }

            fn add_link(&mut self, to: SpanContext, attributes: Vec<KeyValue>) {
                self.record(|span| link(span, &to, &attributes));
            }

            fn end(&mut self) {
                self.finish(None);
            }

            fn end_with_timestamp(&mut self, at: SystemTime) {
                self.finish(Some(convert::nanos(at)));
            }
        }
    )*};
}

spans!(Span, Entered);

/// What few spans hand down, of those that are open: OpenTelemetry's contexts cannot carry it.
static OPEN: OnceLock<Mutex<HashMap<SpanId, Arc<Shared>>>> = OnceLock::new();
static N_OPEN: AtomicUsize = AtomicUsize::new(0);

fn remember(context: &Context) {
    if let Some(shared) = &context.shared {
        let mut open = lock(OPEN.get_or_init(Mutex::default));
        open.insert(context.span_id, Arc::clone(shared));
        N_OPEN.store(open.len(), Relaxed);
    }
}

fn forget(context: &Context) {
    if context.shared.is_some() {
        let mut open = lock(OPEN.get_or_init(Mutex::default));
        open.remove(&context.span_id);
        N_OPEN.store(open.len(), Relaxed);
    }
}

/// What an open span of a library hands down.
pub(super) fn shared_of(id: SpanId) -> Option<Arc<Shared>> {
    if N_OPEN.load(Relaxed) == 0 {
        return None;
    }
    lock(OPEN.get()?).get(&id).cloned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
