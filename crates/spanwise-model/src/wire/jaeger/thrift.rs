//! The two protocols of Apache Thrift, as far as Jaeger needs them
//! ([binary](https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md),
//! [compact](https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md)).
//!
//! Reading trusts nothing: every length is compared with the bytes that are left before anything is
//! made of it, and nesting is limited.

use std::ops::Range;

use crate::wire::DecodeError;

/// How deep structs and lists may nest where they are skipped.
const MAX_DEPTH: usize = 16;

/// One of Thrift's encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Binary,
    Compact,
}

/// The type of a field or element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    I8,
    I16,
    I32,
    I64,
    Double,
    Binary,
    List,
    Set,
    Map,
    Struct,
    Uuid,
}

impl Type {
    /// Types with their numbers in the binary and in the compact protocol. In the latter, a field
    /// that is true has number 1.
    const NUMBERS: [(Type, u8, u8); 12] = [
        (Type::Bool, 2, 2),
        (Type::I8, 3, 3),
        (Type::Double, 4, 7),
        (Type::I16, 6, 4),
        (Type::I32, 8, 5),
        (Type::I64, 10, 6),
        (Type::Binary, 11, 8),
        (Type::Struct, 12, 12),
        (Type::Map, 13, 11),
        (Type::Set, 14, 10),
        (Type::List, 15, 9),
        (Type::Uuid, 16, 13),
    ];

    fn number(self, protocol: Protocol) -> u8 {
        let numbers = Self::NUMBERS.iter().find(|(known, ..)| *known == self);
        numbers.map_or(0, |(_, binary, compact)| match protocol {
            Protocol::Binary => *binary,
            Protocol::Compact => *compact,
        })
    }

    fn from_number(number: u8, protocol: Protocol) -> Option<Self> {
        let number = if (protocol, number) == (Protocol::Compact, 1) { 2 } else { number };
        let known = Self::NUMBERS.iter().find(|(_, binary, compact)| match protocol {
            Protocol::Binary => *binary == number,
            Protocol::Compact => *compact == number,
        });
        known.map(|(known, ..)| *known)
    }
}

type Result<T> = std::result::Result<T, Box<DecodeError>>;

/// Reads one protocol from bytes.
pub(super) struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    protocol: Protocol,
    /// The value of the boolean field that was met last: in the compact protocol it is part of the
    /// field's head.
    truth: Option<bool>,
}

