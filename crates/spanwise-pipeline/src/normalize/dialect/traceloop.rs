//! Traceloop's SDK and the OpenLLMetry instrumentations, before and after they took up
//! OpenTelemetry's names.

use spanwise_model::genai::Operation;

use crate::normalize::table::Answer::{Completion, Is};
use crate::normalize::table::Field as F;
use crate::normalize::table::{
    Answer, Dialect, KindRow, Shape, Side, Tools, parameter, row, source,
};

pub static DIALECT: Dialect = Dialect {
    name: "traceloop",
    signals: &["traceloop.", "llm.request.type", "gen_ai.prompt.", "gen_ai.completion."],
    scopes: &["traceloop.tracer", "opentelemetry.instrumentation.openai.v1"],
    rows: &[
        row(F::RequestModel, 160, "llm.request.model"),
        row(F::ResponseModel, 40, "llm.response.model"),
        row(F::Session, 50, "traceloop.association.properties.session_id"),
        row(F::Session, 51, "traceloop.association.properties.conversation_id"),
        row(F::Session, 52, "traceloop.association.properties.thread_id"),
        row(F::Session, 53, "traceloop.association.properties.chat_id"),
        row(F::User, 50, "llm.user"),
        row(F::User, 60, "traceloop.association.properties.user_id"),
        row(F::WorkflowName, 20, "traceloop.workflow.name"),
        row(F::EntityName, 10, "traceloop.entity.name"),
        row(F::ToolArguments, 70, "traceloop.entity.input"),
        row(F::ToolResult, 70, "traceloop.entity.output"),
        row(F::ResponseId, 30, "llm.response_id"),
        row(F::ResponseId, 40, "llm.generation_id"),
        row(F::FinishReasons, 100, "llm.response.finish_reason"),
        row(F::FinishReasons, 101, "llm.response.stop_reason"),
        row(F::InputTokens, 100, "llm.usage.prompt_tokens"),
        row(F::OutputTokens, 100, "llm.usage.completion_tokens"),
        row(F::TotalTokens, 60, "llm.usage.total_tokens"),
        row(F::Reasoning, 60, "llm.usage.reasoning_tokens"),
    ],
    kinds: &[
        KindRow { rank: 50, key: "traceloop.span.kind", values: &ENTITIES, any_case: false },
        KindRow { rank: 80, key: "llm.request.type", values: &REQUESTS, any_case: false },
        KindRow { rank: 81, key: "traceloop.llm.request.type", values: &REQUESTS, any_case: false },
    ],
    sources: &[
        source(60, Side::Input, Shape::Flattened, "gen_ai.prompt."),
        source(60, Side::Output, Shape::Flattened, "gen_ai.completion."),
        source(120, Side::Input, Shape::Value, "traceloop.entity.input"),
        source(120, Side::Output, Shape::Value, "traceloop.entity.output"),
    ],
    parameters: &[
        parameter("stop", 20, "llm.chat.stop_sequences"),
        parameter("frequency_penalty", 20, "llm.frequency_penalty"),
        parameter("presence_penalty", 20, "llm.presence_penalty"),
        parameter("stream", 20, "gen_ai.is_streaming"),
        parameter("stream", 30, "llm.is_streaming"),
        parameter("reasoning_effort", 20, "llm.request.reasoning_effort"),
    ],
    tools: &[Tools { rank: 30, key: "llm.request.functions." }],
    first_token_events: &["llm.content.completion.chunk"],
    ..Dialect::EMPTY
};

const ENTITIES: [(&str, Answer); 4] = [
    ("workflow", Is(Operation::Workflow)),
    ("task", Is(Operation::Task)),
    ("agent", Is(Operation::Agent)),
    ("tool", Is(Operation::Tool)),
];

const REQUESTS: [(&str, Answer); 4] = [
    ("chat", Is(Operation::Chat)),
    ("completion", Completion),
    ("rerank", Is(Operation::Rerank)),
    ("embedding", Is(Operation::Embedding)),
];
