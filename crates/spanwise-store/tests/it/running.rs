//! Spans that run are shown until they end, and never beside what they became.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use spanwise_model::{RowRole, StoredSpan};
use spanwise_store::query::{
    Detail, Filter, Measure, Sort, SpanQuery, StatsQuery, TimeRange, TraceQuery,
};
use spanwise_store::segment::Rows;
use spanwise_store::{Config, Durability, Store};

use crate::batches::{Number, append, config, number_of, open, running, trace_id};

/// What a reader is to find: how far each span is, 0 once it has ended.
type Expected = BTreeMap<Number, u64>;

fn progress(row: &StoredSpan) -> u64 {
    let said = row.span.attributes.str("progress").unwrap().parse().unwrap();
    assert_eq!(row.is_running(), said > 0);
    said
}

/// Every row there is, live and in segments, each as often as it is there.
fn rows(store: &Store) -> Vec<(Number, u64)> {
    let snapshot = store.snapshot();
    let mut rows: Vec<_> = snapshot.live.iter().map(|r| (number_of(r), progress(r))).collect();
    for segment in &snapshot.segments {
        let all = Rows::Range(0..segment.meta().n_rows);
        let stored = segment.stored_spans(all, Detail::Full).unwrap();
        rows.extend(stored.iter().map(|row| (number_of(row), progress(row))));
    }
    rows.sort_unstable();
    rows
}

/// What a trace's page shows.
fn read(store: &Store, trace: u64) -> Vec<(Number, u64)> {
    let rows = store.trace("default", trace_id(trace), Detail::Full).unwrap().unwrap_or_default();
    assert!(rows.iter().all(|row| row.role == RowRole::Span));
    rows.iter().map(|row| (number_of(row), progress(row))).collect()
}

fn count(store: &Store) -> f64 {
    let series = store.stats(&StatsQuery {
        project: "default".into(),
        filter: Filter::And(vec![]),
        time: TimeRange::ALL,
        group_by: None,
        bucket_ns: None,
        measures: vec![Measure::Count],
        max_groups: 1,
    });
    let series = series.unwrap();
    series.first().map_or(0.0, |series| series.points[0].1[0].unwrap())
}

fn span_counts(store: &Store) -> Vec<(u64, bool)> {
    let page = store.traces(&TraceQuery {
        project: "default".into(),
        filter: Filter::And(vec![]),
        time: TimeRange::ALL,
        sort: Sort::StartTime,
        limit: 100,
        cursor: None,
    });
    page.unwrap().items.iter().rev().map(|trace| (trace.span_count, trace.complete)).collect()
}

fn listed(store: &Store) -> usize {
    let page = store.spans(&SpanQuery {
        project: "default".into(),
        filter: Filter::And(vec![]),
        time: TimeRange::ALL,
        limit: 1000,
        cursor: None,
    });
    page.unwrap().items.len()
}

/// That every way of looking shows each span once, as it is by now.
fn check(store: &Store, expected: &Expected) {
    let all: Vec<_> = expected.iter().map(|(number, progress)| (*number, *progress)).collect();
    assert_eq!(rows(store), all);
    assert_eq!((count(store), listed(store)), (all.len() as f64, all.len()));
    let mut summaries = Vec::new();
    for of_trace in all.chunk_by(|a, b| a.0.0 == b.0.0) {
        assert_eq!(read(store, of_trace[0].0.0), of_trace);
        // Every span of these traces is a root, the first of them the trace's.
        summaries.push((of_trace.len() as u64, of_trace[0].1 == 0));
    }
    assert_eq!(span_counts(store), summaries);
    let n_running = all.iter().filter(|(_, progress)| *progress > 0).count();
    assert_eq!(store.status().running_spans, n_running);
}

fn wait_for_merges(store: &Store) {
    while store.status().segments >= 8 {
        std::thread::yield_now();
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Spans by trace and number, and whether each runs.
    Append(Vec<(u64, u64, bool)>),
    Seal,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let span = (1..4_u64, 1..4_u64, prop::bool::weighted(0.7));
    let append = prop::collection::vec(span, 1..4).prop_map(Step::Append);
    let step = prop_oneof![6 => append, 3 => Just(Step::Seal), 1 => Just(Step::Reopen)];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn however_they_arrive_spans_are_there_once(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { durability: Durability::Off, ..config(dir.path()) };
        let mut store = open(config.clone()).unwrap();
        let (mut expected, mut n_told) = (Expected::new(), 0);
        for step in steps {
            match step {
                Step::Append(spans) => {
                    let mut numbers: Vec<Number> = Vec::new();
                    for (trace, span, runs) in spans {
                        n_told += 1;
                        let progress = if runs { n_told } else { 0 };
                        match expected.insert((trace, span), progress) {
                            // Ended spans that are sent again are another matter.
                            Some(0) if !runs => continue,
                            Some(0) => expected.insert((trace, span), 0),
                            _ => None,
                        };
                        numbers.push((trace, running(span, progress)));
                    }
                    append(&store, &numbers).unwrap();
                }
                Step::Seal => store.seal().unwrap(),
                Step::Reopen => {
                    drop(store);
                    store = open(config.clone()).unwrap();
                }
            }
            check(&store, &expected);
        }
        store.seal().unwrap();
        wait_for_merges(&store);
        check(&store, &expected);
    }
}

/// A span that is given up is sealed as it was; if it ends after all, its trace shows that it did,
/// and merging forgets the rest.
#[test]
fn a_span_that_was_given_up_can_end() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { running_for: Duration::ZERO, ..config(dir.path()) };
    let store = open(config.clone()).unwrap();
    append(&store, &[(1, running(1, 1)), (1, 2)]).unwrap();
    store.seal().unwrap();
    assert_eq!(store.status().running_spans, 0);
    assert_eq!(rows(&store), [((1, 1), 1), ((1, 2), 0)]);
    append(&store, &[(1, running(1, 2))]).unwrap();
    assert_eq!(read(&store, 1), [((1, 1), 1), ((1, 2), 0)], "what was given up is not renewed");
    append(&store, &[(1, 1)]).unwrap();
    assert_eq!(read(&store, 1), [((1, 1), 0), ((1, 2), 0)]);
    assert_eq!(span_counts(&store), [(2, true)]);
    for other in 2..10 {
        store.seal().unwrap();
        append(&store, &[(other, 1)]).unwrap();
    }
    wait_for_merges(&store);
    assert_eq!(rows(&store).iter().filter(|(number, _)| *number == (1, 1)).count(), 1);
    assert_eq!(read(&store, 1), [((1, 1), 0), ((1, 2), 0)]);
}

/// Running spans are bounded in memory: those not heard of for longest are given up first.
#[test]
fn too_many_running_spans_are_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { max_live_bytes: 64 << 10, ..config(dir.path()) };
    let store = open(config).unwrap();
    let all: Vec<Number> = (1..=40).map(|span| (1, running(span, 1))).collect();
    append(&store, &all).unwrap();
    store.seal().unwrap();
    let n_running = store.status().running_spans;
    assert!((1..40).contains(&n_running), "{n_running}");
    assert_eq!(rows(&store).len(), 40);
    assert_eq!(read(&store, 1).len(), 40);
}
