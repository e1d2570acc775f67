//! Segment documents of AWS X-Ray, as its daemon takes them (UDP port 2000)
//! ([documents](https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html),
//! [daemon](https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html)).
//!
//! X-Ray knows services that serve requests (segments) and what they do meanwhile (subsegments,
//! nested or sent on their own). What it has no field for is written into `metadata.default`, by
//! which our own documents are recognised when they are read. What gets lost: nanoseconds, times
//! and further attributes of exceptions, tracestate of links, attributes of scopes, schema URLs,
//! dropped counts of events.

mod decode;
mod encode;
mod stack;

pub use decode::{decode_datagram, decode_document};
pub use encode::{ANNOTATIONS, MAX_DOCUMENT_BYTES, encode_datagram, encode_document};

/// What stands before the document in a datagram.
const HEADER: &str = "{\"format\":\"json\",\"version\":1}\n";

/// The member of `metadata.default` that has a span's own name. X-Ray's names are those of
/// services.
const SPAN_NAME: &str = "otel.span.name";

/// The member of `metadata.default` that has a span's events but for exceptions.
const EVENTS: &str = "otel.events";

/// What precedes the keys of resource attributes in `metadata.default`.
const RESOURCE_PREFIX: &str = "otel.resource.";

#[cfg(test)]
mod tests;
