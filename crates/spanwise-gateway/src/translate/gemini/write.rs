//! A Gemini request, written.

use super::super::conversation::{
    Call, Conversation, Effort, Format, Lacks, Media, Part, Reasoning, Role, Source, ToolChoice,
    ToolResult, Turn,
};
use super::super::json::{Text, Writer, parse};
use super::super::model::GeminiThinking;
use super::super::{Notes, Untranslatable};

/// What Google takes in place of the signature of a thought that was not its own.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Writes a request.
pub fn write_request(
    mut conversation: Conversation<'_>,
    model: &str,
    notes: &mut Notes,
) -> Result<String, Untranslatable> {
    let lacks =
        Lacks { user: true, parallel: true, strict: true, thoughts: true, ..Lacks::default() };
    conversation.leave_out(&lacks, notes)?;
    conversation.gather_system(notes);
    let thinking = GeminiThinking::of(model);
    let mut w = Writer::with_capacity(1024);
    let mut failed = Ok(());
    w.object(|w| {
        if !conversation.system.is_empty() {
            w.key("systemInstruction").object(|w| {
                w.key("parts").array(|w| {
                    for text in &conversation.system {
                        w.object(|w| w.key("text").text(text));
                    }
                });
            });
        }
        write_tools(&conversation, w);
        write_config(&conversation, thinking, w, notes);
        w.key("contents").array(|w| {
            for turn in conversation.alternating() {
                failed = failed.clone().and_then(|()| write_turn(&turn, thinking, w, notes));
            }
        });
    });
    failed.map(|()| w.finish())
}

fn write_config(
    conversation: &Conversation<'_>,
    thinking: GeminiThinking,
    w: &mut Writer,
    notes: &mut Notes,
) {
    let sampling = &conversation.sampling;
    w.key("generationConfig").object(|w| {
        w.maybe_count("maxOutputTokens", sampling.max_tokens);
        w.maybe_raw("temperature", sampling.temperature);
        w.maybe_raw("topP", sampling.top_p);
        w.maybe_raw("topK", sampling.top_k);
        w.maybe_raw("frequencyPenalty", sampling.frequency_penalty);
        w.maybe_raw("presencePenalty", sampling.presence_penalty);
        w.maybe_raw("seed", sampling.seed);
        w.maybe_count("candidateCount", sampling.n.filter(|n| *n != 1));
        if !sampling.stop.is_empty() {
            w.key("stopSequences").array(|w| sampling.stop.iter().for_each(|stop| w.text(stop)));
        }
        match &conversation.format {
            Format::Text => {}
            Format::Json => w.key("responseMimeType").plain("application/json"),
            Format::Schema(schema) => {
                w.key("responseMimeType").plain("application/json");
                w.key("responseJsonSchema").raw(&schema.json);
            }
        }
        write_thinking(conversation.reasoning, thinking, w, notes);
    });
}

fn write_thinking(
    reasoning: Reasoning,
    thinking: GeminiThinking,
    w: &mut Writer,
    notes: &mut Notes,
) {
    let effort = reasoning.as_effort();
    if effort.is_none() && !reasoning.visible {
        return;
    }
    if thinking == GeminiThinking::Never {
        notes.drop("reasoning effort", "the target's model does not take one");
        return;
    }
    w.key("thinkingConfig").object(|w| {
        if reasoning.visible {
            w.key("includeThoughts").bool(true);
        }
        let Some(effort) = effort else { return };
        if thinking == GeminiThinking::Budget {
            // The budgets that Google's own Chat endpoint gives these words.
            let budget = reasoning.budget_tokens.unwrap_or(match effort {
                Effort::None => 0,
                Effort::Minimal | Effort::Low => 1_024,
                Effort::Medium => 8_192,
                Effort::High | Effort::XHigh | Effort::Max => 24_576,
            });
            w.key("thinkingBudget").count(budget);
        } else {
            w.key("thinkingLevel").plain(match effort {
                Effort::None | Effort::Minimal => "MINIMAL",
                Effort::Low => "LOW",
                Effort::Medium => "MEDIUM",
                Effort::High | Effort::XHigh | Effort::Max => "HIGH",
            });
        }
    });
}

