//! Under which names a call is written: OpenTelemetry's for generative AI, newest and those of
//! 1.41, and OpenInference's.

use std::borrow::Cow;
use std::time::Instant;

use http::Method;
use spanwise::Recording;
use spanwise_model::genai::Usage;
use spanwise_model::wire::otlp::ValueRef;
use spanwise_model::{Attributes, Str, Value};

use super::{Call, Record};
use crate::config::Profile;
use crate::fold::Answer;

/// Longer than this are no ids and names that mean anything.
const MAX_FACT: usize = 256;

/// A call to an agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentCall {
    /// The span's name, in few distinct words.
    pub name: String,
    /// `invoke_agent`, `execute_tool`, or nothing that has such a name.
    pub operation: Option<&'static str>,
    /// What else is known, under its attributes' names.
    pub facts: Attributes,
}

impl AgentCall {
    /// Notes a fact, in place of what was known before.
    pub fn note(&mut self, name: &'static str, value: impl Into<Value>) {
        match self.facts.0.iter_mut().find(|fact| *fact.key == *name) {
            Some(known) => known.value = value.into(),
            None => self.facts.push(name, value),
        }
    }

    /// Notes an id or a name, if there is one.
    pub fn note_text(&mut self, name: &'static str, text: Option<Cow<'_, str>>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.note(name, text[..text.floor_char_boundary(MAX_FACT)].to_owned());
        }
    }
}

/// A method that is one of few, as anybody can make more of them up.
pub fn of_method(method: &Method) -> Option<&str> {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    KNOWN.contains(method).then(|| method.as_str())
}

/// Writes a request's method, and as it was where it is none of the known ones.
pub fn describe_method(span: &mut Recording, method: &Method) {
    text(span, "http.request.method", of_method(method).unwrap_or("_OTHER"));
    if of_method(method).is_none() {
        let written = method.as_str();
        let written = &written[..written.floor_char_boundary(MAX_FACT)];
        text(span, "http.request.method_original", written);
    }
}

/// The name of a call's span, in few distinct words.
pub fn of_call(record: &Record) -> String {
    if let Some(agent) = &record.agent {
        return agent.name.clone();
    }
    match &record.call {
        Some(call) if call.asked.is_empty() => call.operation.to_owned(),
        Some(call) => [call.operation, " ", request_model(record, call)].concat(),
        None => "call".to_owned(),
    }
}

/// The model that the upstream was asked for; until there was one, the client's name for it.
fn request_model<'r>(record: &'r Record, call: &'r Call) -> &'r str {
    record.attempts.last().map_or(&call.asked, |attempt| &attempt.model)
}

/// Writes what is known about a call.
pub fn describe_call(span: &mut Recording, record: &Record, profile: Profile) {
    if let Some(agent) = &record.agent {
        describe_agent(span, record, agent, profile);
    }
    let Some(call) = &record.call else { return };
    if profile != Profile::OpenInference {
        Sheet { span, record, call, profile }.genai();
    }
    if matches!(profile, Profile::OpenInference | Profile::Both) {
        Sheet { span, record, call, profile }.openinference();
    }
    if let Some(translated) = &call.translated {
        text(span, "spanwise.gateway.translated", translated);
    }
    if call.is_cached {
        span.set("spanwise.gateway.cached", ValueRef::Bool(true));
    }
}

fn describe_agent(span: &mut Recording, record: &Record, agent: &AgentCall, profile: Profile) {
    if let Some(operation) = agent.operation {
        text(span, "gen_ai.operation.name", operation);
    }
    for fact in &agent.facts {
        span.set(&fact.key, ValueRef::from(&fact.value));
    }
    if matches!(profile, Profile::OpenInference | Profile::Both) {
        let kind = match agent.operation {
            Some("execute_tool") => "TOOL",
            Some(_) => "AGENT",
            None => "CHAIN",
        };
        text(span, "openinference.span.kind", kind);
        for (name, ours) in [
            ("tool.name", "gen_ai.tool.name"),
            ("input.value", "gen_ai.tool.call.arguments"),
            ("input.value", "gen_ai.input.messages"),
            ("output.value", "gen_ai.tool.call.result"),
            ("output.value", "gen_ai.output.messages"),
        ] {
            if let Some(value) = agent.facts.str(ours) {
                text(span, name, value);
            }
        }
    }
    describe_attempts(span, record);
    describe_firsts(span, record);
}

