//! The JSON of the query API, written by hand: what clients rely on, whatever the types inside do.
//!
//! Nanoseconds are strings (they pass 2^53), ids lower-case hex, unknown numbers and texts `null`;
//! outlines, which can be long, leave them out instead.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value as Json;
use spanwise_model::genai::{
    CostSource, Document, Facts, LlmView, Message, Operation, Part, ToolRun, Usage,
};
use spanwise_model::span::StatusCode;
use spanwise_model::summary::TraceSummary;
use spanwise_model::wire::base64;
use spanwise_model::{Attributes, Event, Link, Scope, SpanId, StoredSpan, TraceId, Value, Warning};
use spanwise_store::query::SpanHit;

/// The largest integer that every JSON reader keeps exact.
const MAX_EXACT: u64 = 1 << 53;

#[derive(Serialize)]
pub struct TraceSummaryJson<'a> {
    trace_id: TraceId,
    project: &'a str,
    root_name: &'a str,
    root_service: &'a str,
    root_span_id: Option<SpanId>,
    services: &'a [spanwise_model::Str],
    start_time_unix_nano: Nanos,
    duration_ns: Nanos,
    span_count: u64,
    error_count: u64,
    status: &'static str,
    models: &'a [spanwise_model::Str],
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    total_tokens: Option<u64>,
    cost_usd: Option<f64>,
    cost_complete: bool,
    session_id: Option<&'a str>,
    user_id: Option<&'a str>,
    workflow: Option<&'a str>,
    agents: &'a [spanwise_model::Str],
    input_preview: Option<&'a str>,
    output_preview: Option<&'a str>,
    complete: bool,
}

impl<'a> From<&'a TraceSummary> for TraceSummaryJson<'a> {
    fn from(summary: &'a TraceSummary) -> Self {
        TraceSummaryJson {
            trace_id: summary.trace_id,
            project: &summary.project,
            root_name: &summary.root_name,
            root_service: &summary.root_service,
            root_span_id: summary.root_span_id,
            services: &summary.services,
            start_time_unix_nano: Nanos(summary.start_time_unix_nano),
            duration_ns: Nanos(summary.duration_ns()),
            span_count: summary.span_count,
            error_count: summary.error_count,
            status: if summary.is_error { "error" } else { "ok" },
            models: &summary.models,
            input_tokens: summary.input_tokens,
            output_tokens: summary.output_tokens,
            total_tokens: summary.total_tokens,
            cost_usd: summary.cost_nano_usd.map(usd),
            cost_complete: summary.cost_complete,
            session_id: known(&summary.session_id),
            user_id: known(&summary.user_id),
            workflow: known(&summary.workflow),
            agents: &summary.agents,
            input_preview: known(&summary.input_preview),
            output_preview: known(&summary.output_preview),
            complete: summary.complete,
        }
    }
}

/// A matching span in a list.
#[derive(Serialize)]
pub struct SpanHitJson<'a> {
    trace_id: TraceId,
    span_id: SpanId,
    parent_span_id: Option<SpanId>,
    name: &'a str,
    service: &'a str,
    kind: &'static str,
    status: &'static str,
    is_error: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    running: bool,
    start_time_unix_nano: Nanos,
    duration_ns: Nanos,
    operation: Option<&'static str>,
    model: Option<&'a str>,
    usage: UsageJson,
    cost_usd: Option<f64>,
    cost_source: Option<&'static str>,
    time_to_first_token_ns: Option<Nanos>,
    input_preview: Option<&'a str>,
    output_preview: Option<&'a str>,
}

impl<'a> From<&'a SpanHit> for SpanHitJson<'a> {
    fn from(hit: &'a SpanHit) -> Self {
        SpanHitJson {
            trace_id: hit.trace_id,
            span_id: hit.span_id,
            parent_span_id: hit.parent_span_id,
            name: &hit.name,
            service: &hit.service,
            kind: hit.kind.as_str(),
            status: hit.status.as_str(),
            is_error: hit.is_error,
            running: hit.is_running,
            start_time_unix_nano: Nanos(hit.start_time_unix_nano),
            duration_ns: Nanos(hit.duration_ns),
            operation: hit.operation.map(Operation::as_str),
            model: known(&hit.model),
            usage: hit.usage.into(),
            cost_usd: hit.cost.map(|cost| usd(cost.nano_usd)),
            cost_source: hit.cost.map(|cost| cost_source(cost.source)),
            time_to_first_token_ns: hit.time_to_first_token_ns.map(Nanos),
            input_preview: known(&hit.input_preview),
            output_preview: known(&hit.output_preview),
        }
    }
}

