//! What an LLM-related span did (semconv §4).

use spanwise_model::Span;
use spanwise_model::genai::Operation;

use super::events;
use super::reading::Reading;
use super::table::{Answer, Field, Side};

/// The operation, and the key that told it (if it was a single key).
pub fn of(reading: &Reading<'_>) -> (Option<Operation>, Option<&'static str>) {
    if let Some((answer, key)) = reading.kind() {
        return (resolve(answer, reading), Some(key));
    }
    if is_bare_http(reading) {
        return (None, None);
    }
    let operation = by_tool(reading)
        .or_else(|| by_name(&reading.span.name))
        .or_else(|| by_model_and_content(reading));
    (operation, None)
}

fn resolve(answer: Answer, reading: &Reading<'_>) -> Option<Operation> {
    match answer {
        Answer::Is(operation) => Some(operation),
        // Rule K3.
        Answer::Chain if reading.span.parent_span_id.is_none() => Some(Operation::Workflow),
        // LangChain says on every span which agent it is part of: the one of that name is it.
        Answer::Chain if reading.text(Field::AgentName) == reading.span.name => {
            Some(Operation::Agent)
        }
        Answer::Chain => Some(Operation::Task),
        Answer::Call if is_around_a_call(reading.span) => Some(Operation::Task),
        Answer::Call => {
            let is_completion = reading.has_flattened("llm.prompts.", "")
                && !reading.has_flattened("llm.input_messages.", "");
            Some(if is_completion { Operation::Completion } else { Operation::Chat })
        }
        Answer::Completion => {
            let is_chat = reading.has_flattened("gen_ai.prompt.", "role")
                || reading.has_flattened("gen_ai.completion.", "role");
            Some(if is_chat { Operation::Chat } else { Operation::Completion })
        }
        Answer::NoKind => None,
    }
}

/// LlamaIndex records every method of a model's class as a call: these only prepare one, or make
/// one that has a span of its own below.
fn is_around_a_call(span: &Span) -> bool {
    let method = span.name.rsplit('.').next().unwrap_or_default();
    span.scope.name.starts_with("openinference.instrumentation.llama_index")
        && ["_prepare_", "predict", "with_tools"].iter().any(|part| method.contains(part))
}

/// Rule K2: an HTTP call that carries neither messages nor tokens is only an HTTP call.
fn is_bare_http(reading: &Reading<'_>) -> bool {
    reading.has(Field::HttpMethod) && !has_tokens(reading) && !has_content(reading)
}

/// Item 13.
fn by_tool(reading: &Reading<'_>) -> Option<Operation> {
    const OTEL_CALL_ID: u16 = 10;
    let is_tool = reading.has(Field::ToolName) || reading.rank(Field::ToolCallId) <= OTEL_CALL_ID;
    is_tool.then_some(Operation::Tool)
}

const NAMED: [(&str, Operation); 4] = [
    ("workflow", Operation::Workflow),
    ("task", Operation::Task),
    ("agent", Operation::Agent),
    ("tool", Operation::Tool),
];

/// Item 14.
fn by_name(name: &str) -> Option<Operation> {
    if let Some(stage) = name.strip_prefix("rag_control.request.") {
        return by_rag_control_stage(stage);
    }
    let (first, _) = name.split_once('.')?;
    let (_, last) = name.rsplit_once('.')?;
    let named = |word: &str| NAMED.iter().find(|(kind, _)| *kind == word).map(|&(_, of)| of);
    named(first).or_else(|| named(last))
}

fn by_rag_control_stage(rest: &str) -> Option<Operation> {
    let (mode, stage) = match rest.split_once(".stage.") {
        Some((mode, stage)) => (mode, Some(stage)),
        None => (rest, None),
    };
    if !matches!(mode, "run" | "stream") {
        return None;
    }
    Some(match stage {
        None => Operation::Workflow,
        Some("embedding") => Operation::Embedding,
        Some("retrieval") => Operation::Retriever,
        Some("llm.generate" | "llm.stream") => Operation::Chat,
        Some("enforcement") => Operation::Guardrail,
        Some(_) => Operation::Task,
    })
}

/// Item 15.
fn by_model_and_content(reading: &Reading<'_>) -> Option<Operation> {
    let has_model = reading.has(Field::RequestModel) || reading.has(Field::ResponseModel);
    let is_call = has_tokens(reading) || (has_model && has_content(reading));
    let is_completion = &*reading.text(Field::RequestType) == "completions"
        && !reading.sources(Side::Input).any(|found| found.source.key != "llm.prompt");
    match (is_call, is_completion) {
        (false, _) => None,
        (true, true) => Some(Operation::Completion),
        (true, false) => Some(Operation::Chat),
    }
}

fn has_tokens(reading: &Reading<'_>) -> bool {
    [
        Field::InputTokens,
        Field::OutputTokens,
        Field::TotalTokens,
        Field::CacheRead,
        Field::CacheWrite,
        Field::Reasoning,
    ]
    .into_iter()
    .any(|field| reading.has(field))
}

fn has_content(reading: &Reading<'_>) -> bool {
    reading.sources(Side::Input).next().is_some()
        || reading.sources(Side::Output).next().is_some()
        || reading.span.events.iter().any(|event| events::is_message(&event.name))
}
