//! What is odd about a whole trace, and what to do about it.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use spanwise_model::genai::Operation;
use spanwise_model::{RowRole, SpanId, StoredSpan, Value};

use crate::normalize::reading::Reading;
use crate::normalize::table::Field;
use crate::sanitize;

/// Something a person should know about a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// A stable word, such as `orphan`.
    pub kind: &'static str,
    /// The span it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_id: Option<SpanId>,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

/// Clocks that differ by less are not worth a word.
const SKEW_NS: u64 = 1_000_000;
/// This many calls in a row of one tool with the same arguments are a loop.
const LOOP_CALLS: usize = 3;
/// Of one kind of finding, this many are listed one by one; the rest is counted.
const MAX_OF_A_KIND: usize = 20;

type Rule = fn(&Trace<'_>) -> Vec<Diagnostic>;

const RULES: [Rule; 8] = [
    missing_parents,
    roots,
    parent_cycles,
    duplicate_ids,
    clock_skew,
    dropped,
    loops,
    unpriced_models,
];

/// Looks at the rows of one trace, in any order.
pub fn diagnose(rows: &[StoredSpan]) -> Vec<Diagnostic> {
    let trace = Trace::new(rows);
    if trace.spans.is_empty() {
        return Vec::new();
    }
    RULES.iter().flat_map(|rule| shortened(rule(&trace))).collect()
}

/// The spans of a trace, in order of their start.
struct Trace<'a> {
    spans: Vec<&'a StoredSpan>,
    by_id: HashMap<SpanId, &'a StoredSpan>,
}

impl<'a> Trace<'a> {
    fn new(rows: &'a [StoredSpan]) -> Self {
        let mut spans: Vec<_> = rows.iter().filter(|row| row.role == RowRole::Span).collect();
        spans.sort_by_key(|row| (row.span.start_time_unix_nano, row.span.span_id));
        let by_id = spans.iter().map(|row| (row.span.span_id, *row)).collect();
        Trace { spans, by_id }
    }

    fn parent(&self, row: &StoredSpan) -> Option<&'a StoredSpan> {
        row.span.parent_span_id.and_then(|id| self.by_id.get(&id).copied())
    }
}

fn shortened(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    if found.len() > MAX_OF_A_KIND {
        let n_more = found.len() - MAX_OF_A_KIND;
        found.truncate(MAX_OF_A_KIND);
        let last = &found[MAX_OF_A_KIND - 1];
        let (kind, fix) = (last.kind, last.fix.clone());
        found.push(Diagnostic { kind, span_id: None, message: format!("and {n_more} more"), fix });
    }
    found
}

fn finding(
    kind: &'static str,
    span_id: Option<SpanId>,
    message: String,
    fix: &'static str,
) -> Diagnostic {
    Diagnostic { kind, span_id, message, fix: fix.to_owned() }
}

/// Spans whose parent is not there, one finding per missing parent.
fn missing_parents(trace: &Trace<'_>) -> Vec<Diagnostic> {
    let mut orphans: Vec<(SpanId, SpanId, usize)> = Vec::new();
    let mut place_of = HashMap::new();
    for row in &trace.spans {
        let Some(parent) = row.span.parent_span_id else { continue };
        if trace.by_id.contains_key(&parent) {
            continue;
        }
        let place = *place_of.entry(parent).or_insert_with(|| {
            orphans.push((parent, row.span.span_id, 0));
            orphans.len() - 1
        });
        orphans[place].2 += 1;
    }
    let describe = |(parent, first, n): (SpanId, SpanId, usize)| {
        let spans = if n == 1 { "a span names".to_owned() } else { format!("{n} spans name") };
        let message = format!("{spans} the parent {parent}, which is not in this trace");
        let fix = "the parent may still be running, may have been sampled out, or may have been \
                   sent to another backend: check that every service exports here and flushes \
                   before it ends";
        finding("orphan", Some(first), message, fix)
    };
    orphans.into_iter().map(describe).collect()
}

fn roots(trace: &Trace<'_>) -> Vec<Diagnostic> {
    let roots = trace.spans.iter().filter(|row| row.span.parent_span_id.is_none());
    let names: Vec<&str> = roots.clone().map(|row| &*row.span.name).collect();
    match names.as_slice() {
        [] => {
            let message = "no span of this trace is a root".to_owned();
            let fix = "the root usually arrives last; if it never does, the process that started \
                       the trace does not export here or ended without a flush";
            vec![finding("missing_root", None, message, fix)]
        }
        [_] => Vec::new(),
        several => {
            let second = roots.map(|row| row.span.span_id).nth(1);
            let message = format!(
                "{} spans have no parent: {}",
                several.len(),
                several[..several.len().min(5)].join(", ")
            );
            let fix = "start these spans inside one parent, or give each its own trace";
            vec![finding("several_roots", second, message, fix)]
        }
    }
}

/// Chains of parents that come back to where they started.
fn parent_cycles(trace: &Trace<'_>) -> Vec<Diagnostic> {
    let mut is_sound: HashSet<SpanId> = HashSet::new();
    let mut found = Vec::new();
    for row in &trace.spans {
        let mut path = Vec::new();
        let mut on_path = HashSet::new();
        let mut next = Some(*row);
        while let Some(row) = next {
            let id = row.span.span_id;
            if is_sound.contains(&id) {
                break;
            }
            if !on_path.insert(id) {
                let fix = "a span cannot be its own ancestor: check how span ids are made and \
                           passed on";
                let message = "the parents of this span lead back to itself".to_owned();
                found.push(finding("parent_cycle", Some(id), message, fix));
                break;
            }
            path.push(id);
            next = trace.parent(row);
        }
        is_sound.extend(path);
    }
    found
}

