//! An Ollama request, written.

use super::super::chat::write_function;
use super::super::conversation::{
    Conversation, Effort, Format, Lacks, Part, Reasoning, Role, Source, ToolChoice, Turn, joined,
};
use super::super::json::{Text, Writer};
use super::super::{Notes, Untranslatable};

/// Writes a request.
pub fn write_request(
    conversation: &Conversation<'_>,
    model: &str,
    notes: &mut Notes,
) -> Result<String, Untranslatable> {
    let lacks =
        Lacks { choices: true, user: true, parallel: true, strict: true, ..Lacks::default() };
    conversation.leave_out(&lacks, notes)?;
    let mut w = Writer::with_capacity(1024);
    let mut failed = Ok(());
    w.object(|w| {
        w.key("model").plain(model);
        w.key("messages").array(|w| {
            if let Some(system) = joined(conversation.system.iter().cloned()) {
                write_text("system", &system, w);
            }
            for turn in &conversation.turns {
                failed = failed.clone().and_then(|()| write_turn(turn, w, notes));
            }
        });
        failed = failed.clone().and_then(|()| write_tools(conversation, w));
        match &conversation.format {
            Format::Text => {}
            Format::Json => w.key("format").plain("json"),
            Format::Schema(schema) => w.key("format").raw(&schema.json),
        }
        write_think(conversation.reasoning, model, w, notes);
        write_options(conversation, w);
        w.key("stream").bool(conversation.stream);
    });
    failed.map(|()| w.finish())
}

fn write_text(role: &str, text: &Text<'_>, w: &mut Writer) {
    w.object(|w| {
        w.key("role").plain(role);
        w.key("content").text(text);
    });
}

fn write_tools(conversation: &Conversation<'_>, w: &mut Writer) -> Result<(), Untranslatable> {
    match conversation.tool_choice {
        Some(ToolChoice::Required | ToolChoice::Tool(_)) => {
            let why = "the target cannot be made to call a tool";
            return Err(Untranslatable::refused("tool_choice", why));
        }
        // What is not there is not called.
        Some(ToolChoice::None) => return Ok(()),
        Some(ToolChoice::Auto) | None => {}
    }
    if !conversation.tools.is_empty() {
        w.key("tools").array(|w| {
            for tool in &conversation.tools {
                w.object(|w| {
                    w.key("type").plain("function");
                    w.key("function").object(|w| write_function(tool, false, w));
                });
            }
        });
    }
    Ok(())
}

/// A model that does not think refuses to be told to, so only a clear word goes along. The models
/// that know levels cannot be switched off.
fn write_think(reasoning: Reasoning, model: &str, w: &mut Writer, notes: &mut Notes) {
    let has_levels = model.rsplit('/').next().unwrap_or(model).starts_with("gpt-oss");
    match (reasoning.as_effort(), reasoning.enabled) {
        (Some(Effort::None | Effort::Minimal), _) if !has_levels => w.key("think").bool(false),
        (Some(effort), _) if has_levels => {
            w.key("think").plain(effort.clamp(Effort::Low, Effort::High).as_str());
        }
        (_, Some(true)) => w.key("think").bool(true),
        (Some(_), _) => notes.drop("reasoning effort", "the target's model may not take one"),
        (None, _) => {}
    }
}

fn write_options(conversation: &Conversation<'_>, w: &mut Writer) {
    let sampling = &conversation.sampling;
    let numbers = [
        ("temperature", sampling.temperature),
        ("top_p", sampling.top_p),
        ("top_k", sampling.top_k),
        ("frequency_penalty", sampling.frequency_penalty),
        ("presence_penalty", sampling.presence_penalty),
        ("seed", sampling.seed),
    ];
    let is_nothing = sampling.max_tokens.is_none()
        && sampling.stop.is_empty()
        && numbers.iter().all(|(_, value)| value.is_none());
    if is_nothing {
        return;
    }
    w.key("options").object(|w| {
        w.maybe_count("num_predict", sampling.max_tokens);
        for (name, value) in numbers {
            w.maybe_raw(name, value);
        }
        if !sampling.stop.is_empty() {
            w.key("stop").array(|w| sampling.stop.iter().for_each(|stop| w.text(stop)));
        }
    });
}

fn write_turn(turn: &Turn<'_>, w: &mut Writer, notes: &mut Notes) -> Result<(), Untranslatable> {
    let mut said = Vec::new();
    for part in &turn.parts {
        let Part::Result(result) = part else {
            said.push(part);
            continue;
        };
        if result.is_error {
            notes.drop("tool_result.is_error", "the target tells failure by the text only");
        }
        w.object(|w| {
            w.key("role").plain("tool");
            w.key("tool_name").text(&result.name);
            w.key("tool_call_id").text(&result.id);
            w.key("content").text(&result.as_text());
        });
        said.extend(result.parts.iter().filter(|part| part.as_text().is_none()));
    }
    if said.is_empty() { Ok(()) } else { write_said(turn.role, &said, w, notes) }
}

fn write_said(
    role: Role,
    parts: &[&Part<'_>],
    w: &mut Writer,
    notes: &mut Notes,
) -> Result<(), Untranslatable> {
    let mut texts = Vec::new();
    let mut images = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) | Part::Refusal(text) => texts.push(text.clone()),
            Part::Image(media) | Part::Document(media) => match &media.source {
                Source::Plain(text) => texts.push(text.clone()),
                Source::Inline { data, .. } if matches!(part, Part::Image(_)) => images.push(data),
                _ => {
                    let why = "the target takes images inside of the request only";
                    return Err(Untranslatable::refused("messages[].content[]", why));
                }
            },
            Part::Reasoning(_) | Part::Call(_) | Part::Result(_) => {}
        }
    }
    w.object(|w| {
        w.key("role").plain(match role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        });
        w.key("content").text(&joined(texts).unwrap_or_default());
        if !images.is_empty() {
            w.key("images").array(|w| images.iter().for_each(|data| w.text(data)));
        }
        write_calls(parts, w, notes);
    });
    Ok(())
}

/// Writes the thoughts and the calls of a message, in a request or in an answer.
pub fn write_calls(parts: &[&Part<'_>], w: &mut Writer, notes: &mut Notes) {
    let thoughts = parts.iter().filter_map(|part| match part {
        Part::Reasoning(thought) if !thought.text.is_empty() => Some(thought.text.clone()),
        _ => None,
    });
    w.maybe_text("thinking", joined(thoughts).as_ref());
    if !parts.iter().any(|part| matches!(part, Part::Call(_))) {
        return;
    }
    w.key("tool_calls").array(|w| {
        for part in parts {
            let Part::Call(call) = part else { continue };
            w.object(|w| {
                w.key("id").text(&call.id);
                w.key("function").object(|w| {
                    w.key("name").text(&call.name);
                    w.key("arguments").raw(&call.arguments.object(notes));
                });
            });
        }
    });
}
