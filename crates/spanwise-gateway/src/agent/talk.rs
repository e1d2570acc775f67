//! What a request to an agent and its answer say, as far as it is understood.

use std::borrow::Cow;

use http::request::Parts;
use http::{HeaderMap, Method};
use serde_json::Value as Json;
use spanwise_model::propagate::Extracted;

use super::a2a::{self, Operation, Said};
use super::rpc::{self, Outcome, Request};
use super::{card, mcp};
use crate::fold::{Capture, Room};
use crate::json::Value;
use crate::record::{AgentCall, Fault};

/// Bytes of a peer's error message that are kept.
const MAX_MESSAGE: usize = 500;

/// The string at a name.
pub fn text_at<'a>(value: Value<'a>, name: &str) -> Option<Cow<'a, str>> {
    value.get(name)?.as_words()
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// Nothing that we know.
    Http,
    /// JSON-RPC with methods that we do not know, or several at once.
    Rpc,
    /// A2A over JSON-RPC.
    A2a(Operation),
    /// A2A over plain HTTP.
    A2aRest(Operation),
    /// MCP.
    Mcp,
    /// The card that an agent publishes about itself.
    Card,
}

/// A request, and what was heard of its answer.
#[derive(Debug)]
pub struct Talk {
    protocol: Protocol,
    /// The request's id as it was written, where one request was made by JSON-RPC.
    id: Option<String>,
    heard: Heard,
}

/// What is known of a call.
#[derive(Debug)]
pub struct Heard {
    /// For the span.
    pub call: AgentCall,
    /// What the peer says went wrong.
    pub fault: Option<Fault>,
    /// What an agent said.
    pub said: Said,
    /// The state of the agent's task.
    pub task_state: Option<&'static str>,
    /// How much more of what is said is kept.
    pub room: Room,
}

impl Talk {
    /// Understands a request to `agent`, whose path there is `path`. The body is there if it is
    /// JSON.
    pub fn of(agent: &str, head: &Parts, path: &str, body: Option<&str>, capture: Capture) -> Self {
        let call = AgentCall {
            name: format!("invoke_agent {agent}"),
            operation: Some("invoke_agent"),
            ..AgentCall::default()
        };
        let heard = Heard {
            call,
            fault: None,
            said: Said::default(),
            task_state: None,
            room: Room::new(capture),
        };
        let mut talk = Talk { protocol: Protocol::Http, id: None, heard };
        talk.protocol = talk.understand(agent, head, path, body);
        if talk.protocol != Protocol::Mcp {
            talk.heard.call.note("gen_ai.agent.id", agent.to_owned());
            talk.heard.call.note("gen_ai.agent.name", agent.to_owned());
        }
        talk
    }

    fn understand(
        &mut self,
        agent: &str,
        head: &Parts,
        path: &str,
        body: Option<&str>,
    ) -> Protocol {
        let requests = body.map(rpc::requests).unwrap_or_default();
        match requests.as_slice() {
            [] => {}
            [request] => return self.understand_rpc(head, request),
            batch => return self.understand_batch(head, batch),
        }
        let Heard { call, room, .. } = &mut self.heard;
        if let Some((operation, task)) = Operation::of_path(&head.method, path, &head.headers) {
            let params = body.and_then(Value::first);
            let said = a2a::describe(operation, &head.headers, params, call, room);
            call.note_text("a2a.task.id", task.map(Cow::Borrowed));
            self.note_input(said.as_ref());
            return Protocol::A2aRest(operation);
        }
        if head.method == Method::GET && card::is_at(path) {
            call.operation = None;
            "GET agent-card".clone_into(&mut call.name);
            return Protocol::Card;
        }
        if mcp::is_declared(&head.headers) {
            // A stream of what a server has to say, or the end of a session.
            call.operation = None;
            call.name = format!("{} {agent}", head.method);
            mcp::note_headers(&head.headers, call);
            return Protocol::Mcp;
        }
        Protocol::Http
    }

    fn understand_rpc(&mut self, head: &Parts, request: &Request<'_>) -> Protocol {
        self.id = request.id.map(|id| id.literal.to_owned());
        let Heard { call, room, .. } = &mut self.heard;
        if mcp::is_spoken(&request.method, request.params, &head.headers) {
            mcp::describe(request, &head.headers, call, room);
            return Protocol::Mcp;
        }
        if let Some(operation) = Operation::of_method(&request.method) {
            let said = a2a::describe(operation, &head.headers, request.params, call, room);
            self.note_input(said.as_ref());
            return Protocol::A2a(operation);
        }
        call.note_text("rpc.method", Some(request.method.clone()));
        Protocol::Rpc
    }

