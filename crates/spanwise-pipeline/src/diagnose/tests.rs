use std::sync::Arc;

use spanwise_model::{Attributes, Kind, Resource, Span, Str};

use crate::tests::{processed, span};

use super::*;

const MS: u64 = 1_000_000;

fn found(spans: Vec<Span>) -> Vec<(&'static str, Option<u8>)> {
    let rows = processed(spans);
    let number = |id: SpanId| id.as_bytes()[7];
    diagnose(&rows).into_iter().map(|d| (d.kind, d.span_id.map(number))).collect()
}

fn child(id: u8, parent: u8) -> Span {
    span(id, Some(parent), "step", &[])
}

#[test]
fn a_sound_trace_has_nothing_to_say() {
    assert_eq!(found(vec![span(1, None, "root", &[]), child(2, 1), child(3, 2)]), []);
    assert_eq!(found(vec![]), []);
}

#[test]
fn orphans_are_told_by_missing_parent() {
    let spans = vec![span(1, None, "root", &[]), child(2, 9), child(3, 9), child(4, 8)];
    let rows = processed(spans.clone());
    assert!(diagnose(&rows)[0].message.starts_with("2 spans name the parent 0000000000000009"));
    assert_eq!(found(spans), [("orphan", Some(2)), ("orphan", Some(4))]);
}

#[test]
fn missing_and_several_roots() {
    assert_eq!(found(vec![child(2, 9)]), [("orphan", Some(2)), ("missing_root", None)]);
    let two = vec![span(1, None, "a", &[]), span(2, None, "b", &[])];
    assert_eq!(found(two), [("several_roots", Some(2))]);
}

#[test]
fn a_cycle_of_parents_is_found_once() {
    let spans = vec![span(1, None, "root", &[]), child(2, 4), child(3, 2), child(4, 3)];
    assert_eq!(found(spans), [("parent_cycle", Some(2))]);
}

#[test]
fn different_spans_with_one_id() {
    let spans = vec![span(1, None, "root", &[]), child(2, 1), span(2, Some(1), "other", &[])];
    assert_eq!(found(spans), [("duplicate_id", Some(2))]);
}

#[test]
fn a_child_before_its_parent_is_skew() {
    let root = span(1, None, "root", &[]);
    let early = |by| Span { start_time_unix_nano: root.start_time_unix_nano - by, ..child(2, 1) };
    assert_eq!(found(vec![root.clone(), early(MS / 2)]), []);
    assert_eq!(found(vec![root.clone(), early(5 * MS)]), [("clock_skew", Some(2))]);
}

#[test]
fn a_server_that_answers_after_its_client_is_gone_is_skew() {
    let attributes: Attributes = [("service.name", "other")].into_iter().collect();
    let resource = Arc::new(Resource { attributes, ..Resource::default() });
    let client = Span { kind: Kind::Client, ..span(1, None, "call", &[]) };
    let late = client.end_time_unix_nano + 5 * MS;
    let server = Span {
        kind: Kind::Server,
        start_time_unix_nano: late,
        end_time_unix_nano: late + MS,
        resource,
        ..child(2, 1)
    };
    assert_eq!(found(vec![client, server]), [("clock_skew", Some(2))]);
}

#[test]
fn what_producers_dropped_is_told() {
    let root =
        Span { dropped_attributes_count: 3, dropped_links_count: 1, ..span(1, None, "root", &[]) };
    let rows = processed(vec![root]);
    assert_eq!(diagnose(&rows)[0].message, "its producer dropped 3 attributes, 1 links");
}

#[test]
fn three_equal_calls_in_a_row_are_a_loop() {
    let call = |id: u8, city: &'static str| {
        let mut call = span(
            id,
            Some(1),
            "execute_tool weather",
            &[
                ("gen_ai.operation.name", "execute_tool"),
                ("gen_ai.tool.name", "weather"),
                ("gen_ai.tool.call.arguments", city),
            ],
        );
        call.start_time_unix_nano += u64::from(id);
        call
    };
    let root = || span(1, None, "root", &[]);
    let broken = vec![root(), call(2, "a"), call(3, "a"), call(4, "b"), call(5, "a")];
    assert_eq!(found(broken), []);
    let looping = vec![root(), call(2, "b"), call(3, "a"), call(4, "a"), call(5, "a")];
    assert_eq!(found(looping), [("loop", Some(3))]);
}

#[test]
fn unpriced_models_are_told_once() {
    let call = |id| {
        let mut call =
            span(id, Some(1), "chat", &[("gen_ai.operation.name", "chat"), ("model", "house-7b")]);
        call.attributes.push(Str::from_static("gen_ai.usage.input_tokens"), 5);
        call
    };
    let spans = vec![span(1, None, "root", &[]), call(2), call(3)];
    assert_eq!(found(spans), [("unpriced_model", Some(2))]);
}

#[test]
fn long_lists_are_cut() {
    let orphans = (1..=100).map(|id| child(id, 100 + id));
    let rows = processed(std::iter::once(span(250, None, "root", &[])).chain(orphans).collect());
    let found = diagnose(&rows);
    assert_eq!(found.len(), MAX_OF_A_KIND + 1);
    assert_eq!(found[MAX_OF_A_KIND].message, "and 80 more");
}
