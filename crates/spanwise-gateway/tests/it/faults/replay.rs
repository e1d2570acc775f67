//! Streams of real providers, and those made after their documentation, cut wherever chance has it:
//! the client gets every byte, and the span says what the whole stream says.

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use spanwise_bench_gateway::mock::{Body, Piece, Reply, Seen};
use spanwise_gateway::dialect::Dialect;
use spanwise_gateway::fold::{Answer, Capture, Ending, Fold};
use spanwise_gateway::frames::{DEFAULT_CAP, Frames, Framing};
use spanwise_model::price::{PriceTable, Terms};

use super::streams::{NATIVE, amazon};
use super::*;
use crate::cassette::exchanges;
use crate::house::House;

/// Of each stream, so many ways to be cut.
const N_SEEDS: u64 = 8;

struct Recorded {
    name: String,
    dialect: Dialect,
    content_type: &'static str,
    bytes: Vec<u8>,
}

fn recorded() -> Vec<Recorded> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/gateway");
    let mut all = Vec::new();
    for dialect in Dialect::ALL {
        for entry in std::fs::read_dir(folder.join(dialect.as_str())).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let content_type = match name.rsplit_once('.').unwrap().1 {
                "sse" => "text/event-stream",
                "ndjson" => "application/x-ndjson",
                "array" => "application/json",
                "events" => "application/vnd.amazon.eventstream",
                _ => continue,
            };
            let mut bytes = std::fs::read(&path).unwrap();
            if name.ends_with(".events") {
                let lines = String::from_utf8(bytes).unwrap();
                let frame = |line: &str| {
                    let (event, payload) = line.split_once(' ').unwrap();
                    amazon(event, payload)
                };
                bytes = lines.lines().flat_map(frame).collect();
            }
            all.push(Recorded { name: format!("{dialect} {name}"), dialect, content_type, bytes });
        }
    }
    for (n, exchange) in exchanges().into_iter().flatten().filter(|it| it.is_stream).enumerate() {
        let name = format!("{} recording {n}", exchange.dialect);
        let content_type = "text/event-stream";
        all.push(Recorded {
            name,
            dialect: exchange.dialect,
            content_type,
            bytes: exchange.answer,
        });
    }
    // Those that fail are tested by what is done about it.
    all.retain(|it| it.read().error.is_none());
    all
}

impl Recorded {
    /// What the stream says when it is read in one piece.
    fn read(&self) -> Answer {
        let framing = Framing::of(self.dialect, self.content_type).unwrap();
        let mut frames = Frames::new(framing, DEFAULT_CAP);
        let mut fold = Fold::new(self.dialect, true, Capture::NOTHING);
        frames.push(Bytes::copy_from_slice(&self.bytes));
        while let Some(frame) = frames.next().or_else(|| frames.finish()) {
            fold.frame(&frame);
        }
        fold.finish(Ending::Closed)
    }

