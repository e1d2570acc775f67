use proptest::prelude::*;
use spanwise_model::{Attribute, Event, Kind, Status, Value};

use super::*;

const RECEIVED: u64 = 1_800_000_000_000_000_000;
const START: u64 = 1_700_000_000_000_000_000;

fn a_span() -> Span {
    Span {
        trace_id: TraceId::from_bytes(&[1; 16]).unwrap(),
        span_id: SpanId::from_bytes(&[2; 8]).unwrap(),
        parent_span_id: None,
        trace_state: Str::new(),
        flags: 0,
        name: Str::from_static("work"),
        kind: Kind::Internal,
        start_time_unix_nano: START,
        end_time_unix_nano: START + 5,
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

/// The span after repairs, and the kinds of its warnings.
fn sanitized(change: impl FnOnce(&mut Span)) -> (Span, Vec<Str>) {
    let mut patient = a_span();
    change(&mut patient);
    let mut warnings = Vec::new();
    span(&mut patient, RECEIVED, &mut warnings);
    (patient, warnings.into_iter().map(|warning| warning.kind).collect())
}

fn stored(span: Span) -> StoredSpan {
    StoredSpan {
        project: Arc::from("p"),
        role: spanwise_model::RowRole::Span,
        span,
        facts: spanwise_model::genai::Facts::default(),
        warnings: Vec::new(),
        received_unix_nano: RECEIVED,
    }
}

#[test]
fn a_sound_span_is_left_alone() {
    let (span, warnings) = sanitized(|_| ());
    assert_eq!((span, warnings), (a_span(), vec![]));
}

#[test]
fn a_nameless_span_gets_a_name() {
    let (span, warnings) = sanitized(|span| span.name = Str::from_static(" "));
    assert_eq!((&*span.name, warnings), (UNNAMED, vec!["empty_name".into()]));
}

#[test]
fn a_span_is_not_its_own_parent() {
    let (span, warnings) = sanitized(|span| span.parent_span_id = Some(span.span_id));
    assert_eq!((span.parent_span_id, warnings), (None, vec!["own_parent".into()]));
}

#[test]
fn l5_missing_times_are_filled() {
    let times = |start, end| {
        let (span, warnings) = sanitized(|span| {
            (span.start_time_unix_nano, span.end_time_unix_nano) = (start, end);
        });
        (span.start_time_unix_nano, span.end_time_unix_nano, warnings)
    };
    assert_eq!(times(START, 0), (START, START, vec!["missing_end".into()]));
    assert_eq!(times(0, START), (START, START, vec!["missing_start".into()]));
    assert_eq!(times(0, 0), (RECEIVED, RECEIVED, vec!["missing_times".into()]));
}

#[test]
fn l5_a_negative_duration_becomes_zero() {
    let mut patient = a_span();
    patient.end_time_unix_nano = START - 7;
    let mut warnings = Vec::new();
    span(&mut patient, RECEIVED, &mut warnings);
    assert_eq!(patient.end_time_unix_nano, START);
    assert_eq!(warnings[0].kind, "negative_duration");
    assert!(warnings[0].message.contains(&(START - 7).to_string()), "the old value is told");
}

#[test]
fn absurd_times_are_kept_and_warned_about() {
    for time in [1, 1_700_000_000_000, 7_258_118_400_000_000_001] {
        let (span, warnings) = sanitized(|span| {
            (span.start_time_unix_nano, span.end_time_unix_nano) = (time, time);
        });
        assert_eq!(span.start_time_unix_nano, time);
        assert_eq!(warnings, ["implausible_time"]);
    }
}

#[test]
fn of_repeated_keys_the_last_wins() {
    let (span, warnings) = sanitized(|span| {
        span.attributes = [("a", 1), ("b", 2), ("a", 3)].into_iter().collect();
    });
    assert_eq!(span.attributes, [("b", 2), ("a", 3)].into_iter().collect());
    assert_eq!(warnings, ["repeated_key"]);
}

#[test]
fn repeated_keys_are_found_among_many() {
    let (span, warnings) = sanitized(|span| {
        span.attributes = (0..200).map(|n| (format!("k{}", n % 150), n)).collect();
    });
    assert_eq!(span.attributes.len(), 150);
    assert_eq!(span.attributes.get("k3"), Some(&Value::Int(153)));
    assert_eq!(warnings, ["repeated_key"]);
}

#[test]
fn resources_with_repeated_keys_are_repaired_once_for_all_their_spans() {
    let attributes: Attributes = [("a", 1), ("a", 2)].into_iter().collect();
    let shared = Arc::new(Resource { attributes, ..Resource::default() });
    let (mut first, mut second) = (Arc::clone(&shared), Arc::clone(&shared));
    let mut scope = Arc::default();
    let mut repairs = Shared::default();
    repairs.repair(&mut first, &mut scope);
    repairs.repair(&mut second, &mut scope);
    assert_eq!(first.attributes.len(), 1);
    assert!(Arc::ptr_eq(&first, &second));
}

#[test]
fn odd_keys_and_many_attributes_are_kept_and_warned_about() {
    let (span, warnings) = sanitized(|span| {
        span.attributes.push("x".repeat(1 << 20), 1);
        span.attributes.push("", 1);
    });
    assert_eq!(span.attributes.len(), 2);
    assert_eq!(warnings, ["long_key", "empty_key"]);

    let (span, warnings) = sanitized(|span| {
        span.attributes = (0..100_000).map(|n| (n.to_string(), n)).collect();
    });
    assert_eq!(span.attributes.len(), 100_000);
    assert_eq!(warnings, ["many_attributes"]);
}

#[test]
fn u5_identical_copies_are_kept_once() {
    let mut rows = vec![stored(a_span()), stored(a_span()), stored(a_span())];
    assert_eq!(duplicates(&mut rows), 2);
    assert_eq!(rows.len(), 1);
    assert!(rows[0].warnings.is_empty());
}

#[test]
fn u5_different_spans_with_one_id_are_both_kept() {
    let other = Span { name: Str::from_static("other"), ..a_span() };
    let mut rows = vec![stored(a_span()), stored(other)];
    assert_eq!(duplicates(&mut rows), 0);
    assert!(rows.iter().all(|row| row.warnings[0].kind == DUPLICATE_ID));
}

#[test]
fn u5_client_and_server_halves_stay_apart() {
    let server = Span { kind: Kind::Server, ..a_span() };
    let client = Span { kind: Kind::Client, ..a_span() };
    let mut rows = vec![stored(server), stored(client)];
    assert_eq!(duplicates(&mut rows), 0);
    assert!(rows.iter().all(|row| row.warnings.is_empty()));
}

#[test]
fn u5_the_finished_copy_replaces_the_running_one() {
    let mut running = stored(a_span());
    running.warnings.push(Warning::new(MISSING_END, "no end"));
    let finished = Span { end_time_unix_nano: START + 9, ..a_span() };
    for mut rows in [
        vec![running.clone(), stored(finished.clone())],
        vec![stored(finished.clone()), running.clone()],
        vec![running.clone(), stored(finished.clone()), running],
    ] {
        let n_rows = rows.len();
        assert_eq!(duplicates(&mut rows), n_rows - 1);
        assert_eq!((rows.len(), &rows[0].span), (1, &finished));
        assert!(!rows[0].is_running() && rows[0].warnings.is_empty());
    }
}

#[test]
fn u4_a_pending_span_becomes_the_running_form_of_what_it_stands_for() {
    let (real, parent) = (span_id(7), span_id(8));
    for (said, expected) in [
        (Some("0000000000000008"), Some(parent)),
        (Some("0000000000000000"), None),
        (Some("eight"), None),
        (None, None),
    ] {
        let (pending, warnings) = sanitized(|span| {
            span.name = Str::from_static("agent run (pending)");
            (span.parent_span_id, span.end_time_unix_nano) = (Some(real), START);
            span.attributes = [("logfire.span_type", "pending_span")].into_iter().collect();
            if let Some(id) = said {
                span.attributes.push("logfire.pending_parent_id", id);
            }
        });
        assert_eq!((pending.span_id, pending.parent_span_id), (real, expected), "{said:?}");
        assert_eq!((&*pending.name, warnings), ("agent run", vec![MISSING_END.into()]));
        let mut again = pending.clone();
        super::span(&mut again, RECEIVED, &mut Vec::new());
        assert_eq!(again, pending);
    }
}

fn span_id(number: u64) -> SpanId {
    SpanId::from_bytes(&number.to_be_bytes()).unwrap()
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Int),
        any::<bool>().prop_map(Value::Bool),
        ".{0,20}".prop_map(Value::from),
    ]
}

