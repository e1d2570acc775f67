//! From the JSON shapes in which providers and frameworks write messages to one shape
//! (semconv §7.1).

use serde_json::{Map, Value as Json};
use spanwise_model::genai::{Message, Part};

/// Messages of a JSON value, whatever its form: an array of messages, one message, a provider's
/// request or response, text. `None` when there is nothing that looks like a message.
pub fn messages(json: &Json, role: &str) -> Option<Vec<Message>> {
    let found = match json {
        Json::Array(items) => items.iter().flat_map(|item| of_item(item, role)).collect(),
        Json::Object(object) => of_object(object, role)?,
        Json::String(text) if !text.is_empty() => vec![text_message(role, text.clone())],
        _ => Vec::new(),
    };
    (!found.is_empty()).then_some(found)
}

/// Messages inside a value that need not be one: a provider's request or response, or an array of
/// messages. Bare text and other JSON are no messages here.
pub fn embedded_messages(json: &Json, role: &str) -> Option<Vec<Message>> {
    match json {
        Json::Object(object) if is_envelope(object) || is_message(object) => {
            of_object(object, role)
        }
        Json::Array(items) => {
            let all_messages = items.iter().all(|item| match item {
                Json::Object(object) => is_message(object),
                Json::Array(inner) => {
                    inner.iter().all(|item| item.as_object().is_some_and(is_message))
                }
                _ => false,
            });
            if all_messages { messages(json, role) } else { command_messages(items, role) }
        }
        _ => None,
    }
    .filter(|found| !found.is_empty())
}

/// A message that is one text.
pub fn text_message(role: &str, text: String) -> Message {
    Message {
        role: role.to_owned(),
        parts: vec![Part::Text { content: text }],
        ..Message::default()
    }
}

/// Rule M1.
pub fn canonical_role(role: &str) -> &str {
    match role {
        "developer" => "system",
        "human" => "user",
        "ai" | "model" | "bot" => "assistant",
        "function" => "tool",
        other => other,
    }
}

fn of_item(item: &Json, role: &str) -> Vec<Message> {
    match item {
        Json::Object(object) => vec![message(object, role)],
        Json::String(text) => vec![text_message(role, text.clone())],
        // LangChain batches conversations.
        Json::Array(inner) => inner.iter().flat_map(|item| of_item(item, role)).collect(),
        _ => Vec::new(),
    }
}

fn is_envelope(object: &Map<String, Json>) -> bool {
    let is_array = |name: &str| object.get(name).is_some_and(Json::is_array);
    is_array("messages") || is_array("choices") || is_array("generations")
}

/// The messages of a LangGraph command: `[{"update":{"messages":[…]}}]`.
fn command_messages(items: &[Json], role: &str) -> Option<Vec<Message>> {
    let updates = items.iter().map(|item| item.get("update").and_then(Json::as_object));
    let mut found = Vec::new();
    for update in updates {
        found.extend(of_object(update.filter(|update| is_envelope(update))?, role)?);
    }
    Some(found)
}

fn is_message(object: &Map<String, Json>) -> bool {
    let has_content =
        ["content", "parts", "tool_calls", "kwargs"].iter().any(|name| object.contains_key(*name));
    has_content && role_of(object).is_some()
}

fn of_object(object: &Map<String, Json>, role: &str) -> Option<Vec<Message>> {
    if let Some(Json::Array(items)) = object.get("messages") {
        let system = object.get("system").filter(|system| !system.is_null());
        let system = system.map(|content| Message {
            role: "system".to_owned(),
            parts: content_parts(content),
            ..Message::default()
        });
        return Some(
            system.into_iter().chain(items.iter().flat_map(|i| of_item(i, role))).collect(),
        );
    }
    if let Some(Json::Array(choices)) = object.get("choices") {
        return Some(choices.iter().filter_map(|choice| of_choice(choice, role)).collect());
    }
    if let Some(Json::Array(generations)) = object.get("generations") {
        return Some(generations.iter().flat_map(|g| of_generation(g, role)).collect());
    }
    let is_message = role_of(object).is_some()
        || ["content", "parts", "tool_calls"].iter().any(|name| object.contains_key(*name));
    is_message.then(|| vec![message(object, role)])
}

/// One entry of OpenAI's `choices`.
fn of_choice(choice: &Json, role: &str) -> Option<Message> {
    let inner = choice.get("message").or_else(|| choice.get("delta"));
    let mut message = match (inner, choice.get("text")) {
        (Some(Json::Object(object)), _) => message(object, role),
        (_, Some(Json::String(text))) => text_message(role, text.clone()),
        _ => return None,
    };
    message.finish_reason = text_of(choice.get("finish_reason")).or(message.finish_reason);
    Some(message)
}

