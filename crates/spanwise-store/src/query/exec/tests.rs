use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use proptest::prelude::*;
use spanwise_model::genai::{Cost, CostSource, Operation};
use spanwise_model::summary::TraceSummary;
use spanwise_model::{RowRole, StoredSpan, TraceId};

use super::live::{LiveTraces, summary_of};
use super::*;
use crate::Snapshot;
use crate::query::cursor::TraceKey;
use crate::query::matches::{group_text, number_of};
use crate::query::parser::parse;
use crate::query::{
    Field, Filter, Measure, Sort, SpanHit, SpanQuery, StatsQuery, TimeRange, TraceQuery, sample,
};

/// Rows in several places: the first is the live index, the others are segments.
#[derive(Debug)]
struct Places {
    rows: Vec<Vec<StoredSpan>>,
    snapshot: Snapshot,
    _dir: tempfile::TempDir,
}

impl Places {
    fn new(mut rows: Vec<Vec<StoredSpan>>) -> Self {
        let mut known = HashSet::new();
        for rows in &mut rows {
            rows.retain(|row| {
                let span = &row.span;
                let start = span.start_time_unix_nano;
                known.insert((span.trace_id, span.span_id, row.role, start))
            });
        }
        let dir = tempfile::tempdir().unwrap();
        let mut segments = vec![];
        for (at, rows) in rows.iter().enumerate().skip(1).filter(|(_, rows)| !rows.is_empty()) {
            segments.push(sample::sealed(&dir.path().join(at.to_string()), rows));
        }
        let live = sample::live(&rows[0]);
        Places { rows, snapshot: Snapshot { live, segments }, _dir: dir }
    }

    /// The traces in which a place has a match, by looking at everything.
    fn matching_traces(&self, filter: &Filter) -> Vec<TraceSummary> {
        let mut matching: Vec<TraceId> = vec![];
        let mut all: BTreeMap<TraceId, Vec<&StoredSpan>> = BTreeMap::new();
        for rows in &self.rows {
            let view = sample::live(rows);
            let place = LiveTraces::of(&view, "default");
            matching.extend(place.traces.iter().filter(|t| t.matches(filter)).map(|t| t.id));
            for row in rows.iter().filter(|row| *row.project == *"default") {
                all.entry(row.span.trace_id).or_default().push(row);
            }
        }
        let mut found: Vec<(u64, TraceSummary)> = vec![];
        for (id, rows) in all {
            let start = rows.iter().map(|row| row.span.start_time_unix_nano).min().unwrap();
            let summary = summary_of(&rows).unwrap();
            if matching.contains(&id) && summary.span_count > 0 {
                found.push((start, summary));
            }
        }
        found.sort_by_key(|(start, summary)| std::cmp::Reverse((*start, summary.trace_id)));
        found.into_iter().map(|(_, summary)| summary).collect()
    }

    fn matching_spans(&self, filter: &Filter) -> Vec<&StoredSpan> {
        let mut found = vec![];
        for rows in &self.rows {
            for row in rows.iter().filter(|row| *row.project == *"default") {
                let is_log_of = |log: &&StoredSpan| {
                    log.role == RowRole::LogEvent
                        && log.span.trace_id == row.span.trace_id
                        && log.span.span_id == row.span.span_id
                        && log.project == row.project
                };
                let logs: Vec<&StoredSpan> = rows.iter().filter(is_log_of).collect();
                if row.role == RowRole::Span && filter.matches_with_logs(row, &logs) {
                    found.push(row);
                }
            }
        }
        found
    }

    fn all_pages(&self, filter: &Filter, sort: Sort, limit: usize) -> Vec<TraceSummary> {
        let mut query = trace_query(filter.clone(), sort, limit);
        let mut items = vec![];
        loop {
            let page = traces(&self.snapshot, &query).unwrap();
            assert!(page.items.len() <= limit);
            items.extend(page.items);
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                return items;
            }
        }
    }
}

fn trace_query(filter: Filter, sort: Sort, limit: usize) -> TraceQuery {
    let project = Arc::from("default");
    TraceQuery { project, filter, time: TimeRange::ALL, sort, limit, cursor: None }
}