/// Where a call went in the end, and how often it took another attempt.
fn describe_attempts(span: &mut Recording, record: &Record) {
    let Some(attempt) = record.attempts.last() else { return };
    text(span, "server.address", attempt.upstream.authority.host());
    span.set("server.port", ValueRef::Int(i64::from(attempt.upstream.port())));
    if record.attempts.len() > 1 {
        let retries = record.attempts.len() - 1;
        span.set("spanwise.gateway.retries", ValueRef::Int(retries as i64));
    }
}

/// When the answer began.
fn describe_firsts(span: &mut Recording, record: &Record) {
    let started = record.clock.started();
    for (name, at) in [
        ("spanwise.gateway.time_to_first_byte", record.firsts.byte),
        ("spanwise.gateway.time_to_first_event", record.firsts.event),
    ] {
        if let Some(at) = at {
            let after = at.saturating_duration_since(started).as_secs_f64();
            span.set(name, ValueRef::Double(after));
        }
    }
}

struct Sheet<'a> {
    span: &'a mut Recording,
    record: &'a Record,
    call: &'a Call,
    profile: Profile,
}

impl Sheet<'_> {
    fn genai(&mut self) {
        let (record, call) = (self.record, self.call);
        text(self.span, "gen_ai.operation.name", call.operation);
        if !call.asked.is_empty() {
            text(self.span, "gen_ai.request.model", request_model(record, call));
        }
        if let Some(attempt) = record.attempts.last() {
            text(self.span, "gen_ai.provider.name", &attempt.upstream.provider);
        }
        describe_attempts(self.span, record);
        if request_model(record, call) != call.asked {
            text(self.span, "spanwise.gateway.model", &call.asked);
        }
        self.parameters();
        for (name, content) in [
            ("gen_ai.input.messages", &call.content.input_messages),
            ("gen_ai.system_instructions", &call.content.system_instructions),
            ("gen_ai.tool.definitions", &call.content.tool_definitions),
        ] {
            if let Some(content) = content {
                text(self.span, name, content);
            }
        }
        let answer_is_cut = record.answer.as_ref().is_some_and(|answer| answer.is_content_cut);
        if call.content.is_cut || answer_is_cut {
            self.span.set("spanwise.gateway.content_cut", ValueRef::Bool(true));
        }
        self.firsts();
        if let Some(answer) = &record.answer {
            self.answer(answer);
        }
    }

    fn parameters(&mut self) {
        let asked = &self.call.parameters;
        if self.call.is_stream {
            self.span.set("gen_ai.request.stream", ValueRef::Bool(true));
        }
        self.some_int("gen_ai.request.max_tokens", asked.max_tokens);
        self.some_double("gen_ai.request.temperature", asked.temperature);
        self.some_double("gen_ai.request.top_p", asked.top_p);
        self.some_int("gen_ai.request.top_k", asked.top_k);
        self.some_double("gen_ai.request.frequency_penalty", asked.frequency_penalty);
        self.some_double("gen_ai.request.presence_penalty", asked.presence_penalty);
        if let Some(seed) = asked.seed {
            self.span.set("gen_ai.request.seed", ValueRef::Int(seed));
        }
        self.some_int("gen_ai.request.choice.count", asked.choice_count.filter(|&n| n != 1));
        let dimensions = self.record.answer.as_ref().and_then(|answer| answer.dimensions);
        self.some_int("gen_ai.embeddings.dimension.count", dimensions.or(asked.dimensions));
        for (name, value) in [
            ("gen_ai.request.reasoning.level", &asked.reasoning_effort),
            ("gen_ai.request.previous_response_id", &asked.previous_response_id),
            ("gen_ai.conversation.id", &asked.conversation_id),
            ("openai.request.service_tier", &asked.service_tier),
        ] {
            if let Some(value) = value {
                text(self.span, name, value);
            }
        }
        if let Some(kind) = asked.output_type {
            text(self.span, "gen_ai.output.type", kind);
        }
        if let Some(format) = &asked.encoding_format {
            list(self.span, "gen_ai.request.encoding_formats", std::iter::once(&**format));
        }
        if !asked.stop_sequences.is_empty() {
            let stops = asked.stop_sequences.iter().map(|stop| &**stop);
            list(self.span, "gen_ai.request.stop_sequences", stops);
        }
    }

    /// When the answer began, in three senses.
    fn firsts(&mut self) {
        let firsts = self.record.firsts;
        let started = self.record.clock.started();
        let after = |at: Instant| at.saturating_duration_since(started).as_secs_f64();
        let told = firsts.content.filter(|_| self.call.is_stream).map(after);
        self.some_double("gen_ai.response.time_to_first_chunk", told);
        describe_firsts(self.span, self.record);
    }

    fn answer(&mut self, answer: &Answer) {
        for (name, value) in [
            ("gen_ai.response.id", &answer.response_id),
            ("gen_ai.response.model", &answer.response_model),
            ("openai.response.service_tier", &answer.service_tier),
            ("gen_ai.output.messages", &answer.output_messages),
        ] {
            if let Some(value) = value {
                text(self.span, name, value);
            }
        }
        if !answer.finish_reasons.is_empty() {
            let reasons = answer.finish_reasons.iter().map(|reason| &*reason.canonical);
            list(self.span, "gen_ai.response.finish_reasons", reasons);
        }
        let billed = if self.call.is_cached { Usage::default() } else { answer.usage };
        self.usage(&billed);
        if answer.is_inconsistent {
            self.span.set("usage.inconsistent", ValueRef::Bool(true));
        }
        text(self.span, "usage.source", if answer.usage.is_known() { "provider" } else { "none" });
        if let Some(nano_usd) = self.record.cost() {
            let usd = nano_usd as f64 / 1e9;
            self.span.set("gen_ai.usage.cost", ValueRef::Double(usd));
            if answer.ended_early {
                self.span.set("cost.estimated", ValueRef::Bool(true));
            }
            text(self.span, "spanwise.price_table", self.record.prices.date());
        }
    }

    fn usage(&mut self, usage: &Usage) {
        self.some_int("gen_ai.usage.input_tokens", usage.input);
        self.some_int("gen_ai.usage.output_tokens", usage.output);
        self.some_int("gen_ai.usage.cache_read.input_tokens", usage.cache_read);
        if self.profile != Profile::GenAi141 {
            self.some_int("gen_ai.usage.cache_write.input_tokens", usage.cache_write);
        }
        if self.profile != Profile::Strict {
            self.some_int("gen_ai.usage.cache_creation.input_tokens", usage.cache_write);
        }
        self.some_int("gen_ai.usage.reasoning.output_tokens", usage.reasoning);
    }

    fn openinference(&mut self) {
        let (record, call) = (self.record, self.call);
        let kind = if call.operation == "embeddings" { "EMBEDDING" } else { "LLM" };
        text(self.span, "openinference.span.kind", kind);
        if !call.asked.is_empty() {
            text(self.span, "llm.model_name", request_model(record, call));
        }
        if let Some(attempt) = record.attempts.last() {
            text(self.span, "llm.provider", &attempt.upstream.provider);
            text(self.span, "llm.system", &attempt.upstream.provider);
        }
        if let Some(content) = &call.content.input_messages {
            text(self.span, "input.value", content);
            text(self.span, "input.mime_type", "application/json");
        }
        let Some(answer) = &record.answer else { return };
        if let Some(content) = &answer.output_messages {
            text(self.span, "output.value", content);
            text(self.span, "output.mime_type", "application/json");
        }
        let usage = if call.is_cached { Usage::default() } else { answer.usage };
        let total = usage.total.or_else(|| Some(usage.input? + usage.output?));
        for (name, count) in [
            ("llm.token_count.prompt", usage.input),
            ("llm.token_count.completion", usage.output),
            ("llm.token_count.total", total),
            ("llm.token_count.prompt_details.cache_read", usage.cache_read),
            ("llm.token_count.prompt_details.cache_write", usage.cache_write),
            ("llm.token_count.completion_details.reasoning", usage.reasoning),
        ] {
            self.some_int(name, count);
        }
        let usd = record.cost().map(|nano_usd| nano_usd as f64 / 1e9);
        self.some_double("llm.cost.total", usd);
    }

    fn int(&mut self, name: &str, value: u64) {
        self.span.set(name, ValueRef::Int(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn some_int(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.int(name, value);
        }
    }

    fn some_double(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.span.set(name, ValueRef::Double(value));
        }
    }
}

fn text(span: &mut Recording, name: &str, value: &str) {
    span.set(name, ValueRef::String(value));
}

fn list<'t>(span: &mut Recording, name: &str, texts: impl Iterator<Item = &'t str>) {
    let values = texts.map(|text| Value::String(Str::from(text))).collect();
    span.set(name, ValueRef::Any(&Value::Array(values)));
}
