//! What is said, in the shape of OpenTelemetry's GenAI messages.

use std::borrow::Cow;

use serde_json::{Value as Json, json};

use super::draft::{Room, ToolCall};
use crate::json::{Kind, Value};

/// An object of parts that exist already.
fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(crate) fn text(text: &str) -> Json {
    json!({"type": "text", "content": text})
}

pub(super) fn reasoning(text: &str) -> Json {
    json!({"type": "reasoning", "content": text})
}

/// A call of a tool. Its arguments are JSON unless they were cut.
pub(super) fn tool_call(id: Option<String>, name: String, arguments: &str) -> Json {
    let arguments = match arguments {
        "" => Json::Null,
        text => serde_json::from_str(text).unwrap_or_else(|_| Json::from(text)),
    };
    call(id, Some(name), arguments)
}

fn call(id: Option<String>, name: Option<String>, arguments: Json) -> Json {
    object([
        ("type", Json::from("tool_call")),
        ("id", Json::from(id)),
        ("name", Json::from(name.unwrap_or_default())),
        ("arguments", arguments),
    ])
}

fn tool_response(id: Option<String>, response: Json) -> Json {
    let kind = Json::from("tool_call_response");
    object([("type", kind), ("id", Json::from(id)), ("response", response)])
}

/// A message of whoever.
pub(crate) fn message(role: &str, parts: Vec<Json>) -> Json {
    object([("role", Json::from(role)), ("parts", Json::Array(parts))])
}

pub(crate) fn output_message(parts: Vec<Json>, finish_reason: &str) -> Json {
    let mut message = message("assistant", parts);
    message["finish_reason"] = Json::from(finish_reason);
    message
}

/// Whether the arguments of a call are complete.
pub(super) fn is_complete(arguments: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(arguments).is_ok()
}

/// The call of a tool that a part is.
pub(super) fn as_tool_call(part: &Json) -> Option<ToolCall> {
    let text = |name: &str| part.get(name).and_then(Json::as_str).map(str::to_owned);
    (part["type"] == "tool_call").then(|| ToolCall {
        id: text("id"),
        name: text("name").unwrap_or_default(),
        arguments: match &part["arguments"] {
            Json::Null => String::new(),
            Json::String(text) => text.clone(),
            arguments => arguments.to_string(),
        },
    })
}

/// The string at a name.
fn string(value: Value<'_>, name: &str) -> Option<String> {
    value.get(name)?.as_text().map(Cow::into_owned)
}

/// The string at a name, as far as there is room for it.
fn fitting(value: Value<'_>, name: &str, room: &mut Room) -> Option<String> {
    let text = value.get(name)?.as_text()?;
    Some(room.fit(&text).to_owned())
}

/// A value as it is, or as much of its text as there is room for.
pub(crate) fn as_it_is(value: Value<'_>, room: &mut Room) -> Json {
    if !room.take(value.literal.len()) {
        return Json::from(room.fit(value.literal));
    }
    serde_json::from_str(value.literal).unwrap_or(Json::Null)
}

/// A string that may hold JSON, or a value: arguments and results come either way.
fn arguments(value: Option<Value<'_>>, room: &mut Room) -> Json {
    let Some(value) = value else { return Json::Null };
    match value.as_text() {
        Some(text) => {
            let text = room.fit(&text);
            serde_json::from_str(text).unwrap_or_else(|_| Json::from(text))
        }
        None => as_it_is(value, room),
    }
}

/// An image, sound or file. Its bytes are kept if there is room for all of them.
fn media(modality: &str, mime_type: Option<&str>, source: Source<'_>, room: &mut Room) -> Json {
    match source {
        Source::Bytes(data) => {
            let content = whole(data, room);
            json!({"type": "blob", "modality": modality, "mime_type": mime_type, "content": content})
        }
        Source::Uri(uri) => {
            let text = uri.as_text().unwrap_or_default();
            if let Some((head, _)) = text.split_once(";base64,") {
                let mime_type = head.strip_prefix("data:");
                let content = room.take(text.len()).then(|| &text[head.len() + 8..]);
                return json!({
                    "type": "blob", "modality": modality, "mime_type": mime_type,
                    "content": content,
                });
            }
            let uri = room.fit(&text);
            json!({"type": "uri", "modality": modality, "mime_type": mime_type, "uri": uri})
        }
        Source::File(id) => {
            let id = whole(id, room);
            json!({"type": "file", "modality": modality, "mime_type": mime_type, "file_id": id})
        }
    }
}

