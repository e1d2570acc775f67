//! OTLP in protobuf, written piece by piece while a span is being recorded.
//!
//! [`encode_traces`](super::encode_traces) needs whole spans. A recorder has their parts one after
//! the other and wants to keep nothing but bytes: it writes attributes, events and links as they
//! come with [`put_attribute`] and its neighbours, the span around them with [`put_span`] when it
//! ends, and the request around many spans with [`put_request`] when they leave.

use super::encode::{Writer, resource, scope};
use crate::propagate::{SpanContext, TraceFlags};
use crate::span::StatusCode;
use crate::{Kind, Resource, Scope, SpanId, TraceId, Value};

/// A value to be written where it stands.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// UTF-8 text.
    String(&'a str),
    /// true or false.
    Bool(bool),
    /// A signed 64-bit integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// Raw bytes.
    Bytes(&'a [u8]),
    /// Any value, nested ones too.
    Any(&'a Value),
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::String(text) => ValueRef::String(text),
            Value::Bool(truth) => ValueRef::Bool(*truth),
            Value::Int(number) => ValueRef::Int(*number),
            Value::Double(number) => ValueRef::Double(*number),
            Value::Bytes(bytes) => ValueRef::Bytes(bytes),
            any => ValueRef::Any(any),
        }
    }
}

impl ValueRef<'_> {
    /// The same value, on its own.
    pub fn into_owned(self) -> Value {
        match self {
            ValueRef::String(text) => Value::String(text.into()),
            ValueRef::Bool(truth) => Value::Bool(truth),
            ValueRef::Int(number) => Value::Int(number),
            ValueRef::Double(number) => Value::Double(number),
            ValueRef::Bytes(bytes) => Value::Bytes(bytes.to_vec().into()),
            ValueRef::Any(any) => any.clone(),
        }
    }
}

/// Where attributes go: the field of the message that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Owner {
    /// A span's own.
    Span = 9,
    /// An event's.
    Event = 3,
    /// A link's.
    Link = 4,
}

/// A span that ended, with its parts already written.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct SpanParts<'a> {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub flags: TraceFlags,
    pub trace_state: &'a str,
    pub parent: Option<SpanId>,
    /// Whether the parent is in another process.
    pub parent_is_remote: bool,
    pub name: &'a str,
    pub kind: Kind,
    pub start_time_unix_nano: u64,
    pub end_time_unix_nano: u64,
    /// What [`put_attribute`], [`put_event`] and [`put_link`] wrote, one after the other.
    pub attributes: &'a [u8],
    pub dropped_attributes_count: u32,
    pub events: &'a [u8],
    pub dropped_events_count: u32,
    pub links: &'a [u8],
    pub dropped_links_count: u32,
    pub status: StatusCode,
    pub status_message: &'a str,
}

/// Bit 8 of a span's flags says that bit 9 means something: that the parent is remote.
const REMOTE_IS_KNOWN: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x200;

/// Writes one attribute.
///
/// Where the type of the value is known, this becomes a call of what writes that type.
#[expect(clippy::inline_always, reason = "left alone the compiler judges it by all of its arms")]
#[inline(always)]
pub fn put_attribute(out: &mut Vec<u8>, owner: Owner, key: &str, value: ValueRef<'_>) {
    match value {
        ValueRef::String(text) => put_text(out, owner, key, text),
        ValueRef::Bool(truth) => put_number(out, owner, key, 2 << 3, u64::from(truth), 1),
        ValueRef::Int(number) => put_int(out, owner, key, number as u64),
        ValueRef::Double(number) => put_number(out, owner, key, 4 << 3 | 1, number.to_bits(), 8),
        ValueRef::Bytes(bytes) => put_sized(out, owner, key, 7, bytes),
        ValueRef::Any(any) => put_any(out, owner, key, any),
    }
}

/// Key and text of this length together with what stands around them have lengths of one byte.
const SHORT: usize = 58;

/// Bytes that [`put_attribute`] wrote for one attribute start with the key; this is it.
pub fn key_of(attribute: &[u8]) -> Option<&[u8]> {
    let (_, rest) = attribute.split_first()?;
    let (_, rest) = read_varint(rest)?;
    let (_, rest) = rest.split_first()?;
    let (length, rest) = read_varint(rest)?;
    rest.get(..usize::try_from(length).ok()?)
}

/// Writes an event of a span; `attributes` with [`Owner::Event`].
pub fn put_event(out: &mut Vec<u8>, time: u64, name: &str, attributes: &[u8], dropped: u32) {
    message(out, 11, |out| {
        out.time(1, time);
        out.text(2, name);
        out.0.extend_from_slice(attributes);
        out.count(4, dropped);
    });
}

