//! Spans to Jaeger's Thrift.

use super::thrift::{Protocol, Writer};
use super::{CHILD_OF, EMIT_BATCH, EVENT_DROPPED, FOLLOWS_FROM, REF_TYPE};
use crate::span::StatusCode;
use crate::wire::fit::fit;
use crate::wire::lift::sink;
use crate::wire::text_form::text;
use crate::{Event, Kind, Link, Resource, Span, SpanId, TraceId, Value};

/// What agents and clients agree on as the largest datagram.
pub const MAX_DATAGRAM_BYTES: usize = 65_000;

/// Room for what surrounds the process and the spans of a datagram: the message's head, the heads
/// of the batch's fields and their ends.
const ENVELOPE_BYTES: usize = 32;

/// Spans as UDP datagrams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Datagrams {
    /// Each one a message `emitBatch` in the compact protocol.
    pub datagrams: Vec<Vec<u8>>,
    /// How many spans fit into no datagram, however much was cut from them.
    pub dropped: usize,
}

/// Writes spans as bodies of `POST /api/traces`: one for each run of spans of one resource.
pub fn encode_batches<'a>(spans: impl IntoIterator<Item = &'a Span>) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    for (resource, spans) in by_resource(spans) {
        let mut writer = Writer::new(Protocol::Binary);
        writer.bare_struct(|out| {
            out.nested(1, |out| process(out, resource));
            out.list(2, spans.len());
            for one in spans {
                out.bare_struct(|out| span(out, one));
            }
        });
        bodies.push(writer.out);
    }
    bodies
}

/// Writes spans as datagrams for an agent, none longer than `max_bytes` (which is usually
/// [`MAX_DATAGRAM_BYTES`]). A span that is longer than that on its own is cut.
pub fn encode_datagrams<'a>(
    spans: impl IntoIterator<Item = &'a Span>,
    max_bytes: usize,
) -> Datagrams {
    let mut packed = Datagrams::default();
    for (resource, spans) in by_resource(spans) {
        let mut pack = Pack { process: compact(|out| process(out, resource)), ..Pack::default() };
        for one in spans {
            let bytes = compact(|out| span(out, one));
            if pack.size() + bytes.len() > max_bytes {
                pack.send(&mut packed);
            }
            if pack.size() + bytes.len() <= max_bytes {
                pack.add(&bytes);
            } else {
                send_cut(one, max_bytes, &mut packed);
            }
        }
        pack.send(&mut packed);
    }
    packed
}

/// Sends a span that needs cutting in a datagram of its own, with its own copy of the resource.
fn send_cut(one: &Span, max_bytes: usize, packed: &mut Datagrams) {
    let alone = |one: &Span| {
        let mut pack =
            Pack { process: compact(|out| process(out, &one.resource)), ..Pack::default() };
        pack.add(&compact(|out| span(out, one)));
        pack
    };
    match fit(one, max_bytes, |one| alone(one).size()) {
        Some(cut) => alone(&cut).send(packed),
        None => packed.dropped += 1,
    }
}

/// A datagram that is being filled.
#[derive(Default)]
struct Pack {
    process: Vec<u8>,
    spans: Vec<u8>,
    n_spans: usize,
}

impl Pack {
    fn size(&self) -> usize {
        ENVELOPE_BYTES + self.process.len() + self.spans.len()
    }

    fn add(&mut self, span: &[u8]) {
        self.spans.extend_from_slice(span);
        self.n_spans += 1;
    }

    fn send(&mut self, packed: &mut Datagrams) {
        if self.n_spans == 0 {
            return;
        }
        let mut writer = Writer::new(Protocol::Compact);
        // Protocol id, then version 1 and type 4 (one way), then sequence id 0.
        writer.out.extend([0x82, 4 << 5 | 1, 0]);
        writer.bare_binary(EMIT_BATCH.as_bytes());
        writer.bare_struct(|out| {
            out.nested(1, |out| {
                out.nested(1, |out| {
                    // Written already, but for the end, which the writer adds.
                    out.out.extend_from_slice(&self.process[..self.process.len() - 1]);
                });
                out.list(2, self.n_spans);
                out.out.append(&mut self.spans);
            });
        });
        self.n_spans = 0;
        packed.datagrams.push(writer.out);
    }
}

/// One struct in the compact protocol.
fn compact(fields: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new(Protocol::Compact);
    writer.bare_struct(fields);
    writer.out
}

/// Runs of spans that share a resource.
fn by_resource<'a>(
    spans: impl IntoIterator<Item = &'a Span>,
) -> Vec<(&'a Resource, Vec<&'a Span>)> {
    let mut runs: Vec<(&Resource, Vec<&Span>)> = Vec::new();
    for span in spans {
        let resource = &*span.resource;
        match runs
            .iter_mut()
            .find(|(known, _)| std::ptr::eq(*known, resource) || *known == resource)
        {
            Some((_, run)) => run.push(span),
            None => runs.push((resource, vec![span])),
        }
    }
    runs
}

