//! A Messages request, written.

use super::super::conversation::{
    Conversation, Effort, Format, Lacks, Media, Part, Role, Source, Thought, ToolChoice,
    ToolResult, Turn, joined, plain_id,
};
use super::super::json::{Text, Writer};
use super::super::model::Claude;
use super::super::{Notes, Untranslatable};

/// Far longer than the ids that Anthropic makes; it names no limit.
const LONGEST_ID: usize = 64;

/// Writes a request.
pub fn write_request(
    mut conversation: Conversation<'_>,
    model: &str,
    notes: &mut Notes,
) -> Result<String, Untranslatable> {
    let claude = Claude::of(model);
    let lacks = Lacks {
        choices: true,
        penalties: true,
        seed: true,
        strict: !claude.takes_schema(),
        ..Lacks::default()
    };
    conversation.leave_out(&lacks, notes)?;
    conversation.gather_system(notes);
    let thinking = Thinking::of(&conversation, claude, notes);
    let mut failed = Ok(());
    let mut w = Writer::with_capacity(1024);
    w.object(|w| {
        w.key("model").plain(model);
        let max_tokens = conversation.sampling.max_tokens;
        w.key("max_tokens").count(max_tokens.unwrap_or_else(|| claude.max_tokens()));
        if let Some(system) = joined(conversation.system.iter().cloned()) {
            w.key("system").text(&system);
        }
        write_sampling(&conversation, claude, thinking, w, notes);
        write_tools(&conversation, claude, w);
        thinking.write(w);
        failed = write_output(&conversation, claude, thinking, w);
        if let Some(user) = &conversation.user {
            w.key("metadata").object(|w| w.key("user_id").text(user));
        }
        if conversation.stream {
            w.key("stream").bool(true);
        }
        w.key("messages").array(|w| {
            for turn in conversation.alternating() {
                write_turn(&turn, w, notes);
            }
        });
    });
    failed.map(|()| w.finish())
}

/// How the model is told to think.
#[derive(Clone, Copy, Debug, Default)]
struct Thinking {
    budget_tokens: Option<u64>,
    is_adaptive: bool,
    is_visible: bool,
    effort: Option<Effort>,
}

impl Thinking {
    fn of(conversation: &Conversation<'_>, claude: Claude, notes: &mut Notes) -> Self {
        let reasoning = conversation.reasoning;
        let effort = match reasoning.as_effort() {
            Some(effort) if effort != Effort::None => effort.max(Effort::Low),
            _ if reasoning.enabled == Some(true) => Effort::High,
            _ => return Thinking::default(),
        };
        let is_forced =
            matches!(conversation.tool_choice, Some(ToolChoice::Required | ToolChoice::Tool(_)));
        let is_within = |budget: &u64| {
            (1024..conversation.sampling.max_tokens.unwrap_or(claude.max_tokens())).contains(budget)
        };
        let budget_tokens = reasoning.budget_tokens.filter(is_within);
        let mut thinking = Thinking { is_visible: reasoning.visible, ..Thinking::default() };
        if is_forced {
            notes.drop("reasoning", "the target does not think when a tool must be called");
        } else if claude.takes_budget() && budget_tokens.is_some() {
            thinking.budget_tokens = budget_tokens;
            return thinking;
        } else {
            thinking.is_adaptive = claude.thinks_adaptively();
        }
        thinking.effort = claude.takes_effort().then_some(effort);
        if thinking.effort.is_none() && !is_forced {
            notes.drop("reasoning effort", "the target's model does not take one");
        }
        thinking
    }

    fn is_on(self) -> bool {
        self.is_adaptive || self.budget_tokens.is_some()
    }

    fn write(self, w: &mut Writer) {
        if let Some(budget) = self.budget_tokens {
            w.key("thinking").object(|w| {
                w.key("type").plain("enabled");
                w.key("budget_tokens").count(budget);
            });
        } else if self.is_adaptive {
            w.key("thinking").object(|w| {
                w.key("type").plain("adaptive");
                if self.is_visible {
                    w.key("display").plain("summarized");
                }
            });
        }
    }
}

fn write_sampling(
    conversation: &Conversation<'_>,
    claude: Claude,
    thinking: Thinking,
    w: &mut Writer,
    notes: &mut Notes,
) {
    let sampling = &conversation.sampling;
    let is_one = |number: &str| number.parse() == Ok(1.0);
    let is_below_one = |number: &str| number.parse().is_ok_and(|number: f64| number < 1.0);
    let has_temperature = sampling.temperature.is_some_and(is_below_one);
    for (name, value) in [
        ("temperature", sampling.temperature),
        ("top_p", sampling.top_p),
        ("top_k", sampling.top_k),
    ] {
        let Some(value) = value else { continue };
        // One is what both are anyway.
        if name != "top_k" && is_one(value) {
            continue;
        }
        if !claude.takes_sampling() {
            notes.drop(name, "the target's model does not take it");
        } else if thinking.is_on() {
            notes.drop(name, "the target does not take it while it thinks");
        } else if name == "top_p" && has_temperature && !claude.takes_both() {
            notes.drop(name, "the target's model does not take it beside a temperature");
        } else if name == "temperature" && value.parse().is_ok_and(|value: f64| value > 1.0) {
            notes.drop(name, "was lowered to 1, the target's highest");
        } else {
            w.key(name).raw(value);
        }
    }
    if !sampling.stop.is_empty() {
        w.key("stop_sequences").array(|w| sampling.stop.iter().for_each(|stop| w.text(stop)));
    }
}

