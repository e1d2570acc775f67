//! JSON as the translators read and write it: borrowed from the body, with strings still escaped.
//!
//! Text that goes from one dialect to another is copied in its escaped form, so that it is
//! neither unescaped nor escaped again, and a number or a schema keeps its every digit.

use std::borrow::Cow;

mod parse;
mod text;
mod write;

pub use parse::parse;
pub use text::Text;
pub use write::Writer;

/// One JSON value with the text it was read from.
#[derive(Debug)]
pub struct Node<'a> {
    /// The value as it was written.
    pub raw: &'a str,
    kind: Kind<'a>,
}

#[derive(Debug)]
enum Kind<'a> {
    Null,
    Bool(bool),
    Number,
    String,
    Array(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// Whether this is `null`, which every dialect takes for absence.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// Whether this is an object.
    pub fn is_object(&self) -> bool {
        matches!(self.kind, Kind::Object(_))
    }

    /// The value, if this is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self.kind {
            Kind::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The digits, if this is a number.
    pub fn as_number(&self) -> Option<&'a str> {
        matches!(self.kind, Kind::Number).then_some(self.raw)
    }

    /// The value, if this is a whole number that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number()?.parse().ok()
    }

    /// The text, if this is a string.
    pub fn as_text(&self) -> Option<Text<'a>> {
        matches!(self.kind, Kind::String)
            .then(|| Text::from_escaped(&self.raw[1..self.raw.len() - 1]))
    }

    /// The elements, if this is an array.
    pub fn as_array(&self) -> Option<&[Node<'a>]> {
        match &self.kind {
            Kind::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The fields in their order; none, if this is no object.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Node<'a>)> {
        let fields = match &self.kind {
            Kind::Object(fields) => fields.as_slice(),
            _ => &[],
        };
        fields.iter().map(|(key, value)| (key.as_ref(), value))
    }

    /// The field with this name, if it is there and not null.
    pub fn get(&self, key: &str) -> Option<&Node<'a>> {
        match &self.kind {
            Kind::Object(fields) => fields
                .iter()
                .rev()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value)
                .filter(|value| !value.is_null()),
            _ => None,
        }
    }

    /// The text of a field.
    pub fn text(&self, key: &str) -> Option<Text<'a>> {
        self.get(key)?.as_text()
    }

    /// The text of a field, if it is there and not empty.
    pub fn some_text(&self, key: &str) -> Option<Text<'a>> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// A count in a field.
    pub fn count(&self, key: &str) -> Option<u64> {
        self.get(key)?.as_u64()
    }

    /// The elements of a field that is an array; none otherwise.
    pub fn elements(&self, key: &str) -> &[Node<'a>] {
        self.get(key).and_then(Node::as_array).unwrap_or_default()
    }
}

/// A JSON value without the white space between its tokens.
pub fn compact(raw: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'\n', b'\r', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut in_string = false;
    let mut escaped = false;
    for character in raw.chars() {
        if in_string {
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else if matches!(character, ' ' | '\t' | '\n' | '\r') {
            continue;
        } else {
            in_string = character == '"';
        }
        out.push(character);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
