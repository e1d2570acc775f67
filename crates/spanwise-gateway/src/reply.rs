//! What clients are answered: bodies, and errors in their own dialect.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Frame, SizeHint};

use crate::agent::Passage;
use crate::dialect::Dialect;
use crate::relay::Passing;
use crate::translate::{ErrorKind, error_body};

/// A body on its way to a client.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Whole(Option<Bytes>),
    /// What an upstream sends.
    Relay(Passing),
    /// What an agent sends.
    Passage(Box<Passage>),
}

impl Body {
    /// All of it.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Body::Whole(Some(bytes.into()))
    }
}

/// The answer broke off; the client must not take it for complete.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BrokenOff(pub String);

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match &mut *self {
            Body::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Body::Relay(relay) => relay.poll_data(context).map(|data| Some(data?.map(Frame::data))),
            Body::Passage(passage) => passage.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(bytes) => bytes.is_none(),
            Body::Relay(_) => false,
            Body::Passage(passage) => passage.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Body::Relay(_) | Body::Passage(_) => SizeHint::default(),
        }
    }
}

/// Why a request is not served, in terms that its client understands.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What kind of error it is.
    pub kind: ErrorKind,
    /// The status, where the dialect's usual one for the kind is not meant.
    pub status: Option<u16>,
    /// `error.type` in the span.
    pub fault: &'static str,
    /// For people. Goes to the client and into the span.
    pub message: String,
    /// Headers that belong to it.
    pub headers: Vec<(&'static str, String)>,
}

impl Refusal {
    /// A refusal of this kind.
    pub fn new(kind: ErrorKind, fault: &'static str, message: impl Into<String>) -> Self {
        Refusal { kind, status: None, fault, message: message.into(), headers: Vec::new() }
    }

    /// The same with another status than the kind usually has.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Refusal { status: Some(status), ..self }
    }

    /// The same with a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// The same, to be tried again after so many seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.with_header(RETRY_AFTER.as_str(), &seconds)
    }

    /// The status that the client gets.
    pub fn status(&self, dialect: Dialect) -> StatusCode {
        let status = self.status.unwrap_or_else(|| self.kind.status(dialect));
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The answer, as the dialect writes errors.
    pub fn response(&self, dialect: Dialect) -> Response<Body> {
        let status = self.status(dialect);
        let error = error_body(dialect, status.as_u16(), self.kind, &self.message);
        let mut response = json(status, error.body);
        let headers = response.headers_mut();
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        if let Some(kind) = error.amzn_errortype {
            headers.insert("x-amzn-errortype", HeaderValue::from_static(kind));
        }
        response
    }
}

/// An answer in JSON.
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Headers of requests that concern the model and not the connection, beside those that begin
/// with one of [`PASSED_PREFIXES`]. All others stay here: cookies, addresses, credentials.
const PASSED: &[&str] =
    &["accept", "user-agent", "idempotency-key", "x-client-request-id", "x-request-id"];
const PASSED_PREFIXES: &[&str] = &["openai-", "anthropic-", "x-stainless-"];

/// Copies those headers of a client's request that an upstream may see.
pub fn pass_request_headers(from: &HeaderMap, to: &mut HeaderMap) {
    for (name, value) in from {
        let passes = PASSED.contains(&name.as_str())
            || PASSED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix));
        if passes {
            to.append(name, value.clone());
        }
    }
}

/// Headers of answers that concern the connection to the upstream, or are the upstream's business
/// with us.
const KEPT: &[&str] = &[
    "alt-svc",
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "set-cookie",
    "strict-transport-security",
    "te",
    "trailer",
    "traceresponse",
    "transfer-encoding",
    "upgrade",
];

/// Copies those headers of an upstream's answer that are meant for the client.
pub fn pass_response_headers(from: &HeaderMap, to: &mut HeaderMap) {
    let named = connection_options(from);
    for (name, value) in from {
        if !KEPT.contains(&name.as_str()) && !named.iter().any(|option| option == name.as_str()) {
            to.append(name, value.clone());
        }
    }
}

/// Headers that the sender says are for this connection only.
pub fn connection_options(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(http::header::CONNECTION).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|option| option.trim().to_ascii_lowercase())
        .filter(|option| !option.is_empty())
        .collect()
}
