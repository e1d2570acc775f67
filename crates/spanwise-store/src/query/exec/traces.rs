//! Lists of traces.
//!
//! Newest first is a threshold search: live index and segments each offer the parts of traces
//! that they hold, newest part first. A trace starts no later than any of its parts, so once
//! enough traces are known that start after the newest part still on offer, they are the answer.
//! Other orders look at every matching trace's number first, then at the few at the top.

use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::sync::Arc;

use spanwise_model::summary::TraceSummary;
use spanwise_model::{StoredSpan, TraceId};

use super::super::cursor::{TraceCursor, TraceKey};
use super::super::matches::tokens;
use super::super::segment_filter::{SegmentFilter, Wanted};
use super::super::{Detail, Page, QueryError, Sort, TimeRange, TraceQuery};
use super::live::{LiveTraces, summary_of};
use super::split::SplitTraces;
use super::{N_THREADS, has_project, in_parallel, overlaps, to_i64};
use crate::Snapshot;
use crate::segment::{Segment, TraceColumn};
use crate::store::superseded;

/// In orders other than time, so many traces are looked at one by one rather than to find out
/// first which of them lie in several places.
const FEW: usize = if cfg!(test) { 2 } else { 128 };

/// A page of traces in which a span satisfies the filter.
pub fn traces(snapshot: &Snapshot, query: &TraceQuery) -> Result<Page<TraceSummary>, QueryError> {
    let cursor = query.cursor.as_deref().map(|text| TraceCursor::decode(text, query.sort));
    let mut search = Search::new(snapshot, query, cursor.transpose()?)?;
    for id in search.cursor.as_ref().map(|cursor| cursor.carried.clone()).unwrap_or_default() {
        search.resolve(id, None)?;
    }
    match query.sort {
        Sort::StartTime => search.by_start()?,
        Sort::Duration => search.by_number(TraceColumn::Duration)?,
        Sort::Cost => search.by_number(TraceColumn::Cost)?,
        Sort::Tokens => search.by_number(TraceColumn::Tokens)?,
    }
    Ok(search.into_page())
}

/// Where a trace stands in an order other than time: its number and its start.
type Place = (i64, i64);

struct Search<'a> {
    snapshot: &'a Snapshot,
    query: &'a TraceQuery,
    cursor: Option<TraceCursor>,
    live: LiveTraces<'a>,
    sources: Vec<Source<'a>>,
    seen: HashSet<TraceId>,
    /// Matching traces by place; the last is the first of the list.
    found: BTreeMap<TraceKey, Found>,
}

struct Found {
    summary: TraceSummary,
    /// Whether parts of it lie in several places.
    in_parts: bool,
}

/// A segment that may hold matching traces.
struct Source<'a> {
    segment: &'a Segment,
    /// Where it is in the snapshot.
    position: usize,
    filter: SegmentFilter<'a>,
    starts: Arc<[i64]>,
    first_rows: Arc<[i64]>,
    projects: Arc<[i64]>,
    /// Index of the query's project.
    project: i64,
    /// How many row groups have not been looked at.
    n_groups: usize,
    /// Matching traces not yet taken, oldest first.
    ready: Vec<u32>,
}

/// What one segment says of a trace.
struct Part<'a> {
    segment: &'a Segment,
    start: i64,
    summary: TraceSummary,
}

/// A matching part of a trace.
#[derive(Clone, Copy)]
enum Candidate {
    /// By position in [`LiveTraces::traces`].
    Live(usize),
    /// By source and ordinal.
    Sealed(usize, u32),
}

impl<'a> Search<'a> {
    fn new(
        snapshot: &'a Snapshot,
        query: &'a TraceQuery,
        cursor: Option<TraceCursor>,
    ) -> Result<Self, QueryError> {
        let live = LiveTraces::of(&snapshot.live, &query.project);
        let mut search = Search {
            snapshot,
            query,
            cursor,
            live,
            sources: vec![],
            seen: HashSet::new(),
            found: BTreeMap::new(),
        };
        let time = search.part_times();
        for (position, segment) in snapshot.segments.iter().enumerate() {
            if overlaps(segment.meta(), time)
                && let Some(source) = Source::new(segment, position, query)?
            {
                search.sources.push(source);
            }
        }
        Ok(search)
    }

