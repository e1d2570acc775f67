//! A Converse request, written.

use super::super::conversation::{
    Conversation, Effort, Format, Lacks, Media, Part, Role, Source, Thought, ToolChoice,
    ToolResult, Turn, plain_id,
};
use super::super::json::{Text, Writer, compact, parse};
use super::super::model::Claude;
use super::super::{Notes, Untranslatable};
use super::DOCUMENTS;

/// Bedrock's longest id of a call.
const LONGEST_ID: usize = 64;

/// Writes a request; the model stands in the path.
pub fn write_request(
    mut conversation: Conversation<'_>,
    model: &str,
    notes: &mut Notes,
) -> Result<String, Untranslatable> {
    let is_claude = model.contains("claude");
    let claude = Claude::of(model);
    let lacks = Lacks {
        choices: true,
        penalties: true,
        seed: true,
        user: true,
        parallel: true,
        top_k: !is_claude,
        ..Lacks::default()
    };
    conversation.leave_out(&lacks, notes)?;
    conversation.gather_system(notes);
    if matches!(conversation.format, Format::Json) {
        let why = "the target binds its answer to a schema only";
        return Err(Untranslatable::refused("response_format", why));
    }
    let extra = Extra::of(&conversation, is_claude, claude, notes);
    let mut w = Writer::with_capacity(1024);
    let mut failed = Ok(());
    w.object(|w| {
        if !conversation.system.is_empty() {
            w.key("system").array(|w| {
                for text in &conversation.system {
                    w.object(|w| w.key("text").text(text));
                }
            });
        }
        write_config(&conversation, &extra, is_claude, claude, w, notes);
        failed = write_tools(&conversation, w);
        extra.write(w);
        write_output(&conversation, &extra, w);
        w.key("messages").array(|w| {
            for turn in conversation.alternating() {
                failed = failed.clone().and_then(|()| write_turn(&turn, w, notes));
            }
        });
    });
    failed.map(|()| w.finish())
}

/// What stands in the fields of the model's own.
#[derive(Debug, Default)]
struct Extra {
    top_k: Option<String>,
    budget_tokens: Option<u64>,
    is_adaptive: bool,
    effort: Option<Effort>,
}

impl Extra {
    fn of(
        conversation: &Conversation<'_>,
        is_claude: bool,
        claude: Claude,
        notes: &mut Notes,
    ) -> Self {
        let reasoning = conversation.reasoning;
        let is_forced =
            matches!(conversation.tool_choice, Some(ToolChoice::Required | ToolChoice::Tool(_)));
        let effort = reasoning.as_effort().filter(|effort| *effort != Effort::None);
        let wants = effort.is_some() || reasoning.enabled == Some(true);
        let mut extra = Extra::default();
        if wants && is_claude && !is_forced {
            let limit = conversation.sampling.max_tokens.unwrap_or(u64::MAX);
            let fits = |budget: &u64| claude.takes_budget() && (1024..limit).contains(budget);
            extra.budget_tokens = reasoning.budget_tokens.filter(fits);
            extra.is_adaptive = extra.budget_tokens.is_none() && claude.thinks_adaptively();
            extra.effort = effort
                .filter(|_| claude.takes_effort() && extra.budget_tokens.is_none())
                .map(|effort| effort.max(Effort::Low));
        }
        if wants && !extra.thinks() && extra.effort.is_none() {
            notes.drop("reasoning effort", "the target's model does not take one");
        }
        let takes_top_k = is_claude && claude.takes_sampling() && !extra.thinks();
        extra.top_k = conversation.sampling.top_k.filter(|_| takes_top_k).map(str::to_owned);
        extra
    }

    fn thinks(&self) -> bool {
        self.is_adaptive || self.budget_tokens.is_some()
    }

    fn write(&self, w: &mut Writer) {
        if self.top_k.is_none() && !self.thinks() {
            return;
        }
        w.key("additionalModelRequestFields").object(|w| {
            w.maybe_raw("top_k", self.top_k.as_deref());
            if self.thinks() {
                w.key("thinking").object(|w| {
                    w.key("type").plain(if self.is_adaptive { "adaptive" } else { "enabled" });
                    w.maybe_count("budget_tokens", self.budget_tokens);
                });
            }
        });
    }
}

