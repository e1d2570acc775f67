//! Attributes and values in OTLP's JSON.

use serde::de::MapAccess;

use super::MAX_VALUE_DEPTH;
use super::json::{Message, Reading, list, object, push, skip};
use super::json_scalars::{Double, Text, optional_integer, text};
use crate::wire::base64;
use crate::{Attribute, Attributes, Str, Value};

/// An `AnyValue` at a depth of nesting, from 1.
pub(super) struct AnyValue {
    pub(super) value: Value,
    depth: usize,
}

impl Default for AnyValue {
    fn default() -> Self {
        AnyValue { value: Value::Null, depth: 1 }
    }
}

impl Message for AnyValue {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let value = match key {
            "stringValue" => map.next_value_seed(Text(reading))?.map(Value::String),
            "boolValue" => map.next_value::<Option<bool>>()?.map(Value::Bool),
            "intValue" => optional_integer(map)?.map(Value::Int),
            "doubleValue" => map.next_value_seed(Double)?.map(Value::Double),
            "bytesValue" => map.next_value_seed(Text(reading))?.map(|text| bytes(reading, text)),
            "arrayValue" | "kvlistValue" if self.depth >= MAX_VALUE_DEPTH => {
                reading.draft.repairs.note_too_deep();
                skip(map)?;
                Some(Value::Null)
            }
            "arrayValue" => Some(self.array(reading, map)?),
            "kvlistValue" => Some(self.map(reading, map)?),
            _ => {
                skip(map)?;
                None
            }
        };
        if let Some(value) = value {
            self.value = value;
        }
        Ok(())
    }
}

impl AnyValue {
    fn array<'de, A: MapAccess<'de>>(
        &self,
        reading: &mut Reading<'de>,
        map: &mut A,
    ) -> Result<Value, A::Error> {
        let mut array = ArrayValue { values: Vec::new(), depth: self.depth + 1 };
        object(reading, map, &mut array)?;
        Ok(Value::Array(array.values))
    }

    fn map<'de, A: MapAccess<'de>>(
        &self,
        reading: &mut Reading<'de>,
        map: &mut A,
    ) -> Result<Value, A::Error> {
        let mut list = KeyValueList { entries: Attributes::default(), depth: self.depth + 1 };
        object(reading, map, &mut list)?;
        Ok(Value::Map(list.entries))
    }
}

struct ArrayValue {
    values: Vec<Value>,
    depth: usize,
}

impl Message for ArrayValue {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        if key != "values" {
            return skip(map);
        }
        let depth = self.depth;
        list(
            reading,
            map,
            |_| AnyValue { value: Value::Null, depth },
            |reading, any| push(reading, &mut self.values, any.value),
        )
    }
}

struct KeyValueList {
    entries: Attributes,
    depth: usize,
}

impl Message for KeyValueList {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        if key == "values" {
            attributes(reading, map, &mut self.entries, self.depth)
        } else {
            skip(map)
        }
    }
}

struct KeyValue {
    key: Str,
    value: AnyValue,
}

impl Message for KeyValue {
    fn field<'de, A: MapAccess<'de>>(
        &mut self,
        reading: &mut Reading<'de>,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "key" => self.key = text(reading, map)?,
            "value" => object(reading, map, &mut self.value)?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

/// Reads the value of the current key as attributes whose values are at `depth`.
pub(super) fn attributes<'de, A: MapAccess<'de>>(
    reading: &mut Reading<'de>,
    map: &mut A,
    attributes: &mut Attributes,
    depth: usize,
) -> Result<(), A::Error> {
    list(
        reading,
        map,
        |_| KeyValue { key: Str::new(), value: AnyValue { value: Value::Null, depth } },
        |reading, KeyValue { key, value }| {
            push(reading, &mut attributes.0, Attribute { key, value: value.value })
        },
    )
}

/// A `bytesValue`; one that is not base64 stays the text that it is.
fn bytes(reading: &mut Reading<'_>, text: Str) -> Value {
    if let Some(bytes) = base64::decode(&text) {
        return Value::Bytes(bytes.into());
    }
    let message = "a bytesValue is not base64; it is kept as text";
    reading.draft.repairs.note("invalid_base64", message);
    Value::String(text)
}