    /// When the parts start that can lead to a trace of this page.
    fn part_times(&self) -> TimeRange {
        let mut time = self.query.time;
        if let (Sort::StartTime, Some(cursor)) = (self.query.sort, &self.cursor) {
            time.to = time.to.min((cursor.last.start as u64).saturating_add(1));
        }
        time
    }

    /// How many traces settle the page: one more tells that there is a next one.
    fn n_wanted(&self) -> usize {
        self.query.limit.saturating_add(1)
    }

    fn by_start(&mut self) -> Result<(), QueryError> {
        let time = self.part_times();
        let mut n_live = self.live.traces.partition_point(|t| t.start < to_i64(time.to));
        let mut n_at_once = N_THREADS;
        loop {
            let batch = self.take_ready(&mut n_live, time);
            self.resolve_all(&batch)?;
            let (ready, unknown) = self.frontiers(time);
            let live = n_live.checked_sub(1).map(|newest| self.live.traces[newest].start);
            let frontier = ready.map(|(start, _)| start).max(unknown).max(live);
            if self.is_settled(frontier) {
                return Ok(());
            }
            if batch.len() < self.n_wanted() {
                self.evaluate(n_at_once, time)?;
                n_at_once = (n_at_once * 2).min(32);
            }
        }
    }

    /// Takes matching parts, newest first, as long as nothing unexamined could be newer. `n_live`
    /// is how many live traces have not been looked at.
    fn take_ready(&mut self, n_live: &mut usize, time: TimeRange) -> Vec<Candidate> {
        let mut batch = vec![];
        while batch.len() < self.n_wanted() {
            let (ready, unknown) = self.frontiers(time);
            let sealed = ready.map(|(start, _)| start).max(unknown);
            while let Some(newest) = n_live.checked_sub(1) {
                let trace = &self.live.traces[newest];
                if Some(trace.start) < sealed || batch.len() == self.n_wanted() {
                    break;
                }
                *n_live = if trace.start < to_i64(time.from) { 0 } else { newest };
                if *n_live == newest && trace.matches(&self.query.filter) {
                    batch.push(Candidate::Live(newest));
                }
            }
            match ready {
                Some((start, source)) if Some(start) > unknown => {
                    let ordinal = self.sources[source].ready.pop();
                    batch.extend(ordinal.map(|ordinal| Candidate::Sealed(source, ordinal)));
                }
                _ => break,
            }
        }
        batch
    }

    /// The newest part that is known to match, with its source; and the newest that may.
    fn frontiers(&self, time: TimeRange) -> (Option<(i64, usize)>, Option<i64>) {
        let ready = self.sources.iter().enumerate().filter_map(|(at, source)| {
            source.ready.last().map(|ordinal| (source.starts[*ordinal as usize], at))
        });
        let unknown = self.sources.iter().filter_map(|source| source.bound(source.n_groups, time));
        (ready.max(), unknown.max())
    }

    /// Whether enough traces are known that start after everything still on offer.
    fn is_settled(&self, frontier: Option<i64>) -> bool {
        let Some(frontier) = frontier else { return true };
        let decisive = self.found.keys().rev().nth(self.query.limit);
        decisive.is_some_and(|key| key.start > frontier)
    }

    /// Looks at the `n` row groups with the newest traces among those not looked at.
    fn evaluate(&mut self, n: usize, time: TimeRange) -> Result<(), QueryError> {
        let mut groups: Vec<(i64, usize, usize)> = vec![];
        for (at, source) in self.sources.iter().enumerate() {
            let bounds =
                (1..=source.n_groups).rev().map_while(|n| Some((source.bound(n, time)?, n)));
            groups.extend(bounds.take(n).map(|(bound, n_groups)| (bound, at, n_groups - 1)));
        }
        groups.sort_by_key(|(bound, _, group)| std::cmp::Reverse((*bound, *group)));
        groups.truncate(n);
        let matching = in_parallel(&groups, |(_, source, group)| {
            self.sources[*source].matching_traces(*group, time)
        })?;
        for ((_, source, group), mut older) in groups.into_iter().zip(matching) {
            let source = &mut self.sources[source];
            source.n_groups = source.n_groups.min(group);
            if older.last().is_some() && older.last() == source.ready.first() {
                older.pop();
            }
            source.ready.splice(0..0, older);
        }
        Ok(())
    }

