//! Fields of requests that must be of one kind: what else stands there is the client's mistake.

use super::Untranslatable;
use super::json::{Node, Text};

/// A number in a field of a request, as it was written.
pub fn number<'a>(name: &str, node: &Node<'a>) -> Result<Option<&'a str>, Untranslatable> {
    if node.is_null() {
        return Ok(None);
    }
    node.as_number().map(Some).ok_or_else(|| Untranslatable::malformed(name, "is not a number"))
}

/// A count in a field of a request.
pub fn count(name: &str, node: &Node<'_>) -> Result<Option<u64>, Untranslatable> {
    if node.is_null() {
        return Ok(None);
    }
    node.as_u64().map(Some).ok_or_else(|| Untranslatable::malformed(name, "is not a whole number"))
}

/// A flag in a field of a request.
pub fn flag(name: &str, node: &Node<'_>) -> Result<Option<bool>, Untranslatable> {
    if node.is_null() {
        return Ok(None);
    }
    node.as_bool().map(Some).ok_or_else(|| Untranslatable::malformed(name, "is not true or false"))
}

/// A text in a field of a request.
pub fn text<'a>(name: &str, node: &Node<'a>) -> Result<Text<'a>, Untranslatable> {
    node.as_text().ok_or_else(|| Untranslatable::malformed(name, "is not a text"))
}

/// One text or a list of texts in a field of a request.
pub fn texts<'a>(name: &str, node: &Node<'a>) -> Result<Vec<Text<'a>>, Untranslatable> {
    match node.as_array() {
        Some(elements) => elements.iter().map(|element| text(name, element)).collect(),
        None => text(name, node).map(|one| vec![one]),
    }
}

/// The elements of a list in a field of a request.
pub fn list<'n, 'a>(name: &str, node: &'n Node<'a>) -> Result<&'n [Node<'a>], Untranslatable> {
    node.as_array().ok_or_else(|| Untranslatable::malformed(name, "is not a list"))
}
