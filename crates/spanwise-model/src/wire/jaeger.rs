//! Jaeger's Thrift, as its clients send it
//! ([jaeger.thrift](https://github.com/jaegertracing/jaeger-idl/blob/main/thrift/jaeger.thrift)): a
//! bare `Batch` in the binary protocol in a body of HTTP (port 14268, `/api/traces`), or a message
//! `emitBatch` in the compact protocol in a UDP datagram (port 6831).
//!
//! A Jaeger batch has one process, so spans of several resources become several batches. Tags are
//! typed, but for lists and maps, which become JSON; scope, status and dropped counts are tags by
//! OpenTelemetry's rules. What gets lost: nanoseconds, attributes and tracestate of links, attributes
//! of scopes, schema URLs, the difference between unspecified and internal kind.

mod decode;
mod encode;
mod thrift;

pub use decode::{decode_batch, decode_datagram};
pub use encode::{Datagrams, MAX_DATAGRAM_BYTES, encode_batches, encode_datagrams};

/// The link attribute that tells what sort of reference it was: `child_of` or `follows_from`.
const REF_TYPE: &str = "opentracing.ref_type";

const CHILD_OF: i32 = 0;
const FOLLOWS_FROM: i32 = 1;

/// The field of a log that holds the count of an event's dropped attributes.
const EVENT_DROPPED: &str = "otel.event.dropped_attributes_count";

/// The only message that a client sends to an agent.
const EMIT_BATCH: &str = "emitBatch";

#[cfg(test)]
mod tests;
