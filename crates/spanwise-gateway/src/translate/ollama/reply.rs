//! An Ollama answer, read and written.

use crate::dialect::Dialect;

use super::super::Notes;
use super::super::answer::{Answer, Choice, Finish};
use super::super::conversation::Part;
use super::super::json::{Node, Text, Writer};
use super::super::usage::{read_usage, write_usage};
use super::read::read_said;
use super::rfc3339;
use super::write::write_calls;

/// Reads an answer; `None` if it is none.
pub fn read_answer<'a>(root: &Node<'a>) -> Option<Answer<'a>> {
    let parts = read_said(root.get("message")?);
    Some(Answer {
        id: None,
        model: root.some_text("model"),
        choices: vec![Choice { parts, finish: read_finish(root) }],
        usage: read_usage(Dialect::Ollama, Some(root)),
    })
}

/// Reads why an answer ended.
pub fn read_finish(root: &Node<'_>) -> Finish {
    match root.text("done_reason") {
        Some(reason) if reason.is("length") => Finish::Length,
        _ => Finish::Stop,
    }
}

/// Writes an answer.
pub fn write_answer(answer: &Answer<'_>, created: u64, notes: &mut Notes) -> String {
    let mut w = Writer::with_capacity(1024);
    w.object(|w| {
        w.maybe_text("model", answer.model.as_ref());
        w.key("created_at").plain(&rfc3339(created));
        let nothing = Choice::default();
        let choice = answer.choices.first().unwrap_or(&nothing);
        let parts: Vec<_> = choice.parts.iter().collect();
        w.key("message").object(|w| write_message(&parts, w, notes));
        write_end(&choice.finish, w);
        write_usage(Dialect::Ollama, &answer.usage, w);
    });
    w.finish()
}

/// Writes the fields of a message that a model said.
pub fn write_message(parts: &[&Part<'_>], w: &mut Writer, notes: &mut Notes) {
    let mut content = Text::default();
    for text in parts.iter().filter_map(|part| part.as_text()) {
        content.push(text);
    }
    w.key("role").plain("assistant");
    w.key("content").text(&content);
    write_calls(parts, w, notes);
}

/// Writes the fields that say that and why an answer ended.
pub fn write_end(finish: &Finish, w: &mut Writer) {
    w.key("done_reason").plain(if *finish == Finish::Length { "length" } else { "stop" });
    w.key("done").bool(true);
}
