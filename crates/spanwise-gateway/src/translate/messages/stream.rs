//! A stream of Messages, read and written.

use crate::dialect::Dialect;

use super::super::error::{ErrorKind, error_body, read_error};
use super::super::json::{self, Node, Text};
use super::super::stream::{Block, CallDelta, Event, ReadFrames, Step, WriteFrames};
use super::super::usage::{Counts, write_usage};
use super::reply::{read_finish, write_finish};

/// Reads events.
#[derive(Debug, Default)]
pub struct Reader {
    counts: Counts,
}

impl ReadFrames for Reader {
    fn read<'a>(&mut self, _event: Option<&str>, data: &Node<'a>, events: &mut Vec<Event<'a>>) {
        let kind = data.text("type").unwrap_or_default();
        match kind.plain().as_ref() {
            "message_start" => {
                let message = data.get("message").unwrap_or(data);
                let (id, model) = (message.some_text("id"), message.some_text("model"));
                events.push(Event::Start { id, model });
                self.usage(message, events);
            }
            "content_block_start" => {
                if let Some(block) = data.get("content_block") {
                    read_start(data.count("index").unwrap_or(0), block, events);
                }
            }
            "content_block_delta" => {
                if let Some(delta) = data.get("delta") {
                    read_delta(data.count("index").unwrap_or(0), delta, events);
                }
            }
            "content_block_stop" => events.push(Event::Break),
            "message_delta" => {
                self.usage(data, events);
                events.extend(data.get("delta").and_then(read_finish).map(Event::Finish));
            }
            "message_stop" => events.push(Event::End),
            "error" => {
                let (kind, message) =
                    read_error(data, None).unwrap_or((ErrorKind::Upstream, Text::default()));
                events.push(Event::Error { kind, message });
            }
            // Pings, and what may come in the future.
            _ => {}
        }
    }
}

impl Reader {
    fn usage<'a>(&mut self, node: &Node<'a>, events: &mut Vec<Event<'a>>) {
        if let Some(usage) = node.get("usage") {
            self.counts.take(Dialect::Messages, usage);
            events.push(Event::Usage(self.counts.usage(Dialect::Messages)));
        }
    }
}

fn read_start<'a>(index: u64, block: &Node<'a>, events: &mut Vec<Event<'a>>) {
    match block.text("type").unwrap_or_default().plain().as_ref() {
        "text" => events.extend(block.some_text("text").map(Event::Text)),
        "thinking" => events.extend(block.some_text("thinking").map(Event::Thought)),
        "redacted_thinking" => events.extend(block.text("data").map(Event::Redacted)),
        "tool_use" => events.push(Event::Call(CallDelta {
            key: index,
            id: block.some_text("id"),
            name: block.some_text("name"),
            ..CallDelta::default()
        })),
        _ => {}
    }
}

fn read_delta<'a>(index: u64, delta: &Node<'a>, events: &mut Vec<Event<'a>>) {
    match delta.text("type").unwrap_or_default().plain().as_ref() {
        "text_delta" => events.extend(delta.text("text").map(Event::Text)),
        "thinking_delta" => events.extend(delta.text("thinking").map(Event::Thought)),
        "signature_delta" => events.extend(delta.some_text("signature").map(Event::Signature)),
        "input_json_delta" => events.push(Event::Call(CallDelta {
            key: index,
            arguments: delta.text("partial_json"),
            ..CallDelta::default()
        })),
        _ => {}
    }
}

/// Writes events.
#[derive(Debug, Default)]
pub struct Writer {
    index: u64,
    delta: Delta,
    is_signed: bool,
}

/// How a piece of the open block is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Delta {
    #[default]
    Text,
    Thought,
    Arguments,
    /// The block came whole.
    Nothing,
}

