//! OpenTelemetry's face of [`crate::propagation`].

use opentelemetry::Context as OtelContext;
use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt as _;
use spanwise_model::propagate::{self, Extracted, HEADERS};

use super::convert;

/// Carries W3C Trace Context and Baggage out, and those or B3 in.
///
/// ```
/// use std::collections::HashMap;
/// use opentelemetry::propagation::TextMapPropagator as _;
/// use opentelemetry::trace::TraceContextExt as _;
/// use spanwise::interop::Propagator;
///
/// let propagator = Propagator::new();
/// let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
/// let headers = HashMap::from([("traceparent".to_owned(), parent)]);
/// let caller = propagator.extract(&headers);
/// assert!(caller.span().span_context().is_remote());
/// let mut passed_on = HashMap::new();
/// propagator.inject_context(&caller, &mut passed_on);
/// assert_eq!(passed_on, headers);
/// ```
#[derive(Debug)]
pub struct Propagator {
    fields: Vec<String>,
}

impl Propagator {
    /// There is one sort.
    #[expect(clippy::new_without_default, reason = "it also connects both kinds of contexts")]
    pub fn new() -> Self {
        super::activate();
        Propagator { fields: HEADERS.map(str::to_owned).to_vec() }
    }
}

impl TextMapPropagator for Propagator {
    fn inject_context(&self, context: &OtelContext, injector: &mut dyn Injector) {
        let baggage = convert::baggage_in(context.baggage());
        match convert::span_context_in(context.span().span_context()) {
            Some(span) => propagate::inject(&span, &baggage, &mut |name, value| {
                injector.set(name, value.to_owned());
            }),
            None if baggage.is_empty() => {}
            None => injector.set("baggage", baggage.as_str().to_owned()),
        }
    }

    fn extract_with_context(&self, context: &OtelContext, headers: &dyn Extractor) -> OtelContext {
        let Extracted { parent, baggage, .. } = propagate::extract(|name, each| {
            for value in headers.get_all(name).unwrap_or_default() {
                each(value.as_bytes());
            }
        });
        let mut extracted = context.clone();
        if let Some(parent) = parent {
            let parent = convert::span_context_out(&parent, true);
            extracted = extracted.with_remote_span_context(parent);
        }
        if !baggage.is_empty() {
            extracted = extracted.with_baggage(convert::baggage_out(&baggage));
        }
        extracted
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&self.fields)
    }
}
