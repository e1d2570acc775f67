//! The form in which a dialect is written down: tables, and as little code as possible.
//!
//! Every row names the place of its key in the order of precedence of its field: the `rank`. Ranks
//! count over all dialects, because the order of keys is a property of the field, not of the
//! dialect; the lowest rank with a meaningful value wins (rule P2).

use spanwise_model::genai::Operation;

/// One way in which instrumentations name things.
pub struct Dialect {
    /// What it is called in `LlmView::dialects`; empty for keys that belong to no dialect.
    pub name: &'static str,
    /// Keys (or starts of keys, if they end in `.` or `:`) that betray it.
    pub signals: &'static [&'static str],
    /// Starts of the names of its scopes.
    pub scopes: &'static [&'static str],
    /// Which keys fill which field.
    pub rows: &'static [Row],
    /// Which keys tell the kind of operation (semconv §4).
    pub kinds: &'static [KindRow],
    /// Where messages, and inputs and outputs that are no messages, come from (semconv §7.2).
    pub sources: &'static [Source],
    /// Which keys are parameters of the call (semconv §6.3).
    pub parameters: &'static [Parameter],
    /// Where the offered tools are listed (semconv §8).
    pub tools: &'static [Tools],
    /// Where documents are listed (semconv §14).
    pub documents: &'static [Documents],
    /// Events that mark the first token (semconv §11).
    pub first_token_events: &'static [&'static str],
}

impl Dialect {
    /// A dialect of no rows, to be filled with the struct update syntax.
    pub const EMPTY: Dialect = Dialect {
        name: "",
        signals: &[],
        scopes: &[],
        rows: &[],
        kinds: &[],
        sources: &[],
        parameters: &[],
        tools: &[],
        documents: &[],
        first_token_events: &[],
    };
}

/// A key (or a value inside its JSON) that can fill a field.
#[derive(Clone, Copy)]
pub struct Row {
    pub field: Field,
    pub rank: u16,
    pub key: &'static str,
    /// Where the value is JSON: the names that lead to it.
    pub path: &'static [&'static str],
}

/// The value of `key` fills `field`.
pub const fn row(field: Field, rank: u16, key: &'static str) -> Row {
    Row { field, rank, key, path: &[] }
}

/// What stands at `path` in the JSON of `key` fills `field`.
pub const fn path(
    field: Field,
    rank: u16,
    key: &'static str,
    path: &'static [&'static str],
) -> Row {
    Row { field, rank, key, path }
}

/// The canonical fields that keys fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Field {
    Provider,
    RequestModel,
    ResponseModel,
    /// `llm.model_name`, which is a request or a response model depending on who wrote it.
    ModelName,
    Session,
    Conversation,
    User,
    AgentName,
    AgentId,
    GraphNode,
    WorkflowName,
    EntityName,
    ToolName,
    ToolCallId,
    ToolDescription,
    ToolArguments,
    ToolResult,
    Environment,
    ResponseId,
    FinishReasons,
    ErrorType,
    ErrorMessage,
    HttpStatus,
    HttpMethod,
    ServiceTier,
    RequestType,
    TtftSeconds,
    TtftMillis,
    InputTokens,
    OutputTokens,
    TotalTokens,
    CacheRead,
    CacheWrite,
    Reasoning,
    CostTotal,
    CostInput,
    CostOutput,
}

impl Field {
    /// How many fields there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Every field, in the order of their numbers.
    pub const ALL: [Field; 37] = [
        Field::Provider,
        Field::RequestModel,
        Field::ResponseModel,
        Field::ModelName,
        Field::Session,
        Field::Conversation,
        Field::User,
        Field::AgentName,
        Field::AgentId,
        Field::GraphNode,
        Field::WorkflowName,
        Field::EntityName,
        Field::ToolName,
        Field::ToolCallId,
        Field::ToolDescription,
        Field::ToolArguments,
        Field::ToolResult,
        Field::Environment,
        Field::ResponseId,
        Field::FinishReasons,
        Field::ErrorType,
        Field::ErrorMessage,
        Field::HttpStatus,
        Field::HttpMethod,
        Field::ServiceTier,
        Field::RequestType,
        Field::TtftSeconds,
        Field::TtftMillis,
        Field::InputTokens,
        Field::OutputTokens,
        Field::TotalTokens,
        Field::CacheRead,
        Field::CacheWrite,
        Field::Reasoning,
        Field::CostTotal,
        Field::CostInput,
        Field::CostOutput,
    ];

    /// What values of this field look like.
    pub fn sort(self) -> Sort {
        match self {
            Field::Provider => Sort::Provider,
            Field::RequestModel | Field::ResponseModel | Field::ModelName => Sort::Model,
            Field::ToolArguments | Field::ToolResult | Field::FinishReasons => Sort::Any,
            Field::HttpStatus
            | Field::InputTokens
            | Field::OutputTokens
            | Field::TotalTokens
            | Field::CacheRead
            | Field::CacheWrite
            | Field::Reasoning => Sort::Count,
            Field::TtftSeconds
            | Field::TtftMillis
            | Field::CostTotal
            | Field::CostInput
            | Field::CostOutput => Sort::Number,
            _ => Sort::Text,
        }
    }