/// A struct that is being read: the compact protocol numbers fields by the last one.
#[derive(Default)]
pub(super) struct Fields {
    last: i16,
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8], protocol: Protocol) -> Self {
        Reader { bytes, at: 0, protocol, truth: None }
    }

    pub(super) fn fault<T>(&self, reason: impl Into<String>) -> Result<T> {
        Err(Box::new(DecodeError::new(self.at, reason)))
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next field of a struct, or `None` at its end.
    pub(super) fn field(&mut self, fields: &mut Fields) -> Result<Option<(i16, Type)>> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        let number = match self.protocol {
            Protocol::Binary => head,
            Protocol::Compact => head & 0x0f,
        };
        let Some(kind) = Type::from_number(number, self.protocol) else {
            return self.fault(format!("unknown thrift type {number}"));
        };
        let id = match (self.protocol, head >> 4) {
            (Protocol::Binary, _) => i16::from_be_bytes(self.array()?),
            (Protocol::Compact, 0) => self.zigzag()? as i16,
            (Protocol::Compact, delta) => fields.last.wrapping_add(delta.into()),
        };
        if (self.protocol, kind) == (Protocol::Compact, Type::Bool) {
            self.truth = Some(number == 1);
        }
        fields.last = id;
        Ok(Some((id, kind)))
    }

    /// The type and number of elements of a list; each takes at least one byte of what is left.
    pub(super) fn list(&mut self) -> Result<(Type, usize)> {
        let head = self.byte()?;
        let (number, count) = match self.protocol {
            Protocol::Binary => (head, self.length()?),
            Protocol::Compact if head >> 4 == 15 => (head & 0x0f, self.length()?),
            Protocol::Compact => (head & 0x0f, usize::from(head >> 4)),
        };
        match Type::from_number(number, self.protocol) {
            _ if count == 0 => Ok((Type::Struct, 0)),
            None => self.fault(format!("unknown thrift type {number}")),
            Some(_) if count > self.left() => self.fault("list is longer than the rest"),
            Some(kind) => Ok((kind, count)),
        }
    }

    pub(super) fn bool(&mut self) -> Result<bool> {
        match self.truth.take() {
            Some(truth) => Ok(truth),
            None => Ok(self.byte()? == 1),
        }
    }

    pub(super) fn i32(&mut self) -> Result<i32> {
        match self.protocol {
            Protocol::Binary => Ok(i32::from_be_bytes(self.array()?)),
            Protocol::Compact => Ok(self.zigzag()? as i32),
        }
    }

    pub(super) fn i64(&mut self) -> Result<i64> {
        match self.protocol {
            Protocol::Binary => Ok(i64::from_be_bytes(self.array()?)),
            Protocol::Compact => self.zigzag(),
        }
    }

    pub(super) fn double(&mut self) -> Result<f64> {
        let bytes = self.array()?;
        Ok(match self.protocol {
            Protocol::Binary => f64::from_be_bytes(bytes),
            Protocol::Compact => f64::from_le_bytes(bytes),
        })
    }

    /// Where a string or binary lies.
    pub(super) fn binary(&mut self) -> Result<Range<usize>> {
        let length = self.length()?;
        if length > self.left() {
            return self.fault("string is longer than the rest");
        }
        let start = self.at;
        self.at += length;
        Ok(start..self.at)
    }

    /// Passes over a value of any type.
    pub(super) fn skip(&mut self, kind: Type) -> Result<()> {
        self.skip_at(kind, 0)
    }

    fn skip_at(&mut self, kind: Type, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return self.fault(format!("nests deeper than {MAX_DEPTH} levels"));
        }
        match kind {
            Type::Bool => self.bool().map(drop),
            Type::I8 => self.byte().map(drop),
            Type::I16 if self.protocol == Protocol::Binary => self.array::<2>().map(drop),
            Type::I16 | Type::I64 if self.protocol == Protocol::Compact => self.i64().map(drop),
            Type::I16 | Type::I64 => self.i64().map(drop),
            Type::I32 => self.i32().map(drop),
            Type::Double => self.double().map(drop),
            Type::Uuid => self.array::<16>().map(drop),
            Type::Binary => self.binary().map(drop),
            Type::List | Type::Set => {
                let (kind, count) = self.list()?;
                (0..count).try_for_each(|_| self.skip_at(kind, depth + 1))
            }
            Type::Map => self.skip_map(depth),
            Type::Struct => {
                let mut fields = Fields::default();
                while let Some((_, kind)) = self.field(&mut fields)? {
                    self.skip_at(kind, depth + 1)?;
                }
                Ok(())
            }
        }
    }

    fn skip_map(&mut self, depth: usize) -> Result<()> {
        let (numbers, count) = match self.protocol {
            Protocol::Binary => ([self.byte()?, self.byte()?], self.length()?),
            Protocol::Compact => match self.length()? {
                0 => return Ok(()),
                count => {
                    let kinds = self.byte()?;
                    ([kinds >> 4, kinds & 0x0f], count)
                }
            },
        };
        let [Some(key), Some(value)] = numbers.map(|n| Type::from_number(n, self.protocol)) else {
            return self.fault("unknown thrift type in a map");
        };
        if count > self.left() {
            return self.fault("map is longer than the rest");
        }
        for _ in 0..count {
            self.skip_at(key, depth + 1)?;
            self.skip_at(value, depth + 1)?;
        }
        Ok(())
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// A length or count: not negative.
    fn length(&mut self) -> Result<usize> {
        let length = match self.protocol {
            Protocol::Binary => i64::from(i32::from_be_bytes(self.array()?)),
            Protocol::Compact => i64::from(self.varint()? as u32),
        };
        match usize::try_from(length) {
            Ok(length) => Ok(length),
            Err(_) => self.fault("negative length"),
        }
    }

    fn zigzag(&mut self) -> Result<i64> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(super) fn varint(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        self.fault("number has more than ten bytes")
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.bytes[self.at..].first_chunk() {
            Some(array) => {
                self.at += N;
                Ok(*array)
            }
            None => self.fault("ends in the middle"),
        }
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }
}

