//! The envelope of JSON-RPC, which A2A and MCP share.

use std::borrow::Cow;

use crate::json::{Kind, Value};

/// A request or notification inside a body.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// All of it.
    pub value: Value<'a>,
    /// What it asks for.
    pub method: Cow<'a, str>,
    /// With which parameters.
    pub params: Option<Value<'a>>,
    /// By what its answer is known; a notification has none.
    pub id: Option<Value<'a>>,
}

impl<'a> Request<'a> {
    fn of(value: Value<'a>) -> Option<Self> {
        let is_rpc = value.get("jsonrpc").and_then(|version| version.as_text());
        is_rpc.filter(|version| version == "2.0")?;
        Some(Request {
            value,
            method: value.get("method")?.as_text()?,
            params: value.get("params").filter(|params| !params.is_null()),
            id: value.get("id").filter(|id| matches!(id.kind, Kind::Text | Kind::Number)),
        })
    }
}

/// The requests in a body: one, or those of a batch. Empty if it is no JSON-RPC.
pub fn requests(body: &str) -> Vec<Request<'_>> {
    each(body).filter_map(Request::of).collect()
}

/// How a request was answered.
#[derive(Clone, Debug)]
pub enum Outcome<'a> {
    /// With a result.
    Result(Value<'a>),
    /// With an error.
    Error {
        /// What kind of error it is.
        code: i64,
        /// For people.
        message: Cow<'a, str>,
    },
}

/// The answers in a text. What a peer asks in the same stream is left out.
pub fn outcomes(text: &str) -> impl Iterator<Item = Outcome<'_>> {
    each(text).filter_map(|value| match (value.get("error"), value.get("result")) {
        (Some(error), _) if !error.is_null() => Some(Outcome::Error {
            code: error.get("code").and_then(|code| code.as_i64())?,
            message: error.get("message").and_then(|m| m.as_text()).unwrap_or_default(),
        }),
        (_, Some(result)) => Some(Outcome::Result(result)),
        _ => None,
    })
}

/// What a text is, or the elements of the array that it is.
fn each(text: &str) -> impl Iterator<Item = Value<'_>> {
    let value = Value::first(text);
    let whole = value.filter(|value| value.kind == Kind::Object);
    let elements = value.into_iter().flat_map(|value| value.elements());
    whole.into_iter().chain(elements)
}
