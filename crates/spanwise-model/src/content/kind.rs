//! What a span's own input and output are.

use super::classes::{Class, Classes};
use crate::Span;

/// What kind of operation a span is, as far as it tells whose its input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A workflow or an agent, which people talk to.
    Entry,
    /// A call to a model.
    Model,
    Tool,
    Other,
}

/// Keys whose value names the kind, in the order in which they are asked.
const KEYS: [&str; 9] = [
    "spanwise.kind",
    "langfuse.observation.type",
    "openinference.span.kind",
    "langsmith.span.kind",
    "traceloop.span.kind",
    "mlflow.spanType",
    "gen_ai.operation.name",
    "llm.request.type",
    "genkit:metadata:subtype",
];

/// Keys that only calls to models have.
const MODEL_KEYS: [&str; 8] = [
    "gen_ai.request.model",
    "gen_ai.response.model",
    "llm.model_name",
    "llm.request.model",
    "ai.model.id",
    "llm.model",
    "llm_model",
    "gcp.vertex.agent.llm_request",
];

impl Kind {
    pub fn of(span: &Span) -> Self {
        let named = KEYS.iter().find_map(|key| Self::named(span, span.attributes.str(key)?));
        named.or_else(|| Self::by_name(&span.name)).unwrap_or_else(|| {
            let is_model = MODEL_KEYS.iter().any(|key| span.attributes.get(key).is_some());
            if is_model { Kind::Model } else { Kind::Other }
        })
    }

    fn named(span: &Span, kind: &str) -> Option<Self> {
        let kind = kind.trim_matches('"').to_ascii_lowercase();
        Some(match &*kind {
            "workflow" | "agent" | "invoke_agent" | "create_agent" | "invoke_workflow" => {
                Kind::Entry
            }
            "chain" if span.parent_span_id.is_none() => Kind::Entry,
            "chain" | "task" | "retriever" | "guardrail" | "evaluator" | "parser" | "memory"
            | "prompt" => Kind::Other,
            "tool" | "execute_tool" | "tool.v2" => Kind::Tool,
            "chat" | "completion" | "llm" | "generation" | "embedding" | "embeddings"
            | "reranker" | "rerank" | "chat_model" | "generate_content" | "text_completion"
            | "call_llm" | "llm_request" | "responses" | "generate" | "model" | "embedder" => {
                Kind::Model
            }
            _ => return None,
        })
    }

    fn by_name(name: &str) -> Option<Self> {
        let (first, last) = (name.split('.').next()?, name.rsplit('.').next()?);
        [first, last].iter().filter(|_| name.contains('.')).find_map(|part| match *part {
            "workflow" | "agent" => Some(Kind::Entry),
            "tool" => Some(Kind::Tool),
            "task" => Some(Kind::Other),
            _ => None,
        })
    }

    /// What the span was given. `None` at calls to models, where it is taken apart.
    pub fn input(self) -> Option<Classes> {
        match self {
            Kind::Entry => Some(Classes::of(Class::UserInput)),
            Kind::Model => None,
            Kind::Tool => Some(Classes::of(Class::ToolInput)),
            Kind::Other => Some(Classes::of(Class::FunctionInput)),
        }
    }

    /// What the span gave back.
    pub fn output(self) -> Classes {
        Classes::of(match self {
            Kind::Model => Class::LlmOutput,
            Kind::Tool => Class::ToolOutput,
            Kind::Entry | Kind::Other => Class::FunctionOutput,
        })
    }
}
