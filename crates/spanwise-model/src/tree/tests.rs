use std::sync::Arc;

use super::*;
use crate::span::{Status, StatusCode};
use crate::{Attributes, Kind, Str, TraceId, Value};

fn id(number: u64) -> SpanId {
    SpanId::from_bytes(&number.to_be_bytes()).unwrap()
}

fn span(number: u64, parent: Option<u64>, name: &'static str, times: [u64; 2]) -> Span {
    Span {
        trace_id: TraceId::from_bytes(&[1; 16]).unwrap(),
        span_id: id(number),
        parent_span_id: parent.map(id),
        trace_state: Str::new(),
        flags: 0,
        name: Str::from_static(name),
        kind: Kind::Internal,
        start_time_unix_nano: times[0],
        end_time_unix_nano: times[1],
        attributes: Attributes::default(),
        dropped_attributes_count: 0,
        events: Vec::new(),
        dropped_events_count: 0,
        links: Vec::new(),
        dropped_links_count: 0,
        status: Status::default(),
        resource: Arc::default(),
        scope: Arc::default(),
    }
}

#[test]
fn siblings_are_in_order_of_their_start() {
    let mut failed = span(3, Some(1), "search\u{1b}[31m", [2_000_000, 3_500_000]);
    failed.status = Status { code: StatusCode::Error, message: "no index\nat line 1".into() };
    let spans = [
        failed,
        span(2, Some(1), "", [1_000_000, 1_000_850]),
        span(1, None, "agent", [0, 90_000_000_000]),
    ];
    insta::assert_snapshot!(tree(&spans), @r"
    agent (internal, 1m 30s)
      (no name) (internal, 850ns)
      search\u{1b}[31m (internal, 1.5ms) error: no index
    ");
}

#[test]
fn orphans_stand_under_the_parent_they_name() {
    let spans = [
        span(1, None, "root", [0, 9]),
        span(5, Some(255), "first", [1, 2]),
        span(6, Some(255), "second", [3, 4]),
        span(7, Some(5), "child", [1, 2]),
    ];
    insta::assert_snapshot!(tree(&spans), @r"
    root (internal, 9ns)
    parent 00000000000000ff is missing:
      first (internal, 1ns)
        child (internal, 1ns)
      second (internal, 1ns)
    ");
}

#[test]
fn loops_and_repeated_ids_end() {
    let spans = [
        span(1, Some(2), "hen", [0, 1]),
        span(2, Some(1), "egg", [1, 2]),
        span(3, Some(3), "ouroboros", [2, 3]),
        span(4, None, "twin", [3, 4]),
        span(4, None, "twin", [3, 4]),
        span(5, Some(4), "child", [3, 4]),
    ];
    insta::assert_snapshot!(tree(&spans), @r"
    twin (internal, 1ns)
      child (internal, 1ns)
    twin (internal, 1ns)
    a loop:
      hen (internal, 1ns)
        egg (internal, 1ns)
    a loop:
      ouroboros (internal, 1ns)
    ");
}

#[test]
fn attributes_show_their_types() {
    let mut one = span(1, None, "one", [0, 1_250_000_000]);
    one.attributes.push("text", "1\n");
    one.attributes.push("int", 1);
    one.attributes.push("double", 1.0);
    one.attributes.push("list", Value::Array(vec![Value::Null, true.into()]));
    one.attributes
        .push("map", Value::Map([("a", 1)].into_iter().map(|(k, v)| (k, i64::from(v))).collect()));
    insta::assert_snapshot!(tree_with_attributes(&[one]), @r#"
    one (internal, 1.25s)
        text = "1\n"
        int = 1
        double = 1.0
        list = [null, true]
        map = {a = 1}
    "#);
}

#[test]
fn a_chain_of_200_000_is_drawn() {
    let spans: Vec<Span> = (1..=200_000)
        .map(|number| span(number, (number > 1).then(|| number - 1), "link", [number, number]))
        .collect();
    let text = tree(&spans);
    assert_eq!(text.lines().count(), 200_000);
    assert!(text.ends_with("[199999] link (internal, 0ns)\n"));
}
