//! What translation costs. Run: `cargo bench -p spanwise-gateway --bench translate`.
//!
//! Each is the translation of one request or answer, or of one frame in the middle of a stream.
//! Copying the same bytes and reading them into a tree with serde_json stand beside it.

#![expect(clippy::unwrap_used, reason = "the bodies are made here")]

use std::fmt::Write as _;

use divan::Bencher;
use divan::counter::BytesCount;
use spanwise_gateway::dialect::Dialect;
use spanwise_gateway::translate::{Reply, Stamp, request};

fn main() {
    divan::main();
}

const STAMP: Stamp<'_> = Stamp { id: "made", model: "model", created: 1_700_000_000 };

/// A conversation of about 10 KB: a long system text, tools, and turns with calls between them.
fn chat_request() -> String {
    let text = "The quick brown fox jumps over the lazy dog, \\\"again\\\".\\n";
    let mut body = format!(
        r#"{{"model":"m","stream":true,"temperature":0.7,"messages":[{{"role":"system","content":"{}"}}"#,
        text.repeat(40)
    );
    for turn in 0..8 {
        write!(
            body,
            r#",{{"role":"user","content":"{}"}},{{"role":"assistant","content":null,"tool_calls":[{{"id":"call_{turn}","type":"function","function":{{"name":"look_up","arguments":"{{\"near\":\"Kiel\",\"limit\":{turn}}}"}}}}]}},{{"role":"tool","tool_call_id":"call_{turn}","content":"{}"}}"#,
            text.repeat(4),
            text.repeat(6)
        )
        .unwrap();
    }
    body.push_str(r#"],"tools":["#);
    for tool in 0..6 {
        let comma = if tool == 0 { "" } else { "," };
        write!(
            body,
            r#"{comma}{{"type":"function","function":{{"name":"look_up_{tool}","description":"Looks up what is near a town","parameters":{{"type":"object","properties":{{"near":{{"type":"string","description":"the town"}},"limit":{{"type":"integer"}}}},"required":["near"]}}}}}}"#
        )
        .unwrap();
    }
    body.push_str("]}");
    body
}

#[divan::bench(args = [Dialect::Messages, Dialect::Responses, Dialect::Gemini, Dialect::Converse, Dialect::Ollama])]
fn request_of_chat_to(bencher: Bencher<'_, '_>, to: Dialect) {
    let body = chat_request();
    bencher
        .counter(BytesCount::of_str(&body))
        .bench(|| request(Dialect::Chat, to, body.as_bytes(), "claude-sonnet-4-5", false).unwrap());
}

#[divan::bench]
fn request_copied(bencher: Bencher<'_, '_>) {
    let body = chat_request();
    bencher.counter(BytesCount::of_str(&body)).bench(|| body.clone());
}

#[divan::bench]
fn request_into_a_tree_of_serde_json(bencher: Bencher<'_, '_>) {
    let body = chat_request();
    bencher
        .counter(BytesCount::of_str(&body))
        .bench(|| serde_json::from_str::<serde_json::Value>(&body).unwrap());
}

fn reply() -> Reply {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
    request(Dialect::Chat, Dialect::Messages, body, "claude-sonnet-4-5", false).unwrap().reply
}

#[divan::bench]
fn answer_of_messages_to_chat(bencher: Bencher<'_, '_>) {
    let reply = reply();
    let body = format!(
        r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[{{"type":"text","text":"{}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":10,"output_tokens":20}}}}"#,
        "The quick brown fox. ".repeat(40)
    );
    bencher
        .counter(BytesCount::of_str(&body))
        .bench(|| reply.answer(body.as_bytes(), &STAMP).unwrap());
}

#[divan::bench]
fn frame_of_messages_to_chat(bencher: Bencher<'_, '_>) {
    let mut stream = reply().stream(&STAMP);
    let delta =
        br#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" fox"}}"#;
    bencher.bench_local(|| stream.frame(Some("content_block_delta"), delta));
}
