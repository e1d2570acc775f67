//! Records one trace on a clock of its own.
//!
//! A scenario is ordinary code: it opens spans, waits, calls models and tools. Nothing sleeps;
//! waiting moves the recorder's clock, so an hour of traffic is made in milliseconds and the same
//! seed gives the same traces.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value as Json, json};
use spanwise_model::span::StatusCode;
use spanwise_model::{
    Attributes, Event, Kind, Resource, Scope, Span, SpanId, Status, Str, TraceId, Value,
};

const MILLISECOND: u64 = 1_000_000;

/// One trace in the making.
pub struct Recorder {
    rng: StdRng,
    now: u64,
    trace_id: TraceId,
    service: Arc<Resource>,
    scope: Arc<Scope>,
    user: &'static str,
    session: String,
    open: Vec<usize>,
    spans: Vec<Span>,
}

/// What a model answers.
pub enum Reply<'a> {
    /// Text, and the reason it stopped.
    Text(&'a str, &'static str),
    /// Calls of tools: name and arguments.
    Tools(&'a [(&'a str, Json)]),
}

/// A model as the provider sells it, with how fast it writes.
#[derive(Clone, Copy)]
pub struct Model {
    /// The name asked for.
    pub name: &'static str,
    /// The dated name that answers.
    pub dated: &'static str,
    /// OpenTelemetry's provider name.
    pub provider: &'static str,
    /// Milliseconds to the first token.
    pub first_token_ms: u64,
    /// Output tokens per second.
    pub tokens_per_second: u64,
}

/// A conversation with a model: the system prompt, the offered tools, and all that was said.
pub struct Conversation {
    system: String,
    tools: Json,
    messages: Vec<Json>,
    calls: usize,
    /// Input tokens that the provider has seen before and reads from its cache.
    cached_tokens: u64,
}

impl Conversation {
    /// A conversation under this system prompt, with these tools (name, description).
    pub fn new(system: &str, tools: &[(&str, &str)]) -> Self {
        let tools = tools
            .iter()
            .map(|(name, description)| {
                json!({"type": "function", "name": name, "description": description,
                       "parameters": {"type": "object", "additionalProperties": true}})
            })
            .collect();
        Conversation {
            system: system.to_owned(),
            tools,
            messages: Vec::new(),
            calls: 0,
            cached_tokens: 0,
        }
    }

    /// Something the user says.
    pub fn user(&mut self, text: &str) {
        self.messages.push(json!({"role": "user", "parts": [{"type": "text", "content": text}]}));
    }

    fn assistant(&mut self, reply: &Reply<'_>) -> Json {
        let (parts, finish_reason): (Vec<Json>, &str) = match reply {
            Reply::Text(text, reason) => (vec![json!({"type": "text", "content": text})], reason),
            Reply::Tools(calls) => (
                calls
                    .iter()
                    .map(|(name, arguments)| {
                        self.calls += 1;
                        json!({"type": "tool_call", "id": format!("call_{}", self.calls),
                               "name": name, "arguments": arguments})
                    })
                    .collect(),
                "tool_call",
            ),
        };
        self.messages.push(json!({"role": "assistant", "parts": parts}));
        json!([{"role": "assistant", "parts": parts, "finish_reason": finish_reason}])
    }

    fn tool_result(&mut self, call: usize, response: &Json) {
        self.messages.push(json!({"role": "tool", "parts": [
            {"type": "tool_call_response", "id": format!("call_{call}"), "response": response}]}));
    }

    fn input_tokens(&self) -> u64 {
        let characters: usize = self.messages.iter().map(|m| m.to_string().len()).sum();
        ((characters + self.system.len() + self.tools.to_string().len()) / 4) as u64
    }
}

