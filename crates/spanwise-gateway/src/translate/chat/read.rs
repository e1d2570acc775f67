//! A Chat request, read.

use super::super::conversation::{
    Arguments, Call, Conversation, Effort, Format, Media, Part, Role, Schema, Thought, Tool,
    ToolChoice, ToolResult, Turn,
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
    let mut allowed = None;
    for (key, value) in root.fields().filter(|(_, value)| !value.is_null()) {
        match key {
            "model" => {}
            "messages" => read_messages(value, &mut conversation, notes)?,
            "tools" => {
                for tool in list("tools", value)? {
                    conversation.tools.push(read_tool(tool, notes)?);
                }
            }
            "tool_choice" => conversation.tool_choice = read_tool_choice(value, &mut allowed)?,
            "parallel_tool_calls" => {
                conversation.parallel_tool_calls = flag(key, value)?;
            }
            "stream" => conversation.stream = flag(key, value)?.unwrap_or_default(),
            "stream_options" => {
                conversation.include_usage =
                    value.get("include_usage").and_then(Node::as_bool).unwrap_or_default();
            }
            "reasoning_effort" => {
                conversation.reasoning.effort = read_effort(key, value)?;
            }
            "reasoning" | "thinking" => read_thinking(value, &mut conversation),
            "response_format" => conversation.format = read_format(value)?,
            "user" | "safety_identifier" => conversation.user = Some(text(key, value)?),
            _ => read_parameter(key, value, &mut conversation, notes)?,
        }
    }
    if let Some(names) = allowed {
        conversation.allow_only(&names);
    }
    if conversation.turns.is_empty() && conversation.system.is_empty() {
        return Err(Untranslatable::malformed("messages", "are missing"));
    }
    Ok(conversation)
}

fn read_parameter<'a>(
    key: &str,
    value: &Node<'a>,
    conversation: &mut Conversation<'a>,
    notes: &mut Notes,
) -> Result<(), Untranslatable> {
    let sampling = &mut conversation.sampling;
    match key {
        "max_completion_tokens" | "max_tokens" => sampling.max_tokens = count(key, value)?,
        "temperature" => sampling.temperature = number(key, value)?,
        "top_p" => sampling.top_p = number(key, value)?,
        "top_k" => sampling.top_k = number(key, value)?,
        "frequency_penalty" => sampling.frequency_penalty = number(key, value)?,
        "presence_penalty" => sampling.presence_penalty = number(key, value)?,
        "seed" => sampling.seed = number(key, value)?,
        "stop" => sampling.stop = texts(key, value)?,
        "n" => sampling.n = count(key, value)?,
        "logit_bias" if value.fields().next().is_none() => {}
        "logprobs" | "store" if value.as_bool() == Some(false) => {}
        "top_logprobs" if value.as_u64() == Some(0) => {}
        "metadata"
        | "store"
        | "service_tier"
        | "prompt_cache_key"
        | "prompt_cache_options"
        | "prompt_cache_retention"
        | "prediction"
        | "min_p"
        | "repetition_penalty"
        | "verbosity" => {
            notes.drop(key.to_owned(), "only hints at how to serve the request");
        }
        "modalities" if is_text_only(value) => {}
        "functions" | "function_call" => {
            let why = "is the old form, which is not translated; use tools";
            return Err(Untranslatable::refused(key.to_owned(), why));
        }
        "logit_bias" | "logprobs" | "top_logprobs" | "audio" | "modalities"
        | "web_search_options" | "moderation" => {
            let why = "is known to OpenAI only";
            return Err(Untranslatable::refused(key.to_owned(), why));
        }
        _ => return Err(Untranslatable::unknown("", key)),
    }
    Ok(())
}

fn is_text_only(modalities: &Node<'_>) -> bool {
    modalities
        .as_array()
        .is_some_and(|all| all.iter().all(|one| one.as_text().is_some_and(|one| one.is("text"))))
}

fn read_effort(key: &str, value: &Node<'_>) -> Result<Option<Effort>, Untranslatable> {
    let name = text(key, value)?;
    match Effort::from_name(&name.plain()) {
        Some(effort) => Ok(Some(effort)),
        None => Err(Untranslatable::refused(key.to_owned(), "is an unknown level")),
    }
}

/// How other servers of this dialect are told to think.
fn read_thinking(value: &Node<'_>, conversation: &mut Conversation<'_>) {
    let reasoning = &mut conversation.reasoning;
    let switch = value.text("type");
    let enabled = value.get("enabled").and_then(Node::as_bool);
    reasoning.enabled = enabled.or(switch.map(|switch| !switch.is("disabled")));
    reasoning.budget_tokens = value.count("budget_tokens").or(value.count("max_tokens"));
    if let Some(effort) = value.text("effort") {
        reasoning.effort = Effort::from_name(&effort.plain());
    }
}

