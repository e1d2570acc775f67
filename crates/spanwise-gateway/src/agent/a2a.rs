//! The Agent2Agent protocol: which of its operations a request is, and what its messages and tasks
//! say. Both of its bindings to HTTP are known, in the spelling of 1.0 and of 0.3.

use std::borrow::Cow;

use http::{HeaderMap, Method};
use serde_json::{Value as Json, json};
use spanwise_model::{Str, Value as Fact};

use super::talk::{Heard, text_at};
use crate::fold::{Room, content};
use crate::json::Value;
use crate::record::AgentCall;

/// The operations, under the names of 1.0 and of the versions before.
const OPERATIONS: [(&str, &[&str]); 11] = [
    ("SendMessage", &["message/send", "tasks/send"]),
    ("SendStreamingMessage", &["message/stream", "tasks/sendSubscribe"]),
    ("GetTask", &["tasks/get"]),
    ("ListTasks", &["tasks/list"]),
    ("CancelTask", &["tasks/cancel"]),
    ("SubscribeToTask", &["tasks/resubscribe"]),
    (
        "CreateTaskPushNotificationConfig",
        &["tasks/pushNotificationConfig/set", "tasks/pushNotification/set"],
    ),
    (
        "GetTaskPushNotificationConfig",
        &["tasks/pushNotificationConfig/get", "tasks/pushNotification/get"],
    ),
    ("ListTaskPushNotificationConfigs", &["tasks/pushNotificationConfig/list"]),
    ("DeleteTaskPushNotificationConfig", &["tasks/pushNotificationConfig/delete"]),
    ("GetExtendedAgentCard", &["agent/getAuthenticatedExtendedCard", "agent/getExtendedCard"]),
];

/// The states of a task, without what they all begin with.
const STATES: [&str; 9] = [
    "SUBMITTED",
    "WORKING",
    "COMPLETED",
    "FAILED",
    "CANCELED",
    "INPUT_REQUIRED",
    "REJECTED",
    "AUTH_REQUIRED",
    "UNSPECIFIED",
];

/// An operation that was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name in 1.0.
    pub name: &'static str,
    /// Whether it was called by its name in an earlier version.
    pub is_old: bool,
}

impl Operation {
    /// The operation behind a method of JSON-RPC.
    pub fn of_method(method: &str) -> Option<Self> {
        OPERATIONS.iter().find_map(|(name, old)| {
            let is_old = old.contains(&method);
            (is_old || *name == method).then_some(Operation { name, is_old })
        })
    }

    /// The operation behind a request of the binding to plain HTTP, and the task in its path.
    /// `/tasks` alone may be anybody's, and is taken for A2A's only if the client says so.
    pub fn of_path<'p>(
        method: &Method,
        path: &'p str,
        headers: &HeaderMap,
    ) -> Option<(Self, Option<&'p str>)> {
        let is_declared = headers.contains_key("a2a-version");
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (name, task) = match (method.as_str(), parts.as_slice()) {
            ("POST", [.., "message:send"]) => ("SendMessage", None),
            ("POST", [.., "message:stream"]) => ("SendStreamingMessage", None),
            ("GET", [.., "extendedAgentCard"] | ["v1", "card"]) => ("GetExtendedAgentCard", None),
            (verb, [.., "tasks", id, "pushNotificationConfigs"]) => match verb {
                "POST" => ("CreateTaskPushNotificationConfig", Some(*id)),
                "GET" => ("ListTaskPushNotificationConfigs", Some(*id)),
                _ => return None,
            },
            (verb, [.., "tasks", id, "pushNotificationConfigs", _]) => match verb {
                "GET" => ("GetTaskPushNotificationConfig", Some(*id)),
                "DELETE" => ("DeleteTaskPushNotificationConfig", Some(*id)),
                _ => return None,
            },
            (verb, [.., "tasks", task]) => match (verb, task.split_once(':')) {
                ("POST", Some((id, "cancel"))) => ("CancelTask", Some(id)),
                ("GET" | "POST", Some((id, "subscribe"))) => ("SubscribeToTask", Some(id)),
                ("GET", None) if is_declared => ("GetTask", Some(*task)),
                _ => return None,
            },
            ("GET", [.., "tasks"]) if is_declared => ("ListTasks", None),
            _ => return None,
        };
        Some((Operation { name, is_old: parts.first() == Some(&"v1") }, task))
    }

    /// Whether an agent is to do something, rather than to tell how far it is.
    pub fn invokes(self) -> bool {
        matches!(self.name, "SendMessage" | "SendStreamingMessage")
    }

    /// Whether its answer says how the task ends.
    pub fn follows_task(self) -> bool {
        self.invokes() || self.name == "SubscribeToTask"
    }
}

