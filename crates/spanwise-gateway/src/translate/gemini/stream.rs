//! A stream of Gemini, read and written.

use crate::dialect::Dialect;

use super::super::Notes;
use super::super::answer::Finish;
use super::super::conversation::{Arguments, Call, Part, Thought};
use super::super::error::{error_body, read_error};
use super::super::json::{self, Node, Text};
use super::super::stream::{Block, CallDelta, Event, ReadFrames, Step, WriteFrames, whole_call};
use super::super::usage::{Counts, is_told, write_usage};
use super::read::{field, read_said};
use super::reply::{finish_word, read_finish, write_said};

/// Reads chunks.
#[derive(Debug, Default)]
pub struct Reader {
    n_calls: u64,
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
        let (id, model) = (data.some_text("responseId"), data.some_text("modelVersion"));
        events.push(Event::Start { id, model });
        if data.get("promptFeedback").is_some_and(|feedback| feedback.get("blockReason").is_some())
        {
            events.push(Event::Finish(Finish::Filter));
        }
        for candidate in data.elements("candidates") {
            // More than one answer is asked for only where no translation stands between.
            if candidate.count("index").unwrap_or(0) != 0 {
                continue;
            }
            if let Some(content) = candidate.get("content") {
                for part in content.elements("parts").iter().filter_map(read_said) {
                    self.part(part, events);
                }
            }
            events.extend(read_finish(candidate).map(Event::Finish));
        }
        if let Some(usage) = field(data, "usageMetadata") {
            self.counts.take(Dialect::Gemini, usage);
            events.push(Event::Usage(self.counts.usage(Dialect::Gemini)));
        }
    }
}

impl Reader {
    fn part<'a>(&mut self, part: Part<'a>, events: &mut Vec<Event<'a>>) {
        match part {
            Part::Text(text) => events.push(Event::Text(text)),
            Part::Reasoning(thought) => events.push(Event::Thought(thought.text)),
            Part::Call(call) => {
                events.push(Event::Call(CallDelta::whole(self.n_calls, call)));
                self.n_calls += 1;
            }
            _ => {}
        }
    }
}

/// Writes chunks.
#[derive(Debug, Default)]
pub struct Writer {
    id: Text<'static>,
    model: Text<'static>,
    open: Open,
}

/// What the next piece belongs to. Calls are written whole, when they are closed.
#[derive(Debug, Default)]
enum Open {
    #[default]
    Text,
    Thought,
    Call(Call<'static>, Text<'static>),
}

impl WriteFrames for Writer {
    fn write(&mut self, step: &Step<'_>, out: &mut Vec<u8>) {
        match step {
            Step::Start { id, model } => {
                self.id = (*id).clone().into_owned();
                self.model = (*model).clone().into_owned();
            }
            Step::Open(block) => self.open = open(block),
            Step::Delta(text) => match &mut self.open {
                Open::Text => self.part(&Part::Text((*text).clone()), out),
                Open::Thought => {
                    self.part(&Part::Reasoning(Thought::of_text((*text).clone())), out);
                }
                Open::Call(_, arguments) => arguments.push(text),
            },
            Step::Signature(_) => {}
            Step::Close => {
                if let Open::Call(call, arguments) = std::mem::take(&mut self.open) {
                    let call = Call { arguments: Arguments::Text(arguments), ..call };
                    self.part(&Part::Call(call), out);
                }
            }
            Step::End { finish, usage } => self.chunk(out, |w| {
                w.key("candidates").array(|w| {
                    write_candidate(&Part::Text(Text::default()), Some(finish), w);
                });
                if is_told(Dialect::Gemini, usage) {
                    w.key("usageMetadata").object(|w| write_usage(Dialect::Gemini, usage, w));
                }
            }),
            Step::Error { kind, message } => {
                let status = kind.status(Dialect::Gemini);
                let error = error_body(Dialect::Gemini, status, *kind, &message.plain());
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(&error.body);
                out.extend_from_slice(b"\r\n\r\n");
            }
        }
    }
}

fn open(block: &Block<'_>) -> Open {
    match block {
        Block::Text | Block::Refusal => Open::Text,
        Block::Thought | Block::Redacted { .. } => Open::Thought,
        Block::Call { id, name, signature } => {
            let call = whole_call(id, name, *signature);
            Open::Call(call, Text::default())
        }
    }
}

fn write_candidate(part: &Part<'_>, finish: Option<&Finish>, w: &mut json::Writer) {
    w.object(|w| {
        w.key("content").object(|w| {
            w.key("parts").array(|w| write_said(part, w, &mut Notes::default()));
            w.key("role").plain("model");
        });
        if let Some(finish) = finish {
            w.key("finishReason").plain(finish_word(finish));
        }
        w.key("index").count(0);
    });
}

impl Writer {
    fn part(&self, part: &Part<'_>, out: &mut Vec<u8>) {
        self.chunk(out, |w| {
            w.key("candidates").array(|w| write_candidate(part, None, w));
        });
    }

    fn chunk(&self, out: &mut Vec<u8>, fields: impl FnOnce(&mut json::Writer)) {
        let mut w = json::Writer::with_capacity(256);
        w.object(|w| {
            fields(w);
            w.key("modelVersion").text(&self.model);
            w.key("responseId").text(&self.id);
        });
        for piece in ["data: ", &w.finish(), "\r\n\r\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
    }
}
