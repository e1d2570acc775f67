//! Translating a stream of frames while it comes.
//!
//! A reader turns frames into [`Event`]s, as loosely ordered as its dialect allows; [`Blocks`]
//! puts them into an order that every dialect can write: one block after the other, none left
//! open. A writer turns that into frames of the client's dialect.

use bytes::Bytes;

use crate::dialect::Dialect;
use crate::frames::{Frame, FrameKind};

use super::conversation::{Arguments, Call};
use super::error::ErrorKind;
use super::json::{Node, Text, parse};
use super::reply::{Reply, Stamp, Wants};
use super::{chat, converse, gemini, messages, ollama, responses};

mod blocks;

pub(super) use blocks::Blocks;
pub use blocks::{Block, Step};

use super::answer::Finish;
use spanwise_model::genai::Usage;

/// What a frame of a provider says.
#[derive(Debug)]
pub enum Event<'a> {
    /// The answer begins.
    Start {
        id: Option<Text<'a>>,
        model: Option<Text<'a>>,
    },
    Text(Text<'a>),
    Refusal(Text<'a>),
    Thought(Text<'a>),
    /// The signature of the thought that is being said.
    Signature(Text<'a>),
    /// A whole thought that only its provider can read.
    Redacted(Text<'a>),
    Call(CallDelta<'a>),
    /// What was being said is over; the next text is another text.
    Break,
    Finish(Finish),
    Usage(Usage),
    Error {
        kind: ErrorKind,
        message: Text<'a>,
    },
    /// The answer is whole.
    End,
}

/// A piece of a call.
#[derive(Debug, Default)]
pub struct CallDelta<'a> {
    /// By which pieces of one call are known, though some servers use one for several.
    pub key: u64,
    pub id: Option<Text<'a>>,
    pub name: Option<Text<'a>>,
    pub arguments: Option<Text<'a>>,
    pub signature: Option<Text<'a>>,
}

impl<'a> CallDelta<'a> {
    /// A call that came in one piece.
    pub fn whole(key: u64, call: Call<'a>) -> Self {
        CallDelta {
            key,
            arguments: Some(call.arguments.text().into_owned()),
            id: Some(call.id).filter(|id| !id.is_empty()),
            name: Some(call.name),
            signature: call.signature,
        }
    }
}

/// A call whose arguments are still to come, for dialects that write calls whole.
pub fn whole_call(id: &Text<'_>, name: &Text<'_>, signature: Option<&Text<'_>>) -> Call<'static> {
    Call {
        id: id.clone().into_owned(),
        name: name.clone().into_owned(),
        arguments: Arguments::Text(Text::default()),
        signature: signature.map(|signature| signature.clone().into_owned()),
    }
}

/// How the provider's stream came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending<'a> {
    /// The provider closed it.
    Closed,
    /// The gateway gave up on it.
    Failed(ErrorKind, &'a str),
}

/// Reads frames of one dialect.
pub(super) trait ReadFrames: Send {
    /// Appends what a frame says.
    fn read<'a>(&mut self, event: Option<&str>, data: &Node<'a>, events: &mut Vec<Event<'a>>);
}

/// Writes frames of one dialect.
pub(super) trait WriteFrames: Send {
    /// Appends the frames for one step.
    fn write(&mut self, step: &Step<'_>, out: &mut Vec<u8>);
}

/// The translation of one stream.
pub struct Stream {
    reader: Box<dyn ReadFrames>,
    blocks: Blocks,
    writer: Box<dyn WriteFrames>,
    thoughts: bool,
}

impl Stream {
    pub(super) fn new(reply: Reply, stamp: &Stamp<'_>) -> Self {
        let thoughts = reply.wants.thoughts;
        Stream {
            reader: reader(reply.upstream),
            blocks: Blocks::new(stamp),
            writer: writer(reply.client, reply.wants, stamp.created),
            thoughts,
        }
    }

    /// Takes one frame of the provider; answers the frames for the client, often none.
    ///
    /// A stream that can no longer be cut into frames cannot be translated either, so it ends.
    pub fn take(&mut self, frame: &Frame) -> Bytes {
        match frame.kind {
            FrameKind::Message | FrameKind::Exception => self.frame(frame.event(), frame.data()),
            FrameKind::Empty => Bytes::new(),
            FrameKind::Opaque => {
                let what = "the provider's stream cannot be read";
                self.finish(Ending::Failed(ErrorKind::Upstream, what))
            }
        }
    }

    /// Takes the name and the data of one frame.
    pub fn frame(&mut self, event: Option<&str>, data: &[u8]) -> Bytes {
        let mut out = Vec::new();
        let mut step = |step: &Step<'_>| self.writer.write(step, &mut out);
        if data.trim_ascii() == b"[DONE]" {
            self.blocks.take(Event::End, &mut step);
            return out.into();
        }
        let Ok(node) = parse(data) else {
            let message = Text::from_plain("the provider sent a frame that is not JSON");
            self.blocks.take(Event::Error { kind: ErrorKind::Upstream, message }, &mut step);
            return out.into();
        };
        let mut events = Vec::new();
        self.reader.read(event, &node, &mut events);
        for event in events {
            let is_thought =
                matches!(event, Event::Thought(_) | Event::Signature(_) | Event::Redacted(_));
            if self.thoughts || !is_thought {
                self.blocks.take(event, &mut step);
            }
        }
        out.into()
    }

    /// Ends the stream: with its proper end if the model had finished, else with an error.
    pub fn finish(&mut self, ending: Ending<'_>) -> Bytes {
        let mut out = Vec::new();
        let mut step = |step: &Step<'_>| self.writer.write(step, &mut out);
        let (kind, message) = match ending {
            Ending::Closed if self.blocks.has_finish() => {
                self.blocks.take(Event::End, &mut step);
                return out.into();
            }
            Ending::Closed => (ErrorKind::Upstream, "the provider's stream ended early"),
            Ending::Failed(kind, message) => (kind, message),
        };
        let message = Text::from_plain(message);
        self.blocks.take(Event::Error { kind, message }, &mut step);
        out.into()
    }

    /// Whether the client has got its last frame.
    pub fn has_ended(&self) -> bool {
        self.blocks.has_ended()
    }
}

pub(super) fn reader(dialect: Dialect) -> Box<dyn ReadFrames> {
    match dialect {
        Dialect::Chat | Dialect::Embeddings => Box::<chat::Reader>::default(),
        Dialect::Responses => Box::<responses::Reader>::default(),
        Dialect::Messages => Box::<messages::Reader>::default(),
        Dialect::Gemini => Box::<gemini::Reader>::default(),
        Dialect::Converse => Box::<converse::Reader>::default(),
        Dialect::Ollama => Box::<ollama::Reader>::default(),
    }
}

pub(super) fn writer(dialect: Dialect, wants: Wants, created: u64) -> Box<dyn WriteFrames> {
    match dialect {
        Dialect::Chat | Dialect::Embeddings => Box::new(chat::Writer::new(wants, created)),
        Dialect::Responses => Box::new(responses::Writer::new(wants, created)),
        Dialect::Messages => Box::<messages::Writer>::default(),
        Dialect::Gemini => Box::<gemini::Writer>::default(),
        Dialect::Converse => Box::<converse::Writer>::default(),
        Dialect::Ollama => Box::new(ollama::Writer::new(created)),
    }
}

#[cfg(test)]
mod tests;
