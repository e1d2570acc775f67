//! From the attribute keys of many dialects to one vocabulary.
//!
//! [`table`] says how a dialect is written down, [`dialect`] holds one file per dialect, [`index`]
//! compiles them, and [`reading`] reads a span once with the result. The rest turns a reading into
//! [`Facts`]: [`kind`], [`provider`], [`usage`], [`preview`].

pub mod dialect;
pub mod events;
mod index;
pub mod json_array;
pub mod kind;
pub mod messages;
mod preview;
mod provider;
pub mod reading;
pub mod table;
mod usage;

use std::sync::Arc;

use spanwise_model::genai::{Facts, Operation, canonical_finish_reason};
use spanwise_model::{Resource, Span, StoredSpan, Str, Value, Warning};

use events::MessageEvent;
use index::INDEX;
use reading::Reading;
use table::{Field, Shape, Side};

/// Computes facts for the spans of one batch.
#[derive(Default)]
pub struct Normalizer {
    /// What the last resource said; spans of one resource follow each other.
    resource: Option<(Arc<Resource>, FromResource)>,
}

#[derive(Clone)]
struct FromResource {
    environment: Str,
    session: Str,
}

/// Facts that are computed, and what the pipeline needs besides.
pub struct Normalized {
    pub facts: Facts,
    /// The service tier, which decides between prices.
    pub service_tier: Str,
}

impl Normalizer {
    /// The searchable facts of one span.
    pub fn facts(&mut self, span: &Span, warnings: &mut Vec<Warning>) -> Normalized {
        let reading = Reading::new(span);
        let resource = self.of_resource(&span.resource);
        let mut facts = if reading.is_known || !span.events.is_empty() || span.name.contains('.') {
            read_facts(&reading, warnings)
        } else {
            Facts::default()
        };
        if facts.environment.is_empty() {
            facts.environment = resource.environment;
        }
        if facts.session_id.is_empty() {
            facts.session_id = resource.session;
        }
        if facts.conversation_id.is_empty() {
            facts.conversation_id = facts.session_id.clone();
        }
        Normalized { facts, service_tier: reading.text(Field::ServiceTier) }
    }

    fn of_resource(&mut self, resource: &Arc<Resource>) -> FromResource {
        if let Some((last, found)) = &self.resource
            && Arc::ptr_eq(last, resource)
        {
            return found.clone();
        }
        let first = |keys: &[&str]| {
            keys.iter().find_map(|key| resource.attributes.get(key).and_then(text_value))
        };
        let environments = ["deployment.environment.name", "deployment.environment"];
        let found = FromResource {
            environment: first(&environments).unwrap_or(Str::from_static("default")),
            session: first(&["session.id"]).unwrap_or_default(),
        };
        self.resource = Some((Arc::clone(resource), found.clone()));
        found
    }
}

/// The facts of a log record's row: previews of the message that it carries.
pub fn log_facts(row: &StoredSpan) -> Facts {
    let preview = |side| {
        let events = MessageEvent::of_row(row).into_iter().collect();
        preview::of_message_events(events, side).unwrap_or_default()
    };
    let (input, output) = (preview(Side::Input), preview(Side::Output));
    Facts {
        input_preview: input.text,
        input_is_message: input.is_message,
        output_preview: output.text,
        output_is_message: output.is_message,
        ..Facts::default()
    }
}