/// What a span begins with in every shape.
#[derive(Serialize)]
struct HeadJson<'a> {
    span_id: SpanId,
    parent_span_id: Option<SpanId>,
    name: &'a str,
    kind: &'static str,
    service: &'a str,
    start_time_unix_nano: Nanos,
    duration_ns: Nanos,
    status: StatusJson<'a>,
    is_error: bool,
    /// Whether it had not ended when it was last heard of.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    running: bool,
}

impl<'a> From<&'a StoredSpan> for HeadJson<'a> {
    fn from(stored: &'a StoredSpan) -> Self {
        let span = &stored.span;
        HeadJson {
            span_id: span.span_id,
            parent_span_id: span.parent_span_id,
            name: &span.name,
            kind: span.kind.as_str(),
            service: span.resource.service(),
            start_time_unix_nano: Nanos(span.start_time_unix_nano),
            duration_ns: Nanos(span.duration_ns()),
            status: StatusJson::new(span.status.code, &span.status.message),
            is_error: span.is_error(),
            running: stored.is_running(),
        }
    }
}

/// A span as the waterfall draws it: no attributes, no messages.
#[derive(Serialize)]
pub struct OutlineJson<'a> {
    #[serde(flatten)]
    head: HeadJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    llm: Option<KnownFacts<'a>>,
    #[serde(skip_serializing_if = "slice_is_empty")]
    warnings: &'a [Warning],
    /// When a running span was last heard of.
    #[serde(skip_serializing_if = "Option::is_none")]
    received_unix_nano: Option<Nanos>,
}

impl<'a> From<&'a StoredSpan> for OutlineJson<'a> {
    fn from(stored: &'a StoredSpan) -> Self {
        OutlineJson {
            head: HeadJson::from(stored),
            llm: FactsJson::of(&stored.facts).map(KnownFacts),
            warnings: &stored.warnings,
            received_unix_nano: stored.is_running().then_some(Nanos(stored.received_unix_nano)),
        }
    }
}

/// A span with everything that is known of it.
#[derive(Serialize)]
pub struct SpanJson<'a> {
    #[serde(flatten)]
    head: HeadJson<'a>,
    attributes: AttributesJson<'a>,
    resource: AttributesJson<'a>,
    scope: ScopeJson<'a>,
    events: Vec<EventJson<'a>>,
    links: Vec<LinkJson<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    trace_state: &'a str,
    flags: u32,
    dropped_attributes_count: u32,
    dropped_events_count: u32,
    dropped_links_count: u32,
    warnings: &'a [Warning],
    received_unix_nano: Nanos,
    #[serde(skip_serializing_if = "Option::is_none")]
    llm: Option<LlmJson<'a>>,
}

impl<'a> SpanJson<'a> {
    /// The span with the reading of its messages, if it has one.
    pub fn new(stored: &'a StoredSpan, view: Option<&'a LlmView>) -> Self {
        let span = &stored.span;
        SpanJson {
            head: HeadJson::from(stored),
            attributes: AttributesJson(&span.attributes),
            resource: AttributesJson(&span.resource.attributes),
            scope: ScopeJson::from(&*span.scope),
            events: span.events.iter().map(EventJson::from).collect(),
            links: span.links.iter().map(LinkJson::from).collect(),
            trace_state: &span.trace_state,
            flags: span.flags,
            dropped_attributes_count: span.dropped_attributes_count,
            dropped_events_count: span.dropped_events_count,
            dropped_links_count: span.dropped_links_count,
            warnings: &stored.warnings,
            received_unix_nano: Nanos(stored.received_unix_nano),
            llm: view.and_then(|view| LlmJson::of(&stored.facts, view)),
        }
    }
}

#[derive(Serialize)]
struct StatusJson<'a> {
    code: &'static str,
    message: Option<&'a str>,
}

impl<'a> StatusJson<'a> {
    fn new(code: StatusCode, message: &'a str) -> Self {
        StatusJson { code: code.as_str(), message: known(message) }
    }
}

#[derive(Serialize)]
struct ScopeJson<'a> {
    name: &'a str,
    version: Option<&'a str>,
    attributes: AttributesJson<'a>,
}

impl<'a> From<&'a Scope> for ScopeJson<'a> {
    fn from(scope: &'a Scope) -> Self {
        ScopeJson {
            name: &scope.name,
            version: known(&scope.version),
            attributes: AttributesJson(&scope.attributes),
        }
    }
}

#[derive(Serialize)]
struct EventJson<'a> {
    time_unix_nano: Nanos,
    name: &'a str,
    attributes: AttributesJson<'a>,
    dropped_attributes_count: u32,
}

