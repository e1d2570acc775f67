//! Translating what comes back.

use std::borrow::Cow;

use bytes::Bytes;

use crate::dialect::Dialect;

use super::conversation::Conversation;
use super::error::{ErrorKind, read_error};
use super::json::{Node, Text, parse};
use super::stream::Stream;
use super::{Notes, Untranslatable, chat, converse, gemini, messages, ollama, responses};

/// What the translation of an answer has to know of its request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The dialect of the client.
    pub client: Dialect,
    /// The dialect of the provider that answers.
    pub upstream: Dialect,
    pub(super) wants: Wants,
}

/// What the client asked for that shows in the answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Wants {
    /// The usage at the end of a stream of Chat.
    pub usage: bool,
    /// The thoughts of the model.
    pub thoughts: bool,
    /// Fields of a Responses request that its answer repeats, as they were written.
    pub echo: Vec<(&'static str, String)>,
}

/// What stands in an answer whose provider does not say it.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// The answer's id.
    pub id: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

/// The fields that a Responses answer repeats.
const ECHOED: [&str; 11] = [
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "reasoning",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "user",
];

impl Reply {
    pub(super) fn new(
        client: Dialect,
        upstream: Dialect,
        conversation: &Conversation<'_>,
        root: &Node<'_>,
    ) -> Self {
        // Where thoughts are a part of every answer, clients take them as they come; elsewhere
        // they have to ask.
        let shows_all = matches!(client, Dialect::Chat | Dialect::Responses | Dialect::Ollama);
        let echoed = if client == Dialect::Responses { &ECHOED[..] } else { &[] };
        let echo =
            echoed.iter().filter_map(|key| Some((*key, root.get(key)?.raw.to_owned()))).collect();
        let wants = Wants {
            usage: conversation.include_usage,
            thoughts: shows_all || conversation.reasoning.visible,
            echo,
        };
        Reply { client, upstream, wants }
    }

    /// Translates a whole answer.
    pub fn answer(&self, body: &[u8], stamp: &Stamp<'_>) -> Result<Bytes, Untranslatable> {
        let unreadable = |why: Cow<'static, str>| Untranslatable {
            what: "the provider's answer".into(),
            why,
            kind: ErrorKind::Upstream,
        };
        let root = parse(body).map_err(|error| unreadable(error.what.into()))?;
        if let Some((kind, message)) = root.get("error").and_then(|_| read_error(&root, None)) {
            let why = message.into_plain().into_owned().into();
            return Err(Untranslatable { kind, ..unreadable(why) });
        }
        let mut answer = match self.upstream {
            Dialect::Chat => chat::read_answer(&root),
            Dialect::Responses => responses::read_answer(&root),
            Dialect::Messages => messages::read_answer(&root),
            Dialect::Gemini => gemini::read_answer(&root),
            Dialect::Converse => converse::read_answer(&root),
            Dialect::Ollama => ollama::read_answer(&root),
            Dialect::Embeddings => None,
        }
        .ok_or_else(|| unreadable("is of another shape than its dialect's".into()))?;
        for choice in &mut answer.choices {
            choice.settle();
            if !self.wants.thoughts {
                choice.parts.retain(|part| !part.is_thought());
            }
        }
        answer.id.get_or_insert_with(|| Text::from_plain(stamp.id));
        answer.model.get_or_insert_with(|| Text::from_plain(stamp.model));
        answer.name_calls();
        let mut notes = Notes::default();
        let body = match self.client {
            Dialect::Chat | Dialect::Embeddings => chat::write_answer(&answer, stamp.created),
            Dialect::Responses => responses::write_answer(&answer, &self.wants, stamp.created),
            Dialect::Messages => messages::write_answer(&answer, &mut notes),
            Dialect::Gemini => gemini::write_answer(&answer, &mut notes),
            Dialect::Converse => converse::write_answer(&answer, &mut notes)?,
            Dialect::Ollama => ollama::write_answer(&answer, stamp.created, &mut notes),
        };
        Ok(body.into())
    }

    /// A translation of a stream of frames.
    pub fn stream(&self, stamp: &Stamp<'_>) -> Stream {
        Stream::new(self.clone(), stamp)
    }
}
