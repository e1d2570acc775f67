//! What a span hands down: to its children in this process, and to other processes.

use std::sync::Arc;

use spanwise_model::propagate::{Baggage, SpanContext, TraceFlags, TraceState};
use spanwise_model::wire::otlp::{Owner, ValueRef};
use spanwise_model::{SpanId, TraceId};

use crate::fields::Fields;
use crate::settings::Limits;
use crate::tail::Tail;
use crate::thread;
use crate::value::ToValue;

/// What identifies a span, and what everything below it inherits. Small, as every span has one.
#[derive(Clone, Debug)]
pub struct Context {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// What was decided about the trace.
    pub flags: TraceFlags,
    /// Whether it came from another process. Not a `bool`: the compiler would keep other types'
    /// tags in its unused bits, at an odd place, and then copies everything else from odd places.
    remote: u8,
    pub(crate) shared: Option<Arc<Shared>>,
}

/// What every context has. Copied from register to register; a whole [`Context`] has something to
/// drop, and is therefore moved through memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub flags: TraceFlags,
}

/// What few contexts have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    /// What tracing systems on the way told each other.
    pub trace_state: TraceState,
    /// What the application passes along.
    pub baggage: Baggage,
    /// Attributes for every span below.
    pub attributes: Option<Fields>,
    /// Where spans wait until their root has ended.
    pub tail: Option<Arc<Tail>>,
}

impl Context {
    /// The context of a span in another process, as [`spanwise_model::propagate::extract`] read it.
    pub fn remote(span: SpanContext, baggage: Baggage) -> Self {
        let is_plain = span.trace_state.is_empty() && baggage.is_empty();
        let shared = Shared { trace_state: span.trace_state, baggage, ..Shared::default() };
        Context {
            trace_id: span.trace_id,
            span_id: span.span_id,
            flags: span.flags,
            remote: 1,
            shared: (!is_plain).then(|| Arc::new(shared)),
        }
    }

    /// A span's context as it is known elsewhere: with ids that others made, or from a parent that
    /// is not ours.
    pub fn known(span: SpanContext, is_remote: bool) -> Self {
        Context { remote: u8::from(is_remote), ..Self::remote(span, Baggage::default()) }
    }

    /// New ids for a new trace, about which nothing was decided yet.
    pub fn new_root() -> Self {
        thread::with_ids(|ids| Context::root(ids.trace_id(), ids.span_id()))
    }

    /// The context of a new span below this one, which shares its fate.
    #[must_use]
    pub fn new_child(&self) -> Self {
        thread::with_ids(|ids| self.child(ids.span_id()))
    }

    /// The same, sampled or not.
    #[must_use]
    #[inline]
    pub fn sampled(mut self, sampled: bool) -> Self {
        self.flags = self.flags.with_sampled(sampled);
        self
    }

    /// The same context with other baggage, which does not depend on the trace.
    #[must_use]
    pub fn with_baggage(mut self, baggage: Baggage) -> Self {
        let shared = self.shared.as_deref().cloned().unwrap_or_default();
        self.shared = Some(Arc::new(Shared { baggage, ..shared }));
        self
    }

    /// The same with another `tracestate`.
    #[must_use]
    pub fn with_trace_state(mut self, trace_state: TraceState) -> Self {
        if trace_state.as_str() != self.trace_state() {
            let shared = self.shared.as_deref().cloned().unwrap_or_default();
            self.shared = Some(Arc::new(Shared { trace_state, ..shared }));
        }
        self
    }

    /// What tracing systems on the way told each other.
    pub fn trace_state(&self) -> &str {
        self.shared.as_ref().map_or("", |shared| shared.trace_state.as_str())
    }

    /// A new trace, about which nothing was decided yet.
    #[inline]
    pub(crate) fn root(trace_id: TraceId, span_id: SpanId) -> Self {
        Context { trace_id, span_id, flags: TraceFlags::RANDOM, remote: 0, shared: None }
    }

    /// The context of a span in this process.
    #[inline]
    pub(crate) fn of(identity: Identity, shared: Option<Arc<Shared>>) -> Self {
        let Identity { trace_id, span_id, flags } = identity;
        Context { trace_id, span_id, flags, remote: 0, shared }
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity { trace_id: self.trace_id, span_id: self.span_id, flags: self.flags }
    }

    /// The context of a span below.
    #[inline]
    pub(crate) fn child(&self, span_id: SpanId) -> Self {
        Context::of(Identity { span_id, ..self.identity() }, self.shared.clone())
    }

    /// The same, of a span in this process.
    #[cfg(feature = "opentelemetry")]
    pub(crate) fn local(self) -> Self {
        Context { remote: 0, ..self }
    }

    #[cfg(feature = "opentelemetry")]
    pub(crate) fn set_baggage(&mut self, baggage: Baggage) {
        Arc::make_mut(self.shared.get_or_insert_default()).baggage = baggage;
    }

    /// Whether it came from another process.
    pub fn is_remote(&self) -> bool {
        self.remote != 0
    }

    /// Whether spans below are recorded.
    #[inline]
    pub fn is_sampled(&self) -> bool {
        self.flags.is_sampled()
    }

    pub(crate) fn has_tail(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.tail.is_some())
    }

    /// What other processes see.
    pub fn span_context(&self) -> SpanContext {
        let trace_state = self.shared.as_ref().map(|shared| shared.trace_state.clone());
        SpanContext {
            trace_id: self.trace_id,
            span_id: self.span_id,
            flags: self.flags,
            trace_state: trace_state.unwrap_or_default(),
        }
    }

    /// Sets an attribute of this span and of every span below it that starts from now on. Spans
    /// below that set the key themselves keep their own value.
    ///
    /// ```
    /// use spanwise::{Context, propagation};
    ///
    /// let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    /// let mut caller: Context =
    ///     propagation::extract(|name| (name == "traceparent").then_some(parent)).unwrap();
    /// caller.inherit("user.id", "u-17");
    /// ```
    pub fn inherit(&mut self, key: &str, value: impl ToValue) {
        value.with(|value| self.inherit_value(&Limits::default(), key, value));
    }

    pub(crate) fn inherit_value(&mut self, limits: &Limits, key: &str, value: ValueRef<'_>) {
        // Spans below that have started share what was there; they keep that.
        let shared = Arc::make_mut(self.shared.get_or_insert_default());
        let attributes = shared.attributes.get_or_insert_with(|| Fields::new(Owner::Span));
        attributes.set(limits, key, value);
    }

    /// What the application passes along.
    pub fn baggage(&self) -> Baggage {
        self.shared.as_ref().map(|shared| shared.baggage.clone()).unwrap_or_default()
    }
}
