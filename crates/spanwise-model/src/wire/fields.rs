//! A walk over the fields of a protobuf message, without a schema and without allocation.
//!
//! A span of a model call has a hundred fields. What is on the usual path is therefore always
//! inlined, which lets the match that follows pick a field apart before it is put together, and
//! faults are boxed, which keeps them out of every answer.

#![expect(clippy::inline_always, reason = "without it a span takes twice as long")]

use std::ops::Range;

use super::draft::DecodeError;

/// Why a message cannot be read, boxed because it is rare and answers are many.
pub(super) type Fault = Box<DecodeError>;

#[cold]
pub(super) fn fault<T>(offset: usize, reason: impl Into<String>) -> Result<T, Fault> {
    Err(Box::new(DecodeError::new(offset, reason)))
}

/// What a field holds, by its wire type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wire {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    /// Where in the body the bytes (a text, a message) lie.
    Bytes(Range<usize>),
}

/// The fields of one message, in order. Positions are those of the whole body, so that errors
/// can name them and texts can be sliced from it.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    /// The body up to the end of this message.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields of the message at `range` of `body`.
    pub(super) fn new(body: &'a [u8], range: Range<usize>) -> Self {
        Fields { bytes: &body[..range.end], at: range.start }
    }

    /// The next field: its number and what it holds. Groups, which OTLP never had, are skipped.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Result<Option<(u32, Wire)>, Fault> {
        while self.at < self.bytes.len() {
            let (number, wire_type) = self.tag()?;
            if wire_type == 3 {
                self.skip_group(number)?;
            } else {
                return Ok(Some((number, self.wire(wire_type)?)));
            }
        }
        Ok(None)
    }

    #[inline(always)]
    fn wire(&mut self, wire_type: u8) -> Result<Wire, Fault> {
        Ok(match wire_type {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => Wire::Bytes(self.delimited()?),
            5 => Wire::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return self.unexpected(wire_type),
        })
    }

    /// The place of the next message (or text) with this field number.
    #[inline]
    pub(super) fn next_message(&mut self, wanted: u32) -> Result<Option<Range<usize>>, Fault> {
        while let Some((number, wire)) = self.next()? {
            if let Wire::Bytes(range) = wire
                && number == wanted
            {
                return Ok(Some(range));
            }
        }
        Ok(None)
    }

    /// How many messages (or texts) with this field number are still to come.
    pub(super) fn count(mut self, wanted: u32) -> Result<usize, Fault> {
        let mut count = 0;
        while self.next_message(wanted)?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[inline]
    fn tag(&mut self) -> Result<(u32, u8), Fault> {
        let start = self.at;
        let tag = self.varint()?;
        let number = u32::try_from(tag).unwrap_or_default() >> 3;
        if number == 0 {
            return fault(start, "field number out of range");
        }
        Ok((number, (tag & 7) as u8))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Fault> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Fault> {
        let start = self.at;
        let mut number = 0;
        for (position, byte) in self.bytes[start..].iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * position);
            if *byte < 0x80 {
                self.at = start + position + 1;
                return Ok(number);
            }
        }
        let reason = if self.bytes.len() - start < 10 { TRUNCATED } else { "number too long" };
        fault(start, reason)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        match self.bytes[self.at..].first_chunk() {
            Some(array) => {
                self.at += N;
                Ok(*array)
            }
            None => fault(self.at, TRUNCATED),
        }
    }

    #[inline]
    fn delimited(&mut self) -> Result<Range<usize>, Fault> {
        let declared_at = self.at;
        let length = self.varint()?;
        let left = self.bytes.len() - self.at;
        if length > left as u64 {
            return too_long(declared_at, length, left);
        }
        let start = self.at;
        self.at += length as usize;
        Ok(start..self.at)
    }

    /// Skips to the end of the group `opened`. Groups inside it are counted rather than entered.
    #[cold]
    fn skip_group(&mut self, opened: u32) -> Result<(), Fault> {
        let start = self.at;
        let mut depth = 1_usize;
        while self.at < self.bytes.len() {
            let (number, wire_type) = self.tag()?;
            match wire_type {
                3 => depth += 1,
                4 if depth > 1 => depth -= 1,
                4 if number == opened => return Ok(()),
                _ => {
                    self.wire(wire_type)?;
                }
            }
        }
        fault(start, "a group without an end")
    }

    #[cold]
    fn unexpected<T>(&self, wire_type: u8) -> Result<T, Fault> {
        let reason = match wire_type {
            4 => "the end of a group that was not open".to_owned(),
            _ => format!("unknown wire type {wire_type}"),
        };
        fault(self.at, reason)
    }
}

#[cold]
fn too_long<T>(declared_at: usize, length: u64, left: usize) -> Result<T, Fault> {
    fault(declared_at, format!("a field of {length} bytes where {left} are left"))
}

const TRUNCATED: &str = "ends in the middle of a field";

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> Result<Vec<(u32, Wire)>, Fault> {
        let mut fields = Fields::new(bytes, 0..bytes.len());
        std::iter::from_fn(|| fields.next().transpose()).collect()
    }

    #[test]
    fn every_wire_type_is_read() {
        let bytes = [0x08, 0x96, 0x01, 0x11, 1, 0, 0, 0, 0, 0, 0, 0, 0x1d, 2, 0, 0, 0, 0x22, 1, 9];
        let expected = [
            (1, Wire::Varint(150)),
            (2, Wire::Fixed64(1)),
            (3, Wire::Fixed32(2)),
            (4, Wire::Bytes(19..20)),
        ];
        assert_eq!(walk(&bytes).unwrap(), expected);
    }

    #[test]
    fn groups_are_skipped_even_when_nested() {
        assert_eq!(
            walk(&[0x0b, 0x13, 0x14, 0x10, 7, 0x0c, 0x08, 1]).unwrap(),
            [(1, Wire::Varint(1))]
        );
        let open: Vec<u8> = std::iter::repeat_n(0x0b, 1 << 20).collect();
        assert_eq!(walk(&open).unwrap_err().reason, "a group without an end");
    }

    #[test]
    fn faults_name_their_place() {
        for (bytes, error) in [
            (&[0x0a, 5, 1][..], "a field of 5 bytes where 1 are left (at byte 1)"),
            (&[0x08, 0x80], "ends in the middle of a field (at byte 1)"),
            (&[0x08, 1, 0x11, 0], "ends in the middle of a field (at byte 3)"),
            (&[0x00], "field number out of range (at byte 0)"),
            (&[0x0c], "the end of a group that was not open (at byte 1)"),
            (&[0x0f], "unknown wire type 7 (at byte 1)"),
            (
                &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
                "number too long (at byte 1)",
            ),
            (
                &[0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
                "a field of 18446744073709551615 bytes where 0 are left (at byte 1)",
            ),
        ] {
            assert_eq!(walk(bytes).unwrap_err().to_string(), error);
        }
    }
}
