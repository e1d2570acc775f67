//! Messages that were taken apart into attributes with indices (semconv §7.2 items 5 and 6, §7.3).

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value as Json};
use spanwise_model::genai::{Message, Part};

use crate::normalize::messages;
use crate::normalize::reading::{Flat, parse_or_text, split_index, to_json};

type Object = Map<String, Json>;

/// One message while it is put together again. Indices only order its pieces: gaps close, and an
/// absurd index costs nothing (rules M7, L1).
#[derive(Default)]
struct Pieces {
    fields: Object,
    contents: BTreeMap<u16, Object>,
    tool_calls: BTreeMap<u16, Object>,
}

/// The messages of flattened keys.
pub fn messages<'a>(flats: impl Iterator<Item = Flat<'a>>, role: &str) -> Option<Vec<Message>> {
    let mut pieces: BTreeMap<u16, Pieces> = BTreeMap::new();
    for flat in flats {
        pieces.entry(flat.n).or_default().add(flat);
    }
    let messages: Vec<Message> = pieces.into_values().map(|piece| piece.message(role)).collect();
    (!messages.is_empty()).then_some(messages)
}

impl Pieces {
    fn add(&mut self, flat: Flat<'_>) {
        let value = to_json(flat.value);
        if let Some((n, rest)) = flat.rest.strip_prefix("contents.").and_then(split_index) {
            self.contents.entry(n).or_default().insert(leaf(rest).to_owned(), value);
        } else if let Some((n, rest)) = flat.rest.strip_prefix("tool_calls.").and_then(split_index)
        {
            self.tool_calls.entry(n).or_default().insert(leaf(rest).to_owned(), value);
        } else {
            let field = match flat.rest {
                "prompt.text" | "completion.text" => "content",
                other => other,
            };
            self.fields.insert(field.to_owned(), value);
        }
    }

    fn message(mut self, role: &str) -> Message {
        let calls = self.calls_not_in_contents();
        if !calls.is_empty() {
            self.fields.insert("tool_calls".to_owned(), Json::Array(calls));
        }
        if !self.contents.is_empty() {
            let parts = self.contents.into_values().map(content_part).collect();
            self.fields.insert("parts".to_owned(), parts);
        } else if let Some(Json::String(text)) = self.fields.get("content")
            && let Some(parts) = parts_in_text(text)
        {
            self.fields.insert("content".to_owned(), parts);
        }
        messages::message(&self.fields, role)
    }

    /// The same call may stand in `contents` and in `tool_calls`; it is one call.
    fn calls_not_in_contents(&mut self) -> Vec<Json> {
        let ids = self.contents.values().filter_map(|part| part.get("id").and_then(Json::as_str));
        let ids: HashSet<&str> = ids.collect();
        let is_new = |call: &Object| match call.get("id").and_then(Json::as_str) {
            Some(id) => !ids.contains(id),
            None => true,
        };
        let calls = std::mem::take(&mut self.tool_calls);
        let mut calls: Vec<Json> = calls.into_values().filter(is_new).map(Json::Object).collect();
        if let Some(name) = self.fields.shift_remove("function_call_name") {
            let mut call = Object::new();
            call.insert("name".to_owned(), name);
            if let Some(arguments) = self.fields.shift_remove("function_call_arguments_json") {
                call.insert("arguments".to_owned(), arguments);
            }
            calls.push(Json::Object(call));
        }
        calls
    }
}

/// `tool_call.function.name` and `message_content.text` without what stands before the last name.
fn leaf(rest: &str) -> &str {
    ["message_content.", "tool_call.", "function."]
        .iter()
        .fold(rest, |rest, layer| rest.strip_prefix(layer).unwrap_or(rest))
}

/// One entry of `contents`, in a form that [`messages::part`] knows.
fn content_part(mut part: Object) -> Json {
    if let Some(url) = part.shift_remove("image.image.url") {
        part.insert("type".to_owned(), Json::from("image"));
        part.insert("uri".to_owned(), url);
    } else if part.contains_key("name") {
        part.insert("type".to_owned(), Json::from("tool_call"));
    }
    Json::Object(part)
}

/// The parts of a message that were written as JSON where its text belongs; `None` for any other
/// text, which may be JSON for reasons of its own.
fn parts_in_text(text: &str) -> Option<Json> {
    if !text.starts_with("[{") {
        return None;
    }
    let json = parse_or_text(text);
    let parts = messages::content_parts(&json);
    let all_known = !parts.iter().any(|part| matches!(part, Part::Other { .. }));
    (json.is_array() && all_known).then_some(json)
}
