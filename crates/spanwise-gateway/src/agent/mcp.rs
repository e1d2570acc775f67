//! The Model Context Protocol over HTTP: what its requests ask for, and the trace's context, which
//! it carries in `params._meta`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use bytes::Bytes;
use http::HeaderMap;
use spanwise_model::propagate::{self, Extracted};

use super::rpc::{self, Request};
use super::talk::{Heard, text_at};
use crate::fold::Room;
use crate::json::{self, Kind, Value};
use crate::record::{AgentCall, Fault};

/// The protocol's methods.
const METHODS: [&str; 29] = [
    "completion/complete",
    "elicitation/create",
    "initialize",
    "logging/setLevel",
    "notifications/cancelled",
    "notifications/elicitation/complete",
    "notifications/initialized",
    "notifications/message",
    "notifications/progress",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
    "notifications/resources/updated",
    "notifications/roots/list_changed",
    "notifications/tools/list_changed",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "roots/list",
    "server/discover",
    "subscriptions/listen",
    "tasks/get",
    "tasks/result",
    "tools/call",
    "tools/list",
];

/// Whether a request is of this protocol: its method says so, or its client does.
pub fn is_spoken(method: &str, params: Option<Value<'_>>, headers: &HeaderMap) -> bool {
    let has = |name| params.is_some_and(|params| params.get(name).is_some());
    is_declared(headers)
        || match method {
            // Others call methods so too.
            "ping" => false,
            "initialize" => has("protocolVersion"),
            // A2A's tasks are found by their `id`.
            "tasks/get" | "tasks/list" | "tasks/cancel" | "tasks/result" => has("taskId"),
            _ => METHODS.contains(&method),
        }
}

/// Whether the headers are those of a client of this protocol.
pub fn is_declared(headers: &HeaderMap) -> bool {
    headers.contains_key("mcp-protocol-version") || headers.contains_key("mcp-session-id")
}

/// Notes what a request says about itself.
pub fn describe(request: &Request<'_>, headers: &HeaderMap, call: &mut AgentCall, room: &mut Room) {
    let method = bounded(&request.method);
    let name = request.params.and_then(|params| text_at(params, "name"));
    let name = name.map(|name| bounded(&name).to_owned());
    call.note("mcp.method.name", method.to_owned());
    call.operation = None;
    call.name = match (&*request.method, name) {
        ("tools/call", Some(tool)) => {
            call.operation = Some("execute_tool");
            let name = format!("{method} {tool}");
            call.note("gen_ai.tool.name", tool);
            name
        }
        ("prompts/get", Some(prompt)) => {
            let name = format!("{method} {prompt}");
            call.note("gen_ai.prompt.name", prompt);
            name
        }
        // Anybody can make methods up; as names of spans only known ones are of use.
        _ if METHODS.contains(&method) => method.to_owned(),
        _ => "mcp".to_owned(),
    };
    if let Some(id) = request.id {
        call.note_text("jsonrpc.request.id", Some(id.as_text().unwrap_or(id.literal.into())));
    }
    note_headers(headers, call);
    let Some(params) = request.params else { return };
    call.note_text("mcp.resource.uri", text_at(params, "uri"));
    call.note_text("mcp.protocol.version", text_at(params, "protocolVersion"));
    let arguments = params.get("arguments").filter(|_| call.operation.is_some());
    if let Some(arguments) = arguments.filter(|_| !room.is_closed()) {
        call.note("gen_ai.tool.call.arguments", room.fit(arguments.literal).to_owned());
    }
}

/// Notes what the headers of a request or an answer say.
pub fn note_headers(headers: &HeaderMap, call: &mut AgentCall) {
    for (header, name) in
        [("mcp-session-id", "mcp.session.id"), ("mcp-protocol-version", "mcp.protocol.version")]
    {
        let value = headers.get(header).and_then(|value| value.to_str().ok());
        call.note_text(name, value.map(Cow::Borrowed));
    }
}

/// Notes what a result says. A tool that failed says so inside a result that is none of an error.
pub fn hear(result: Value<'_>, heard: &mut Heard) {
    heard.call.note_text("mcp.protocol.version", text_at(result, "protocolVersion"));
    if heard.call.operation.is_none() {
        return;
    }
    if result.get("isError").and_then(|error| error.as_bool()) == Some(true) {
        heard.fault = Some(Fault::new("tool_error", "the tool reports an error"));
    }
    if let Some(content) = result.get("content").filter(|_| !heard.room.is_closed()) {
        let content = heard.room.fit(content.literal).to_owned();
        heard.call.note("gen_ai.tool.call.result", content);
    }
}

/// Names come from clients, and need not be longer than names are.
fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(128)]
}

/// The context that a body carries, if it does.
pub fn context_in(body: &str) -> Option<Extracted> {
    let metas = rpc::requests(body).into_iter().filter_map(|request| request.params?.get("_meta"));
    let meta = metas.into_iter().find(|meta| meta.get("traceparent").is_some())?;
    Some(propagate::extract(|name, each| match meta.get(name) {
        None => {}
        Some(value) => match value.as_text() {
            Some(text) => each(text.as_bytes()),
            None => each(b"not a string"),
        },
    }))
}

/// The same body with the context that these headers carry, in place of the one it had. All other
/// bytes stay.
pub fn with_context(body: &Bytes, headers: &HeaderMap) -> Bytes {
    let Ok(text) = simdutf8::basic::from_utf8(body) else { return body.clone() };
    let mut context = String::new();
    for name in propagate::HEADERS {
        if let Some(value) = headers.get(name).and_then(|value| value.to_str().ok()) {
            let comma = if context.is_empty() { "" } else { "," };
            let value = serde_json::Value::from(value);
            // Writing into a string does not fail.
            let _ = write!(context, "{comma}\"{name}\":{value}");
        }
    }
    let edits = rpc::requests(text).iter().filter_map(|request| edit(request, &context)).collect();
    json::splice(body, edits)
}

/// What is to be changed in a request so that it carries the context.
fn edit(request: &Request<'_>, context: &str) -> Option<(Range<usize>, String)> {
    let member = format!("\"_meta\":{{{context}}}");
    let Some(params) = request.params else {
        // A notification that says nothing else has nobody waiting below it.
        let has_none = request.value.get("params").is_none() && request.id.is_some();
        return (has_none && !context.is_empty())
            .then(|| first_in(request.value, &format!("\"params\":{{{member}}}")));
    };
    if params.kind != Kind::Object {
        return None;
    }
    match params.get("_meta") {
        None if context.is_empty() => None,
        None => Some(first_in(params, &member)),
        Some(meta) if meta.kind == Kind::Object => {
            let edited = with_members(meta, context);
            (edited != meta.literal).then(|| (meta.range(), edited))
        }
        Some(meta) if meta.is_null() && !context.is_empty() => {
            Some((meta.range(), format!("{{{context}}}")))
        }
        Some(_) => None,
    }
}

/// Puts a member first in an object.
fn first_in(object: Value<'_>, member: &str) -> (Range<usize>, String) {
    let comma = if object.is_filled() { "," } else { "" };
    let at = object.start + 1;
    (at..at, format!("{member}{comma}"))
}

/// An object with these members in place of those of the same names.
fn with_members(object: Value<'_>, members: &str) -> String {
    let others = object.members().filter(|(name, _)| !propagate::HEADERS.contains(&&**name));
    let mut text = format!("{{{members}");
    for (name, value) in others {
        let comma = if text.len() > 1 { "," } else { "" };
        let name = serde_json::Value::from(&*name);
        // Writing into a string does not fail.
        let _ = write!(text, "{comma}{name}:{}", value.literal);
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests;
