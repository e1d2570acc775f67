//! A stream of Ollama, read and written.

use crate::dialect::Dialect;

use super::super::Notes;
use super::super::conversation::{Arguments, Call, Part, Thought};
use super::super::error::{error_body, read_error};
use super::super::json::{self, Node, Text};
use super::super::stream::{Block, CallDelta, Event, ReadFrames, Step, WriteFrames, whole_call};
use super::super::usage::{Counts, write_usage};
use super::read::read_said;
use super::reply::{read_finish, write_end, write_message};
use super::rfc3339;

/// Reads lines.
#[derive(Debug, Default)]
pub struct Reader {
    n_calls: u64,
}

impl ReadFrames for Reader {
    fn read<'a>(&mut self, _event: Option<&str>, data: &Node<'a>, events: &mut Vec<Event<'a>>) {
        if data.get("error").is_some()
            && let Some((kind, message)) = read_error(data, None)
        {
            events.push(Event::Error { kind, message });
            return;
        }
        events.push(Event::Start { id: None, model: data.some_text("model") });
        let parts = data.get("message").map(read_said).unwrap_or_default();
        for part in parts {
            match part {
                Part::Text(text) => events.push(Event::Text(text)),
                Part::Reasoning(thought) => events.push(Event::Thought(thought.text)),
                Part::Call(call) => {
                    // Ollama's own numbers may be the same for all calls.
                    events.push(Event::Call(CallDelta::whole(self.n_calls, call)));
                    self.n_calls += 1;
                }
                _ => {}
            }
        }
        if data.get("done").and_then(Node::as_bool) == Some(true) {
            let mut counts = Counts::default();
            counts.take(Dialect::Ollama, data);
            events.push(Event::Usage(counts.usage(Dialect::Ollama)));
            events.push(Event::Finish(read_finish(data)));
            events.push(Event::End);
        }
    }
}

/// Writes lines.
#[derive(Debug)]
pub struct Writer {
    created: u64,
    model: Text<'static>,
    open: Open,
}

/// What the next piece belongs to. Calls are written whole, when they are closed.
#[derive(Debug)]
enum Open {
    Text,
    Thought,
    Call(Call<'static>, Text<'static>),
}

impl Writer {
    /// A writer of an answer made at this time, in seconds since 1970.
    pub fn new(created: u64) -> Self {
        Writer { created, model: Text::default(), open: Open::Text }
    }

    fn part(&self, part: &Part<'_>, out: &mut Vec<u8>) {
        self.line(&[part], out, |w| w.key("done").bool(false));
    }

    fn line(&self, parts: &[&Part<'_>], out: &mut Vec<u8>, end: impl FnOnce(&mut json::Writer)) {
        let mut w = json::Writer::with_capacity(128);
        w.object(|w| {
            w.key("model").text(&self.model);
            w.key("created_at").plain(&rfc3339(self.created));
            w.key("message").object(|w| write_message(parts, w, &mut Notes::default()));
            end(w);
        });
        out.extend_from_slice(w.finish().as_bytes());
        out.push(b'\n');
    }
}

impl WriteFrames for Writer {
    fn write(&mut self, step: &Step<'_>, out: &mut Vec<u8>) {
        match step {
            Step::Start { model, .. } => self.model = (*model).clone().into_owned(),
            Step::Open(block) => {
                self.open = match block {
                    Block::Text | Block::Refusal => Open::Text,
                    Block::Thought | Block::Redacted { .. } => Open::Thought,
                    Block::Call { id, name, .. } => {
                        Open::Call(whole_call(id, name, None), Text::default())
                    }
                }
            }
            Step::Delta(text) => match &mut self.open {
                Open::Text => self.part(&Part::Text((*text).clone()), out),
                Open::Thought => {
                    self.part(&Part::Reasoning(Thought::of_text((*text).clone())), out);
                }
                Open::Call(_, arguments) => arguments.push(text),
            },
            Step::Signature(_) => {}
            Step::Close => {
                if let Open::Call(call, arguments) = std::mem::replace(&mut self.open, Open::Text) {
                    let call = Call { arguments: Arguments::Text(arguments), ..call };
                    self.part(&Part::Call(call), out);
                }
            }
            Step::End { finish, usage } => self.line(&[], out, |w| {
                write_end(finish, w);
                write_usage(Dialect::Ollama, usage, w);
            }),
            Step::Error { kind, message } => {
                let status = kind.status(Dialect::Ollama);
                let error = error_body(Dialect::Ollama, status, *kind, &message.plain());
                out.extend_from_slice(&error.body);
                out.push(b'\n');
            }
        }
    }
}
