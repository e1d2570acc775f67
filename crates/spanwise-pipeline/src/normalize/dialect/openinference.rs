//! OpenInference, the conventions of Arize's instrumentations.

use spanwise_model::genai::Operation;

use crate::normalize::table::Answer::{Call, Chain, Is};
use crate::normalize::table::Field as F;
use crate::normalize::table::{
    Answer, Dialect, Documents, KindRow, Shape, Side, Tools, parameter, path, row, source,
};

pub static DIALECT: Dialect = Dialect {
    name: "openinference",
    signals: &["openinference."],
    scopes: &["openinference.instrumentation", "@arizeai/openinference-"],
    rows: &[
        row(F::Provider, 20, "llm.provider"),
        row(F::Provider, 40, "llm.system"),
        row(F::RequestModel, 30, "llm.request.model_name"),
        path(F::RequestModel, 50, "llm.invocation_parameters", &["model"]),
        path(F::RequestModel, 51, "llm.invocation_parameters", &["model_name"]),
        row(F::RequestModel, 60, "embedding.model_name"),
        row(F::RequestModel, 70, "reranker.model_name"),
        row(F::ResponseModel, 20, "llm.response.model_name"),
        path(F::Session, 80, "metadata", &["session_id"]),
        path(F::Session, 81, "metadata", &["thread_id"]),
        path(F::User, 110, "metadata", &["user_id"]),
        path(F::User, 120, "llm.invocation_parameters", &["user"]),
        row(F::AgentName, 20, "agent.name"),
        path(F::AgentName, 40, "metadata", &["lc_agent_name"]),
        row(F::AgentId, 20, "agent.id"),
        row(F::GraphNode, 10, "graph.node.id"),
        row(F::ToolName, 20, "tool.name"),
        row(F::ToolCallId, 20, "tool.id"),
        row(F::ToolCallId, 30, "tool_call.id"),
        row(F::ToolDescription, 20, "tool.description"),
        row(F::ToolArguments, 90, "input.value"),
        row(F::ToolArguments, 100, "tool.parameters"),
        row(F::ToolResult, 90, "output.value"),
        row(F::FinishReasons, 50, "llm.finish_reason"),
        row(F::InputTokens, 40, "llm.token_count.prompt"),
        row(F::OutputTokens, 40, "llm.token_count.completion"),
        row(F::TotalTokens, 40, "llm.token_count.total"),
        row(F::CacheRead, 70, "llm.token_count.prompt_details.cache_read"),
        row(F::CacheRead, 80, "llm.token_count.prompt_details.cache_input"),
        row(F::CacheWrite, 70, "llm.token_count.prompt_details.cache_write"),
        row(F::Reasoning, 50, "llm.token_count.completion_details.reasoning"),
        row(F::CostTotal, 30, "llm.cost.total"),
        row(F::CostInput, 90, "llm.cost.prompt"),
        row(F::CostOutput, 90, "llm.cost.completion"),
    ],
    kinds: &[KindRow { rank: 30, key: "openinference.span.kind", values: &KINDS, any_case: true }],
    sources: &[
        source(50, Side::Input, Shape::Flattened, "llm.input_messages."),
        source(50, Side::Output, Shape::Flattened, "llm.output_messages."),
        source(51, Side::Input, Shape::Flattened, "llm.prompts."),
        source(51, Side::Output, Shape::Flattened, "llm.choices."),
        source(130, Side::Input, Shape::Value, "input.value"),
        source(130, Side::Output, Shape::Value, "output.value"),
    ],
    parameters: &[
        parameter("", 30, "llm.invocation_parameters"),
        parameter("", 31, "embedding.invocation_parameters"),
    ],
    tools: &[Tools { rank: 20, key: "llm.tools." }],
    documents: &[
        Documents { rank: 20, key: "retrieval.documents." },
        Documents { rank: 30, key: "reranker.output_documents." },
    ],
    first_token_events: &["First Token Stream Event"],
};

const KINDS: [(&str, Answer); 10] = [
    ("LLM", Call),
    ("EMBEDDING", Is(Operation::Embedding)),
    ("RERANKER", Is(Operation::Rerank)),
    ("RETRIEVER", Is(Operation::Retriever)),
    ("TOOL", Is(Operation::Tool)),
    ("AGENT", Is(Operation::Agent)),
    ("CHAIN", Chain),
    ("GUARDRAIL", Is(Operation::Guardrail)),
    ("EVALUATOR", Is(Operation::Evaluator)),
    ("PROMPT", Is(Operation::Task)),
];
