//! What providers say when something goes wrong, whichever shape they give it.

use std::borrow::Cow;

use crate::json::{Kind, Value};

/// What went wrong, in the provider's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderError {
    /// The kind, such as `overloaded_error` or `throttlingException`.
    pub kind: String,
    /// A finer code, if there is one.
    pub code: Option<String>,
    /// The message, at most [`MAX_MESSAGE`] bytes of it.
    pub message: String,
    /// Whether the same request may succeed later or elsewhere.
    pub is_retryable: bool,
}

/// How much of a message is kept.
pub const MAX_MESSAGE: usize = 1024;

/// Kinds and codes that blame the request: another attempt would end the same way.
const FAULTS_OF_REQUEST: [&str; 28] = [
    "400",
    "401",
    "403",
    "404",
    "413",
    "422",
    "accessdeniedexception",
    "authentication_error",
    "billing_error",
    "content_filter",
    "content_policy_violation",
    "context_length_exceeded",
    "failed_precondition",
    "invalid_api_key",
    "invalid_argument",
    "invalid_prompt",
    "invalid_request_error",
    "model_not_found",
    "not_found",
    "not_found_error",
    "out_of_range",
    "permission_denied",
    "permission_error",
    "request_too_large",
    "resourcenotfoundexception",
    "unauthenticated",
    "unprocessable_entity",
    "validationexception",
];

impl ProviderError {
    /// A stream that ended before it said so.
    pub(super) fn truncated() -> Self {
        ProviderError {
            kind: "stream_truncated".to_owned(),
            code: None,
            message: "the stream ended before it was complete".to_owned(),
            is_retryable: true,
        }
    }

    /// An exception in an event stream.
    pub(super) fn of_exception(name: Option<&str>, data: &[u8]) -> Self {
        let text = simdutf8::basic::from_utf8(data).unwrap_or_default();
        let message = Value::object(text).and_then(|object| object.get("message"));
        let message = message.and_then(|message| message.as_text());
        Self::new(name.unwrap_or("exception"), None, message.as_deref().unwrap_or(text))
    }

    /// The body of an answer with an error's status.
    pub(super) fn of_body(status: u16, text: &str) -> Self {
        let first = Value::first(text);
        // Gemini wraps errors of streams into an array.
        let object = match first {
            Some(array) if array.kind == Kind::Array => array.elements().next(),
            other => other,
        };
        let mut error = object.and_then(Self::of_object).unwrap_or_else(|| {
            let is_page = text.trim_ascii_start().starts_with('<');
            Self::new("", None, if is_page { "" } else { text.trim() })
        });
        if error.kind.is_empty() {
            error.kind = status.to_string();
        }
        error.is_retryable = matches!(status, 408 | 409 | 425 | 429 | 500..);
        error
    }

    /// An object with an error in it.
    pub(super) fn of_object(object: Value<'_>) -> Option<Self> {
        match object.get("error").filter(|error| !error.is_null()) {
            Some(error) if error.kind == Kind::Text => {
                Some(Self::new("", None, &error.as_text().unwrap_or_default()))
            }
            Some(error) => Some(Self::of_fields(error)),
            None => ["message", "detail"]
                .iter()
                .any(|name| object.get(name).is_some())
                .then(|| Self::of_fields(object)),
        }
    }

    /// An object that is an error.
    pub(super) fn of_fields(error: Value<'_>) -> Self {
        let word = |name: &str| error.get(name).and_then(scalar);
        let code = word("code");
        let kind = word("type").filter(|kind| kind != "error").or_else(|| word("status"));
        let kind = kind.or_else(|| word("__type")).or_else(|| code.clone()).unwrap_or_default();
        let message = word("message").or_else(|| word("detail")).unwrap_or_default();
        Self::new(&kind, code.as_deref(), &message)
    }

    pub(super) fn new(kind: &str, code: Option<&str>, message: &str) -> Self {
        let blames_request =
            |word: &str| FAULTS_OF_REQUEST.iter().any(|fault| fault.eq_ignore_ascii_case(word));
        ProviderError {
            kind: kind.to_owned(),
            code: code.map(str::to_owned),
            message: message[..message.floor_char_boundary(MAX_MESSAGE)].to_owned(),
            is_retryable: !blames_request(kind) && !code.is_some_and(blames_request),
        }
    }

    /// The same with a kind, if it had none.
    pub(super) fn or_kind(mut self, kind: &str) -> Self {
        if self.kind.is_empty() {
            kind.clone_into(&mut self.kind);
        }
        self
    }
}

fn scalar(value: Value<'_>) -> Option<Cow<'_, str>> {
    match value.kind {
        Kind::Number => Some(Cow::Borrowed(value.literal)),
        _ => value.as_words(),
    }
}
