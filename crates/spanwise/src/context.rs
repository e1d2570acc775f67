//! What a span hands down: to its children in this process, and to other processes.

use std::sync::Arc;

use spanwise_model::propagate::{Baggage, SpanContext};

use crate::fields::Fields;

/// What identifies a span, and what everything below it inherits.
#[derive(Clone, Debug)]
pub struct Context {
    /// What other processes see.
    pub span: SpanContext,
    /// Whether it came from another process.
    pub is_remote: bool,
    pub(crate) shared: Option<Arc<Shared>>,
}

/// What few contexts have.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Attributes for every span below.
    pub attributes: Option<Fields>,
    /// What the application passes along.
    pub baggage: Baggage,
}

impl Context {
    /// The context of a span in another process, as [`spanwise_model::propagate::extract`] read it.
    pub fn remote(span: SpanContext, baggage: Baggage) -> Self {
        let shared = Shared { baggage, ..Shared::default() };
        let shared = (!shared.baggage.is_empty()).then(|| Arc::new(shared));
        Context { span, is_remote: true, shared }
    }

    /// Whether spans below are recorded.
    pub fn is_sampled(&self) -> bool {
        self.span.flags.is_sampled()
    }

    /// What the application passes along.
    pub fn baggage(&self) -> Baggage {
        self.shared.as_ref().map(|shared| shared.baggage.clone()).unwrap_or_default()
    }
}
