//! What a request says, in the shape of OpenTelemetry's GenAI messages.

use serde_json::Value as Json;

use super::draft::Room;
use super::{Capture, content};
use crate::dialect::Dialect;
use crate::json::{Kind, Value};
use crate::scan::RequestFacts;

/// The content of a request, each as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestContent {
    /// `gen_ai.input.messages`.
    pub input_messages: Option<String>,
    /// `gen_ai.system_instructions`.
    pub system_instructions: Option<String>,
    /// `gen_ai.tool.definitions`.
    pub tool_definitions: Option<String>,
    /// Whether there was more than is kept: of the messages, the oldest are missing.
    pub is_cut: bool,
}

/// The content of the request that the facts were read from.
pub fn request_content(
    dialect: Dialect,
    facts: &RequestFacts<'_>,
    body: &[u8],
    capture: Capture,
) -> RequestContent {
    if capture == Capture::NOTHING {
        return RequestContent::default();
    }
    let value = |range: &Option<std::ops::Range<usize>>| {
        let literal = body.get(range.clone()?)?;
        Value::first(simdutf8::basic::from_utf8(literal).ok()?)
    };
    let mut room = Room::new(capture);
    let system = value(&facts.system).map(|system| instructions(dialect, system, &mut room));
    let input = value(&facts.messages).map(|input| messages(dialect, input, &mut room));
    let tools = value(&facts.tools).map(|tools| definitions(tools, &mut room));
    let json = |list: Option<Vec<Json>>| {
        list.filter(|list| !list.is_empty()).map(|list| Json::Array(list).to_string())
    };
    RequestContent {
        input_messages: json(input),
        system_instructions: json(system),
        tool_definitions: json(tools),
        is_cut: room.is_cut,
    }
}

/// How the parts of a message are written.
fn part_of(dialect: Dialect) -> fn(Value<'_>, &mut Room) -> Json {
    match dialect {
        Dialect::Messages => content::messages_block,
        Dialect::Gemini => content::gemini_part,
        Dialect::Converse => content::converse_block,
        Dialect::Responses => content::responses_part,
        Dialect::Chat | Dialect::Ollama | Dialect::Embeddings => content::chat_part,
    }
}

fn instructions(dialect: Dialect, system: Value<'_>, room: &mut Room) -> Vec<Json> {
    let inner = system.get("parts").unwrap_or(system);
    content::parts(inner, room, part_of(dialect))
}

/// The messages, oldest first. The newest come to have their room first.
fn messages(dialect: Dialect, input: Value<'_>, room: &mut Room) -> Vec<Json> {
    if dialect == Dialect::Embeddings || input.kind == Kind::Text {
        return texts(input, room);
    }
    let given: Vec<_> = input.elements().collect();
    let mut messages = Vec::with_capacity(given.len());
    for value in given.into_iter().rev() {
        if room.is_cut {
            break;
        }
        messages.push(message(dialect, value, room));
    }
    messages.reverse();
    messages
}

/// Bare texts as a message of the user; tokens say nothing to a reader.
fn texts(input: Value<'_>, room: &mut Room) -> Vec<Json> {
    let whole = input.as_text().into_iter();
    let texts = whole.chain(input.elements().filter_map(|element| element.as_text()));
    let parts: Vec<_> = texts.map(|text| content::text(room.fit(&text))).collect();
    if parts.is_empty() { Vec::new() } else { vec![content::message("user", parts)] }
}

fn message(dialect: Dialect, message: Value<'_>, room: &mut Room) -> Json {
    let text = |name: &str| message.get(name).and_then(|value| value.as_words());
    let role = text("role");
    let name = text("name").filter(|_| dialect == Dialect::Chat);
    let parts = match dialect {
        Dialect::Responses => content::responses_item(message, room),
        Dialect::Gemini => list(message.get("parts"), room, content::gemini_part),
        Dialect::Messages | Dialect::Converse => {
            list(message.get("content"), room, part_of(dialect))
        }
        Dialect::Chat | Dialect::Ollama | Dialect::Embeddings => {
            chat_parts(message, role.as_deref(), room)
        }
    };
    let role = role.unwrap_or_else(|| default_role(&parts).into());
    // Gemini calls the assistant a model.
    let role = if role == "model" { "assistant".into() } else { role };
    let mut message = content::message(&role, parts);
    if let Some(name) = name {
        message["name"] = Json::from(name);
    }
    message
}

fn list(
    content: Option<Value<'_>>,
    room: &mut Room,
    part: fn(Value<'_>, &mut Room) -> Json,
) -> Vec<Json> {
    content.map(|content| content::parts(content, room, part)).unwrap_or_default()
}

/// Who speaks where an item does not say so.
fn default_role(parts: &[Json]) -> &'static str {
    match parts.first().and_then(|part| part["type"].as_str()) {
        Some("tool_call" | "reasoning") => "assistant",
        Some("tool_call_response") => "tool",
        _ => "user",
    }
}

fn chat_parts(message: Value<'_>, role: Option<&str>, room: &mut Room) -> Vec<Json> {
    if role == Some("tool") {
        return vec![content::chat_tool_result(message, room)];
    }
    let mut parts = Vec::new();
    let thoughts = ["reasoning_content", "reasoning", "thinking"];
    if let Some(text) = thoughts.iter().find_map(|name| message.get(name)?.as_words()) {
        parts.push(content::reasoning(room.fit(&text)));
    }
    parts.extend(list(message.get("content"), room, content::chat_part));
    for call in message.get("tool_calls").iter().flat_map(Value::elements) {
        parts.push(content::chat_tool_call(call, room));
    }
    parts
}

/// The tools, each as it was written: there are as many schemas as dialects.
fn definitions(tools: Value<'_>, room: &mut Room) -> Vec<Json> {
    let list = tools.get("tools").unwrap_or(tools);
    list.elements().map(|tool| content::as_it_is(tool, room)).collect()
}
