use super::*;
use crate::genai::Operation;

/// A trace written as a tree: `name start..end key=value …`, indentation gives the parent. The
/// words `error`, `log` (a log event of the span above) and an operation may stand among the keys.
/// `_` in values stands for a space.
fn summary(trace: &str) -> TraceSummary {
    let mut above: Vec<(usize, SpanId)> = Vec::new();
    let mut spans = Vec::new();
    for (number, line) in trace.lines().filter(|line| !line.trim().is_empty()).enumerate() {
        let indent = line.len() - line.trim_start().len();
        while above.last().is_some_and(|(outer, _)| *outer >= indent) {
            above.pop();
        }
        let mut span = brief(line, number as u64 + 1);
        let parent = above.last().map(|(_, id)| *id);
        if span.is_log_event {
            span.span_id = parent.unwrap();
        } else {
            // A span may name another parent, one that is not there.
            span.parent_span_id = span.parent_span_id.or(parent);
            above.push((indent, span.span_id));
        }
        spans.push(span);
    }
    spans.reverse();
    summarize("demo".into(), TraceId::from_bytes(&[1; 16]).unwrap(), &spans)
}

fn brief(line: &str, number: u64) -> SpanBrief<'_> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap();
    let (start, end) = words.next().unwrap().split_once("..").unwrap();
    let mut span = SpanBrief {
        span_id: id(number),
        parent_span_id: None,
        name,
        service: "shop",
        scope: "sdk",
        start_time_unix_nano: start.parse().unwrap(),
        end_time_unix_nano: end.parse().unwrap(),
        is_error: false,
        is_log_event: false,
        is_running: false,
        facts: FactsBrief::default(),
    };
    words.for_each(|word| apply(&mut span, word));
    span
}

fn apply<'a>(span: &mut SpanBrief<'a>, word: &'a str) {
    let facts = &mut span.facts;
    match word.split_once('=').unwrap_or((word, "")) {
        ("error", _) => span.is_error = true,
        ("log", _) => span.is_log_event = true,
        ("running", _) => span.is_running = true,
        ("orphan", _) => span.parent_span_id = Some(id(999)),
        ("service", name) => span.service = name,
        ("scope", name) => span.scope = name,
        ("model", name) => facts.model = name,
        ("in", count) => facts.input_tokens = count.parse().ok(),
        ("out", count) => facts.output_tokens = count.parse().ok(),
        ("total", count) => facts.total_tokens = count.parse().ok(),
        ("cost", nanos) => facts.cost_nano_usd = nanos.parse().ok(),
        ("session", id) => facts.session_id = id,
        ("user", id) => facts.user_id = id,
        ("workflow", name) => facts.workflow_name = name,
        ("agent_name", name) => facts.agent_name = name,
        ("asks", text) => (facts.input_preview, facts.input_is_message) = (text, true),
        ("answers", text) => (facts.output_preview, facts.output_is_message) = (text, true),
        ("input", text) => (facts.input_preview, facts.input_is_message) = (text, false),
        ("output", text) => (facts.output_preview, facts.output_is_message) = (text, false),
        (operation, _) => {
            facts.operation = Some(Operation::from_name(operation).expect("a known word"));
        }
    }
}

fn id(number: u64) -> SpanId {
    SpanId::from_bytes(&number.to_be_bytes()).unwrap()
}

fn usage(trace: &str) -> (Option<u64>, Option<u64>, Option<i64>, bool) {
    let summary = summary(trace);
    (summary.input_tokens, summary.output_tokens, summary.cost_nano_usd, summary.cost_complete)
}

#[test]
fn a_whole_trace_in_one_row() {
    let row = summary(
        "
support 0..100 agent agent_name=support session=s1 workflow=help
  chat 10..20 chat model=gpt-4o in=5 out=7 cost=30 asks=hi answers=look_it_up user=u1
  search 20..30 tool service=search error
  chat 30..90 chat model=gpt-4o-mini in=9 out=1 cost=10 asks=hi answers=here agent_name=writer
",
    );
    assert_eq!(row.root_name, "support");
    assert_eq!(row.root_span_id, Some(id(1)));
    assert_eq!(row.services, ["shop", "search"]);
    assert_eq!((row.start_time_unix_nano, row.end_time_unix_nano), (0, 100));
    assert_eq!((row.span_count, row.error_count, row.is_error), (4, 1, false));
    assert_eq!(row.models, ["gpt-4o", "gpt-4o-mini"]);
    assert_eq!(
        (row.input_tokens, row.output_tokens, row.total_tokens),
        (Some(14), Some(8), Some(22))
    );
    assert_eq!((row.cost_nano_usd, row.cost_complete), (Some(40), true));
    assert_eq!((&*row.session_id, &*row.user_id, &*row.workflow), ("s1", "u1", "help"));
    assert_eq!(row.agents, ["support", "writer"]);
    assert_eq!((&*row.input_preview, &*row.output_preview), ("hi", "here"));
    assert!(row.complete);
}

#[test]
fn an_agent_that_repeats_the_usage_of_its_calls_does_not_count() {
    let trace = "
agent 0..100 agent in=20 out=20
  chat 10..20 chat in=5 out=7
";
    assert_eq!(usage(trace), (Some(5), Some(7), None, false));
}

#[test]
fn without_usage_of_a_model_call_the_outermost_usage_counts() {
    let trace = "
workflow 0..100 workflow
  agent 0..90 agent in=20 out=20 cost=3
    task 10..20 task in=20 out=20 cost=3
    chat 20..30 chat
";
    assert_eq!(usage(trace), (Some(20), Some(20), Some(3), true));
    assert_eq!(usage("agent 0..9 agent"), (None, None, None, true));
}