fn places() -> impl Strategy<Value = Places> {
    let rows = prop::collection::vec(sample::arbitrary_span(), 0..25);
    prop::collection::vec(rows, 1..4).prop_map(Places::new)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn pages_of_traces_are_the_whole_list(
        places in places(),
        filters in prop::collection::vec(sample::arbitrary_filter(), 4),
        limit in 1..5_usize,
    ) {
        for filter in filters {
            let expected = places.matching_traces(&filter);
            let found = places.all_pages(&filter, Sort::StartTime, limit);
            prop_assert_eq!(&found, &expected, "{}", filter);
            for sort in [Sort::Duration, Sort::Cost, Sort::Tokens] {
                let mut found = places.all_pages(&filter, sort, limit);
                let numbers: Vec<_> = found.iter().map(|s| sorted_by(sort, s)).collect();
                prop_assert!(numbers.is_sorted_by(|a, b| a >= b), "{numbers:?}");
                found.sort_by_key(|s| s.trace_id);
                let mut expected = expected.clone();
                expected.sort_by_key(|s| s.trace_id);
                prop_assert_eq!(found, expected, "{}", filter);
            }
        }
    }

    #[test]
    fn pages_of_spans_are_the_whole_list(
        places in places(),
        filter in sample::arbitrary_filter(),
        limit in 1..6_usize,
    ) {
        let mut expected: Vec<_> = places
            .matching_spans(&filter)
            .into_iter()
            .map(|r| (r.span.start_time_unix_nano, r.span.trace_id, r.span.span_id))
            .collect();
        expected.sort_unstable();
        expected.dedup();
        expected.reverse();
        let project = Arc::from("default");
        let mut query = SpanQuery { project, filter, time: TimeRange::ALL, limit, cursor: None };
        let mut found: Vec<SpanHit> = vec![];
        loop {
            let page = spans(&places.snapshot, &query).unwrap();
            found.extend(page.items);
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        let found: Vec<_> =
            found.iter().map(|h| (h.start_time_unix_nano, h.trace_id, h.span_id)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn statistics_add_up(
        places in places(),
        filter in sample::arbitrary_filter(),
        group in prop::sample::select(vec![
            Field::Model, Field::Service, Field::Status, Field::Tokens, Field::Name,
            Field::Attribute("k".into()), Field::Attribute("r".into()),
        ]),
        bucket_ns in prop::option::of(Just(10_000_000_u64)),
    ) {
        let measures = [
            Measure::Count, Measure::Errors, Measure::Cost, Measure::InputTokens,
            Measure::Duration(0.5),
        ];
        let mut expected: BTreeMap<(Option<String>, u64), [Option<f64>; 4]> = BTreeMap::new();
        for row in places.matching_spans(&filter) {
            let start = row.span.start_time_unix_nano;
            let bucket = bucket_ns.map_or(0, |width| start - start % width);
            let name = group_text(row, &group).map(std::borrow::Cow::into_owned);
            let name = name.filter(|name| !name.is_empty());
            let cell = expected.entry((name, bucket)).or_insert([Some(0.0), Some(0.0), None, None]);
            cell[0] = cell[0].map(|n| n + 1.0);
            cell[1] = cell[1].map(|n| n + f64::from(u8::from(row.span.is_error())));
            for (at, field) in [(2, Field::Cost), (3, Field::InputTokens)] {
                if let Some(number) = number_of(row, &field) {
                    cell[at] = Some(cell[at].unwrap_or(0.0) + number);
                }
            }
        }
        let query = StatsQuery {
            project: Arc::from("default"),
            filter,
            time: TimeRange::ALL,
            measures: measures.to_vec(),
            group_by: Some(group),
            bucket_ns,
            max_groups: 100,
        };
        let mut found = BTreeMap::new();
        for series in stats(&places.snapshot, &query).unwrap() {
            for (bucket, numbers) in series.points {
                prop_assert_eq!(numbers.len(), measures.len());
                prop_assert!(numbers[4].is_some());
                let cell = [numbers[0], numbers[1], numbers[2], numbers[3]];
                found.insert((series.group.clone(), bucket), cell);
            }
        }
        prop_assert_eq!(found, expected);
    }
}

fn sorted_by(sort: Sort, summary: &TraceSummary) -> i64 {
    let tokens = crate::query::matches::tokens(
        summary.input_tokens,
        summary.output_tokens,
        summary.total_tokens,
    );
    match sort {
        Sort::Cost => summary.cost_nano_usd.unwrap_or(i64::MIN),
        Sort::Tokens => tokens.map_or(i64::MIN, |n| n as i64),
        _ => summary.duration_ns() as i64,
    }
}

fn ids(summaries: &[TraceSummary]) -> Vec<u8> {
    summaries.iter().map(|summary| summary.trace_id.as_bytes()[7]).collect()
}

/// Ten traces of one span each, a second apart, in three places.
fn ten_traces() -> Places {
    let row = |n: u64| sample::plain_span(n, n, "step", n * 1_000_000_000);
    let rows = |range: std::ops::Range<u64>| range.map(row).collect();
    Places::new(vec![rows(8..11), rows(1..4), rows(4..8)])
}

#[test]
fn new_arrivals_move_nothing_to_another_page() {
    let places = ten_traces();
    let mut query = trace_query(Filter::All, Sort::StartTime, 4);
    let first = traces(&places.snapshot, &query).unwrap();
    assert_eq!(ids(&first.items), [10, 9, 8, 7]);
    query.cursor = first.next_cursor;
    let mut rows = places.rows.clone();
    rows[0].push(sample::plain_span(11, 11, "late", 11_000_000_000));
    let second = traces(&Places::new(rows).snapshot, &query).unwrap();
    assert_eq!(ids(&second.items), [6, 5, 4, 3]);
}

#[test]
fn a_trace_in_parts_is_shown_whole_and_once() {
    let mut places = ten_traces();
    // The root of trace 3 arrives late and starts early.
    let mut child = sample::plain_span(3, 33, "child", 20_000_000_000);
    child.span.parent_span_id = places.rows[1][2].span.parent_span_id;
    places.rows[0].push(child);
    let places = Places::new(places.rows);
    let query = trace_query(Filter::All, Sort::StartTime, 20);
    let page = traces(&places.snapshot, &query).unwrap();
    assert_eq!(ids(&page.items), [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(page.items[7].span_count, 2);
    // Its matching part lies before the page's end, it itself after: the cursor carries it.
    let mut query = trace_query(parse("child OR step").unwrap(), Sort::StartTime, 5);
    let first = traces(&places.snapshot, &query).unwrap();
    assert_eq!(ids(&first.items), [10, 9, 8, 7, 6]);
    query.filter = parse("child").unwrap();
    query.cursor = first.next_cursor;
    let second = traces(&places.snapshot, &query).unwrap();
    assert_eq!(ids(&second.items), [3]);
}

#[test]
fn lists_are_bounded_by_time() {
    let places = ten_traces();
    let second = 1_000_000_000;
    let mut query = trace_query(parse("step").unwrap(), Sort::StartTime, 3);
    query.time = TimeRange { from: 3 * second, to: 9 * second };
    let first = traces(&places.snapshot, &query).unwrap();
    assert_eq!(ids(&first.items), [8, 7, 6]);
    query.cursor = first.next_cursor;
    let next = traces(&places.snapshot, &query).unwrap();
    assert_eq!(ids(&next.items), [5, 4, 3]);
    assert_eq!(next.next_cursor, None);
    query.cursor = None;
    query.sort = Sort::Duration;
    query.limit = 100;
    let mut found = ids(&traces(&places.snapshot, &query).unwrap().items);
    found.sort_unstable();
    assert_eq!(found, [3, 4, 5, 6, 7, 8]);
}

#[test]
fn other_projects_are_out_of_sight() {
    let places = ten_traces();
    let mut query = trace_query(Filter::All, Sort::StartTime, 3);
    query.project = Arc::from("other");
    assert!(traces(&places.snapshot, &query).unwrap().items.is_empty());
    let other: Arc<str> = Arc::from("other");
    assert!(fields(&places.snapshot, &other).unwrap().iter().all(|field| field.count == 0));
    assert!(field_values(&places.snapshot, &other, &Field::Name, "", 9).unwrap().is_empty());
}

#[test]
fn cursors_of_another_order_are_refused() {
    let places = ten_traces();
    let last = TraceKey { value: 0, start: 0, trace_id: places.rows[0][0].span.trace_id };
    let cursor = crate::query::cursor::TraceCursor { last, carried: vec![] };
    let mut query = trace_query(Filter::All, Sort::StartTime, 3);
    query.cursor = Some(cursor.encode(Sort::Cost));
    assert!(traces(&places.snapshot, &query).is_err());
}

#[test]
fn fields_and_values_are_counted_in_all_places() {
    let row = |id: u64, model: &'static str| {
        let mut row = sample::llm_span();
        row.span.span_id = sample::plain_span(1, id, "", 1).span.span_id;
        row.facts.response_model = model.into();
        row
    };
    let sealed = vec![row(2, "gpt-4o-2024"), row(3, "m2")];
    let places = Places::new(vec![vec![row(1, "gpt-4o-2024")], sealed]);
    let project = Arc::from("default");
    let fields = fields(&places.snapshot, &project).unwrap();
    let count =
        |name: &str| fields.iter().find(|f| f.name == name).map(|f| (f.value_type, f.count));
    assert_eq!(count("model"), Some(("string", 3)));
    assert_eq!(count("duration"), Some(("number", 3)));
    assert_eq!(count("workflow"), Some(("string", 0)));
    assert_eq!(count("http.status_code"), Some(("number", 3)));
    assert_eq!(count("stream"), Some(("bool", 3)));
    let values = |field: &Field, prefix| {
        field_values(&places.snapshot, &project, field, prefix, 10).unwrap()
    };
    let pair = |value: &str, count| (value.to_owned(), count);
    assert_eq!(values(&Field::Model, ""), [pair("gpt-4o-2024", 2), pair("m2", 1)]);
    assert_eq!(values(&Field::Model, "GPT"), [pair("gpt-4o-2024", 2)]);
    assert_eq!(values(&Field::Attribute("count.text".into()), "4"), [pair("42", 3)]);
    assert_eq!(values(&Field::Duration, ""), []);
}

#[test]
fn groups_beyond_the_most_frequent_are_one() {
    let rows = (1..30).map(|n| sample::plain_span(n, n, ["a", "a", "b", "c"][n as usize % 4], n));
    let places = Places::new(vec![vec![], rows.collect()]);
    let query = StatsQuery {
        project: Arc::from("default"),
        filter: Filter::All,
        time: TimeRange { from: 2, to: 30 },
        measures: vec![Measure::Count],
        group_by: Some(Field::Name),
        bucket_ns: None,
        max_groups: 1,
    };
    let series = stats(&places.snapshot, &query).unwrap();
    let found: Vec<_> = series.iter().map(|s| (s.group.as_deref(), s.points[0].1[0])).collect();
    assert_eq!(found, [(Some("a"), Some(14.0)), (None, Some(14.0))]);
}

/// Its parts are each far down the list, the whole is at the top.
#[test]
fn a_trace_in_several_places_stands_where_its_total_belongs() {
    let costing = |trace: u64, span: u64, dollars: i64| {
        let mut row = sample::plain_span(trace, span, "chat", 1000 * trace + span);
        row.facts.operation = Some(Operation::Chat);
        row.facts.usage.input = Some(dollars as u64);
        row.facts.cost = Some(Cost { nano_usd: dollars, source: CostSource::Computed });
        row
    };
    let single = |range: std::ops::Range<u64>| range.map(|trace| costing(trace, 1, 50));
    let places = Places::new(vec![
        single(10..20).chain([costing(1, 1, 20)]).collect(),
        single(20..40).chain([costing(1, 2, 20), costing(2, 1, 49)]).collect(),
        single(40..60).chain([costing(1, 3, 20), costing(2, 2, 0)]).collect(),
    ]);
    for sort in [Sort::Cost, Sort::Tokens] {
        let all = places.all_pages(&Filter::All, sort, 7);
        let numbers: Vec<i64> = all.iter().map(|summary| sorted_by(sort, summary)).collect();
        let expected = [vec![60], vec![50; 50], vec![49]].concat();
        assert_eq!(numbers, expected);
    }
}