/// Writes one protocol.
pub(super) struct Writer {
    pub(super) out: Vec<u8>,
    protocol: Protocol,
    /// The number of the last field of the struct that is being written.
    last: i16,
}

impl Writer {
    pub(super) fn new(protocol: Protocol) -> Self {
        Writer { out: Vec::new(), protocol, last: 0 }
    }

    fn field(&mut self, id: i16, kind: Type) {
        self.head(id, kind.number(self.protocol));
    }

    fn head(&mut self, id: i16, number: u8) {
        match (self.protocol, id - self.last) {
            (Protocol::Binary, _) => {
                self.out.push(number);
                self.out.extend(id.to_be_bytes());
            }
            (Protocol::Compact, delta @ 1..=15) => self.out.push((delta as u8) << 4 | number),
            (Protocol::Compact, _) => {
                self.out.push(number);
                self.zigzag(id.into());
            }
        }
        self.last = id;
    }

    pub(super) fn i32(&mut self, id: i16, value: i32) {
        self.field(id, Type::I32);
        match self.protocol {
            Protocol::Binary => self.out.extend(value.to_be_bytes()),
            Protocol::Compact => self.zigzag(value.into()),
        }
    }

    pub(super) fn i64(&mut self, id: i16, value: i64) {
        self.field(id, Type::I64);
        match self.protocol {
            Protocol::Binary => self.out.extend(value.to_be_bytes()),
            Protocol::Compact => self.zigzag(value),
        }
    }

    pub(super) fn double(&mut self, id: i16, value: f64) {
        self.field(id, Type::Double);
        self.out.extend(match self.protocol {
            Protocol::Binary => value.to_be_bytes(),
            Protocol::Compact => value.to_le_bytes(),
        });
    }

    pub(super) fn bool(&mut self, id: i16, value: bool) {
        match self.protocol {
            Protocol::Binary => {
                self.field(id, Type::Bool);
                self.out.push(u8::from(value));
            }
            Protocol::Compact => self.head(id, if value { 1 } else { 2 }),
        }
    }

    pub(super) fn binary(&mut self, id: i16, bytes: &[u8]) {
        self.field(id, Type::Binary);
        self.bare_binary(bytes);
    }

    pub(super) fn bare_binary(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    /// A field that is a struct.
    pub(super) fn nested(&mut self, id: i16, fields: impl FnOnce(&mut Self)) {
        self.field(id, Type::Struct);
        self.bare_struct(fields);
    }

    /// A struct without a field's head: an element of a list, or a whole message.
    pub(super) fn bare_struct(&mut self, fields: impl FnOnce(&mut Self)) {
        let outer = std::mem::take(&mut self.last);
        fields(self);
        self.out.push(0);
        self.last = outer;
    }

    /// The head of a field that is a list of `count` structs, which have to follow.
    pub(super) fn list(&mut self, id: i16, count: usize) {
        self.field(id, Type::List);
        let number = Type::Struct.number(self.protocol);
        match (self.protocol, count) {
            (Protocol::Binary, _) => {
                self.out.push(number);
                self.length(count);
            }
            (Protocol::Compact, 0..15) => self.out.push((count as u8) << 4 | number),
            (Protocol::Compact, _) => {
                self.out.push(0xf0 | number);
                self.length(count);
            }
        }
    }

    fn length(&mut self, length: usize) {
        match self.protocol {
            Protocol::Binary => self.out.extend((length as u32).to_be_bytes()),
            Protocol::Compact => self.varint(length as u64),
        }
    }

    fn zigzag(&mut self, number: i64) {
        self.varint((number << 1 ^ number >> 63) as u64);
    }

    pub(super) fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }
}
