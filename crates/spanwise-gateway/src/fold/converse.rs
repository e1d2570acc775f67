//! Bedrock's `converse` and `converse-stream`.

use super::draft::{Draft, Key, set};
use super::usage::Count;
use super::{ProviderError, Seen, content};
use crate::json::Value;

/// Takes in an event.
pub(super) fn event(draft: &mut Draft, event: Option<&str>, data: &str) -> Seen {
    let name = event.unwrap_or_default();
    if name == "contentBlockDelta" && draft.has_content && !draft.captures() {
        return Seen::Content;
    }
    let Some(object) = Value::object(data) else {
        return Seen::Other;
    };
    match name {
        "messageStart" => {
            draft.choice(0);
            draft.silent()
        }
        "contentBlockStart" => start(draft, object),
        "contentBlockDelta" => delta(draft, object),
        "messageStop" => {
            read(draft, object);
            draft.is_complete = true;
            draft.silent()
        }
        "metadata" => {
            read(draft, object);
            Seen::End
        }
        _ if name.ends_with("Exception") => {
            draft.fail(ProviderError::of_exception(event, data.as_bytes()))
        }
        _ => Seen::Other,
    }
}

/// Takes in a whole answer.
pub(super) fn body(draft: &mut Draft, object: Value<'_>) {
    read(draft, object);
    if !draft.captures() {
        return;
    }
    let message = object.get("output").and_then(|output| output.get("message"));
    let blocks = message.and_then(|message| message.get("content"));
    for block in blocks.iter().flat_map(Value::elements) {
        draft.parts(0, |room| [content::converse_block(block, room)]);
    }
}

fn read(draft: &mut Draft, object: Value<'_>) {
    for (key, value) in object.members() {
        match &*key {
            "stopReason" => draft.finish_as(0, value),
            "usage" => usage(draft, value),
            "serviceTier" => {
                if let Some(tier) = value.get("type") {
                    set(&mut draft.service_tier, tier);
                }
            }
            _ => {}
        }
    }
}

fn usage(draft: &mut Draft, usage: Value<'_>) {
    for (key, value) in usage.members() {
        let count = match &*key {
            "inputTokens" => Count::Input,
            "outputTokens" => Count::Output,
            "totalTokens" => Count::Total,
            "cacheReadInputTokens" => Count::CacheRead,
            "cacheWriteInputTokens" => Count::CacheWrite,
            "cacheDetails" => {
                value.elements().for_each(|detail| cache_detail(draft, detail));
                continue;
            }
            _ => continue,
        };
        draft.counts.take(count, value);
    }
}

/// What was written to a cache for how long.
fn cache_detail(draft: &mut Draft, detail: Value<'_>) {
    let Some(tokens) = detail.get("inputTokens") else { return };
    match detail.get("ttl").and_then(|ttl| ttl.as_text()).as_deref() {
        Some("5m") => draft.counts.take(Count::CacheWrite5m, tokens),
        Some("1h") => draft.counts.take(Count::CacheWrite1h, tokens),
        _ => {}
    }
}

fn start(draft: &mut Draft, object: Value<'_>) -> Seen {
    let tool = object.get("start").and_then(|start| start.get("toolUse"));
    let Some(tool) = tool else { return draft.silent() };
    let text = |name: &str| tool.get(name).and_then(|value| value.as_words());
    let id = text("toolUseId");
    draft.tool(0, block_key(object), id.as_deref(), &text("name").unwrap_or_default());
    Seen::Content
}

fn delta(draft: &mut Draft, object: Value<'_>) -> Seen {
    let key = block_key(object);
    let mut seen = Seen::Other;
    for (name, value) in object.get("delta").iter().flat_map(Value::members) {
        let text = match &*name {
            "text" => Some(value),
            "toolUse" => value.get("input"),
            "reasoningContent" => value.get("text"),
            _ => None,
        };
        let Some(text) = text.and_then(|text| text.as_words()) else { continue };
        match &*name {
            "text" => draft.text(0, key, &text),
            "toolUse" => draft.arguments(0, key, &text),
            _ => draft.reasoning(0, key, &text),
        }
        seen = Seen::Content;
    }
    seen
}

fn block_key(object: Value<'_>) -> Key {
    Key::Block(object.get("contentBlockIndex").and_then(|it| it.as_u64()).unwrap_or(0))
}
