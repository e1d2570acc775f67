//! The start of what was last said, for lists. Computed for every span that is taken in, so it
//! parses no more than it must.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use spanwise_model::genai::{Message, Operation, PREVIEW_CHARS, Part};
use spanwise_model::{Str, Value};

use super::events::{self, MessageEvent};
use super::reading::{Flat, Found, LOOK_BYTES, Reading, parse_or_text, parse_value, to_json};
use super::table::{Field, Shape, Side};
use super::{json_array, messages};

/// Values longer than this are shown as they start, not searched for messages.
const SMALL_VALUE_BYTES: usize = 64 << 10;

/// Looking for the last text of a role, this many messages without text (images, answers of tools)
/// are passed over.
const MAX_SILENT_MESSAGES: usize = 16;

/// The start of a text, and whether it is a message.
#[derive(Debug, Default, PartialEq)]
pub struct Preview {
    pub text: Str,
    pub is_message: bool,
}

/// The preview of one side of a span.
pub fn of(reading: &Reading<'_>, side: Side, operation: Option<Operation>) -> Preview {
    if operation == Some(Operation::Tool) {
        let field = if side == Side::Input { Field::ToolArguments } else { Field::ToolResult };
        return reading.value(field).map(of_value).unwrap_or_default();
    }
    if operation == Some(Operation::Embedding) && side == Side::Output {
        return Preview::default();
    }
    let mut has_messages = false;
    for found in reading.sources(side) {
        let preview = match found.source.shape {
            Shape::Messages => last_message(found.value, side).map(message_preview),
            Shape::Flattened => last_flattened(&found, side),
            // A span whose messages have no text (a model that only called tools) is not shown by
            // the raw JSON beside them.
            Shape::Text | Shape::Value if has_messages => None,
            Shape::Text | Shape::Value => Some(of_text_or_value(&found, side, operation)),
        };
        if let Some(preview) = preview.filter(|preview| !preview.text.is_empty()) {
            return preview;
        }
        has_messages |= matches!(found.source.shape, Shape::Messages | Shape::Flattened);
    }
    of_events(reading, side).unwrap_or_default()
}

fn of_text_or_value(found: &Found<'_, '_>, side: Side, operation: Option<Operation>) -> Preview {
    if let Some(embedded) = embedded_message(found.value, side) {
        return embedded;
    }
    let is_call = matches!(operation, Some(Operation::Chat | Operation::Completion));
    let is_message = is_call && found.source.shape == Shape::Text;
    Preview { is_message, ..of_value(found.value) }
}

fn of_events(reading: &Reading<'_>, side: Side) -> Option<Preview> {
    let events: Vec<_> = reading.span.events.iter().filter_map(MessageEvent::of_event).collect();
    of_message_events(events, side)
}

/// The preview of what events or log records say.
pub fn of_message_events(events: Vec<MessageEvent<'_>>, side: Side) -> Option<Preview> {
    if events.is_empty() {
        return None;
    }
    events::conversations(events).into_iter().find_map(|(_, conversation)| {
        let messages = if side == Side::Input { conversation.input } else { conversation.output };
        last_text(&messages, side).map(message_preview)
    })
}

fn message_preview(text: String) -> Preview {
    Preview { text: shorten(&text.into()), is_message: true }
}

/// The role whose text is shown.
fn role(side: Side) -> &'static str {
    if side == Side::Input { "user" } else { "assistant" }
}

fn last_text(messages: &[Message], side: Side) -> Option<String> {
    let of_role = messages.iter().rev().filter(|message| message.role == role(side));
    of_role.map(messages::texts).find(|text| !text.is_empty())
}

/// As much of a message as decides whether it is worth parsing.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    parts: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

/// The finish reasons that an array of messages tells, in order.
pub fn finish_reasons(value: &Value) -> Vec<Str> {
    let Value::String(text) = value else { return Vec::new() };
    let reasons = json_array::within(text, LOOK_BYTES).filter_map(|element| {
        let head: Head<'_> = serde_json::from_str(element).ok()?;
        head.finish_reason.filter(|reason| !reason.is_empty()).map(|reason| Str::from(&*reason))
    });
    let mut reasons: Vec<Str> = reasons.collect();
    reasons.reverse();
    reasons
}

/// The last text of the side's role in an array of messages.
fn last_message(value: &Value, side: Side) -> Option<String> {
    let Value::String(text) = value else {
        return last_text(&messages::messages(&to_json(value), role(side))?, side);
    };
    let mut elements = json_array::within(text, LOOK_BYTES).peekable();
    if elements.peek().is_some() {
        return elements.find_map(|element| text_of_element(element, side));
    }
    last_text(&messages::messages(&parse_or_text(text), role(side))?, side)
}

fn text_of_element(element: &str, side: Side) -> Option<String> {
    if let Ok(head) = serde_json::from_str::<Head<'_>>(element)
        && let Some(of_message) = head.role
    {
        if messages::canonical_role(&of_message) != role(side) {
            return None;
        }
        if let Some(text) = sole_text(head.parts.or(head.content)?) {
            return Some(text);
        }
    }
    let json: Json = serde_json::from_str(element).ok()?;
    last_text(&messages::messages(&json, role(side))?, side)
}

