//! Which traces are recorded.

use std::sync::Arc;

use spanwise_model::TraceId;

use crate::context::Context;

/// Decides whether the trace that starts with a local root is recorded.
pub trait Sampler: Send + Sync {
    /// Whether to record. `context` is the span's own; a panic counts as "no opinion", and the
    /// base rate decides.
    fn should_sample(&self, context: &Context, name: &str) -> bool;
}

/// The choice of a [`Sampler`], with the usual one built in.
#[derive(Clone)]
pub enum Sampling {
    /// This part of all traces, chosen by their ids: 0 none, 1 all.
    Rate(f64),
    /// As this one says.
    Custom(Arc<dyn Sampler>),
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling::Rate(1.0)
    }
}

/// Traces whose id, in its low 56 bits, is below this are not recorded.
pub(crate) fn threshold(rate: f64) -> u64 {
    const ALL: f64 = (1u64 << 56) as f64;
    ((1.0 - rate.clamp(0.0, 1.0)) * ALL).round() as u64
}

/// Whether a trace is kept at a threshold: OpenTelemetry's consistent probability.
#[inline]
pub(crate) fn keeps(threshold: u64, trace_id: &TraceId) -> bool {
    let (_, low) = trace_id.as_bytes().split_last_chunk::<8>().unwrap_or((&[], &[0; 8]));
    u64::from_be_bytes(*low) & ((1 << 56) - 1) >= threshold
}
