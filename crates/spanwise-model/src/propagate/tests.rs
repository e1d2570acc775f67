use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::{SpanId, TraceId};

/// One line of `testdata/propagation/extract.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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
    #[serde(default)]
    problems: Vec<String>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../../../../testdata/propagation/extract.json")).unwrap()
}

#[test]
fn every_rule_of_the_table_holds() {
    for case in cases() {
        let extracted = Extracted::from_pairs(&case.headers);
        let parent = extracted.parent.as_ref();
        assert_eq!(parent.map(|p| p.trace_id), case.trace_id, "{}", case.name);
        assert_eq!(parent.map(|p| p.span_id), case.span_id, "{}", case.name);
        assert_eq!(parent.map(|p| p.flags.bits()), case.flags, "{}", case.name);
        assert_eq!(extracted.sampled, case.sampled, "{}", case.name);
        let state = parent.map_or("", |parent| parent.trace_state.as_str());
        assert_eq!(state, case.tracestate, "{}", case.name);
        assert_eq!(extracted.baggage.as_str(), case.baggage, "{}", case.name);
        let problems: Vec<&str> = extracted.problems.iter().map(|p| p.header).collect();
        assert_eq!(problems, case.problems, "{}: {:?}", case.name, extracted.problems);
    }
}

/// What is written from what was read reads the same, unless it was B3 without a decision.
#[test]
fn what_the_table_yields_goes_on_unchanged() {
    for case in cases() {
        let extracted = Extracted::from_pairs(&case.headers);
        let Some(parent) = extracted.parent else { continue };
        let mut headers = Vec::new();
        inject(&parent, &extracted.baggage, &mut |name, value| {
            headers.push((name, value.to_owned()));
        });
        assert!(headers.iter().all(|(_, value)| !value.is_empty()), "{}", case.name);
        let again = Extracted::from_pairs(&headers);
        assert_eq!(again.parent, Some(parent), "{}", case.name);
        assert_eq!(again.baggage, extracted.baggage, "{}", case.name);
        assert_eq!(again.problems, [], "{}", case.name);
    }
}

fn context() -> SpanContext {
    Traceparent::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03").unwrap()
}

#[test]
fn a_child_keeps_the_trace_and_the_random_flag() {
    let mut parent = context();
    parent.trace_state.insert("ours", "1").unwrap();
    let id = SpanId::from_bytes(&[7; 8]).unwrap();
    let child = parent.child(id, false);
    let expected = "00-0af7651916cd43dd8448eb211c80319c-0707070707070707-02";
    assert_eq!(child.traceparent().as_str(), expected);
    assert_eq!(child.trace_state, parent.trace_state);
    assert!(parent.child(id, true).flags.is_sampled());
}

#[test]
fn a_written_member_moves_to_the_front() {
    let mut state = TraceState::parse(b"a=1,b=2,c=3").unwrap();
    state.insert("c", "4").unwrap();
    assert_eq!(state.as_str(), "c=4,a=1,b=2");
    state.insert("ours", "x y").unwrap();
    assert_eq!((state.get("ours"), state.get("b")), (Some("x y"), Some("2")));
    state.remove("a");
    state.remove("not there");
    assert_eq!(state.as_str(), "ours=x y,c=4,b=2");
}

#[test]
fn the_thirty_third_member_pushes_out_the_last() {
    let full: Vec<String> = (0..32).map(|n| format!("k{n}=v")).collect();
    let mut state = TraceState::parse(full.join(",").as_bytes()).unwrap();
    state.insert("new", "v").unwrap();
    assert_eq!(state.members().count(), 32);
    assert_eq!(
        (state.get("new"), state.get("k30"), state.get("k31")),
        (Some("v"), Some("v"), None)
    );
}

#[test]
fn illegal_members_are_refused() {
    let mut state = TraceState::default();
    for key in ["", "A", "@a", "a b", "a,b", "a=b", &"k".repeat(257)] {
        assert_eq!(state.insert(key, "v"), Err(InvalidMember::Key), "{key}");
    }
    for value in ["", " ", "v ", "a,b", "a=b", "é", "\t", &"v".repeat(257)] {
        assert_eq!(state.insert("k", value), Err(InvalidMember::Value), "{value}");
    }
    assert!(state.is_empty());
}

