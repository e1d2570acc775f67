//! Which keys hold content, in every dialect: the one place that knows.
//!
//! The pipeline's tables (`normalize::dialect`) name those keys from which messages are read; here
//! stand all that may hold a word of content, also the ones that nothing is read from.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::classes::{Class, Classes};

/// What the value of a key is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Holds {
    /// These classes and nothing else.
    Only(Classes),
    /// What a model was given: messages, a request, or text.
    Prompt,
    /// Parameters of a request, among which prompts may hide.
    Parameters,
    /// What a model answered.
    Answer,
    /// A whole conversation, the answer included.
    Conversation,
    /// What the span's operation was given: a prompt if it is a call to a model.
    Input,
    /// What the span's operation gave back.
    Output,
    /// `<key>N.…` is one message each; the role stands in a key beside it.
    FlatPrompt,
    /// The same for answers.
    FlatAnswer,
}

const fn only(class: Class) -> Holds {
    Holds::Only(Classes::of(class))
}

/// Keys, and beginnings of keys where they end in a dot.
const KEYS: [(&str, Holds); 114] = [
    // OpenTelemetry GenAI, today and before.
    ("gen_ai.input.messages", Holds::Prompt),
    ("gen_ai.output.messages", Holds::Answer),
    ("gen_ai.system_instructions", only(Class::SystemPrompt)),
    ("gen_ai.agent.instructions", only(Class::SystemPrompt)),
    ("gen_ai.tool.definitions", only(Class::LlmInput)),
    ("gen_ai.tool.call.arguments", only(Class::ToolInput)),
    ("gen_ai.tool.call.result", only(Class::ToolOutput)),
    ("gen_ai.retrieval.query.text", Holds::Only(QUERY)),
    ("gen_ai.retrieval.documents", only(Class::ToolOutput)),
    ("gen_ai.prompt", Holds::Prompt),
    ("gen_ai.completion", Holds::Answer),
    ("gen_ai.prompt.", Holds::FlatPrompt),
    ("gen_ai.completion.", Holds::FlatAnswer),
    ("gen_ai.request.messages", Holds::Prompt),
    ("gen_ai.response.messages", Holds::Answer),
    ("gen_ai.content.prompt", Holds::Prompt),
    ("gen_ai.content.completion", Holds::Answer),
    ("gen_ai.request.structured_output_schema", only(Class::LlmInput)),
    ("gen_ai.memory.", Holds::Input),
    // any-agent.
    ("gen_ai.tool.args", only(Class::ToolInput)),
    ("gen_ai.output", Holds::Output),
    // OpenInference.
    ("llm.input_messages.", Holds::FlatPrompt),
    ("llm.output_messages.", Holds::FlatAnswer),
    ("llm.prompts.", Holds::FlatPrompt),
    ("llm.choices.", Holds::FlatAnswer),
    ("llm.invocation_parameters", Holds::Parameters),
    ("embedding.invocation_parameters", Holds::Parameters),
    ("llm.tools.", only(Class::LlmInput)),
    ("llm.function_call", only(Class::LlmOutput)),
    ("llm.prompt_template.template", Holds::Only(TEMPLATE)),
    ("llm.prompt_template.variables", Holds::Only(VARIABLES)),
    ("input.value", Holds::Input),
    ("output.value", Holds::Output),
    ("tool.parameters", only(Class::ToolInput)),
    ("tool.json_schema", only(Class::LlmInput)),
    ("retrieval.documents.", only(Class::ToolOutput)),
    ("reranker.query", Holds::Only(QUERY)),
    ("reranker.input_documents.", only(Class::LlmInput)),
    ("reranker.output_documents.", only(Class::LlmOutput)),
    ("embedding.text", only(Class::LlmInput)),
    ("embedding.vector", only(Class::LlmOutput)),
    ("embedding.embeddings.", only(Class::LlmInput)),
    // Traceloop, OpenLLMetry.
    ("traceloop.entity.input", Holds::Input),
    ("traceloop.entity.output", Holds::Output),
    ("traceloop.prompt.template", Holds::Only(TEMPLATE)),
    ("traceloop.prompt.template_variables", Holds::Only(VARIABLES)),
    ("traceloop.prompt.template_variables.", Holds::Only(VARIABLES)),
    ("llm.request.functions.", only(Class::LlmInput)),
    // Langfuse, LangSmith.
    ("langfuse.observation.input", Holds::Input),
    ("langfuse.observation.output", Holds::Output),
    ("langfuse.trace.input", only(Class::UserInput)),
    ("langfuse.trace.output", only(Class::FunctionOutput)),
    // Vercel's AI SDK.
    ("ai.prompt", Holds::Prompt),
    ("ai.prompt.messages", Holds::Prompt),
    ("ai.prompt.tools", only(Class::LlmInput)),
    ("ai.response.text", Holds::Answer),
    ("ai.response.reasoning", Holds::Answer),
    ("ai.response.object", Holds::Answer),
    ("ai.response.toolCalls", Holds::Answer),
    ("ai.response.files", Holds::Answer),
    ("ai.result.text", Holds::Answer),
    ("ai.result.object", Holds::Answer),
    ("ai.result.toolCalls", Holds::Answer),
    ("ai.toolCall.args", only(Class::ToolInput)),
    ("ai.toolCall.result", only(Class::ToolOutput)),
    ("ai.value", only(Class::LlmInput)),
    ("ai.values", only(Class::LlmInput)),
    ("ai.embedding", only(Class::LlmOutput)),
    ("ai.embeddings", only(Class::LlmOutput)),
    // Logfire, Pydantic AI.
    ("events", Holds::Conversation),
    ("all_messages_events", Holds::Conversation),
    ("pydantic_ai.all_messages", Holds::Conversation),
    ("final_result", Holds::Output),
    ("request_data", Holds::Prompt),
    ("response_data", Holds::Answer),
    ("model_request_parameters", only(Class::LlmInput)),
    ("tool_arguments", only(Class::ToolInput)),
    ("tool_response", only(Class::ToolOutput)),
    // Google ADK, Genkit, MLflow, Langtrace, LiveKit, Flue, MCP.
    ("gcp.vertex.agent.llm_request", Holds::Prompt),
    ("gcp.vertex.agent.llm_response", Holds::Answer),
    ("gcp.vertex.agent.tool_call_args", only(Class::ToolInput)),
    ("gcp.vertex.agent.tool_response", only(Class::ToolOutput)),
    ("gcp.vertex.agent.data", Holds::Input),
    ("genkit:input", Holds::Input),
    ("genkit:output", Holds::Output),
    ("mlflow.spanInputs", Holds::Input),
    ("mlflow.spanOutputs", Holds::Output),
    ("mlflow.chat.messages", Holds::Conversation),
    ("mlflow.chat.tools", only(Class::LlmInput)),
    ("llm.prompts", Holds::Prompt),
    ("llm.responses", Holds::Answer),
    ("lk.input_text", only(Class::UserInput)),
    ("lk.user_input", only(Class::UserInput)),
    ("lk.instructions", only(Class::SystemPrompt)),
    ("lk.chat_ctx", Holds::Prompt),
    ("lk.response.text", Holds::Answer),
    ("lk.function_tool.output", only(Class::ToolOutput)),
    ("flue.turn.input", Holds::Prompt),
    ("flue.turn.output", Holds::Answer),
    ("mcp.request.argument", only(Class::ToolInput)),
    ("mcp.response.value", only(Class::ToolOutput)),
    // Plain names.
    ("llm.prompt", Holds::Prompt),
    ("llm.response", Holds::Answer),
    ("llm.response_preview", Holds::Answer),
    ("llm.messages", Holds::Prompt),
    ("llm.tools", only(Class::LlmInput)),
    ("llm.documents", only(Class::ToolOutput)),
    ("tools", only(Class::LlmInput)),
    ("prompt", Holds::Prompt),
    ("completion", Holds::Answer),
    ("input", Holds::Input),
    ("output", Holds::Output),
    ("db.marqo.search.query", Holds::Only(QUERY)),
    ("db.query.retrieved_documents", only(Class::ToolOutput)),
];

