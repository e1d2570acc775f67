//! The well-formed answers of the dialects that the mock speaks.
//!
//! Texts, ids and counts follow from the number of the request alone, so that whoever has seen an
//! answer's id knows what usage it must have led to.

mod chat;
mod messages;
mod responses;

use std::fmt::Write as _;

use serde::Deserialize;
use spanwise_model::genai::Usage;

use super::reply::Piece;
use super::script::{Counts, Script};

const CHAT_ID: &str = "chatcmpl-mock-";
const RESPONSE_ID: &str = "resp_mock_";
const MESSAGE_ID: &str = "msg_mock_";
const SENTENCE: &str = "The quick brown fox measures twice and cuts once. ";
const CREATED: u64 = 1_767_225_600;

/// Where the time of leaving stands in events that carry a clock.
pub(super) const CLOCK: &str = "fp_0000000000000000";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Chat,
    Responses,
    Embeddings,
    Messages,
    CountTokens,
    Models,
    /// Any other path: an agent that tells what it was asked.
    Other,
}

impl Endpoint {
    pub(super) fn of(path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        let ends: [(&str, Endpoint); 6] = [
            ("/chat/completions", Endpoint::Chat),
            ("/responses", Endpoint::Responses),
            ("/embeddings", Endpoint::Embeddings),
            ("/messages", Endpoint::Messages),
            ("/messages/count_tokens", Endpoint::CountTokens),
            ("/models", Endpoint::Models),
        ];
        let found = ends.into_iter().find(|(end, _)| path.ends_with(end));
        found.map_or(Endpoint::Other, |(_, endpoint)| endpoint)
    }

    fn is_anthropic(self) -> bool {
        matches!(self, Endpoint::Messages | Endpoint::CountTokens)
    }
}

/// What a request says that its answer depends on.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Request {
    #[serde(default)]
    pub(super) model: String,
    #[serde(default)]
    pub(super) stream: bool,
    stream_options: Option<StreamOptions>,
    encoding_format: Option<String>,
    input: Option<Input>,
}

#[derive(Debug, Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// Only how many inputs there are matters.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Texts(Vec<String>),
    Tokens(Vec<Vec<u64>>),
    /// One text, or one array of tokens.
    One(serde::de::IgnoredAny),
}

/// One answer to be written.
pub(super) struct Writer<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) request: &'a Request,
    /// The name of the model, between its quotes.
    pub(super) model: String,
    pub(super) script: &'a Script,
    /// The number of the request.
    pub(super) number: u64,
}

/// What the counts of the answer with this id are, if it is the mock's.
pub fn usage_of(response_id: &str) -> Option<Usage> {
    let number = |prefix: &str| response_id.strip_prefix(prefix)?.parse().ok();
    if let Some(number) = number(MESSAGE_ID) {
        return Some(Usage { reasoning: None, ..usage_at(number) });
    }
    number(CHAT_ID).or_else(|| number(RESPONSE_ID)).map(usage_at)
}

fn usage_at(number: u64) -> Usage {
    let (input, output) = (1000 + number * 7919 % 9000, 100 + number % 900);
    Usage {
        input: Some(input),
        output: Some(output),
        total: Some(input + output),
        cache_read: Some(1 + number % 500),
        cache_write: Some(1 + number % 100),
        reasoning: Some(1 + number % 90),
    }
}