    /// Looks at everything, then puts together the traces with the greatest numbers.
    fn by_number(&mut self, column: TraceColumn) -> Result<(), QueryError> {
        let candidates = self.matching()?;
        if candidates.len() <= FEW {
            return self.resolve_all(&candidates);
        }
        let mut highest_first = self.by_highest_place(&candidates, column)?;
        while !highest_first.is_empty() {
            let n = self.n_wanted();
            let top = std::iter::from_fn(|| highest_first.pop()).take(n);
            let top: Vec<Candidate> = top.map(|(_, at)| candidates[at]).collect();
            self.resolve_all(&top)?;
            let next = highest_first.peek().map(|(place, _)| *place);
            let decisive = self.found.keys().rev().nth(self.query.limit);
            if decisive.is_some_and(|key| Some((key.value, key.start)) > next) {
                break;
            }
        }
        Ok(())
    }

    /// Every matching part of a trace.
    fn matching(&self) -> Result<Vec<Candidate>, QueryError> {
        let time = self.query.time;
        let mut candidates: Vec<Candidate> = vec![];
        for (at, trace) in self.live.traces.iter().enumerate() {
            let in_time = (to_i64(time.from)..to_i64(time.to)).contains(&trace.start);
            if in_time && trace.matches(&self.query.filter) {
                candidates.push(Candidate::Live(at));
            }
        }
        let mut groups = vec![];
        for (at, source) in self.sources.iter().enumerate() {
            groups.extend((0..source.n_groups).map(|group| (at, group)));
        }
        let matching = in_parallel(&groups, |(source, group)| {
            self.sources[*source].matching_traces(*group, time)
        })?;
        for ((at, _), ordinals) in groups.iter().zip(matching) {
            candidates.extend(ordinals.into_iter().map(|o| Candidate::Sealed(*at, o)));
        }
        Ok(candidates)
    }

    /// Number and start of each candidate's trace, or what they are at most, with its index.
    /// Without those that are on earlier pages for certain.
    fn by_highest_place(
        &self,
        candidates: &[Candidate],
        column: TraceColumn,
    ) -> Result<BinaryHeap<(Place, usize)>, QueryError> {
        let split = SplitTraces::find(self.snapshot, &self.live, &self.query.project)?;
        let values = self.sources.iter().map(|source| source.segment.trace_column(column));
        let values: Vec<Arc<[i64]>> = values.collect::<Result<_, _>>()?;
        let at_most = |candidate: Candidate| match candidate {
            Candidate::Live(at) => split.live(at, column),
            Candidate::Sealed(at, o) => split.sealed(self.sources[at].position, o, column),
        };
        let exactly = |candidate: Candidate| match candidate {
            Candidate::Live(at) => {
                let trace = &self.live.traces[at];
                (trace.summary().map_or(i64::MIN, |s| number(column, &s)), trace.start)
            }
            Candidate::Sealed(at, ordinal) => {
                let ordinal = ordinal as usize;
                (values[at][ordinal], self.sources[at].starts[ordinal])
            }
        };
        let last = self.cursor.as_ref().map(|cursor| (cursor.last.value, cursor.last.start));
        let on_page = |place: &Place| last.is_none_or(|last| *place <= last);
        let place = |&candidate: &Candidate| {
            at_most(candidate).or_else(|| Some(exactly(candidate)).filter(on_page))
        };
        let places = candidates.iter().enumerate();
        Ok(places.filter_map(|(at, candidate)| Some((place(candidate)?, at))).collect())
    }

