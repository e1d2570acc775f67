//! Context that is wrong, missing, contradictory or too long, and clocks.

use std::time::Duration;

use serde::Deserialize;
use spanwise_gateway::record::Clock;
use spanwise_model::propagate::{Extracted, TraceState};
use spanwise_model::{Kind, Span, SpanId, TraceId};

use super::*;
use crate::house::{House, Parts};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A line of `testdata/propagation/extract.json`.
#[derive(Deserialize)]
struct Case {
    name: String,
    headers: Vec<(String, String)>,
    trace_id: Option<TraceId>,
    span_id: Option<SpanId>,
    flags: Option<u8>,
    sampled: Option<bool>,
    #[serde(default)]
    tracestate: String,
    #[serde(default)]
    baggage: String,
}

impl Case {
    /// What HTTP makes of the headers: spaces around a value are no part of it.
    fn over_http(mut self) -> Self {
        let trimmed = |value: &str| value.trim_matches([' ', '\t']).to_owned();
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.clone(), trimmed(value))).collect();
        if headers != self.headers {
            let Extracted { parent, sampled, baggage, .. } = Extracted::from_pairs(&headers);
            self.trace_id = parent.as_ref().map(|parent| parent.trace_id);
            self.span_id = parent.as_ref().map(|parent| parent.span_id);
            self.flags = parent.as_ref().map(|parent| parent.flags.bits());
            self.tracestate =
                parent.map(|it| it.trace_state.as_str().to_owned()).unwrap_or_default();
            self.sampled = sampled;
            baggage.as_str().clone_into(&mut self.baggage);
        }
        self
    }

    /// Whether it can arrive at all: no server lets control characters in a header pass.
    fn can_arrive(&self) -> bool {
        self.headers
            .iter()
            .all(|(_, value)| !value.chars().any(|c| c.is_ascii_control() && c != '\t'))
    }
}

fn request(headers: &[(String, String)]) -> String {
    let body = ask("openai/gpt-4o", "");
    let lines = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let headers = lines.collect::<Vec<_>>().concat();
    format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The whole table of rules and illegal forms that the model and the SDKs run, over a socket: what
/// the upstream gets, and below what our spans are.
#[test]
fn fault_01_every_rule_of_the_table_holds_over_a_socket() {
    let table = include_str!("../../../../../testdata/propagation/extract.json");
    let cases: Vec<Case> = serde_json::from_str(table).unwrap();
    let n_cases = cases.len();
    let cases: Vec<_> = cases.into_iter().filter(Case::can_arrive).map(Case::over_http).collect();
    assert!(cases.len() > 150 && n_cases - cases.len() < 10, "{} of {n_cases}", cases.len());
    let house = House::new();
    for case in &cases {
        let answer = house.raw(request(&case.headers));
        assert!(answer.starts_with("HTTP/1.1 200"), "{}: {answer}", case.name);
    }
    let is_kept = |case: &&Case| case.sampled != Some(false);
    let spans = house.spans(3 * cases.iter().filter(is_kept).count());
    for (case, seen) in cases.iter().zip(house.mock.seen()) {
        let sent = seen.header("traceparent").unwrap();
        let (trace, attempt) = (&sent[3..35], &sent[36..52]);
        if let Some(id) = case.trace_id {
            assert_eq!(trace, id.to_string(), "{}", case.name);
        } else {
            let begins = !case.headers.iter().any(|(_, value)| value.contains(trace));
            assert!(begins, "{}: {sent}", case.name);
        }
        let random = case.flags.map_or(2, |flags| flags & 2);
        let flags = random | u8::from(case.sampled.unwrap_or(true));
        assert_eq!(&sent[52..], format!("-{flags:02x}"), "{}", case.name);
        // A model that is not at its public address may be another gateway: it is told of this one.
        let mut state = TraceState::parse(case.tracestate.as_bytes()).unwrap();
        state.insert("spanwise", "hop:1").unwrap();
        assert_eq!(seen.header("tracestate"), Some(state.as_str()), "{}", case.name);
        assert_eq!(seen.header("baggage").unwrap_or_default(), case.baggage, "{}", case.name);
        assert_eq!(server_of(&spans, attempt).map(|it| it.parent_span_id), {
            let is_kept = case.sampled != Some(false);
            is_kept.then_some(case.span_id.filter(|_| case.trace_id.is_some()))
        });
    }
}

/// The span of the request that an attempt was made for.
fn server_of<'s>(spans: &'s [Span], attempt: &str) -> Option<&'s Span> {
    let by_id = |id: SpanId| spans.iter().find(|span| span.span_id == id);
    let mut span = spans.iter().find(|span| span.span_id.to_string() == attempt)?;
    while span.kind != Kind::Server {
        span = by_id(span.parent_span_id?)?;
    }
    Some(span)
}