    /// The stream, cut by chance.
    fn cut(&self, seed: u64) -> Reply {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut rest = self.bytes.as_slice();
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let most = if random.random_bool(0.5) { 3 } else { 300 };
            let (piece, after) = rest.split_at(random.random_range(1..=most).min(rest.len()));
            pieces.push(Piece::content(piece.to_vec()));
            rest = after;
        }
        let headers = vec![("content-type".to_owned(), self.content_type.to_owned())];
        Reply { status: 200, headers, body: Body::Pieces(pieces) }
    }

    /// Path and body of a request that is answered with it, cut in this way.
    fn request(&self, n: usize, seed: u64) -> (String, String) {
        let model = format!("case-{n}-{seed}");
        let usage = r#","stream":true,"stream_options":{"include_usage":true}"#;
        match self.dialect {
            Dialect::Chat => (CHAT.to_owned(), ask(&format!("openai/{model}"), usage)),
            Dialect::Responses => {
                ("/v1/responses".to_owned(), ask_stream(&format!("openai/{model}")))
            }
            Dialect::Messages => {
                ("/v1/messages".to_owned(), ask_stream(&format!("anthropic/{model}")))
            }
            Dialect::Ollama => ("/api/chat".to_owned(), ask(&format!("ollama/{model}"), "")),
            Dialect::Gemini => {
                let path = format!("/v1beta/models/gemini%2F{model}:streamGenerateContent");
                (path, r#"{"contents":[]}"#.to_owned())
            }
            Dialect::Converse => {
                let path = format!("/model/bedrock%2F{model}/converse-stream");
                (path, r#"{"messages":[]}"#.to_owned())
            }
            Dialect::Embeddings => unreachable!("it has no streams"),
        }
    }
}

/// Number and seed of the case that a request asks for.
fn asked(seen: &Seen) -> (usize, u64) {
    let body = String::from_utf8_lossy(&seen.body).into_owned();
    let text = format!("{}{body}", seen.path);
    let (_, name) = text.split_once("case-").unwrap();
    let (n, rest) = name.split_once('-').unwrap();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap();
    (n.parse().unwrap(), rest[..end].parse().unwrap())
}

#[test]
fn fault_09_recorded_streams_pass_whole_and_are_counted_right() {
    let cases = recorded();
    assert!(cases.len() >= 18, "{}", cases.len());
    let replies = recorded();
    let mut config: serde_json::Value = serde_json::from_str(NATIVE).unwrap();
    for name in ["openai/*", "anthropic/*"] {
        let entry = serde_json::json!({"model": name, "base_url": "MOCK/v1", "access_key": "$KEY"});
        config["model_providers"].as_array_mut().unwrap().push(entry);
    }
    let house = House::answering(&config.to_string(), move |seen| {
        let (n, seed) = asked(seen);
        Some(replies[n].cut(seed))
    });
    let mut n_spans = 0;
    for (n, case) in cases.iter().enumerate() {
        let expected = case.read();
        for seed in 0..N_SEEDS {
            let (path, body) = case.request(n, seed);
            let answer = house.post(&path, &body);
            assert_eq!(
                (answer.status, answer.is_whole),
                (200, true),
                "{} {}",
                case.name,
                answer.body
            );
            assert!(answer.bytes == case.bytes, "{} seed {seed}: {}", case.name, answer.body);
            n_spans += 3;
            let spans = house.spans(n_spans);
            let suffix = format!("case-{n}-{seed}");
            let call = spans.iter().find(|span| span.name.ends_with(&suffix)).unwrap();
            check(call, &expected, &case.name);
        }
    }
}

/// Holds that a span says what the whole stream says, and what that costs.
fn check(call: &Span, expected: &Answer, name: &str) {
    let usage = &expected.usage;
    for (key, count) in [
        ("gen_ai.usage.input_tokens", usage.input),
        ("gen_ai.usage.output_tokens", usage.output),
        ("gen_ai.usage.cache_read.input_tokens", usage.cache_read),
        ("gen_ai.usage.cache_write.input_tokens", usage.cache_write),
        ("gen_ai.usage.reasoning.output_tokens", usage.reasoning),
    ] {
        assert_eq!(int(call, key), count.map(|n| n as i64), "{name}: {key}");
    }
    let text = |key: &str| call.attributes.str(key);
    assert_eq!(text("error.type"), None, "{name}");
    assert_eq!(text("gen_ai.response.id"), expected.response_id.as_deref(), "{name}");
    let reasons: Vec<_> =
        expected.finish_reasons.iter().map(|it| it.canonical.to_string()).collect();
    assert_eq!(texts(call, "gen_ai.response.finish_reasons"), reasons, "{name}");
    let terms = Terms {
        provider: text("gen_ai.provider.name").unwrap(),
        model: text("gen_ai.response.model").or(text("gen_ai.request.model")).unwrap(),
        service_tier: expected.service_tier.as_deref().unwrap_or_default(),
        time_unix_nano: call.start_time_unix_nano,
    };
    let usd = PriceTable::bundled().cost(terms, usage).map(|nano_usd| nano_usd as f64 / 1e9);
    let told = call.attributes.get("gen_ai.usage.cost").cloned();
    assert_eq!(told, usd.map(Value::Double), "{name}");
}
