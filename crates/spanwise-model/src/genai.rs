//! What we understand of an LLM span, whichever dialect it was written in.
//!
//! [`Facts`] are the small, searchable values; they are computed once when a span is taken in and
//! kept in columns. [`LlmView`] is the whole picture with its messages; it is computed from the
//! stored span whenever somebody looks, so a better reading of a dialect also improves old data.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::Str;

/// What an LLM-related span did. Ordinary spans have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Operation {
    Chat = 1,
    Completion = 2,
    Embedding = 3,
    Rerank = 4,
    Tool = 5,
    Agent = 6,
    Workflow = 7,
    Task = 8,
    Retriever = 9,
    Guardrail = 10,
    Evaluator = 11,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Operation; 11] = [
        Operation::Chat,
        Operation::Completion,
        Operation::Embedding,
        Operation::Rerank,
        Operation::Tool,
        Operation::Agent,
        Operation::Workflow,
        Operation::Task,
        Operation::Retriever,
        Operation::Guardrail,
        Operation::Evaluator,
    ];

    /// The lower-case name used in the API and in searches.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Chat => "chat",
            Operation::Completion => "completion",
            Operation::Embedding => "embedding",
            Operation::Rerank => "rerank",
            Operation::Tool => "tool",
            Operation::Agent => "agent",
            Operation::Workflow => "workflow",
            Operation::Task => "task",
            Operation::Retriever => "retriever",
            Operation::Guardrail => "guardrail",
            Operation::Evaluator => "evaluator",
        }
    }

    /// The operation with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == name)
    }

    /// Whether this calls a model, so that its usage counts towards a trace's totals (rule U1).
    pub fn is_model_call(self) -> bool {
        matches!(
            self,
            Operation::Chat | Operation::Completion | Operation::Embedding | Operation::Rerank
        )
    }
}

/// Token counts, inclusive as OpenTelemetry defines them: `input` contains cache reads and
/// writes, `output` contains reasoning. `None` means unknown, never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Usage {
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub total: Option<u64>,
    pub cache_read: Option<u64>,
    pub cache_write: Option<u64>,
    pub reasoning: Option<u64>,
}

impl Usage {
    /// Whether any count is known.
    pub fn is_known(&self) -> bool {
        *self != Usage::default()
    }
}

/// Why a model stopped in OpenTelemetry's words, and how else that is spelled.
const FINISH_REASONS: [(&str, &[&str]); 5] = [
    ("stop", &["stop", "end_turn", "stop_sequence", "eos", "complete"]),
    (
        "length",
        &[
            "length",
            "max_tokens",
            "max_output_tokens",
            "model_length",
            "model_context_window_exceeded",
        ],
    ),
    ("tool_call", &["tool_calls", "tool_call", "tool_use", "function_call", "tool-calls"]),
    (
        "content_filter",
        &[
            "content_filter",
            "content-filter",
            "content_filtered",
            "safety",
            "image_safety",
            "recitation",
            "blocklist",
            "prohibited_content",
            "spii",
            "refusal",
            "guardrail_intervened",
        ],
    ),
    (
        "error",
        &[
            "error",
            "other",
            "malformed_function_call",
            "malformed_model_output",
            "malformed_tool_use",
            "unexpected_tool_call",
        ],
    ),
];

/// OpenTelemetry's word for why a model stopped, if it has one for it.
pub fn canonical_finish_reason(raw: &str) -> Option<&'static str> {
    let known = FINISH_REASONS
        .iter()
        .find(|(_, spellings)| spellings.iter().any(|spelling| spelling.eq_ignore_ascii_case(raw)));
    known.map(|(canonical, _)| *canonical)
}

/// Where a cost came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CostSource {
    /// The span said what it cost.
    Reported,
    /// Tokens times the price table.
    Computed,
}

/// Money, in integer nano-dollars, and where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// 1e-9 US dollars.
    pub nano_usd: i64,
    /// Reported by the span or computed by us.
    pub source: CostSource,
}

