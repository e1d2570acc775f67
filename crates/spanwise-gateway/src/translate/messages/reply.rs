//! A Messages answer, read and written.

use crate::dialect::Dialect;

use super::super::Notes;
use super::super::answer::{Answer, Choice, Finish};
use super::super::conversation::{Part, Thought};
use super::super::json::{Node, Text, Writer};
use super::super::usage::{read_usage, write_usage};
use super::read::{read_call, read_thought};
use super::write::write_block;

/// Reads an answer; `None` if it is none.
pub fn read_answer<'a>(root: &Node<'a>) -> Option<Answer<'a>> {
    let blocks = root.get("content")?.as_array()?;
    let parts = blocks.iter().filter_map(read_block).collect();
    Some(Answer {
        id: root.some_text("id"),
        model: root.some_text("model"),
        choices: vec![Choice { parts, finish: read_finish(root).unwrap_or_default() }],
        usage: read_usage(Dialect::Messages, root.get("usage")),
    })
}

/// Blocks of tools that Anthropic runs itself never come, since none was asked for.
fn read_block<'a>(block: &Node<'a>) -> Option<Part<'a>> {
    match block.text("type")?.plain().as_ref() {
        "text" => block.text("text").map(Part::Text),
        "tool_use" => Some(Part::Call(read_call(block))),
        "thinking" | "redacted_thinking" => Some(Part::Reasoning(read_thought(block))),
        _ => None,
    }
}

/// Reads why the answer ended; `None` while it has not.
pub fn read_finish(node: &Node<'_>) -> Option<Finish> {
    Some(match node.text("stop_reason")?.plain().as_ref() {
        "stop_sequence" => Finish::Sequence(node.text("stop_sequence").map(Text::into_owned)),
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::Calls,
        "refusal" => Finish::Filter,
        _ => Finish::Stop,
    })
}

/// Writes the fields that say why an answer ended.
pub fn write_finish(finish: &Finish, w: &mut Writer) {
    w.key("stop_reason").plain(match finish {
        // Without the sequence itself its reason would be half told.
        Finish::Stop | Finish::Malformed | Finish::Sequence(None) => "end_turn",
        Finish::Sequence(Some(_)) => "stop_sequence",
        Finish::Length => "max_tokens",
        Finish::Calls => "tool_use",
        Finish::Filter => "refusal",
    });
    w.key("stop_sequence");
    match finish {
        Finish::Sequence(Some(sequence)) => w.text(sequence),
        _ => w.null(),
    }
}

/// Writes an answer.
pub fn write_answer(answer: &Answer<'_>, notes: &mut Notes) -> String {
    let mut w = Writer::with_capacity(1024);
    w.object(|w| {
        w.maybe_text("id", answer.id.as_ref());
        w.key("type").plain("message");
        w.key("role").plain("assistant");
        w.maybe_text("model", answer.model.as_ref());
        let nothing = Choice::default();
        let choice = answer.choices.first().unwrap_or(&nothing);
        w.key("content").array(|w| {
            for part in &choice.parts {
                match part {
                    Part::Reasoning(thought) => write_thought(thought, w, notes),
                    part => write_block(part, w, notes),
                }
            }
        });
        write_finish(&choice.finish, w);
        w.key("usage").object(|w| write_usage(Dialect::Messages, &answer.usage, w));
    });
    w.finish()
}

/// A client reads the signature of every thought, so a thought without one gets an empty one.
fn write_thought(thought: &Thought<'_>, w: &mut Writer, notes: &mut Notes) {
    if thought.is_signed() {
        write_block(&Part::Reasoning(thought.clone()), w, notes);
    } else {
        w.object(|w| {
            w.key("type").plain("thinking");
            w.key("thinking").text(&thought.text);
            w.key("signature").plain("");
        });
    }
}