fn write_config(
    conversation: &Conversation<'_>,
    extra: &Extra,
    is_claude: bool,
    claude: Claude,
    w: &mut Writer,
    notes: &mut Notes,
) {
    let sampling = &conversation.sampling;
    w.key("inferenceConfig").object(|w| {
        w.maybe_count("maxTokens", sampling.max_tokens);
        let is_one = |number: &&str| number.parse() == Ok(1.0);
        let is_below_one = |number: &str| number.parse().is_ok_and(|number: f64| number < 1.0);
        let has_temperature = sampling.temperature.is_some_and(is_below_one);
        for (name, value) in [("temperature", sampling.temperature), ("topP", sampling.top_p)] {
            // One is what both are anyway.
            let Some(value) = value.filter(|value| !is_one(value)) else { continue };
            if is_claude && (!claude.takes_sampling() || extra.thinks()) {
                notes.drop(name, "the target's model does not take it");
            } else if name == "topP" && is_claude && has_temperature && !claude.takes_both() {
                notes.drop(name, "the target's model does not take it beside a temperature");
            } else if value.parse().is_ok_and(|value: f64| value > 1.0) {
                notes.drop(name, "was lowered to 1, the target's highest");
            } else {
                w.key(name).raw(value);
            }
        }
        if !sampling.stop.is_empty() {
            w.key("stopSequences").array(|w| sampling.stop.iter().for_each(|stop| w.text(stop)));
        }
    });
}

fn write_tools(conversation: &Conversation<'_>, w: &mut Writer) -> Result<(), Untranslatable> {
    let is_barred = conversation.tool_choice == Some(ToolChoice::None);
    if is_barred && conversation.has_calls() {
        let why = "the target cannot be kept from calling the tools of earlier turns";
        return Err(Untranslatable::refused("tool_choice", why));
    }
    // What is not there is not called.
    if conversation.tools.is_empty() || is_barred {
        return Ok(());
    }
    w.key("toolConfig").object(|w| {
        w.key("tools").array(|w| {
            for tool in &conversation.tools {
                w.object(|w| {
                    w.key("toolSpec").object(|w| {
                        w.key("name").text(&tool.name);
                        let description = tool.description.as_ref();
                        w.maybe_text("description", description.filter(|text| !text.is_empty()));
                        let nothing = r#"{"type":"object","properties":{}}"#;
                        let schema = tool.parameters.as_deref().unwrap_or(nothing);
                        w.key("inputSchema").object(|w| w.key("json").raw(schema));
                        if tool.strict {
                            w.key("strict").bool(true);
                        }
                    });
                });
            }
        });
        let Some(choice) = &conversation.tool_choice else { return };
        w.key("toolChoice").object(|w| match choice {
            ToolChoice::Auto | ToolChoice::None => w.key("auto").object(|_| {}),
            ToolChoice::Required => w.key("any").object(|_| {}),
            ToolChoice::Tool(name) => w.key("tool").object(|w| w.key("name").text(name)),
        });
    });
    Ok(())
}

fn write_output(conversation: &Conversation<'_>, extra: &Extra, w: &mut Writer) {
    let schema = match &conversation.format {
        Format::Schema(schema) => Some(schema),
        _ => None,
    };
    if schema.is_none() && extra.effort.is_none() {
        return;
    }
    w.key("outputConfig").object(|w| {
        if let Some(schema) = schema {
            w.key("textFormat").object(|w| {
                w.key("type").plain("json_schema");
                w.key("structure").object(|w| {
                    w.key("jsonSchema").object(|w| {
                        w.key("schema").plain(&compact(&schema.json));
                        w.maybe_text("name", schema.name.as_ref());
                        w.maybe_text("description", schema.description.as_ref());
                    });
                });
            });
        }
        if let Some(effort) = extra.effort {
            w.key("effort").plain(effort.as_str());
        }
    });
}

fn write_turn(turn: &Turn<'_>, w: &mut Writer, notes: &mut Notes) -> Result<(), Untranslatable> {
    let is_nothing = |part: &Part<'_>| part.as_text().is_some_and(Text::is_blank);
    let is_result = |part: &&Part<'_>| matches!(part, Part::Result(_));
    if turn.parts.iter().all(is_nothing) {
        return Ok(());
    }
    let mut failed = Ok(());
    w.object(|w| {
        w.key("role").plain(if turn.role == Role::Assistant { "assistant" } else { "user" });
        w.key("content").array(|w| {
            // Results have to stand before everything else that is said with them.
            let results = turn.parts.iter().filter(is_result);
            let others = turn.parts.iter().filter(|part| !is_result(part) && !is_nothing(part));
            for part in results.chain(others) {
                failed = failed.clone().and_then(|()| write_block(part, w, notes));
            }
        });
    });
    failed
}

