//! Whose tokens and money count, so that nothing counts twice (rules U1 to U3).

use std::collections::{HashMap, HashSet};

use super::SpanBrief;
use crate::SpanId;
use crate::genai::Operation;
use crate::tree::Ancestry;

/// What a trace used altogether. `None` means that nothing is known.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    pub(super) total_tokens: Option<u64>,
    pub(super) cost_nano_usd: Option<i64>,
    pub(super) cost_complete: bool,
}

impl Totals {
    /// The sum over the model calls, of nested ones the innermost. Agents and workflows often
    /// repeat the usage of what they called, so theirs counts only when no model call has any.
    pub(super) fn of(spans: &[&SpanBrief<'_>]) -> Self {
        let ancestry = Ancestry::of(spans.iter().map(|span| (span.span_id, span.parent_span_id)));
        let calls = without_twins(innermost_model_calls(spans, &ancestry));
        if calls.is_empty() { sum(&outermost(spans, &ancestry)) } else { sum(&calls) }
    }
}

fn sum(spans: &[&SpanBrief<'_>]) -> Totals {
    let mut totals = Totals { cost_complete: true, ..Totals::default() };
    for span in spans {
        let facts = &span.facts;
        add(&mut totals.input_tokens, facts.input_tokens);
        add(&mut totals.output_tokens, facts.output_tokens);
        add(&mut totals.total_tokens, total_tokens(span));
        match (&mut totals.cost_nano_usd, facts.cost_nano_usd) {
            (Some(sum), Some(cost)) => *sum = sum.saturating_add(cost),
            (sum @ None, cost) => *sum = cost,
            (Some(_), None) => {}
        }
        totals.cost_complete &= facts.cost_nano_usd.is_some() || total_tokens(span).is_none();
    }
    totals
}

fn add(sum: &mut Option<u64>, count: Option<u64>) {
    if let Some(count) = count {
        *sum = Some(sum.unwrap_or(0).saturating_add(count));
    }
}

fn total_tokens(span: &SpanBrief<'_>) -> Option<u64> {
    let facts = &span.facts;
    facts.total_tokens.or(match (facts.input_tokens, facts.output_tokens) {
        (None, None) => None,
        (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
    })
}

/// Whether a span says what it used.
fn is_metered(span: &SpanBrief<'_>) -> bool {
    total_tokens(span).is_some() || span.facts.cost_nano_usd.is_some()
}

/// What model calls do to each other: a call repeats the usage of one of its own sort below it,
/// but an embedding within a chat is a call of its own.
fn sort_of_call(span: &SpanBrief<'_>) -> Option<u8> {
    match span.facts.operation? {
        Operation::Chat | Operation::Completion => Some(1),
        Operation::Embedding => Some(2),
        Operation::Rerank => Some(4),
        _ => None,
    }
}

/// The metered model calls that have no metered call of the same sort below them with only
/// ordinary spans (such as HTTP) between. A tool or an agent between makes them two calls.
fn innermost_model_calls<'s, 'a>(
    spans: &[&'s SpanBrief<'a>],
    ancestry: &Ancestry,
) -> Vec<&'s SpanBrief<'a>> {
    // For each span, the sorts of metered calls that reach it from below.
    let mut below = vec![0_u8; spans.len()];
    for index in ancestry.children_first() {
        let span = spans[index];
        let passed_up = match (sort_of_call(span), span.facts.operation) {
            (Some(sort), _) if is_metered(span) => sort,
            (Some(sort), _) => below[index] & sort,
            (None, None) => below[index],
            (None, Some(_)) => 0,
        };
        if let Some(parent) = ancestry.parent(index) {
            below[parent] |= passed_up;
        }
    }
    let counts = |(span, below): &(&&SpanBrief<'_>, u8)| {
        is_metered(span) && sort_of_call(span).is_some_and(|sort| below & sort == 0)
    };
    spans.iter().zip(below).filter(counts).map(|(span, _)| *span).collect()
}

/// How far the token counts of two records of one call differ at most.
const TWIN_TOKENS: u64 = 2;
/// How far the longer record may fail to enclose the shorter one.
const TWIN_NS: u64 = 5_000_000;

/// Leaves one of two siblings by which two instrumentations recorded one call: a stream is often
/// read when the span of who asked for it is no longer current. Expects calls in order of time.
fn without_twins<'s, 'a>(calls: Vec<&'s SpanBrief<'a>>) -> Vec<&'s SpanBrief<'a>> {
    let scopes: HashSet<&str> = calls.iter().map(|call| call.scope).collect();
    if scopes.len() < 2 {
        return calls;
    }
    // Under each parent the calls that have no twin yet, and may still have one.
    let mut single: HashMap<Option<SpanId>, Vec<&SpanBrief<'a>>> = HashMap::new();
    let mut kept = Vec::with_capacity(calls.len());
    for call in calls {
        let siblings = single.entry(call.parent_span_id).or_default();
        let start = call.start_time_unix_nano;
        siblings.retain(|other| other.end().saturating_add(TWIN_NS) >= start);
        if let Some(at) = siblings.iter().position(|other| is_twin(other, call)) {
            siblings.swap_remove(at);
        } else {
            siblings.push(call);
            kept.push(call);
        }
    }
    kept
}

/// Rule U3; `first` did not start after `second`.
fn is_twin(first: &SpanBrief<'_>, second: &SpanBrief<'_>) -> bool {
    let near = |a: Option<u64>, b: Option<u64>| {
        a.unwrap_or_default().abs_diff(b.unwrap_or_default()) <= TWIN_TOKENS
    };
    let (one, other) = (&first.facts, &second.facts);
    let starts_together =
        first.start_time_unix_nano.abs_diff(second.start_time_unix_nano) <= TWIN_NS;
    let encloses = second.end() <= first.end().saturating_add(TWIN_NS)
        || (starts_together && first.end() <= second.end().saturating_add(TWIN_NS));
    first.scope != second.scope
        && sort_of_call(first) == sort_of_call(second)
        && (one.provider, one.model) == (other.provider, other.model)
        && near(one.input_tokens, other.input_tokens)
        && near(one.output_tokens, other.output_tokens)
        && encloses
}

/// The metered spans with no metered span above them.
fn outermost<'s, 'a>(spans: &[&'s SpanBrief<'a>], ancestry: &Ancestry) -> Vec<&'s SpanBrief<'a>> {
    let mut covered = vec![false; spans.len()];
    let mut outermost = Vec::new();
    for index in ancestry.children_first().rev() {
        let above = ancestry.parent(index);
        covered[index] = above.is_some_and(|parent| covered[parent]);
        if !covered[index] && is_metered(spans[index]) {
            covered[index] = true;
            outermost.push(spans[index]);
        }
    }
    outermost
}
