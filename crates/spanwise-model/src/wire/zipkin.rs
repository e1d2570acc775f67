//! Zipkin v2 as `POST /api/v2/spans` takes it: in JSON
//! ([zipkin2-api](https://github.com/openzipkin/zipkin-api/blob/master/zipkin2-api.yaml)), and for
//! reading also in protobuf.
//!
//! Zipkin has no resource, scope, status, links or typed values. They are written as tags by
//! [OpenTelemetry's rules](https://opentelemetry.io/docs/specs/otel/trace/sdk_exporters/zipkin/)
//! and found there again. What gets lost: nanoseconds, types of values, attributes of scopes, schema
//! URLs, flags, the difference between unspecified and internal kind, and where a resource
//! attribute has no well-known prefix, that it belonged to the resource.

mod encode;
mod json;
mod mapping;
mod protobuf;

pub use encode::encode;
pub use json::decode;
pub use protobuf::decode_protobuf;

/// The tags of links: `otlp.link.0`, `otlp.link.1` …, each with
/// `trace id|span id|tracestate|{attributes}|dropped attributes`, as the Collector writes them.
const LINK_PREFIX: &str = "otlp.link.";

#[cfg(test)]
mod tests;
