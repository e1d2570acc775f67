use spanwise::Settings;

use super::*;

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn tracer(change: impl FnOnce(&mut Tracing)) -> Tracer {
    let mut tracing = Tracing::default();
    change(&mut tracing);
    Tracer::new(Some(Recorder::new(Settings::default())), &tracing, Arc::default())
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn full() -> Manner {
    Manner { propagate: Propagate::Full, baggage: true, counts_hops: false }
}

fn sent(tracer: &Tracer, caller: &HeaderMap, manner: Manner) -> (Place, Context, HeaderMap) {
    let place = tracer.enter(caller);
    let attempt = place.call.new_child();
    let mut sent = HeaderMap::new();
    tracer.inject(&place, &attempt, caller, manner, &mut sent);
    (place, attempt, sent)
}

#[test]
fn the_header_sent_on_names_the_attempt() {
    let caller = headers(&[("traceparent", CALLER), ("tracestate", "a=1,b=2"), ("baggage", "k=v")]);
    let (place, attempt, sent) = sent(&tracer(|_| {}), &caller, full());
    assert_eq!(place.parent.unwrap().span_id.to_string(), "b7ad6b7169203331");
    let trace = "0af7651916cd43dd8448eb211c80319c";
    assert_eq!(sent["traceparent"], format!("00-{trace}-{}-01", attempt.span_id));
    assert_eq!(
        (&sent["tracestate"], &sent["baggage"]),
        (&"a=1,b=2".parse().unwrap(), &"k=v".parse().unwrap())
    );
}

#[test]
fn a_caller_that_cannot_be_understood_starts_a_new_trace_without_its_state() {
    let upper = CALLER.to_uppercase();
    for wrong in ["", "junk", &upper, "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"] {
        let caller = headers(&[("traceparent", wrong), ("tracestate", "a=1")]);
        let (place, _, sent) = sent(&tracer(|_| {}), &caller, full());
        assert!(place.parent.is_none(), "{wrong}");
        assert!(!sent.contains_key("tracestate"));
        assert_eq!(&sent["traceparent"].to_str().unwrap()[53..], "03");
    }
}

#[test]
fn the_callers_decision_is_honoured_or_overridden() {
    let unsampled = CALLER.replace("-01", "-00");
    let sampled_of = |tracer: &Tracer, header: &str| {
        tracer.enter(&headers(&[("traceparent", header)])).server.is_sampled()
    };
    let honor = tracer(|tracing| tracing.random_sampling = 0.0);
    assert!(sampled_of(&honor, CALLER));
    assert!(!honor.enter(&HeaderMap::new()).server.is_sampled());
    let all = tracer(|tracing| tracing.parent = Parent::Override);
    assert!(sampled_of(&all, &unsampled));
    let none = tracer(|tracing| {
        tracing.parent = Parent::Override;
        tracing.random_sampling = 0.0;
    });
    assert!(!sampled_of(&none, CALLER));
}

#[test]
fn a_share_is_told_as_a_threshold() {
    let half = tracer(|tracing| tracing.random_sampling = 50.0);
    let place = (0..200).map(|_| half.enter(&HeaderMap::new())).find(|p| p.server.is_sampled());
    assert_eq!(place.unwrap().server.trace_state(), "ot=th:8");
}

#[test]
fn an_upstream_may_get_a_new_trace_or_nothing() {
    let caller = headers(&[("traceparent", CALLER), ("tracestate", "a=1"), ("baggage", "k=v")]);
    let restart = Manner { propagate: Propagate::Restart, baggage: false, counts_hops: false };
    let (_, attempt, sent_anew) = sent(&tracer(|_| {}), &caller, restart);
    let header = sent_anew["traceparent"].to_str().unwrap();
    assert!(!header.contains(&attempt.trace_id.to_string()));
    assert_eq!(sent_anew.len(), 1);
    let none = Manner { propagate: Propagate::None, ..restart };
    assert!(sent(&tracer(|_| {}), &caller, none).2.is_empty());
}

#[test]
fn who_does_not_trace_passes_everything_on_untouched() {
    let caller =
        headers(&[("traceparent", "not even valid"), ("tracestate", "a=1"), ("tracestate", "b=2")]);
    let off = Tracer::new(None, &Tracing::default(), Arc::default());
    let (place, _, sent) = sent(&off, &caller, full());
    assert_eq!(sent, caller);
    let mut answer = HeaderMap::new();
    off.respond(&place, &mut answer);
    assert!(answer.is_empty());
}

#[test]
fn gateways_on_the_way_are_counted() {
    let counting = Manner { counts_hops: true, ..full() };
    let mut caller = headers(&[("traceparent", CALLER), ("tracestate", "a=1")]);
    for hops in 1..4 {
        let (place, _, sent) = sent(&tracer(|_| {}), &caller, counting);
        assert_eq!(place.hops, hops - 1);
        assert_eq!(sent["tracestate"], format!("spanwise=hop:{hops},a=1"));
        caller = sent;
    }
}

#[test]
fn the_caller_learns_which_trace_it_was() {
    let tracer = tracer(|_| {});
    let place = tracer.enter(&HeaderMap::new());
    let mut answer = HeaderMap::new();
    tracer.respond(&place, &mut answer);
    let server = &place.server;
    assert_eq!(answer["traceresponse"], format!("00-{}-{}-03", server.trace_id, server.span_id));
}