fn any_attributes() -> impl Strategy<Value = Attributes> {
    let attribute =
        ("[ab]{0,2}", any_value()).prop_map(|(key, value)| Attribute { key: key.into(), value });
    proptest::collection::vec(attribute, 0..40).prop_map(Attributes)
}

fn any_span() -> impl Strategy<Value = Span> {
    let time = prop_oneof![Just(0), Just(1), Just(START), Just(START + 9), any::<u64>()];
    (".{0,3}", time.clone(), time.clone(), time, any_attributes(), any::<bool>()).prop_map(
        |(name, start, end, event_time, attributes, is_own_parent)| {
            let span = a_span();
            Span {
                name: name.into(),
                start_time_unix_nano: start,
                end_time_unix_nano: end,
                parent_span_id: is_own_parent.then_some(span.span_id),
                events: vec![Event {
                    time_unix_nano: event_time,
                    name: Str::new(),
                    attributes: attributes.clone(),
                    dropped_attributes_count: 0,
                }],
                attributes,
                ..span
            }
        },
    )
}

proptest! {
    #[test]
    fn sanitizing_twice_changes_nothing(span in any_span()) {
        let mut once = span;
        let mut warnings = Vec::new();
        super::span(&mut once, RECEIVED, &mut warnings);
        prop_assert!(once.end_time_unix_nano >= once.start_time_unix_nano);
        let (mut twice, mut warnings_twice) = (once.clone(), warnings.clone());
        super::span(&mut twice, RECEIVED, &mut warnings_twice);
        prop_assert_eq!(twice, once);
        prop_assert_eq!(warnings_twice, warnings);
    }
}
