//! The leaves of OTLP's JSON: texts, numbers and enumerations, in every form that is met.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::json::Reading;
use crate::Str;

/// Reads the key of an object, borrowed unless it has escapes.
pub(super) struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

pub(super) fn text<'de, A: MapAccess<'de>>(
    reading: &mut Reading<'de>,
    map: &mut A,
) -> Result<Str, A::Error> {
    Ok(map.next_value_seed(Text(reading))?.unwrap_or_default())
}

/// Reads a text or null. It is read as bytes, because JavaScript cuts texts in the middle of
/// surrogate pairs, and serde_json refuses to call the halves a string.
pub(super) struct Text<'a, 'de>(pub(super) &'a mut Reading<'de>);

impl<'de> DeserializeSeed<'de> for Text<'_, 'de> {
    type Value = Option<Str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Text<'_, 'de> {
    type Value = Option<Str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        let whole = self.0.text;
        let start = bytes.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        match whole.get(start..start.wrapping_add(bytes.len())) {
            Some(text) => Ok(Some(whole.slice_ref(text))),
            None => self.visit_bytes(bytes),
        }
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        let text = String::from_utf8_lossy(bytes);
        if let Cow::Owned(_) = text {
            self.0.draft.repairs.note_invalid_utf8("a text");
        }
        Ok(Some(text.into_owned().into()))
    }
}

pub(super) fn integer<'de, T, A>(map: &mut A) -> Result<T, A::Error>
where
    T: TryFrom<i128> + Default,
    A: MapAccess<'de>,
{
    Ok(optional_integer(map)?.unwrap_or_default())
}

pub(super) fn optional_integer<'de, T, A>(map: &mut A) -> Result<Option<T>, A::Error>
where
    T: TryFrom<i128>,
    A: MapAccess<'de>,
{
    map.next_value_seed(Integer)?
        .map(|number| T::try_from(number).map_err(|_| A::Error::custom("number out of range")))
        .transpose()
}

/// Reads an integer as a number or a decimal string, or null.
struct Integer;

impl<'de> DeserializeSeed<'de> for Integer {
    type Value = Option<i128>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Integer {
    type Value = Option<i128>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer or a string with one")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        if number.fract() == 0.0 {
            Ok(Some(number as i128))
        } else {
            Err(E::custom("expected an integer, found a fraction"))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        text.parse().map(Some).map_err(|_| E::custom("expected an integer in this string"))
    }
}

/// Reads a double as a number, as one of the strings that stand for what JSON cannot write, or
/// null.
pub(super) struct Double;

impl<'de> DeserializeSeed<'de> for Double {
    type Value = Option<f64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Double {
    type Value = Option<f64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number as f64))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Some(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        // "NaN", "Infinity" and "-Infinity" are among what Rust parses.
        text.parse().map(Some).map_err(|_| E::custom("expected a number in this string"))
    }
}

/// Reads a number of an enumeration, or its name, which OTLP forbids and protobuf's own JSON
/// mapping writes. Unknown names and null are 0.
pub(super) fn choice<'de, A: MapAccess<'de>>(
    map: &mut A,
    names: &'static [&'static str],
) -> Result<i32, A::Error> {
    map.next_value_seed(Choice(names))
}

struct Choice(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Choice {
    type Value = i32;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<i32, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Choice {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of an enumeration")
    }

    fn visit_unit<E: Error>(self) -> Result<i32, E> {
        Ok(0)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i32, E> {
        Ok(i32::try_from(number).unwrap_or_default())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i32, E> {
        Ok(i32::try_from(number).unwrap_or_default())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i32, E> {
        Ok(number as i32)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<i32, E> {
        let position = self.0.iter().position(|known| *known == name);
        Ok(position.map_or_else(|| name.parse().unwrap_or_default(), |number| number as i32))
    }
}
