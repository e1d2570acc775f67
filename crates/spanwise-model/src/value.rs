//! Attribute values, with OTLP's `AnyValue` types.

use bytes::Bytes;

use crate::Str;

/// A typed value: what OTLP calls `AnyValue`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// An `AnyValue` with nothing set.
    #[default]
    Null,
    /// UTF-8 text.
    String(Str),
    /// true or false.
    Bool(bool),
    /// A signed 64-bit integer.
    Int(i64),
    /// A double; NaN and the infinities are legal.
    Double(f64),
    /// Raw bytes; also what a string that was not UTF-8 becomes.
    Bytes(Bytes),
    /// Values of any types, in order.
    Array(Vec<Value>),
    /// Keys with values, in order.
    Map(Attributes),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// The key, matched exactly and case-sensitively.
    pub key: Str,
    /// The value.
    pub value: Value,
}

/// Attributes in the order in which they arrived. Keys are unique after sanitizing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(pub Vec<Attribute>);

impl Value {
    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Value::String(Str::from_static(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text.into())
    }
}

impl From<Str> for Value {
    fn from(text: Str) -> Self {
        Value::String(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Double(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

impl Attributes {
    /// The value of `key`; the last one where a key repeats.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().rev().find(|attribute| attribute.key == key).map(|a| &a.value)
    }

    /// The text of `key`, if it is a string.
    pub fn str(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    /// Adds a key with its value at the end.
    pub fn push(&mut self, key: impl Into<Str>, value: impl Into<Value>) {
        self.0.push(Attribute { key: key.into(), value: value.into() });
    }

    /// The attributes in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Attribute> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Attributes {
    type Item = &'a Attribute;
    type IntoIter = std::slice::Iter<'a, Attribute>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<K: Into<Str>, V: Into<Value>> FromIterator<(K, V)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Self {
        Attributes(
            iter.into_iter()
                .map(|(key, value)| Attribute { key: key.into(), value: value.into() })
                .collect(),
        )
    }
}
