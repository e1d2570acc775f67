//! A Messages request, read.

use super::super::conversation::{
    Arguments, Call, Conversation, Effort, Format, Media, Part, Role, Schema, Source, Thought,
    Tool, ToolChoice, ToolResult, Turn, joined,
};
use super::super::fields::{count, flag, list, number, text, texts};
use super::super::json::{Node, Text};
use super::super::{Notes, Untranslatable};

/// Reads a request.
pub fn read_request<'a>(
    root: &Node<'a>,
    notes: &mut Notes,
) -> Result<Conversation<'a>, Untranslatable> {
    let mut conversation = Conversation::default();
    for (key, value) in root.fields().filter(|(_, value)| !value.is_null()) {
        let sampling = &mut conversation.sampling;
        match key {
            "model" => {}
            "messages" => {
                for message in list("messages", value)? {
                    conversation.turns.push(read_turn(message, notes)?);
                }
            }
            "system" => {
                let parts = read_content(value, notes)?;
                conversation.system = parts.into_iter().filter_map(Part::into_text).collect();
            }
            "max_tokens" => sampling.max_tokens = count(key, value)?,
            "temperature" => sampling.temperature = number(key, value)?,
            "top_p" => sampling.top_p = number(key, value)?,
            "top_k" => sampling.top_k = number(key, value)?,
            "stop_sequences" => sampling.stop = texts(key, value)?,
            "stream" => conversation.stream = flag(key, value)?.unwrap_or_default(),
            "tools" => {
                for tool in list("tools", value)? {
                    conversation.tools.push(read_tool(tool, notes)?);
                }
            }
            "tool_choice" => read_tool_choice(value, &mut conversation)?,
            "thinking" => read_thinking(value, &mut conversation),
            "output_config" => read_output_config(value, &mut conversation)?,
            "metadata" => conversation.user = value.text("user_id"),
            "service_tier" | "speed" | "inference_geo" | "cache_control" | "diagnostics"
            | "context_management" | "anthropic_version" | "anthropic_beta" | "betas"
            | "user_profile_id" | "workspace_id" => {
                notes.drop(key.to_owned(), "only hints at how to serve the request");
            }
            "container" | "mcp_servers" => {
                let why = "is run by Anthropic only";
                return Err(Untranslatable::refused(key.to_owned(), why));
            }
            _ => return Err(Untranslatable::unknown("", key)),
        }
    }
    Ok(conversation)
}

fn read_tool<'a>(value: &Node<'a>, notes: &mut Notes) -> Result<Tool<'a>, Untranslatable> {
    if value.text("type").is_some_and(|kind| !kind.is("custom")) {
        return Err(Untranslatable::refused("tools[].type", "is run by Anthropic only"));
    }
    for (key, value) in value.fields().filter(|(_, value)| !value.is_null()) {
        match key {
            "type" | "name" | "description" | "input_schema" | "strict" => {}
            "defer_loading" if value.as_bool() == Some(false) => {}
            _ => notes.drop_field("tools[].", key, "is known to Anthropic only"),
        }
    }
    Ok(Tool {
        name: value
            .some_text("name")
            .ok_or_else(|| Untranslatable::malformed("tools[].name", "is missing"))?,
        description: value.text("description"),
        parameters: value.get("input_schema").map(|schema| schema.raw.into()),
        strict: value.get("strict").and_then(Node::as_bool).unwrap_or_default(),
    })
}

fn read_tool_choice<'a>(
    value: &Node<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Untranslatable> {
    let kind = value.text("type").unwrap_or_default();
    conversation.tool_choice = Some(match kind.plain().as_ref() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Tool(value.text("name").unwrap_or_default()),
        _ => return Err(Untranslatable::refused("tool_choice.type", "is unknown")),
    });
    let single = value.get("disable_parallel_tool_use").and_then(Node::as_bool);
    conversation.parallel_tool_calls = single.map(|single| !single);
    Ok(())
}

/// Reads the thinking of Messages, which requests for Claude on Bedrock have too.
pub fn read_thinking(value: &Node<'_>, conversation: &mut Conversation<'_>) {
    let reasoning = &mut conversation.reasoning;
    let is_on = !value.text("type").is_some_and(|kind| kind.is("disabled"));
    reasoning.enabled = Some(is_on);
    reasoning.budget_tokens = value.count("budget_tokens");
    reasoning.visible =
        is_on && !value.text("display").is_some_and(|display| display.is("omitted"));
}

fn read_output_config<'a>(
    value: &Node<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Untranslatable> {
    for (key, value) in value.fields().filter(|(_, value)| !value.is_null()) {
        match key {
            "effort" => {
                let effort = text("output_config.effort", value)?;
                conversation.reasoning.effort = Effort::from_name(&effort.plain());
            }
            "format" => {
                let schema = value.get("schema").ok_or_else(|| {
                    Untranslatable::malformed("output_config.format.schema", "is missing")
                })?;
                conversation.format = Format::Schema(Schema {
                    name: value.text("name"),
                    description: None,
                    json: schema.raw.into(),
                    strict: true,
                });
            }
            _ => return Err(Untranslatable::unknown("output_config.", key)),
        }
    }
    Ok(())
}