fn read_format<'a>(value: &Node<'a>) -> Result<Format<'a>, Untranslatable> {
    let kind = value.text("type").unwrap_or_default();
    match kind.plain().as_ref() {
        "text" => Ok(Format::Text),
        "json_object" => Ok(Format::Json),
        "json_schema" => {
            let schema = value.get("json_schema").and_then(read_schema);
            schema.map(Format::Schema).ok_or_else(|| {
                Untranslatable::malformed("response_format.json_schema", "has no schema")
            })
        }
        _ => Err(Untranslatable::refused("response_format.type", "is unknown")),
    }
}

/// Reads a schema with its name, as Chat and Responses write it.
pub fn read_schema<'a>(value: &Node<'a>) -> Option<Schema<'a>> {
    Some(Schema {
        name: value.text("name"),
        description: value.text("description"),
        json: value.get("schema")?.raw.into(),
        strict: value.get("strict").and_then(Node::as_bool).unwrap_or_default(),
    })
}

fn read_tool<'a>(value: &Node<'a>, notes: &mut Notes) -> Result<Tool<'a>, Untranslatable> {
    if !value.text("type").is_some_and(|kind| kind.is("function")) {
        return Err(Untranslatable::refused("tools[].type", "only functions are translated"));
    }
    let function = value
        .get("function")
        .ok_or_else(|| Untranslatable::malformed("tools[].function", "is missing"))?;
    for (key, _) in function.fields() {
        if !matches!(key, "name" | "description" | "parameters" | "strict") {
            notes.drop_field("tools[].function.", key, "is not known to the translation");
        }
    }
    Ok(Tool {
        name: function
            .some_text("name")
            .ok_or_else(|| Untranslatable::malformed("tools[].function.name", "is missing"))?,
        description: function.text("description"),
        parameters: function.get("parameters").map(|schema| schema.raw.into()),
        strict: function.get("strict").and_then(Node::as_bool).unwrap_or_default(),
    })
}

fn read_tool_choice<'a>(
    value: &Node<'a>,
    allowed: &mut Option<Vec<Text<'a>>>,
) -> Result<Option<ToolChoice<'a>>, Untranslatable> {
    let unknown = || Untranslatable::refused("tool_choice", "is unknown");
    if let Some(mode) = value.as_text() {
        return read_mode(&mode).map(Some).ok_or_else(unknown);
    }
    let kind = value.text("type").unwrap_or_default();
    match kind.plain().as_ref() {
        "function" => {
            let name = value.get("function").and_then(|function| function.text("name"));
            name.map(|name| Some(ToolChoice::Tool(name))).ok_or_else(unknown)
        }
        "allowed_tools" => {
            let choice = value.get("allowed_tools").ok_or_else(unknown)?;
            let names = choice.elements("tools").iter().map(|tool| {
                tool.get("function").and_then(|function| function.text("name")).ok_or_else(unknown)
            });
            *allowed = Some(names.collect::<Result<_, _>>()?);
            Ok(choice.text("mode").and_then(|mode| read_mode(&mode)))
        }
        _ => Err(unknown()),
    }
}

/// Reads the word for whether tools must be called, as Chat and Responses write it.
pub fn read_mode(mode: &Text<'_>) -> Option<ToolChoice<'static>> {
    match mode.plain().as_ref() {
        "auto" => Some(ToolChoice::Auto),
        "none" => Some(ToolChoice::None),
        "required" => Some(ToolChoice::Required),
        _ => None,
    }
}

fn read_messages<'a>(
    value: &Node<'a>,
    conversation: &mut Conversation<'a>,
    notes: &mut Notes,
) -> Result<(), Untranslatable> {
    for message in list("messages", value)? {
        let role = message.text("role").unwrap_or_default();
        match role.plain().as_ref() {
            "system" | "developer" => {
                let parts = read_content(message, notes)?;
                if conversation.turns.is_empty() {
                    conversation.system.extend(parts.into_iter().filter_map(Part::into_text));
                } else {
                    conversation.turns.push(Turn { role: Role::System, parts });
                }
            }
            "user" => {
                let parts = read_content(message, notes)?;
                conversation.turns.push(Turn { role: Role::User, parts });
            }
            "assistant" => {
                let parts = read_assistant(message, notes)?;
                conversation.turns.push(Turn { role: Role::Assistant, parts });
            }
            "tool" => {
                let result = ToolResult {
                    id: message.text("tool_call_id").unwrap_or_default(),
                    name: message.text("name").unwrap_or_default(),
                    parts: read_content(message, notes)?,
                    is_error: false,
                };
                conversation.say(Role::User, Part::Result(result));
            }
            _ => return Err(Untranslatable::refused("messages[].role", "is unknown")),
        }
        let is_tool = role.is("tool");
        for (key, value) in message.fields().filter(|(_, value)| !value.is_null()) {
            match key {
                "audio" | "function_call" => {
                    let what = format!("messages[].{key}");
                    return Err(Untranslatable::refused(what, "is known to OpenAI only"));
                }
                "role" | "content" | "tool_call_id" | "tool_calls" | "refusal"
                | "reasoning_content" | "reasoning" | "thinking_blocks" => {}
                "name" if is_tool => {}
                // Answers that clients send back as they came have these, mostly empty.
                "annotations" if value.as_array().is_some_and(<[_]>::is_empty) => {}
                _ => notes.drop_field("messages[].", key, "is not known to the translation"),
            }
        }
    }
    Ok(())
}