#[test]
fn fault_01_what_is_no_text_or_very_long_starts_a_new_trace() {
    let house = House::new();
    let long = [b"00-".as_slice(), &[b'a'; 10_000]].concat();
    let wrong: [&[u8]; 3] = [&long, b"\xff\xfe\x80", b"00-\xe9"];
    for value in wrong {
        let plain = request(&[("tracestate".to_owned(), "a=1".to_owned())]);
        let (line, rest) = plain.split_once("\r\n").unwrap();
        let head =
            [line.as_bytes(), b"\r\ntraceparent: ", value, b"\r\n", rest.as_bytes()].concat();
        let answer = house.raw(head);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    for seen in house.mock.seen() {
        assert!(seen.header("traceparent").is_some_and(|it| it.len() == 55));
        assert_eq!(seen.header("tracestate"), Some("spanwise=hop:1"));
    }
    let spans = house.spans(9);
    assert_eq!(spans.iter().filter(|span| span.parent_span_id.is_none()).count(), 3);
}

#[test]
fn fault_02_the_callers_decision_and_the_gateways_are_told_and_exported_alike() {
    for (parent, percent, caller, is_kept) in [
        ("honor", 100, "00", false),
        ("honor", 0, "01", true),
        ("override", 100, "00", true),
        ("override", 0, "01", false),
    ] {
        let mut house = House::with(&format!(
            r#"{{"tracing":{{"random_sampling":{percent},"parent":"{parent}"}}}}"#
        ));
        let traceparent = format!("{}{caller}", &CALLER[..53]);
        let answer =
            house.post_with(CHAT, &ask("openai/gpt-4o", ""), &[("traceparent", &traceparent)]);
        let flag = if is_kept { "-01" } else { "-00" };
        let seen = house.mock.seen();
        assert!(seen[0].header("traceparent").unwrap().ends_with(flag), "{parent} {percent}");
        assert!(answer.headers["traceresponse"].ends_with(flag));
        house.stop();
        house.spans(if is_kept { 3 } else { 0 });
    }
}

#[test]
fn fault_03_context_that_is_too_long_is_cut_and_costs_nobody_an_answer() {
    let house = House::new();
    let members = |n: usize| (0..n).map(|n| format!("k{n}={n}")).collect::<Vec<_>>().join(",");
    let long = (0..30).map(|n| format!("k{n}={}", "v".repeat(250))).collect::<Vec<_>>().join(",");
    let baggage =
        (0..640).map(|n| format!("k{n}={}", "v".repeat(95))).collect::<Vec<_>>().join(",");
    assert!(long.len() > 7 << 10 && baggage.len() >= 64_000);
    for (state, baggage) in
        [(members(33), "a=1".to_owned()), (long, "a=1".to_owned()), (members(2), baggage)]
    {
        let headers = [("traceparent", CALLER), ("tracestate", &state), ("baggage", &baggage)];
        let answer = house.post_with(CHAT, &ask("openai/gpt-4o", ""), &headers);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let seen = house.mock.seen();
    assert!(seen.iter().all(|seen| seen.header("traceparent").unwrap().contains(TRACE)));
    assert_eq!(seen[0].header("tracestate"), Some("spanwise=hop:1"), "33 members are none");
    let cut = seen[1].header("tracestate").unwrap();
    assert!(cut.starts_with("spanwise=hop:1") && cut.len() < 8 << 10, "{cut}");
    let baggage = seen[2].header("baggage").unwrap();
    assert!(baggage.starts_with("k0=vvv") && baggage.len() <= 8192, "{}", baggage.len());
}

#[test]
fn fault_04_a_caller_whose_spans_never_come_is_still_the_parent() {
    let house = House::new();
    house.post_with(CHAT, &ask("openai/gpt-4o", ""), &[("traceparent", CALLER)]);
    let spans = house.spans(3);
    let server = spans.iter().find(|span| span.kind == Kind::Server).unwrap();
    assert_eq!(server.parent_span_id.unwrap().to_string(), "b7ad6b7169203331");
    assert!(spans.iter().all(|span| span.trace_id.to_string() == TRACE));
    assert!(spans.iter().all(|span| span.end_time_unix_nano >= span.start_time_unix_nano));
}

/// Nobody can set this machine's clock for a test. All times of an exchange are one reading of the
/// clock and what a clock that nobody sets has counted since: that is what is held here.
#[test]
fn fault_37_durations_do_not_come_from_a_clock_that_can_be_set() {
    let clock = Clock::start();
    let start = clock.unix_nano(clock.started());
    for millis in [0, 1, 3_600_000] {
        let later = clock.started() + Duration::from_millis(millis);
        assert_eq!(clock.unix_nano(later) - start, millis * 1_000_000);
    }
    let before = clock.started().checked_sub(Duration::from_millis(1)).unwrap();
    assert_eq!(clock.unix_nano(before), start, "nothing is before its beginning");
}

#[test]
fn fault_45_a_gateway_that_is_its_own_model_is_stopped_and_the_trace_shows_it() {
    let house = House::build(
        r#"{"model_providers":[{"model":"openai/*","base_url":"SELF/v1"}]}"#,
        Parts::default(),
    );
    let answer = house.post(CHAT, &ask("openai/gpt-4o", ""));
    assert_eq!(answer.status, 508, "{}", answer.body);
    // Eight gateways, and the one that refuses, which has no call of its own.
    let tree = house.tree(8 * 3 + 1, &["spanwise.gateway.hops"]);
    let deepest = format!("{}POST {CHAT} spanwise.gateway.hops=8\n", "  ".repeat(24));
    assert!(tree.starts_with("POST") && tree.ends_with(&deepest), "{tree}");
    assert_eq!(house.mock.n_requests(), 0);
}

#[test]
fn fault_45_a_request_that_has_passed_too_many_gateways_goes_no_further() {
    let house = House::new();
    let headers = [("traceparent", CALLER), ("tracestate", "spanwise=hop:8")];
    let answer = house.post_with(CHAT, &ask("openai/gpt-4o", ""), &headers);
    assert_eq!(answer.status, 508);
    assert_eq!(house.mock.n_requests(), 0);
}
