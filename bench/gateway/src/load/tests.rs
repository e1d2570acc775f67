//! The load generator against the mock.

use super::*;
use spanwise_bench_gateway::mock::MockUpstream;

const BRIEF: Window =
    Window { warm_up: Duration::from_millis(20), measured: Duration::from_millis(200) };

fn shot(mock: &MockUpstream, model: &str, n_events: Option<usize>) -> Shot {
    let body = format!(r#"{{"model":"{model}","stream":{}}}"#, n_events.is_some());
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: mock\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    Shot { address: mock.address(), request: Bytes::from(head + &body), n_events }
}

fn load(model: &str, n_events: Option<usize>, pace: Pace) -> (Tally, MockUpstream) {
    let mock = MockUpstream::start().unwrap();
    let tally =
        run(&shot(&mock, model, n_events), pace, BRIEF, || Ok(Duration::from_secs(1))).unwrap();
    (tally, mock)
}

#[test]
fn every_request_of_a_closed_loop_is_counted() {
    let (tally, mock) = load("m", None, Pace::Closed(3));
    assert_eq!((tally.n_failed, tally.failure), (0, None));
    assert_eq!(tally.n_sent, mock.n_requests());
    assert_eq!(mock.n_connections(), 3);
    assert!(tally.n_done <= tally.n_sent);
    assert!(tally.elapsed >= BRIEF.measured && tally.cpu.is_zero());
}

#[test]
fn an_open_loop_sends_as_much_as_it_should_and_waits_for_what_is_late() {
    let (tally, mock) = load("m~delay=50", None, Pace::Open(500));
    assert_eq!((tally.n_failed, tally.failure), (0, None));
    assert_eq!(tally.n_sent, mock.n_requests());
    assert!(tally.n_sent > 1);
}

#[test]
fn streams_are_read_event_by_event() {
    let (tally, _) = load("m~deltas=5,clock,split=17", Some(8), Pace::Closed(1));
    assert_eq!((tally.n_failed, tally.failure), (0, None));
    assert!(tally.first_content.quantile(0.5).is_some());
    let (tally, _) = load("m~deltas=5,clock", Some(8), Pace::Closed(1));
    assert!(tally.delay.quantile(0.5).is_some() && tally.gap.quantile(0.5).is_some());
}

#[test]
fn failures_are_counted_with_their_reasons() {
    for (model, n_events, reason) in [
        ("m~status=503", None, "HTTP/1.1 503"),
        ("m~deltas=5", Some(9), "8 events instead of 9"),
        ("m~deltas=5,cut=2", Some(8), "end of file"),
        ("m~refuse", None, "reset"),
        ("m~body=empty", None, "an empty answer"),
    ] {
        let (tally, _) = load(model, n_events, Pace::Closed(1));
        assert_eq!(tally.n_failed, tally.n_sent, "{model}");
        let failure = tally.failure.unwrap();
        assert!(failure.contains(reason), "{model}: {failure}");
    }
}

#[test]
fn held_streams_are_given_up_at_the_end() {
    let (tally, mock) = load("m~pace=60000", Some(11), Pace::Held(4));
    assert_eq!((tally.n_failed, tally.n_done), (0, 0));
    assert!(mock.n_requests() <= 4);
}