impl<'a> From<&'a Event> for EventJson<'a> {
    fn from(event: &'a Event) -> Self {
        EventJson {
            time_unix_nano: Nanos(event.time_unix_nano),
            name: &event.name,
            attributes: AttributesJson(&event.attributes),
            dropped_attributes_count: event.dropped_attributes_count,
        }
    }
}

#[derive(Serialize)]
struct LinkJson<'a> {
    trace_id: TraceId,
    span_id: SpanId,
    #[serde(skip_serializing_if = "str::is_empty")]
    trace_state: &'a str,
    attributes: AttributesJson<'a>,
}

impl<'a> From<&'a Link> for LinkJson<'a> {
    fn from(link: &'a Link) -> Self {
        LinkJson {
            trace_id: link.trace_id,
            span_id: link.span_id,
            trace_state: &link.trace_state,
            attributes: AttributesJson(&link.attributes),
        }
    }
}

/// The small facts of an LLM-related span.
#[derive(Serialize)]
struct FactsJson<'a> {
    operation: &'static str,
    provider: Option<&'a str>,
    request_model: Option<&'a str>,
    response_model: Option<&'a str>,
    usage: UsageJson,
    cost_usd: Option<f64>,
    cost_source: Option<&'static str>,
    time_to_first_token_ns: Option<Nanos>,
    finish_reasons: Vec<&'a str>,
    response_id: Option<&'a str>,
    conversation_id: Option<&'a str>,
    session_id: Option<&'a str>,
    user_id: Option<&'a str>,
    workflow_name: Option<&'a str>,
    agent: Option<AgentJson<'a>>,
    tool_name: Option<&'a str>,
    input_preview: Option<&'a str>,
    output_preview: Option<&'a str>,
}

impl<'a> FactsJson<'a> {
    /// `None` for a span that has nothing to do with a model.
    fn of(facts: &'a Facts) -> Option<Self> {
        let operation = facts.operation?.as_str();
        let agent = AgentJson { name: known(&facts.agent_name), id: known(&facts.agent_id) };
        Some(FactsJson {
            operation,
            provider: known(&facts.provider),
            request_model: known(&facts.request_model),
            response_model: known(&facts.response_model),
            usage: facts.usage.into(),
            cost_usd: facts.cost.map(|cost| usd(cost.nano_usd)),
            cost_source: facts.cost.map(|cost| cost_source(cost.source)),
            time_to_first_token_ns: facts.time_to_first_token_ns.map(Nanos),
            finish_reasons: facts.finish_reasons.split(',').filter(|r| !r.is_empty()).collect(),
            response_id: known(&facts.response_id),
            conversation_id: known(&facts.conversation_id),
            session_id: known(&facts.session_id),
            user_id: known(&facts.user_id),
            workflow_name: known(&facts.workflow_name),
            agent: Some(agent).filter(|agent| agent.name.or(agent.id).is_some()),
            tool_name: known(&facts.tool_name),
            input_preview: known(&facts.input_preview),
            output_preview: known(&facts.output_preview),
        })
    }
}

/// The facts of a span in an outline: only those that are known.
struct KnownFacts<'a>(FactsJson<'a>);

impl Serialize for KnownFacts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let KnownFacts(facts) = self;
        let usage = KnownUsage(&facts.usage);
        let finish_reasons = &facts.finish_reasons;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("operation", facts.operation)?;
        entry(&mut map, "provider", facts.provider)?;
        entry(&mut map, "request_model", facts.request_model)?;
        entry(&mut map, "response_model", facts.response_model)?;
        entry(&mut map, "usage", Some(usage).filter(KnownUsage::is_any))?;
        entry(&mut map, "cost_usd", facts.cost_usd)?;
        entry(&mut map, "cost_source", facts.cost_source)?;
        entry(&mut map, "time_to_first_token_ns", facts.time_to_first_token_ns)?;
        entry(&mut map, "finish_reasons", Some(finish_reasons).filter(|all| !all.is_empty()))?;
        entry(&mut map, "response_id", facts.response_id)?;
        entry(&mut map, "conversation_id", facts.conversation_id)?;
        entry(&mut map, "session_id", facts.session_id)?;
        entry(&mut map, "user_id", facts.user_id)?;
        entry(&mut map, "workflow_name", facts.workflow_name)?;
        entry(&mut map, "agent", facts.agent)?;
        entry(&mut map, "tool_name", facts.tool_name)?;
        entry(&mut map, "input_preview", facts.input_preview)?;
        entry(&mut map, "output_preview", facts.output_preview)?;
        map.end()
    }
}

struct KnownUsage<'a>(&'a UsageJson);

