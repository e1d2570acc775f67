//! A Responses request, read.

use super::super::chat::{read_mode, read_schema};
use super::super::conversation::{
    Arguments, Call, Conversation, Effort, Format, Media, Part, Role, Thought, Tool, ToolChoice,
    ToolResult, Turn, joined,
};
use super::super::fields::{count, flag, list, number, text};
use super::super::json::{Node, Text};
use super::super::{Notes, Untranslatable};
use super::FOREIGN;

/// Reads a request.
pub fn read_request<'a>(
    root: &Node<'a>,
    notes: &mut Notes,
) -> Result<Conversation<'a>, Untranslatable> {
    let mut conversation = Conversation::default();
    let mut allowed = None;
    for (key, value) in root.fields().filter(|(_, value)| !value.is_null()) {
        let sampling = &mut conversation.sampling;
        match key {
            // The instructions come before everything else, wherever they stand.
            "model" | "instructions" => {}
            "input" => read_input(value, &mut conversation, notes)?,
            "max_output_tokens" => sampling.max_tokens = count(key, value)?,
            "temperature" => sampling.temperature = number(key, value)?,
            "top_p" => sampling.top_p = number(key, value)?,
            "stream" => conversation.stream = flag(key, value)?.unwrap_or_default(),
            "tools" => {
                for tool in list("tools", value)? {
                    conversation.tools.push(read_tool(tool)?);
                }
            }
            "tool_choice" => {
                conversation.tool_choice = Some(read_tool_choice(value, &mut allowed)?);
            }
            "parallel_tool_calls" => conversation.parallel_tool_calls = flag(key, value)?,
            "reasoning" => read_reasoning(value, &mut conversation)?,
            "text" => conversation.format = read_format(value, notes)?,
            "user" | "safety_identifier" => conversation.user = Some(text(key, value)?),
            _ => read_other(key, value, notes)?,
        }
    }
    if let Some(instructions) = root.some_text("instructions") {
        conversation.system.insert(0, instructions);
    }
    if let Some(names) = allowed {
        conversation.allow_only(&names);
    }
    if conversation.turns.is_empty() && conversation.system.is_empty() {
        return Err(Untranslatable::malformed("input", "is missing"));
    }
    Ok(conversation)
}

fn read_other(key: &str, value: &Node<'_>, notes: &mut Notes) -> Result<(), Untranslatable> {
    match key {
        "background" | "store" if value.as_bool() == Some(false) => {}
        "top_logprobs" if value.as_u64() == Some(0) => {}
        "truncation" if value.as_text().is_some_and(|way| way.is("disabled")) => {}
        "stream_options" => {}
        "include" => {
            let is_reasoning = |one: &Node<'_>| {
                one.as_text().is_some_and(|one| one.is("reasoning.encrypted_content"))
            };
            if !value.as_array().unwrap_or_default().iter().all(is_reasoning) {
                notes.drop("include", "is known to OpenAI only");
            }
        }
        "metadata"
        | "store"
        | "service_tier"
        | "prompt_cache_key"
        | "prompt_cache_options"
        | "prompt_cache_retention"
        | "truncation"
        | "max_tool_calls" => {
            notes.drop(key.to_owned(), "only hints at how to serve the request");
        }
        "previous_response_id" | "conversation" | "prompt" => {
            let why = "only the provider that keeps it knows it";
            return Err(Untranslatable::refused(key.to_owned(), why));
        }
        "background" | "top_logprobs" | "moderation" | "context_management" => {
            return Err(Untranslatable::refused(key.to_owned(), "is known to OpenAI only"));
        }
        _ => return Err(Untranslatable::unknown("", key)),
    }
    Ok(())
}

fn read_reasoning(
    value: &Node<'_>,
    conversation: &mut Conversation<'_>,
) -> Result<(), Untranslatable> {
    let reasoning = &mut conversation.reasoning;
    if let Some(name) = value.text("effort") {
        let effort = Effort::from_name(&name.plain());
        let unknown = || Untranslatable::refused("reasoning.effort", "is an unknown level");
        reasoning.effort = Some(effort.ok_or_else(unknown)?);
    }
    reasoning.visible = value.get("summary").or_else(|| value.get("generate_summary")).is_some();
    Ok(())
}