fn read_facts(reading: &Reading<'_>, warnings: &mut Vec<Warning>) -> Facts {
    let (operation, _) = kind::of(reading);
    let mut facts = Facts {
        operation,
        error_type: error_type(reading),
        session_id: reading.text(Field::Session),
        conversation_id: reading.text(Field::Conversation),
        user_id: reading.text(Field::User),
        environment: reading.text(Field::Environment),
        workflow_name: workflow_name(reading, operation),
        ..Facts::default()
    };
    let Some(operation) = operation else { return facts };
    (facts.request_model, facts.response_model) = models(reading);
    facts.provider = provider_name(reading, facts.model());
    facts.usage = usage::usage(reading, Some(operation));
    facts.cost = usage::reported_cost(reading);
    facts.time_to_first_token_ns = time_to_first_token(reading, warnings);
    facts.finish_reasons = finish_reasons(reading);
    facts.response_id = reading.text(Field::ResponseId);
    facts.agent_name = agent_name(reading, operation);
    facts.agent_id = agent_id(reading, operation);
    if operation == Operation::Tool {
        facts.tool_name = tool_name(reading);
    }
    let input = preview::of(reading, Side::Input, Some(operation));
    let output = preview::of(reading, Side::Output, Some(operation));
    (facts.input_preview, facts.input_is_message) = (input.text, input.is_message);
    (facts.output_preview, facts.output_is_message) = (output.text, output.is_message);
    facts
}

/// The requested and the answering model (semconv §6.1). OpenInference writes the answering one
/// into a key that others use for the requested one.
fn models(reading: &Reading<'_>) -> (Str, Str) {
    let request = reading.text(Field::RequestModel);
    let mut response = reading.text(Field::ResponseModel);
    let named = reading.text(Field::ModelName);
    if response.is_empty() && is_openinference(reading) && named != request {
        response = named;
    }
    (request, response)
}

fn is_openinference(reading: &Reading<'_>) -> bool {
    let scope = &reading.span.scope.name;
    scope.starts_with("openinference.instrumentation")
        || scope.starts_with("@arizeai/openinference")
}

fn provider_name(reading: &Reading<'_>, model: &str) -> Str {
    match reading.text(Field::Provider) {
        named if !named.is_empty() => provider::canonical(named),
        _ => provider::of_model(model).unwrap_or_default(),
    }
}

fn agent_name(reading: &Reading<'_>, operation: Operation) -> Str {
    let named = reading.text(Field::AgentName);
    if !named.is_empty() || operation != Operation::Agent {
        return named;
    }
    let entity = reading.text(Field::EntityName);
    // OpenInference names its spans after classes, which is not the agent's name.
    let is_class_name = reading.kind().is_some_and(|(_, key)| key == "openinference.span.kind");
    // CrewAI's agents are known by their role, which its instrumentation names the node by.
    let is_crew = reading.span.scope.name.starts_with("openinference.instrumentation.crewai");
    match (entity.is_empty(), is_class_name) {
        (false, _) => entity,
        (true, _) if is_crew => reading.text(Field::GraphNode),
        (true, true) => Str::new(),
        (true, false) => stripped(&reading.span.name, &["invoke_agent ", "agent."], ".agent"),
    }
}

fn agent_id(reading: &Reading<'_>, operation: Operation) -> Str {
    let id = reading.text(Field::AgentId);
    if id.is_empty() && operation == Operation::Agent { reading.text(Field::GraphNode) } else { id }
}

fn workflow_name(reading: &Reading<'_>, operation: Option<Operation>) -> Str {
    let named = reading.text(Field::WorkflowName);
    if !named.is_empty() || operation != Some(Operation::Workflow) {
        return named;
    }
    match reading.text(Field::EntityName) {
        entity if !entity.is_empty() => entity,
        _ => stripped(&reading.span.name, &["workflow."], ".workflow"),
    }
}

/// The name of the tool that a tool span ran (semconv §8).
pub fn tool_name(reading: &Reading<'_>) -> Str {
    let named = reading.text(Field::ToolName);
    let entity = reading.text(Field::EntityName);
    match (named.is_empty(), entity.is_empty()) {
        (false, _) => named,
        (true, false) => entity,
        (true, true) => {
            stripped(&reading.span.name, &["execute_tool ", "running tool: ", "tool."], ".tool")
        }
    }
}

/// A span's name without the word that says its kind.
fn stripped(name: &Str, starts: &[&str], end: &str) -> Str {
    let without_start = starts.iter().find_map(|start| name.strip_prefix(start));
    let short = without_start.or_else(|| name.strip_suffix(end)).unwrap_or(name);
    name.slice_ref(short)
}

