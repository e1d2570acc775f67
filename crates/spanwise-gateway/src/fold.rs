//! Answers of models folded into what their spans show.
//!
//! A [`Fold`] sees a copy of what passes by, frame by frame or whole, and keeps the little that
//! matters: which model answered, what it used, why it stopped, what went wrong, and, where
//! content is captured, what it said. It never fails: what cannot be read is not known.

use std::borrow::Cow;

use spanwise_model::genai::{Usage, canonical_finish_reason};

use crate::dialect::Dialect;
use crate::frames::{Frame, FrameKind, Trouble};
use crate::json::Value;

mod chat;
pub(crate) mod content;
mod converse;
mod draft;
mod embeddings;
mod error;
mod gemini;
mod messages;
mod ollama;
mod request;
mod responses;
mod usage;

pub(crate) use draft::Room;
pub use draft::ToolCall;
pub use error::ProviderError;
pub use request::{RequestContent, request_content};

use draft::Draft;

/// How much of what is said is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// At most so many bytes of text; zero keeps none.
    pub max_bytes: usize,
}

impl Capture {
    /// Nothing that was said is kept.
    pub const NOTHING: Capture = Capture { max_bytes: 0 };
}

/// What a frame of a stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Something before the first content: the answer may still come from elsewhere.
    Preamble,
    /// Text, reasoning or part of a call of a tool; after the first one, any delta.
    Content,
    /// Nothing but usage, in a chunk that only `include_usage` brings.
    Usage,
    /// The provider failed after it had said 200.
    Error(ProviderError),
    /// The stream has said that it is over.
    End,
    /// Anything else.
    Other,
}

/// How a stream came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The upstream closed it.
    Closed,
    /// The upstream broke it off, or took too long.
    Broken,
    /// The client went away.
    ClientGone,
}

/// Why one choice is finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishReason {
    /// In the provider's words.
    pub raw: String,
    /// In OpenTelemetry's words, where it has one for it.
    pub canonical: Cow<'static, str>,
}

impl FinishReason {
    fn new(raw: &str) -> Self {
        let canonical = match canonical_finish_reason(raw) {
            Some(known) => Cow::Borrowed(known),
            None => Cow::Owned(raw.to_owned()),
        };
        FinishReason { raw: raw.to_owned(), canonical }
    }
}

/// What an answer came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The provider's id of the answer.
    pub response_id: Option<String>,
    /// The model that answered.
    pub response_model: Option<String>,
    /// The tier that served it.
    pub service_tier: Option<String>,
    /// Tokens, inclusive.
    pub usage: Usage,
    /// Of the tokens written to a cache, those kept for five minutes.
    pub cache_write_5m: Option<u64>,
    /// Of the tokens written to a cache, those kept for an hour.
    pub cache_write_1h: Option<u64>,
    /// Whether counts contradicted each other and were clamped, or were no counts at all.
    pub is_inconsistent: bool,
    /// One per choice, by index; `error` where a stream ended early.
    pub finish_reasons: Vec<FinishReason>,
    /// How many choices there were.
    pub n_choices: usize,
    /// Calls of tools, where content is captured.
    pub tool_calls: Vec<ToolCall>,
    /// OpenTelemetry's `gen_ai.output.messages` as JSON, where content is captured.
    pub output_messages: Option<String>,
    /// Whether more was said than is kept.
    pub is_content_cut: bool,
    /// What the provider says went wrong, or `stream_truncated`.
    pub error: Option<ProviderError>,
    /// Whether the stream ended before it said so.
    pub ended_early: bool,
    /// The dimensions of embeddings.
    pub dimensions: Option<u64>,
}

/// Reads one answer.
#[derive(Debug)]
pub struct Fold {
    dialect: Dialect,
    is_stream: bool,
    draft: Draft,
}

impl Fold {
    /// Starts an answer.
    pub fn new(dialect: Dialect, is_stream: bool, capture: Capture) -> Self {
        Fold { dialect, is_stream, draft: Draft::new(capture) }
    }

    /// Whether text, reasoning or a call of a tool has been seen.
    pub fn has_content(&self) -> bool {
        self.draft.has_content
    }

    /// The provider's id of the answer, as soon as it is known.
    pub fn response_id(&self) -> Option<&str> {
        self.draft.id.as_deref()
    }

