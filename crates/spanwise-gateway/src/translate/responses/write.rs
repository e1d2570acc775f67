//! A Responses request, written.

use super::super::conversation::{
    Conversation, Effort, Format, Lacks, Media, Part, Role, Source, Tool, ToolChoice, Turn, joined,
    plain_id,
};
use super::super::json::{Text, Writer};
use super::super::model::OpenAi;
use super::super::{Notes, Untranslatable};

/// OpenAI's longest id of a call in this dialect.
const LONGEST_ID: usize = 64;

/// Writes a request.
pub fn write_request(
    conversation: &Conversation<'_>,
    model: &str,
    notes: &mut Notes,
) -> Result<String, Untranslatable> {
    let lacks = Lacks {
        choices: true,
        stop: true,
        top_k: true,
        penalties: true,
        seed: true,
        thoughts: true,
        ..Lacks::default()
    };
    conversation.leave_out(&lacks, notes)?;
    let mut w = Writer::with_capacity(1024);
    w.object(|w| {
        w.key("model").plain(model);
        w.maybe_text("instructions", joined(conversation.system.iter().cloned()).as_ref());
        w.key("input").array(|w| {
            for turn in &conversation.turns {
                write_turn(turn, w, notes);
            }
        });
        write_tools(conversation, w);
        write_sampling(conversation, model, w, notes);
        write_format(&conversation.format, w);
        w.maybe_text("user", conversation.user.as_ref());
        // Nobody asked for the answer to be kept: other dialects cannot.
        w.key("store").bool(false);
        if conversation.stream {
            w.key("stream").bool(true);
        }
    });
    Ok(w.finish())
}

fn write_sampling(conversation: &Conversation<'_>, model: &str, w: &mut Writer, notes: &mut Notes) {
    let traits = OpenAi::of(model);
    let sampling = &conversation.sampling;
    w.maybe_count("max_output_tokens", sampling.max_tokens);
    for (name, value) in [("temperature", sampling.temperature), ("top_p", sampling.top_p)] {
        if traits.is_reasoner && value.is_some() {
            notes.drop(name, "the target's model does not take it");
        } else {
            w.maybe_raw(name, value);
        }
    }
    let reasoning = conversation.reasoning;
    let effort = reasoning.as_effort();
    if effort.is_none() && !reasoning.visible {
        return;
    }
    if !traits.takes_effort {
        notes.drop("reasoning effort", "the target's model does not take one");
        return;
    }
    w.key("reasoning").object(|w| {
        if let Some(effort) = effort {
            w.key("effort").plain(effort.min(Effort::XHigh).as_str());
        }
        if reasoning.visible {
            w.key("summary").plain("auto");
        }
    });
}

fn write_tools(conversation: &Conversation<'_>, w: &mut Writer) {
    if conversation.tools.is_empty() {
        return;
    }
    w.key("tools").array(|w| conversation.tools.iter().for_each(|tool| write_tool(tool, w)));
    if let Some(choice) = &conversation.tool_choice {
        w.key("tool_choice");
        match choice {
            ToolChoice::Auto => w.plain("auto"),
            ToolChoice::None => w.plain("none"),
            ToolChoice::Required => w.plain("required"),
            ToolChoice::Tool(name) => w.object(|w| {
                w.key("type").plain("function");
                w.key("name").text(name);
            }),
        }
    }
    if let Some(parallel) = conversation.parallel_tool_calls {
        w.key("parallel_tool_calls").bool(parallel);
    }
}

/// Here a schema is strict unless it is said not to be.
fn write_tool(tool: &Tool<'_>, w: &mut Writer) {
    w.object(|w| {
        w.key("type").plain("function");
        w.key("name").text(&tool.name);
        w.maybe_text("description", tool.description.as_ref());
        match &tool.parameters {
            Some(schema) => w.key("parameters").raw(schema),
            None => w.key("parameters").null(),
        }
        w.key("strict").bool(tool.strict);
    });
}