fn read_format<'a>(value: &Node<'a>, notes: &mut Notes) -> Result<Format<'a>, Untranslatable> {
    if value.get("verbosity").is_some() {
        notes.drop("text.verbosity", "is known to OpenAI only");
    }
    let Some(format) = value.get("format") else { return Ok(Format::Text) };
    let kind = format.text("type").unwrap_or_default();
    match kind.plain().as_ref() {
        "text" => Ok(Format::Text),
        "json_object" => Ok(Format::Json),
        "json_schema" => read_schema(format)
            .map(Format::Schema)
            .ok_or_else(|| Untranslatable::malformed("text.format.schema", "is missing")),
        _ => Err(Untranslatable::refused("text.format.type", "is unknown")),
    }
}

fn read_tool<'a>(tool: &Node<'a>) -> Result<Tool<'a>, Untranslatable> {
    if !tool.text("type").is_some_and(|kind| kind.is("function")) {
        return Err(Untranslatable::refused("tools[].type", "only functions are translated"));
    }
    Ok(Tool {
        name: tool
            .some_text("name")
            .ok_or_else(|| Untranslatable::malformed("tools[].name", "is missing"))?,
        description: tool.text("description"),
        parameters: tool.get("parameters").map(|schema| schema.raw.into()),
        strict: tool.get("strict").and_then(Node::as_bool).unwrap_or_default(),
    })
}

fn read_tool_choice<'a>(
    value: &Node<'a>,
    allowed: &mut Option<Vec<Text<'a>>>,
) -> Result<ToolChoice<'a>, Untranslatable> {
    let unknown = || Untranslatable::refused("tool_choice", "is unknown");
    if let Some(mode) = value.as_text() {
        return read_mode(&mode).ok_or_else(unknown);
    }
    let kind = value.text("type").unwrap_or_default();
    match kind.plain().as_ref() {
        "function" => value.text("name").map(ToolChoice::Tool).ok_or_else(unknown),
        "allowed_tools" => {
            let names = value.elements("tools").iter();
            let names = names.map(|tool| tool.text("name").ok_or_else(unknown));
            *allowed = Some(names.collect::<Result<_, _>>()?);
            value.text("mode").and_then(|mode| read_mode(&mode)).ok_or_else(unknown)
        }
        _ => Err(unknown()),
    }
}

fn read_input<'a>(
    value: &Node<'a>,
    conversation: &mut Conversation<'a>,
    notes: &mut Notes,
) -> Result<(), Untranslatable> {
    if let Some(text) = value.as_text() {
        conversation.say(Role::User, Part::Text(text));
        return Ok(());
    }
    for item in list("input", value)? {
        let kind = item.text("type").unwrap_or_else(|| Text::from_plain("message"));
        match kind.plain().as_ref() {
            "message" => read_message(item, conversation, notes)?,
            "function_call" | "reasoning" => {
                if let Some(part) = read_said(item) {
                    conversation.say(Role::Assistant, part);
                }
            }
            "function_call_output" => {
                let result = read_result(item, notes)?;
                conversation.say(Role::User, Part::Result(result));
            }
            "item_reference" => {
                let why = "only the provider that keeps it knows it";
                return Err(Untranslatable::refused("input[].type item_reference", why));
            }
            kind => return Err(Untranslatable::unknown("input[].type ", kind)),
        }
    }
    Ok(())
}

