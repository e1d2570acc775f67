//! The live index as queries see it: rows of one project, by trace.

use std::collections::HashMap;

use spanwise_model::summary::{SpanBrief, TraceSummary, summarize};
use spanwise_model::{RowRole, SpanId, StoredSpan, TraceId};

use super::super::{Filter, TimeRange};
use super::to_i64;
use crate::live::View;
use crate::segment::Matcher;

/// The part of a trace that is live.
#[derive(Debug)]
pub struct LiveTrace<'a> {
    pub id: TraceId,
    /// Start of its first row.
    pub start: i64,
    pub rows: Vec<&'a StoredSpan>,
}

/// The live traces of a project, oldest first.
#[derive(Debug)]
pub struct LiveTraces<'a> {
    pub traces: Vec<LiveTrace<'a>>,
    by_id: HashMap<TraceId, usize>,
}

impl<'a> LiveTraces<'a> {
    /// Sorts the rows of the live index into traces.
    pub fn of(view: &'a View, project: &str) -> Self {
        let mut traces: Vec<LiveTrace<'a>> = vec![];
        let mut by_id: HashMap<TraceId, usize> = HashMap::new();
        for row in view.iter().filter(|row| *row.project == *project) {
            let id = row.span.trace_id;
            let start = to_i64(row.span.start_time_unix_nano);
            let at = *by_id.entry(id).or_insert_with(|| {
                traces.push(LiveTrace { id, start, rows: vec![] });
                traces.len() - 1
            });
            traces[at].start = traces[at].start.min(start);
            traces[at].rows.push(row);
        }
        traces.sort_unstable_by_key(|trace| (trace.start, trace.id));
        by_id = traces.iter().enumerate().map(|(at, trace)| (trace.id, at)).collect();
        LiveTraces { traces, by_id }
    }

    /// The live rows of a trace.
    pub fn rows(&self, id: TraceId) -> &[&'a StoredSpan] {
        self.by_id.get(&id).map_or(&[], |at| &self.traces[*at].rows)
    }
}

impl LiveTrace<'_> {
    /// Whether one of its spans satisfies the filter, or one of its log records is what a text
    /// search is for.
    pub fn matches(&self, filter: &Filter) -> bool {
        let texts = filter.text_queries();
        if texts.is_empty() {
            return self.rows.iter().any(|r| r.role == RowRole::Span && filter.matches(r));
        }
        let mut logs: HashMap<SpanId, Vec<&StoredSpan>> = HashMap::new();
        for log in self.rows.iter().filter(|row| row.role == RowRole::LogEvent) {
            logs.entry(log.span.span_id).or_default().push(log);
        }
        self.rows.iter().any(|row| match row.role {
            RowRole::Span => {
                let own = logs.get(&row.span.span_id);
                filter.matches_with_logs(row, own.map_or(&[], Vec::as_slice))
            }
            RowRole::LogEvent => {
                texts.iter().any(|text| Matcher::new(text).matches_span(row)) && filter.matches(row)
            }
        })
    }

    /// The trace in one row, as far as it is live.
    pub fn summary(&self) -> Option<TraceSummary> {
        summary_of(&self.rows)
    }
}

/// The rows of one trace in one row. They are put in the order in which segments keep them, so
/// that the summary does not depend on where they lay.
pub fn summary_of(rows: &[&StoredSpan]) -> Option<TraceSummary> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| {
        (row.span.start_time_unix_nano, row.span.span_id, row.role == RowRole::LogEvent)
    });
    let first = rows.first()?;
    let briefs: Vec<SpanBrief<'_>> = rows.iter().map(|row| SpanBrief::from(*row)).collect();
    Some(summarize(first.project.clone(), first.span.trace_id, &briefs))
}

/// The live spans of a project that start within a range and satisfy a filter.
pub fn matching_spans<'a>(
    view: &'a View,
    project: &str,
    filter: &Filter,
    time: TimeRange,
) -> Vec<&'a StoredSpan> {
    let rows = || view.iter().filter(|row| *row.project == *project);
    let mut logs: HashMap<(TraceId, SpanId), Vec<&StoredSpan>> = HashMap::new();
    if !filter.text_queries().is_empty() {
        for row in rows().filter(|row| row.role == RowRole::LogEvent) {
            logs.entry((row.span.trace_id, row.span.span_id)).or_default().push(row);
        }
    }
    rows()
        .filter(|row| row.role == RowRole::Span)
        .filter(|row| (time.from..time.to).contains(&row.span.start_time_unix_nano))
        .filter(|row| {
            let own = logs.get(&(row.span.trace_id, row.span.span_id));
            filter.matches_with_logs(row, own.map_or(&[], Vec::as_slice))
        })
        .map(AsRef::as_ref)
        .collect()
}