/// One entry of LangChain's `generations`, which may be lists of entries.
fn of_generation(generation: &Json, role: &str) -> Vec<Message> {
    if let Json::Array(inner) = generation {
        return inner.iter().flat_map(|inner| of_generation(inner, role)).collect();
    }
    let mut found = match (generation.get("message"), generation.get("text")) {
        (Some(Json::Object(object)), _) => message(object, role),
        (_, Some(Json::String(text))) => text_message(role, text.clone()),
        _ => return Vec::new(),
    };
    let reason = generation.get("generation_info").and_then(|info| info.get("finish_reason"));
    found.finish_reason = text_of(reason).or(found.finish_reason);
    vec![found]
}

/// One message of any known form.
pub fn message(object: &Map<String, Json>, default_role: &str) -> Message {
    if let Some(inner) = langchain_fields(object) {
        let role = role_of(object).unwrap_or(default_role);
        return message(inner, role);
    }
    let role = canonical_role(role_of(object).unwrap_or(default_role)).to_owned();
    let mut parts = Vec::new();
    if let Some(text) = text_of(object.get("reasoning_content")) {
        parts.push(Part::Reasoning { content: text });
    }
    match (object.get("parts"), object.get("content")) {
        (Some(Json::Array(items)), _) => parts.extend(items.iter().map(part)),
        (_, Some(content)) => parts.extend(content_parts(content)),
        _ => {}
    }
    if role == "tool" {
        answer_of_tool(object, &mut parts);
    }
    parts.extend(tool_calls(object));
    let finish_reason = text_of(object.get("finish_reason")).or_else(|| {
        text_of(object.get("response_metadata").and_then(|of| of.get("finish_reason")))
    });
    Message { role, name: text_of(object.get("name")), parts, finish_reason }
}

/// LangChain writes `{"lc":1,"id":[…,"HumanMessage"],"kwargs":{…}}` or `{"type":…,"data":{…}}`.
fn langchain_fields(object: &Map<String, Json>) -> Option<&Map<String, Json>> {
    let inner = match (object.get("kwargs"), object.get("data")) {
        (Some(kwargs), _) if object.contains_key("id") => kwargs,
        (_, Some(data)) if object.contains_key("type") => data,
        _ => return None,
    };
    inner.as_object()
}

fn role_of(object: &Map<String, Json>) -> Option<&str> {
    if let Some(role) = object.get("role").and_then(Json::as_str).filter(|role| !role.is_empty()) {
        return Some(role);
    }
    let class = object.get("id").and_then(Json::as_array).and_then(|path| path.last());
    if let Some(class) = class.and_then(Json::as_str) {
        let role = [("System", "system"), ("Human", "user"), ("AI", "assistant"), ("Tool", "tool")]
            .into_iter()
            .find(|(start, _)| class.starts_with(start) && class.contains("Message"));
        return role.map(|(_, role)| role);
    }
    object
        .get("type")
        .and_then(Json::as_str)
        .filter(|kind| matches!(*kind, "human" | "ai" | "system" | "tool" | "user" | "assistant"))
}

/// The text of a message of role tool is what the tool answered.
fn answer_of_tool(object: &Map<String, Json>, parts: &mut Vec<Part>) {
    let id = text_of(object.get("tool_call_id")).or_else(|| text_of(object.get("id")));
    for part in parts {
        if let Part::Text { content } = part {
            let result = super::reading::parse_or_text(content);
            *part = Part::ToolResult { id: id.clone(), result };
        }
    }
}