    fn understand_batch(&mut self, head: &Parts, batch: &[Request<'_>]) -> Protocol {
        let call = &mut self.heard.call;
        call.note("spanwise.gateway.batch", batch.len() as i64);
        let mut spoken = batch
            .iter()
            .map(|request| mcp::is_spoken(&request.method, request.params, &head.headers));
        if !spoken.any(|is_mcp| is_mcp) {
            return Protocol::Rpc;
        }
        call.operation = None;
        "mcp".clone_into(&mut call.name);
        mcp::note_headers(&head.headers, call);
        Protocol::Mcp
    }

    fn note_input(&mut self, said: Option<&Json>) {
        if let Some(said) = said {
            self.heard.call.note("gen_ai.input.messages", said.to_string());
        }
    }

    /// The context of the trace inside the body, where the protocol has it there.
    pub fn context_in(&self, body: &str) -> Option<Extracted> {
        if self.protocol == Protocol::Mcp { mcp::context_in(body) } else { None }
    }

    /// Whether the context of the trace goes into the body too.
    pub fn carries_context(&self) -> bool {
        self.protocol == Protocol::Mcp
    }

    /// Whether the answer has to come as plain text, for it to be read.
    pub fn is_understood(&self) -> bool {
        self.protocol != Protocol::Http
    }

    /// Whether the answer tells where the agent is.
    pub fn asks_for_card(&self) -> bool {
        match self.protocol {
            Protocol::Card => true,
            Protocol::A2a(operation) | Protocol::A2aRest(operation) => {
                operation.name == "GetExtendedAgentCard"
            }
            _ => false,
        }
    }

    /// The id of the request, where errors have to name it.
    pub fn rpc_id(&self) -> Option<&str> {
        match self.protocol {
            Protocol::Rpc | Protocol::A2a(_) | Protocol::Mcp => {
                Some(self.id.as_deref().unwrap_or("null"))
            }
            _ => None,
        }
    }

    /// The call, as it is known so far.
    pub fn call(&self) -> AgentCall {
        self.heard.call.clone()
    }

    /// Notes the head of the answer.
    pub fn hear_head(&mut self, headers: &HeaderMap) {
        if self.protocol == Protocol::Mcp {
            mcp::note_headers(headers, &mut self.heard.call);
        }
    }

    /// Notes what an answer, or one event of it, says.
    pub fn hear(&mut self, text: &str) {
        if let Protocol::A2aRest(operation) = self.protocol {
            let Some(value) = Value::first(text) else { return };
            return self.hear_a2a(operation, value);
        }
        if !matches!(self.protocol, Protocol::Rpc | Protocol::A2a(_) | Protocol::Mcp) {
            return;
        }
        for outcome in rpc::outcomes(text) {
            match outcome {
                Outcome::Error { code, message } => self.hear_error(code, &message),
                Outcome::Result(result) => match self.protocol {
                    Protocol::A2a(operation) => self.hear_a2a(operation, result),
                    Protocol::Mcp => mcp::hear(result, &mut self.heard),
                    _ => {}
                },
            }
        }
    }

    fn hear_error(&mut self, code: i64, message: &str) {
        self.heard.call.note("rpc.response.status_code", code.to_string());
        let message = &message[..message.floor_char_boundary(MAX_MESSAGE)];
        self.heard.fault.get_or_insert_with(|| Fault::new(code.to_string(), message));
    }

    fn hear_a2a(&mut self, operation: Operation, result: Value<'_>) {
        a2a::hear(result, &mut self.heard);
        let state = self.heard.task_state.filter(|_| operation.follows_task());
        self.heard.fault = match state {
            Some("FAILED") => Some(Fault::new("task_failed", "the agent's task failed")),
            Some("REJECTED") => Some(Fault::new("task_rejected", "the agent rejected the task")),
            _ => self.heard.fault.take(),
        };
    }

    /// Everything that is known at the end, and what went wrong.
    pub fn finish(self) -> (AgentCall, Option<Fault>) {
        let Heard { mut call, fault, said, room, .. } = self.heard;
        if let Some(said) = said.into_messages() {
            call.note("gen_ai.output.messages", said.to_string());
        }
        if room.is_cut {
            call.note("spanwise.gateway.content_cut", true);
        }
        (call, fault)
    }
}

#[cfg(test)]
mod tests;
