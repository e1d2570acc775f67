use super::decode::pieces;
use super::{MAX_DEPTH, tag};
use crate::segment::varint::{Malformed, Reader};

/// A recorded text of a row, as it lies there.
#[derive(Clone, Copy, Debug)]
pub(in crate::segment) enum Found<'r> {
    /// In place.
    Text(&'r str),
    /// A number of `names.bin`.
    Name(u32),
    /// A number of `texts.bin`.
    Piece(u32),
}

/// A value of a row, as it lies there.
#[derive(Clone, Debug)]
pub(in crate::segment) enum Scalar<'r> {
    Text(&'r str),
    Pieces(Vec<u32>),
    Int(i64),
    Double(f64),
    Bool(bool),
    /// Null, bytes, an array or a map.
    Other,
}

/// The bytes of a row, looked at without making a span of them.
#[derive(Clone, Copy, Debug)]
pub(in crate::segment) struct RowView<'r> {
    outline: Reader<'r>,
    rest: Reader<'r>,
}

impl<'r> RowView<'r> {
    pub(in crate::segment) fn new(row: &'r [u8]) -> Result<Self, Malformed> {
        let mut rest = Reader::new(row);
        let outline = Reader::new(rest.bytes()?);
        Ok(RowView { outline, rest })
    }

    /// Calls `found` with every recorded text.
    pub(in crate::segment) fn texts(
        self,
        found: &mut impl FnMut(Found<'r>),
    ) -> Result<(), Malformed> {
        let mut outline = self.outline;
        found(name(&mut outline)?);
        found(Found::Text(outline.str()?));
        let mut rest = self.rest;
        attribute_texts(&mut rest, found, 0)?;
        for _ in 0..rest.count()? {
            found(name(&mut rest)?);
            rest.take(8)?;
            rest.varint()?;
            attribute_texts(&mut rest, found, 0)?;
        }
        for _ in 0..rest.count()? {
            rest.take(24)?;
            rest.bytes()?;
            rest.varint()?;
            rest.varint()?;
            attribute_texts(&mut rest, found, 0)?;
        }
        Ok(())
    }

    /// The value of an attribute of the span: the last one where the key repeats. `number` is
    /// the key's number among the names, if it has one.
    pub(in crate::segment) fn attribute(
        self,
        key: &str,
        number: Option<u32>,
    ) -> Result<Option<Scalar<'r>>, Malformed> {
        let mut rest = self.rest;
        let mut last = None;
        for _ in 0..rest.count()? {
            let is_key = match name(&mut rest)? {
                Found::Text(text) => text == key,
                Found::Name(found) => Some(found) == number,
                Found::Piece(_) => false,
            };
            if is_key {
                let mut at_value = rest;
                last = Some(scalar(&mut at_value)?);
            }
            value_texts(&mut rest, &mut |_| {}, 0)?;
        }
        Ok(last)
    }
}

fn name<'r>(reader: &mut Reader<'r>) -> Result<Found<'r>, Malformed> {
    match reader.u32()? {
        0 => Ok(Found::Text(reader.str()?)),
        number => Ok(Found::Name(number - 1)),
    }
}

fn attribute_texts<'r>(
    reader: &mut Reader<'r>,
    found: &mut impl FnMut(Found<'r>),
    depth: usize,
) -> Result<(), Malformed> {
    for _ in 0..reader.count()? {
        name(reader)?;
        value_texts(reader, found, depth)?;
    }
    Ok(())
}

fn value_texts<'r>(
    reader: &mut Reader<'r>,
    found: &mut impl FnMut(Found<'r>),
    depth: usize,
) -> Result<(), Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed("nested too deep"));
    }
    match reader.byte()? {
        tag::NULL | tag::FALSE | tag::TRUE => {}
        tag::SHORT => found(Found::Text(reader.str()?)),
        tag::TEXT => pieces(reader)?.into_iter().for_each(|piece| found(Found::Piece(piece))),
        tag::INT | tag::BINARY => drop(reader.varint()?),
        tag::DOUBLE => drop(reader.take(8)?),
        tag::BYTES => drop(reader.bytes()?),
        tag::ARRAY => {
            for _ in 0..reader.count()? {
                value_texts(reader, found, depth + 1)?;
            }
        }
        tag::MAP => attribute_texts(reader, found, depth + 1)?,
        _ => return Err(Malformed("unknown type of value")),
    }
    Ok(())
}

fn scalar<'r>(reader: &mut Reader<'r>) -> Result<Scalar<'r>, Malformed> {
    Ok(match reader.byte()? {
        tag::SHORT => Scalar::Text(reader.str()?),
        tag::TEXT => Scalar::Pieces(pieces(reader)?),
        tag::FALSE => Scalar::Bool(false),
        tag::TRUE => Scalar::Bool(true),
        tag::INT => Scalar::Int(reader.signed()?),
        tag::DOUBLE => Scalar::Double(f64::from_bits(u64::from_le_bytes(reader.array()?))),
        _ => Scalar::Other,
    })
}