/// Notes what a request says about itself; its message is what the user says.
pub fn describe(
    operation: Operation,
    headers: &HeaderMap,
    params: Option<Value<'_>>,
    call: &mut AgentCall,
    room: &mut Room,
) -> Option<Json> {
    operation.name.clone_into(&mut call.name);
    call.operation = operation.invokes().then_some("invoke_agent");
    call.note("a2a.method.name", operation.name);
    let declared = headers.get("a2a-version").and_then(|version| version.to_str().ok());
    // Who says nothing about the version means the last one before it had to be said.
    let version = declared.or(operation.is_old.then_some("0.3"));
    call.note_text("a2a.protocol.version", version.map(Cow::Borrowed));
    let params = params?;
    call.note_text("a2a.tenant", text_at(params, "tenant"));
    let message = params.get("message").filter(|_| operation.invokes());
    let Some(message) = message else {
        let is_about_config = operation.name.contains("PushNotification");
        let of_task = text_at(params, "taskId");
        let id = of_task.or_else(|| text_at(params, "id").filter(|_| !is_about_config));
        call.note_text("a2a.task.id", id);
        call.note_text("gen_ai.conversation.id", text_at(params, "contextId"));
        return None;
    };
    call.note_text("a2a.message.id", text_at(message, "messageId"));
    call.note_text("a2a.task.id", text_at(message, "taskId"));
    call.note_text("gen_ai.conversation.id", text_at(message, "contextId"));
    if let Some(tasks) = message.get("referenceTaskIds") {
        let tasks = tasks.elements().filter_map(|id| id.as_text());
        let tasks: Vec<_> = tasks.map(|id| Fact::String(Str::from(id.into_owned()))).collect();
        if !tasks.is_empty() {
            call.note("a2a.message.reference_task_ids", Fact::Array(tasks));
        }
    }
    let said = parts(message, room);
    (!said.is_empty()).then(|| json!([content::message("user", said)]))
}

/// What an agent has said so far.
#[derive(Debug, Default)]
pub struct Said {
    artifacts: Vec<(String, Vec<Json>)>,
    message: Vec<Json>,
    /// What it said about its state, which counts if there is nothing else.
    status: Vec<Json>,
}

impl Said {
    /// The answer, as it stands at the end.
    pub fn into_messages(self) -> Option<Json> {
        let mut said = self.message;
        said.extend(self.artifacts.into_iter().flat_map(|(_, parts)| parts));
        if said.is_empty() {
            said = self.status;
        }
        (!said.is_empty()).then(|| json!([content::output_message(said, "stop")]))
    }

    fn artifact(&mut self, artifact: Value<'_>, appends: bool, room: &mut Room) {
        if room.is_closed() {
            return;
        }
        let id = text_at(artifact, "artifactId").unwrap_or_default();
        let new = parts(artifact, room);
        let known = self.artifacts.iter_mut().find(|(known, _)| *known == id);
        match known {
            Some((_, parts)) if appends => append(parts, new),
            Some((_, parts)) => *parts = new,
            None => self.artifacts.push((id.into_owned(), new)),
        }
    }
}

