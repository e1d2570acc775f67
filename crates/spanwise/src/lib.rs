//! Tracing for LLM applications.
//!
//! ```
//! use spanwise::Config;
//!
//! # fn main() -> Result<(), spanwise::ConfigError> {
//! let _spanwise = spanwise::init(
//!     Config::new("support-bot")
//!         .endpoint("http://127.0.0.1:4318") // the default: a Spanwise server on this machine
//!         .sampling_rate(1.0)
//!         .redaction(true)
//! #       .exporters(["none"]),
//! )?;
//!
//! #[spanwise::workflow]
//! fn answer(question: &str) -> String {
//!     spanwise::span("retrieve").in_scope(|| {
//!         spanwise::current().set("documents", 3);
//!     });
//!     format!("You asked: {question}")
//! }
//!
//! answer("Where is my order?");
//! // When `_spanwise` is dropped, what has ended is delivered, for five seconds at most.
//! # Ok(())
//! # }
//! ```
//!
//! Options can also come from the environment: `SPANWISE_<OPTION>`, and the variables that
//! OpenTelemetry defines ([`config`]). A mistake in them is an error of [`init()`]; everything that
//! goes wrong later is counted ([`Metrics`]) and logged with `tracing`, and never reaches the
//! application.
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
#[cfg(feature = "rag-control")]
pub mod rag_control;
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
mod running;
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

/// Makes this the recorder of [`span()`] and of everything else that names none.
pub fn set_default(recorder: Option<Arc<Recorder>>) {
    thread::set_default(recorder);
}