impl WriteFrames for Writer {
    fn write(&mut self, step: &Step<'_>, out: &mut Vec<u8>) {
        match step {
            Step::Start { id, model } => event("message_start", out, |w| {
                w.key("message").object(|w| write_start(id, model, w));
            }),
            Step::Open(block) => self.open(block, out),
            Step::Delta(text) => self.delta(text, out),
            Step::Signature(signature) => {
                self.is_signed = true;
                self.piece("signature_delta", "signature", signature, out);
            }
            Step::Close => {
                if self.delta == Delta::Thought && !self.is_signed {
                    self.piece("signature_delta", "signature", &Text::default(), out);
                }
                event("content_block_stop", out, |w| w.key("index").count(self.index));
                self.index += 1;
            }
            Step::End { finish, usage } => {
                event("message_delta", out, |w| {
                    w.key("delta").object(|w| write_finish(finish, w));
                    w.key("usage").object(|w| write_usage(Dialect::Messages, usage, w));
                });
                event("message_stop", out, |_| {});
            }
            Step::Error { kind, message } => {
                let status = kind.status(Dialect::Messages);
                let error = error_body(Dialect::Messages, status, *kind, &message.plain());
                out.extend_from_slice(b"event: error\ndata: ");
                out.extend_from_slice(&error.body);
                out.extend_from_slice(b"\n\n");
            }
        }
    }
}

impl Writer {
    fn open(&mut self, block: &Block<'_>, out: &mut Vec<u8>) {
        self.is_signed = false;
        self.delta = match block {
            Block::Text | Block::Refusal => Delta::Text,
            Block::Thought => Delta::Thought,
            Block::Call { .. } => Delta::Arguments,
            Block::Redacted { .. } => Delta::Nothing,
        };
        event("content_block_start", out, |w| {
            w.key("index").count(self.index);
            w.key("content_block").object(|w| match block {
                Block::Text | Block::Refusal => {
                    w.key("type").plain("text");
                    w.key("text").plain("");
                }
                Block::Thought => {
                    w.key("type").plain("thinking");
                    w.key("thinking").plain("");
                    w.key("signature").plain("");
                }
                Block::Redacted { data } => {
                    w.key("type").plain("redacted_thinking");
                    w.key("data").text(data);
                }
                Block::Call { id, name, .. } => {
                    w.key("type").plain("tool_use");
                    w.key("id").text(id);
                    w.key("name").text(name);
                    w.key("input").object(|_| {});
                }
            });
        });
    }

    fn delta(&self, text: &Text<'_>, out: &mut Vec<u8>) {
        match self.delta {
            Delta::Text => self.piece("text_delta", "text", text, out),
            Delta::Thought => self.piece("thinking_delta", "thinking", text, out),
            Delta::Arguments => self.piece("input_json_delta", "partial_json", text, out),
            Delta::Nothing => {}
        }
    }

    fn piece(&self, kind: &str, key: &str, text: &Text<'_>, out: &mut Vec<u8>) {
        event("content_block_delta", out, |w| {
            w.key("index").count(self.index);
            w.key("delta").object(|w| {
                w.key("type").plain(kind);
                w.key(key).text(text);
            });
        });
    }
}

/// The message as it begins. What was read is counted at the end, when it is known.
fn write_start(id: &Text<'_>, model: &Text<'_>, w: &mut json::Writer) {
    w.key("id").text(id);
    w.key("type").plain("message");
    w.key("role").plain("assistant");
    w.key("model").text(model);
    w.key("content").array(|_| {});
    w.key("stop_reason").null();
    w.key("stop_sequence").null();
    w.key("usage").object(|w| {
        w.key("input_tokens").count(0);
        w.key("output_tokens").count(0);
    });
}

fn event(kind: &str, out: &mut Vec<u8>, fields: impl FnOnce(&mut json::Writer)) {
    let mut w = json::Writer::with_capacity(128);
    w.object(|w| {
        w.key("type").plain(kind);
        fields(w);
    });
    for piece in ["event: ", kind, "\ndata: ", &w.finish(), "\n\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
}