fn read_turn<'a>(message: &Node<'a>, notes: &mut Notes) -> Result<Turn<'a>, Untranslatable> {
    let role = message.text("role").unwrap_or_default();
    let role = match role.plain().as_ref() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(Untranslatable::refused("messages[].role", "is unknown")),
    };
    let content = message
        .get("content")
        .ok_or_else(|| Untranslatable::malformed("messages[].content", "is missing"))?;
    Ok(Turn { role, parts: read_content(content, notes)? })
}

fn read_content<'a>(
    content: &Node<'a>,
    notes: &mut Notes,
) -> Result<Vec<Part<'a>>, Untranslatable> {
    if let Some(text) = content.as_text() {
        return Ok(vec![Part::Text(text)]);
    }
    let blocks = list("messages[].content", content)?;
    blocks.iter().map(|block| read_block(block, notes)).collect()
}

fn read_block<'a>(block: &Node<'a>, notes: &mut Notes) -> Result<Part<'a>, Untranslatable> {
    if block.get("cache_control").is_some() {
        notes.drop("messages[].content[].cache_control", "caching is the target's own affair");
    }
    if block.get("citations").is_some() {
        notes.drop("messages[].content[].citations", "is known to Anthropic only");
    }
    let kind = block.text("type").unwrap_or_default();
    match kind.plain().as_ref() {
        "text" => Ok(Part::Text(text_of(block, "text")?)),
        "image" => read_source(block, notes).map(Part::Image),
        "document" => {
            let media = read_source(block, notes)?;
            Ok(Part::Document(Media { name: block.text("title"), ..media }))
        }
        "tool_use" => Ok(Part::Call(read_call(block))),
        "tool_result" => Ok(Part::Result(ToolResult {
            id: block.text("tool_use_id").unwrap_or_default(),
            name: Text::default(),
            parts: match block.get("content") {
                Some(content) => read_content(content, notes)?,
                None => Vec::new(),
            },
            is_error: block.get("is_error").and_then(Node::as_bool).unwrap_or_default(),
        })),
        "thinking" | "redacted_thinking" => Ok(Part::Reasoning(read_thought(block))),
        kind => Err(Untranslatable::unknown("messages[].content[].type ", kind)),
    }
}

/// Reads a block of thinking.
pub fn read_thought<'a>(block: &Node<'a>) -> Thought<'a> {
    Thought {
        text: block.text("thinking").unwrap_or_default(),
        signature: block.some_text("signature"),
        redacted: block.some_text("data"),
    }
}

/// Reads the call of a tool.
pub fn read_call<'a>(block: &Node<'a>) -> Call<'a> {
    Call {
        id: block.text("id").unwrap_or_default(),
        name: block.text("name").unwrap_or_default(),
        arguments: Arguments::Value(block.get("input").map_or("{}", |input| input.raw).into()),
        signature: None,
    }
}

fn read_source<'a>(block: &Node<'a>, notes: &mut Notes) -> Result<Media<'a>, Untranslatable> {
    let source = block
        .get("source")
        .ok_or_else(|| Untranslatable::malformed("messages[].content[].source", "is missing"))?;
    let kind = source.text("type").unwrap_or_default();
    let source = match kind.plain().as_ref() {
        "base64" => {
            Source::Inline { mime: text_of(source, "media_type")?, data: text_of(source, "data")? }
        }
        "url" => Source::Url(text_of(source, "url")?),
        "text" => Source::Plain(text_of(source, "data")?),
        "content" => {
            let content = source.get("content").map(|content| read_content(content, notes));
            let parts = content.transpose()?.unwrap_or_default();
            if parts.iter().any(|part| part.as_text().is_none()) {
                let why = "only texts are translated";
                return Err(Untranslatable::refused("document.source.content[]", why));
            }
            let texts = parts.into_iter().filter_map(Part::into_text);
            Source::Plain(joined(texts).unwrap_or_default())
        }
        "file" => {
            let why = "only the provider it was uploaded to has it";
            return Err(Untranslatable::refused("messages[].content[].source.file_id", why));
        }
        _ => return Err(Untranslatable::refused("messages[].content[].source.type", "is unknown")),
    };
    Ok(Media { source, name: None, detail: None })
}

fn text_of<'a>(block: &Node<'a>, key: &str) -> Result<Text<'a>, Untranslatable> {
    let missing =
        || Untranslatable::malformed(&format!("messages[].content[].{key}"), "is missing");
    block.text(key).ok_or_else(missing)
}