impl KnownUsage<'_> {
    fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let UsageJson { input, output, total, cache_read, cache_write, reasoning } = *self.0;
        let all = [
            ("input", input),
            ("output", output),
            ("total", total),
            ("cache_read", cache_read),
            ("cache_write", cache_write),
            ("reasoning", reasoning),
        ];
        all.into_iter().filter_map(|(key, tokens)| Some((key, tokens?)))
    }

    fn is_any(&self) -> bool {
        self.entries().next().is_some()
    }
}

impl Serialize for KnownUsage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.entries())
    }
}

fn entry<M: SerializeMap>(
    map: &mut M,
    key: &'static str,
    value: Option<impl Serialize>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(key, &value))
}

/// The facts with the content.
#[derive(Serialize)]
struct LlmJson<'a> {
    #[serde(flatten)]
    facts: FactsJson<'a>,
    error: Option<ErrorJson<'a>>,
    parameters: &'a serde_json::Map<String, Json>,
    system: &'a [Part],
    input_messages: &'a [Message],
    output_messages: &'a [Message],
    tool_definitions: &'a [Json],
    tool: Option<&'a ToolRun>,
    documents: &'a [Document],
    input_value: Option<&'a Json>,
    output_value: Option<&'a Json>,
    raw_finish_reasons: &'a [String],
    dialects: &'a [String],
    sources: &'a std::collections::BTreeMap<String, String>,
}

impl<'a> LlmJson<'a> {
    fn of(facts: &'a Facts, view: &'a LlmView) -> Option<Self> {
        let message = view.error_message.as_deref();
        let error_type = known(&facts.error_type);
        Some(LlmJson {
            facts: FactsJson::of(facts)?,
            error: message.or(error_type).map(|_| ErrorJson { r#type: error_type, message }),
            parameters: &view.parameters,
            system: &view.system,
            input_messages: &view.input_messages,
            output_messages: &view.output_messages,
            tool_definitions: &view.tool_definitions,
            tool: view.tool.as_ref(),
            documents: &view.documents,
            input_value: view.input_value.as_ref(),
            output_value: view.output_value.as_ref(),
            raw_finish_reasons: &view.raw_finish_reasons,
            dialects: &view.dialects,
            sources: &view.sources,
        })
    }
}

#[derive(Clone, Copy, Serialize)]
struct AgentJson<'a> {
    name: Option<&'a str>,
    id: Option<&'a str>,
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    r#type: Option<&'a str>,
    message: Option<&'a str>,
}

#[derive(Serialize)]
struct UsageJson {
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    reasoning: Option<u64>,
}

impl From<Usage> for UsageJson {
    fn from(usage: Usage) -> Self {
        UsageJson {
            input: usage.input,
            output: usage.output,
            total: usage.total,
            cache_read: usage.cache_read,
            cache_write: usage.cache_write,
            reasoning: usage.reasoning,
        }
    }
}

/// Nanoseconds: a string, as in OTLP's JSON.
#[derive(Clone, Copy, Debug)]
pub struct Nanos(pub u64);

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Attributes as one object, in the order in which they came.
struct AttributesJson<'a>(&'a Attributes);

impl Serialize for AttributesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for attribute in self.0 {
            map.serialize_entry(&*attribute.key, &ValueJson(&attribute.value))?;
        }
        map.end()
    }
}

/// A value as plain JSON. What JSON cannot hold becomes a string: integers beyond 2^53, NaN and
/// the infinities; bytes become `{"base64": "…"}`.
struct ValueJson<'a>(&'a Value);

impl Serialize for ValueJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::String(text) => serializer.serialize_str(text),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Int(number) if number.unsigned_abs() > MAX_EXACT => {
                serializer.collect_str(number)
            }
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::Double(number) if number.is_finite() => serializer.serialize_f64(*number),
            Value::Double(number) if number.is_nan() => serializer.serialize_str("NaN"),
            Value::Double(number) => {
                serializer.serialize_str(if *number > 0.0 { "Infinity" } else { "-Infinity" })
            }
            Value::Bytes(bytes) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &base64::encode(bytes))?;
                map.end()
            }
            Value::Array(values) => {
                let mut seq = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    seq.serialize_element(&ValueJson(value))?;
                }
                seq.end()
            }
            Value::Map(attributes) => AttributesJson(attributes).serialize(serializer),
        }
    }
}

fn cost_source(source: CostSource) -> &'static str {
    match source {
        CostSource::Reported => "reported",
        CostSource::Computed => "computed",
    }
}

/// Nano-dollars as dollars.
pub fn usd(nano_usd: i64) -> f64 {
    nano_usd as f64 / 1e9
}

/// The empty text means "not known" inside.
fn known(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn slice_is_empty<T>(slice: &[T]) -> bool {
    slice.is_empty()
}

#[cfg(test)]
mod tests;