/// The text of the commonest contents: a string, or one part of type text.
fn sole_text(content: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct TextPart<'a> {
        #[serde(borrow)]
        r#type: Cow<'a, str>,
        content: String,
    }
    if content.get().starts_with('"') {
        return serde_json::from_str(content.get()).ok().filter(|text: &String| !text.is_empty());
    }
    let [part]: [TextPart<'_>; 1] = serde_json::from_str(content.get()).ok()?;
    (part.r#type == "text" && !part.content.is_empty()).then_some(part.content)
}

/// The last text of the side's role among flattened keys.
fn last_flattened(found: &Found<'_, '_>, side: Side) -> Option<Preview> {
    let flats = found.flats();
    let has_roles = flats.clone().any(|flat| flat.rest == "role");
    let is_ours = |flat: &Flat<'_>| {
        let role_is_ours = flat.rest == "role"
            && flat.value.as_str().is_some_and(|r| messages::canonical_role(r) == role(side));
        role_is_ours || !has_roles
    };
    let mut below = u16::MAX;
    for _ in 0..MAX_SILENT_MESSAGES {
        let last =
            flats.clone().filter(|flat| flat.n < below && is_ours(flat)).map(|f| f.n).max()?;
        let text = flattened_text(flats.clone().filter(|flat| flat.n == last));
        if !text.is_empty() {
            return Some(Preview { text: shorten(&text), is_message: true });
        }
        below = last;
    }
    None
}

fn flattened_text<'a>(flats: impl Iterator<Item = Flat<'a>> + Clone) -> Str {
    let is_part =
        |rest: &str| rest.starts_with("contents.") && rest.ends_with(".message_content.text");
    let mut parts = flats.clone().filter(|flat| is_part(flat.rest)).peekable();
    if parts.peek().is_some() {
        let texts: Vec<&str> = parts.filter_map(|flat| flat.value.as_str()).collect();
        return texts.join("\n").into();
    }
    let mut plain = flats
        .filter(|flat| matches!(flat.rest, "content" | "prompt.text" | "completion.text"))
        .filter_map(|flat| match flat.value {
            Value::String(text) => Some(text.clone()),
            _ => None,
        });
    let Some(text) = plain.next() else { return Str::new() };
    // Some instrumentations put the parts of a message there as JSON.
    if text.starts_with("[{") {
        let parts = messages::content_parts(&parse_or_text(&text));
        let joined = messages::texts(&Message { parts, ..Message::default() });
        if !joined.is_empty() {
            return joined.into();
        }
    }
    text
}

/// The last text inside a provider's request or response: of the side's role, else of any.
fn embedded_message(value: &Value, side: Side) -> Option<Preview> {
    let may_hold_messages = match value {
        Value::String(text) => text.len() <= SMALL_VALUE_BYTES && text.starts_with(['{', '[']),
        Value::Map(_) | Value::Array(_) => true,
        _ => false,
    };
    let json = may_hold_messages.then(|| parse_value(value))?;
    let found = messages::embedded_messages(&json, role(side))?;
    if let Some(text) = last_text(&found, side) {
        return Some(message_preview(text));
    }
    let any = found.iter().rev().map(any_text).find(|text| !text.is_empty())?;
    Some(Preview { text: shorten(&any.into()), is_message: false })
}

/// The texts of a message, or what a tool answered.
fn any_text(message: &Message) -> String {
    let result = message.parts.iter().rev().find_map(|part| match part {
        Part::ToolResult { result: Json::String(text), .. } => Some(text.clone()),
        Part::ToolResult { result, .. } => Some(result.to_string()),
        _ => None,
    });
    result.unwrap_or_else(|| messages::texts(message))
}

/// The start of a value that is no message.
fn of_value(value: &Value) -> Preview {
    let text = match value {
        Value::String(text) if is_framed(text) && text.len() <= SMALL_VALUE_BYTES => readable(text),
        Value::String(text) => text.clone(),
        other => to_json(other).to_string().into(),
    };
    Preview { text: shorten(&text), is_message: false }
}

/// Whether a text is worth parsing, because what is inside it reads better.
fn is_framed(text: &str) -> bool {
    text.starts_with(['"', '{'])
}

/// Text without its quotes, the arguments of a decorated function without their frame, the answer
/// of a tool without its envelope; other text as it is.
fn readable(text: &Str) -> Str {
    let json = parse_or_text(text);
    let inner = messages::tool_answer(messages::call_arguments(json.clone()));
    match inner {
        Json::String(inner) => inner.into(),
        Json::Array(mut items) if items.len() == 1 => match items.remove(0) {
            Json::String(only) => only.into(),
            other => other.to_string().into(),
        },
        Json::Object(fields) if fields.is_empty() => Str::new(),
        inner if inner == json => text.clone(),
        inner => inner.to_string().into(),
    }
}

/// The first [`PREVIEW_CHARS`] characters, without leading white space. A slice of the text it came
/// from, so that nothing is copied.
fn shorten(text: &Str) -> Str {
    let trimmed = text.trim_start();
    let short = match trimmed.char_indices().nth(PREVIEW_CHARS) {
        Some((end, _)) => &trimmed[..end],
        None => trimmed.trim_end(),
    };
    if short.len() == text.len() { text.clone() } else { text.slice_ref(short) }
}
