use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use spanwise_model::StoredSpan;

use super::spans::{arbitrary, simple, trace_id};
use super::{Written, comparable, opened, written};
use crate::query::Detail;
use crate::segment::{Rows, Segment, WriteOptions, merge};

fn merged(inputs: &[Arc<Segment>]) -> Written {
    let dir = tempfile::tempdir().unwrap();
    let meta = merge(inputs, &dir.path().join("segment"), &WriteOptions::merge(1)).unwrap();
    opened(dir, &meta)
}

fn all_rows(segment: &Segment) -> Vec<StoredSpan> {
    segment.stored_spans(Rows::Range(0..segment.meta().n_rows), Detail::Full).unwrap()
}

/// What merging keeps: of rows that differ at most in when they were received, one.
fn distinct(spans: Vec<StoredSpan>) -> Vec<StoredSpan> {
    let unreceived = |mut stored: StoredSpan| {
        stored.received_unix_nano = 0;
        stored
    };
    let distinct: BTreeMap<String, StoredSpan> =
        spans.into_iter().map(unreceived).map(|stored| (format!("{stored:?}"), stored)).collect();
    distinct.into_values().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn segments_merge_into_what_writing_all_at_once_gives(
        mut inputs in prop::collection::vec(arbitrary(0..12), 1..4),
    ) {
        // Some rows are in the first and the last input.
        let again: Vec<_> = inputs[0].iter().take(3).cloned().collect();
        inputs.last_mut().unwrap().extend(again);
        // Doubles as their bits, or NaN would never be a duplicate.
        let inputs: Vec<_> = inputs.into_iter().map(comparable).collect();
        let parts: Vec<_> = inputs.iter().map(|spans| written(spans)).collect();
        let segments: Vec<_> = parts.iter().map(|part| part.segment.clone()).collect();
        let merged = merged(&segments);
        let rows = all_rows(&merged.segment);
        let expected = distinct(inputs.into_iter().flatten().collect());
        prop_assert_eq!(comparable(distinct(rows.clone())), comparable(expected));
        let at_once = written(&rows);
        prop_assert_eq!(&at_once.segment.meta().projects, &merged.segment.meta().projects);
        prop_assert_eq!(comparable(all_rows(&at_once.segment)), comparable(rows));
        let ordinals: Vec<u32> = (0..merged.segment.meta().n_traces).collect();
        prop_assert_eq!(
            merged.segment.summaries(&ordinals).unwrap(),
            at_once.segment.summaries(&ordinals).unwrap()
        );
    }
}

#[test]
fn parts_of_a_trace_become_one_run_in_order_of_start() {
    let early = written(&[simple("default", 1, 1, 100), simple("default", 2, 1, 150)]);
    let late = written(&[simple("default", 1, 2, 900), simple("default", 3, 1, 50)]);
    let merged = merged(&[late.segment.clone(), early.segment.clone()]);
    let trace = merged.segment.trace("default", trace_id(1), Detail::Full).unwrap();
    let starts: Vec<u64> = trace.iter().map(|stored| stored.span.start_time_unix_nano).collect();
    assert_eq!(starts, [100, 900]);
    assert_eq!(merged.segment.meta().n_traces, 3);
    assert_eq!(merged.segment.trace_ordinal("default", trace_id(3)).unwrap(), Some(0));
    assert_eq!(merged.segment.meta().level, 1);
}

#[test]
fn a_row_that_was_received_twice_is_kept_once_and_a_changed_one_twice() {
    let mut again = simple("default", 1, 1, 100);
    again.received_unix_nano += 77;
    let mut changed = again.clone();
    changed.span.name = "other work".into();
    let first = written(&[simple("default", 1, 1, 100)]);
    let second = written(&[again, changed]);
    let merged = merged(&[first.segment.clone(), second.segment.clone()]);
    let names: Vec<_> = all_rows(&merged.segment).into_iter().map(|s| s.span.name).collect();
    assert_eq!(names, ["work", "other work"]);
}

#[test]
fn texts_of_several_inputs_are_stored_once() {
    let words = (0..20_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_string());
    let text = words.collect::<Vec<_>>().join(" ");
    let part = |n: u64| {
        let mut stored = simple("default", n, n, n);
        stored.span.attributes.push("input.value", text.clone());
        written(&[stored])
    };
    let parts: Vec<_> = (0..4).map(part).collect();
    let segments: Vec<_> = parts.iter().map(|part| part.segment.clone()).collect();
    let merged = merged(&segments);
    assert!(merged.segment.meta().bytes < 2 * segments[0].meta().bytes);
}