fn read_assistant<'a>(
    message: &Node<'a>,
    notes: &mut Notes,
) -> Result<Vec<Part<'a>>, Untranslatable> {
    let mut parts = read_thoughts(message);
    parts.extend(read_content(message, notes)?);
    parts.extend(message.some_text("refusal").map(Part::Refusal));
    read_calls(message, &mut parts)?;
    Ok(parts)
}

/// Reads the thoughts of an assistant's message: `thinking_blocks` if it has them, since these
/// have signatures, else the bare text under the names that servers give it.
pub fn read_thoughts<'a>(message: &Node<'a>) -> Vec<Part<'a>> {
    let blocks = message.elements("thinking_blocks");
    if !blocks.is_empty() {
        let thought = |block: &Node<'a>| Thought {
            text: block.text("thinking").unwrap_or_default(),
            signature: block.some_text("signature"),
            redacted: block.some_text("data"),
        };
        return blocks.iter().map(|block| Part::Reasoning(thought(block))).collect();
    }
    let text = message.some_text("reasoning_content").or_else(|| message.some_text("reasoning"));
    text.map(|text| Part::Reasoning(Thought::of_text(text))).into_iter().collect()
}

/// Reads the calls of an assistant's message.
pub fn read_calls<'a>(message: &Node<'a>, parts: &mut Vec<Part<'a>>) -> Result<(), Untranslatable> {
    for call in message.elements("tool_calls") {
        let Some(function) = call.get("function") else {
            let why = "only functions are translated";
            return Err(Untranslatable::refused("messages[].tool_calls[].type", why));
        };
        parts.push(Part::Call(Call {
            id: call.text("id").unwrap_or_default(),
            name: function.text("name").unwrap_or_default(),
            arguments: match function.get("arguments") {
                Some(arguments) => arguments
                    .as_text()
                    .map_or_else(|| Arguments::Value(arguments.raw.into()), Arguments::Text),
                None => Arguments::Text(Text::default()),
            },
            signature: read_signature(call),
        }));
    }
    Ok(())
}

/// Gemini's signature, in the place where Google's own Chat endpoint puts it.
pub fn read_signature<'a>(call: &Node<'a>) -> Option<Text<'a>> {
    call.get("extra_content")?.get("google")?.some_text("thought_signature")
}

/// Reads what a message contains: one text or a list of parts.
fn read_content<'a>(
    message: &Node<'a>,
    notes: &mut Notes,
) -> Result<Vec<Part<'a>>, Untranslatable> {
    let Some(content) = message.get("content") else { return Ok(Vec::new()) };
    if let Some(text) = content.as_text() {
        return Ok(if text.is_empty() { Vec::new() } else { vec![Part::Text(text)] });
    }
    let parts = list("messages[].content", content)?;
    parts.iter().map(|part| read_part(part, notes)).collect()
}

fn read_part<'a>(part: &Node<'a>, notes: &mut Notes) -> Result<Part<'a>, Untranslatable> {
    if part.get("prompt_cache_breakpoint").is_some() || part.get("cache_control").is_some() {
        notes.drop("messages[].content[].cache_control", "caching is the target's own affair");
    }
    let missing = |what: &str| Untranslatable::malformed(what, "is missing");
    let kind = part.text("type").unwrap_or_default();
    match kind.plain().as_ref() {
        "text" => {
            part.text("text").map(Part::Text).ok_or_else(|| missing("messages[].content[].text"))
        }
        "refusal" => part
            .text("refusal")
            .map(Part::Refusal)
            .ok_or_else(|| missing("messages[].content[].refusal")),
        "image_url" => {
            let image =
                part.get("image_url").ok_or_else(|| missing("messages[].content[].image_url"))?;
            let url = image.as_text().or_else(|| image.text("url"));
            let url = url.ok_or_else(|| missing("messages[].content[].image_url.url"))?;
            Ok(Part::Image(Media { detail: image.text("detail"), ..Media::from_url(url) }))
        }
        "file" => {
            let file = part.get("file").ok_or_else(|| missing("messages[].content[].file"))?;
            let data = file.some_text("file_data").ok_or_else(|| {
                let what = "messages[].content[].file.file_id";
                Untranslatable::refused(what, "only the provider it was uploaded to has it")
            })?;
            Ok(Part::Document(Media { name: file.text("filename"), ..Media::from_url(data) }))
        }
        kind => Err(Untranslatable::unknown("messages[].content[].type ", kind)),
    }
}
