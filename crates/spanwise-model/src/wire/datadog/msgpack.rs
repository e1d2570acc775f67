//! MessagePack ([specification](https://github.com/msgpack/msgpack/blob/master/spec.md)), as far as
//! traces need it.
//!
//! Reading trusts nothing: every length is compared with the bytes that are left, and takes what
//! tracers write for one another: any width and sign of integers, floats for integers, bytes for
//! texts, nil for nothing.

use std::ops::Range;

use bytes::Bytes;

use crate::wire::draft::{DecodeError, Draft, MAX_VALUE_DEPTH};
use crate::{Attribute, Attributes, Str, Value};

pub(super) type Result<T> = std::result::Result<T, Box<DecodeError>>;

/// Reads values from bytes.
pub(super) struct Reader<'b> {
    pub(super) body: &'b Bytes,
    at: usize,
}

/// The head of a value. Lists and maps are followed by what they hold.
#[derive(Clone, Debug, PartialEq)]
enum Head {
    Nil,
    Bool(bool),
    Uint(u64),
    Int(i64),
    Double(f64),
    Text(Range<usize>),
    Binary(Range<usize>),
    Array(usize),
    Map(usize),
    Extension,
}

impl<'b> Reader<'b> {
    pub(super) fn new(body: &'b Bytes) -> Self {
        Reader { body, at: 0 }
    }

    pub(super) fn fault<T>(&self, reason: impl Into<String>) -> Result<T> {
        Err(Box::new(DecodeError::new(self.at, reason)))
    }

    /// The number of elements of a list; nil has none.
    pub(super) fn array(&mut self) -> Result<usize> {
        match self.head()? {
            Head::Array(count) => Ok(count),
            Head::Nil => Ok(0),
            other => self.unexpected("a list", &other),
        }
    }

    /// The number of entries of a map; nil has none.
    pub(super) fn map(&mut self) -> Result<usize> {
        match self.head()? {
            Head::Map(count) => Ok(count),
            Head::Nil => Ok(0),
            other => self.unexpected("a map", &other),
        }
    }

    /// Where a text lies; nil is an empty one.
    pub(super) fn text(&mut self) -> Result<Range<usize>> {
        match self.head()? {
            Head::Text(range) | Head::Binary(range) => Ok(range),
            Head::Nil => Ok(self.at..self.at),
            other => self.unexpected("a text", &other),
        }
    }

    /// The bits of a number; nil is 0.
    pub(super) fn u64(&mut self) -> Result<u64> {
        match self.head()? {
            Head::Uint(number) => Ok(number),
            Head::Int(number) => Ok(number as u64),
            Head::Double(number) => Ok(number as u64),
            Head::Bool(truth) => Ok(truth.into()),
            Head::Nil => Ok(0),
            other => self.unexpected("a number", &other),
        }
    }

    /// A value of any type. What nests too deep becomes null.
    pub(super) fn any(&mut self, draft: &mut Draft) -> Result<Value> {
        self.any_at(draft, 1)
    }

    fn any_at(&mut self, draft: &mut Draft, depth: usize) -> Result<Value> {
        Ok(match self.head()? {
            Head::Nil | Head::Extension => Value::Null,
            Head::Bool(truth) => Value::Bool(truth),
            Head::Uint(number) => {
                i64::try_from(number).map_or(Value::Double(number as f64), Value::Int)
            }
            Head::Int(number) => Value::Int(number),
            Head::Double(number) => Value::Double(number),
            Head::Text(range) => draft.text_value(self.body, range),
            Head::Binary(range) => Value::Bytes(self.body.slice(range)),
            Head::Array(count) if depth >= MAX_VALUE_DEPTH => self.too_deep(draft, count)?,
            Head::Map(count) if depth >= MAX_VALUE_DEPTH => self.too_deep(draft, count * 2)?,
            Head::Array(count) => {
                self.charge::<Value>(draft, count)?;
                let values = (0..count).map(|_| self.any_at(draft, depth + 1));
                Value::Array(values.collect::<Result<_>>()?)
            }
            Head::Map(count) => {
                self.charge::<Attribute>(draft, count)?;
                let mut entries = Attributes::default();
                for _ in 0..count {
                    let key = self.text()?;
                    let key = draft.text(self.body, key, "a key");
                    entries.push(key, self.any_at(draft, depth + 1)?);
                }
                Value::Map(entries)
            }
        })
    }

    fn too_deep(&mut self, draft: &mut Draft, count: usize) -> Result<Value> {
        draft.repairs.note_too_deep();
        self.skip_many(count)?;
        Ok(Value::Null)
    }

    pub(super) fn skip(&mut self) -> Result<()> {
        self.skip_many(1)
    }

