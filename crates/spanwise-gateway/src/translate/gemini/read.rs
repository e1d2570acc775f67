//! A Gemini request, read.

use std::borrow::Cow;

use super::super::conversation::{
    Arguments, Call, Conversation, Effort, Format, Media, Part, Role, Schema, Source, Thought,
    Tool, ToolChoice, ToolResult, Turn,
};
use super::super::fields::{count, list, number, text, texts};
use super::super::json::{Node, Text};
use super::super::{Notes, Untranslatable};
use super::schema::plain_schema;

/// A field by its name in camel case; Google takes names in snake case as well.
pub fn field<'n, 'a>(node: &'n Node<'a>, name: &str) -> Option<&'n Node<'a>> {
    node.get(name).or_else(|| {
        let found = node.fields().find(|(key, value)| !value.is_null() && is_name(key, name));
        found.map(|(_, value)| value)
    })
}

fn is_name(key: &str, name: &str) -> bool {
    let letters = key.bytes().filter(|byte| *byte != b'_');
    letters.map(|byte| byte.to_ascii_lowercase()).eq(name.bytes().map(|b| b.to_ascii_lowercase()))
}

/// The name in camel case, as the match arms below have it.
fn camel(key: &str) -> Cow<'_, str> {
    if !key.contains('_') {
        return Cow::Borrowed(key);
    }
    let mut words = key.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) =
            word.split_at(usize::from(!word.is_empty() && word.is_char_boundary(1)));
        name.push_str(&first.to_ascii_uppercase());
        name.push_str(rest);
    }
    Cow::Owned(name)
}

/// Reads a request.
pub fn read_request<'a>(
    root: &Node<'a>,
    notes: &mut Notes,
) -> Result<Conversation<'a>, Untranslatable> {
    let mut conversation = Conversation::default();
    for (key, value) in root.fields().filter(|(_, value)| !value.is_null()) {
        match camel(key).as_ref() {
            "model" => {}
            "contents" => {
                for content in list("contents", value)? {
                    conversation.turns.push(read_content(content)?);
                }
            }
            "systemInstruction" => {
                let parts = read_content(value)?.parts;
                conversation.system = parts.into_iter().filter_map(Part::into_text).collect();
            }
            "generationConfig" => read_config(value, &mut conversation, notes)?,
            "tools" => {
                for tool in list("tools", value)? {
                    read_tools(tool, &mut conversation)?;
                }
            }
            "toolConfig" => read_tool_config(value, &mut conversation)?,
            "safetySettings" | "labels" | "serviceTier" | "store" => {
                notes.drop(key.to_owned(), "is known to Google only");
            }
            _ => return Err(Untranslatable::unknown("", key)),
        }
    }
    if conversation.turns.is_empty() {
        return Err(Untranslatable::malformed("contents", "are missing"));
    }
    Ok(conversation)
}

fn read_config<'a>(
    config: &Node<'a>,
    conversation: &mut Conversation<'a>,
    notes: &mut Notes,
) -> Result<(), Untranslatable> {
    let mut schema = None;
    let mut is_json = false;
    for (key, value) in config.fields().filter(|(_, value)| !value.is_null()) {
        let sampling = &mut conversation.sampling;
        match camel(key).as_ref() {
            "temperature" => sampling.temperature = number(key, value)?,
            "topP" => sampling.top_p = number(key, value)?,
            "topK" => sampling.top_k = number(key, value)?,
            "maxOutputTokens" => sampling.max_tokens = count(key, value)?,
            "stopSequences" => sampling.stop = texts(key, value)?,
            "candidateCount" => sampling.n = count(key, value)?,
            "seed" => sampling.seed = number(key, value)?,
            "presencePenalty" => sampling.presence_penalty = number(key, value)?,
            "frequencyPenalty" => sampling.frequency_penalty = number(key, value)?,
            "thinkingConfig" => read_thinking(value, conversation),
            "responseMimeType" => {
                let mime = text(key, value)?;
                is_json = mime.is("application/json");
                if !is_json && !mime.is("text/plain") {
                    return Err(Untranslatable::refused(key.to_owned(), "is known to Google only"));
                }
            }
            "responseSchema" => schema = Some(plain_schema(value)),
            "responseJsonSchema" => schema = Some(value.raw.into()),
            "responseModalities" if is_text_only(value) => {}
            "responseLogprobs" if value.as_bool() == Some(false) => {}
            "mediaResolution" | "enableEnhancedCivicAnswers" => {
                notes.drop(key.to_owned(), "is known to Google only");
            }
            _ => return Err(Untranslatable::unknown("generationConfig.", key)),
        }
    }
    conversation.format = match schema {
        Some(schema) => {
            Format::Schema(Schema { name: None, description: None, json: schema, strict: false })
        }
        None if is_json => Format::Json,
        None => Format::Text,
    };
    Ok(())
}

fn is_text_only(modalities: &Node<'_>) -> bool {
    let all = modalities.as_array().unwrap_or_default();
    all.iter().all(|one| one.as_text().is_some_and(|one| one.is("TEXT")))
}

fn read_thinking(config: &Node<'_>, conversation: &mut Conversation<'_>) {
    let reasoning = &mut conversation.reasoning;
    reasoning.visible =
        field(config, "includeThoughts").and_then(Node::as_bool).unwrap_or_default();
    let level = field(config, "thinkingLevel").and_then(Node::as_text);
    reasoning.effort = level.and_then(|level| Effort::from_name(&level.plain()));
    // A budget of -1 leaves it to the model.
    reasoning.budget_tokens = field(config, "thinkingBudget").and_then(Node::as_u64);
}

