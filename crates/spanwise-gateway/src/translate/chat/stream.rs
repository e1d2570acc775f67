//! A stream of Chat, read and written.

use crate::dialect::Dialect;

use super::super::answer::Finish;
use super::super::conversation::Thought;
use super::super::error::{error_body, read_error};
use super::super::json::{self, Node, Text};
use super::super::reply::Wants;
use super::super::stream::{Block, CallDelta, Event, ReadFrames, Step, WriteFrames};
use super::super::usage::{Counts, is_told, write_usage};
use super::read::read_signature;
use super::reply::{finish_word, read_finish, write_thought};
use super::write::write_signature;

/// Reads chunks.
#[derive(Debug, Default)]
pub struct Reader {
    has_started: bool,
    counts: Counts,
}

impl ReadFrames for Reader {
    fn read<'a>(&mut self, _event: Option<&str>, data: &Node<'a>, events: &mut Vec<Event<'a>>) {
        if data.get("error").is_some()
            && let Some((kind, message)) = read_error(data, None)
        {
            events.push(Event::Error { kind, message });
            return;
        }
        if !self.has_started {
            self.has_started = true;
            let (id, model) = (data.some_text("id"), data.some_text("model"));
            events.push(Event::Start { id, model });
        }
        for choice in data.elements("choices") {
            // More than one answer is asked for only where no translation stands between.
            if choice.count("index").unwrap_or(0) != 0 {
                continue;
            }
            if let Some(delta) = choice.get("delta") {
                read_delta(delta, events);
            }
            events.extend(read_finish(choice).map(Event::Finish));
        }
        if let Some(usage) = data.get("usage") {
            self.counts.take(Dialect::Chat, usage);
            events.push(Event::Usage(self.counts.usage(Dialect::Chat)));
        }
    }
}

fn read_delta<'a>(delta: &Node<'a>, events: &mut Vec<Event<'a>>) {
    let thought = delta.some_text("reasoning_content").or_else(|| delta.some_text("reasoning"));
    events.extend(thought.map(Event::Thought));
    // The blocks say the same text again; new is by what their provider knows them.
    for block in delta.elements("thinking_blocks") {
        events.extend(block.some_text("signature").map(Event::Signature));
        events.extend(block.some_text("data").map(Event::Redacted));
    }
    events.extend(delta.some_text("content").map(Event::Text));
    events.extend(delta.some_text("refusal").map(Event::Refusal));
    for call in delta.elements("tool_calls") {
        let function = call.get("function");
        events.push(Event::Call(CallDelta {
            key: call.count("index").unwrap_or(0),
            id: call.some_text("id"),
            name: function.and_then(|function| function.some_text("name")),
            arguments: function.and_then(|function| function.text("arguments")),
            signature: read_signature(call),
        }));
    }
}

/// Writes chunks.
#[derive(Debug)]
pub struct Writer {
    wants: Wants,
    created: u64,
    /// The start of every chunk.
    head: String,
    n_calls: u64,
    open: Open,
    thought: Thought<'static>,
}

/// What the next piece belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Refusal,
    Thought,
    Call,
}

impl Writer {
    /// A writer for a client that wants this.
    pub fn new(wants: Wants, created: u64) -> Self {
        Writer {
            wants,
            created,
            head: String::new(),
            n_calls: 0,
            open: Open::Text,
            thought: Thought::default(),
        }
    }

    fn start(&mut self, id: &Text<'_>, model: &Text<'_>) {
        let mut w = json::Writer::with_capacity(256);
        w.object(|w| {
            w.key("id").text(id);
            w.key("object").plain("chat.completion.chunk");
            w.key("created").count(self.created);
            w.key("model").text(model);
        });
        self.head = w.finish();
        self.head.pop();
        self.head.push_str(",\"choices\":[");
    }