fn write_tools(conversation: &Conversation<'_>, claude: Claude, w: &mut Writer) {
    if conversation.tools.is_empty() {
        return;
    }
    w.key("tools").array(|w| {
        for tool in &conversation.tools {
            w.object(|w| {
                w.key("name").text(&tool.name);
                w.maybe_text("description", tool.description.as_ref());
                let nothing = r#"{"type":"object","properties":{}}"#;
                w.key("input_schema").raw(tool.parameters.as_deref().unwrap_or(nothing));
                if tool.strict && claude.takes_schema() {
                    w.key("strict").bool(true);
                }
            });
        }
    });
    let is_single = conversation.parallel_tool_calls == Some(false);
    let choice = match &conversation.tool_choice {
        None if is_single => &ToolChoice::Auto,
        None => return,
        Some(choice) => choice,
    };
    w.key("tool_choice").object(|w| {
        w.key("type").plain(match choice {
            ToolChoice::Auto => "auto",
            ToolChoice::None => "none",
            ToolChoice::Required => "any",
            ToolChoice::Tool(_) => "tool",
        });
        if let ToolChoice::Tool(name) = choice {
            w.key("name").text(name);
        }
        if is_single && *choice != ToolChoice::None {
            w.key("disable_parallel_tool_use").bool(true);
        }
    });
}

fn write_output(
    conversation: &Conversation<'_>,
    claude: Claude,
    thinking: Thinking,
    w: &mut Writer,
) -> Result<(), Untranslatable> {
    let schema = match &conversation.format {
        Format::Text => None,
        Format::Schema(schema) if claude.takes_schema() => Some(schema),
        Format::Schema(_) | Format::Json => {
            let why = "the target's model does not bind its answer to JSON";
            return Err(Untranslatable::refused("response_format", why));
        }
    };
    if schema.is_none() && thinking.effort.is_none() {
        return Ok(());
    }
    w.key("output_config").object(|w| {
        if let Some(effort) = thinking.effort {
            w.key("effort").plain(effort.as_str());
        }
        if let Some(schema) = schema {
            w.key("format").object(|w| {
                w.key("type").plain("json_schema");
                w.key("schema").raw(&schema.json);
            });
        }
    });
    Ok(())
}

fn write_turn(turn: &Turn<'_>, w: &mut Writer, notes: &mut Notes) {
    let is_nothing = |part: &Part<'_>| part.as_text().is_some_and(Text::is_blank);
    let is_result = |part: &&Part<'_>| matches!(part, Part::Result(_));
    if turn.parts.iter().all(is_nothing) {
        return;
    }
    w.object(|w| {
        w.key("role").plain(if turn.role == Role::Assistant { "assistant" } else { "user" });
        w.key("content");
        match turn.parts.as_slice() {
            [Part::Text(text)] => w.text(text),
            parts => w.array(|w| {
                // Results have to stand before everything else that is said with them.
                let results = parts.iter().filter(is_result);
                let others = parts.iter().filter(|part| !is_result(part) && !is_nothing(part));
                results.chain(others).for_each(|part| write_block(part, w, notes));
            }),
        }
    });
}

/// Writes a block of content, in a request or in an answer.
pub fn write_block(part: &Part<'_>, w: &mut Writer, notes: &mut Notes) {
    match part {
        Part::Text(text) | Part::Refusal(text) => w.object(|w| {
            w.key("type").plain("text");
            w.key("text").text(text);
        }),
        Part::Image(media) => write_media("image", media, w),
        Part::Document(media) => write_media("document", media, w),
        Part::Reasoning(thought) => write_thought(thought, w, notes),
        Part::Call(call) => w.object(|w| {
            w.key("type").plain("tool_use");
            w.key("id").text(&plain_id(&call.id, LONGEST_ID));
            w.key("name").text(&call.name);
            w.key("input").raw(&call.arguments.object(notes));
        }),
        Part::Result(result) => write_result(result, w, notes),
    }
}

fn write_result(result: &ToolResult<'_>, w: &mut Writer, notes: &mut Notes) {
    w.object(|w| {
        w.key("type").plain("tool_result");
        w.key("tool_use_id").text(&plain_id(&result.id, LONGEST_ID));
        match result.parts.as_slice() {
            [] => {}
            [Part::Text(text)] => w.key("content").text(text),
            parts => w.key("content").array(|w| {
                for part in parts {
                    write_block(part, w, notes);
                }
            }),
        }
        if result.is_error {
            w.key("is_error").bool(true);
        }
    });
}

/// Anthropic takes back only thoughts that it has signed.
fn write_thought(thought: &Thought<'_>, w: &mut Writer, notes: &mut Notes) {
    if let Some(data) = &thought.redacted {
        w.object(|w| {
            w.key("type").plain("redacted_thinking");
            w.key("data").text(data);
        });
    } else if let Some(signature) = &thought.signature {
        w.object(|w| {
            w.key("type").plain("thinking");
            w.key("thinking").text(&thought.text);
            w.key("signature").text(signature);
        });
    } else {
        notes.drop("reasoning", "the target takes back only thoughts of its own");
    }
}

fn write_media(kind: &str, media: &Media<'_>, w: &mut Writer) {
    w.object(|w| {
        w.key("type").plain(kind);
        w.key("source").object(|w| match &media.source {
            Source::Inline { mime, data } => {
                w.key("type").plain("base64");
                w.key("media_type").text(mime);
                w.key("data").text(data);
            }
            Source::Url(url) => {
                w.key("type").plain("url");
                w.key("url").text(url);
            }
            Source::Plain(text) => {
                w.key("type").plain("text");
                w.key("media_type").plain("text/plain");
                w.key("data").text(text);
            }
        });
        w.maybe_text("title", media.name.as_ref());
    });
}
