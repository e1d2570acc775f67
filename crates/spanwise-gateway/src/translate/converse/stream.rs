//! A stream of Converse, read and written.

use crate::dialect::Dialect;

use super::super::error::{ErrorKind, error_body};
use super::super::json::{self, Node, Text};
use super::super::stream::{Block, CallDelta, Event, ReadFrames, Step, WriteFrames};
use super::super::usage::{Counts, write_usage};
use super::frame::write_frame;
use super::reply::{finish_word, read_finish};

/// Reads events.
#[derive(Debug, Default)]
pub struct Reader {
    counts: Counts,
}

impl ReadFrames for Reader {
    /// The event's name is the frame's `:event-type` or `:exception-type`. Where it is missing,
    /// it is the only key of the data.
    fn read<'a>(&mut self, event: Option<&str>, data: &Node<'a>, events: &mut Vec<Event<'a>>) {
        match event {
            Some(name) => self.event(name, data, events),
            None => {
                for (name, data) in data.fields() {
                    self.event(name, data, events);
                }
            }
        }
    }
}

impl Reader {
    fn event<'a>(&mut self, name: &str, data: &Node<'a>, events: &mut Vec<Event<'a>>) {
        let index = data.count("contentBlockIndex").unwrap_or(0);
        match name {
            "messageStart" => events.push(Event::Start { id: None, model: None }),
            "contentBlockStart" => {
                let call = data.get("start").and_then(|start| start.get("toolUse"));
                events.extend(call.map(|call| {
                    Event::Call(CallDelta {
                        key: index,
                        id: call.some_text("toolUseId"),
                        name: call.some_text("name"),
                        ..CallDelta::default()
                    })
                }));
            }
            "contentBlockDelta" => {
                if let Some(delta) = data.get("delta") {
                    read_delta(index, delta, events);
                }
            }
            "contentBlockStop" => events.push(Event::Break),
            "messageStop" => events.extend(read_finish(data).map(Event::Finish)),
            "metadata" => {
                if let Some(usage) = data.get("usage") {
                    self.counts.take(Dialect::Converse, usage);
                    events.push(Event::Usage(self.counts.usage(Dialect::Converse)));
                }
                events.push(Event::End);
            }
            name if name.ends_with("Exception") => events.push(Event::Error {
                kind: ErrorKind::of_word(name).unwrap_or(ErrorKind::Upstream),
                message: data.text("message").unwrap_or_default(),
            }),
            _ => {}
        }
    }
}

fn read_delta<'a>(index: u64, delta: &Node<'a>, events: &mut Vec<Event<'a>>) {
    events.extend(delta.text("text").map(Event::Text));
    if let Some(call) = delta.get("toolUse") {
        let arguments = call.text("input");
        events.push(Event::Call(CallDelta { key: index, arguments, ..CallDelta::default() }));
    }
    if let Some(thought) = delta.get("reasoningContent") {
        events.extend(thought.text("text").map(Event::Thought));
        events.extend(thought.some_text("signature").map(Event::Signature));
        events.extend(thought.some_text("redactedContent").map(Event::Redacted));
    }
}

/// Writes events.
#[derive(Debug, Default)]
pub struct Writer {
    index: u64,
    delta: Delta,
}

/// How a piece of the open block is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Delta {
    #[default]
    Text,
    Thought,
    Arguments,
}

impl WriteFrames for Writer {
    fn write(&mut self, step: &Step<'_>, out: &mut Vec<u8>) {
        match step {
            Step::Start { .. } => {
                event("messageStart", out, |w| w.key("role").plain("assistant"));
            }
            Step::Open(block) => self.open(block, out),
            Step::Delta(text) => self.delta(out, |delta, w| match delta {
                Delta::Text => w.key("text").text(text),
                Delta::Thought => {
                    w.key("reasoningContent").object(|w| w.key("text").text(text));
                }
                Delta::Arguments => w.key("toolUse").object(|w| w.key("input").text(text)),
            }),
            Step::Signature(signature) => self.delta(out, |_, w| {
                w.key("reasoningContent").object(|w| w.key("signature").text(signature));
            }),
            Step::Close => {
                event("contentBlockStop", out, |w| {
                    w.key("contentBlockIndex").count(self.index);
                });
                self.index += 1;
            }
            Step::End { finish, usage } => {
                event("messageStop", out, |w| w.key("stopReason").plain(finish_word(finish)));
                event("metadata", out, |w| {
                    w.key("usage").object(|w| write_usage(Dialect::Converse, usage, w));
                    w.key("metrics").object(|_| {});
                });
            }
            Step::Error { kind, message } => write_exception(*kind, message, out),
        }
    }
}

impl Writer {
    fn open(&mut self, block: &Block<'_>, out: &mut Vec<u8>) {
        self.delta = match block {
            Block::Text | Block::Refusal => Delta::Text,
            Block::Thought | Block::Redacted { .. } => Delta::Thought,
            Block::Call { .. } => Delta::Arguments,
        };
        match block {
            Block::Call { id, name, .. } => event("contentBlockStart", out, |w| {
                w.key("start").object(|w| {
                    w.key("toolUse").object(|w| {
                        w.key("toolUseId").text(id);
                        w.key("name").text(name);
                    });
                });
                w.key("contentBlockIndex").count(self.index);
            }),
            Block::Redacted { data } => self.delta(out, |_, w| {
                w.key("reasoningContent").object(|w| w.key("redactedContent").text(data));
            }),
            // Bedrock announces no other blocks.
            Block::Text | Block::Refusal | Block::Thought => {}
        }
    }

    fn delta(&self, out: &mut Vec<u8>, fields: impl FnOnce(Delta, &mut json::Writer)) {
        event("contentBlockDelta", out, |w| {
            w.key("delta").object(|w| fields(self.delta, w));
            w.key("contentBlockIndex").count(self.index);
        });
    }
}

fn event(kind: &str, out: &mut Vec<u8>, fields: impl FnOnce(&mut json::Writer)) {
    let mut w = json::Writer::with_capacity(128);
    w.object(fields);
    let headers =
        [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    write_frame(&headers, w.finish().as_bytes(), out);
}

/// Inside of a stream Bedrock has five exceptions, spelt with a small first letter.
fn write_exception(kind: ErrorKind, message: &Text<'_>, out: &mut Vec<u8>) {
    let name = match kind {
        ErrorKind::RateLimit | ErrorKind::Budget => "throttlingException",
        ErrorKind::Overloaded => "serviceUnavailableException",
        ErrorKind::Timeout | ErrorKind::Upstream => "modelStreamErrorException",
        ErrorKind::Internal => "internalServerException",
        _ => "validationException",
    };
    let status = kind.status(Dialect::Converse);
    let error = error_body(Dialect::Converse, status, kind, &message.plain());
    let headers = [
        (":exception-type", name),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    write_frame(&headers, &error.body, out);
}