/// The searchable facts of one span, in one vocabulary for every dialect.
///
/// Empty strings mean "not known".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// What it did; `None` for an ordinary span.
    pub operation: Option<Operation>,
    /// Who served the call, as in OpenTelemetry's registry.
    pub provider: Str,
    /// The model that was asked for.
    pub request_model: Str,
    /// The model that answered.
    pub response_model: Str,
    /// Token counts.
    pub usage: Usage,
    /// What it cost; `None` when no price is known.
    pub cost: Option<Cost>,
    /// Nanoseconds from start to the first token.
    pub time_to_first_token_ns: Option<u64>,
    /// Canonical finish reasons joined by commas.
    pub finish_reasons: Str,
    /// The provider's id of the response.
    pub response_id: Str,
    /// The conversation across traces.
    pub session_id: Str,
    /// The conversation as OpenTelemetry names it; copied from the session if only that is known.
    pub conversation_id: Str,
    /// The end user.
    pub user_id: Str,
    /// The agent's name.
    pub agent_name: Str,
    /// The agent's id.
    pub agent_id: Str,
    /// The tool's name, on a tool span.
    pub tool_name: Str,
    /// The workflow's name.
    pub workflow_name: Str,
    /// `production`, `staging` and so on.
    pub environment: Str,
    /// The kind of failure: an exception's type or an HTTP status.
    pub error_type: Str,
    /// Start of the last user text (or the input value), at most [`PREVIEW_CHARS`] characters.
    pub input_preview: Str,
    /// Start of the last assistant text (or the output value), at most as long.
    pub output_preview: Str,
    /// Whether `input_preview` is a user message rather than a bare input value.
    pub input_is_message: bool,
    /// Whether `output_preview` is an assistant message rather than a bare output value.
    pub output_is_message: bool,
}

impl Facts {
    /// The model to show: the one that answered, else the one that was asked for.
    pub fn model(&self) -> &Str {
        if self.response_model.is_empty() { &self.request_model } else { &self.response_model }
    }
}

/// How long previews are, in characters.
pub const PREVIEW_CHARS: usize = 256;

/// One message of a conversation, in the shape of OpenTelemetry's GenAI JSON schema.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`, or what the producer wrote.
    pub role: String,
    /// The participant's name, where given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What was said, in order.
    pub parts: Vec<Part>,
    /// Why the model stopped, on an output message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
}

/// One part of a message. The JSON form is the query API's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    /// Plain text.
    Text {
        /// The text.
        content: String,
    },
    /// The model's thinking.
    Reasoning {
        /// The text.
        content: String,
    },
    /// The model asks for a tool.
    ToolCall {
        /// Ties the call to its result.
        id: Option<String>,
        /// The tool.
        name: String,
        /// Arguments: an object, or the text that did not parse as one.
        arguments: Json,
    },
    /// What a tool answered.
    ToolResult {
        /// The call this answers.
        id: Option<String>,
        /// The answer.
        result: Json,
    },
    /// An image, sound or file, with the producer's own fields.
    Media {
        /// `image`, `audio`, `video`, `document`, or empty.
        modality: String,
        /// The original fields beside the type (`mime_type`, `uri`, `file_id`, `content`, …).
        #[serde(flatten)]
        fields: serde_json::Map<String, Json>,
    },
    /// A part of a type we do not know, kept as it is.
    Other {
        /// The original object.
        value: Json,
    },
}

/// A document that a retriever returned or a reranker ordered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Document {
    pub id: Option<String>,
    pub score: Option<f64>,
    pub content: Option<String>,
    pub metadata: Option<Json>,
}

/// A tool that was run, on a tool span.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ToolRun {
    pub name: Option<String>,
    pub call_id: Option<String>,
    pub description: Option<String>,
    pub arguments: Option<Json>,
    pub result: Option<Json>,
}

/// The whole picture of an LLM-related span: [`Facts`] are beside it, this is the content.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LlmView {
    /// Temperature, top_p and so on, by canonical name.
    pub parameters: serde_json::Map<String, Json>,
    /// System text that was given apart from the messages.
    pub system: Vec<Part>,
    /// What went in.
    pub input_messages: Vec<Message>,
    /// What came out.
    pub output_messages: Vec<Message>,
    /// The tools that were offered: `{type, name, description, parameters}`.
    pub tool_definitions: Vec<Json>,
    /// The tool that ran, on a tool span.
    pub tool: Option<ToolRun>,
    /// What a retriever found.
    pub documents: Vec<Document>,
    /// The input of a span without messages: JSON if it parses, else a string.
    pub input_value: Option<Json>,
    /// The output of a span without messages, likewise.
    pub output_value: Option<Json>,
    /// Finish reasons as the provider wrote them.
    pub raw_finish_reasons: Vec<String>,
    /// The first line and the whole of the error message.
    pub error_message: Option<String>,
    /// Dialects found on the span, such as `openinference`.
    pub dialects: Vec<String>,
    /// For each canonical field, the attribute key (or `event:` name) that it came from.
    pub sources: std::collections::BTreeMap<String, String>,
}