    /// Takes in a frame of a stream.
    pub fn frame(&mut self, frame: &Frame) -> Seen {
        match frame.kind {
            FrameKind::Message => self.event(frame.event(), frame.data()),
            FrameKind::Exception => {
                let error = ProviderError::of_exception(frame.event(), frame.data());
                self.draft.fail(error)
            }
            FrameKind::Empty => Seen::Other,
            FrameKind::Opaque => self.unread(frame.trouble),
        }
    }

    /// From here on nothing is known. Frames that are merely long still reach the client; damaged
    /// ones reach nobody.
    fn unread(&mut self, trouble: Option<Trouble>) -> Seen {
        let was_unread = std::mem::replace(&mut self.draft.is_unread, true);
        match trouble {
            Some(trouble) if trouble.is_damage() && !was_unread => {
                self.draft.fail(ProviderError::new("stream_corrupt", None, &trouble.to_string()))
            }
            _ => Seen::Other,
        }
    }

    /// Takes in an event of a stream: its name, if it has one, and its data.
    pub fn event(&mut self, event: Option<&str>, data: &[u8]) -> Seen {
        let Ok(data) = simdutf8::basic::from_utf8(data) else {
            return Seen::Other;
        };
        let draft = &mut self.draft;
        let seen = match self.dialect {
            Dialect::Chat => chat::event(draft, event, data),
            Dialect::Responses => responses::event(draft, event, data),
            Dialect::Messages => messages::event(draft, event, data),
            Dialect::Gemini => gemini::event(draft, data),
            Dialect::Converse => converse::event(draft, event, data),
            Dialect::Ollama => ollama::event(draft, data),
            Dialect::Embeddings => Seen::Other,
        };
        draft.has_content |= seen == Seen::Content;
        seen
    }

    /// Takes in a whole answer, or a whole refusal.
    pub fn body(&mut self, status: u16, body: &[u8]) {
        let draft = &mut self.draft;
        draft.is_complete = true;
        let text = simdutf8::basic::from_utf8(body).unwrap_or_default();
        let object = Value::object(text.trim_ascii_start());
        if status >= 400 {
            draft.error = Some(ProviderError::of_body(status, text));
        } else if let Some(object) = object {
            match self.dialect {
                Dialect::Chat => chat::body(draft, object),
                Dialect::Responses => responses::body(draft, object),
                Dialect::Embeddings => embeddings::body(draft, object),
                Dialect::Messages => messages::body(draft, object),
                Dialect::Gemini => gemini::body(draft, object),
                Dialect::Converse => converse::body(draft, object),
                Dialect::Ollama => ollama::body(draft, object),
            }
        } else if self.dialect == Dialect::Gemini {
            for object in Value::first(text).iter().flat_map(Value::elements) {
                gemini::body(draft, object);
            }
        }
    }

    /// Whether nothing more is due: the stream has said that it is over or that it failed, or it
    /// could not be read to its end.
    pub fn has_ended(&self) -> bool {
        let Draft { is_complete, is_unread, error, .. } = &self.draft;
        *is_complete || *is_unread || error.is_some()
    }

    /// What it all came to.
    pub fn finish(mut self, ending: Ending) -> Answer {
        let draft = &mut self.draft;
        let ended_early = !draft.is_complete && !draft.is_unread && draft.error.is_none();
        if ended_early && ending != Ending::ClientGone && self.is_stream {
            draft.error = Some(ProviderError::truncated());
        }
        let was_cut_off = !draft.is_complete && draft.error.is_some() || ended_early;
        let (usage, tally) = draft.counts.usage(self.dialect);
        draft.choices.sort_by_key(|choice| choice.index);
        let finish_reasons = draft.finish_reasons(was_cut_off);
        let tool_calls = draft.tool_calls();
        Answer {
            output_messages: draft.output_messages(was_cut_off),
            response_id: draft.id.take(),
            response_model: draft.model.take(),
            service_tier: draft.service_tier.take(),
            usage,
            cache_write_5m: tally.cache_write_5m,
            cache_write_1h: tally.cache_write_1h,
            is_inconsistent: tally.is_inconsistent,
            finish_reasons,
            n_choices: draft.choices.len(),
            tool_calls,
            is_content_cut: draft.is_cut(),
            error: draft.error.take(),
            ended_early,
            dimensions: draft.dimensions,
        }
    }
}

#[cfg(test)]
mod tests;