    /// Passes over values and all that they hold, without recursion.
    fn skip_many(&mut self, count: usize) -> Result<()> {
        let mut left = count;
        while left > 0 {
            left -= 1;
            match self.head()? {
                Head::Array(count) => left = left.saturating_add(count),
                Head::Map(count) => left = left.saturating_add(count * 2),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn charge<T>(&self, draft: &mut Draft, count: usize) -> Result<()> {
        draft.charge::<T>(count).or_else(|reason| self.fault(reason))
    }

    fn head(&mut self) -> Result<Head> {
        let [marker] = self.bytes()?;
        Ok(match marker {
            0x00..=0x7f => Head::Uint(marker.into()),
            0x80..=0x8f => return self.map_of(usize::from(marker & 0x0f)),
            0x90..=0x9f => return self.array_of(usize::from(marker & 0x0f)),
            0xa0..=0xbf => Head::Text(self.range(usize::from(marker & 0x1f))?),
            0xc0 => Head::Nil,
            0xc1 => return self.fault("byte c1 stands for nothing"),
            0xc2 => Head::Bool(false),
            0xc3 => Head::Bool(true),
            0xc4..=0xc6 => {
                let length = self.length(marker - 0xc4)?;
                Head::Binary(self.range(length)?)
            }
            0xc7..=0xc9 => {
                let length = self.length(marker - 0xc7)?;
                self.range(length.saturating_add(1))?;
                Head::Extension
            }
            0xca => Head::Double(f32::from_be_bytes(self.bytes()?).into()),
            0xcb => Head::Double(f64::from_be_bytes(self.bytes()?)),
            0xcc => Head::Uint(u8::from_be_bytes(self.bytes()?).into()),
            0xcd => Head::Uint(u16::from_be_bytes(self.bytes()?).into()),
            0xce => Head::Uint(u32::from_be_bytes(self.bytes()?).into()),
            0xcf => Head::Uint(u64::from_be_bytes(self.bytes()?)),
            0xd0 => Head::Int(i8::from_be_bytes(self.bytes()?).into()),
            0xd1 => Head::Int(i16::from_be_bytes(self.bytes()?).into()),
            0xd2 => Head::Int(i32::from_be_bytes(self.bytes()?).into()),
            0xd3 => Head::Int(i64::from_be_bytes(self.bytes()?)),
            0xd4..=0xd8 => {
                self.range(1 + (1 << (marker - 0xd4)))?;
                Head::Extension
            }
            0xd9..=0xdb => {
                let length = self.length(marker - 0xd9)?;
                Head::Text(self.range(length)?)
            }
            0xdc | 0xdd => {
                let count = self.length(marker - 0xdc + 1)?;
                return self.array_of(count);
            }
            0xde | 0xdf => {
                let count = self.length(marker - 0xde + 1)?;
                return self.map_of(count);
            }
            0xe0..=0xff => Head::Int(i64::from(marker as i8)),
        })
    }

    fn array_of(&self, count: usize) -> Result<Head> {
        if count > self.body.len() - self.at {
            return self.fault("list is longer than the rest");
        }
        Ok(Head::Array(count))
    }

    fn map_of(&self, count: usize) -> Result<Head> {
        if count > (self.body.len() - self.at) / 2 {
            return self.fault("map is longer than the rest");
        }
        Ok(Head::Map(count))
    }

    /// A length of one, two or four bytes.
    fn length(&mut self, width: u8) -> Result<usize> {
        Ok(match width {
            0 => u8::from_be_bytes(self.bytes()?).into(),
            1 => u16::from_be_bytes(self.bytes()?).into(),
            _ => u32::from_be_bytes(self.bytes()?) as usize,
        })
    }

    fn range(&mut self, length: usize) -> Result<Range<usize>> {
        if length > self.body.len() - self.at {
            return self.fault("text is longer than the rest");
        }
        let start = self.at;
        self.at += length;
        Ok(start..self.at)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.body[self.at..].first_chunk() {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => self.fault("ends in the middle"),
        }
    }

    fn unexpected<T>(&self, expected: &str, found: &Head) -> Result<T> {
        let found = match found {
            Head::Nil => "nothing",
            Head::Bool(_) => "a boolean",
            Head::Uint(_) | Head::Int(_) | Head::Double(_) => "a number",
            Head::Text(_) => "a text",
            Head::Binary(_) => "bytes",
            Head::Array(_) => "a list",
            Head::Map(_) => "a map",
            Head::Extension => "an extension",
        };
        self.fault(format!("expected {expected}, found {found}"))
    }
}

/// Reads a whole value from bytes of its own; `None` if it is not one.
pub(super) fn whole(bytes: &Bytes, draft: &mut Draft) -> Option<Value> {
    let mut reader = Reader::new(bytes);
    let value = reader.any(draft).ok()?;
    (reader.at == bytes.len()).then_some(value)
}

/// Text of a value that has to be one, as the tables of strings hold it.
pub(super) fn owned_text(reader: &mut Reader<'_>, draft: &mut Draft) -> Result<Str> {
    let range = reader.text()?;
    Ok(draft.text(reader.body, range, "a text"))
}

/// Writes values.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn array(&mut self, count: usize) {
        match count {
            0..16 => self.0.push(0x90 | count as u8),
            _ => self.head([0xdc, 0xdd], count),
        }
    }

    pub(super) fn map(&mut self, count: usize) {
        match count {
            0..16 => self.0.push(0x80 | count as u8),
            _ => self.head([0xde, 0xdf], count),
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        match text.len() {
            length @ 0..32 => self.0.push(0xa0 | length as u8),
            length @ 32..256 => self.0.extend([0xd9, length as u8]),
            length => self.head([0xda, 0xdb], length),
        }
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A count or length in two bytes or in four.
    fn head(&mut self, markers: [u8; 2], count: usize) {
        if let Ok(count) = u16::try_from(count) {
            self.0.push(markers[0]);
            self.0.extend(count.to_be_bytes());
        } else {
            self.0.push(markers[1]);
            self.0.extend((count as u32).to_be_bytes());
        }
    }

    pub(super) fn u64(&mut self, number: u64) {
        if number < 0x80 {
            self.0.push(number as u8);
        } else {
            self.0.push(0xcf);
            self.0.extend(number.to_be_bytes());
        }
    }

    pub(super) fn double(&mut self, number: f64) {
        self.0.push(0xcb);
        self.0.extend(number.to_be_bytes());
    }
}
