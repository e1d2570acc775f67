//! Texts and other languages' values as those that options take.

use spanwise_model::{Attributes, Value};

use super::ConfigError;

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Flag,
    /// Any number.
    Number,
    /// A whole number from zero on.
    Count,
    /// One text or several.
    Texts,
    /// Names with values.
    Table,
}

impl Kind {
    fn expected(self) -> &'static str {
        match self {
            Kind::Text => "a text",
            Kind::Flag => "true or false",
            Kind::Number => "a number",
            Kind::Count => "a whole number from 0 on",
            Kind::Texts => "a text or a list of texts",
            Kind::Table => "names with values",
        }
    }

    /// The value as options keep it; `None` for nothing. `option` is what an error names.
    pub fn read(self, option: &str, value: Value) -> Result<Option<Value>, ConfigError> {
        let wrong = |got: &'static str| ConfigError::WrongType {
            option: option.to_owned(),
            expected: self.expected(),
            got,
        };
        let unreadable = |text: &str| {
            ConfigError::invalid(option, format!("expected {}, got `{text}`", self.expected()))
        };
        Ok(Some(match (self, value) {
            (_, Value::Null) => return Ok(None),
            (Kind::Text, Value::String(text)) => Value::String(text),
            (Kind::Flag, Value::Bool(truth)) => Value::Bool(truth),
            (Kind::Flag, Value::String(text)) => {
                Value::Bool(flag(&text).ok_or_else(|| unreadable(&text))?)
            }
            (Kind::Number, Value::Double(number)) => Value::Double(number),
            (Kind::Number, Value::Int(number)) => Value::Double(number as f64),
            (Kind::Number, Value::String(text)) => {
                Value::Double(text.trim().parse().map_err(|_| unreadable(&text))?)
            }
            (Kind::Count, Value::Int(number)) if number >= 0 => Value::Int(number),
            (Kind::Count, Value::Int(number)) => return Err(unreadable(&number.to_string())),
            (Kind::Count, Value::String(text)) => {
                let number: u32 = text.trim().parse().map_err(|_| unreadable(&text))?;
                Value::Int(number.into())
            }
            (Kind::Texts, Value::String(text)) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Value::Array(parts.map(|part| Value::from(part.to_owned())).collect())
            }
            (Kind::Texts, Value::Array(texts)) => {
                if let Some(odd) = texts.iter().find(|text| text.as_str().is_none()) {
                    return Err(wrong(name_of(odd)));
                }
                Value::Array(texts)
            }
            (Kind::Table, Value::Map(entries)) => Value::Map(entries),
            // Not what it says, as it may be a secret.
            (Kind::Table, Value::String(text)) => {
                Value::Map(pairs(&text).ok_or_else(|| {
                    ConfigError::invalid(option, "expected `name=value,name=value`")
                })?)
            }
            (_, other) => return Err(wrong(name_of(&other))),
        }))
    }
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::String(_) => "a text",
        Value::Bool(_) => "true or false",
        Value::Int(_) | Value::Double(_) => "a number",
        Value::Bytes(_) => "bytes",
        Value::Array(_) => "a list",
        Value::Map(_) => "names with values",
    }
}

pub(super) fn flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// `name=value,name=value`, values percent-encoded, as OpenTelemetry has it.
fn pairs(text: &str) -> Option<Attributes> {
    let mut pairs = Attributes::default();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let name = name.trim();
        if name.is_empty() {
            return None;
        }
        pairs.push(percent_decoded(name), percent_decoded(value.trim()));
    }
    Some(pairs)
}

/// What is no escape, or gives no UTF-8, stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after.first_chunk::<2>().filter(|_| *first == b'%');
        let byte = escaped.and_then(|hex| u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}
