//! A Chat answer, read and written.

use crate::dialect::Dialect;

use super::super::answer::{Answer, Choice, Finish};
use super::super::conversation::{Part, Thought};
use super::super::json::{Node, Text, Writer};
use super::super::usage::{is_told, read_usage, write_usage};
use super::read::{read_calls, read_thoughts};
use super::write::write_calls;

/// Reads an answer; `None` if it is none.
pub fn read_answer<'a>(root: &Node<'a>) -> Option<Answer<'a>> {
    let choices =
        root.get("choices")?.as_array()?.iter().map(read_choice).collect::<Option<_>>()?;
    Some(Answer {
        id: root.some_text("id"),
        model: root.some_text("model"),
        choices,
        usage: read_usage(Dialect::Chat, root.get("usage")),
    })
}

fn read_choice<'a>(choice: &Node<'a>) -> Option<Choice<'a>> {
    let message = choice.get("message")?;
    let mut parts = read_thoughts(message);
    parts.extend(message.some_text("content").map(Part::Text));
    // Some servers answer with a list of parts.
    let texts = message.elements("content").iter().filter_map(|part| part.some_text("text"));
    parts.extend(texts.map(Part::Text));
    parts.extend(message.some_text("refusal").map(Part::Refusal));
    read_calls(message, &mut parts).ok()?;
    Some(Choice { parts, finish: read_finish(choice).unwrap_or_default() })
}

/// Reads why a choice ended; `None` while it has not.
pub fn read_finish(choice: &Node<'_>) -> Option<Finish> {
    Some(match choice.text("finish_reason")?.plain().as_ref() {
        "length" => Finish::Length,
        "tool_calls" | "function_call" => Finish::Calls,
        "content_filter" => Finish::Filter,
        _ => Finish::Stop,
    })
}

/// The word for why an answer ended.
pub fn finish_word(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Sequence(_) | Finish::Malformed => "stop",
        Finish::Length => "length",
        Finish::Calls => "tool_calls",
        Finish::Filter => "content_filter",
    }
}

/// Writes an answer.
pub fn write_answer(answer: &Answer<'_>, created: u64) -> String {
    let mut w = Writer::with_capacity(1024);
    w.object(|w| {
        w.maybe_text("id", answer.id.as_ref());
        w.key("object").plain("chat.completion");
        w.key("created").count(created);
        w.maybe_text("model", answer.model.as_ref());
        w.key("choices").array(|w| {
            for (index, choice) in answer.choices.iter().enumerate() {
                w.object(|w| {
                    w.key("index").count(index as u64);
                    w.key("message").object(|w| write_message(choice, w));
                    w.key("logprobs").null();
                    w.key("finish_reason").plain(finish_word(&choice.finish));
                });
            }
        });
        if is_told(Dialect::Chat, &answer.usage) {
            w.key("usage").object(|w| write_usage(Dialect::Chat, &answer.usage, w));
        }
    });
    w.finish()
}

fn write_message(choice: &Choice<'_>, w: &mut Writer) {
    let mut content: Option<Text<'_>> = None;
    let mut refusal: Option<Text<'_>> = None;
    let mut thought: Option<Text<'_>> = None;
    let add = |to: &mut Option<Text<'_>>, text: &Text<'_>| {
        to.get_or_insert_default().push(text);
    };
    let mut thoughts = Vec::new();
    for part in &choice.parts {
        match part {
            Part::Text(text) => add(&mut content, text),
            Part::Refusal(text) => add(&mut refusal, text),
            Part::Reasoning(one) => {
                if !one.text.is_empty() {
                    add(&mut thought, &one.text);
                }
                thoughts.push(one);
            }
            _ => {}
        }
    }
    w.key("role").plain("assistant");
    match &content {
        Some(text) => w.key("content").text(text),
        None => w.key("content").null(),
    }
    match &refusal {
        Some(text) => w.key("refusal").text(text),
        None => w.key("refusal").null(),
    }
    w.maybe_text("reasoning_content", thought.as_ref());
    if thoughts.iter().any(|thought| thought.is_signed()) {
        w.key("thinking_blocks").array(|w| thoughts.iter().for_each(|one| write_thought(one, w)));
    }
    write_calls(&choice.parts, w);
}

/// Writes a thought with its signature, so that the client can send it back.
pub fn write_thought(thought: &Thought<'_>, w: &mut Writer) {
    w.object(|w| {
        if let Some(data) = &thought.redacted {
            w.key("type").plain("redacted_thinking");
            w.key("data").text(data);
        } else {
            w.key("type").plain("thinking");
            w.key("thinking").text(&thought.text);
            w.maybe_text("signature", thought.signature.as_ref());
        }
    });
}
