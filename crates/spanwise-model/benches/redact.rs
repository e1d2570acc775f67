//! Redaction beside twelve separate regular expressions over the same text. `cargo bench -p
//! spanwise-model --bench redact` prints bytes per second.

use divan::Bencher;
use divan::counter::BytesCount;
use regex::Regex;
use spanwise_model::redact::{RedactionConfig, Redactor};

/// What people talk about with models, numbers that programs write, and text beyond ASCII.
const TEXTS: [&str; 4] = ["english", "json_of_numbers", "chinese", "english_json_with_finds"];

/// Twelve patterns as they are found in redaction filters.
const PATTERNS: [&str; 12] = [
    r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}\b",
    r"(?:\+?1[-. ]?)?\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}\b",
    r"\b\d{3}-\d{2}-\d{4}\b",
    r"\b(?:\d{1,3}\.){3}\d{1,3}\b",
    r"\b(?:\d[ -]?){13,19}\b",
    r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b",
    r"\b[A-Z]{1,2}\d{7,8}\b",
    r"\bsk-[A-Za-z0-9_-]{20,}",
    r"\bAKIA[0-9A-Z]{16}\b",
    r"\bgh[pousr]_[A-Za-z0-9]{36,}\b",
    r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+",
    r"(?i)\b(?:password|passwd|secret|api_key)\s*[:=]\s*\S+",
];

/// The allocator of the server.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    divan::main();
}

fn english() -> String {
    let turns = [
        "You are a helpful assistant for the support team of an online shop. Answer briefly, ask \
         before you change anything, and cite the paragraph of the policy that you rely on.",
        "Hi! My parcel was supposed to arrive last week but the tracking page still says that it \
         is waiting at the depot. I have tried the chat twice and nobody could tell me anything.",
        "I am sorry about the delay. I looked up the order: it left our warehouse on Tuesday and \
         the carrier scanned it on Thursday evening. Would you like a replacement or a refund?",
        "A token of appreciation would be nice, but honestly I just want my shoes. Can you send \
         the replacement to my office instead? The key to the side door is with the reception.",
    ];
    let mut text = String::new();
    for round in 0..150 {
        text += turns[round % turns.len()];
        text += if round % 7 == 0 { "\n\n1. Check the address.\n2. Confirm.\n" } else { "\n" };
    }
    text
}

fn json_of_numbers() -> String {
    let row = |n: u64| {
        format!(
            r#"{{"id":{},"created":{},"score":{:.6},"tokens":{},"at":"2024-05-{:02}T12:{:02}:45.{:06}Z"}}"#,
            n * 7_919 + 1_000_003,
            1_732_200_000_000 + n * 977,
            (n as f64 * 0.618_034).fract(),
            n % 4096,
            n % 28 + 1,
            n % 60,
            n * 37 % 1_000_000,
        )
    };
    format!("[{}]", (0..1000).map(row).collect::<Vec<_>>().join(","))
}

fn text(name: &str) -> String {
    match name {
        "english" => english(),
        "chinese" => "您好，我的订单已于星期二发货，预计三天之内送达，请注意查收。如果有任何问题，\
                      请随时与我们联系，谢谢您的耐心等待！\n"
            .repeat(400),
        "json_of_numbers" => json_of_numbers(),
        _ => {
            let turns: Vec<_> = english()
                .lines()
                .enumerate()
                .map(|(number, line)| match number % 10 {
                    9 => serde_json::json!({ "role": "user", "content":
                        format!("{line} Write to ada@example.org or call 415-555-2671.") }),
                    _ => serde_json::json!({ "role": "user", "content": line }),
                })
                .collect();
            serde_json::Value::Array(turns).to_string()
        }
    }
}

#[divan::bench(args = TEXTS)]
fn spanwise(bencher: Bencher<'_, '_>, name: &str) {
    let text = text(name);
    let config = RedactionConfig { pii: true, financial: true, ..RedactionConfig::default() };
    let redactor = Redactor::new(config).expect("no patterns");
    bencher.counter(BytesCount::new(text.len())).bench(|| redactor.redact(&text).len());
}

#[divan::bench(args = TEXTS)]
fn secrets_only(bencher: Bencher<'_, '_>, name: &str) {
    let text = text(name);
    let redactor = Redactor::new(RedactionConfig::default()).expect("no patterns");
    bencher.counter(BytesCount::new(text.len())).bench(|| redactor.redact(&text).len());
}

#[divan::bench(args = TEXTS)]
fn twelve_regexes(bencher: Bencher<'_, '_>, name: &str) {
    let text = text(name);
    let regexes = PATTERNS.map(|pattern| Regex::new(pattern).expect("patterns are right"));
    let located = || -> usize {
        regexes.iter().flat_map(|regex| regex.find_iter(&text)).map(|found| found.start()).sum()
    };
    bencher.counter(BytesCount::new(text.len())).bench(located);
}
