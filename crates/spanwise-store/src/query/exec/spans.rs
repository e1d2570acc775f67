//! Lists of spans, newest first.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;
use spanwise_model::{SpanId, StoredSpan, TraceId};

use super::super::columns::{Chosen, primitive, unreadable};
use super::super::cursor::SpanKey;
use super::super::segment_filter::{SegmentFilter, Wanted};
use super::super::{Detail, Page, QueryError, SpanHit, SpanQuery, TimeRange};
use super::live::matching_spans;
use super::{group_overlaps, has_project, in_parallel, overlaps};
use crate::Snapshot;
use crate::segment::{Rows, Segment, schema};

/// Where a span of the page is read from.
#[derive(Clone, Copy)]
enum Place<'a> {
    Live(&'a StoredSpan),
    Row(&'a Segment, u32),
}

/// A page of spans that satisfy the filter.
pub fn spans(snapshot: &Snapshot, query: &SpanQuery) -> Result<Page<SpanHit>, QueryError> {
    let cursor = query.cursor.as_deref().map(SpanKey::decode).transpose()?;
    let mut time = query.time;
    if let Some(cursor) = cursor {
        time.to = time.to.min(cursor.start.saturating_add(1));
    }
    let mut newest = Newest { n: query.limit.saturating_add(1), cursor, found: BTreeMap::new() };
    for span in matching_spans(&snapshot.live, &query.project, &query.filter, time) {
        let ids = (span.span.trace_id, span.span.span_id);
        newest.offer(span.span.start_time_unix_nano, ids, Place::Live(span));
    }
    scan_segments(snapshot, query, time, &mut newest)?;
    into_page(newest.found, query.limit)
}

/// The newest spans so far.
struct Newest<'a> {
    n: usize,
    cursor: Option<SpanKey>,
    found: BTreeMap<SpanKey, Place<'a>>,
}

impl<'a> Newest<'a> {
    fn offer(&mut self, start: u64, (trace_id, span_id): (TraceId, SpanId), place: Place<'a>) {
        let key = SpanKey { start, trace_id, span_id };
        if self.cursor.is_some_and(|cursor| key >= cursor) {
            return;
        }
        self.found.insert(key, place);
        if self.found.len() > self.n {
            self.found.pop_first();
        }
    }

    /// Spans that start before this are of no interest.
    fn floor(&self) -> u64 {
        let is_full = self.found.len() == self.n;
        self.found.first_key_value().filter(|_| is_full).map_or(0, |(key, _)| key.start)
    }
}

/// Looks at row groups, the one with the newest span first, until none can have a newer one.
fn scan_segments<'a>(
    snapshot: &'a Snapshot,
    query: &'a SpanQuery,
    time: TimeRange,
    newest: &mut Newest<'a>,
) -> Result<(), QueryError> {
    let mut filters = vec![];
    for segment in &snapshot.segments {
        let meta = segment.meta();
        if overlaps(meta, time) && has_project(meta, &query.project) {
            let filter = SegmentFilter::new(segment, &query.project, &query.filter)?;
            filters.push((&**segment, filter));
        }
    }
    let mut groups = vec![];
    for (segment, filter) in &filters {
        let possible = segment.meta().row_groups.iter();
        let possible = possible.filter(|g| group_overlaps(g, time) && filter.may_match(g));
        groups.extend(possible.map(|group| (group, *segment, filter)));
    }
    groups.sort_by_key(|(group, ..)| std::cmp::Reverse(group.max_start));
    let mut rest = groups.as_slice();
    let mut n_at_once = 1;
    while let Some((group, ..)) = rest.first() {
        let floor = newest.floor();
        if group.max_start < floor {
            break;
        }
        let (now, later) = rest.split_at(n_at_once.min(rest.len()));
        let time = TimeRange { from: time.from.max(floor), ..time };
        let found = in_parallel(now, |(group, segment, filter)| {
            let mask = filter.select(group.rows(), Wanted::Spans)?;
            let chosen = Chosen::new(group.rows(), mask);
            // One more, because those of the cursor's instant may all be on earlier pages.
            newest_rows(segment, &chosen, time, newest.n + 1)
        })?;
        for ((_, segment, _), rows) in now.iter().zip(found) {
            for (start, ids, row) in rows {
                newest.offer(start, ids, Place::Row(segment, row));
            }
        }
        rest = later;
        n_at_once = (n_at_once * 2).min(32);
    }
    Ok(())
}