impl Writer<'_> {
    /// The body of a whole answer.
    pub(super) fn whole(&self) -> String {
        match self.endpoint {
            Endpoint::Chat => self.chat(),
            Endpoint::Responses => self.response("completed", &self.response_output()),
            Endpoint::Embeddings => self.embeddings(),
            Endpoint::Messages => self.message(),
            Endpoint::CountTokens => format!(r#"{{"input_tokens":{}}}"#, 1000 + self.number % 1000),
            Endpoint::Models => MODELS.to_owned(),
            Endpoint::Other => format!(r#"{{"ok":true,"request":{}}}"#, self.number),
        }
    }

    /// The events of a streamed answer.
    pub(super) fn events(&self) -> Vec<Piece> {
        let mut events = match self.endpoint {
            Endpoint::Responses => self.response_events(),
            Endpoint::Messages => self.message_events(),
            _ => self.chat_events(),
        };
        if self.script.endless_frame > 0 {
            let frame = format!(": {}", "x".repeat(self.script.endless_frame));
            events.insert(0, Piece::preamble(frame.into_bytes()));
        }
        events
    }

    /// An error, whole or as an event.
    pub(super) fn error(&self, status: u16) -> String {
        let kind = error_kind(self.endpoint, status);
        if self.endpoint.is_anthropic() {
            return format!(
                r#"{{"type":"error","error":{{"type":"{kind}","message":"the mock says so"}},"request_id":"req_mock_{}"}}"#,
                self.number
            );
        }
        format!(
            r#"{{"error":{{"message":"the mock says so","type":"{kind}","param":null,"code":"{kind}"}}}}"#
        )
    }

    /// An error in the middle of a stream.
    pub(super) fn error_event(&self) -> Piece {
        let data = match self.endpoint {
            Endpoint::Responses => {
                r#"{"type":"error","sequence_number":99,"code":"server_error","message":"the mock says so","param":null}"#.to_owned()
            }
            Endpoint::Messages => self.error(529),
            _ => self.error(500),
        };
        let name = (self.endpoint != Endpoint::Chat).then_some("error");
        Piece::preamble(self.frame(name, &data))
    }

    fn frame(&self, event: Option<&str>, data: &str) -> Vec<u8> {
        let Script { line_end, comments, no_space, .. } = *self.script;
        let space = if no_space { "" } else { " " };
        let mut frame = String::with_capacity(data.len() + 64);
        if comments {
            write!(frame, ": keep-alive{line_end}{line_end}").ok();
        }
        if let Some(event) = event {
            write!(frame, "event:{space}{event}{line_end}").ok();
        }
        write!(frame, "data:{space}{data}{line_end}{line_end}").ok();
        frame.into_bytes()
    }

    /// The text of the answer, in as many pieces as asked for.
    fn deltas(&self) -> impl Iterator<Item = String> {
        let n_deltas = self.script.n_deltas.max(1);
        let size = (self.script.size / n_deltas).max(1);
        (0..n_deltas).map(move |number| text_at(number * size, size))
    }

    /// The member `usage` of an object that has others before it.
    fn member(&self, usage: &str) -> String {
        match self.script.usage {
            Counts::Missing => String::new(),
            Counts::Null => r#","usage":null"#.to_owned(),
            _ => format!(r#","usage":{usage}"#),
        }
    }

    fn counts(&self, number: u64) -> Written {
        let usage = usage_at(number);
        let [input, output, mut read, write] =
            [usage.input, usage.output, usage.cache_read, usage.cache_write]
                .map(Option::unwrap_or_default);
        let mut total = input + output;
        let alone = input - read - write;
        if self.script.usage == Counts::Inconsistent {
            read = input + 1000;
            total += 1;
        }
        let written = |count: u64| match self.script.usage {
            Counts::Strings => format!("\"{count}\""),
            Counts::Negative => format!("-{count}"),
            Counts::Huge => "1e30".to_owned(),
            _ => count.to_string(),
        };
        Written {
            input: written(input),
            input_alone: written(alone),
            output: written(output),
            total: written(total),
            cache_read: written(read),
            cache_write: written(write),
            reasoning: written(usage.reasoning.unwrap_or_default()),
        }
    }
}

/// Counts as they are put into JSON.
struct Written {
    input: String,
    /// Without what was read from or written to a cache.
    input_alone: String,
    output: String,
    total: String,
    cache_read: String,
    cache_write: String,
    reasoning: String,
}

const MODELS: &str = r#"{"object":"list","data":[{"id":"mock","object":"model","created":1767225600,"owned_by":"mock"}]}"#;

fn error_kind(endpoint: Endpoint, status: u16) -> &'static str {
    match (status, endpoint.is_anthropic()) {
        (400 | 413 | 422, _) => "invalid_request_error",
        (401, true) => "authentication_error",
        (401, false) => "invalid_api_key",
        (403, true) => "permission_error",
        (404, true) => "not_found_error",
        (429, true) => "rate_limit_error",
        (429, false) => "rate_limit_exceeded",
        (529, true) => "overloaded_error",
        (_, true) => "api_error",
        (_, false) => "server_error",
    }
}

/// So many bytes of an endless text, from there on.
fn text_at(start: usize, size: usize) -> String {
    SENTENCE.chars().cycle().skip(start % SENTENCE.len()).take(size).collect()
}

fn join(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}
