//! A trace in one row: what lists show.

use std::sync::Arc;

use crate::{SpanId, StoredSpan, Str, TraceId};

/// A trace in one row. Sums follow the roll-up rules (U1, U2): model calls count, and of nested
/// model calls the innermost.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct TraceSummary {
    pub trace_id: TraceId,
    pub project: Arc<str>,
    /// Name of the root span; of the earliest span while the root is missing.
    pub root_name: Str,
    pub root_service: Str,
    pub root_span_id: Option<SpanId>,
    /// Distinct service names in order of first appearance.
    pub services: Vec<Str>,
    pub start_time_unix_nano: u64,
    pub end_time_unix_nano: u64,
    pub span_count: u64,
    pub error_count: u64,
    /// Whether the root (or, without one, any span) is in error.
    pub is_error: bool,
    /// Distinct models of model calls in order of first appearance.
    pub models: Vec<Str>,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    pub total_tokens: Option<u64>,
    pub cost_nano_usd: Option<i64>,
    /// Whether every model call with usage has a cost.
    pub cost_complete: bool,
    pub session_id: Str,
    pub user_id: Str,
    pub workflow: Str,
    pub agents: Vec<Str>,
    pub input_preview: Str,
    pub output_preview: Str,
    /// False while the root has not arrived.
    pub complete: bool,
}

impl TraceSummary {
    /// Last end minus first start, nanoseconds.
    pub fn duration_ns(&self) -> u64 {
        self.end_time_unix_nano.saturating_sub(self.start_time_unix_nano)
    }
}

/// What a summary needs of a span. The store fills it from narrow columns.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct SpanBrief<'a> {
    pub span_id: SpanId,
    pub parent_span_id: Option<SpanId>,
    pub name: &'a str,
    pub service: &'a str,
    pub start_time_unix_nano: u64,
    pub end_time_unix_nano: u64,
    pub is_error: bool,
    pub is_log_event: bool,
    pub facts: FactsBrief<'a>,
}

/// The part of [`crate::genai::Facts`] that a summary needs.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct FactsBrief<'a> {
    pub operation: Option<crate::genai::Operation>,
    pub model: &'a str,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    pub total_tokens: Option<u64>,
    pub cost_nano_usd: Option<i64>,
    pub session_id: &'a str,
    pub user_id: &'a str,
    pub workflow_name: &'a str,
    pub agent_name: &'a str,
    pub input_preview: &'a str,
    pub output_preview: &'a str,
    pub input_is_message: bool,
    pub output_is_message: bool,
}

impl<'a> From<&'a StoredSpan> for SpanBrief<'a> {
    fn from(stored: &'a StoredSpan) -> Self {
        let facts = &stored.facts;
        SpanBrief {
            span_id: stored.span.span_id,
            parent_span_id: stored.span.parent_span_id,
            name: &stored.span.name,
            service: stored.span.resource.service(),
            start_time_unix_nano: stored.span.start_time_unix_nano,
            end_time_unix_nano: stored.span.end_time_unix_nano,
            is_error: stored.span.status.code == crate::span::StatusCode::Error,
            is_log_event: stored.role == crate::RowRole::LogEvent,
            facts: FactsBrief {
                operation: facts.operation,
                model: facts.model(),
                input_tokens: facts.usage.input,
                output_tokens: facts.usage.output,
                total_tokens: facts.usage.total,
                cost_nano_usd: facts.cost.map(|cost| cost.nano_usd),
                session_id: &facts.session_id,
                user_id: &facts.user_id,
                workflow_name: &facts.workflow_name,
                agent_name: &facts.agent_name,
                input_preview: &facts.input_preview,
                output_preview: &facts.output_preview,
                input_is_message: facts.input_is_message,
                output_is_message: facts.output_is_message,
            },
        }
    }
}
