//! Anthropic's messages.

use super::draft::{Draft, Key, set};
use super::usage::Count;
use super::{ProviderError, Seen, content};
use crate::json::Value;

/// Takes in an event.
pub(super) fn event(draft: &mut Draft, event: Option<&str>, data: &str) -> Seen {
    if event == Some("content_block_delta") && draft.has_content && !draft.captures() {
        return Seen::Content;
    }
    let Some(object) = Value::object(data) else {
        return Seen::Other;
    };
    let kind = object.get("type").and_then(|kind| kind.as_text());
    match kind.as_deref().or(event) {
        Some("message_start") => {
            if let Some(message) = object.get("message") {
                read(draft, message);
            }
            draft.silent()
        }
        Some("content_block_start") => start(draft, object),
        Some("content_block_delta") => delta(draft, object),
        Some("message_delta") => {
            read(draft, object);
            if let Some(delta) = object.get("delta") {
                read(draft, delta);
            }
            draft.silent()
        }
        Some("message_stop") => {
            draft.is_complete = true;
            Seen::End
        }
        Some("error") => {
            let error = ProviderError::of_object(object);
            draft.fail(error.unwrap_or_else(|| ProviderError::new("error", None, "")))
        }
        Some("ping") => draft.silent(),
        _ => Seen::Other,
    }
}

/// Takes in a whole answer.
pub(super) fn body(draft: &mut Draft, object: Value<'_>) {
    read(draft, object);
    if !draft.captures() {
        return;
    }
    for block in object.get("content").iter().flat_map(Value::elements) {
        draft.parts(0, |room| [content::messages_block(block, room)]);
    }
}

/// The members of a message, and of what changes it.
fn read(draft: &mut Draft, message: Value<'_>) {
    for (key, value) in message.members() {
        match &*key {
            "id" => set(&mut draft.id, value),
            "model" => set(&mut draft.model, value),
            "role" => {
                draft.choice(0);
            }
            "stop_reason" => draft.finish_as(0, value),
            "usage" => usage(draft, value),
            "error" if !value.is_null() => draft.error = ProviderError::of_object(message),
            _ => {}
        }
    }
}

fn usage(draft: &mut Draft, usage: Value<'_>) {
    for (key, value) in usage.members() {
        let count = match &*key {
            "input_tokens" => Count::Input,
            "output_tokens" => Count::Output,
            "cache_read_input_tokens" => Count::CacheRead,
            "cache_creation_input_tokens" => Count::CacheWrite,
            "cache_creation" => {
                value.members().for_each(|(key, value)| cache_creation(draft, &key, value));
                continue;
            }
            "output_tokens_details" => {
                if let Some(value) = value.get("thinking_tokens") {
                    draft.counts.take(Count::Reasoning, value);
                }
                continue;
            }
            "service_tier" => {
                set(&mut draft.service_tier, value);
                continue;
            }
            _ => continue,
        };
        draft.counts.take(count, value);
    }
}

/// What was written to a cache for how long.
fn cache_creation(draft: &mut Draft, key: &str, tokens: Value<'_>) {
    match key {
        "ephemeral_5m_input_tokens" => draft.counts.take(Count::CacheWrite5m, tokens),
        "ephemeral_1h_input_tokens" => draft.counts.take(Count::CacheWrite1h, tokens),
        _ => {}
    }
}

/// The start of a block: of a call its name, of anything else mostly nothing.
fn start(draft: &mut Draft, object: Value<'_>) -> Seen {
    let key = block_key(object);
    let Some(block) = object.get("content_block") else {
        return draft.silent();
    };
    let text = |name: &str| block.get(name).and_then(|value| value.as_words());
    match block.get("type").and_then(|kind| kind.as_text()).as_deref() {
        Some("tool_use" | "server_tool_use" | "mcp_tool_use") => {
            let id = text("id");
            draft.tool(0, key, id.as_deref(), &text("name").unwrap_or_default());
            if let Some(input) = block.get("input").filter(Value::is_filled) {
                draft.arguments(0, key, input.literal);
            }
            Seen::Content
        }
        Some("text") => match text("text") {
            Some(text) => {
                draft.text(0, key, &text);
                Seen::Content
            }
            None => draft.silent(),
        },
        Some("thinking") => match text("thinking") {
            Some(text) => {
                draft.reasoning(0, key, &text);
                Seen::Content
            }
            None => draft.silent(),
        },
        _ => {
            draft.parts(0, |room| [content::messages_block(block, room)]);
            Seen::Content
        }
    }
}

fn delta(draft: &mut Draft, object: Value<'_>) -> Seen {
    let key = block_key(object);
    let mut seen = Seen::Other;
    for (name, value) in object.get("delta").iter().flat_map(Value::members) {
        let Some(text) = value.as_text() else { continue };
        match &*name {
            "text" => draft.text(0, key, &text),
            "thinking" => draft.reasoning(0, key, &text),
            "partial_json" => draft.arguments(0, key, &text),
            _ => continue,
        }
        if !text.is_empty() {
            seen = Seen::Content;
        }
    }
    seen
}

fn block_key(object: Value<'_>) -> Key {
    Key::Block(object.get("index").and_then(|index| index.as_u64()).unwrap_or(0))
}
