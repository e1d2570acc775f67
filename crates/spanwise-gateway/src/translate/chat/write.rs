//! A Chat request, written.

use super::super::conversation::{
    Conversation, Effort, Format, Lacks, Media, Part, Role, Sampling, Source, Tool, ToolChoice,
    ToolResult, Turn, joined, plain_id,
};
use super::super::json::{Text, Writer};
use super::super::model::OpenAi;
use super::super::{Notes, Untranslatable};

/// OpenAI's longest id of a call.
const LONGEST_ID: usize = 40;

/// Writes a request.
pub fn write_request(
    conversation: &Conversation<'_>,
    model: &str,
    notes: &mut Notes,
) -> Result<String, Untranslatable> {
    // Many servers behind this dialect know top-k; OpenAI itself refuses it.
    let lacks = Lacks { top_k: true, thoughts: true, ..Lacks::default() };
    conversation.leave_out(&lacks, notes)?;
    let traits = OpenAi::of(model);
    let mut w = Writer::with_capacity(1024);
    let mut failed = Ok(());
    w.object(|w| {
        w.key("model").plain(model);
        w.key("messages").array(|w| failed = write_messages(conversation, w, notes));
        write_tools(conversation, w);
        write_sampling(&conversation.sampling, traits, w, notes);
        if let Some(effort) = conversation.reasoning.as_effort() {
            if traits.takes_effort {
                w.key("reasoning_effort").plain(effort.min(Effort::XHigh).as_str());
            } else {
                notes.drop("reasoning effort", "the target's model does not take one");
            }
        }
        w.maybe_text("user", conversation.user.as_ref());
        write_format(&conversation.format, w);
        if conversation.stream {
            w.key("stream").bool(true);
            w.key("stream_options").object(|w| w.key("include_usage").bool(true));
        }
    });
    failed.map(|()| w.finish())
}

fn write_sampling(sampling: &Sampling<'_>, traits: OpenAi, w: &mut Writer, notes: &mut Notes) {
    let limit = if traits.is_reasoner { "max_completion_tokens" } else { "max_tokens" };
    w.maybe_count(limit, sampling.max_tokens);
    let numbers = [
        ("temperature", sampling.temperature),
        ("top_p", sampling.top_p),
        ("frequency_penalty", sampling.frequency_penalty),
        ("presence_penalty", sampling.presence_penalty),
    ];
    for (name, value) in numbers {
        let Some(value) = value else { continue };
        if traits.is_reasoner {
            notes.drop(name, "the target's model does not take it");
        } else {
            w.key(name).raw(value);
        }
    }
    w.maybe_raw("seed", sampling.seed);
    w.maybe_count("n", sampling.n.filter(|n| *n != 1));
    if !sampling.stop.is_empty() {
        w.key("stop").array(|w| sampling.stop.iter().for_each(|stop| w.text(stop)));
    }
}

fn write_tools(conversation: &Conversation<'_>, w: &mut Writer) {
    if conversation.tools.is_empty() {
        return;
    }
    w.key("tools").array(|w| {
        for tool in &conversation.tools {
            w.object(|w| {
                w.key("type").plain("function");
                w.key("function").object(|w| write_function(tool, true, w));
            });
        }
    });
    if let Some(choice) = &conversation.tool_choice {
        w.key("tool_choice");
        match choice {
            ToolChoice::Auto => w.plain("auto"),
            ToolChoice::None => w.plain("none"),
            ToolChoice::Required => w.plain("required"),
            ToolChoice::Tool(name) => w.object(|w| {
                w.key("type").plain("function");
                w.key("function").object(|w| w.key("name").text(name));
            }),
        }
    }
    if let Some(parallel) = conversation.parallel_tool_calls {
        w.key("parallel_tool_calls").bool(parallel);
    }
}

/// Writes a function's fields, as Chat and Ollama have them.
pub fn write_function(tool: &Tool<'_>, takes_strict: bool, w: &mut Writer) {
    w.key("name").text(&tool.name);
    w.maybe_text("description", tool.description.as_ref());
    w.maybe_raw("parameters", tool.parameters.as_deref());
    if tool.strict && takes_strict {
        w.key("strict").bool(true);
    }
}

fn write_format(format: &Format<'_>, w: &mut Writer) {
    match format {
        Format::Text => {}
        Format::Json => {
            w.key("response_format").object(|w| w.key("type").plain("json_object"));
        }
        Format::Schema(schema) => w.key("response_format").object(|w| {
            w.key("type").plain("json_schema");
            w.key("json_schema").object(|w| {
                let unnamed = Text::from_plain("answer");
                w.key("name").text(schema.name.as_ref().unwrap_or(&unnamed));
                w.maybe_text("description", schema.description.as_ref());
                w.key("schema").raw(&schema.json);
                if schema.strict {
                    w.key("strict").bool(true);
                }
            });
        }),
    }
}

fn write_messages(
    conversation: &Conversation<'_>,
    w: &mut Writer,
    notes: &mut Notes,
) -> Result<(), Untranslatable> {
    if let Some(system) = joined(conversation.system.iter().cloned()) {
        w.object(|w| {
            w.key("role").plain("system");
            w.key("content").text(&system);
        });
    }
    for turn in &conversation.turns {
        match turn.role {
            Role::System => write_turn("system", &turn.parts, w)?,
            Role::User => write_user(turn, w, notes)?,
            Role::Assistant => write_assistant(turn, w)?,
        }
    }
    Ok(())
}

