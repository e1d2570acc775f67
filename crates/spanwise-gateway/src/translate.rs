//! Translation between the dialects of models: pure, from bytes to bytes.
//!
//! Every dialect has a reader and a writer, and between them stand one form of a request
//! ([`conversation`]), one of an answer and one of a stream. What a target cannot carry is either
//! left out and listed, where that does not change what is asked, or refused with the reason.
//! `docs/gateway-translation.md` has the tables.

use std::borrow::Cow;

use bytes::Bytes;

use crate::dialect::Dialect;

mod answer;
mod chat;
mod conversation;
mod converse;
mod error;
mod fields;
mod gemini;
mod json;
mod messages;
mod model;
mod ollama;
mod reply;
mod responses;
mod stream;
mod usage;

pub use error::{ErrorBody, ErrorKind, error, error_body};
pub use reply::{Reply, Stamp};
pub use stream::{Ending, Stream};

/// A request in another dialect.
#[derive(Debug)]
pub struct Translated {
    /// The body to send.
    pub body: Bytes,
    /// Whether the answer will be a stream.
    pub stream: bool,
    /// What was left out.
    pub dropped: Vec<Dropped>,
    /// What the answer's translation has to know of the request.
    pub reply: Reply,
}

/// Something that was left out because the target has no place for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The field, as a path into the request.
    pub what: Cow<'static, str>,
    /// Why it could not go along.
    pub why: &'static str,
}

/// Why a request has no translation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Untranslatable {
    /// The field, as a path into the request.
    pub what: Cow<'static, str>,
    /// What is the matter with it.
    pub why: Cow<'static, str>,
    /// [`ErrorKind::InvalidRequest`] for what no dialect allows, else
    /// [`ErrorKind::NotImplemented`].
    pub kind: ErrorKind,
}

/// Translates the body of a request into the dialect of the target.
///
/// `stream_by_path` is whether the path asks for a stream, which only Gemini and Converse say
/// there; `target_model` is the model's name at the target.
pub fn request(
    from: Dialect,
    to: Dialect,
    body: &[u8],
    target_model: &str,
    stream_by_path: bool,
) -> Result<Translated, Untranslatable> {
    let mut notes = Notes::default();
    let root = json::parse(body).map_err(|error| {
        let why = format!("{} (at byte {})", error.what, error.at);
        Untranslatable { what: "body".into(), why: why.into(), kind: ErrorKind::InvalidRequest }
    })?;
    if !root.is_object() {
        return Err(Untranslatable::malformed("body", "is not an object"));
    }
    let mut conversation = match from {
        Dialect::Chat => chat::read_request(&root, &mut notes),
        Dialect::Responses => responses::read_request(&root, &mut notes),
        Dialect::Messages => messages::read_request(&root, &mut notes),
        Dialect::Gemini => gemini::read_request(&root, &mut notes),
        Dialect::Converse => converse::read_request(&root, &mut notes),
        Dialect::Ollama => ollama::read_request(&root, &mut notes),
        Dialect::Embeddings => Err(no_way(from, to)),
    }?;
    conversation.stream |= stream_by_path;
    conversation.link();
    let stream = conversation.stream;
    let reply = Reply::new(from, to, &conversation, &root);
    let body = match to {
        Dialect::Chat => chat::write_request(&conversation, target_model, &mut notes),
        Dialect::Responses => responses::write_request(&conversation, target_model, &mut notes),
        Dialect::Messages => messages::write_request(conversation, target_model, &mut notes),
        Dialect::Gemini => gemini::write_request(conversation, target_model, &mut notes),
        Dialect::Converse => converse::write_request(conversation, target_model, &mut notes),
        Dialect::Ollama => ollama::write_request(&conversation, target_model, &mut notes),
        Dialect::Embeddings => Err(no_way(from, to)),
    }?;
    Ok(Translated { body: body.into(), stream, dropped: notes.dropped, reply })
}

/// The content type of an answer in this dialect.
pub fn content_type(dialect: Dialect, stream: bool) -> &'static str {
    match dialect {
        _ if !stream => "application/json",
        Dialect::Converse => "application/vnd.amazon.eventstream",
        Dialect::Ollama => "application/x-ndjson",
        _ => "text/event-stream",
    }
}

fn no_way(from: Dialect, to: Dialect) -> Untranslatable {
    let why = format!("there is no translation from {from} to {to}");
    Untranslatable { what: "body".into(), why: why.into(), kind: ErrorKind::NotImplemented }
}

impl Untranslatable {
    fn refused(what: impl Into<Cow<'static, str>>, why: &'static str) -> Self {
        let kind = ErrorKind::NotImplemented;
        Untranslatable { what: what.into(), why: why.into(), kind }
    }

    fn malformed(what: &str, why: &'static str) -> Self {
        let kind = ErrorKind::InvalidRequest;
        Untranslatable { what: what.to_owned().into(), why: why.into(), kind }
    }

    fn unknown(path: &str, name: &str) -> Self {
        Untranslatable::refused(field_path(path, name), "is not known to the translation")
    }
}

/// The path of a field whose name is the client's own, cut to a length fit for a message.
fn field_path(path: &str, name: &str) -> String {
    path.chars().chain(name.chars().take(64)).collect()
}

/// How much is listed of what is left out. A hostile request could have millions of odd fields.
const MOST_DROPPED: usize = 32;

/// Collects what is left out on the way.
#[derive(Debug, Default)]
struct Notes {
    dropped: Vec<Dropped>,
}

impl Notes {
    /// Lists something once, however often it occurs, and no more than a reader takes in.
    fn drop(&mut self, what: impl Into<Cow<'static, str>>, why: &'static str) {
        if self.dropped.len() == MOST_DROPPED {
            return;
        }
        let dropped = Dropped { what: what.into(), why };
        if !self.dropped.contains(&dropped) {
            self.dropped.push(dropped);
        }
    }

    /// Lists a field whose name is the client's own.
    fn drop_field(&mut self, path: &str, name: &str, why: &'static str) {
        self.drop(field_path(path, name), why);
    }
}

#[cfg(test)]
mod tests;