/// Writes a link of a span; `attributes` with [`Owner::Link`].
pub fn put_link(
    out: &mut Vec<u8>,
    to: &SpanContext,
    is_remote: bool,
    attributes: &[u8],
    dropped: u32,
) {
    message(out, 13, |out| {
        out.bytes(1, to.trace_id.as_bytes());
        out.bytes(2, to.span_id.as_bytes());
        out.text(3, to.trace_state.as_str());
        out.0.extend_from_slice(attributes);
        out.count(5, dropped);
        out.flags(6, flags(to.flags, is_remote));
    });
}

/// Writes a span, without a tag and a length before it.
pub fn put_span(out: &mut Vec<u8>, span: &SpanParts<'_>) {
    let variable = span.attributes.len() + span.events.len() + span.links.len() + span.name.len();
    out.reserve(variable + 160);
    let mut head = [0; 64];
    head[..2].copy_from_slice(&[1 << 3 | 2, 16]);
    head[2..18].copy_from_slice(span.trace_id.as_bytes());
    head[18..20].copy_from_slice(&[2 << 3 | 2, 8]);
    head[20..28].copy_from_slice(span.span_id.as_bytes());
    head[28] = 7 << 3 | 1;
    head[29..37].copy_from_slice(&span.start_time_unix_nano.to_le_bytes());
    head[37] = 8 << 3 | 1;
    head[38..46].copy_from_slice(&span.end_time_unix_nano.to_le_bytes());
    // The tag of field 16 takes two bytes.
    head[46..50].copy_from_slice(&[6 << 3, span.kind as u8, 0x85, 0x01]);
    head[50..54].copy_from_slice(&flags(span.flags, span.parent_is_remote).to_le_bytes());
    let mut length = 54;
    if let Some(parent) = &span.parent {
        head[54..56].copy_from_slice(&[4 << 3 | 2, 8]);
        head[56..64].copy_from_slice(parent.as_bytes());
        length = 64;
    }
    let end = out.len() + length;
    out.extend_from_slice(&head);
    out.truncate(end);
    if span.name.len() < 0x80 {
        out.extend_from_slice(&[5 << 3 | 2, span.name.len() as u8]);
    } else {
        put_head(out, 5 << 3 | 2, span.name.len());
    }
    out.extend_from_slice(span.name.as_bytes());
    if !span.trace_state.is_empty() {
        with(out, |out| out.text(3, span.trace_state));
    }
    out.extend_from_slice(span.attributes);
    out.extend_from_slice(span.events);
    out.extend_from_slice(span.links);
    if span.dropped_attributes_count | span.dropped_events_count | span.dropped_links_count != 0 {
        with(out, |out| {
            out.count(10, span.dropped_attributes_count);
            out.count(12, span.dropped_events_count);
            out.count(14, span.dropped_links_count);
        });
    }
    if span.status != StatusCode::Unset {
        message(out, 15, |out| {
            out.text(2, span.status_message);
            out.count(3, span.status as u32);
        });
    }
}

/// Writes an `ExportTraceServiceRequest` of one resource around spans that [`put_span`] wrote:
/// for each scope its spans.
pub fn put_request<'a, S>(
    out: &mut Vec<u8>,
    origin: &Resource,
    scopes: impl IntoIterator<Item = (&'a Scope, S)>,
) where
    S: IntoIterator<Item = &'a [u8]>,
{
    message(out, 1, |out| {
        out.message(1, |out| resource(out, origin));
        for (library, spans) in scopes {
            out.message(2, |out| {
                out.message(1, |out| scope(out, library));
                for span in spans {
                    out.bytes(2, span);
                }
                out.text(3, &library.schema_url);
            });
        }
        out.text(3, &origin.schema_url);
    });
}

fn flags(flags: TraceFlags, is_remote: bool) -> u32 {
    let remote = if is_remote { PARENT_IS_REMOTE } else { 0 };
    u32::from(flags.bits()) | REMOTE_IS_KNOWN | remote
}

fn with(out: &mut Vec<u8>, write: impl FnOnce(&mut Writer)) {
    let mut writer = Writer(std::mem::take(out));
    write(&mut writer);
    *out = writer.0;
}

fn message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Writer)) {
    with(out, |out| out.message(number, write));
}

/// A key and the value's length, both short.
#[inline]
fn put_short_key(out: &mut Vec<u8>, owner: Owner, key: &str, value_length: usize) {
    let length = 4 + key.len() + value_length;
    out.reserve(length + 16);
    let head = [(owner as u8) << 3 | 2, length as u8, 1 << 3 | 2, key.len() as u8];
    out.extend_from_slice(&head);
    out.extend_from_slice(key.as_bytes());
}

