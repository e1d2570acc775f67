//! Tracing for LLM applications.
//!
//! Read in this order: `span` (what an application holds), `recording` (a span while
//! it is open), `thread` (what each thread keeps), `intake` and `worker` (how spans leave),
//! `export` (where they go).

pub mod config;
pub mod content;
pub mod context;
pub mod export;
pub mod function;
pub mod future;
pub mod genai;
pub mod init;
#[cfg(feature = "opentelemetry")]
pub mod interop;
#[cfg(feature = "tracing-layer")]
pub mod layer;
pub mod propagation;
pub mod recorder;
pub mod recording;
pub mod sampler;
pub mod settings;
pub mod span;
pub mod value;

mod clock;
mod fields;
mod fork;
mod ids;
mod intake;
mod resource;
#[cfg(feature = "tracing-layer")]
mod shared;
mod tail;
mod thread;
mod worker;

use std::sync::Arc;

pub use config::{Config, ConfigError};
pub use context::Context;
pub use future::InSpan;
pub use init::{Spanwise, TraceConfig, init};
#[cfg(feature = "tracing-layer")]
pub use layer::layer;
pub use recorder::{ExporterMetrics, Metrics, Recorder, ScopeId, Started};
pub use recording::{Recording, Start};
pub use sampler::{Sampler, Sampling};
pub use settings::{Limits, Settings};
pub use span::{
    Current, Entered, Span, context_key, current, current_context, set_span_context, span,
    span_below, start,
};
pub use spanwise_macros::{agent, task, tool, workflow};
pub use value::ToValue;

/// Makes this the recorder of [`span`] and of everything else that names none.
pub fn set_default(recorder: Option<Arc<Recorder>>) {
    thread::set_default(recorder);
}
