//! Ollama's chat.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::draft::{Draft, Key, set};
use super::usage::Count;
use super::{ProviderError, Seen, content};
use crate::json::Value;

static TELLING: LazyLock<[Finder<'static>; 2]> =
    LazyLock::new(|| [Finder::new("\"done\":true"), Finder::new("\"error\"")]);

/// Takes in a line.
pub(super) fn event(draft: &mut Draft, data: &str) -> Seen {
    let is_bare = || {
        data.contains("\"done\":false")
            && TELLING.iter().all(|name| name.find(data.as_bytes()).is_none())
    };
    if draft.has_content && !draft.captures() && is_bare() {
        return Seen::Content;
    }
    let Some(object) = Value::object(data) else {
        return Seen::Other;
    };
    let line = read(draft, object);
    if object.get("error").is_some_and(|error| !error.is_null()) {
        let error = ProviderError::of_object(object);
        return draft.fail(error.unwrap_or_else(ProviderError::truncated).or_kind("error"));
    }
    if line.is_done {
        draft.is_complete = true;
        return Seen::End;
    }
    if line.has_content { Seen::Content } else { draft.silent() }
}

/// Takes in a whole answer.
pub(super) fn body(draft: &mut Draft, object: Value<'_>) {
    read(draft, object);
    if object.get("error").is_some_and(|error| !error.is_null()) {
        draft.error = ProviderError::of_object(object).map(|error| error.or_kind("error"));
    }
}

#[derive(Default)]
struct Line {
    has_content: bool,
    is_done: bool,
}

fn read(draft: &mut Draft, object: Value<'_>) -> Line {
    let mut line = Line::default();
    for (key, value) in object.members() {
        match &*key {
            "model" => set(&mut draft.model, value),
            "message" => line.has_content |= message(draft, value),
            "response" => line.has_content |= text(draft, value),
            "done" => line.is_done = value.as_bool() == Some(true),
            "done_reason" => draft.finish_as(0, value),
            "prompt_eval_count" => draft.counts.take(Count::Input, value),
            "eval_count" => draft.counts.take(Count::Output, value),
            "embeddings" => {
                let first = value.elements().next();
                draft.dimensions = first.map(|vector| vector.elements().count() as u64);
            }
            _ => {}
        }
    }
    line
}

fn message(draft: &mut Draft, message: Value<'_>) -> bool {
    let mut has_content = false;
    draft.choice(0);
    for (key, value) in message.members() {
        has_content |= match &*key {
            "content" => text(draft, value),
            "thinking" => match value.as_words() {
                Some(text) => {
                    draft.reasoning(0, Key::Reasoning, &text);
                    true
                }
                None => false,
            },
            "tool_calls" => {
                // Every call comes whole, and all of them may say that they are the first.
                value.elements().for_each(|call| {
                    draft.parts(0, |room| [content::chat_tool_call(call, room)]);
                });
                value.is_filled()
            }
            _ => false,
        };
    }
    has_content
}

fn text(draft: &mut Draft, value: Value<'_>) -> bool {
    let Some(text) = value.as_words() else { return false };
    draft.text(0, Key::Text, &text);
    true
}