type Identified = (u64, (TraceId, SpanId), u32);

/// The rows with the `n` latest starts within a range.
fn newest_rows(
    segment: &Segment,
    among: &Chosen,
    time: TimeRange,
    n: usize,
) -> Result<Vec<Identified>, QueryError> {
    if among.rows().is_empty() {
        return Ok(vec![]);
    }
    let batch = among.columns(segment, &[schema::START])?;
    let starts = primitive::<UInt64Type>(batch.column_by_name(schema::START))?.values().to_vec();
    let in_time = |start: &u64| (time.from..time.to).contains(start);
    let mut latest: Vec<u64> = starts.iter().copied().filter(in_time).collect();
    latest.sort_unstable_by(|a, b| b.cmp(a));
    latest.dedup();
    let Some(floor) = latest.get(n.min(latest.len()).wrapping_sub(1)).copied() else {
        return Ok(vec![]);
    };
    let chosen: Vec<(u64, u32)> = starts
        .into_iter()
        .zip(among.rows().iter().copied())
        .filter(|(start, _)| (floor..time.to).contains(start))
        .collect();
    let rows: Vec<u32> = chosen.iter().map(|(_, row)| *row).collect();
    let batch = segment.columns(Rows::Sorted(&rows), &[schema::TRACE_ID, schema::SPAN_ID])?;
    let ids = |name| {
        let column = batch.column_by_name(name);
        column.and_then(|c| c.as_fixed_size_binary_opt()).ok_or_else(unreadable)
    };
    let (traces, spans) = (ids(schema::TRACE_ID)?, ids(schema::SPAN_ID)?);
    chosen
        .iter()
        .enumerate()
        .map(|(at, (start, row))| {
            let trace_id = TraceId::from_bytes(traces.value(at)).map_err(|_| unreadable())?;
            let span_id = SpanId::from_bytes(spans.value(at)).map_err(|_| unreadable())?;
            Ok((*start, (trace_id, span_id), *row))
        })
        .collect()
}

fn into_page(
    found: BTreeMap<SpanKey, Place<'_>>,
    limit: usize,
) -> Result<Page<SpanHit>, QueryError> {
    let has_more = found.len() > limit;
    let page: Vec<(SpanKey, Place<'_>)> = found.into_iter().rev().take(limit).collect();
    let mut hits: BTreeMap<SpanKey, SpanHit> = BTreeMap::new();
    let mut sealed: Vec<(&Segment, Vec<u32>)> = vec![];
    for (key, place) in &page {
        match *place {
            Place::Live(span) => {
                hits.insert(*key, hit(span));
            }
            Place::Row(segment, row) => {
                match sealed.iter_mut().find(|(other, _)| std::ptr::eq(*other, segment)) {
                    Some((_, rows)) => rows.push(row),
                    None => sealed.push((segment, vec![row])),
                }
            }
        }
    }
    for (segment, mut rows) in sealed {
        rows.sort_unstable();
        for stored in segment.stored_spans(Rows::Sorted(&rows), Detail::Outline)? {
            let span = &stored.span;
            let (trace_id, span_id) = (span.trace_id, span.span_id);
            let key = SpanKey { start: span.start_time_unix_nano, trace_id, span_id };
            hits.insert(key, hit(&stored));
        }
    }
    let last = page.last().filter(|_| has_more).map(|(key, _)| key.encode());
    Ok(Page { items: hits.into_values().rev().collect(), next_cursor: last })
}

fn hit(stored: &StoredSpan) -> SpanHit {
    let StoredSpan { span, facts, .. } = stored;
    SpanHit {
        trace_id: span.trace_id,
        span_id: span.span_id,
        parent_span_id: span.parent_span_id,
        name: span.name.clone(),
        service: span.resource.service().to_owned().into(),
        kind: span.kind,
        status: span.status.code,
        is_error: span.is_error(),
        is_running: stored.is_running(),
        start_time_unix_nano: span.start_time_unix_nano,
        duration_ns: span.duration_ns(),
        operation: facts.operation,
        model: facts.model().clone(),
        usage: facts.usage,
        cost: facts.cost,
        time_to_first_token_ns: facts.time_to_first_token_ns,
        input_preview: facts.input_preview.clone(),
        output_preview: facts.output_preview.clone(),
    }
}