    fn resolve_all(&mut self, candidates: &[Candidate]) -> Result<(), QueryError> {
        let mut by_source: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for candidate in candidates {
            match *candidate {
                Candidate::Live(at) => self.resolve(self.live.traces[at].id, None)?,
                Candidate::Sealed(source, ordinal) => {
                    by_source.entry(source).or_default().push(ordinal);
                }
            }
        }
        for (source, mut ordinals) in by_source {
            ordinals.sort_unstable();
            ordinals.dedup();
            let segment = self.sources[source].segment;
            for (ordinal, summary) in ordinals.iter().zip(segment.summaries(&ordinals)?) {
                let start = self.sources[source].starts[*ordinal as usize];
                self.resolve(summary.trace_id, Some(Part { segment, start, summary }))?;
            }
        }
        Ok(())
    }

    /// Makes the summary of a matching trace from all places where parts of it lie.
    fn resolve(&mut self, id: TraceId, known: Option<Part<'a>>) -> Result<(), QueryError> {
        if !self.seen.insert(id) {
            return Ok(());
        }
        let project = &*self.query.project;
        let live = self.live.rows(id);
        let mut sealed: Vec<&'a Arc<Segment>> = vec![];
        for segment in &self.snapshot.segments {
            let is_known =
                known.as_ref().is_some_and(|p| std::ptr::eq(p.segment, segment.as_ref()));
            if is_known
                || has_project(segment.meta(), project)
                    && segment.trace_ordinal(project, id)?.is_some()
            {
                sealed.push(segment);
            }
        }
        let in_parts = sealed.len() + usize::from(!live.is_empty()) > 1;
        if let Some(part) = known.filter(|_| !in_parts) {
            self.admit(part.start, part.summary, in_parts);
            return Ok(());
        }
        let mut stored: Vec<StoredSpan> = vec![];
        for segment in &sealed {
            stored.extend(segment.trace(project, id, Detail::Outline)?);
        }
        let mut rows: Vec<&StoredSpan> = stored.iter().chain(live.iter().copied()).collect();
        drop_repeated(&mut rows);
        let start = rows.iter().map(|row| to_i64(row.span.start_time_unix_nano)).min();
        if let (Some(start), Some(summary)) = (start, summary_of(&rows)) {
            self.admit(start, summary, in_parts);
        }
        Ok(())
    }

    /// Takes a matching trace. Its place is that of its first row, even if that is a log record.
    fn admit(&mut self, start: i64, summary: TraceSummary, in_parts: bool) {
        let value = match self.query.sort {
            Sort::StartTime => start,
            Sort::Duration => number(TraceColumn::Duration, &summary),
            Sort::Cost => number(TraceColumn::Cost, &summary),
            Sort::Tokens => number(TraceColumn::Tokens, &summary),
        };
        let key = TraceKey { value, start, trace_id: summary.trace_id };
        let time = self.query.time;
        let on_page = self.cursor.as_ref().is_none_or(|cursor| key < cursor.last);
        let in_time = (to_i64(time.from)..to_i64(time.to)).contains(&start);
        if on_page && in_time && summary.span_count > 0 {
            self.found.insert(key, Found { summary, in_parts });
        }
    }

    fn into_page(self) -> Page<TraceSummary> {
        let limit = self.query.limit;
        let mut items = vec![];
        let mut last = None;
        let mut carried = vec![];
        let has_more = self.found.len() > limit;
        for (key, found) in self.found.into_iter().rev() {
            if items.len() < limit {
                last = Some(key);
                items.push(found.summary);
            } else if found.in_parts && self.query.sort == Sort::StartTime {
                carried.push(key.trace_id);
            }
        }
        let cursor = last.filter(|_| has_more).map(|last| TraceCursor { last, carried });
        Page { items, next_cursor: cursor.map(|cursor| cursor.encode(self.query.sort)) }
    }
}