fn write_format(format: &Format<'_>, w: &mut Writer) {
    match format {
        Format::Text => {}
        Format::Json => w.key("text").object(|w| {
            w.key("format").object(|w| w.key("type").plain("json_object"));
        }),
        Format::Schema(schema) => w.key("text").object(|w| {
            w.key("format").object(|w| {
                w.key("type").plain("json_schema");
                let unnamed = Text::from_plain("answer");
                w.key("name").text(schema.name.as_ref().unwrap_or(&unnamed));
                w.maybe_text("description", schema.description.as_ref());
                w.key("schema").raw(&schema.json);
                w.key("strict").bool(schema.strict);
            });
        }),
    }
}

/// Writes a turn as the items it consists of: messages, and calls and results between them.
fn write_turn(turn: &Turn<'_>, w: &mut Writer, notes: &mut Notes) {
    let mut said: Vec<&Part<'_>> = Vec::new();
    for part in &turn.parts {
        match part {
            Part::Call(call) => {
                write_message(turn.role, &std::mem::take(&mut said), w);
                w.object(|w| {
                    w.key("type").plain("function_call");
                    w.key("call_id").text(&plain_id(&call.id, LONGEST_ID));
                    w.key("name").text(&call.name);
                    w.key("arguments").text(&call.arguments.text());
                });
            }
            Part::Result(result) => {
                write_message(turn.role, &std::mem::take(&mut said), w);
                if result.is_error {
                    notes.drop("tool_result.is_error", "the target tells failure by the text only");
                }
                w.object(|w| {
                    w.key("type").plain("function_call_output");
                    w.key("call_id").text(&plain_id(&result.id, LONGEST_ID));
                    w.key("output");
                    if result.parts.iter().all(|part| part.as_text().is_some()) {
                        w.text(&result.as_text());
                    } else {
                        let parts: Vec<_> = result.parts.iter().collect();
                        write_parts(&parts, w);
                    }
                });
            }
            Part::Reasoning(_) => {}
            part => said.push(part),
        }
    }
    write_message(turn.role, &said, w);
}

fn write_message(role: Role, parts: &[&Part<'_>], w: &mut Writer) {
    if parts.is_empty() {
        return;
    }
    w.object(|w| {
        w.key("role").plain(match role {
            Role::System => "developer",
            Role::User => "user",
            Role::Assistant => "assistant",
        });
        w.key("content");
        match (role, parts) {
            (_, [Part::Text(text)]) => w.text(text),
            // What the model said has parts of another kind.
            (Role::Assistant, parts) => w.array(|w| {
                for text in parts.iter().filter_map(|part| part.as_text()) {
                    w.object(|w| {
                        w.key("type").plain("output_text");
                        w.key("text").text(text);
                    });
                }
            }),
            (_, parts) => write_parts(parts, w),
        }
    });
}

fn write_parts(parts: &[&Part<'_>], w: &mut Writer) {
    w.array(|w| {
        for part in parts {
            match part {
                Part::Text(text) | Part::Refusal(text) => write_text(text, w),
                Part::Image(media) => w.object(|w| {
                    w.key("type").plain("input_image");
                    w.maybe_text("image_url", media.to_url().as_ref());
                    let auto = Text::from_plain("auto");
                    w.key("detail").text(media.detail.as_ref().unwrap_or(&auto));
                }),
                Part::Document(media) => write_document(media, w),
                Part::Reasoning(_) | Part::Call(_) | Part::Result(_) => {}
            }
        }
    });
}

fn write_text(text: &Text<'_>, w: &mut Writer) {
    w.object(|w| {
        w.key("type").plain("input_text");
        w.key("text").text(text);
    });
}

fn write_document(media: &Media<'_>, w: &mut Writer) {
    let url = media.to_url();
    match &media.source {
        Source::Plain(text) => write_text(text, w),
        Source::Url(url) => w.object(|w| {
            w.key("type").plain("input_file");
            w.key("file_url").text(url);
        }),
        Source::Inline { .. } => w.object(|w| {
            w.key("type").plain("input_file");
            let unnamed = Text::from_plain("document.pdf");
            w.key("filename").text(media.name.as_ref().unwrap_or(&unnamed));
            w.maybe_text("file_data", url.as_ref());
        }),
    }
}