/// Semconv §11. A time outside the span is kept and flagged.
fn time_to_first_token(reading: &Reading<'_>, warnings: &mut Vec<Warning>) -> Option<u64> {
    let is_seconds = reading.rank(Field::TtftSeconds) <= reading.rank(Field::TtftMillis);
    let (field, scale) =
        if is_seconds { (Field::TtftSeconds, 1e9) } else { (Field::TtftMillis, 1e6) };
    let span = reading.span;
    let told = reading.number(field).map(|number| (number * scale).round() as u64);
    let from_events = || {
        let is_first = |name: &str| INDEX.first_token_events.contains(&name);
        let times = span.events.iter().filter(|e| is_first(&e.name)).map(|e| e.time_unix_nano);
        times.min()?.checked_sub(span.start_time_unix_nano)
    };
    let found = told.or_else(from_events)?;
    if found > span.duration_ns() {
        let message = "the first token came after the end of the span; kept";
        let warning = Warning::new("first_token_outside", Str::from_static(message));
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    Some(found)
}

/// Canonical finish reasons (semconv §12), each once, joined by commas.
fn finish_reasons(reading: &Reading<'_>) -> Str {
    let raw = raw_finish_reasons(reading);
    let mut reasons: Vec<&str> = Vec::new();
    for reason in raw.iter().map(|raw| canonical_finish_reason(raw).unwrap_or(raw)) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    match reasons.as_slice() {
        [] => Str::new(),
        [only] => canonical_finish_reason(only).map_or_else(|| Str::from(*only), Str::from_static),
        several => several.join(",").into(),
    }
}

/// Finish reasons as the producer wrote them: of the response, else of its messages.
pub fn raw_finish_reasons(reading: &Reading<'_>) -> Vec<Str> {
    const OF_RESPONSE: u16 = 10;
    let listed = || reading.value(Field::FinishReasons).map(strings).unwrap_or_default();
    if reading.rank(Field::FinishReasons) <= OF_RESPONSE {
        return listed();
    }
    let mut reasons = Vec::new();
    for found in reading.sources(Side::Output) {
        if found.source.shape == Shape::Messages {
            reasons.extend(preview::finish_reasons(found.value));
        }
        let flats = found.flats().filter(|flat| flat.rest == "finish_reason");
        reasons.extend(flats.filter_map(|flat| text_value(flat.value)));
    }
    let choices = reading.span.events.iter().filter(|event| event.name == events::CHOICE);
    let of_events = choices.filter_map(|event| event.attributes.get("finish_reason"));
    reasons.extend(of_events.filter_map(text_value));
    if reasons.is_empty() { listed() } else { reasons }
}

fn text_value(value: &Value) -> Option<Str> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

/// A string, an array of strings, or JSON of either.
fn strings(value: &Value) -> Vec<Str> {
    let texts = |json: serde_json::Value| match json {
        serde_json::Value::Array(items) => {
            items.iter().filter_map(|item| item.as_str().map(Str::from)).collect()
        }
        serde_json::Value::String(text) => vec![Str::from(text)],
        _ => Vec::new(),
    };
    match value {
        Value::String(text) if text.starts_with(['[', '"']) => texts(reading::parse_or_text(text)),
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => values.iter().filter_map(text_value).collect(),
        _ => Vec::new(),
    }
}

/// Rule E2.
fn error_type(reading: &Reading<'_>) -> Str {
    const ATTRIBUTE: u16 = 10;
    if reading.rank(Field::ErrorType) <= ATTRIBUTE {
        return reading.text(Field::ErrorType);
    }
    let exceptions = reading.span.events.iter().rev().filter(|event| event.name == "exception");
    let mut types = exceptions.filter_map(|event| event.attributes.get("exception.type"));
    if let Some(thrown) = types.find_map(text_value) {
        return thrown;
    }
    if reading.has(Field::ErrorType) {
        return reading.text(Field::ErrorType);
    }
    match reading.count(Field::HttpStatus) {
        Some(status) if (400..1000).contains(&status) => status.to_string().into(),
        _ => Str::new(),
    }
}