impl<'a> Source<'a> {
    /// `None` if no trace of the project is in the segment, or none can match.
    fn new(
        segment: &'a Segment,
        position: usize,
        query: &'a TraceQuery,
    ) -> Result<Option<Self>, QueryError> {
        let projects = &segment.meta().projects;
        let Some(project) = projects.iter().position(|name| **name == *query.project) else {
            return Ok(None);
        };
        Ok(Some(Source {
            segment,
            position,
            filter: SegmentFilter::new(segment, &query.project, &query.filter)?,
            starts: segment.trace_column(TraceColumn::Start)?,
            first_rows: segment.trace_column(TraceColumn::FirstRow)?,
            projects: segment.trace_column(TraceColumn::Project)?,
            project: project as i64,
            n_groups: segment.meta().row_groups.len(),
            ready: vec![],
        }))
    }

    /// The traces with rows in a row group.
    fn ordinals(&self, group: usize) -> std::ops::Range<usize> {
        let rows = self.segment.meta().row_groups[group].rows();
        let after = |row: u32| self.first_rows.partition_point(|first| *first <= i64::from(row));
        after(rows.start).saturating_sub(1)..after(rows.end.saturating_sub(1))
    }

    /// The latest start of a trace in the first `n_groups` row groups that may be on the page.
    fn bound(&self, n_groups: usize, time: TimeRange) -> Option<i64> {
        let newest = self.ordinals(n_groups.checked_sub(1)?).end.checked_sub(1)?;
        let start = self.starts[newest];
        (start >= to_i64(time.from)).then(|| start.min(to_i64(time.to)))
    }

    /// The traces that start within a range and have a matching row in a row group, oldest first.
    fn matching_traces(&self, group: usize, time: TimeRange) -> Result<Vec<u32>, QueryError> {
        let in_time = to_i64(time.from)..to_i64(time.to);
        let ordinals = self.ordinals(group);
        let starts = &self.starts[ordinals.clone()];
        let from = ordinals.start + starts.partition_point(|start| *start < in_time.start);
        let to = ordinals.start + starts.partition_point(|start| *start < in_time.end);
        let of_project = |ordinal: &usize| self.projects[*ordinal] == self.project;
        if self.filter.is_all() {
            return Ok((from..to).filter(of_project).map(|ordinal| ordinal as u32).collect());
        }
        let bounds = &self.segment.meta().row_groups[group];
        if from >= to || !self.filter.may_match(bounds) {
            return Ok(vec![]);
        }
        let last_row = self.first_rows.get(to).map_or(u32::MAX, |row| *row as u32);
        let first_row = bounds.first_row.max(self.first_rows[from] as u32);
        let rows = first_row..bounds.rows().end.min(last_row);
        let mask = self.filter.select(rows.clone(), Wanted::Traces)?;
        let mut matching: Vec<u32> = vec![];
        let mut next_first_row = 0;
        let mut ordinal = from;
        for row in mask.set_indices().map(|at| i64::from(rows.start) + at as i64) {
            if row >= next_first_row {
                ordinal += self.first_rows[ordinal..to].partition_point(|first| *first <= row) - 1;
                next_first_row = self.first_rows.get(ordinal + 1).copied().unwrap_or(i64::MAX);
                matching.push(ordinal as u32);
            }
        }
        Ok(matching)
    }
}

/// What a list is sorted by; [`i64::MIN`] where it is not known.
fn number(column: TraceColumn, summary: &TraceSummary) -> i64 {
    let known = match column {
        TraceColumn::Duration => Some(to_i64(summary.duration_ns())),
        TraceColumn::Cost => summary.cost_nano_usd,
        _ => {
            let total = tokens(summary.input_tokens, summary.output_tokens, summary.total_tokens);
            total.map(to_i64)
        }
    };
    known.unwrap_or(i64::MIN)
}

/// A retry can put the same span into two places before they are merged; a span that was given up
/// can end.
fn drop_repeated(rows: &mut Vec<&StoredSpan>) {
    let mut known = HashSet::new();
    rows.retain(|row| {
        let span = &row.span;
        let times = (span.start_time_unix_nano, span.end_time_unix_nano);
        known.insert((span.span_id, row.role, times, span.name.clone()))
    });
    let superseded = superseded(rows.iter().copied());
    rows.retain(|row| !(row.is_running() && superseded.contains(&row.span.span_id)));
}
