//! `spanwise._core`: what the Python package does for every span.
//!
//! Read in this order: `tracer` (a span starts), `span` (it records and ends), `activation` (it is
//! current), `readable` (Python looks at it), `value` (Python's values become ours and back).

mod activation;
mod api;
mod exporter;
mod json;
mod operation;
mod origin;
mod provider;
mod rag_control;
mod readable;
mod running;
mod runtime;
mod span;
mod tracer;
mod value;

/// See the crate.
#[pyo3::pymodule]
mod _core {
    #[pymodule_export]
    use crate::activation::Activation;
    #[pymodule_export]
    use crate::json::to_json;
    #[pymodule_export]
    use crate::operation::{Call, Operation};
    #[pymodule_export]
    use crate::provider::{Processors, Provider};
    #[pymodule_export]
    use crate::rag_control::{
        RagEngine, RagExchange, RagModel, RagPieces, RagStore, is_model_provider,
        rag_filter_matches,
    };
    #[pymodule_export]
    use crate::readable::ReadableSpan;
    #[pymodule_export]
    use crate::running::{Running, option_names};
    #[pymodule_export]
    use crate::span::{Span, UnsampledSpan};
    #[pymodule_export]
    use crate::tracer::Tracer;
}
