//! What a person says to us directly: it overrides every other dialect.

use spanwise_model::genai::Operation;

use crate::normalize::table::{Answer, Dialect, KindRow};

pub static DIALECT: Dialect = Dialect {
    name: "spanwise",
    signals: &["spanwise.kind"],
    kinds: &[KindRow { rank: 10, key: "spanwise.kind", values: &VALUES, any_case: false }],
    ..Dialect::EMPTY
};

/// The canonical names.
const VALUES: [(&str, Answer); 11] = [
    ("chat", Answer::Is(Operation::Chat)),
    ("completion", Answer::Is(Operation::Completion)),
    ("embedding", Answer::Is(Operation::Embedding)),
    ("rerank", Answer::Is(Operation::Rerank)),
    ("tool", Answer::Is(Operation::Tool)),
    ("agent", Answer::Is(Operation::Agent)),
    ("workflow", Answer::Is(Operation::Workflow)),
    ("task", Answer::Is(Operation::Task)),
    ("retriever", Answer::Is(Operation::Retriever)),
    ("guardrail", Answer::Is(Operation::Guardrail)),
    ("evaluator", Answer::Is(Operation::Evaluator)),
];