fn read_tools<'a>(
    tool: &Node<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Untranslatable> {
    for (key, value) in tool.fields().filter(|(_, value)| !value.is_null()) {
        if camel(key) != "functionDeclarations" {
            return Err(Untranslatable::refused(format!("tools[].{key}"), "is run by Google only"));
        }
        for function in list("tools[].functionDeclarations", value)? {
            let schema = field(function, "parametersJsonSchema").map(|schema| schema.raw.into());
            conversation.tools.push(Tool {
                name: function.some_text("name").ok_or_else(|| {
                    let what = "tools[].functionDeclarations[].name";
                    Untranslatable::malformed(what, "is missing")
                })?,
                description: function.text("description"),
                parameters: schema.or_else(|| function.get("parameters").map(plain_schema)),
                strict: false,
            });
        }
    }
    Ok(())
}

fn read_tool_config<'a>(
    value: &Node<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Untranslatable> {
    let Some(config) = field(value, "functionCallingConfig") else { return Ok(()) };
    let allowed = field(config, "allowedFunctionNames").map(|names| texts("toolConfig", names));
    let allowed = allowed.transpose()?.unwrap_or_default();
    let mode = config.text("mode").unwrap_or_default();
    conversation.tool_choice = match (mode.plain().as_ref(), allowed.as_slice()) {
        ("ANY", [name]) => Some(ToolChoice::Tool(name.clone())),
        ("ANY", _) => Some(ToolChoice::Required),
        ("NONE", _) => Some(ToolChoice::None),
        ("AUTO" | "VALIDATED", _) => Some(ToolChoice::Auto),
        _ => None,
    };
    if allowed.len() > 1 {
        conversation.allow_only(&allowed);
    }
    Ok(())
}

fn read_content<'a>(content: &Node<'a>) -> Result<Turn<'a>, Untranslatable> {
    let is_model = content.text("role").is_some_and(|role| role.is("model"));
    let role = if is_model { Role::Assistant } else { Role::User };
    let parts = content.elements("parts").iter().map(read_part);
    Ok(Turn { role, parts: parts.collect::<Result<_, _>>()? })
}

fn read_part<'a>(part: &Node<'a>) -> Result<Part<'a>, Untranslatable> {
    if let Some(part) = read_said(part) {
        return Ok(part);
    }
    if let Some(response) = field(part, "functionResponse") {
        return Ok(Part::Result(read_response(response)));
    }
    if let Some(blob) = field(part, "inlineData") {
        let mime = field(blob, "mimeType").and_then(Node::as_text).unwrap_or_default();
        let data = blob.text("data").unwrap_or_default();
        return of_kind(&mime.clone(), Source::Inline { mime, data });
    }
    if let Some(file) = field(part, "fileData") {
        let mime = field(file, "mimeType").and_then(Node::as_text).unwrap_or_default();
        let url = field(file, "fileUri").and_then(Node::as_text).unwrap_or_default();
        let is_elsewhere = url.plain().starts_with("https://")
            && !url.plain().contains("generativelanguage.googleapis.com");
        if !is_elsewhere {
            let why = "only the provider it was uploaded to has it";
            return Err(Untranslatable::refused("contents[].parts[].fileData", why));
        }
        return of_kind(&mime, Source::Url(url));
    }
    let unknown = part.fields().next().map_or("", |(key, _)| key);
    Err(Untranslatable::unknown("contents[].parts[].", unknown))
}

/// Reads a part that a model may have said, in a request or in an answer.
pub fn read_said<'a>(part: &Node<'a>) -> Option<Part<'a>> {
    let signature = field(part, "thoughtSignature").and_then(Node::as_text);
    if let Some(call) = field(part, "functionCall") {
        return Some(Part::Call(Call {
            id: call.text("id").unwrap_or_default(),
            name: call.text("name").unwrap_or_default(),
            arguments: Arguments::Value(call.get("args").map_or("{}", |args| args.raw).into()),
            signature,
        }));
    }
    let text = part.text("text")?;
    if part.get("thought").and_then(Node::as_bool) == Some(true) {
        // Its signature is left: Google wants back only those of calls.
        return Some(Part::Reasoning(Thought::of_text(text)));
    }
    Some(Part::Text(text))
}

fn of_kind<'a>(mime: &Text<'a>, source: Source<'a>) -> Result<Part<'a>, Untranslatable> {
    let media = Media { source, name: None, detail: None };
    match mime.plain().split('/').next() {
        Some("image") => Ok(Part::Image(media)),
        Some("application" | "text") => Ok(Part::Document(media)),
        _ => {
            let why = "only images and documents are translated";
            Err(Untranslatable::refused("contents[].parts[].mimeType", why))
        }
    }
}

/// A function's answer is an object here. What Google calls its one text is taken out of it.
fn read_response<'a>(response: &Node<'a>) -> ToolResult<'a> {
    let object = response.get("response");
    let mut fields = object.into_iter().flat_map(Node::fields);
    let only = match (fields.next(), fields.next()) {
        (Some((key, value)), None) if matches!(key, "output" | "result" | "error") => {
            value.as_text().map(|text| (text, key == "error"))
        }
        _ => None,
    };
    let (text, is_error) =
        only.unwrap_or_else(|| (Text::from_plain(object.map_or("", |object| object.raw)), false));
    ToolResult {
        id: response.text("id").unwrap_or_default(),
        name: response.text("name").unwrap_or_default(),
        parts: vec![Part::Text(text)],
        is_error,
    }
}
