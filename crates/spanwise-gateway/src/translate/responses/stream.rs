//! A stream of Responses, read and written.

use spanwise_model::genai::Usage;

use crate::dialect::Dialect;

use super::super::answer::Finish;
use super::super::conversation::{Arguments, Call, Part, Thought};
use super::super::error::{ErrorKind, read_error};
use super::super::json::{self, Node, Text};
use super::super::reply::Wants;
use super::super::stream::{Block, CallDelta, Event, ReadFrames, Step, WriteFrames, whole_call};
use super::super::usage::read_usage;
use super::read::read_signature;
use super::reply::{Head, item_id, read_finish, status, write_content, write_item, write_summary};

/// Reads events.
#[derive(Debug, Default)]
pub struct Reader {
    /// Items of which a piece has come. Some servers send an item only when it is whole.
    begun: Vec<u64>,
}

impl ReadFrames for Reader {
    fn read<'a>(&mut self, _event: Option<&str>, data: &Node<'a>, events: &mut Vec<Event<'a>>) {
        let index = data.count("output_index").unwrap_or(0);
        let delta = || data.text("delta").unwrap_or_default();
        let kind = data.text("type").unwrap_or_default();
        match kind.plain().as_ref() {
            "response.created" => {
                let response = data.get("response").unwrap_or(data);
                let (id, model) = (response.some_text("id"), response.some_text("model"));
                events.push(Event::Start { id, model });
            }
            "response.output_item.added" => {
                events.push(Event::Break);
                let item = data.get("item").filter(|item| is_call(item));
                events.extend(item.map(|item| Event::Call(call_start(index, item))));
            }
            "response.output_text.delta" => events.push(Event::Text(delta())),
            "response.refusal.delta" => events.push(Event::Refusal(delta())),
            "response.reasoning_summary_part.added"
                if data.count("summary_index").is_some_and(|index| index > 0) =>
            {
                events.push(Event::Thought(Text::from_escaped("\\n\\n")));
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                events.push(Event::Thought(delta()));
            }
            "response.function_call_arguments.delta" => {
                let arguments = Some(delta());
                events.push(Event::Call(CallDelta {
                    key: index,
                    arguments,
                    ..CallDelta::default()
                }));
            }
            "response.output_item.done" => {
                if let Some(item) = data.get("item") {
                    self.done(index, item, events);
                }
                return;
            }
            "response.completed" | "response.incomplete" => {
                if let Some(response) = data.get("response") {
                    let usage = read_usage(Dialect::Responses, response.get("usage"));
                    events.push(Event::Usage(usage));
                    events.push(Event::Finish(read_finish(response)));
                }
                events.push(Event::End);
            }
            "response.failed" | "error" => {
                let (kind, message) = read_error(data.get("response").unwrap_or(data), None)
                    .unwrap_or((ErrorKind::Upstream, Text::default()));
                events.push(Event::Error { kind, message });
            }
            _ => return,
        }
        if kind.plain().ends_with(".delta") && !self.begun.contains(&index) {
            self.begun.push(index);
        }
    }
}

fn is_call(item: &Node<'_>) -> bool {
    item.text("type").is_some_and(|kind| kind.is("function_call"))
}

fn call_start<'a>(index: u64, item: &Node<'a>) -> CallDelta<'a> {
    CallDelta {
        key: index,
        id: item.some_text("call_id"),
        name: item.some_text("name"),
        ..CallDelta::default()
    }
}

impl Reader {
    fn done<'a>(&mut self, index: u64, item: &Node<'a>, events: &mut Vec<Event<'a>>) {
        let has_begun = self.begun.contains(&index);
        if is_call(item) && !has_begun {
            let arguments = item.text("arguments");
            events.push(Event::Call(CallDelta { arguments, ..call_start(index, item) }));
        }
        if !has_begun {
            for part in item.elements("content") {
                events.extend(part.some_text("text").map(Event::Text));
                events.extend(part.some_text("refusal").map(Event::Refusal));
            }
        }
        if item.text("type").is_some_and(|kind| kind.is("reasoning")) {
            let signature = read_signature(item);
            let of_kind = if has_begun { Event::Signature } else { Event::Redacted };
            events.extend(signature.map(of_kind));
        }
        // Items may come side by side, but no item goes on after a message or a thought is over.
        if !is_call(item) {
            events.push(Event::Break);
        }
    }
}