fn read_message<'a>(
    item: &Node<'a>,
    conversation: &mut Conversation<'a>,
    notes: &mut Notes,
) -> Result<(), Untranslatable> {
    let content = item
        .get("content")
        .ok_or_else(|| Untranslatable::malformed("input[].content", "is missing"))?;
    let parts = read_content(content, notes)?;
    let role = item.text("role").unwrap_or_default();
    match role.plain().as_ref() {
        "system" | "developer" if conversation.turns.is_empty() => {
            conversation.system.extend(parts.into_iter().filter_map(Part::into_text));
        }
        "system" | "developer" => conversation.turns.push(Turn { role: Role::System, parts }),
        "user" => conversation.turns.push(Turn { role: Role::User, parts }),
        "assistant" => {
            for part in parts {
                conversation.say(Role::Assistant, part);
            }
        }
        _ => return Err(Untranslatable::refused("input[].role", "is unknown")),
    }
    Ok(())
}

fn read_content<'a>(
    content: &Node<'a>,
    notes: &mut Notes,
) -> Result<Vec<Part<'a>>, Untranslatable> {
    if let Some(text) = content.as_text() {
        return Ok(vec![Part::Text(text)]);
    }
    list("input[].content", content)?.iter().map(|part| read_part(part, notes)).collect()
}

fn read_part<'a>(part: &Node<'a>, notes: &mut Notes) -> Result<Part<'a>, Untranslatable> {
    if part.get("prompt_cache_breakpoint").is_some() {
        notes.drop("input[].content[].prompt_cache_breakpoint", "caching is the target's affair");
    }
    let uploaded = || {
        let why = "only the provider it was uploaded to has it";
        Untranslatable::refused("input[].content[].file_id", why)
    };
    let kind = part.text("type").unwrap_or_default();
    match kind.plain().as_ref() {
        "input_text" | "output_text" | "text" => {
            Ok(Part::Text(part.text("text").unwrap_or_default()))
        }
        "refusal" => Ok(Part::Refusal(part.text("refusal").unwrap_or_default())),
        "input_image" => {
            let url = part.some_text("image_url").ok_or_else(uploaded)?;
            Ok(Part::Image(Media { detail: part.text("detail"), ..Media::from_url(url) }))
        }
        "input_file" => {
            let url = part.some_text("file_data").or_else(|| part.some_text("file_url"));
            let url = url.ok_or_else(uploaded)?;
            Ok(Part::Document(Media { name: part.text("filename"), ..Media::from_url(url) }))
        }
        kind => Err(Untranslatable::unknown("input[].content[].type ", kind)),
    }
}

fn read_result<'a>(item: &Node<'a>, notes: &mut Notes) -> Result<ToolResult<'a>, Untranslatable> {
    Ok(ToolResult {
        id: item.text("call_id").unwrap_or_default(),
        name: Text::default(),
        parts: match item.get("output") {
            Some(output) => read_content(output, notes)?,
            None => Vec::new(),
        },
        is_error: false,
    })
}

/// The signature of a thought that was not OpenAI's own.
pub fn read_signature<'a>(item: &Node<'a>) -> Option<Text<'a>> {
    let content = item.some_text("encrypted_content")?.into_plain();
    content.strip_prefix(FOREIGN).map(|signature| Text::from_plain(signature.to_owned()))
}

/// Reads an item that a model said and that is no message, in a request or in an answer.
pub fn read_said<'a>(item: &Node<'a>) -> Option<Part<'a>> {
    match item.text("type")?.plain().as_ref() {
        "function_call" => Some(Part::Call(Call {
            id: item.text("call_id").unwrap_or_default(),
            name: item.text("name").unwrap_or_default(),
            arguments: Arguments::Text(item.text("arguments").unwrap_or_default()),
            signature: None,
        })),
        "reasoning" => {
            let texts = item.elements("summary").iter().chain(item.elements("content"));
            let text = joined(texts.filter_map(|text| text.some_text("text")));
            let signature = read_signature(item);
            let thought = match text {
                Some(text) => Thought { text, signature, redacted: None },
                None => Thought { redacted: signature, ..Thought::default() },
            };
            (thought.is_signed() || !thought.text.is_empty()).then_some(Part::Reasoning(thought))
        }
        _ => None,
    }
}
