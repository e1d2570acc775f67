//! A YAML file whose values know where they stand, so that every mistake can say its line and field.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use serde_saphyr::Spanned;

use super::error::PolicyFileError;

/// A value with its line and the path of keys that leads to it.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    path: String,
    line: u64,
    value: &'a Value,
}

/// A value as it stands in the file.
#[derive(Debug)]
pub(super) enum Value {
    Scalar(Json),
    List(Vec<Spanned<Value>>),
    Map(Vec<(Spanned<String>, Spanned<Value>)>),
}

/// The whole file.
#[derive(Debug)]
pub(super) struct Document(Spanned<Value>);

impl Document {
    pub fn parse(text: &str) -> Result<Self, PolicyFileError> {
        let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
        let read = serde_saphyr::from_str_with_options::<Spanned<Value>>(text, options);
        read.map(Document).map_err(|error| PolicyFileError {
            line: error.location().map_or(0, |place| place.line()),
            field: String::new(),
            message: error.to_string().lines().collect::<Vec<_>>().join(" "),
        })
    }

    pub fn root(&self) -> Node<'_> {
        Node { path: String::new(), line: 1, value: &self.0.value }
    }
}

impl<'a> Node<'a> {
    /// What is wrong with it.
    pub fn error(&self, message: impl Into<String>) -> PolicyFileError {
        PolicyFileError { line: self.line, field: self.path.clone(), message: message.into() }
    }

    /// Its fields, none of which may be unknown or stand there twice.
    pub fn fields(&self, known: &[&str]) -> Result<Fields<'a>, PolicyFileError> {
        let fields = Fields { of: self.clone(), entries: self.entries()? };
        for (name, node) in &fields.entries {
            if !known.contains(name) {
                return Err(node.error(unknown(name, known)));
            }
        }
        Ok(fields)
    }

    /// Everything under it, by whatever names.
    pub fn entries(&self) -> Result<Vec<(&'a str, Node<'a>)>, PolicyFileError> {
        let Value::Map(entries) = self.value else {
            return Err(self.error(format!("expected fields, found {}", self.found())));
        };
        let mut found: Vec<(&str, Node<'_>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let name = key.value.as_str();
            let node = self.below(name, key.referenced.line(), &value.value);
            if found.iter().any(|(other, _)| *other == name) {
                return Err(node.error("stands there twice"));
            }
            found.push((name, node));
        }
        Ok(found)
    }

    /// The items of a list.
    pub fn items(&self) -> Result<Vec<Node<'a>>, PolicyFileError> {
        let Value::List(items) = self.value else {
            return Err(self.error(format!("expected a list, found {}", self.found())));
        };
        let node = |(at, item): (usize, &'a Spanned<Value>)| Node {
            path: format!("{}[{at}]", self.path),
            line: item.referenced.line().max(1),
            value: &item.value,
        };
        Ok(items.iter().enumerate().map(node).collect())
    }

    pub fn text(&self) -> Result<&'a str, PolicyFileError> {
        match self.value {
            Value::Scalar(Json::String(text)) if !text.trim().is_empty() => Ok(text),
            _ => Err(self.error(format!("expected a text, found {}", self.found()))),
        }
    }

    /// A text or a list of texts.
    pub fn texts(&self) -> Result<Vec<String>, PolicyFileError> {
        match self.value {
            Value::List(_) => {
                self.items()?.iter().map(|item| Ok(item.text()?.to_owned())).collect()
            }
            _ => Ok(vec![self.text()?.to_owned()]),
        }
    }

    pub fn truth(&self) -> Result<bool, PolicyFileError> {
        match self.value {
            Value::Scalar(Json::Bool(truth)) => Ok(*truth),
            _ => Err(self.error(format!("expected true or false, found {}", self.found()))),
        }
    }

    /// A number within bounds, both included.
    pub fn number(&self, least: f64, most: f64) -> Result<f64, PolicyFileError> {
        match self.value {
            Value::Scalar(Json::Number(number)) => number.as_f64(),
            _ => None,
        }
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            let expected = format!("a number from {least} to {most}");
            self.error(format!("expected {expected}, found {}", self.found()))
        })
    }

    /// A whole number within bounds, both included.
    pub fn whole(&self, least: u64, most: u64) -> Result<u64, PolicyFileError> {
        match self.value {
            Value::Scalar(Json::Number(number)) => number.as_u64(),
            _ => None,
        }
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            let expected = format!("a whole number from {least} to {most}");
            self.error(format!("expected {expected}, found {}", self.found()))
        })
    }

    /// One of these words.
    pub fn word(&self, words: &[&'static str]) -> Result<&'static str, PolicyFileError> {
        let said = self.text()?;
        let known = words.iter().find(|word| **word == said);
        known.copied().ok_or_else(|| self.error(unknown(said, words)))
    }

    /// A value to compare with: a scalar or a list of scalars.
    pub fn plain(&self) -> Result<Json, PolicyFileError> {
        match self.value {
            Value::Scalar(Json::Null) => Err(self.error("expected a value, found nothing")),
            Value::Scalar(scalar) => Ok(scalar.clone()),
            Value::List(_) => {
                let items = self.items()?;
                items.iter().map(Node::plain).collect::<Result<Vec<_>, _>>().map(Json::Array)
            }
            Value::Map(_) => Err(self.error("expected a value or a list, found fields")),
        }
    }

    /// Whether there is nothing at all.
    pub fn is_nothing(&self) -> bool {
        matches!(self.value, Value::Scalar(Json::Null))
    }

    fn below(&self, name: &str, line: u64, value: &'a Value) -> Node<'a> {
        let path =
            if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Node { path, line: line.max(1), value }
    }

    fn found(&self) -> String {
        match self.value {
            Value::Scalar(Json::Null) => "nothing".to_owned(),
            Value::Scalar(Json::String(text)) => format!("`{text}`"),
            Value::Scalar(scalar) => format!("`{scalar}`"),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "fields".to_owned(),
        }
    }
}

/// What stands under a node, by known names.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    of: Node<'a>,
    entries: Vec<(&'a str, Node<'a>)>,
}

impl<'a> Fields<'a> {
    pub fn get(&self, name: &str) -> Option<&Node<'a>> {
        self.entries.iter().find(|(found, _)| *found == name).map(|(_, node)| node)
    }

    pub fn need(&self, name: &str) -> Result<&Node<'a>, PolicyFileError> {
        self.get(name).ok_or_else(|| self.of.error(format!("`{name}` is missing")))
    }

    /// The value of a field, if it is there.
    pub fn map<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Node<'a>) -> Result<T, PolicyFileError>,
    ) -> Result<Option<T>, PolicyFileError> {
        self.get(name).map(read).transpose()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Says that a word is unknown, and which one may be meant.
pub(super) fn unknown(said: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(said, a).total_cmp(&strsim::jaro_winkler(said, b)));
    match nearest.filter(|near| strsim::jaro_winkler(said, near) > 0.75) {
        Some(near) => format!("unknown: did you mean `{near}`?"),
        None => format!("unknown: expected one of {}", known.join(", ")),
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Scalar(truth.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Scalar(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Scalar(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Scalar(number.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Scalar(text.into()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Scalar(Json::Null))
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Scalar(Json::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        Value::deserialize(inner)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Value::Map(map))
    }
}
