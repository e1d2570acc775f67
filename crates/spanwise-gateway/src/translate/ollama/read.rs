//! An Ollama request, read.

use super::super::conversation::{
    Arguments, Call, Conversation, Effort, Format, Media, Part, Role, Schema, Source, Thought,
    Tool, ToolResult, Turn,
};
use super::super::fields::{flag, list, number, text, texts};
use super::super::json::{Node, Text};
use super::super::{Notes, Untranslatable};

/// Reads a request.
pub fn read_request<'a>(
    root: &Node<'a>,
    notes: &mut Notes,
) -> Result<Conversation<'a>, Untranslatable> {
    // Ollama streams unless it is told not to.
    let mut conversation = Conversation { stream: true, ..Conversation::default() };
    for (key, value) in root.fields().filter(|(_, value)| !value.is_null()) {
        match key {
            "model" => {}
            "messages" => {
                for message in list("messages", value)? {
                    read_message(message, &mut conversation, notes)?;
                }
            }
            "stream" => conversation.stream = flag(key, value)?.unwrap_or(true),
            "tools" => {
                for tool in list("tools", value)? {
                    conversation.tools.push(read_tool(tool)?);
                }
            }
            "format" => conversation.format = read_format(value),
            "options" => read_options(value, &mut conversation, notes)?,
            "think" => read_think(value, &mut conversation),
            "keep_alive" => notes.drop("keep_alive", "is known to Ollama only"),
            "logprobs" if value.as_bool() == Some(false) => {}
            _ => return Err(Untranslatable::unknown("", key)),
        }
    }
    if conversation.turns.is_empty() {
        return Err(Untranslatable::malformed("messages", "are missing"));
    }
    Ok(conversation)
}

fn read_think(value: &Node<'_>, conversation: &mut Conversation<'_>) {
    let reasoning = &mut conversation.reasoning;
    reasoning.enabled = value.as_bool();
    reasoning.effort = value.as_text().and_then(|level| Effort::from_name(&level.plain()));
    reasoning.visible = reasoning.enabled == Some(true) || reasoning.effort.is_some();
}

fn read_format<'a>(value: &Node<'a>) -> Format<'a> {
    match value.as_text() {
        Some(name) if name.is("json") => Format::Json,
        Some(_) => Format::Text,
        None => Format::Schema(Schema {
            name: None,
            description: None,
            json: value.raw.into(),
            strict: false,
        }),
    }
}

fn read_options<'a>(
    options: &Node<'a>,
    conversation: &mut Conversation<'a>,
    notes: &mut Notes,
) -> Result<(), Untranslatable> {
    let sampling = &mut conversation.sampling;
    for (key, value) in options.fields().filter(|(_, value)| !value.is_null()) {
        match key {
            // Negative numbers mean that there is no limit.
            "num_predict" => sampling.max_tokens = value.as_u64(),
            "temperature" => sampling.temperature = number(key, value)?,
            "top_k" => sampling.top_k = number(key, value)?,
            "top_p" => sampling.top_p = number(key, value)?,
            "seed" => sampling.seed = number(key, value)?,
            "presence_penalty" => sampling.presence_penalty = number(key, value)?,
            "frequency_penalty" => sampling.frequency_penalty = number(key, value)?,
            "stop" => sampling.stop = texts(key, value)?,
            _ => notes.drop_field("options.", key, "is known to Ollama only"),
        }
    }
    Ok(())
}

fn read_tool<'a>(tool: &Node<'a>) -> Result<Tool<'a>, Untranslatable> {
    let missing = || Untranslatable::malformed("tools[].function.name", "is missing");
    let function = tool.get("function").ok_or_else(missing)?;
    Ok(Tool {
        name: function.some_text("name").ok_or_else(missing)?,
        description: function.text("description"),
        parameters: function.get("parameters").map(|schema| schema.raw.into()),
        strict: false,
    })
}

fn read_message<'a>(
    message: &Node<'a>,
    conversation: &mut Conversation<'a>,
    notes: &mut Notes,
) -> Result<(), Untranslatable> {
    for (key, _) in message.fields() {
        let is_known = matches!(
            key,
            "role"
                | "content"
                | "images"
                | "tool_calls"
                | "tool_name"
                | "tool_call_id"
                | "thinking"
        );
        if !is_known {
            notes.drop_field("messages[].", key, "is not known to the translation");
        }
    }
    let role = message.text("role").unwrap_or_default();
    let content = message.some_text("content");
    match role.plain().as_ref() {
        "system" => match content {
            Some(text) if conversation.turns.is_empty() => conversation.system.push(text),
            Some(text) => conversation.say(Role::System, Part::Text(text)),
            None => {}
        },
        "tool" => {
            let result = ToolResult {
                id: message.text("tool_call_id").unwrap_or_default(),
                name: message.text("tool_name").unwrap_or_default(),
                parts: content.map(Part::Text).into_iter().collect(),
                is_error: false,
            };
            conversation.say(Role::User, Part::Result(result));
        }
        "user" | "assistant" => {
            let is_user = role.is("user");
            let role = if is_user { Role::User } else { Role::Assistant };
            let mut parts = read_said(message);
            for image in message.elements("images") {
                parts.push(Part::Image(read_image(text("messages[].images", image)?)?));
            }
            conversation.turns.push(Turn { role, parts });
        }
        _ => return Err(Untranslatable::refused("messages[].role", "is unknown")),
    }
    Ok(())
}

/// Reads what a message says, in a request or in an answer.
pub fn read_said<'a>(message: &Node<'a>) -> Vec<Part<'a>> {
    let thought = message.some_text("thinking");
    let mut parts: Vec<_> =
        thought.map(|text| Part::Reasoning(Thought::of_text(text))).into_iter().collect();
    parts.extend(message.some_text("content").map(Part::Text));
    for call in message.elements("tool_calls") {
        let Some(function) = call.get("function") else { continue };
        let arguments = function.get("arguments").map_or("{}", |arguments| arguments.raw);
        parts.push(Part::Call(Call {
            id: call.text("id").unwrap_or_default(),
            name: function.text("name").unwrap_or_default(),
            arguments: Arguments::Value(arguments.into()),
            signature: None,
        }));
    }
    parts
}

/// What kind an image is stands in its first bytes only.
fn read_image(data: Text<'_>) -> Result<Media<'_>, Untranslatable> {
    let data = Text::from_plain(data.into_plain());
    let kinds = [("iVBOR", "png"), ("/9j/", "jpeg"), ("R0lGOD", "gif"), ("UklGR", "webp")];
    let kind = kinds.iter().find(|(start, _)| data.escaped().starts_with(start));
    let Some((_, kind)) = kind else {
        return Err(Untranslatable::refused("messages[].images", "are of an unknown kind"));
    };
    let mime = Text::from_plain(format!("image/{kind}"));
    Ok(Media { source: Source::Inline { mime, data }, name: None, detail: None })
}
