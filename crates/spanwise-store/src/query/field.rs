//! The fields a search can name: their names, and what sort of values they have.

use super::Field;

/// What sort of value a field has, and so how a search for it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// Any text.
    Text,
    /// One of a few words.
    Word(&'static [&'static str]),
    /// A number in this unit.
    Number(Unit),
    /// This many hexadecimal digits.
    Id(usize),
    /// Whatever the producer recorded: text, numbers, true and false.
    Recorded,
}

/// The unit in which a numeric field is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds; a search without a unit means milliseconds.
    Duration,
    /// Nano-dollars; a search means dollars.
    Cost,
    /// A count.
    Tokens,
}

const KINDS: &[&str] = &["unspecified", "internal", "server", "client", "producer", "consumer"];
const STATUSES: &[&str] = &["unset", "ok", "error"];
const OPERATIONS: &[&str] = &[
    "chat",
    "completion",
    "embedding",
    "rerank",
    "tool",
    "agent",
    "workflow",
    "task",
    "retriever",
    "guardrail",
    "evaluator",
];

impl Field {
    /// Every field but the attributes, in the order in which a person is told of them.
    pub const BUILT_IN: [Field; 24] = [
        Field::Service,
        Field::Name,
        Field::Kind,
        Field::Status,
        Field::Operation,
        Field::Model,
        Field::Provider,
        Field::Duration,
        Field::Cost,
        Field::Tokens,
        Field::InputTokens,
        Field::OutputTokens,
        Field::TimeToFirstToken,
        Field::Session,
        Field::User,
        Field::Agent,
        Field::Tool,
        Field::Workflow,
        Field::Finish,
        Field::Error,
        Field::Environment,
        Field::Project,
        Field::TraceId,
        Field::SpanId,
    ];

    /// The built-in field of this name in any case, else the attribute with this key.
    pub fn from_name(name: &str) -> Field {
        let built_in = Field::BUILT_IN.into_iter().find(|f| f.name().eq_ignore_ascii_case(name));
        built_in.unwrap_or_else(|| Field::Attribute(name.to_owned()))
    }

    /// Its name in the search language; an attribute's key as it is.
    pub fn name(&self) -> &str {
        match self {
            Field::Service => "service",
            Field::Name => "name",
            Field::Kind => "kind",
            Field::Status => "status",
            Field::Operation => "operation",
            Field::Model => "model",
            Field::Provider => "provider",
            Field::Duration => "duration",
            Field::Cost => "cost",
            Field::Tokens => "tokens",
            Field::InputTokens => "input_tokens",
            Field::OutputTokens => "output_tokens",
            Field::TimeToFirstToken => "ttft",
            Field::Session => "session",
            Field::User => "user",
            Field::Agent => "agent",
            Field::Tool => "tool",
            Field::Workflow => "workflow",
            Field::Finish => "finish",
            Field::Error => "error",
            Field::Environment => "environment",
            Field::Project => "project",
            Field::TraceId => "trace_id",
            Field::SpanId => "span_id",
            Field::Attribute(key) => key,
        }
    }

    /// What sort of values it has.
    pub fn value_type(&self) -> FieldType {
        match self {
            Field::Kind => FieldType::Word(KINDS),
            Field::Status => FieldType::Word(STATUSES),
            Field::Operation => FieldType::Word(OPERATIONS),
            Field::Duration | Field::TimeToFirstToken => FieldType::Number(Unit::Duration),
            Field::Cost => FieldType::Number(Unit::Cost),
            Field::Tokens | Field::InputTokens | Field::OutputTokens => {
                FieldType::Number(Unit::Tokens)
            }
            Field::TraceId => FieldType::Id(32),
            Field::SpanId => FieldType::Id(16),
            Field::Attribute(_) => FieldType::Recorded,
            _ => FieldType::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use spanwise_model::genai::Operation;
    use spanwise_model::span::{Kind, StatusCode};

    use super::*;

    #[test]
    fn the_words_of_a_search_are_those_of_the_model() {
        assert_eq!(OPERATIONS, Operation::ALL.map(Operation::as_str));
        let kinds: Vec<_> = (0..6).map(|n| Kind::from_number(n).as_str()).collect();
        assert_eq!(KINDS, kinds);
        let statuses: Vec<_> = (0..3).map(|n| StatusCode::from_number(n).as_str()).collect();
        assert_eq!(STATUSES, statuses);
    }

    #[test]
    fn names_lead_back_to_fields() {
        for field in Field::BUILT_IN {
            assert_eq!(Field::from_name(field.name()), field);
        }
        assert_eq!(Field::from_name("TTFT"), Field::TimeToFirstToken);
        assert_eq!(Field::from_name("http.route"), Field::Attribute("http.route".into()));
    }
}