/// Calls beside the content: OpenAI's `tool_calls` and its older `function_call`.
fn tool_calls(object: &Map<String, Json>) -> Vec<Part> {
    let listed = match object.get("tool_calls") {
        Some(Json::Array(calls)) => calls.iter().map(tool_call).collect(),
        Some(Json::String(text)) => match serde_json::from_str(text) {
            Ok(Json::Array(calls)) => calls.iter().map(tool_call).collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    if listed.is_empty()
        && let Some(call) = object.get("function_call").filter(|call| call.is_object())
    {
        return vec![tool_call(call)];
    }
    listed
}

fn tool_call(call: &Json) -> Part {
    let function = call.get("function").unwrap_or(call);
    let first = |names: &[&str]| {
        names.iter().find_map(|name| function.get(*name).or_else(|| call.get(*name)))
    };
    Part::ToolCall {
        id: text_of(first(&["id", "call_id", "toolCallId", "toolUseId"])),
        name: text_of(first(&["name", "toolName"])).unwrap_or_default(),
        arguments: arguments(first(&["arguments", "args", "input"])),
    }
}

/// Rule M3: text that is an object becomes one; other text stays text.
pub fn arguments(value: Option<&Json>) -> Json {
    match value {
        Some(Json::String(text)) => match serde_json::from_str::<Json>(text) {
            Ok(parsed @ (Json::Object(_) | Json::Array(_))) => parsed,
            _ => Json::String(text.clone()),
        },
        Some(other) => other.clone(),
        None => Json::Null,
    }
}

/// The `content` of a message: text, a list of parts, or one part.
pub fn content_parts(content: &Json) -> Vec<Part> {
    match content {
        Json::Null => Vec::new(),
        Json::String(text) if text.is_empty() => Vec::new(),
        Json::Array(items) => items.iter().map(part).collect(),
        other => vec![part(other)],
    }
}

/// One part of any known form; what is not known is kept as it is (rule M2).
pub fn part(json: &Json) -> Part {
    let Json::Object(object) = json else {
        return match json {
            Json::String(text) => Part::Text { content: text.clone() },
            other => Part::Other { value: other.clone() },
        };
    };
    let text = |names: &[&str]| names.iter().find_map(|name| text_of(object.get(*name)));
    match object.get("type").and_then(Json::as_str) {
        Some("text" | "input_text" | "output_text") => match text(&["content", "text"]) {
            Some(content) => Part::Text { content },
            None => Part::Other { value: json.clone() },
        },
        Some("reasoning" | "thinking") => match text(&["content", "text", "thinking"]) {
            Some(content) => Part::Reasoning { content },
            None => Part::Other { value: json.clone() },
        },
        Some("tool_call" | "tool-call" | "tool_use" | "function_call" | "function") => {
            tool_call(json)
        }
        Some("tool_call_response" | "tool_result" | "tool-result" | "function_call_output") => {
            Part::ToolResult {
                id: text(&["id", "tool_call_id", "tool_use_id", "toolCallId", "call_id"]),
                // Rule M4.
                result: ["response", "result", "content", "output"]
                    .iter()
                    .find_map(|name| object.get(*name))
                    .cloned()
                    .unwrap_or_default(),
            }
        }
        Some(kind) => media(kind, object).unwrap_or_else(|| Part::Other { value: json.clone() }),
        None => untyped(object).unwrap_or_else(|| Part::Other { value: json.clone() }),
    }
}

/// Images, sounds and files, of OpenTelemetry, OpenAI and Anthropic.
fn media(kind: &str, object: &Map<String, Json>) -> Option<Part> {
    let modality = match kind {
        "blob" | "file" | "uri" => text_of(object.get("modality")).unwrap_or_default(),
        "image_url" | "image" | "input_image" => "image".to_owned(),
        "input_audio" | "audio" => "audio".to_owned(),
        "document" | "input_file" => "document".to_owned(),
        "video" => "video".to_owned(),
        _ => return None,
    };
    let mut fields = object.clone();
    fields.shift_remove("type");
    fields.shift_remove("modality");
    let url = match fields.get("image_url") {
        Some(Json::Object(inner)) => text_of(inner.get("url")),
        other => text_of(other),
    };
    if let Some(url) = url {
        fields.insert("uri".to_owned(), Json::String(url));
    }
    if let Some(Json::Object(source)) = fields.get("source").cloned() {
        for (theirs, ours) in [("media_type", "mime_type"), ("data", "content"), ("url", "uri")] {
            if let Some(value) = source.get(theirs) {
                fields.insert(ours.to_owned(), value.clone());
            }
        }
    }
    Some(Part::Media { modality, fields })
}

/// Gemini's and Bedrock's parts say what they are by the name of their field.
fn untyped(object: &Map<String, Json>) -> Option<Part> {
    if let Some(text) = text_of(object.get("text")).or_else(|| text_of(object.get("content"))) {
        return Some(Part::Text { content: text });
    }
    let calls = ["functionCall", "function_call", "toolUse"];
    if let Some(call) = calls.iter().find_map(|name| object.get(*name)) {
        return Some(tool_call(call));
    }
    let answers = ["functionResponse", "function_response", "toolResult"];
    let answer = answers.iter().find_map(|name| object.get(*name))?;
    Some(Part::ToolResult {
        id: text_of(answer.get("id")).or_else(|| text_of(answer.get("toolUseId"))),
        result: answer.get("response").or_else(|| answer.get("content"))?.clone(),
    })
}

fn text_of(json: Option<&Json>) -> Option<String> {
    json.and_then(Json::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// What a decorated function was called with: `{"args":[…],"kwargs":{…}}` with one side empty
/// shows the other.
pub fn call_arguments(json: Json) -> Json {
    let Json::Object(object) = &json else { return json };
    let (Some(Json::Array(args)), Some(Json::Object(kwargs))) =
        (object.get("args"), object.get("kwargs"))
    else {
        return json;
    };
    if object.len() != 2 {
        return json;
    }
    match (args.as_slice(), kwargs.is_empty()) {
        ([], _) => Json::Object(kwargs.clone()),
        (_, true) => Json::Array(args.clone()),
        _ => json,
    }
}

/// What a tool answered, when it stands in LangChain's envelope of a tool message.
pub fn tool_answer(json: Json) -> Json {
    let envelope = json.as_object().and_then(langchain_fields);
    let is_tool = json.as_object().and_then(role_of) == Some("tool");
    let content = envelope.filter(|_| is_tool).and_then(|fields| fields.get("content"));
    content.cloned().unwrap_or(json)
}

/// The texts of a message, without reasoning, calls and media.
pub fn texts(message: &Message) -> String {
    let mut joined = String::new();
    for part in &message.parts {
        if let Part::Text { content } = part {
            if !joined.is_empty() {
                joined.push('\n');
            }
            joined.push_str(content);
        }
    }
    joined
}

#[cfg(test)]
mod tests;
