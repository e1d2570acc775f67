//! Where an exchange stands in its trace: the caller's context in, the attempt's context out, by
//! the rules of W3C Trace Context, level 2.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use spanwise::{Context, Recorder};
use spanwise_model::propagate::{
    self, Baggage, Extracted, SpanContext, TRACERESPONSE, TraceState, Traceparent,
};
use spanwise_model::sampling::{OtState, Randomness, Rate};

use crate::config::{Keep, Parent, Profile, Propagate, Tracing};
use crate::metrics::Metrics;

/// Our member of `tracestate`: how many gateways a request has passed through.
const OWN_KEY: &str = "spanwise";
const HOPS: &str = "hop:";

/// Takes part in traces, and records what passes through if there is somewhere to send it.
#[derive(Clone, Debug)]
pub struct Tracer {
    pub(crate) recorder: Option<Arc<Recorder>>,
    pub(crate) keep: Keep,
    pub(crate) profile: Profile,
    pub(crate) metrics: Arc<Metrics>,
    rate: Rate,
    parent: Parent,
}

/// An exchange's place in its trace.
#[derive(Clone, Debug)]
pub struct Place {
    /// The caller's span, if it told of one.
    pub parent: Option<Context>,
    /// The span of the request that we serve.
    pub server: Context,
    /// The span of the logical call, whatever number of attempts it takes.
    pub call: Context,
    /// How many gateways have passed it on before.
    pub hops: u32,
}

impl Tracer {
    /// As the configuration says. Without a recorder nothing is recorded, and the context of
    /// requests goes through as it came.
    pub fn new(recorder: Option<Arc<Recorder>>, tracing: &Tracing, metrics: Arc<Metrics>) -> Self {
        Tracer {
            recorder,
            metrics,
            keep: tracing.keep,
            profile: tracing.profile,
            // The plan has checked the percentage.
            rate: Rate::new(tracing.random_sampling / 100.0).unwrap_or_default(),
            parent: tracing.parent,
        }
    }

    /// Finds a request's place: below its caller, or at the beginning of a trace.
    pub fn enter(&self, headers: &HeaderMap) -> Place {
        self.enter_as(propagate::extract(|name, each| {
            headers.get_all(name).iter().for_each(|value| each(value.as_bytes()));
        }))
    }

    /// The same for a context that did not come in headers.
    pub fn enter_as(&self, extracted: Extracted) -> Place {
        for problem in &extracted.problems {
            self.metrics.bad_context(problem.header);
            tracing::debug!(header = problem.header, reason = problem.reason, "context ignored");
        }
        let hops = extracted.parent.as_ref().map_or(0, |parent| hops_of(&parent.trace_state));
        let parent = extracted.parent.map(|span| Context::remote(span, extracted.baggage.clone()));
        let server = match &parent {
            Some(parent) => parent.new_child(),
            None if extracted.baggage.is_empty() => Context::new_root(),
            None => Context::new_root().with_baggage(extracted.baggage),
        };
        let decided = extracted.sampled.filter(|_| self.parent == Parent::Honor);
        let server = match decided {
            Some(sampled) => server.sampled(sampled),
            None => self.decide(server),
        };
        Place { parent, call: server.new_child(), server, hops }
    }

    /// Decides by the trace's id, and tells those who come after with which probability.
    fn decide(&self, context: Context) -> Context {
        let sampled = self.rate.keeps(Randomness::of_trace(context.trace_id));
        let mut state = context.span_context().trace_state;
        let mut ot = OtState::read(&state);
        ot.threshold = self.rate.threshold().filter(|_| sampled && self.rate != Rate::ALL);
        // A member that does not fit is left out; the decision holds all the same.
        let context = match ot.write(&mut state) {
            Ok(()) => context.with_trace_state(state),
            Err(_) => context,
        };
        context.sampled(sampled)
    }

    /// Writes what an upstream learns of the trace into a request's headers. `attempt` is the span
    /// that the upstream's spans belong below. Returns the context of the new trace if one begins
    /// there.
    pub fn inject(
        &self,
        place: &Place,
        attempt: &Context,
        caller: &HeaderMap,
        manner: Manner,
        headers: &mut HeaderMap,
    ) -> Option<SpanContext> {
        if manner.propagate == Propagate::None {
            return None;
        }
        if !self.edits_context(manner.propagate) {
            for name in
                propagate::HEADERS.iter().filter(|name| manner.baggage || **name != "baggage")
            {
                for value in caller.get_all(*name) {
                    headers.append(HeaderName::from_static(name), value.clone());
                }
            }
            return None;
        }
        let (mut span, restarted) = match manner.propagate {
            Propagate::Restart => {
                let root = Context::new_root().sampled(attempt.is_sampled()).span_context();
                (root.clone(), Some(root))
            }
            _ => (attempt.span_context(), None),
        };
        if manner.counts_hops {
            let hops = format!("{HOPS}{}", place.hops + 1);
            // A full list cannot take it: such a request is counted no further.
            let _ = span.trace_state.insert(OWN_KEY, &hops);
        }
        let baggage = if manner.baggage { attempt.baggage() } else { Baggage::default() };
        propagate::inject(&span, &baggage, &mut |name, value| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        });
        restarted
    }

    /// Whether an upstream is told anything else about the trace than what the caller says.
    pub fn edits_context(&self, propagate: Propagate) -> bool {
        self.recorder.is_some() || propagate != Propagate::Full
    }

    /// What the caller is told about the trace.
    pub fn respond(&self, place: &Place, headers: &mut HeaderMap) {
        if self.recorder.is_none() {
            return;
        }
        let server = &place.server;
        let told = Traceparent::new(server.trace_id, server.span_id, server.flags);
        if let Ok(value) = HeaderValue::from_str(told.as_str()) {
            headers.insert(HeaderName::from_static(TRACERESPONSE), value);
        }
    }
}

/// How an upstream is told about the trace.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// The trace goes on, begins anew, or is kept from it.
    pub propagate: Propagate,
    /// Whether it gets the baggage too.
    pub baggage: bool,
    /// Whether it may lead back to a gateway: agents do, and what is not a public provider.
    pub counts_hops: bool,
}

fn hops_of(state: &TraceState) -> u32 {
    let own = state.get(OWN_KEY).and_then(|value| value.strip_prefix(HOPS));
    own.and_then(|hops| hops.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
