//! A Converse request, read.

use super::super::conversation::{
    Arguments, Call, Conversation, Effort, Format, Media, Part, Role, Schema, Source, Thought,
    Tool, ToolChoice, ToolResult, Turn, joined,
};
use super::super::fields::{count, list, number, text, texts};
use super::super::json::{Node, Text};
use super::super::messages::read_thinking;
use super::super::{Notes, Untranslatable};
use super::DOCUMENTS;

/// Reads a request.
pub fn read_request<'a>(
    root: &Node<'a>,
    notes: &mut Notes,
) -> Result<Conversation<'a>, Untranslatable> {
    let mut conversation = Conversation::default();
    for (key, value) in root.fields().filter(|(_, value)| !value.is_null()) {
        match key {
            "modelId" => {}
            "messages" => {
                for message in list("messages", value)? {
                    conversation.turns.push(read_turn(message, notes)?);
                }
            }
            "system" => {
                let blocks = list("system", value)?;
                let parts = read_blocks(blocks, notes)?;
                conversation.system = parts.into_iter().filter_map(Part::into_text).collect();
            }
            "inferenceConfig" => read_config(value, &mut conversation)?,
            "toolConfig" => read_tool_config(value, &mut conversation, notes)?,
            "additionalModelRequestFields" => read_additional(value, &mut conversation)?,
            "outputConfig" => read_output(value, &mut conversation)?,
            "requestMetadata"
            | "performanceConfig"
            | "serviceTier"
            | "additionalModelResponseFieldPaths" => {
                notes.drop(key.to_owned(), "is known to Bedrock only");
            }
            "guardrailConfig" | "promptVariables" => {
                return Err(Untranslatable::refused(key.to_owned(), "is run by Bedrock only"));
            }
            _ => return Err(Untranslatable::unknown("", key)),
        }
    }
    if conversation.turns.is_empty() {
        return Err(Untranslatable::malformed("messages", "are missing"));
    }
    Ok(conversation)
}

fn read_config<'a>(
    config: &Node<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Untranslatable> {
    let sampling = &mut conversation.sampling;
    for (key, value) in config.fields().filter(|(_, value)| !value.is_null()) {
        match key {
            "maxTokens" => sampling.max_tokens = count(key, value)?,
            "temperature" => sampling.temperature = number(key, value)?,
            "topP" => sampling.top_p = number(key, value)?,
            "stopSequences" => sampling.stop = texts(key, value)?,
            _ => return Err(Untranslatable::unknown("inferenceConfig.", key)),
        }
    }
    Ok(())
}

/// These fields are the model's own; the ones of Claude are known.
fn read_additional<'a>(
    fields: &Node<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Untranslatable> {
    for (key, value) in fields.fields().filter(|(_, value)| !value.is_null()) {
        match key {
            "top_k" => conversation.sampling.top_k = number(key, value)?,
            "thinking" | "reasoning_config" => read_thinking(value, conversation),
            _ => return Err(Untranslatable::unknown("additionalModelRequestFields.", key)),
        }
    }
    Ok(())
}

fn read_output<'a>(
    output: &Node<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Untranslatable> {
    if let Some(effort) = output.text("effort") {
        conversation.reasoning.effort = Effort::from_name(&effort.plain());
    }
    let Some(format) = output.get("textFormat") else { return Ok(()) };
    let schema = format.get("structure").and_then(|structure| structure.get("jsonSchema"));
    let schema = schema.and_then(|schema| {
        Some(Schema {
            name: schema.text("name"),
            description: schema.text("description"),
            json: schema.text("schema")?.into_plain(),
            strict: true,
        })
    });
    conversation.format =
        Format::Schema(schema.ok_or_else(|| {
            Untranslatable::malformed("outputConfig.textFormat", "has no schema")
        })?);
    Ok(())
}

fn read_tool_config<'a>(
    config: &Node<'a>,
    conversation: &mut Conversation<'a>,
    notes: &mut Notes,
) -> Result<(), Untranslatable> {
    for tool in config.elements("tools") {
        if tool.get("cachePoint").is_some() {
            notes.drop("cachePoint", "caching is the target's own affair");
            continue;
        }
        let Some(spec) = tool.get("toolSpec") else {
            let why = "is run by Bedrock only";
            return Err(Untranslatable::refused("toolConfig.tools[]", why));
        };
        let missing =
            || Untranslatable::malformed("toolConfig.tools[].toolSpec.name", "is missing");
        let schema = spec.get("inputSchema").and_then(|schema| schema.get("json"));
        conversation.tools.push(Tool {
            name: spec.some_text("name").ok_or_else(missing)?,
            description: spec.text("description"),
            parameters: schema.map(|schema| schema.raw.into()),
            strict: spec.get("strict").and_then(Node::as_bool).unwrap_or_default(),
        });
    }
    let Some(choice) = config.get("toolChoice") else { return Ok(()) };
    conversation.tool_choice = Some(if let Some(tool) = choice.get("tool") {
        ToolChoice::Tool(tool.text("name").unwrap_or_default())
    } else if choice.get("any").is_some() {
        ToolChoice::Required
    } else {
        ToolChoice::Auto
    });
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
    Ok(Turn { role, parts: read_blocks(message.elements("content"), notes)? })
}

