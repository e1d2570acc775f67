//! Requests to models: one checking pass over the bytes, and edits that leave all others alone.
//!
//! A body is never parsed into a tree and never written anew. What a gateway must know stands in
//! [`RequestFacts`]; what it must change is spliced in by [`rewrite`].

use std::borrow::Cow;
use std::ops::Range;

use crate::dialect::Dialect;
use crate::json::{Document, Value};

mod parameters;
mod rewrite;

pub use crate::json::Malformed;
pub use parameters::Parameters;
pub use rewrite::{Edits, rewrite};

use rewrite::UsageSplice;

/// What a request says, as far as a gateway is concerned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestFacts<'a> {
    /// The model; `None` where the dialect has it in the path, or the request forgot it.
    pub model: Option<Field<'a>>,
    /// Whether the answer is to be streamed. Where the path says so, this is false.
    pub stream: bool,
    /// What the request says about a usage chunk at the end of the stream.
    pub include_usage: Option<bool>,
    /// Parameters, for the span.
    pub parameters: Parameters<'a>,
    /// Whether tools are offered.
    pub has_tools: bool,
    /// Where the messages stand, or whatever is the input.
    pub messages: Option<Range<usize>>,
    /// Where the system prompt stands, if it stands apart from the messages.
    pub system: Option<Range<usize>>,
    /// Where the definitions of tools stand.
    pub tools: Option<Range<usize>>,
    /// Whether the dialect has the model in the path, and none in the body.
    is_in_path: bool,
    /// Just after the opening brace.
    start: usize,
    is_empty: bool,
    usage_splice: UsageSplice,
}

/// A string in a request and where its literal stands, quotes included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The value, unescaped.
    pub value: Cow<'a, str>,
    /// Where the literal stands.
    pub range: Range<usize>,
}

impl RequestFacts<'_> {
    /// The same facts without the body they were read from.
    pub fn into_owned(self) -> RequestFacts<'static> {
        let RequestFacts { model, parameters, .. } = self;
        RequestFacts {
            model: model.map(|Field { value, range }| Field {
                value: Cow::Owned(value.into_owned()),
                range,
            }),
            stream: self.stream,
            include_usage: self.include_usage,
            parameters: parameters.into_owned(),
            has_tools: self.has_tools,
            messages: self.messages,
            system: self.system,
            tools: self.tools,
            is_in_path: self.is_in_path,
            start: self.start,
            is_empty: self.is_empty,
            usage_splice: self.usage_splice,
        }
    }

    /// Whether the stream would tell its usage only if asked to, and was not asked to.
    pub fn lacks_usage(&self) -> bool {
        self.stream && self.usage_splice != UsageSplice::Nowhere
    }
}

/// Reads a request. The whole body is checked: UTF-8, strict JSON, at most
/// [`MAX_DEPTH`](crate::json::MAX_DEPTH) levels, and none of the fields twice that decide where
/// the request goes and how it is answered.
pub fn scan(dialect: Dialect, body: &[u8]) -> Result<RequestFacts<'_>, Malformed> {
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(Malformed { what: "byte order mark", at: 0 });
    }
    let text = simdutf8::compat::from_utf8(body)
        .map_err(|error| Malformed { what: "not UTF-8", at: error.valid_up_to() })?;
    let mut document = Document::open(text)?;
    let mut facts = RequestFacts {
        is_in_path: matches!(dialect, Dialect::Gemini | Dialect::Converse),
        start: document.position(),
        is_empty: true,
        // Ollama streams unless it is told not to.
        stream: dialect == Dialect::Ollama,
        usage_splice: UsageSplice::of(dialect),
        ..RequestFacts::default()
    };
    let mut seen = Seen::default();
    while let Some((key, value)) = document.member()? {
        facts.is_empty = false;
        facts.take(dialect, &key, value, &mut seen)?;
    }
    Ok(facts)
}

/// Which of the deciding fields were there.
#[derive(Default)]
struct Seen {
    model: bool,
    stream: bool,
    stream_options: bool,
}

impl<'a> RequestFacts<'a> {
    fn take(
        &mut self,
        dialect: Dialect,
        key: &str,
        value: Value<'a>,
        seen: &mut Seen,
    ) -> Result<(), Malformed> {
        let fault = |what| Malformed { what, at: value.start };
        let once = |seen: &mut bool, what| {
            if std::mem::replace(seen, true) { Err(fault(what)) } else { Ok(()) }
        };
        match key {
            "model" if !self.is_in_path => {
                once(&mut seen.model, "model is given twice")?;
                self.model = Some(model(value)?);
            }
            "stream" if !self.is_in_path && dialect != Dialect::Embeddings => {
                once(&mut seen.stream, "stream is given twice")?;
                if !value.is_null() {
                    self.stream =
                        value.as_bool().ok_or_else(|| fault("stream must be true or false"))?;
                }
            }
            "stream_options" if dialect == Dialect::Chat => {
                once(&mut seen.stream_options, "stream_options is given twice")?;
                (self.include_usage, self.usage_splice) = UsageSplice::find(value);
            }
            "messages" | "input" | "contents" | "prompt" => self.messages = Some(value.range()),
            "system" | "instructions" | "systemInstruction" | "system_instruction" => {
                self.system = Some(value.range());
            }
            "tools" | "functions" | "toolConfig" => {
                self.has_tools |= value.is_filled();
                self.tools = Some(value.range());
            }
            _ => self.parameters.take(dialect, key, value),
        }
        Ok(())
    }
}

/// A name of a model ends up in paths and spans, so it may hold no control characters.
fn model(value: Value<'_>) -> Result<Field<'_>, Malformed> {
    let fault = |what| Malformed { what, at: value.start };
    let name = value.as_text().ok_or_else(|| fault("model must be a string"))?;
    if name.chars().any(char::is_control) {
        return Err(fault("control character in the name of a model"));
    }
    Ok(Field { value: name, range: value.range() })
}

#[cfg(test)]
mod tests;
