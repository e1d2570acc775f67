//! `traceparent`: which trace, which span, and what was decided about it.

use super::{TraceState, trim};
use crate::{SpanId, TraceId};

/// What identifies a span to other processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// What was decided about the trace.
    pub flags: TraceFlags,
    /// What tracing systems on the way told each other.
    pub trace_state: TraceState,
}

impl SpanContext {
    /// The context of a child of this span: the trace goes on, and with it the tracestate and
    /// whether its id is random. Only together with a new span may `sampled` change.
    #[must_use]
    pub fn child(&self, span_id: SpanId, sampled: bool) -> Self {
        SpanContext {
            trace_id: self.trace_id,
            span_id,
            flags: self.flags.with_sampled(sampled),
            trace_state: self.trace_state.clone(),
        }
    }

    /// This context as a value of `traceparent` or `traceresponse`.
    pub fn traceparent(&self) -> Traceparent {
        Traceparent::new(self.trace_id, self.span_id, self.flags)
    }
}

/// W3C's trace flags. Bits without a meaning are not kept, as the specification demands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TraceFlags(u8);

impl TraceFlags {
    /// The caller may have recorded the trace.
    pub const SAMPLED: TraceFlags = TraceFlags(0x01);
    /// The right-most seven bytes of the trace id are random.
    pub const RANDOM: TraceFlags = TraceFlags(0x02);

    /// The flags that have a meaning.
    pub const fn from_bits(bits: u8) -> Self {
        TraceFlags(bits & (Self::SAMPLED.0 | Self::RANDOM.0))
    }

    /// As one byte.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether the caller may have recorded the trace.
    pub const fn is_sampled(self) -> bool {
        self.0 & Self::SAMPLED.0 != 0
    }

    /// Whether the trace id is known to be random.
    pub const fn is_random(self) -> bool {
        self.0 & Self::RANDOM.0 != 0
    }

    /// The same flags with another decision.
    #[must_use]
    #[inline]
    pub const fn with_sampled(self, sampled: bool) -> Self {
        TraceFlags(self.0 & !Self::SAMPLED.0 | sampled as u8)
    }
}

/// How many bytes a value of version 00 has.
const LENGTH: usize = 55;

/// The value of a `traceparent` header, in version 00.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Traceparent([u8; LENGTH]);

impl Traceparent {
    /// The value that names this span.
    pub fn new(trace_id: TraceId, span_id: SpanId, flags: TraceFlags) -> Self {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&mut text[3..35], trace_id.as_bytes());
        write_hex(&mut text[36..52], span_id.as_bytes());
        write_hex(&mut text[53..], &[flags.bits()]);
        Traceparent(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Reads a value: a context without tracestate, or the rule that it breaks.
    ///
    /// A version higher than 00 is read as far as 00 goes: of its flags only `sampled` is known
    /// to mean the same.
    pub fn parse(value: &[u8]) -> Result<SpanContext, &'static str> {
        let value = trim(value);
        let text = value.first_chunk::<LENGTH>().ok_or("is shorter than 55 characters")?;
        let [version] = read_hex(&text[..2]).ok_or("the version is not lower-case hex")?;
        if [text[2], text[35], text[52]] != *b"---" {
            return Err("a dash is not in its place");
        }
        match version {
            0xff => return Err("version ff is forbidden"),
            0 if value.len() > LENGTH => return Err("version 00 is longer than 55 characters"),
            _ if value.get(LENGTH).is_some_and(|next| *next != b'-') => {
                return Err("the flags are not followed by a dash");
            }
            _ => {}
        }
        let trace_id = read_hex::<16>(&text[3..35]).ok_or("the trace id is not lower-case hex")?;
        let span_id = read_hex::<8>(&text[36..52]).ok_or("the parent id is not lower-case hex")?;
        let [flags] = read_hex(&text[53..]).ok_or("the flags are not lower-case hex")?;
        let flags = TraceFlags::from_bits(flags);
        Ok(SpanContext {
            trace_id: TraceId::from_bytes(&trace_id).map_err(|_| "the trace id is zero")?,
            span_id: SpanId::from_bytes(&span_id).map_err(|_| "the parent id is zero")?,
            flags: if version == 0 {
                flags
            } else {
                TraceFlags::default().with_sampled(flags.is_sampled())
            },
            trace_state: TraceState::default(),
        })
    }
}

impl std::fmt::Debug for Traceparent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

fn write_hex(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// `N` bytes of lower-case hex; `digits` has twice as many.
fn read_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