/// Notes what a result says: a task, a message, or what has changed about a task.
pub fn hear(result: Value<'_>, heard: &mut Heard) {
    let kind = text_at(result, "kind").unwrap_or_default();
    let inner =
        |names: [&str; 2]| result.get(names[0]).or_else(|| (kind == names[1]).then_some(result));
    if let Some(update) = inner(["artifactUpdate", "artifact-update"]) {
        note_task(update, "taskId", heard);
        let appends = update.get("append").and_then(|append| append.as_bool()).unwrap_or(false);
        if let Some(artifact) = update.get("artifact") {
            heard.said.artifact(artifact, appends, &mut heard.room);
        }
    } else if let Some(update) = inner(["statusUpdate", "status-update"]) {
        note_task(update, "taskId", heard);
        note_status(update, heard);
    } else if let Some(message) = inner(["message", "message"]) {
        note_task(message, "taskId", heard);
        heard.said.message = parts(message, &mut heard.room);
    } else if let Some(task) =
        inner(["task", "task"]).or_else(|| result.get("status").map(|_| result))
    {
        note_task(task, "id", heard);
        note_status(task, heard);
        let artifacts = task.get("artifacts").into_iter().flat_map(|list| list.elements());
        for artifact in artifacts {
            heard.said.artifact(artifact, false, &mut heard.room);
        }
    }
}

fn note_task(value: Value<'_>, id: &str, heard: &mut Heard) {
    heard.call.note_text("a2a.task.id", text_at(value, id));
    heard.call.note_text("gen_ai.conversation.id", text_at(value, "contextId"));
}

fn note_status(value: Value<'_>, heard: &mut Heard) {
    let Some(status) = value.get("status") else { return };
    if let Some(state) = text_at(status, "state").and_then(|state| state_named(&state)) {
        heard.call.note("a2a.task.state", format!("TASK_STATE_{state}"));
        heard.task_state = Some(state);
    }
    if let Some(message) = status.get("message") {
        heard.said.status = parts(message, &mut heard.room);
    }
}

/// A state under its name in 1.0; earlier versions wrote `input-required`.
fn state_named(written: &str) -> Option<&'static str> {
    let name = written.strip_prefix("TASK_STATE_").unwrap_or(written);
    let name = name.replace('-', "_");
    STATES.into_iter().find(|state| state.eq_ignore_ascii_case(&name))
}

/// The parts of a message or an artifact, as far as there is room for them.
fn parts(value: Value<'_>, room: &mut Room) -> Vec<Json> {
    if room.is_closed() {
        return Vec::new();
    }
    let parts = value.get("parts").into_iter().flat_map(|list| list.elements());
    let mut said = Vec::new();
    parts.filter_map(|part| part_of(part, room)).for_each(|part| append(&mut said, vec![part]));
    said
}

fn part_of(part: Value<'_>, room: &mut Room) -> Option<Json> {
    if let Some(text) = part.get("text") {
        return Some(content::text(room.fit(&text.as_text()?)));
    }
    if let Some(data) = part.get("data") {
        return Some(content::text(room.fit(data.literal)));
    }
    let file = part.get("file").unwrap_or(part);
    let mime_type = text_at(file, "mediaType").or_else(|| text_at(file, "mimeType"));
    let uri = text_at(file, "url").or_else(|| text_at(file, "uri"));
    let uri = uri.map(|uri| room.fit(&uri).to_owned());
    Some(json!({"type": "uri", "modality": "file", "mime_type": mime_type, "uri": uri}))
}

/// Adds parts to others; text goes on where the text before it ended, as it does in a stream.
fn append(parts: &mut Vec<Json>, more: Vec<Json>) {
    for part in more {
        let last = parts.last_mut().filter(|last| last["type"] == "text" && part["type"] == "text");
        match (last.map(|last| &mut last["content"]), part["content"].as_str()) {
            (Some(Json::String(text)), Some(more)) => text.push_str(more),
            _ => parts.push(part),
        }
    }
}

#[cfg(test)]
mod tests;
