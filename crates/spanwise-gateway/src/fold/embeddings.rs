//! OpenAI's embeddings.

use super::ProviderError;
use super::draft::{Draft, set};
use crate::json::{Kind, Value};

/// Takes in a whole answer.
pub(super) fn body(draft: &mut Draft, object: Value<'_>) {
    for (key, value) in object.members() {
        match &*key {
            "id" => set(&mut draft.id, value),
            "model" => set(&mut draft.model, value),
            "usage" => draft.counts.openai(value),
            "data" => {
                let first = value.elements().next().and_then(|item| item.get("embedding"));
                draft.dimensions = first.and_then(dimensions);
            }
            "error" if !value.is_null() => draft.error = ProviderError::of_object(object),
            _ => {}
        }
    }
}

/// How long a vector is: an array of numbers, or base64 of four bytes each.
fn dimensions(vector: Value<'_>) -> Option<u64> {
    match vector.kind {
        Kind::Array => Some(vector.elements().count() as u64),
        Kind::Text => {
            let digits = vector.literal.trim_matches('"').trim_end_matches('=').len();
            Some((digits * 3 / 4 / 4) as u64)
        }
        _ => None,
    }
}
