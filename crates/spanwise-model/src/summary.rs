//! A trace in one row: what lists show.

mod usage;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::genai::Operation;
use crate::{SpanId, StoredSpan, Str, TraceId};

/// Puts a trace into one row. `spans` may come in any order, with their log events among them.
pub fn summarize(project: Arc<str>, trace_id: TraceId, spans: &[SpanBrief<'_>]) -> TraceSummary {
    let mut ordered: Vec<&SpanBrief<'_>> = spans.iter().collect();
    ordered.sort_by_key(|span| span.start_time_unix_nano);
    let (logs, spans): (Vec<&SpanBrief<'_>>, Vec<&SpanBrief<'_>>) =
        ordered.iter().partition(|span| span.is_log_event);
    // A trace of which only log events have arrived still has a time and a service.
    let timed = if spans.is_empty() { &logs } else { &spans };
    let root = spans.iter().find(|span| span.parent_span_id.is_none()).copied();
    let face = root.or_else(|| timed.first().copied());
    let totals = usage::Totals::of(&spans);
    TraceSummary {
        trace_id,
        project,
        root_name: face.map(|span| span.name).unwrap_or_default().into(),
        root_service: face.map(|span| span.service).unwrap_or_default().into(),
        root_span_id: root.map(|span| span.span_id),
        services: distinct(timed.iter().map(|span| span.service)),
        start_time_unix_nano: timed.first().map_or(0, |span| span.start_time_unix_nano),
        end_time_unix_nano: timed.iter().map(|span| span.end()).max().unwrap_or(0),
        span_count: spans.len() as u64,
        error_count: spans.iter().filter(|span| span.is_error).count() as u64,
        is_error: root.map_or_else(|| spans.iter().any(|span| span.is_error), |root| root.is_error),
        models: distinct(model_calls(&spans).map(|span| span.facts.model)),
        input_tokens: totals.input_tokens,
        output_tokens: totals.output_tokens,
        total_tokens: totals.total_tokens,
        cost_nano_usd: totals.cost_nano_usd,
        cost_complete: totals.cost_complete,
        session_id: inherited(root, &ordered, |facts| facts.session_id),
        user_id: inherited(root, &ordered, |facts| facts.user_id),
        workflow: inherited(root, &ordered, |facts| facts.workflow_name),
        agents: distinct(ordered.iter().map(|span| span.facts.agent_name)),
        input_preview: preview(INPUT, root, conversations(&spans), &logs).into(),
        output_preview: preview(OUTPUT, root, conversations(&spans).rev(), &logs).into(),
        complete: root.is_some_and(|root| !root.is_running),
    }
}

fn model_calls<'s, 'a>(
    spans: &'s [&'s SpanBrief<'a>],
) -> impl DoubleEndedIterator<Item = &'s SpanBrief<'a>> {
    let is_model_call =
        |span: &&SpanBrief<'_>| span.facts.operation.is_some_and(Operation::is_model_call);
    spans.iter().copied().filter(is_model_call)
}

/// The model calls that answer somebody; embedding and reranking do not.
fn conversations<'s, 'a>(
    spans: &'s [&'s SpanBrief<'a>],
) -> impl DoubleEndedIterator<Item = &'s SpanBrief<'a>> {
    let answers = [Some(Operation::Chat), Some(Operation::Completion)];
    spans.iter().copied().filter(move |span| answers.contains(&span.facts.operation))
}

/// The texts that are not empty, each once, in order of first appearance.
fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<Str> {
    let mut seen = HashSet::new();
    texts.filter(|text| !text.is_empty() && seen.insert(*text)).map(Str::from).collect()
}

/// A value of the root, else of the earliest span that has it (rule C2).
fn inherited<'a>(
    root: Option<&SpanBrief<'a>>,
    ordered: &[&SpanBrief<'a>],
    value: impl Fn(&FactsBrief<'a>) -> &'a str,
) -> Str {
    root.into_iter()
        .chain(ordered.iter().copied())
        .map(|span| value(&span.facts))
        .find(|text| !text.is_empty())
        .unwrap_or_default()
        .into()
}

/// One side of a conversation: its preview, and whether that is a message.
type Side = for<'f, 'a> fn(&'f FactsBrief<'a>) -> (&'a str, bool);

const INPUT: Side = |facts| (facts.input_preview, facts.input_is_message);
const OUTPUT: Side = |facts| (facts.output_preview, facts.output_is_message);

/// What the root says on this side, else the first of `calls` that says something.
fn preview<'s, 'a: 's>(
    side: Side,
    root: Option<&'s SpanBrief<'a>>,
    calls: impl Iterator<Item = &'s SpanBrief<'a>>,
    logs: &[&SpanBrief<'a>],
) -> &'a str {
    let mut logged: HashMap<SpanId, &'a str> = HashMap::new();
    for log in logs {
        let (text, _) = side(&log.facts);
        if !text.is_empty() {
            logged.insert(log.span_id, text);
        }
    }
    root.into_iter()
        .chain(calls)
        .map(|span| match (side(&span.facts), logged.get(&span.span_id)) {
            ((message, true), _) if !message.is_empty() => message,
            (_, Some(message)) => *message,
            ((value, _), None) => value,
        })
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

/// A trace in one row. Sums follow the roll-up rules (U1 to U3): model calls count, of nested model
/// calls the innermost, and of a call that two instrumentations recorded one.
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
    /// False while the root has not ended, as far as is known: it has not arrived, or it was open
    /// when it was sent.
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
    /// The instrumentation that recorded it.
    pub scope: &'a str,
    pub start_time_unix_nano: u64,
    pub end_time_unix_nano: u64,
    pub is_error: bool,
    pub is_log_event: bool,
    /// As [`StoredSpan::is_running`].
    pub is_running: bool,
    pub facts: FactsBrief<'a>,
}

/// The part of [`crate::genai::Facts`] that a summary needs.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct FactsBrief<'a> {
    pub operation: Option<crate::genai::Operation>,
    pub provider: &'a str,
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

impl SpanBrief<'_> {
    /// Its end; its start where the end was not recorded or lies before it.
    fn end(&self) -> u64 {
        self.end_time_unix_nano.max(self.start_time_unix_nano)
    }
}

impl<'a> From<&'a StoredSpan> for SpanBrief<'a> {
    fn from(stored: &'a StoredSpan) -> Self {
        let facts = &stored.facts;
        SpanBrief {
            span_id: stored.span.span_id,
            parent_span_id: stored.span.parent_span_id,
            name: &stored.span.name,
            service: stored.span.resource.service(),
            scope: &stored.span.scope.name,
            start_time_unix_nano: stored.span.start_time_unix_nano,
            end_time_unix_nano: stored.span.end_time_unix_nano,
            is_error: stored.span.is_error(),
            is_log_event: stored.role == crate::RowRole::LogEvent,
            is_running: stored.is_running(),
            facts: FactsBrief {
                operation: facts.operation,
                provider: &facts.provider,
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

#[cfg(test)]
mod tests;