/// A query is a tool's input, and as a rule what somebody asked.
const QUERY: Classes = Classes::of(Class::ToolInput).and(Class::UserInput);
const TEMPLATE: Classes = Classes::of(Class::SystemPrompt).and(Class::LlmInput);
const VARIABLES: Classes = Classes::of(Class::UserInput).and(Class::LlmInput);

/// Keys under which recorders of exceptions keep what a function was called with.
const CAPTURED: [&str; 6] = [
    "exception.args",
    "exception.arguments",
    "exception.kwargs",
    "exception.locals",
    "exception.variables",
    "code.arguments",
];

static EXACT: LazyLock<HashMap<&str, Holds>> = LazyLock::new(|| {
    let exact = KEYS.iter().copied().filter(|(key, _)| !key.ends_with('.'));
    exact.chain(CAPTURED.map(|key| (key, Holds::Input))).collect()
});

static BEGINNINGS: LazyLock<Vec<(&str, Holds)>> = LazyLock::new(|| {
    let mut beginnings: Vec<_> =
        KEYS.iter().copied().filter(|(key, _)| key.ends_with('.')).collect();
    beginnings.extend([("exception.args.", Holds::Input), ("exception.locals.", Holds::Input)]);
    beginnings
});

/// What a key holds, and where its beginning ends if it is known by that.
pub(super) fn holds(key: &str) -> Option<(Holds, usize)> {
    if let Some(holds) = EXACT.get(key) {
        return Some((*holds, key.len()));
    }
    let found = BEGINNINGS.iter().find(|(beginning, _)| key.starts_with(beginning));
    found.map(|(beginning, holds)| (*holds, beginning.len()))
}

/// What an event is: all of its fields, or as its keys say.
pub(super) fn event_holds(name: &str) -> Option<Holds> {
    Some(match name {
        "gen_ai.system.message" => only(Class::SystemPrompt),
        "gen_ai.user.message" => only(Class::UserInput),
        "gen_ai.tool.message" => only(Class::LlmInput),
        "gen_ai.assistant.message" => Holds::Only(SAID_BEFORE),
        "gen_ai.choice" => only(Class::LlmOutput),
        "gen_ai.content.prompt" => Holds::Prompt,
        "gen_ai.content.completion" => Holds::Answer,
        "db.query.result" | "db.search.result" => only(Class::ToolOutput),
        "llm.content.completion.chunk" | "gen_ai.content.completion.chunk" | "new_token" => {
            only(Class::LlmOutput)
        }
        _ => return None,
    })
}

/// An answer that a model is given again is its input, and is still what a model answered.
pub(super) const SAID_BEFORE: Classes = Classes::of(Class::LlmInput).and(Class::LlmOutput);

/// Fields of an event that is content which say no word of it.
pub(super) fn is_envelope(key: &str) -> bool {
    let is_named = matches!(
        key,
        "role"
            | "id"
            | "index"
            | "finish_reason"
            | "event.name"
            | "gen_ai.system"
            | "gen_ai.provider.name"
            | "gen_ai.operation.name"
            | "gen_ai.request.model"
            | "gen_ai.response.model"
            | "gen_ai.response.finish_reasons"
            | "tool_call_id"
    );
    is_named || key.rsplit('.').next() == Some("hash") || key.starts_with("gen_ai.usage.")
}
