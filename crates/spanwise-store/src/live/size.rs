//! About how much memory a span takes while it is live.

use std::mem::size_of;

use spanwise_model::{Attribute, Attributes, Event, Link, StoredSpan, Value};

/// Entries in the indexes, the reference count, and allocator overhead.
const OVERHEAD_BYTES: usize = 256;

/// About how many bytes a row keeps alive. Text counts in full although it is usually a slice of
/// a shared request body: the slices of one body add up to about its size.
pub(crate) fn live_bytes(row: &StoredSpan) -> usize {
    let span = &row.span;
    let facts = row.facts.input_preview.len() + row.facts.output_preview.len();
    let events: usize =
        span.events.iter().map(|event| size_of::<Event>() + attributes(&event.attributes)).sum();
    let links: usize =
        span.links.iter().map(|link| size_of::<Link>() + attributes(&link.attributes)).sum();
    size_of::<StoredSpan>()
        + OVERHEAD_BYTES
        + facts
        + span.name.len()
        + span.status.message.len()
        + attributes(&span.attributes)
        + events
        + links
}

fn attributes(attributes: &Attributes) -> usize {
    let each = |attribute: &Attribute| {
        size_of::<Attribute>() + attribute.key.len() + value(&attribute.value)
    };
    attributes.iter().map(each).sum()
}

fn value(any: &Value) -> usize {
    match any {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) => 0,
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(values) => values.iter().map(|inner| size_of::<Value>() + value(inner)).sum(),
        Value::Map(map) => attributes(map),
    }
}
