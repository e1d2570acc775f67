//! Libraries that are instrumented with the API of OpenTelemetry, recorded by this crate.
//!
//! ```
//! # let recorder = spanwise::Recorder::new(Default::default());
//! # spanwise::set_default(Some(recorder));
//! use opentelemetry::trace::{TraceContextExt as _, Tracer as _};
//!
//! spanwise::interop::install();
//!
//! let tracer = opentelemetry::global::tracer("a-library");
//! let outer = spanwise::span("outer").enter();
//! tracer.in_span("theirs", |context| {
//!     // Below "outer", and "inner" is below it.
//!     let inner = spanwise::span("inner");
//!     let theirs = context.span().span_context().trace_id().to_string();
//!     assert_eq!(inner.context().unwrap().trace_id.to_string(), theirs);
//! });
//! ```
//!
//! From then on the context of OpenTelemetry carries our spans: whatever looks for the active span,
//! such as a propagator, finds the one that was entered last, of whichever kind.

mod convert;
mod propagator;
mod tracer;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::{Context as OtelContext, ContextGuard};

pub use self::propagator::Propagator;
pub use self::tracer::{Span, Tracer, TracerProvider};
use crate::context::Context;
use crate::thread;

/// Whether both kinds of spans have to know of each other.
static IS_ACTIVE: AtomicBool = AtomicBool::new(false);

/// Makes this crate what [`opentelemetry::global`] gives to libraries: spans go to the default
/// recorder, and context crosses processes by the rules of [`propagation`](crate::propagation).
pub fn install() {
    opentelemetry::global::set_tracer_provider(TracerProvider::new());
    opentelemetry::global::set_text_map_propagator(Propagator::new());
}

fn activate() {
    IS_ACTIVE.store(true, Relaxed);
}

/// A context of ours within one of OpenTelemetry's, whose spans cannot carry all of it.
struct Carried(Context);

/// Makes a span that was just entered the active one of OpenTelemetry, too.
#[inline]
pub(crate) fn attach(context: Option<&Context>) -> Option<ContextGuard> {
    if IS_ACTIVE.load(Relaxed) { context.map(attach_now) } else { None }
}

#[cold]
fn attach_now(context: &Context) -> ContextGuard {
    let current = OtelContext::current_with_span(tracer::Entered::new(context));
    if context.shared.is_none() {
        return current.attach();
    }
    let current = current.with_value(Carried(context.clone()));
    let baggage = context.baggage();
    if baggage.is_empty() {
        current.attach()
    } else {
        current.with_baggage(convert::baggage_out(&baggage)).attach()
    }
}

/// The active span of OpenTelemetry, if it was entered after the innermost of ours.
#[inline]
pub(crate) fn newer_than_ours() -> Option<Context> {
    if IS_ACTIVE.load(Relaxed) { OtelContext::map_current(newer) } else { None }
}

fn newer(current: &OtelContext) -> Option<Context> {
    let active = current.span().span_context().span_id().to_bytes();
    let ours = thread::with(|thread| thread.current().map(|ours| *ours.span_id.as_bytes()));
    if ours.flatten() == Some(active) { None } else { context_of(current) }
}

/// The context of OpenTelemetry's active span, as ours.
fn context_of(current: &OtelContext) -> Option<Context> {
    let span = current.span();
    let theirs = span.span_context();
    if !theirs.is_valid() {
        return None;
    }
    let mut context = convert::context_in(theirs)?;
    let id = context.span_id;
    // Most is known of a span that this thread is in, or that is ours and open.
    let entered = thread::with(|thread| {
        let mut contexts = thread.entered.iter().rev().filter_map(|state| state.context());
        contexts.find(|context| context.span_id == id).cloned()
    });
    if let Some(entered) = entered.flatten() {
        return Some(entered);
    }
    let carried = current.get::<Carried>().filter(|carried| carried.0.trace_id == context.trace_id);
    if let Some(shared) = tracer::shared_of(id).or_else(|| carried?.0.shared.clone()) {
        context.shared = Some(shared);
    } else if current.baggage().iter().next().is_some() {
        context.set_baggage(convert::baggage_in(current.baggage()));
    }
    Some(context)
}