/// A string if there is room for all of it.
fn whole<'a>(value: Value<'a>, room: &mut Room) -> Option<Cow<'a, str>> {
    if room.take(value.literal.len()) { value.as_text() } else { None }
}

/// Where the bytes of a medium are.
#[derive(Clone, Copy)]
enum Source<'a> {
    Bytes(Value<'a>),
    Uri(Value<'a>),
    File(Value<'a>),
}

fn kind_of(value: Value<'_>) -> String {
    string(value, "type").unwrap_or_default()
}

/// The parts of a content that is a string or a list.
pub(super) fn parts(
    content: Value<'_>,
    room: &mut Room,
    part: fn(Value<'_>, &mut Room) -> Json,
) -> Vec<Json> {
    match content.as_text() {
        Some(whole) if whole.is_empty() => Vec::new(),
        Some(whole) => vec![text(room.fit(&whole))],
        None => content.elements().map(|element| part(element, room)).collect(),
    }
}

/// A part of a message of chat completions.
pub(super) fn chat_part(part: Value<'_>, room: &mut Room) -> Json {
    let inner = |name: &str, field: &str| part.get(name).and_then(|inner| inner.get(field));
    match &*kind_of(part) {
        "text" => text(&fitting(part, "text", room).unwrap_or_default()),
        "refusal" => text(&fitting(part, "refusal", room).unwrap_or_default()),
        "image_url" => match inner("image_url", "url").or_else(|| part.get("image_url")) {
            Some(url) => media("image", None, Source::Uri(url), room),
            None => as_it_is(part, room),
        },
        "input_audio" => match inner("input_audio", "data") {
            Some(data) => {
                let format = inner("input_audio", "format").and_then(|format| format.as_text());
                let mime_type = format.map(|format| format!("audio/{format}"));
                media("audio", mime_type.as_deref(), Source::Bytes(data), room)
            }
            None => as_it_is(part, room),
        },
        "file" => match (inner("file", "file_id"), inner("file", "file_data")) {
            (Some(id), _) => media("document", None, Source::File(id), room),
            (None, Some(data)) => media("document", None, Source::Uri(data), room),
            (None, None) => as_it_is(part, room),
        },
        _ => as_it_is(part, room),
    }
}

/// A call of a tool as chat completions and Ollama write it.
pub(super) fn chat_tool_call(given: Value<'_>, room: &mut Room) -> Json {
    let function = given.get("function").or_else(|| given.get("custom")).unwrap_or(given);
    let input = function.get("arguments").or_else(|| function.get("input"));
    let arguments = arguments(input, room);
    call(string(given, "id"), string(function, "name"), arguments)
}

/// The result of a tool.
pub(super) fn chat_tool_result(message: Value<'_>, room: &mut Room) -> Json {
    let id = string(message, "tool_call_id");
    let response = arguments(message.get("content"), room);
    tool_response(id, response)
}

/// A block of Anthropic's messages.
pub(super) fn messages_block(block: Value<'_>, room: &mut Room) -> Json {
    let kind = kind_of(block);
    match &*kind {
        "text" => text(&fitting(block, "text", room).unwrap_or_default()),
        "thinking" => reasoning(&fitting(block, "thinking", room).unwrap_or_default()),
        "tool_use" | "server_tool_use" | "mcp_tool_use" => {
            let arguments = arguments(block.get("input"), room);
            call(string(block, "id"), string(block, "name"), arguments)
        }
        "tool_result" => {
            let content = block.get("content");
            let response = match content {
                Some(content) if content.kind == Kind::Array => {
                    Json::Array(parts(content, room, messages_block))
                }
                content => arguments(content, room),
            };
            tool_response(string(block, "tool_use_id"), response)
        }
        "image" | "document" => match messages_source(block) {
            Some((mime_type, source)) => media(&kind, mime_type.as_deref(), source, room),
            None => as_it_is(block, room),
        },
        _ => as_it_is(block, room),
    }
}

fn messages_source(block: Value<'_>) -> Option<(Option<String>, Source<'_>)> {
    let source = block.get("source")?;
    let place = match &*kind_of(source) {
        "base64" => Source::Bytes(source.get("data")?),
        "url" => Source::Uri(source.get("url")?),
        "file" => Source::File(source.get("file_id")?),
        _ => return None,
    };
    Some((string(source, "media_type"), place))
}

/// A part of a message of responses.
pub(super) fn responses_part(part: Value<'_>, room: &mut Room) -> Json {
    match &*kind_of(part) {
        "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text" => {
            text(&fitting(part, "text", room).unwrap_or_default())
        }
        "refusal" => text(&fitting(part, "refusal", room).unwrap_or_default()),
        kind @ ("input_image" | "input_file") => {
            let modality = if kind == "input_image" { "image" } else { "document" };
            let uri = ["image_url", "file_url", "file_data"].iter().find_map(|it| part.get(it));
            match (part.get("file_id").filter(|id| !id.is_null()), uri) {
                (Some(id), _) => media(modality, None, Source::File(id), room),
                (None, Some(uri)) => media(modality, None, Source::Uri(uri), room),
                (None, None) => as_it_is(part, room),
            }
        }
        _ => as_it_is(part, room),
    }
}

/// The parts that an item of responses stands for.
pub(super) fn responses_item(item: Value<'_>, room: &mut Room) -> Vec<Json> {
    match &*kind_of(item) {
        "message" | "" => match item.get("content") {
            Some(content) => parts(content, room, responses_part),
            None => Vec::new(),
        },
        "reasoning" => {
            let texts = ["summary", "content"].into_iter().filter_map(|name| item.get(name));
            let texts: Vec<_> = texts.flat_map(|list| list.elements()).collect();
            texts
                .into_iter()
                .map(|part| reasoning(&fitting(part, "text", room).unwrap_or_default()))
                .collect()
        }
        "function_call" | "custom_tool_call" => {
            let given = item.get("arguments").or_else(|| item.get("input"));
            let arguments = arguments(given, room);
            vec![call(string(item, "call_id"), string(item, "name"), arguments)]
        }
        "function_call_output" | "custom_tool_call_output" => {
            let response = arguments(item.get("output"), room);
            vec![tool_response(string(item, "call_id"), response)]
        }
        _ => vec![as_it_is(item, room)],
    }
}

/// A part of Gemini's contents.
pub(super) fn gemini_part(part: Value<'_>, room: &mut Room) -> Json {
    let camel_or_snake = |camel: &str, snake: &str| part.get(camel).or_else(|| part.get(snake));
    if let Some(content) = fitting(part, "text", room) {
        let is_thought = part.get("thought").and_then(|it| it.as_bool()) == Some(true);
        return if is_thought { reasoning(&content) } else { text(&content) };
    }
    if let Some(function) = camel_or_snake("functionCall", "function_call") {
        let arguments = arguments(function.get("args"), room);
        return call(string(function, "id"), string(function, "name"), arguments);
    }
    if let Some(result) = camel_or_snake("functionResponse", "function_response") {
        let id = string(result, "id").or_else(|| string(result, "name"));
        let response = arguments(result.get("response"), room);
        return tool_response(id, response);
    }
    let data = camel_or_snake("inlineData", "inline_data");
    let file = camel_or_snake("fileData", "file_data");
    let Some(outer) = data.or(file) else { return as_it_is(part, room) };
    let mime_type = string(outer, "mimeType").or_else(|| string(outer, "mime_type"));
    let modality = mime_type.as_deref().and_then(|it| it.split('/').next()).unwrap_or("document");
    let uri = outer.get("fileUri").or_else(|| outer.get("file_uri"));
    match (outer.get("data"), uri) {
        (Some(data), _) => media(modality, mime_type.as_deref(), Source::Bytes(data), room),
        (None, Some(uri)) => media(modality, mime_type.as_deref(), Source::Uri(uri), room),
        (None, None) => as_it_is(part, room),
    }
}

/// A block of Bedrock's messages.
pub(super) fn converse_block(block: Value<'_>, room: &mut Room) -> Json {
    let Some((name, value)) = block.members().next() else { return as_it_is(block, room) };
    match &*name {
        "text" => text(room.fit(&value.as_text().unwrap_or_default())),
        "reasoningContent" => {
            let inner = value.get("reasoningText").unwrap_or(value);
            reasoning(&fitting(inner, "text", room).unwrap_or_default())
        }
        "toolUse" => {
            let arguments = arguments(value.get("input"), room);
            call(string(value, "toolUseId"), string(value, "name"), arguments)
        }
        "toolResult" => {
            let response = match value.get("content") {
                Some(content) => Json::Array(parts(content, room, converse_block)),
                None => Json::Null,
            };
            tool_response(string(value, "toolUseId"), response)
        }
        "json" => as_it_is(value, room),
        modality @ ("image" | "document" | "video" | "audio") => {
            let bytes = value.get("source").and_then(|source| source.get("bytes"));
            match bytes {
                Some(bytes) => {
                    let format =
                        string(value, "format").map(|format| format!("{modality}/{format}"));
                    media(modality, format.as_deref(), Source::Bytes(bytes), room)
                }
                None => as_it_is(block, room),
            }
        }
        _ => as_it_is(block, room),
    }
}
