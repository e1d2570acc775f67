//! A Converse answer, read and written.

use crate::dialect::Dialect;

use super::super::answer::{Answer, Choice, Finish};
use super::super::conversation::Part;
use super::super::json::{Node, Text, Writer};
use super::super::usage::{read_usage, write_usage};
use super::super::{Notes, Untranslatable};
use super::read::read_said;
use super::write::write_block;

/// Reads an answer; `None` if it is none.
pub fn read_answer<'a>(root: &Node<'a>) -> Option<Answer<'a>> {
    let message = root.get("output")?.get("message")?;
    let parts = message.elements("content").iter().filter_map(read_said).collect();
    Some(Answer {
        id: None,
        model: None,
        choices: vec![Choice { parts, finish: read_finish(root).unwrap_or_default() }],
        usage: read_usage(Dialect::Converse, root.get("usage")),
    })
}

/// Reads why an answer ended; `None` while it has not.
pub fn read_finish(node: &Node<'_>) -> Option<Finish> {
    Some(match node.text("stopReason")?.plain().as_ref() {
        "stop_sequence" => Finish::Sequence(None),
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::Calls,
        "guardrail_intervened" | "content_filtered" => Finish::Filter,
        "malformed_model_output" | "malformed_tool_use" => Finish::Malformed,
        _ => Finish::Stop,
    })
}

/// The word for why an answer ended.
pub fn finish_word(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Sequence(_) => "stop_sequence",
        Finish::Length => "max_tokens",
        Finish::Calls => "tool_use",
        Finish::Filter => "content_filtered",
        Finish::Malformed => "malformed_model_output",
    }
}

/// Writes an answer.
pub fn write_answer(answer: &Answer<'_>, notes: &mut Notes) -> Result<String, Untranslatable> {
    let mut w = Writer::with_capacity(1024);
    let mut failed = Ok(());
    w.object(|w| {
        let nothing = Choice::default();
        let choice = answer.choices.first().unwrap_or(&nothing);
        w.key("output").object(|w| {
            w.key("message").object(|w| {
                w.key("role").plain("assistant");
                w.key("content").array(|w| {
                    for part in &choice.parts {
                        failed = failed.clone().and_then(|()| write_said(part, w, notes));
                    }
                });
            });
        });
        w.key("stopReason").plain(finish_word(&choice.finish));
        w.key("usage").object(|w| write_usage(Dialect::Converse, &answer.usage, w));
        w.key("metrics").object(|_| {});
    });
    failed.map(|()| w.finish())
}

/// A client may see thoughts that nobody has signed.
fn write_said(part: &Part<'_>, w: &mut Writer, notes: &mut Notes) -> Result<(), Untranslatable> {
    match part {
        Part::Reasoning(thought) if !thought.is_signed() => {
            w.object(|w| {
                w.key("reasoningContent").object(|w| {
                    w.key("reasoningText").object(|w| w.key("text").text(&thought.text));
                });
            });
            Ok(())
        }
        part if part.as_text().is_some_and(Text::is_empty) => Ok(()),
        part => write_block(part, w, notes),
    }
}