/// Writes events.
#[derive(Debug)]
pub struct Writer {
    wants: Wants,
    created: u64,
    id: Text<'static>,
    model: Text<'static>,
    sequence: u64,
    items: Vec<String>,
    open: Open,
    /// What was said in the open item.
    said: Text<'static>,
    item: Text<'static>,
}

/// What the open item is.
#[derive(Debug)]
enum Open {
    Text,
    Refusal,
    Thought(Thought<'static>),
    Call(Call<'static>),
}

impl Writer {
    /// A writer for a client that wants this.
    pub fn new(wants: Wants, created: u64) -> Self {
        Writer {
            wants,
            created,
            id: Text::default(),
            model: Text::default(),
            sequence: 0,
            items: Vec::new(),
            open: Open::Text,
            said: Text::default(),
            item: Text::default(),
        }
    }

    fn event(
        &mut self,
        kind: &str,
        out: &mut Vec<u8>,
        fields: impl FnOnce(&Self, &mut json::Writer),
    ) {
        let mut w = json::Writer::with_capacity(256);
        w.object(|w| {
            w.key("type").plain(kind);
            w.key("sequence_number").count(self.sequence);
            fields(self, w);
        });
        self.sequence += 1;
        for piece in ["event: ", kind, "\ndata: ", &w.finish(), "\n\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
    }

    /// An event about the open item, or about its only part.
    fn about(
        &mut self,
        kind: &str,
        part: Option<&str>,
        out: &mut Vec<u8>,
        fields: impl FnOnce(&Self, &mut json::Writer),
    ) {
        self.event(kind, out, |this, w| {
            w.key("item_id").text(&this.item);
            w.key("output_index").count(this.items.len() as u64);
            if let Some(part) = part {
                w.key(part).count(0);
            }
            fields(this, w);
        });
    }

    /// An event that shows the whole response.
    fn response(
        &mut self,
        kind: &str,
        status: (&str, Option<&str>),
        error: Option<(ErrorKind, &Text<'_>)>,
        usage: Option<&Usage>,
        out: &mut Vec<u8>,
    ) {
        self.event(kind, out, |this, w| {
            w.key("response").object(|w| {
                let head = Head {
                    id: &this.id,
                    model: Some(&this.model),
                    created: this.created,
                    wants: &this.wants,
                    usage,
                };
                head.write(status, error, &this.items, w);
            });
        });
    }

    /// An event with the open item in it.
    fn item(&mut self, kind: &str, item: &str, out: &mut Vec<u8>) {
        self.event(kind, out, |this, w| {
            w.key("output_index").count(this.items.len() as u64);
            w.key("item").raw(item);
        });
    }

    fn open(&mut self, block: &Block<'_>, out: &mut Vec<u8>) {
        self.said = Text::default();
        let (prefix, open) = match block {
            Block::Text => ("msg", Open::Text),
            Block::Refusal => ("msg", Open::Refusal),
            Block::Thought => ("rs", Open::Thought(Thought::default())),
            Block::Redacted { data } => {
                let redacted = Some((*data).clone().into_owned());
                ("rs", Open::Thought(Thought { redacted, ..Thought::default() }))
            }
            Block::Call { id, name, .. } => ("fc", Open::Call(whole_call(id, name, None))),
        };
        self.open = open;
        self.item = item_id(prefix, &self.id, self.items.len());
        let begun = self.begun();
        self.item("response.output_item.added", &begun, out);
        match self.open {
            Open::Text | Open::Refusal => {
                self.about("response.content_part.added", Some("content_index"), out, |this, w| {
                    write_content(&this.part(), w.key("part"));
                });
            }
            Open::Thought(ref thought) if thought.redacted.is_none() => {
                let kind = "response.reasoning_summary_part.added";
                self.about(kind, Some("summary_index"), out, |_, w| {
                    write_summary(&Text::default(), w.key("part"));
                });
            }
            Open::Thought(_) | Open::Call(_) => {}
        }
    }

    /// The open item as it stands when nothing of it was said yet.
    fn begun(&self) -> String {
        let mut w = json::Writer::with_capacity(128);
        w.object(|w| {
            w.key("id").text(&self.item);
            match &self.open {
                Open::Text | Open::Refusal => {
                    w.key("type").plain("message");
                    w.key("status").plain("in_progress");
                    w.key("role").plain("assistant");
                    w.key("content").array(|_| {});
                }
                Open::Thought(_) => {
                    w.key("type").plain("reasoning");
                    w.key("summary").array(|_| {});
                }
                Open::Call(call) => {
                    w.key("type").plain("function_call");
                    w.key("status").plain("in_progress");
                    w.key("call_id").text(&call.id);
                    w.key("name").text(&call.name);
                    w.key("arguments").plain("");
                }
            }
        });
        w.finish()
    }

    /// The open item with what was said so far.
    fn part(&self) -> Part<'_> {
        let said = self.said.borrow();
        match &self.open {
            Open::Text => Part::Text(said),
            Open::Refusal => Part::Refusal(said),
            Open::Thought(thought) => Part::Reasoning(Thought { text: said, ..thought.clone() }),
            Open::Call(call) => {
                Part::Call(Call { arguments: Arguments::Text(said), ..call.clone() })
            }
        }
    }

    fn delta(&mut self, text: &Text<'_>, out: &mut Vec<u8>) {
        self.said.push(text);
        let (kind, part) = match self.open {
            Open::Text => ("response.output_text.delta", Some("content_index")),
            Open::Refusal => ("response.refusal.delta", Some("content_index")),
            Open::Thought(_) => ("response.reasoning_summary_text.delta", Some("summary_index")),
            Open::Call(_) => ("response.function_call_arguments.delta", None),
        };
        self.about(kind, part, out, |this, w| {
            w.key("delta").text(text);
            if matches!(this.open, Open::Text) {
                w.key("logprobs").array(|_| {});
            }
        });
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match &self.open {
            Open::Text => {
                self.about("response.output_text.done", Some("content_index"), out, |this, w| {
                    w.key("text").text(&this.said);
                    w.key("logprobs").array(|_| {});
                });
                self.content_done(out);
            }
            Open::Refusal => {
                self.about("response.refusal.done", Some("content_index"), out, |this, w| {
                    w.key("refusal").text(&this.said);
                });
                self.content_done(out);
            }
            Open::Thought(thought) if thought.redacted.is_none() => {
                let kind = "response.reasoning_summary_text.done";
                self.about(kind, Some("summary_index"), out, |this, w| {
                    w.key("text").text(&this.said);
                });
                let kind = "response.reasoning_summary_part.done";
                self.about(kind, Some("summary_index"), out, |this, w| {
                    write_summary(&this.said, w.key("part"));
                });
            }
            Open::Thought(_) => {}
            Open::Call(_) => {
                self.about("response.function_call_arguments.done", None, out, |this, w| {
                    w.key("arguments").text(&this.said);
                });
            }
        }
        let mut w = json::Writer::with_capacity(256);
        write_item(&self.part(), &self.item, &mut w);
        let item = w.finish();
        self.item("response.output_item.done", &item, out);
        self.items.push(item);
    }

    fn content_done(&mut self, out: &mut Vec<u8>) {
        self.about("response.content_part.done", Some("content_index"), out, |this, w| {
            write_content(&this.part(), w.key("part"));
        });
    }

    fn end(&mut self, finish: &Finish, usage: &Usage, out: &mut Vec<u8>) {
        let status = status(finish);
        let kind =
            if status.0 == "completed" { "response.completed" } else { "response.incomplete" };
        self.response(kind, status, None, Some(usage), out);
    }
}

impl WriteFrames for Writer {
    fn write(&mut self, step: &Step<'_>, out: &mut Vec<u8>) {
        match step {
            Step::Start { id, model } => {
                self.id = (*id).clone().into_owned();
                self.model = (*model).clone().into_owned();
                for kind in ["response.created", "response.in_progress"] {
                    self.response(kind, ("in_progress", None), None, None, out);
                }
            }
            Step::Open(block) => self.open(block, out),
            Step::Delta(text) => self.delta(text, out),
            Step::Signature(signature) => {
                if let Open::Thought(thought) = &mut self.open {
                    thought.signature = Some((*signature).clone().into_owned());
                }
            }
            Step::Close => self.close(out),
            Step::End { finish, usage } => self.end(finish, usage, out),
            Step::Error { kind, message } => {
                self.response(
                    "response.failed",
                    ("failed", None),
                    Some((*kind, message)),
                    None,
                    out,
                );
            }
        }
    }
}
