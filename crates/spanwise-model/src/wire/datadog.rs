//! What Datadog's tracers send to their agent (port 8126): traces in MessagePack, in the versions
//! `/v0.3`, `/v0.4` (one shape), `/v0.5` (with a table of strings) and `/v0.7` (with an envelope).
//! There is no public specification; the shapes are those of the agent's own decoders
//! ([pkg/trace/api](https://github.com/DataDog/datadog-agent/tree/main/pkg/trace/api)).
//!
//! Datadog has text (`meta`) and numbers (`metrics`), 64-bit trace ids with the other half in a
//! tag, and calls OpenTelemetry's span name its "resource". Written spans carry `otel.trace_id`, as
//! those do that Datadog's agent itself converts from OTLP; by it they are recognised when they are
//! read. What gets lost: types other than text and number, attributes of scopes, schema URLs,
//! dropped counts of events, and where a resource attribute has no well-known prefix, that it
//! belonged to the resource.

mod decode;
mod encode;
mod mapping;
mod msgpack;

pub use decode::{decode_v04, decode_v05, decode_v07};
pub use encode::{Payload, encode};

/// What the headers of a request say about who sent it; empty where they say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tracer<'h> {
    /// `Datadog-Meta-Lang`.
    pub language: &'h str,
    /// `Datadog-Meta-Tracer-Version`.
    pub version: &'h str,
    /// `Datadog-Container-ID`.
    pub container_id: &'h str,
}

/// The tag that holds the high half of a trace's id in hex.
const TRACE_ID_HIGH: &str = "_dd.p.tid";

/// The tag that holds the whole id of a trace in hex, on spans that come from OpenTelemetry.
const OTEL_TRACE_ID: &str = "otel.trace_id";

#[cfg(test)]
mod tests;
