//! Values in formats that know only text: plain for scalars, JSON for lists and maps, base64 for
//! bytes. And back, where a format says that a text is JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::base64;
use super::json_writer::quote;
use crate::{Attribute, Attributes, Str, Value};

/// The text of a value: a string as it is, null as nothing.
pub(super) fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => Cow::Borrowed(text),
        Value::Bool(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
        Value::Int(number) => Cow::Owned(number.to_string()),
        Value::Double(number) => Cow::Owned(double(*number)),
        Value::Bytes(bytes) => Cow::Owned(base64::encode(bytes)),
        Value::Array(_) | Value::Map(_) => Cow::Owned(json(value)),
    }
}

/// As JSON writes it, or one of the names that stand for what JSON cannot write.
fn double(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else if number != 0.0 && !(1e-6..1e21).contains(&number.abs()) {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}

/// A value as compact JSON.
pub(super) fn json(value: &Value) -> String {
    let mut json = String::new();
    write_json(&mut json, value);
    json
}

pub(super) fn write_json(json: &mut String, value: &Value) {
    match value {
        Value::Null => json.push_str("null"),
        Value::Bool(_) | Value::Int(_) => json.push_str(&text(value)),
        Value::Double(number) if number.is_finite() => json.push_str(&double(*number)),
        Value::String(_) | Value::Bytes(_) | Value::Double(_) => quote(json, &text(value)),
        Value::Array(values) => {
            json.push('[');
            for (position, value) in values.iter().enumerate() {
                if position > 0 {
                    json.push(',');
                }
                write_json(json, value);
            }
            json.push(']');
        }
        Value::Map(entries) => write_json_map(json, entries),
    }
}

pub(super) fn write_json_map(json: &mut String, entries: &Attributes) {
    json.push('{');
    for (position, Attribute { key, value }) in entries.iter().enumerate() {
        if position > 0 {
            json.push(',');
        }
        quote(json, key);
        json.push(':');
        write_json(json, value);
    }
    json.push('}');
}

/// Reads JSON; `None` if it is none, nests deeper than 127 levels or would take more memory than
/// `budget`, from which what it takes is subtracted.
pub(super) fn parse_json(json: &str, budget: &mut usize) -> Option<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = AnyJson { budget }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(value)
}

/// Reads a JSON object as attributes.
pub(super) fn parse_json_map(json: &str, budget: &mut usize) -> Option<Attributes> {
    // What cannot be an object is not worth reading.
    match json.starts_with('{').then(|| parse_json(json, budget))?? {
        Value::Map(entries) => Some(entries),
        _ => None,
    }
}

struct AnyJson<'b> {
    budget: &'b mut usize,
}

impl AnyJson<'_> {
    /// An element, and what it needs of the budget.
    fn element<E: Error>(&mut self) -> Result<AnyJson<'_>, E> {
        *self.budget = self
            .budget
            .checked_sub(size_of::<Attribute>())
            .ok_or_else(|| E::custom("unfolds to too much"))?;
        Ok(AnyJson { budget: self.budget })
    }
}

impl<'de> DeserializeSeed<'de> for AnyJson<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyJson<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Double(number as f64), Value::Int))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Double(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(self.element()?)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Attributes::default();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(self.element()?)?;
            entries.0.push(Attribute { key: Str::from(key), value });
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_json_has_them() {
        let numbers = [3.0, -0.5, 1e21, 1.5e300, 1e-7, f64::MIN_POSITIVE, f64::MAX, 0.1];
        for number in numbers {
            assert_eq!(text(&Value::Double(number)).parse(), Ok(number));
            assert!(text(&Value::Double(number)).len() < 25);
        }
        assert_eq!(text(&Value::Double(3.0)), "3");
        assert_eq!(text(&Value::Double(1e300)), "1e300");
        assert_eq!(json(&Value::Double(f64::NEG_INFINITY)), "\"-Infinity\"");
    }

    #[test]
    fn json_goes_both_ways() {
        let text = r#"{"a":[1,2.5,null,true,"é\"\\\n"],"b":{"c":{}},"d":18446744073709551615}"#;
        let value = parse_json(text, &mut 10_000).unwrap();
        let again = json(&value);
        assert_eq!(parse_json(&again, &mut 10_000), Some(value));
        assert!(again.starts_with(r#"{"a":[1,2.5,null,true,"é\"\\\n"],"b":{"c":{}}"#), "{again}");
    }

    #[test]
    fn json_that_unfolds_too_far_is_refused() {
        let long = format!("[{}0]", "0,".repeat(1000));
        assert_eq!(parse_json(&long, &mut 10_000), None);
        assert_eq!(parse_json(&"[".repeat(100_000), &mut usize::MAX.clone()), None);
        assert_eq!(parse_json_map("[1]", &mut 1000), None);
    }
}
