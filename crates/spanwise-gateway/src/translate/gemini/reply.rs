//! A Gemini answer, read and written.

use crate::dialect::Dialect;

use super::super::Notes;
use super::super::answer::{Answer, Choice, Finish};
use super::super::conversation::Part;
use super::super::json::{Node, Text, Writer};
use super::super::usage::{is_told, read_usage, write_usage};
use super::read::{field, read_said};
use super::write::write_call;

/// Reads an answer; `None` if it is none.
pub fn read_answer<'a>(root: &Node<'a>) -> Option<Answer<'a>> {
    let candidates = root.elements("candidates");
    let mut choices: Vec<_> = candidates.iter().map(read_candidate).collect();
    if choices.is_empty() {
        // Nothing is answered to what must not be asked.
        root.get("promptFeedback")?;
        choices.push(Choice { parts: Vec::new(), finish: Finish::Filter });
    }
    Some(Answer {
        id: root.some_text("responseId"),
        model: root.some_text("modelVersion"),
        choices,
        usage: read_usage(Dialect::Gemini, field(root, "usageMetadata")),
    })
}

fn read_candidate<'a>(candidate: &Node<'a>) -> Choice<'a> {
    let parts = candidate.get("content").map(|content| content.elements("parts"));
    let parts = parts.unwrap_or_default().iter().filter_map(read_said);
    Choice {
        parts: parts.filter(|part| !part.as_text().is_some_and(Text::is_empty)).collect(),
        finish: read_finish(candidate).unwrap_or_default(),
    }
}

/// Reads why a candidate ended; `None` while it has not.
pub fn read_finish(candidate: &Node<'_>) -> Option<Finish> {
    Some(match field(candidate, "finishReason")?.as_text()?.plain().as_ref() {
        "FINISH_REASON_UNSPECIFIED" => return None,
        "MAX_TOKENS" => Finish::Length,
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII"
        | "IMAGE_SAFETY" | "MODEL_ARMOR" => Finish::Filter,
        "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
        | "MALFORMED_RESPONSE" => Finish::Malformed,
        _ => Finish::Stop,
    })
}

/// The word for why an answer ended.
pub fn finish_word(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Sequence(_) | Finish::Calls => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::Filter => "SAFETY",
        Finish::Malformed => "MALFORMED_RESPONSE",
    }
}

/// Writes an answer.
pub fn write_answer(answer: &Answer<'_>, notes: &mut Notes) -> String {
    let mut w = Writer::with_capacity(1024);
    w.object(|w| {
        w.key("candidates").array(|w| {
            for (index, choice) in answer.choices.iter().enumerate() {
                w.object(|w| {
                    w.key("content").object(|w| {
                        w.key("role").plain("model");
                        w.key("parts").array(|w| {
                            choice.parts.iter().for_each(|part| write_said(part, w, notes));
                        });
                    });
                    w.key("finishReason").plain(finish_word(&choice.finish));
                    w.key("index").count(index as u64);
                });
            }
        });
        if is_told(Dialect::Gemini, &answer.usage) {
            w.key("usageMetadata").object(|w| write_usage(Dialect::Gemini, &answer.usage, w));
        }
        w.maybe_text("modelVersion", answer.model.as_ref());
        w.maybe_text("responseId", answer.id.as_ref());
    });
    w.finish()
}

/// Writes a part that a model said.
pub fn write_said(part: &Part<'_>, w: &mut Writer, notes: &mut Notes) {
    match part {
        Part::Text(text) | Part::Refusal(text) => w.object(|w| w.key("text").text(text)),
        Part::Reasoning(thought) if thought.text.is_empty() => {}
        Part::Reasoning(thought) => w.object(|w| {
            w.key("text").text(&thought.text);
            w.key("thought").bool(true);
        }),
        Part::Call(call) => write_call(call, false, w, notes),
        Part::Image(_) | Part::Document(_) | Part::Result(_) => {}
    }
}