fn process(out: &mut Writer, resource: &Resource) {
    out.binary(1, resource.service().as_bytes());
    let attributes = resource.attributes.iter();
    let tags: Vec<_> = attributes.filter(|attribute| attribute.key != "service.name").collect();
    if !tags.is_empty() {
        out.list(2, tags.len());
        for attribute in tags {
            out.bare_struct(|out| tag(out, &attribute.key, &attribute.value));
        }
    }
}

fn span(out: &mut Writer, span: &Span) {
    let (low, high) = halves(span.trace_id);
    out.i64(1, low);
    out.i64(2, high);
    out.i64(3, number(span.span_id));
    out.i64(4, span.parent_span_id.map_or(0, number));
    out.binary(5, span.name.as_bytes());
    references(out, span);
    // What is sent was sampled.
    out.i32(7, 1);
    out.i64(8, (span.start_time_unix_nano / 1000) as i64);
    out.i64(9, (span.duration_ns() / 1000) as i64);
    tags(out, span);
    if !span.events.is_empty() {
        out.list(11, span.events.len());
        for event in &span.events {
            out.bare_struct(|out| log(out, event));
        }
    }
}

fn references(out: &mut Writer, span: &Span) {
    let parent = span.parent_span_id.map(|parent| (CHILD_OF, span.trace_id, parent));
    let links = span.links.iter().map(|link| (ref_type(link), link.trace_id, link.span_id));
    let references: Vec<_> = parent.into_iter().chain(links).collect();
    if references.is_empty() {
        return;
    }
    out.list(6, references.len());
    for (kind, trace_id, span_id) in references {
        let (low, high) = halves(trace_id);
        out.bare_struct(|out| {
            out.i32(1, kind);
            out.i64(2, low);
            out.i64(3, high);
            out.i64(4, number(span_id));
        });
    }
}

fn ref_type(link: &Link) -> i32 {
    if link.attributes.str(REF_TYPE) == Some("child_of") { CHILD_OF } else { FOLLOWS_FROM }
}

fn tags(out: &mut Writer, span: &Span) {
    let mut added = sink(span);
    if !matches!(span.kind, Kind::Unspecified | Kind::Internal) {
        added.push(("span.kind", span.kind.as_str().into()));
    }
    let is_error = span.status.code == StatusCode::Error;
    if is_error {
        added.push(("error", true.into()));
    }
    if !span.status.message.is_empty() {
        added.push(("otel.status_description", Value::String(span.status.message.clone())));
    }
    // What an attribute of the same key would say, these say better.
    let attributes = span.attributes.iter();
    let own: Vec<_> = attributes
        .filter(|attribute| !added.iter().any(|(key, _)| attribute.key == *key))
        .collect();
    if own.len() + added.len() == 0 {
        return;
    }
    out.list(10, own.len() + added.len());
    for attribute in own {
        out.bare_struct(|out| tag(out, &attribute.key, &attribute.value));
    }
    for (key, value) in added {
        out.bare_struct(|out| tag(out, key, &value));
    }
}

fn log(out: &mut Writer, event: &Event) {
    out.i64(1, (event.time_unix_nano / 1000) as i64);
    let dropped = event.dropped_attributes_count;
    out.list(2, 1 + event.attributes.len() + usize::from(dropped > 0));
    out.bare_struct(|out| tag(out, "event", &Value::String(event.name.clone())));
    for attribute in &event.attributes {
        out.bare_struct(|out| tag(out, &attribute.key, &attribute.value));
    }
    if dropped > 0 {
        out.bare_struct(|out| tag(out, EVENT_DROPPED, &Value::Int(dropped.into())));
    }
}

fn tag(out: &mut Writer, key: &str, value: &Value) {
    out.binary(1, key.as_bytes());
    match value {
        Value::Double(number) => {
            out.i32(2, 1);
            out.double(4, *number);
        }
        Value::Bool(truth) => {
            out.i32(2, 2);
            out.bool(5, *truth);
        }
        Value::Int(number) => {
            out.i32(2, 3);
            out.i64(6, *number);
        }
        Value::Bytes(bytes) => {
            out.i32(2, 4);
            out.binary(7, bytes);
        }
        Value::Null | Value::String(_) | Value::Array(_) | Value::Map(_) => {
            out.i32(2, 0);
            out.binary(3, text(value).as_bytes());
        }
    }
}

/// Low and high 64 bits; Thrift has only signed numbers, so they carry the bits.
fn halves(trace_id: TraceId) -> (i64, i64) {
    let whole = u128::from_be_bytes(*trace_id.as_bytes());
    (whole as i64, (whole >> 64) as i64)
}

fn number(span_id: SpanId) -> i64 {
    i64::from_be_bytes(*span_id.as_bytes())
}