fn duplicate_ids(trace: &Trace<'_>) -> Vec<Diagnostic> {
    let mut seen = HashMap::new();
    for row in &trace.spans {
        *seen.entry((row.span.span_id, row.span.kind as u8)).or_insert(0_usize) += 1;
    }
    let mut reported = HashSet::new();
    let is_repeated = |row: &&&StoredSpan| {
        let n_copies = seen.get(&(row.span.span_id, row.span.kind as u8)).copied().unwrap_or(0);
        let is_marked = row.warnings.iter().any(|w| w.kind == sanitize::DUPLICATE_ID);
        n_copies > 1 || is_marked
    };
    let repeated = trace.spans.iter().filter(is_repeated).map(|row| row.span.span_id);
    let fix = "span ids must be unique within a trace: check for a fixed random seed, a forked \
               process, or an exporter that sends changed copies";
    repeated
        .filter(|id| reported.insert(*id))
        .map(|id| {
            let message = "several different spans have this id; all are shown".to_owned();
            finding(sanitize::DUPLICATE_ID, Some(id), message, fix)
        })
        .collect()
}

/// A child that starts before its parent, or a served request that outlasts the call that waits
/// for it: the clocks of two machines disagree.
fn clock_skew(trace: &Trace<'_>) -> Vec<Diagnostic> {
    let fix = "synchronise the clocks of the two machines; durations are right, positions are not";
    let describe = |row: &&StoredSpan| {
        let parent = trace.parent(row)?;
        let (child, parent) = (&row.span, &parent.span);
        let early = parent.start_time_unix_nano.saturating_sub(child.start_time_unix_nano);
        if early > SKEW_NS {
            let message = format!("starts {} ms before its parent", early / 1_000_000);
            return Some(finding("clock_skew", Some(child.span_id), message, fix));
        }
        let crosses = child.resource.service() != parent.resource.service();
        let waits = parent.kind == spanwise_model::Kind::Client
            && child.kind == spanwise_model::Kind::Server;
        let late = child.end_time_unix_nano.saturating_sub(parent.end_time_unix_nano);
        let started_late = child.start_time_unix_nano > parent.end_time_unix_nano;
        (crosses && waits && (late > SKEW_NS && started_late)).then(|| {
            let message = format!("ends {} ms after the call that waited for it", late / 1_000_000);
            finding("clock_skew", Some(child.span_id), message, fix)
        })
    };
    trace.spans.iter().filter_map(describe).collect()
}

/// What producers say that they had to leave out.
fn dropped(trace: &Trace<'_>) -> Vec<Diagnostic> {
    let describe = |row: &&StoredSpan| {
        let span = &row.span;
        let in_events: u64 =
            span.events.iter().map(|event| u64::from(event.dropped_attributes_count)).sum();
        let counts = [
            (u64::from(span.dropped_attributes_count) + in_events, "attributes"),
            (u64::from(span.dropped_events_count), "events"),
            (u64::from(span.dropped_links_count), "links"),
        ];
        let lost: Vec<String> =
            counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let fix = "raise the span limits of the SDK (OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT, \
                   OTEL_SPAN_EVENT_COUNT_LIMIT, OTEL_SPAN_LINK_COUNT_LIMIT)";
        (!lost.is_empty()).then(|| {
            let message = format!("its producer dropped {}", lost.join(", "));
            finding("dropped_attributes", Some(span.span_id), message, fix)
        })
    };
    trace.spans.iter().filter_map(describe).collect()
}

/// The same tool with the same arguments, again and again.
fn loops(trace: &Trace<'_>) -> Vec<Diagnostic> {
    let is_tool = |row: &&&StoredSpan| row.facts.operation == Some(Operation::Tool);
    let calls: Vec<(&StoredSpan, Option<Value>)> = trace
        .spans
        .iter()
        .filter(is_tool)
        .map(|row| (*row, Reading::new(&row.span).value(Field::ToolArguments).cloned()))
        .collect();
    let same = |a: &(&StoredSpan, Option<Value>), b: &(&StoredSpan, Option<Value>)| {
        a.0.facts.tool_name == b.0.facts.tool_name && a.1.is_some() && a.1 == b.1
    };
    let fix = "the agent does not learn from the answer: check what the tool returns on failure, \
               and limit the number of steps";
    calls
        .chunk_by(same)
        .filter(|run| run.len() >= LOOP_CALLS)
        .map(|run| {
            let (first, _) = &run[0];
            let tool = &first.facts.tool_name;
            let message =
                format!("{tool} was called {} times in a row with the same arguments", run.len());
            finding("loop", Some(first.span.span_id), message, fix)
        })
        .collect()
}

/// Calls with tokens but without a price, one finding per model.
fn unpriced_models(trace: &Trace<'_>) -> Vec<Diagnostic> {
    let mut reported = HashSet::new();
    let is_unpriced = |row: &&&StoredSpan| {
        let facts = &row.facts;
        facts.operation.is_some_and(Operation::is_model_call)
            && facts.usage.is_known()
            && facts.cost.is_none()
            && !facts.model().is_empty()
    };
    let fix = "add the model to the price table; until then the cost of this trace is incomplete";
    trace
        .spans
        .iter()
        .filter(is_unpriced)
        .filter(|row| reported.insert(row.facts.model().clone()))
        .map(|row| {
            let message = format!("no price is known for the model {:?}", &**row.facts.model());
            finding("unpriced_model", Some(row.span.span_id), message, fix)
        })
        .collect()
}

#[cfg(test)]
mod tests;