/// Results of tools are messages of their own; images among them follow as the user's, since a
/// tool's message holds text only.
fn write_user(turn: &Turn<'_>, w: &mut Writer, notes: &mut Notes) -> Result<(), Untranslatable> {
    let mut said: Vec<Part<'_>> = Vec::new();
    for part in &turn.parts {
        match part {
            Part::Result(result) => {
                write_result(result, w, notes);
                let media = |part: &&Part<'_>| matches!(part, Part::Image(_) | Part::Document(_));
                said.extend(result.parts.iter().filter(media).cloned());
            }
            part => said.push(part.clone()),
        }
    }
    if said.is_empty() { Ok(()) } else { write_turn("user", &said, w) }
}

fn write_result(result: &ToolResult<'_>, w: &mut Writer, notes: &mut Notes) {
    if result.is_error {
        notes.drop("tool_result.is_error", "the target tells failure by the text only");
    }
    w.object(|w| {
        w.key("role").plain("tool");
        w.key("tool_call_id").text(&plain_id(&result.id, LONGEST_ID));
        w.key("content").text(&result.as_text());
    });
}

fn write_turn(role: &str, parts: &[Part<'_>], w: &mut Writer) -> Result<(), Untranslatable> {
    let mut failed = Ok(());
    w.object(|w| {
        w.key("role").plain(role);
        w.key("content");
        match parts {
            [Part::Text(text)] => w.text(text),
            parts => w.array(|w| {
                for part in parts {
                    failed = failed.clone().and(write_part(part, w));
                }
            }),
        }
    });
    failed
}

fn write_part(part: &Part<'_>, w: &mut Writer) -> Result<(), Untranslatable> {
    match part {
        Part::Text(text) | Part::Refusal(text) => w.object(|w| {
            w.key("type").plain("text");
            w.key("text").text(text);
        }),
        Part::Image(media) => w.object(|w| {
            w.key("type").plain("image_url");
            w.key("image_url").object(|w| {
                w.maybe_text("url", media.to_url().as_ref());
                w.maybe_text("detail", media.detail.as_ref());
            });
        }),
        Part::Document(media) => return write_media(media, "file", w),
        // The reader of every dialect puts these elsewhere; there is no place for them here.
        Part::Reasoning(_) | Part::Call(_) | Part::Result(_) => {}
    }
    Ok(())
}

/// Writes a document for one of OpenAI's dialects.
pub fn write_media(media: &Media<'_>, kind: &str, w: &mut Writer) -> Result<(), Untranslatable> {
    match (&media.source, media.to_url()) {
        (Source::Plain(text), _) => w.object(|w| {
            w.key("type").plain("text");
            w.key("text").text(text);
        }),
        (Source::Inline { .. }, Some(url)) => w.object(|w| {
            w.key("type").plain(kind);
            w.key(kind).object(|w| {
                let unnamed = Text::from_plain("document.pdf");
                w.key("filename").text(media.name.as_ref().unwrap_or(&unnamed));
                w.key("file_data").text(&url);
            });
        }),
        _ => {
            let why = "the target does not fetch documents";
            return Err(Untranslatable::refused("document.source.url", why));
        }
    }
    Ok(())
}

fn write_assistant(turn: &Turn<'_>, w: &mut Writer) -> Result<(), Untranslatable> {
    let is_content = |part: &&Part<'_>| {
        matches!(part, Part::Text(_) | Part::Refusal(_) | Part::Image(_) | Part::Document(_))
    };
    let mut content = Vec::new();
    for part in turn.parts.iter().filter(is_content) {
        match part {
            Part::Text(text) | Part::Refusal(text) => content.push(text.clone()),
            _ => {
                let why = "the target takes no image or document from its own side";
                return Err(Untranslatable::refused("messages[].content[]", why));
            }
        }
    }
    w.object(|w| {
        w.key("role").plain("assistant");
        w.key("content");
        match content.as_slice() {
            [] => w.null(),
            [text] => w.text(text),
            texts => w.array(|w| {
                for text in texts {
                    w.object(|w| {
                        w.key("type").plain("text");
                        w.key("text").text(text);
                    });
                }
            }),
        }
        write_calls(&turn.parts, w);
    });
    Ok(())
}

/// Writes the calls of an assistant's message.
pub fn write_calls(parts: &[Part<'_>], w: &mut Writer) {
    let calls = || {
        parts.iter().filter_map(|part| match part {
            Part::Call(call) => Some(call),
            _ => None,
        })
    };
    if calls().next().is_none() {
        return;
    }
    w.key("tool_calls").array(|w| {
        for call in calls() {
            w.object(|w| {
                w.key("id").text(&plain_id(&call.id, LONGEST_ID));
                w.key("type").plain("function");
                w.key("function").object(|w| {
                    w.key("name").text(&call.name);
                    w.key("arguments").text(&call.arguments.text());
                });
                write_signature(call.signature.as_ref(), w);
            });
        }
    });
}

/// Gemini's signature, in the place where Google's own Chat endpoint puts it.
pub fn write_signature(signature: Option<&Text<'_>>, w: &mut Writer) {
    if let Some(signature) = signature {
        w.key("extra_content").object(|w| {
            w.key("google").object(|w| w.key("thought_signature").text(signature));
        });
    }
}
