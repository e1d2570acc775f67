//! The bar for agents: a conversation that sends its history again with every turn is stored at
//! least fifteen times smaller than it was sent.

use std::fmt::Write as _;

use spanwise_model::{Attributes, StoredSpan};

use super::spans::simple;
use super::written;
use crate::query::Detail;
use crate::segment::Rows;

const TURNS: usize = 50;

/// Text as people and models write it: never the same twice.
fn prose(seed: usize, n_words: usize) -> String {
    const WORDS: [&str; 32] = [
        "the",
        "order",
        "shipment",
        "customer",
        "asked",
        "whether",
        "invoice",
        "could",
        "delay",
        "we",
        "checked",
        "warehouse",
        "and",
        "found",
        "that",
        "item",
        "was",
        "returned",
        "because",
        "address",
        "changed",
        "before",
        "refund",
        "policy",
        "allows",
        "thirty",
        "days",
        "agent",
        "please",
        "confirm",
        "your",
        "account",
    ];
    let mut state = seed as u64 + 1;
    let mut text = String::new();
    for at in 0..n_words {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = WORDS[(state >> 59) as usize];
        let _ = write!(text, "{word} ");
        if at % 9 == 8 {
            let _ = write!(text, "{} ", state >> 40);
        }
    }
    text
}

/// Role and text of every message up to a turn.
fn history(turn: usize) -> Vec<(&'static str, String)> {
    let mut messages = vec![("system", prose(999, 300))];
    for at in 0..=turn {
        messages.push(("user", prose(2 * at, 60)));
        if at < turn {
            messages.push(("assistant", prose(2 * at + 1, 120)));
        }
    }
    messages
}

fn conversation(attributes: impl Fn(usize) -> Attributes) -> Vec<StoredSpan> {
    let turn = |at: usize| {
        let mut stored = simple("default", 1, at as u64, 1_700_000_000_000_000_000 + at as u64);
        stored.span.attributes = attributes(at);
        stored
    };
    (0..TURNS).map(turn).collect()
}

fn as_json(turn: usize) -> Attributes {
    let message = |(role, content): &(&str, String)| serde_json::json!({"role": role, "parts": [{"type": "text", "content": content}]});
    let input: Vec<_> = history(turn).iter().map(message).collect();
    let output = vec![message(&("assistant", prose(2 * turn + 1, 120)))];
    let mut attributes = Attributes::default();
    attributes.push("gen_ai.operation.name", "chat");
    attributes.push("gen_ai.input.messages", serde_json::to_string(&input).unwrap());
    attributes.push("gen_ai.output.messages", serde_json::to_string(&output).unwrap());
    attributes
}

fn flattened(turn: usize) -> Attributes {
    let mut attributes = Attributes::default();
    attributes.push("openinference.span.kind", "LLM");
    for (at, (role, content)) in history(turn).into_iter().enumerate() {
        attributes.push(format!("llm.input_messages.{at}.message.role"), role);
        attributes.push(format!("llm.input_messages.{at}.message.content"), content);
    }
    attributes.push("llm.output_messages.0.message.role", "assistant");
    attributes.push("llm.output_messages.0.message.content", prose(2 * turn + 1, 120));
    attributes
}

/// Bytes of a span's attributes on the wire, within a few per cent and never too many.
fn sent_bytes(stored: &StoredSpan) -> u64 {
    let attributes = stored.span.attributes.iter();
    attributes.map(|a| a.key.len() as u64 + a.value.as_str().map_or(8, str::len) as u64 + 10).sum()
}

#[track_caller]
fn check(form: &str, spans: &[StoredSpan]) {
    let written = written(spans);
    let sent: u64 = spans.iter().map(sent_bytes).sum();
    let stored = written.segment.meta().bytes;
    let ratio = sent as f64 / stored as f64;
    println!("{form}: {sent} bytes sent, {stored} stored, {ratio:.1} times smaller");
    for file in &written.segment.meta().files {
        println!("  {} {}", file.name, file.bytes);
    }
    assert!(ratio >= 15.0, "{form} is only {ratio:.1} times smaller");
    let back = written.segment.stored_spans(Rows::Range(0..TURNS as u32), Detail::Full).unwrap();
    assert_eq!(back, spans);
}

#[test]
fn a_conversation_in_json_is_stored_fifteen_times_smaller() {
    check("JSON", &conversation(as_json));
}

#[test]
fn a_flattened_conversation_is_stored_fifteen_times_smaller() {
    check("flattened", &conversation(flattened));
}
