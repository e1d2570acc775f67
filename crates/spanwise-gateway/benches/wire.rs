//! What reading costs that a gateway does beside forwarding. `cargo bench -p spanwise-gateway
//! --bench wire` prints bytes per second for bodies of requests, beside copying them and beside
//! serde_json skipping through them, and for streams the time of 64 deltas.

use bytes::Bytes;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use serde::de::IgnoredAny;
use spanwise_gateway::dialect::Dialect;
use spanwise_gateway::fold::{Answer, Capture, Ending, Fold};
use spanwise_gateway::frames::{DEFAULT_CAP, Frames, Framing};
use spanwise_gateway::scan::{Edits, rewrite, scan};

fn main() {
    divan::main();
}

/// Sizes of bodies in bytes.
const SIZES: [usize; 3] = [400, 10_000, 100_000];
const DELTAS: usize = 64;

/// A conversation of about this size: turns of a few hundred bytes, escapes as prose has them.
fn request(size: usize) -> Bytes {
    const TURN: &str = "Could you have a look at why the parcel has not arrived yet?\\n\\nThe \
        tracking page says \\\"in transit\\\" since Tuesday, and the shop does not answer me. I \
        would like to know whom to ask next, what to tell them, and what they owe me by law.";
    let mut body = String::from(r#"{"model":"gpt-4o-mini","temperature":0.2,"messages":["#);
    body.push_str(r#"{"role":"system","content":"You are a helpful assistant."}"#);
    while body.len() < size {
        body.push_str(r#",{"role":"user","content":""#);
        body.push_str(&TURN[..TURN.len().min(size.saturating_sub(body.len()).max(60))]);
        body.push_str(r#""}"#);
    }
    body.push_str(r#"],"stream":true,"max_tokens":512}"#);
    body.into()
}

#[divan::bench(args = SIZES)]
fn a_memcpy(bencher: Bencher<'_, '_>, size: usize) {
    let body = request(size);
    bencher.counter(BytesCount::of_slice(&body)).bench(|| black_box(&body).to_vec());
}

#[divan::bench(args = SIZES)]
fn b_serde_ignored(bencher: Bencher<'_, '_>, size: usize) {
    let body = request(size);
    bencher
        .counter(BytesCount::of_slice(&body))
        .bench(|| serde_json::from_slice::<IgnoredAny>(black_box(&body)).is_ok());
}

#[divan::bench(args = SIZES)]
fn c_scan(bencher: Bencher<'_, '_>, size: usize) {
    let body = request(size);
    bencher
        .counter(BytesCount::of_slice(&body))
        .bench(|| scan(Dialect::Chat, black_box(&body)).is_ok());
}

/// One long text without escapes, such as a file encoded in base64.
#[divan::bench(args = SIZES)]
fn c_scan_long_string(bencher: Bencher<'_, '_>, size: usize) {
    let body = format!(r#"{{"model":"m","input":"{}"}}"#, "QUJDREVGR0hJSktM".repeat(size / 16));
    bencher
        .counter(BytesCount::of_slice(body.as_bytes()))
        .bench(|| scan(Dialect::Responses, black_box(body.as_bytes())).is_ok());
}

#[divan::bench(args = SIZES)]
fn d_scan_and_rewrite(bencher: Bencher<'_, '_>, size: usize) {
    let body = request(size);
    let edits = Edits { model: Some("gpt-4o-2024-08-06"), include_usage: true };
    bencher.counter(BytesCount::of_slice(&body)).bench(|| {
        scan(Dialect::Chat, black_box(&body)).map(|facts| rewrite(&body, &facts, &edits))
    });
}

/// A stream of deltas as OpenAI sends them, one event per chunk of bytes.
fn chat_stream() -> Vec<Bytes> {
    let chunk = |delta: &str, finish: &str| {
        Bytes::from(format!(
            "data: {{\"id\":\"chatcmpl-D8EA5nZ0hOZP7LH1T8J9NNIiYa8n1\",\"object\":\
             \"chat.completion.chunk\",\"created\":1770853433,\"model\":\"gpt-4.1-2025-04-14\",\
             \"service_tier\":\"default\",\"system_fingerprint\":\"fp_8b22347a3e\",\"choices\":\
             [{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}],\
             \"usage\":null,\"obfuscation\":\"pxzDLFeh\"}}\n\n"
        ))
    };
    let mut stream = vec![chunk(r#"{"role":"assistant","content":""}"#, "null")];
    stream.extend((0..DELTAS).map(|_| chunk(r#"{"content":" parcel"}"#, "null")));
    stream.push(chunk("{}", "\"stop\""));
    stream.push(Bytes::from_static(
        b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":64,\
          \"total_tokens\":73}}\n\n",
    ));
    stream.push(Bytes::from_static(b"data: [DONE]\n\n"));
    stream
}

fn messages_stream() -> Vec<Bytes> {
    let event = |kind: &str, rest: &str| {
        Bytes::from(format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{rest}}}\n\n"))
    };
    let usage = r#""usage":{"input_tokens":9,"output_tokens":1}"#;
    let mut stream = vec![event("message_start", &format!(r#","message":{{"id":"m",{usage}}}"#))];
    let delta = r#","index":0,"delta":{"type":"text_delta","text":" parcel"}"#;
    stream.extend((0..DELTAS).map(|_| event("content_block_delta", delta)));
    let end = r#","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":64}"#;
    stream.push(event("message_delta", end));
    stream.push(event("message_stop", ""));
    stream
}

fn cut(stream: &[Bytes]) -> usize {
    let mut frames = Frames::new(Framing::Sse, DEFAULT_CAP);
    let mut n = 0;
    for chunk in stream {
        frames.push(chunk.clone());
        while let Some(frame) = frames.next() {
            n += black_box(frame).raw.len();
        }
    }
    n
}

fn read(dialect: Dialect, stream: &[Bytes], capture: Capture) -> Answer {
    let mut frames = Frames::new(Framing::Sse, DEFAULT_CAP);
    let mut fold = Fold::new(dialect, true, capture);
    for chunk in stream {
        frames.push(chunk.clone());
        while let Some(frame) = frames.next() {
            black_box(fold.frame(&frame));
        }
    }
    fold.finish(Ending::Closed)
}

#[divan::bench]
fn e_64_deltas_cut(bencher: Bencher<'_, '_>) {
    let stream = chat_stream();
    bencher.bench(|| cut(black_box(&stream)));
}

#[divan::bench]
fn f_64_deltas_chat(bencher: Bencher<'_, '_>) {
    let stream = chat_stream();
    bencher.bench(|| read(Dialect::Chat, black_box(&stream), Capture::NOTHING));
}

#[divan::bench]
fn g_64_deltas_chat_captured(bencher: Bencher<'_, '_>) {
    let stream = chat_stream();
    bencher.bench(|| read(Dialect::Chat, black_box(&stream), Capture { max_bytes: 1 << 16 }));
}

#[divan::bench]
fn h_64_deltas_messages(bencher: Bencher<'_, '_>) {
    let stream = messages_stream();
    bencher.bench(|| read(Dialect::Messages, black_box(&stream), Capture::NOTHING));
}

/// A whole answer with a text of this size.
#[divan::bench(args = [800, 10_000])]
fn i_whole_answer(bencher: Bencher<'_, '_>, size: usize) {
    let text = "Some words and a line.\\n".repeat(size / 24);
    let body = format!(
        "{{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"model\":\"gpt-4o\",\"choices\":\
         [{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\
         \"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":9,\
         \"total_tokens\":18}}}}"
    );
    bencher.counter(BytesCount::of_slice(body.as_bytes())).bench(|| {
        let mut fold = Fold::new(Dialect::Chat, false, Capture::NOTHING);
        fold.body(200, black_box(body.as_bytes()));
        fold.finish(Ending::Closed)
    });
}
