//! The SDK as an application sees it, up to the bytes that leave.

#![expect(clippy::unwrap_used, reason = "these are tests throughout")]

mod export_config;
mod export_faults;
mod export_formats;
#[cfg(feature = "grpc")]
mod export_grpc;
mod function;
mod genai;
#[cfg(feature = "opentelemetry")]
mod interop;
mod layer;
mod propagation;
#[cfg(feature = "rag-control")]
mod rag_control;
mod receiver;
mod recording;
mod running;
mod sink;

/// A recorder as a configuration makes it, without the process's own environment variables.
fn started(config: spanwise::Config) -> std::sync::Arc<spanwise::Recorder> {
    let config = config.environment(spanwise::config::Environment::of::<&str, &str>([]));
    spanwise::Recorder::new(config.settings().unwrap())
}