impl Recorder {
    /// A trace that starts at `start` (nanoseconds since 1970); equal seeds give equal traces.
    pub fn new(seed: u64, start: u64, user: &'static str, session: String) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let trace_id = loop {
            if let Ok(id) = TraceId::from_bytes(&rng.random::<[u8; 16]>()) {
                break id;
            }
        };
        Recorder {
            rng,
            now: start,
            trace_id,
            service: Arc::default(),
            scope: scope("spanwise.demo"),
            user,
            session,
            open: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// The finished trace, in the order in which spans ended.
    pub fn finish(mut self) -> Vec<Span> {
        self.spans.sort_by_key(|span| span.end_time_unix_nano);
        self.spans
    }

    /// Runs `body` as the service `name`: its spans carry another resource.
    pub fn in_service<R>(&mut self, name: &'static str, body: impl FnOnce(&mut Self) -> R) -> R {
        let outer = std::mem::replace(&mut self.service, resource(name));
        let result = body(self);
        self.service = outer;
        result
    }

    /// Runs `body` inside a new span.
    pub fn span<R>(
        &mut self,
        name: impl Into<String>,
        kind: Kind,
        attributes: &[(&'static str, Value)],
        body: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let span_id = loop {
            if let Ok(id) = SpanId::from_bytes(&self.rng.random::<[u8; 8]>()) {
                break id;
            }
        };
        let mut all: Attributes = attributes.iter().cloned().collect();
        all.push("session.id", self.session.clone());
        all.push("user.id", self.user);
        self.spans.push(Span {
            trace_id: self.trace_id,
            span_id,
            parent_span_id: self.open.last().map(|&parent| self.spans[parent].span_id),
            trace_state: Str::new(),
            flags: 0x101,
            name: name.into().into(),
            kind,
            start_time_unix_nano: self.now,
            end_time_unix_nano: self.now,
            attributes: all,
            dropped_attributes_count: 0,
            events: Vec::new(),
            dropped_events_count: 0,
            links: Vec::new(),
            dropped_links_count: 0,
            status: Status::default(),
            resource: Arc::clone(&self.service),
            scope: Arc::clone(&self.scope),
        });
        let index = self.spans.len() - 1;
        self.open.push(index);
        let result = body(self);
        self.open.pop();
        self.wait(0, 1);
        self.spans[index].end_time_unix_nano = self.now;
        result
    }

    /// Lets between `least` and `most` milliseconds pass.
    pub fn wait(&mut self, least: u64, most: u64) {
        self.now += self.rng.random_range(least * MILLISECOND..=most * MILLISECOND);
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u32) -> bool {
        self.rng.random_range(0..n) == 0
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.rng.random_range(0..choices.len())]
    }

    /// Sets an attribute of the innermost open span.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(&index) = self.open.last() {
            self.spans[index].attributes.push(key, value);
        }
    }

    /// Adds an event to the innermost open span.
    pub fn event(&mut self, name: &'static str, attributes: Attributes) {
        let time_unix_nano = self.now;
        if let Some(&index) = self.open.last() {
            self.spans[index].events.push(Event {
                time_unix_nano,
                name: name.into(),
                attributes,
                dropped_attributes_count: 0,
            });
        }
    }

    /// Ends the innermost open span in error.
    pub fn fail(&mut self, error_type: &'static str, message: &str) {
        self.set("error.type", error_type);
        self.event(
            "exception",
            [("exception.type", error_type.to_owned()), ("exception.message", message.to_owned())]
                .into_iter()
                .collect(),
        );
        if let Some(&index) = self.open.last() {
            self.spans[index].status =
                Status { code: StatusCode::Error, message: message.to_owned().into() };
        }
    }

    /// One call of a model; the reply joins the conversation.
    pub fn chat(&mut self, model: Model, conversation: &mut Conversation, reply: &Reply<'_>) {
        let input = conversation.input_tokens();
        let messages = Json::Array(conversation.messages.clone()).to_string();
        let output = conversation.assistant(reply).to_string();
        let output_tokens = (output.len() / 4) as u64;
        let cached = std::mem::replace(&mut conversation.cached_tokens, input);
        let system = json!([{"type": "text", "content": conversation.system}]).to_string();
        let tools = conversation.tools.to_string();
        let finish = if let Reply::Text(_, reason) = reply { reason } else { "tool_call" };
        self.model_span(model, |recorder| {
            recorder.set("gen_ai.system_instructions", system);
            if tools != "[]" {
                recorder.set("gen_ai.tool.definitions", tools);
            }
            recorder.set("gen_ai.input.messages", messages);
            recorder.wait(model.first_token_ms / 2, model.first_token_ms * 2);
            let first_token = recorder.since_start();
            recorder.set("gen_ai.response.time_to_first_chunk", first_token as f64 / 1e9);
            let writing = output_tokens * 1000 / model.tokens_per_second;
            recorder.wait(writing, writing * 5 / 4);
            recorder.set("gen_ai.output.messages", output);
            recorder.set("gen_ai.response.model", model.dated);
            recorder.set("gen_ai.response.finish_reasons", Value::Array(vec![(*finish).into()]));
            recorder.set("gen_ai.usage.input_tokens", input as i64);
            recorder.set("gen_ai.usage.output_tokens", output_tokens as i64);
            if cached > 1024 {
                recorder.set("gen_ai.usage.cache_read.input_tokens", cached as i64);
            }
        });
    }

