//! Clients that leave, are slow, come all at once or ask the same, and a fault of our own.

use std::time::{Duration, Instant};

use spanwise_bench_gateway::mock::{End, Piece, Reply, Seen};
use spanwise_gateway::keys::{Key, KeyHash};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::*;
use crate::house::{House, PATIENCE, Parts};

/// Waits until the upstream has noticed that nobody wants its only answer, and says how long that
/// took.
fn cancelled(house: &House, since: Instant) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = |seen: &[Seen]| seen.iter().all(|seen| seen.end().is_some());
    let seen = runtime.block_on(house.mock.wait_for(PATIENCE, ended)).expect("it was cancelled");
    let (end, at) = seen[0].end().unwrap();
    assert_eq!(end, End::PeerGone);
    at.saturating_duration_since(since)
}

fn arrived(house: &House) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let came = runtime.block_on(house.mock.wait_for(PATIENCE, |seen| !seen.is_empty()));
    assert!(came.is_some());
}

/// Measured on a quiet machine: about a millisecond. The bar is 100; what is asserted leaves room
/// for a machine that does much else.
#[test]
fn fault_22_what_nobody_waits_for_is_cancelled_upstream() {
    let one_at_a_time = r#"{"limits":{"max_in_flight":1,"max_wait":"20s"}}"#;
    for (name, script, path, body, has_begun) in [
        ("before the head", "delay=60000", CHAT, ask_stream("openai/gpt-4o"), false),
        ("before the first event", "ttft=60000", CHAT, ask_stream("openai/gpt-4o"), false),
        ("a whole answer", "delay=60000", CHAT, ask("openai/gpt-4o", ""), false),
        (
            "in the middle",
            "pace=50,deltas=1000,size=50000",
            CHAT,
            ask_stream("openai/gpt-4o"),
            true,
        ),
        (
            "in the middle of messages",
            "pace=50,deltas=1000,size=50000",
            "/v1/messages",
            ask_stream("anthropic/claude-sonnet-4-5"),
            true,
        ),
    ] {
        let house = scripted_with(script, one_at_a_time);
        let mut wire = house.wire();
        wire.post(path, &body);
        if has_begun {
            wire.until("The quick");
        } else {
            arrived(&house);
        }
        let left = Instant::now();
        drop(wire);
        let took = cancelled(&house, left);
        println!("{name}: cancelled after {took:?}");
        assert!(took < Duration::from_secs(5), "{name}: {took:?}");
        let spans = house.spans(3);
        let call = the_call(&spans);
        assert_eq!(call.attributes.str("error.type"), Some("client_disconnect"), "{name}");
        if path == "/v1/messages" {
            // Its first event tells what came in; what will have come out is nobody's guess.
            assert!(int(call, "gen_ai.usage.input_tokens").is_some());
            assert_eq!(call.attributes.get("cost.estimated"), Some(&Value::Bool(true)));
        }
        // Its place is free: another one is let in.
        let mut next = house.wire();
        next.post("/v1/embeddings", "{");
        assert!(next.until("\r\n").contains("400"), "{name}");
    }
}

