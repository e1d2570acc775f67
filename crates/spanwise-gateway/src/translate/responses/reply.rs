//! A Responses answer, read and written.

use crate::dialect::Dialect;

use super::super::answer::{Answer, Choice, Finish};
use super::super::conversation::{Part, Thought, made_id};
use super::super::error::ErrorKind;
use super::super::json::{Node, Text, Writer};
use super::super::reply::Wants;
use super::super::usage::{is_told, read_usage, write_usage};
use super::FOREIGN;
use super::read::read_said;

/// Reads an answer; `None` if it is none.
pub fn read_answer<'a>(root: &Node<'a>) -> Option<Answer<'a>> {
    let mut parts = Vec::new();
    for item in root.get("output")?.as_array()? {
        if item.text("type").is_some_and(|kind| kind.is("message")) {
            for part in item.elements("content") {
                parts.extend(part.some_text("text").map(Part::Text));
                parts.extend(part.some_text("refusal").map(Part::Refusal));
            }
        } else {
            parts.extend(read_said(item));
        }
    }
    Some(Answer {
        id: root.some_text("id"),
        model: root.some_text("model"),
        choices: vec![Choice { parts, finish: read_finish(root) }],
        usage: read_usage(Dialect::Responses, root.get("usage")),
    })
}

/// Reads why an answer ended.
pub fn read_finish(response: &Node<'_>) -> Finish {
    if !response.text("status").is_some_and(|status| status.is("incomplete")) {
        return Finish::Stop;
    }
    let reason = response.get("incomplete_details").and_then(|details| details.text("reason"));
    match reason {
        Some(reason) if reason.is("content_filter") => Finish::Filter,
        _ => Finish::Length,
    }
}

/// The status of a response that ended so, and why it is incomplete if it is.
pub fn status(finish: &Finish) -> (&'static str, Option<&'static str>) {
    match finish {
        Finish::Length => ("incomplete", Some("max_output_tokens")),
        Finish::Filter => ("incomplete", Some("content_filter")),
        _ => ("completed", None),
    }
}

/// Writes an answer.
pub fn write_answer(answer: &Answer<'_>, wants: &Wants, created: u64) -> String {
    let nothing = Choice::default();
    let choice = answer.choices.first().unwrap_or(&nothing);
    let id = answer.id.clone().unwrap_or_default();
    let mut items = Vec::new();
    for part in &choice.parts {
        let mut w = Writer::with_capacity(256);
        write_item(part, &item_id(part_prefix(part), &id, items.len()), &mut w);
        items.push(w.finish());
    }
    let head =
        Head { id: &id, model: answer.model.as_ref(), created, wants, usage: Some(&answer.usage) };
    let mut w = Writer::with_capacity(1024);
    w.object(|w| head.write(status(&choice.finish), None, &items, w));
    w.finish()
}

fn part_prefix(part: &Part<'_>) -> &'static str {
    match part {
        Part::Reasoning(_) => "rs",
        Part::Call(_) => "fc",
        _ => "msg",
    }
}

/// The id of an item: the same whenever it is made for the same place in the same answer.
pub fn item_id(prefix: &str, id: &Text<'_>, index: usize) -> Text<'static> {
    let made = made_id(&[prefix, id.escaped()], index);
    Text::from_plain(made.escaped().replacen("call", prefix, 1))
}

/// What every event that shows the whole response says of it.
pub struct Head<'h> {
    pub id: &'h Text<'h>,
    pub model: Option<&'h Text<'h>>,
    pub created: u64,
    pub wants: &'h Wants,
    pub usage: Option<&'h spanwise_model::genai::Usage>,
}

impl Head<'_> {
    /// Writes the fields of a response with these items.
    pub fn write(
        &self,
        (status, incomplete): (&str, Option<&str>),
        error: Option<(ErrorKind, &Text<'_>)>,
        items: &[String],
        w: &mut Writer,
    ) {
        w.key("id").text(self.id);
        w.key("object").plain("response");
        w.key("created_at").count(self.created);
        w.key("status").plain(status);
        match error {
            Some((kind, message)) => w.key("error").object(|w| {
                w.key("code").plain(error_code(kind));
                w.key("message").text(message);
            }),
            None => w.key("error").null(),
        }
        match incomplete {
            Some(reason) => w.key("incomplete_details").object(|w| w.key("reason").plain(reason)),
            None => w.key("incomplete_details").null(),
        }
        w.maybe_text("model", self.model);
        w.key("output").array(|w| items.iter().for_each(|item| w.raw(item)));
        self.write_echo(w);
        match self.usage.filter(|usage| is_told(Dialect::Responses, usage)) {
            Some(usage) => w.key("usage").object(|w| write_usage(Dialect::Responses, usage, w)),
            None => w.key("usage").null(),
        }
    }

    /// What the client asked for is repeated; these three are never missing.
    fn write_echo(&self, w: &mut Writer) {
        for (key, value) in &self.wants.echo {
            w.key(key).raw(value);
        }
        let always =
            [("parallel_tool_calls", "true"), ("tool_choice", "\"auto\""), ("tools", "[]")];
        for (key, value) in always {
            if self.wants.echo.iter().all(|(known, _)| *known != key) {
                w.key(key).raw(value);
            }
        }
    }
}

fn error_code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::RateLimit | ErrorKind::Budget => "rate_limit_exceeded",
        ErrorKind::InvalidRequest => "invalid_prompt",
        _ => "server_error",
    }
}

/// Writes an item that is whole.
pub fn write_item(part: &Part<'_>, id: &Text<'_>, w: &mut Writer) {
    match part {
        Part::Reasoning(thought) => write_thought(thought, id, w),
        Part::Call(call) => w.object(|w| {
            w.key("id").text(id);
            w.key("type").plain("function_call");
            w.key("status").plain("completed");
            w.key("call_id").text(&call.id);
            w.key("name").text(&call.name);
            w.key("arguments").text(&call.arguments.text());
        }),
        part => w.object(|w| {
            w.key("id").text(id);
            w.key("type").plain("message");
            w.key("status").plain("completed");
            w.key("role").plain("assistant");
            w.key("content").array(|w| write_content(part, w));
        }),
    }
}

/// Writes a part of a message.
pub fn write_content(part: &Part<'_>, w: &mut Writer) {
    w.object(|w| match part {
        Part::Refusal(text) => {
            w.key("type").plain("refusal");
            w.key("refusal").text(text);
        }
        part => {
            w.key("type").plain("output_text");
            w.key("text").text(part.as_text().unwrap_or(&Text::default()));
            w.key("annotations").array(|_| {});
            w.key("logprobs").array(|_| {});
        }
    });
}

fn write_thought(thought: &Thought<'_>, id: &Text<'_>, w: &mut Writer) {
    w.object(|w| {
        w.key("id").text(id);
        w.key("type").plain("reasoning");
        w.key("summary").array(|w| {
            if !thought.text.is_empty() {
                write_summary(&thought.text, w);
            }
        });
        if let Some(signature) = thought.signature.as_ref().or(thought.redacted.as_ref()) {
            let mut content = Text::from_plain(FOREIGN);
            content.push(signature);
            w.key("encrypted_content").text(&content);
        }
    });
}

/// Writes a part of a thought.
pub fn write_summary(text: &Text<'_>, w: &mut Writer) {
    w.object(|w| {
        w.key("type").plain("summary_text");
        w.key("text").text(text);
    });
}