    /// A chunk whose delta has the fields that the closure writes.
    fn delta(
        &self,
        finish: Option<&Finish>,
        out: &mut Vec<u8>,
        fields: impl FnOnce(&mut json::Writer),
    ) {
        let mut w = json::Writer::with_capacity(128);
        w.object(|w| {
            w.key("index").count(0);
            w.key("delta").object(fields);
            w.key("finish_reason");
            match finish {
                Some(finish) => w.plain(finish_word(finish)),
                None => w.null(),
            }
        });
        let usage = if self.wants.usage { ",\"usage\":null" } else { "" };
        self.chunk(&w.finish(), usage, out);
    }

    fn chunk(&self, choices: &str, rest: &str, out: &mut Vec<u8>) {
        for piece in ["data: ", &self.head, choices, "]", rest, "}\n\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
    }

    fn open(&mut self, block: &Block<'_>, out: &mut Vec<u8>) {
        match block {
            Block::Text => self.open = Open::Text,
            Block::Refusal => self.open = Open::Refusal,
            Block::Thought => self.open = Open::Thought,
            Block::Redacted { data } => {
                self.open = Open::Thought;
                self.thought.redacted = Some((*data).clone().into_owned());
            }
            Block::Call { id, name, signature } => {
                self.open = Open::Call;
                self.delta(None, out, |w| {
                    w.key("tool_calls").array(|w| {
                        w.object(|w| {
                            w.key("index").count(self.n_calls);
                            w.key("id").text(id);
                            w.key("type").plain("function");
                            w.key("function").object(|w| {
                                w.key("name").text(name);
                                w.key("arguments").plain("");
                            });
                            write_signature(*signature, w);
                        });
                    });
                });
            }
        }
    }

    fn more(&mut self, text: &Text<'_>, out: &mut Vec<u8>) {
        match self.open {
            Open::Text => self.delta(None, out, |w| w.key("content").text(text)),
            Open::Refusal => self.delta(None, out, |w| w.key("refusal").text(text)),
            Open::Thought => {
                self.thought.text.push(text);
                self.delta(None, out, |w| w.key("reasoning_content").text(text));
            }
            Open::Call => self.delta(None, out, |w| {
                w.key("tool_calls").array(|w| {
                    w.object(|w| {
                        w.key("index").count(self.n_calls);
                        w.key("function").object(|w| w.key("arguments").text(text));
                    });
                });
            }),
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let thought = std::mem::take(&mut self.thought);
        match self.open {
            Open::Call => self.n_calls += 1,
            Open::Thought if thought.is_signed() => self.delta(None, out, |w| {
                w.key("thinking_blocks").array(|w| write_thought(&thought, w));
            }),
            _ => {}
        }
    }
}

impl WriteFrames for Writer {
    fn write(&mut self, step: &Step<'_>, out: &mut Vec<u8>) {
        match step {
            Step::Start { id, model } => {
                self.start(id, model);
                self.delta(None, out, |w| {
                    w.key("role").plain("assistant");
                    w.key("content").plain("");
                });
            }
            Step::Open(block) => self.open(block, out),
            Step::Delta(text) => self.more(text, out),
            Step::Signature(signature) => {
                self.thought.signature = Some((*signature).clone().into_owned());
            }
            Step::Close => self.close(out),
            Step::End { finish, usage } => {
                self.delta(Some(finish), out, |_| {});
                if self.wants.usage && is_told(Dialect::Chat, usage) {
                    let mut w = json::Writer::default();
                    w.object(|w| write_usage(Dialect::Chat, usage, w));
                    self.chunk("", &format!(",\"usage\":{}", w.finish()), out);
                }
                out.extend_from_slice(b"data: [DONE]\n\n");
            }
            Step::Error { kind, message } => {
                let status = kind.status(Dialect::Chat);
                let error = error_body(Dialect::Chat, status, *kind, &message.plain());
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(&error.body);
                out.extend_from_slice(b"\n\n");
            }
        }
    }
}
