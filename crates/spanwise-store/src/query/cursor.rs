//! Where a page of a list ended, as an opaque text.
//!
//! A cursor is the sort key of the last row and never a count of rows, so that what arrives in
//! between moves nothing to another page.

use spanwise_model::{SpanId, TraceId};

use super::{QueryError, Sort};

const TRACES: u8 = 1;
const SPANS: u8 = 2;
/// How many traces a cursor carries along.
const MAX_CARRIED: usize = 64;

/// The place of a trace in a list: the greatest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceKey {
    /// What is sorted by; [`i64::MIN`] where it is not known.
    pub value: i64,
    /// Start of the trace, nanoseconds since 1970.
    pub start: i64,
    /// Tells traces of the same instant apart.
    pub trace_id: TraceId,
}

/// The place of a span in a list: the greatest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpanKey {
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Tells spans of the same instant apart.
    pub trace_id: TraceId,
    /// Likewise.
    pub span_id: SpanId,
}

/// Where a page of traces ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceCursor {
    /// The last trace of the page.
    pub last: TraceKey,
    /// Traces that come later although the part of them that matches would stand before the last
    /// trace: they were found on the way and would not be found again.
    pub carried: Vec<TraceId>,
}

impl TraceCursor {
    /// As text.
    pub fn encode(&self, sort: Sort) -> String {
        let mut bytes = vec![TRACES, sort as u8];
        bytes.extend(self.last.value.to_be_bytes());
        bytes.extend(self.last.start.to_be_bytes());
        bytes.extend(self.last.trace_id.as_bytes());
        for id in self.carried.iter().take(MAX_CARRIED) {
            bytes.extend(id.as_bytes());
        }
        to_hex(&bytes)
    }

    /// Reads a cursor that was made for the same order.
    pub fn decode(text: &str, sort: Sort) -> Result<Self, QueryError> {
        let bytes = from_hex(text)?;
        let mut rest = bytes.as_slice();
        if take(&mut rest)? != [TRACES, sort as u8] || rest.len() > (MAX_CARRIED + 2) * 16 {
            return Err(QueryError::BadCursor);
        }
        let value = i64::from_be_bytes(take(&mut rest)?);
        let start = i64::from_be_bytes(take(&mut rest)?);
        let last = TraceKey { value, start, trace_id: trace_id(&mut rest)? };
        let mut carried = vec![];
        while !rest.is_empty() {
            carried.push(trace_id(&mut rest)?);
        }
        Ok(TraceCursor { last, carried })
    }
}

impl SpanKey {
    /// As text.
    pub fn encode(&self) -> String {
        let mut bytes = vec![SPANS];
        bytes.extend(self.start.to_be_bytes());
        bytes.extend(self.trace_id.as_bytes());
        bytes.extend(self.span_id.as_bytes());
        to_hex(&bytes)
    }

    /// Reads it back.
    pub fn decode(text: &str) -> Result<Self, QueryError> {
        let bytes = from_hex(text)?;
        let mut rest = bytes.as_slice();
        if take(&mut rest)? != [SPANS] {
            return Err(QueryError::BadCursor);
        }
        let start = u64::from_be_bytes(take(&mut rest)?);
        let trace_id = trace_id(&mut rest)?;
        let span_id = SpanId::from_bytes(rest).map_err(|_| QueryError::BadCursor)?;
        Ok(SpanKey { start, trace_id, span_id })
    }
}

fn trace_id(rest: &mut &[u8]) -> Result<TraceId, QueryError> {
    TraceId::from_bytes(&take::<16>(rest)?).map_err(|_| QueryError::BadCursor)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], QueryError> {
    let (taken, left) = rest.split_first_chunk::<N>().ok_or(QueryError::BadCursor)?;
    *rest = left;
    Ok(*taken)
}

/// Bytes in lower-case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

fn from_hex(text: &str) -> Result<Vec<u8>, QueryError> {
    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(QueryError::BadCursor);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(QueryError::BadCursor) };
    pairs.iter().map(|[high, low]| Ok((digit(*high)? << 4 | digit(*low)?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back() {
        let trace_id = TraceId::from_bytes(&[7; 16]).unwrap();
        let span_id = SpanId::from_bytes(&[8; 8]).unwrap();
        let last = TraceKey { value: i64::MIN, start: 5, trace_id };
        let cursor = TraceCursor { last, carried: vec![trace_id] };
        let text = cursor.encode(Sort::Cost);
        assert_eq!(TraceCursor::decode(&text, Sort::Cost).unwrap(), cursor);
        assert!(TraceCursor::decode(&text, Sort::StartTime).is_err());
        let key = SpanKey { start: u64::MAX, trace_id, span_id };
        assert_eq!(SpanKey::decode(&key.encode()).unwrap(), key);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "0", "zz", "01", "0100", "é", "ffffffff", &"0".repeat(100)] {
            assert!(TraceCursor::decode(text, Sort::StartTime).is_err(), "{text}");
            assert!(SpanKey::decode(text).is_err(), "{text}");
        }
    }
}