    /// The name under which `LlmView::sources` tells where the value came from; `None` for fields
    /// that only help to find others.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Field::Provider => "provider",
            Field::RequestModel => "request_model",
            Field::ResponseModel => "response_model",
            Field::Session => "session_id",
            Field::Conversation => "conversation_id",
            Field::User => "user_id",
            Field::AgentName => "agent.name",
            Field::AgentId => "agent.id",
            Field::WorkflowName => "workflow",
            Field::ToolName => "tool.name",
            Field::ToolCallId => "tool.call_id",
            Field::ToolDescription => "tool.description",
            Field::ToolArguments => "tool.arguments",
            Field::ToolResult => "tool.result",
            Field::Environment => "environment",
            Field::ResponseId => "response_id",
            Field::FinishReasons => "finish_reasons",
            Field::ErrorType => "error_type",
            Field::InputTokens => "usage.input",
            Field::OutputTokens => "usage.output",
            Field::TotalTokens => "usage.total",
            Field::CacheRead => "usage.cache_read",
            Field::CacheWrite => "usage.cache_write",
            Field::Reasoning => "usage.reasoning",
            Field::TtftSeconds | Field::TtftMillis => "time_to_first_token",
            Field::CostTotal | Field::CostInput | Field::CostOutput => "cost",
            Field::ModelName
            | Field::GraphNode
            | Field::EntityName
            | Field::ErrorMessage
            | Field::HttpStatus
            | Field::HttpMethod
            | Field::ServiceTier
            | Field::RequestType => return None,
        })
    }
}

/// What makes a value meaningful (rules P2, P6, T5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Text that is not empty, or a number or truth value written as text.
    Text,
    /// As text, but neither `unknown`, `_OTHER` nor `none`.
    Model,
    /// As a model, and not the name of a framework.
    Provider,
    /// A whole number from 0 to 2^53.
    Count,
    /// A finite number, not negative.
    Number,
    /// Anything that is not empty.
    Any,
}

/// A key that tells the kind of operation by its value.
pub struct KindRow {
    /// The item of semconv §4 (times ten, so that there is room between).
    pub rank: u16,
    pub key: &'static str,
    /// Values with what they mean; others are not an answer, and the next rule is asked.
    pub values: &'static [(&'static str, Answer)],
    /// Whether values are compared without regard to case.
    pub any_case: bool,
}

/// What a value says about the kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This one.
    Is(Operation),
    /// A link of a chain, which has no kind of its own (rule K3).
    Chain,
    /// A call to a model: a completion if there are prompts but no messages, else a chat.
    Call,
    /// A completion, unless messages with roles show that it is a chat.
    Completion,
    /// No kind, and no other rule is asked.
    NoKind,
}

/// One place where inputs or outputs are found.
#[derive(Clone, Copy)]
pub struct Source {
    /// The item of semconv §7.2 (times ten).
    pub rank: u16,
    pub side: Side,
    /// The key; for [`Shape::Flattened`] the start of the keys.
    pub key: &'static str,
    pub shape: Shape,
}

/// Whether a source is about what went in, what came out, or the system text beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Input,
    Output,
    System,
}

/// What a source looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An array of messages (or of parts, for the system side), as JSON or as a structured value.
    Messages,
    /// Keys with indices: `<key>N.role`, `<key>N.content` and so on.
    Flattened,
    /// A value of any form; JSON that is a provider's request or response holds messages.
    Value,
    /// As a value, but on a call to a model its text is one message.
    Text,
}

/// A source of this shape.
pub const fn source(rank: u16, side: Side, shape: Shape, key: &'static str) -> Source {
    Source { rank, side, key, shape }
}

/// A key that is a parameter of the call; `name` is the canonical one. A row without a name is a
/// JSON object of parameters.
#[derive(Clone, Copy)]
pub struct Parameter {
    pub name: &'static str,
    pub rank: u16,
    pub key: &'static str,
}

/// The value of `key` is the parameter `name`.
pub const fn parameter(name: &'static str, rank: u16, key: &'static str) -> Parameter {
    Parameter { name, rank, key }
}

/// Where tool definitions are found.
#[derive(Clone, Copy)]
pub struct Tools {
    pub rank: u16,
    /// The key, or the start of the keys if it ends in a dot.
    pub key: &'static str,
}

/// Where documents are found.
#[derive(Clone, Copy)]
pub struct Documents {
    pub rank: u16,
    /// The key, or the start of the keys if it ends in a dot.
    pub key: &'static str,
}