#[inline(never)]
fn put_text(out: &mut Vec<u8>, owner: Owner, key: &str, text: &str) {
    if key.len() >= SHORT || text.len() >= SHORT {
        return put_sized(out, owner, key, 1, text.as_bytes());
    }
    put_short_key(out, owner, key, 2 + text.len());
    let length = text.len() as u8;
    out.extend_from_slice(&[2 << 3 | 2, 2 + length, 1 << 3 | 2, length]);
    out.extend_from_slice(text.as_bytes());
}

#[inline]
fn put_int(out: &mut Vec<u8>, owner: Owner, key: &str, number: u64) {
    match short_varint(number) {
        Some((word, length)) => put_number(out, owner, key, 3 << 3, word, length),
        None => put_long_int(out, owner, key, number),
    }
}

#[inline(never)]
fn put_long_int(out: &mut Vec<u8>, owner: Owner, key: &str, number: u64) {
    let (bytes, length) = varint(number);
    put_key(out, owner, key, 1 + length);
    out.push(3 << 3);
    out.extend_from_slice(&bytes[..length]);
}

/// An attribute whose `AnyValue` is a field of up to eight bytes, the lowest of `word` first.
#[inline(never)]
fn put_number(out: &mut Vec<u8>, owner: Owner, key: &str, tag: u8, word: u64, length: usize) {
    if key.len() < SHORT {
        put_short_key(out, owner, key, 1 + length);
        out.extend_from_slice(&[2 << 3 | 2, 1 + length as u8, tag]);
    } else {
        put_key(out, owner, key, 1 + length);
        out.push(tag);
    }
    let end = out.len() + length;
    // A copy of a fixed size is several times cheaper than one whose size has to be looked at.
    out.extend_from_slice(&word.to_le_bytes());
    out.truncate(end);
}

#[inline(never)]
fn put_any(out: &mut Vec<u8>, owner: Owner, key: &str, any: &Value) {
    let mut nested = Writer::default();
    super::encode::value(&mut nested, any);
    put_key(out, owner, key, nested.0.len());
    out.extend_from_slice(&nested.0);
}

/// An attribute whose `AnyValue` is text or bytes.
#[inline(never)]
fn put_sized(out: &mut Vec<u8>, owner: Owner, key: &str, field: u8, bytes: &[u8]) {
    put_key(out, owner, key, 1 + varint_length(bytes.len() as u64) + bytes.len());
    put_head(out, field << 3 | 2, bytes.len());
    out.extend_from_slice(bytes);
}

/// What stands before an attribute's `AnyValue`.
#[inline(never)]
fn put_key(out: &mut Vec<u8>, owner: Owner, key: &str, value_length: usize) {
    let length =
        1 + varint_length(key.len() as u64) + key.len() + 1 + varint_length(value_length as u64);
    let length = length + value_length;
    out.reserve(length + 32);
    put_head(out, (owner as u8) << 3 | 2, length);
    put_head(out, 1 << 3 | 2, key.len());
    out.extend_from_slice(key.as_bytes());
    put_head(out, 2 << 3 | 2, value_length);
}

/// A tag and a length.
fn put_head(out: &mut Vec<u8>, tag: u8, length: usize) {
    let (bytes, used) = varint(length as u64);
    out.push(tag);
    out.extend_from_slice(&bytes[..used]);
}

#[inline]
const fn varint_length(value: u64) -> usize {
    // Seven bits a byte, and a byte for zero.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// A varint of up to eight bytes, the first one lowest, and how many there are. Larger ones and
/// negative numbers are longer.
///
/// It stays in a register: bytes that are stored one by one and then read as one word make the
/// processor wait for the last of them.
#[inline]
fn short_varint(value: u64) -> Option<(u64, usize)> {
    if value >> 56 != 0 {
        return None;
    }
    let length = varint_length(value);
    // 56 bits as two times 28, each as two times 14, each as two times seven: a byte each.
    let halves = value & 0x0fff_ffff | (value & 0x00ff_ffff_f000_0000) << 4;
    let quarters = halves & 0x3fff_0000_3fff | (halves & 0x0fff_c000_0fff_c000) << 2;
    let sevens = quarters & 0x007f_007f_007f_007f | (quarters & 0x3f80_3f80_3f80_3f80) << 1;
    let all_but_last = (1 << (8 * (length - 1))) - 1;
    Some((sevens | 0x8080_8080_8080_8080 & all_but_last, length))
}

/// A varint, and how many bytes it takes.
#[inline]
fn varint(mut value: u64) -> ([u8; 10], usize) {
    let (mut bytes, mut last) = ([0; 10], 0);
    while value >= 0x80 {
        bytes[last] = value as u8 | 0x80;
        value >>= 7;
        last += 1;
    }
    bytes[last] = value as u8;
    (bytes, last + 1)
}

fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests;