#[test]
fn baggage_values_are_percent_encoded() {
    let mut baggage = Baggage::parse(b"keep=%41;p=1,old=1,old=2");
    baggage.insert("old", "Amélie, 100 %; \"x\"\\").unwrap();
    assert_eq!(baggage.as_str(), "keep=%41;p=1,old=Am%C3%A9lie%2C%20100%20%25%3B%20%22x%22%5C");
    assert_eq!(baggage.get("old").unwrap(), "Amélie, 100 %; \"x\"\\");
    assert_eq!(baggage.get("keep").unwrap(), "A");
    let member = baggage.members().next().unwrap();
    assert_eq!((member.encoded_value, member.properties), ("%41", "p=1"));
    baggage.remove("keep");
    assert_eq!(baggage.members().count(), 1);
}

#[test]
fn baggage_that_is_not_utf8_when_decoded_is_replaced() {
    let baggage = Baggage::parse(b"k=a%FFb%C3,l=%4,m=%");
    assert_eq!(baggage.get("k").unwrap(), "a\u{fffd}b\u{fffd}");
    assert_eq!((&*baggage.get("l").unwrap(), &*baggage.get("m").unwrap()), ("%4", "%"));
}

#[test]
fn baggage_refuses_what_does_not_fit() {
    let mut baggage = Baggage::parse(b"a=1");
    assert_eq!(baggage.insert("k k", "v"), Err(InvalidEntry::Key));
    assert_eq!(baggage.insert("k", &"v".repeat(9000)), Err(InvalidEntry::Full));
    assert_eq!(baggage.as_str(), "a=1");
}

#[test]
fn the_model_context_protocol_carries_the_same() {
    let mut state = context();
    state.trace_state.insert("a", "1").unwrap();
    let mut meta = Map::new();
    meta.insert("progressToken".into(), 1.into());
    meta.insert("baggage".into(), "stale=1".into());
    inject_meta(&state, &Baggage::default(), &mut meta);
    let keys: Vec<&str> = meta.keys().map(String::as_str).collect();
    assert_eq!(keys, ["progressToken", "traceparent", "tracestate"]);
    let extracted = Extracted::from_meta(&meta);
    assert_eq!((extracted.parent, extracted.problems.len()), (Some(state), 0));
    meta.insert("traceparent".into(), 1.into());
    let extracted = Extracted::from_meta(&meta);
    assert_eq!((extracted.parent, extracted.problems.len()), (None, 1));
}

fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = prop_oneof![
        Just("traceparent"),
        Just("tracestate"),
        Just("baggage"),
        Just("b3"),
        Just("x-b3-traceid"),
        Just("x-b3-spanid"),
        Just("x-b3-sampled"),
        Just("x-b3-flags"),
    ];
    let value = prop_oneof![
        "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?".prop_map(String::into_bytes),
        "([a-z0-9@]{1,4}=[ -~]{0,6}[,;]?){0,40}".prop_map(String::into_bytes),
        "[0-9a-f]{16}(-[01d])?".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..80),
    ];
    (name.prop_map(str::to_owned), value)
}

proptest! {
    #[test]
    fn whatever_is_read_can_be_sent(headers in proptest::collection::vec(header(), 0..6)) {
        let extracted = Extracted::from_pairs(&headers);
        let parent = extracted.parent.unwrap_or_else(context);
        let mut sent = Vec::new();
        inject(&parent, &extracted.baggage, &mut |name, value| sent.push((name, value.to_owned())));
        let again = Extracted::from_pairs(&sent);
        prop_assert_eq!(again.parent, Some(parent));
        prop_assert_eq!(again.baggage, extracted.baggage);
        prop_assert!(again.problems.is_empty());
        prop_assert!(sent.iter().all(|(_, value)| value.is_ascii() && value.len() <= 8192));
    }

    #[test]
    fn any_context_survives(trace in any::<[u8; 16]>(), span in any::<[u8; 8]>(), flags in 0..4_u8) {
        let (Ok(trace_id), Ok(span_id)) = (TraceId::from_bytes(&trace), SpanId::from_bytes(&span))
        else { return Ok(()) };
        let flags = TraceFlags::from_bits(flags);
        let text = Traceparent::new(trace_id, span_id, flags);
        let read = Traceparent::parse(text.as_str().as_bytes()).unwrap();
        prop_assert_eq!((read.trace_id, read.span_id, read.flags), (trace_id, span_id, flags));
    }

    #[test]
    fn any_baggage_value_survives(value in ".{0,100}") {
        let mut baggage = Baggage::default();
        baggage.insert("k", &value).unwrap();
        let read = Baggage::parse(baggage.as_str().as_bytes());
        prop_assert_eq!(read.get("k").unwrap(), value);
    }
}