fn write_tools(conversation: &Conversation<'_>, w: &mut Writer) {
    if conversation.tools.is_empty() {
        return;
    }
    w.key("tools").array(|w| {
        w.object(|w| {
            w.key("functionDeclarations").array(|w| {
                for tool in &conversation.tools {
                    w.object(|w| {
                        w.key("name").text(&tool.name);
                        w.maybe_text("description", tool.description.as_ref());
                        w.maybe_raw("parametersJsonSchema", tool.parameters.as_deref());
                    });
                }
            });
        });
    });
    let Some(choice) = &conversation.tool_choice else { return };
    w.key("toolConfig").object(|w| {
        w.key("functionCallingConfig").object(|w| {
            w.key("mode").plain(match choice {
                ToolChoice::Auto => "AUTO",
                ToolChoice::None => "NONE",
                ToolChoice::Required | ToolChoice::Tool(_) => "ANY",
            });
            if let ToolChoice::Tool(name) = choice {
                w.key("allowedFunctionNames").array(|w| w.text(name));
            }
        });
    });
}

fn write_turn(
    turn: &Turn<'_>,
    thinking: GeminiThinking,
    w: &mut Writer,
    notes: &mut Notes,
) -> Result<(), Untranslatable> {
    let is_nothing =
        |part: &Part<'_>| part.is_thought() || part.as_text().is_some_and(Text::is_empty);
    if turn.parts.iter().all(is_nothing) {
        return Ok(());
    }
    // Only the first call of a step is signed.
    let mut needs_signature = thinking == GeminiThinking::Level;
    let mut failed = Ok(());
    w.object(|w| {
        w.key("role").plain(if turn.role == Role::Assistant { "model" } else { "user" });
        w.key("parts").array(|w| {
            for part in turn.parts.iter().filter(|part| !is_nothing(part)) {
                match part {
                    Part::Call(call) => {
                        write_call(call, needs_signature, w, notes);
                        needs_signature = false;
                    }
                    Part::Result(result) => {
                        failed = failed.clone().and_then(|()| write_result(result, w));
                    }
                    part => failed = failed.clone().and_then(|()| write_part(part, w)),
                }
            }
        });
    });
    failed
}

fn write_part(part: &Part<'_>, w: &mut Writer) -> Result<(), Untranslatable> {
    match part {
        Part::Text(text) | Part::Refusal(text) => {
            w.object(|w| w.key("text").text(text));
            Ok(())
        }
        Part::Image(media) | Part::Document(media) => write_media(media, w),
        Part::Reasoning(_) | Part::Call(_) | Part::Result(_) => Ok(()),
    }
}

/// Writes a call, in a request or in an answer.
pub fn write_call(call: &Call<'_>, needs_signature: bool, w: &mut Writer, notes: &mut Notes) {
    w.object(|w| {
        w.key("functionCall").object(|w| {
            w.key("id").text(&call.id);
            w.key("name").text(&call.name);
            w.key("args").raw(&call.arguments.object(notes));
        });
        match &call.signature {
            Some(signature) => w.key("thoughtSignature").text(signature),
            None if needs_signature => w.key("thoughtSignature").plain(NO_SIGNATURE),
            None => {}
        }
    });
}

fn write_result(result: &ToolResult<'_>, w: &mut Writer) -> Result<(), Untranslatable> {
    let text = result.as_text();
    w.object(|w| {
        w.key("functionResponse").object(|w| {
            w.key("id").text(&result.id);
            w.key("name").text(&result.name);
            w.key("response");
            let plain = text.plain();
            let is_object = parse(plain.as_bytes()).is_ok_and(|node| node.is_object());
            if is_object && !result.is_error {
                w.raw(&plain);
            } else {
                let key = if result.is_error { "error" } else { "output" };
                w.object(|w| w.key(key).text(&text));
            }
        });
    });
    let mut media = result.parts.iter().filter(|part| part.as_text().is_none());
    media.try_for_each(|part| write_part(part, w))
}

fn write_media(media: &Media<'_>, w: &mut Writer) -> Result<(), Untranslatable> {
    match &media.source {
        Source::Inline { mime, data } => w.object(|w| {
            w.key("inlineData").object(|w| {
                w.key("mimeType").text(mime);
                w.key("data").text(data);
            });
        }),
        Source::Plain(text) => w.object(|w| w.key("text").text(text)),
        Source::Url(url) => {
            let Some(mime) = mime_of_url(&url.plain()) else {
                let why = "the target has to be told what kind of file it is";
                return Err(Untranslatable::refused("image_url", why));
            };
            w.object(|w| {
                w.key("fileData").object(|w| {
                    w.key("mimeType").plain(mime);
                    w.key("fileUri").text(url);
                });
            });
        }
    }
    Ok(())
}

/// The kind of file that the end of a URL's path names.
fn mime_of_url(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let (_, extension) = path.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "pdf" => "application/pdf",
        _ => return None,
    })
}