#[test]
fn of_nested_model_calls_the_innermost_counts() {
    let trace = "
gateway 0..100 chat in=10 out=10 cost=7
  POST 5..95
    chat 10..90 chat in=11 out=11 cost=8
";
    assert_eq!(usage(trace), (Some(11), Some(11), Some(8), true));
    let without_inner_usage = "
gateway 0..100 chat in=10 out=10
  chat 10..90 chat
";
    assert_eq!(usage(without_inner_usage), (Some(10), Some(10), None, false));
}

#[test]
fn a_call_that_two_instrumentations_recorded_side_by_side_counts_once() {
    let trace = "
chat 0..900000000 workflow
  stream 10..90000000 chat scope=a model=claude in=10 out=10 cost=7
  create 20..89000000 chat scope=b model=claude in=10 out=11 cost=7
";
    assert_eq!(usage(trace), (Some(10), Some(10), Some(7), true));
    for (what, other) in [
        ("of the same instrumentation", "20..89000000 chat model=claude scope=a in=10 out=11"),
        ("of another model", "20..89000000 chat model=gpt scope=b in=10 out=11"),
        ("that used more", "20..89000000 chat model=claude scope=b in=13 out=11"),
        ("that began and ended later", "20000000..99000000 chat model=claude scope=b in=10 out=11"),
    ] {
        let trace = trace.lines().take(3).collect::<Vec<_>>().join("\n");
        let (input, ..) = usage(&format!("{trace}\n  create {other}\n"));
        assert!(input > Some(19), "one {what} is a call of its own");
    }
}

#[test]
fn of_calls_at_the_same_time_each_has_one_twin() {
    let trace = "
chat 0..900000000 workflow
  stream 10..90000000 chat scope=a in=10 out=10
  stream 10..90000000 chat scope=a in=10 out=10
  create 20..89000000 chat scope=b in=10 out=10
  create 20..89000000 chat scope=b in=10 out=10
  create 20..89000000 chat scope=b in=10 out=10
";
    assert_eq!(usage(trace), (Some(30), Some(30), None, false));
}

#[test]
fn calls_behind_a_tool_or_of_another_sort_are_calls_of_their_own() {
    let trace = "
chat 0..100 chat in=100 out=10
  tool 5..95 tool
    chat 10..90 chat in=20 out=2
  embed 5..9 embedding in=3
";
    assert_eq!(usage(trace), (Some(123), Some(12), None, false));
}

#[test]
fn while_the_root_is_missing_the_earliest_span_stands_in() {
    let row = summary(
        "
chat 10..20 chat orphan error answers=late
early 5..8 orphan service=front
",
    );
    assert_eq!((&*row.root_name, &*row.root_service), ("early", "front"));
    assert_eq!((row.root_span_id, row.complete, row.is_error), (None, false, true));
    assert_eq!(row.output_preview, "late");
}

#[test]
fn log_events_are_not_spans_but_speak_for_them() {
    let row = summary(
        "
GET 0..100
  chat 10..20 chat in=1
    user 11..11 log asks=first
    user 12..12 log asks=last
    choice 19..19 log answers=yes
",
    );
    assert_eq!((row.span_count, row.end_time_unix_nano), (2, 100));
    assert_eq!((&*row.input_preview, &*row.output_preview), ("last", "yes"));
}

#[test]
fn messages_of_the_root_come_before_its_values_and_those_before_calls() {
    let row = summary(
        "
agent 0..100 agent input={} answers=done
  user 11..11 log asks=question
  chat 10..20 chat asks=system_prompted answers=thinking
",
    );
    assert_eq!((&*row.input_preview, &*row.output_preview), ("question", "done"));
    let row = summary(
        "
agent 0..100 agent input={}
  embed 5..6 embedding input=x
  chat 10..20 chat asks=a answers=b
  chat 30..40 chat asks=c answers=d
",
    );
    assert_eq!((&*row.input_preview, &*row.output_preview), ("{}", "d"));
}

#[test]
fn only_log_events_still_have_a_time() {
    let span = SpanBrief { is_log_event: true, ..brief("user 7..7", 1) };
    let row = summarize("demo".into(), TraceId::from_bytes(&[1; 16]).unwrap(), &[span]);
    assert_eq!((row.span_count, row.start_time_unix_nano, row.complete), (0, 7, false));
}

#[test]
fn a_trace_is_complete_when_its_root_has_ended() {
    for (line, complete) in [("agent 1..9", true), ("agent 1..1 running", false)] {
        let spans = [brief(line, 1), brief("tool 2..2 running orphan", 2)];
        let row = summarize("demo".into(), TraceId::from_bytes(&[1; 16]).unwrap(), &spans);
        assert_eq!((row.complete, row.root_span_id), (complete, Some(id(1))), "{line}");
    }
}

#[test]
fn loops_and_long_chains_end() {
    let chain = |parent_of_first: u64| {
        (1..=200_000).map(move |number| SpanBrief {
            parent_span_id: Some(id(if number == 1 { parent_of_first } else { number - 1 })),
            ..brief("chat 1..2 chat in=1", number)
        })
    };
    for parent_of_first in [200_000, 999_999] {
        let spans: Vec<SpanBrief<'_>> = chain(parent_of_first).collect();
        let row = summarize("demo".into(), TraceId::from_bytes(&[1; 16]).unwrap(), &spans);
        assert_eq!((row.span_count, row.complete), (200_000, false));
    }
}