    /// A call of a model that the provider refuses.
    pub fn refused_chat(&mut self, model: Model, error_type: &'static str, message: &str) {
        self.model_span(model, |recorder| {
            recorder.wait(80, 300);
            recorder.fail(error_type, message);
        });
    }

    fn model_span(&mut self, model: Model, body: impl FnOnce(&mut Self)) {
        let outer =
            std::mem::replace(&mut self.scope, scope("opentelemetry.instrumentation.genai"));
        self.span(
            format!("chat {}", model.name),
            Kind::Client,
            &[
                ("gen_ai.operation.name", "chat".into()),
                ("gen_ai.provider.name", model.provider.into()),
                ("gen_ai.request.model", model.name.into()),
                ("gen_ai.request.temperature", 0.2.into()),
                ("gen_ai.request.max_tokens", 2048.into()),
                ("gen_ai.request.stream", true.into()),
            ],
            body,
        );
        self.scope = outer;
    }

    /// Runs the latest tool call of the conversation; its result (or error) joins it.
    pub fn tool(
        &mut self,
        conversation: &mut Conversation,
        name: &str,
        arguments: &Json,
        work: impl FnOnce(&mut Self) -> Result<Json, (&'static str, String)>,
    ) {
        let call = conversation.calls;
        let id = format!("call_{call}");
        let result = self.span(
            format!("execute_tool {name}"),
            Kind::Internal,
            &[
                ("gen_ai.operation.name", "execute_tool".into()),
                ("gen_ai.tool.name", name.to_owned().into()),
                ("gen_ai.tool.call.id", id.into()),
                ("gen_ai.tool.call.arguments", arguments.to_string().into()),
            ],
            |recorder| match work(recorder) {
                Ok(result) => {
                    recorder.set("gen_ai.tool.call.result", result.to_string());
                    result
                }
                Err((error_type, message)) => {
                    recorder.fail(error_type, &message);
                    json!({"error": message})
                }
            },
        );
        conversation.tool_result(call, &result);
    }

    /// Runs `body` as an agent.
    pub fn agent<R>(&mut self, name: &'static str, body: impl FnOnce(&mut Self) -> R) -> R {
        self.span(
            format!("invoke_agent {name}"),
            Kind::Internal,
            &[
                ("gen_ai.operation.name", "invoke_agent".into()),
                ("gen_ai.agent.name", name.into()),
                ("gen_ai.agent.id", format!("agent-{name}").into()),
            ],
            body,
        )
    }

    /// Looks documents up by meaning: an embedding call and a search.
    pub fn retrieve(&mut self, query: &str, documents: &Json) {
        self.span(
            "retrieval handbook",
            Kind::Client,
            &[
                ("gen_ai.operation.name", "retrieval".into()),
                ("gen_ai.data_source.id", "handbook".into()),
                ("gen_ai.retrieval.query.text", query.to_owned().into()),
            ],
            |recorder| {
                recorder.span(
                    "embeddings text-embedding-3-small",
                    Kind::Client,
                    &[
                        ("gen_ai.operation.name", "embeddings".into()),
                        ("gen_ai.provider.name", "openai".into()),
                        ("gen_ai.request.model", "text-embedding-3-small".into()),
                        ("gen_ai.usage.input_tokens", ((query.len() / 4) as i64).into()),
                        ("gen_ai.embeddings.dimension.count", 1536.into()),
                    ],
                    |recorder| recorder.wait(30, 90),
                );
                recorder.wait(4, 25);
                recorder.set("gen_ai.retrieval.documents", documents.to_string());
            },
        );
    }

    /// The innermost open span answers this, to the person who asked that.
    pub fn answer(&mut self, question: &str, answer: &str) {
        self.set("input.value", question.to_owned());
        self.set("output.value", answer.to_owned());
    }

    pub fn since_start(&self) -> u64 {
        self.open.last().map_or(0, |&index| self.now - self.spans[index].start_time_unix_nano)
    }
}

fn resource(service: &'static str) -> Arc<Resource> {
    Arc::new(Resource {
        attributes: [
            ("service.name", Value::from(service)),
            ("service.version", "1.4.2".into()),
            ("deployment.environment.name", "demo".into()),
        ]
        .into_iter()
        .collect(),
        ..Resource::default()
    })
}

fn scope(name: &'static str) -> Arc<Scope> {
    Arc::new(Scope {
        name: name.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..Scope::default()
    })
}
