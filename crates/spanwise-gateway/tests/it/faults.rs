//! Faults that a gateway survives. The numbers are those of the list of faults by which this
//! gateway was designed; a name with `fault_NN` is a test of that number, here or wherever
//! [`ELSEWHERE`] says.

use std::collections::BTreeSet;

use spanwise_model::{Kind, Span, Value};

use crate::house::House;

mod clients;
mod framing;
mod providers;
mod replay;
mod requests;
mod streams;
mod telemetry;
mod trace;

const CHAT: &str = "/v1/chat/completions";

/// A request to a chat model, with more members behind the others.
fn ask(model: &str, more: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}]{more}}}"#)
}

/// The same for a stream.
fn ask_stream(model: &str) -> String {
    ask(model, r#","stream":true"#)
}

/// A gateway whose models are answered after this script of the mock's.
fn scripted(script: &str) -> House {
    scripted_with(script, "{}")
}

fn scripted_with(script: &str, more: &str) -> House {
    let mut config: serde_json::Value = serde_json::from_str(more).unwrap();
    config["model_providers"] = serde_json::json!([
        {"model": "openai/*", "base_url": format!("MOCK/~{script}/v1"), "access_key": "$KEY"},
        {"model": "anthropic/*", "base_url": format!("MOCK/~{script}/v1"), "access_key": "$KEY"},
    ]);
    House::with(&config.to_string())
}

/// Two targets behind the name `both`, the first of which is answered after a script.
fn two(script: &str, more: &str) -> String {
    format!(
        r#"{{"model_providers":[
             {{"model":"openai/first","base_url":"MOCK/~{script}/v1","upstream_model":"gpt-4o"}},
             {{"model":"openai/second","base_url":"MOCK/v1","upstream_model":"gpt-4o"}}],
           "routes":[{{"model":"both","targets":["openai/first","openai/second"]}}]{more}}}"#
    )
}

/// The logical call among the spans.
fn the_call(spans: &[Span]) -> &Span {
    let mut calls = spans.iter().filter(|span| span.kind == Kind::Client && span.name != "POST");
    calls.next().unwrap_or_else(|| panic!("no call among {spans:?}"))
}

fn int(span: &Span, key: &str) -> Option<i64> {
    match span.attributes.get(key) {
        Some(Value::Int(value)) => Some(*value),
        _ => None,
    }
}

fn texts(span: &Span, key: &str) -> Vec<String> {
    let Some(Value::Array(values)) = span.attributes.get(key) else { return Vec::new() };
    let text = |value: &Value| match value {
        Value::String(text) => text.to_string(),
        other => format!("{other:?}"),
    };
    values.iter().map(text).collect()
}

/// Where the tests of a number are if they are not here, or why there is none.
const ELSEWHERE: &[(u32, &str)] = &[
    (30, "responses are not served by their id yet"),
    (38, "mistakes in a reload: e2e/test_gateway_operation.py"),
    (39, "reloads without end: e2e/test_gateway_operation.py"),
    (43, "a budget crossed within a stream: e2e/test_gateway_operation.py"),
    (44, "a key revoked within a stream: e2e/test_gateway_operation.py"),
    (46, "agents, for which many other faults are tested again: agents.rs"),
];

#[test]
fn every_fault_of_the_list_has_a_test_or_a_reason() {
    let sources = [
        include_str!("faults/clients.rs"),
        include_str!("faults/framing.rs"),
        include_str!("faults/providers.rs"),
        include_str!("faults/replay.rs"),
        include_str!("faults/requests.rs"),
        include_str!("faults/streams.rs"),
        include_str!("faults/telemetry.rs"),
        include_str!("faults/trace.rs"),
    ];
    let names = sources.iter().flat_map(|source| source.split("fn fault_").skip(1));
    let mut found: BTreeSet<u32> = names.map(|name| name[..2].parse().unwrap()).collect();
    found.extend(ELSEWHERE.iter().map(|(number, _)| *number));
    let missing: Vec<u32> = (1..=50).filter(|number| !found.contains(number)).collect();
    assert!(missing.is_empty(), "no test and no reason: {missing:?}");
}