#[test]
fn fault_22_a_client_that_leaves_before_its_request_is_complete_costs_nothing() {
    let house = House::with(r#"{"limits":{"max_in_flight":1,"max_wait":"20s"}}"#);
    let mut wire = house.wire();
    wire.send(format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{{"));
    drop(wire);
    assert_eq!(house.post(CHAT, &ask("openai/gpt-4o", "")).status, 200);
    assert_eq!(house.mock.n_requests(), 1);
    let tree = house.tree(4, &["http.response.status_code"]);
    assert!(tree.contains("POST /v1/chat/completions http.response.status_code=400\n"), "{tree}");
}

/// The upstream has far more to say than all buffers hold. It stops where nobody reads, and goes
/// on where somebody does.
#[test]
fn fault_23_a_client_that_does_not_read_stops_the_upstream() {
    const N_PIECES: usize = 1024;
    let house = House::answering("{}", |_| {
        let text = "x".repeat(64 << 10);
        let event = format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
        );
        let mut pieces = vec![Piece::content(event.into_bytes()); N_PIECES];
        pieces.push(Piece::content(b"data: [DONE]\n\n".to_vec()));
        Some(Reply::events(pieces))
    });
    let mut wire = house.wire();
    wire.post(
        CHAT,
        &ask("openai/gpt-4o", r#","stream":true,"stream_options":{"include_usage":true}"#),
    );
    wire.until("data: ");
    let sent = || house.mock.seen()[0].sent_bytes();
    // It has stopped when it has sent nothing for as long as it took to send all there was.
    let (mut known, mut since) = (sent(), Instant::now());
    while since.elapsed() < Duration::from_millis(500) {
        std::thread::yield_now();
        if sent() > known {
            (known, since) = (sent(), Instant::now());
        }
    }
    println!("the upstream stopped after {known} bytes");
    assert!(known < 32 << 20, "{known}");
    wire.until("data: [DONE]\n\n");
    let spans = house.spans(3);
    assert_eq!(the_call(&spans).attributes.get("error.type"), None);
}

#[test]
fn fault_41_who_sends_its_head_drop_by_drop_is_let_go() {
    let house = House::with(r#"{"timeouts":{"header":"300ms","body":"300ms"}}"#);
    let mut slow = house.wire();
    slow.send(format!("POST {CHAT} HTTP/1.1\r\nhost: "));
    let mut half = house.wire();
    half.send(format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{{"));
    let idle: Vec<_> = (0..500).map(|_| house.wire()).collect();
    assert_eq!(house.post(CHAT, &ask("openai/gpt-4o", "")).status, 200);
    assert!(!slow.rest().contains("200 OK"));
    assert!(half.until("\r\n").contains("408"));
    drop(idle);
}

#[test]
fn fault_41_who_cannot_be_served_in_time_is_told_when_to_come_back() {
    let house = scripted_with("delay=60000", r#"{"limits":{"max_in_flight":1,"max_wait":"50ms"}}"#);
    let mut first = house.wire();
    first.post(CHAT, &ask("openai/gpt-4o", ""));
    arrived(&house);
    let second = house.post(CHAT, &ask("openai/gpt-4o", ""));
    assert_eq!(second.status, 503, "{}", second.body);
    assert!(second.headers.contains_key("retry-after"));
    assert_eq!(house.mock.n_requests(), 1);
}

fn limited(script: &str, limits: &str) -> House {
    scripted_with(
        script,
        &format!(
            r#"{{"limits":{{"rules":[{{"name":"all","limits":{limits}}}]}},"retry":{{"attempts":1}}}}"#
        ),
    )
}

#[test]
fn fault_42_of_a_thousand_at_once_as_many_pass_as_may() {
    let house = limited("deltas=1", r#"{"requests_total":10}"#);
    let body = ask("openai/gpt-4o", "");
    let mut wires: Vec<_> = (0..1000).map(|_| house.wire()).collect();
    for wire in &mut wires {
        wire.post(CHAT, &body);
    }
    let answers: Vec<_> = wires.iter_mut().map(|wire| wire.until("\r\n\r\n")).collect();
    let n_with = |status: &str| answers.iter().filter(|head| head.contains(status)).count();
    assert_eq!((n_with(" 200 "), n_with(" 429 ")), (10, 990));
    assert_eq!(house.mock.n_requests(), 10);
}

#[test]
fn fault_42_what_was_reserved_is_settled_or_given_back() {
    let away = r#"{"model_providers":[{"model":"openai/*","base_url":"http://127.0.0.1:1"}],
        "limits":{"rules":[{"name":"all","limits":{"requests_total":1}}]},"retry":{"attempts":1}}"#;
    let house = House::with(away);
    for _ in 0..3 {
        assert_eq!(house.post(CHAT, &ask("openai/gpt-4o", "")).status, 502, "it used nothing");
    }
    // The mock's first answer uses over a thousand tokens, whatever was expected of it.
    let house = limited("deltas=1", r#"{"tokens_total":1000}"#);
    let first = house.post(CHAT, &ask("openai/gpt-4o", ""));
    assert_eq!(first.status, 200, "{}", first.body);
    house.spans(3);
    let second = house.post(CHAT, &ask("openai/gpt-4o", ""));
    assert_eq!(second.status, 429, "{}", second.body);
}

#[test]
fn fault_49_who_asks_the_same_meanwhile_waits_for_the_answer() {
    let house = scripted_with("pace=20,deltas=10", r#"{"cache":{}}"#);
    let body = ask("openai/gpt-4o", r#","stream":true,"stream_options":{"include_usage":true}"#);
    let mut first = house.wire();
    first.post(CHAT, &body);
    first.until("The quick");
    let second = house.post(CHAT, &body);
    assert!(second.body.starts_with("data: {") && second.body.ends_with("data: [DONE]\n\n"));
    assert_eq!(house.mock.n_requests(), 1);
    let spans = house.spans(5);
    let cached = spans.iter().filter(|it| it.attributes.get("spanwise.gateway.cached").is_some());
    assert_eq!(cached.count(), 1);
}

#[test]
fn fault_49_nobody_gets_half_of_an_answer() {
    let house = scripted_with("pace=20,deltas=10,short=5;deltas=3", r#"{"cache":{}}"#);
    let body = ask("openai/gpt-4o", r#","stream":true,"stream_options":{"include_usage":true}"#);
    let mut first = house.wire();
    first.post(CHAT, &body);
    first.until("The quick");
    let second = house.post(CHAT, &body);
    assert!(second.body.ends_with("data: [DONE]\n\n"), "{}", second.body);
    assert_eq!(house.mock.n_requests(), 2);
}

/// Panics where the gateway logs that this key was refused, which it does within the request.
struct Saboteur;

const SABOTAGED: &str = "panics-on-sight";

impl Subscriber for Saboteur {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Fuse);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Fuse;

impl Visit for Fuse {
    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        assert!(!format!("{value:?}").contains(SABOTAGED), "a fault that was put in");
    }
}

#[test]
fn fault_50_a_fault_of_our_own_costs_one_request_its_answer() {
    tracing::subscriber::set_global_default(Saboteur).unwrap();
    let secret = |key: &str| KeyHash::of(key.as_bytes());
    let key = Key { disabled: true, ..Key::new(SABOTAGED, secret("sk-sabotaged")) };
    let keys = Some(vec![key, Key::new("team", secret("sk-good"))]);
    let parts = Parts { keys, ..Parts::default() };
    let house = House::build(r#"{"keys":{"file":"-"}}"#, parts);
    for _ in 0..3 {
        let faulty =
            house.post_with(CHAT, &ask("openai/gpt-4o", ""), &[("x-api-key", "sk-sabotaged")]);
        assert_eq!(faulty.status, 500, "{}", faulty.body);
        let good = house.post_with(CHAT, &ask("openai/gpt-4o", ""), &[("x-api-key", "sk-good")]);
        assert_eq!(good.status, 200, "{}", good.body);
    }
    let tree = house.tree(3 + 9, &["error.type"]);
    assert_eq!(tree.matches("POST /v1/chat/completions error.type=panic\n").count(), 3, "{tree}");
}

#[test]
fn fault_40_what_is_under_way_ends_before_the_gateway_does() {
    let mut house = scripted("deltas=20,pace=20");
    let mut wire = house.wire();
    wire.post(CHAT, &ask_stream("openai/gpt-4o"));
    wire.until("The quick");
    let client = std::thread::spawn(move || wire.until("data: [DONE]\n\n"));
    house.stop();
    assert!(client.join().unwrap().ends_with("data: [DONE]\n\n"));
    house.spans(3);
}

#[test]
fn fault_40_what_does_not_end_in_time_is_left() {
    let mut house = scripted_with("pace=60000", r#"{"timeouts":{"drain":"100ms"}}"#);
    let mut wire = house.wire();
    wire.post(CHAT, &ask_stream("openai/gpt-4o"));
    arrived(&house);
    let asked = Instant::now();
    house.stop();
    assert!(asked.elapsed() < PATIENCE);
    wire.rest();
}