fn read_blocks<'a>(
    blocks: &[Node<'a>],
    notes: &mut Notes,
) -> Result<Vec<Part<'a>>, Untranslatable> {
    let mut parts = Vec::with_capacity(blocks.len());
    for block in blocks {
        if block.get("cachePoint").is_some() {
            notes.drop("cachePoint", "caching is the target's own affair");
        } else {
            parts.push(read_block(block, notes)?);
        }
    }
    Ok(parts)
}

fn read_block<'a>(block: &Node<'a>, notes: &mut Notes) -> Result<Part<'a>, Untranslatable> {
    if let Some(part) = read_said(block) {
        return Ok(part);
    }
    if let Some(image) = block.get("image") {
        let format = image.text("format").unwrap_or_default();
        let mime = Text::from_plain(format!("image/{}", format.plain()));
        let source = read_source(image, mime)?;
        return Ok(Part::Image(Media { source, name: None, detail: None }));
    }
    if let Some(document) = block.get("document") {
        let format = document.text("format").unwrap_or_default();
        let known = DOCUMENTS.iter().find(|(word, _)| format.is(word));
        let mime = Text::from_plain(known.map_or("application/octet-stream", |(_, mime)| *mime));
        if document.get("citations").is_some() {
            notes.drop("document.citations", "is known to Bedrock only");
        }
        let source = read_source(document, mime)?;
        return Ok(Part::Document(Media { source, name: document.text("name"), detail: None }));
    }
    if let Some(result) = block.get("toolResult") {
        return Ok(Part::Result(ToolResult {
            id: result.text("toolUseId").unwrap_or_default(),
            name: Text::default(),
            parts: read_results(result.elements("content"), notes)?,
            is_error: result.text("status").is_some_and(|status| status.is("error")),
        }));
    }
    let unknown = block.fields().next().map_or("", |(key, _)| key);
    Err(Untranslatable::unknown("messages[].content[].", unknown))
}

fn read_results<'a>(
    blocks: &[Node<'a>],
    notes: &mut Notes,
) -> Result<Vec<Part<'a>>, Untranslatable> {
    let read = |block: &Node<'a>| match block.get("json") {
        Some(json) => Ok(Part::Text(Text::from_plain(json.raw))),
        None => read_block(block, notes),
    };
    blocks.iter().map(read).collect()
}

/// Reads a block that a model may have said, in a request or in an answer.
pub fn read_said<'a>(block: &Node<'a>) -> Option<Part<'a>> {
    if let Some(call) = block.get("toolUse") {
        return Some(Part::Call(Call {
            id: call.text("toolUseId").unwrap_or_default(),
            name: call.text("name").unwrap_or_default(),
            arguments: Arguments::Value(call.get("input").map_or("{}", |input| input.raw).into()),
            signature: None,
        }));
    }
    if let Some(reasoning) = block.get("reasoningContent") {
        let said = reasoning.get("reasoningText");
        return Some(Part::Reasoning(Thought {
            text: said.and_then(|said| said.text("text")).unwrap_or_default(),
            signature: said.and_then(|said| said.some_text("signature")),
            redacted: reasoning.some_text("redactedContent"),
        }));
    }
    if let Some(cited) = block.get("citationsContent") {
        let texts = cited.elements("content").iter().filter_map(|piece| piece.text("text"));
        return joined(texts).map(Part::Text);
    }
    block.text("text").map(Part::Text)
}

fn read_source<'a>(media: &Node<'a>, mime: Text<'a>) -> Result<Source<'a>, Untranslatable> {
    let elsewhere = || {
        let why = "only what is inside of the request is translated";
        Untranslatable::refused("messages[].content[].source", why)
    };
    let source = media.get("source").ok_or_else(elsewhere)?;
    if let Some(data) = source.text("bytes") {
        return Ok(Source::Inline { mime, data });
    }
    if let Some(plain) = source.text("text") {
        return Ok(Source::Plain(plain));
    }
    let content = source.get("content").ok_or_else(elsewhere)?;
    let texts = list("source.content", content)?.iter().map(|piece| {
        piece.get("text").ok_or_else(elsewhere).and_then(|piece| text("source.content", piece))
    });
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    Ok(Source::Plain(joined(texts).unwrap_or_default()))
}