/// Writes a block of content, in a request or in an answer.
pub fn write_block(
    part: &Part<'_>,
    w: &mut Writer,
    notes: &mut Notes,
) -> Result<(), Untranslatable> {
    match part {
        Part::Text(text) | Part::Refusal(text) => w.object(|w| w.key("text").text(text)),
        Part::Image(media) => return write_image(media, w),
        Part::Document(media) => return write_document(media, w),
        Part::Reasoning(thought) => write_thought(thought, w, notes),
        Part::Call(call) => w.object(|w| {
            w.key("toolUse").object(|w| {
                w.key("toolUseId").text(&plain_id(&call.id, LONGEST_ID));
                w.key("name").text(&call.name);
                w.key("input").raw(&call.arguments.object(notes));
            });
        }),
        Part::Result(result) => return write_result(result, w, notes),
    }
    Ok(())
}

fn write_result(
    result: &ToolResult<'_>,
    w: &mut Writer,
    notes: &mut Notes,
) -> Result<(), Untranslatable> {
    let mut failed = Ok(());
    w.object(|w| {
        w.key("toolResult").object(|w| {
            w.key("toolUseId").text(&plain_id(&result.id, LONGEST_ID));
            w.key("content").array(|w| {
                for part in &result.parts {
                    let json = part.as_text().map(Text::plain);
                    match json
                        .filter(|json| parse(json.as_bytes()).is_ok_and(|node| node.is_object()))
                    {
                        Some(json) => w.object(|w| w.key("json").raw(&json)),
                        None => failed = failed.clone().and_then(|()| write_block(part, w, notes)),
                    }
                }
            });
            if result.is_error {
                w.key("status").plain("error");
            }
        });
    });
    failed
}

fn write_thought(thought: &Thought<'_>, w: &mut Writer, notes: &mut Notes) {
    if !thought.is_signed() {
        notes.drop("reasoning", "the target takes back only thoughts of its own");
        return;
    }
    w.object(|w| {
        w.key("reasoningContent").object(|w| {
            if let Some(data) = &thought.redacted {
                w.key("redactedContent").text(data);
                return;
            }
            w.key("reasoningText").object(|w| {
                w.key("text").text(&thought.text);
                w.maybe_text("signature", thought.signature.as_ref());
            });
        });
    });
}

fn elsewhere() -> Untranslatable {
    let why = "the target takes images and documents inside of the request only";
    Untranslatable::refused("messages[].content[].url", why)
}

fn write_image(media: &Media<'_>, w: &mut Writer) -> Result<(), Untranslatable> {
    let Source::Inline { mime, data } = &media.source else { return Err(elsewhere()) };
    let mime = mime.plain();
    let format = mime
        .strip_prefix("image/")
        .filter(|format| matches!(*format, "png" | "jpeg" | "gif" | "webp"));
    let Some(format) = format.or((mime == "image/jpg").then_some("jpeg")) else {
        let why = "the target takes PNG, JPEG, GIF and WebP only";
        return Err(Untranslatable::refused("image.media_type", why));
    };
    w.object(|w| {
        w.key("image").object(|w| {
            w.key("format").plain(format);
            w.key("source").object(|w| w.key("bytes").text(data));
        });
    });
    Ok(())
}

fn write_document(media: &Media<'_>, w: &mut Writer) -> Result<(), Untranslatable> {
    let format = match &media.source {
        Source::Plain(_) => "txt",
        Source::Url(_) => return Err(elsewhere()),
        Source::Inline { mime, .. } => {
            let known = DOCUMENTS.iter().find(|(_, known)| mime.is(known));
            let unknown = || {
                let why = "is a kind of document that the target does not take";
                Untranslatable::refused("document.media_type", why)
            };
            known.map(|(word, _)| *word).ok_or_else(unknown)?
        }
    };
    w.object(|w| {
        w.key("document").object(|w| {
            w.key("format").plain(format);
            w.key("name").plain(&document_name(media.name.as_ref()));
            w.key("source").object(|w| match &media.source {
                Source::Inline { data, .. } => w.key("bytes").text(data),
                Source::Plain(text) | Source::Url(text) => w.key("text").text(text),
            });
        });
    });
    Ok(())
}

/// Bedrock takes few characters in a name, and no two spaces in a row.
fn document_name(name: Option<&Text<'_>>) -> String {
    let name = name.map(Text::plain).unwrap_or_default();
    let plain = name.chars().map(|character| match character {
        '-' | '(' | ')' | '[' | ']' => character,
        character if character.is_ascii_alphanumeric() => character,
        _ => ' ',
    });
    let plain: String = plain.take(200).collect();
    let words: Vec<_> = plain.split_whitespace().collect();
    if words.is_empty() { "document".to_owned() } else { words.join(" ") }
}
