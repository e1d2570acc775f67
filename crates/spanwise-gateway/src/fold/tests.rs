//! Golden answers: each file under `testdata/gateway/<dialect>` is read as it would pass through
//! the gateway, and what is made of it must be what the `.answer` beside it says. Set
//! `UPDATE_GOLDEN` to write these anew, and read the difference.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::frames::tests::amazon;
use crate::frames::{DEFAULT_CAP, Frames, Framing};

mod cassettes;
mod requests;

const ALL: Capture = Capture { max_bytes: 1 << 20 };

/// A file of the golden set.
struct Case {
    path: PathBuf,
    dialect: Dialect,
    framing: Option<Framing>,
    status: u16,
    input: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/gateway");
    let mut cases = Vec::new();
    for dialect in Dialect::ALL {
        for entry in std::fs::read_dir(root.join(dialect.as_str())).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let framing = match name.rsplit_once('.').unwrap().1 {
                "sse" => Some(Framing::Sse),
                "ndjson" => Some(Framing::Lines),
                "array" => Some(Framing::JsonArray),
                "events" => Some(Framing::EventStream),
                "json" => None,
                _ => continue,
            };
            let status = name.split('.').find_map(|word| word.parse().ok()).unwrap_or(200);
            let mut input = std::fs::read(&path).unwrap();
            if framing == Some(Framing::EventStream) {
                input = event_stream(std::str::from_utf8(&input).unwrap());
            }
            cases.push(Case { path, dialect, framing, status, input });
        }
    }
    cases.sort_by(|a, b| a.path.cmp(&b.path));
    cases
}

/// Amazon's frames of lines of `event payload`.
fn event_stream(lines: &str) -> Vec<u8> {
    let frame = |line: &str| {
        let (name, payload) = line.split_once(' ').unwrap();
        let kind = if name.ends_with("Exception") { "exception" } else { "event" };
        let typed = format!(":{kind}-type");
        amazon(&[(":message-type", kind), (&typed, name), (":content-type", "json")], payload)
    };
    lines.lines().flat_map(frame).collect()
}

/// Reads a case in these pieces; what was seen, and the answer.
fn read<'a>(
    case: &Case,
    capture: Capture,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Seen>, Answer) {
    let mut fold = Fold::new(case.dialect, case.framing.is_some(), capture);
    let mut seen = Vec::new();
    match case.framing {
        None => fold.body(case.status, &pieces.into_iter().collect::<Vec<_>>().concat()),
        Some(framing) => {
            let mut frames = Frames::new(framing, DEFAULT_CAP);
            let mut bytes = Vec::new();
            let mut take = |frame: Frame| {
                bytes.extend_from_slice(&frame.raw);
                if frame.kind != FrameKind::Empty {
                    seen.push(fold.frame(&frame));
                }
            };
            for piece in pieces {
                frames.push(Bytes::copy_from_slice(piece));
                while let Some(frame) = frames.next() {
                    take(frame);
                }
            }
            while let Some(frame) = frames.finish() {
                take(frame);
            }
            assert_eq!(bytes, case.input, "bytes pass unchanged");
        }
    }
    (seen, fold.finish(Ending::Closed))
}

/// An answer as a reader of the golden files wants it: only what is there.
fn show(seen: &[Seen], answer: &Answer) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            writeln!(text, "{name}: {value}").unwrap();
        }
    };
    line("seen", seen_words(seen));
    line("id", answer.response_id.clone().unwrap_or_default());
    line("model", answer.response_model.clone().unwrap_or_default());
    line("tier", answer.service_tier.clone().unwrap_or_default());
    line("usage", usage_words(answer));
    let reasons = answer.finish_reasons.iter();
    let reasons: Vec<_> =
        reasons.map(|reason| format!("{} ({})", reason.canonical, reason.raw)).collect();
    line("finish", reasons.join(", "));
    if let Some(ProviderError { kind, code, message, is_retryable }) = &answer.error {
        let code = code.as_deref().unwrap_or("-");
        line("error", format!("{kind} {code} retryable={is_retryable} {message:?}"));
    }
    let flags = [
        (answer.ended_early, "ended early"),
        (answer.is_inconsistent, "inconsistent"),
        (answer.is_content_cut, "cut"),
    ];
    let flags: Vec<_> = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| *name).collect();
    line("flags", flags.join(", "));
    line("dimensions", answer.dimensions.map(|n| n.to_string()).unwrap_or_default());
    for ToolCall { id, name, arguments } in &answer.tool_calls {
        line("tool", format!("{} {name} {arguments}", id.as_deref().unwrap_or("-")));
    }
    let messages = answer.output_messages.as_deref().unwrap_or("[]");
    for message in serde_json::from_str::<Vec<serde_json::Value>>(messages).unwrap() {
        line("message", message.to_string());
    }
    text
}

fn seen_words(seen: &[Seen]) -> String {
    let mut words: Vec<(String, usize)> = Vec::new();
    for seen in seen {
        let word = match seen {
            Seen::Error(_) => "error".to_owned(),
            other => format!("{other:?}").to_lowercase(),
        };
        match words.last_mut() {
            Some((last, n)) if *last == word => *n += 1,
            _ => words.push((word, 1)),
        }
    }
    let words = words.into_iter();
    words.map(|(word, n)| format!("{word} x{n}")).collect::<Vec<_>>().join(", ")
}

fn usage_words(answer: &Answer) -> String {
    let usage = &answer.usage;
    let counts = [
        ("input", usage.input),
        ("output", usage.output),
        ("total", usage.total),
        ("cache_read", usage.cache_read),
        ("cache_write", usage.cache_write),
        ("cache_write_5m", answer.cache_write_5m),
        ("cache_write_1h", answer.cache_write_1h),
        ("reasoning", usage.reasoning),
    ];
    let known = counts.iter().filter_map(|(name, n)| Some(format!("{name}={}", (*n)?)));
    known.collect::<Vec<_>>().join(" ")
}

#[test]
fn golden_answers() {
    let is_update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let (seen, answer) = read(&case, ALL, [case.input.as_slice()]);
        let shown = show(&seen, &answer);
        let golden = PathBuf::from(format!("{}.answer", case.path.display()));
        if is_update {
            std::fs::write(&golden, &shown).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if shown != expected {
            wrong.push(format!("{}\nfound:\n{shown}\nexpected:\n{expected}", case.path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn answers_do_not_depend_on_where_their_bytes_were_cut() {
    for case in cases().iter().filter(|case| case.framing.is_some()) {
        let expected = read(case, ALL, [case.input.as_slice()]);
        check_cuts(case, &expected);
    }
}

/// Cuts a case in two, at some 200 places, and into single bytes.
fn check_cuts(case: &Case, expected: &(Vec<Seen>, Answer)) {
    for at in (0..case.input.len()).step_by(1 + case.input.len() / 200) {
        let (first, second) = case.input.split_at(at);
        assert_eq!(&read(case, ALL, [first, second]), expected, "{:?} at {at}", case.path);
    }
    assert_eq!(&read(case, ALL, case.input.chunks(1)), expected, "{:?}", case.path);
}

#[test]
fn without_content_all_else_is_the_same() {
    for case in cases() {
        let (seen_all, all) = read(&case, ALL, [case.input.as_slice()]);
        let (seen, nothing) = read(&case, Capture::NOTHING, [case.input.as_slice()]);
        // After the first delta with content, none is looked at closely.
        let loosely = |seen: Vec<Seen>| -> Vec<Seen> {
            let first = seen.iter().position(|seen| *seen == Seen::Content).unwrap_or(seen.len());
            let mut seen = seen;
            for other in seen.iter_mut().skip(first).filter(|seen| **seen == Seen::Other) {
                *other = Seen::Content;
            }
            seen
        };
        assert_eq!(loosely(seen), loosely(seen_all), "{:?}", case.path);
        assert!(nothing.output_messages.is_none() && nothing.tool_calls.is_empty());
        let all = Answer { output_messages: None, tool_calls: Vec::new(), ..all };
        assert_eq!(nothing, all, "{:?}", case.path);
    }
}

#[test]
fn content_is_capped_at_a_character() {
    for case in cases() {
        for max_bytes in [1, 33, 40, 41, 100] {
            let (_, answer) = read(&case, Capture { max_bytes }, [case.input.as_slice()]);
            let messages = answer.output_messages.unwrap_or_default();
            let overhead = 400 * (answer.n_choices + 1) + 200 * answer.tool_calls.len();
            assert!(messages.len() <= max_bytes + overhead, "{:?}: {messages}", case.path);
        }
    }
}

/// A chat that goes on and on is cut anywhere, by chance.
#[test]
fn a_long_stream_reads_alike_however_it_arrives() {
    let mut input = String::new();
    for n in 0..400 {
        writeln!(input, "data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"é{n} \"}}}}]}}\r\n\r").unwrap();
    }
    input.push_str("data: [DONE]\r\n\r\n");
    let case = Case {
        path: PathBuf::new(),
        dialect: Dialect::Chat,
        framing: Some(Framing::Sse),
        status: 200,
        input: input.into_bytes(),
    };
    let expected = read(&case, ALL, [case.input.as_slice()]);
    assert_eq!(expected.0.len(), 401);
    let mut runner = TestRunner::new(Config { cases: 64, ..Config::default() });
    let cuts = prop::collection::vec(0..case.input.len(), 0..200);
    runner
        .run(&cuts, |mut cuts| {
            cuts.extend([0, case.input.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|cut| &case.input[cut[0]..cut[1]]);
            prop_assert_eq!(read(&case, ALL, pieces), expected.clone());
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_client_that_leaves_is_no_error_of_the_provider() {
    let mut fold = Fold::new(Dialect::Chat, true, Capture::NOTHING);
    fold.event(None, br#"{"id":"c","choices":[{"index":0,"delta":{"content":"a"}}]}"#);
    let answer = fold.finish(Ending::ClientGone);
    assert!(answer.ended_early && answer.error.is_none());
    assert_eq!(answer.finish_reasons[0].canonical, "error");
}

/// The answer to a stream of which one frame cannot be read.
fn unread(dialect: Dialect, framing: Framing, cap: usize, input: Vec<u8>) -> (Vec<Seen>, Answer) {
    let mut frames = Frames::new(framing, cap);
    let mut fold = Fold::new(dialect, true, Capture::NOTHING);
    let mut seen = Vec::new();
    frames.push(input.into());
    while let Some(frame) = frames.next().or_else(|| frames.finish()) {
        seen.push(fold.frame(&frame));
    }
    (seen, fold.finish(Ending::Closed))
}

#[test]
fn a_frame_too_long_is_unknown_but_no_error_fault_10() {
    let delta = |text: &str| {
        format!(
            "data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
        )
    };
    let input = delta("a") + &delta(&"x".repeat(500)) + "data: [DONE]\n\n";
    let (seen, answer) = unread(Dialect::Chat, Framing::Sse, 200, input.into_bytes());
    assert_eq!(seen[0], Seen::Content);
    assert!(seen[1..].iter().all(|seen| *seen == Seen::Other));
    assert!(answer.error.is_none() && !answer.ended_early && !answer.usage.is_known());
    assert!(answer.finish_reasons.is_empty());
}

#[test]
fn a_damaged_frame_is_an_error_fault_33() {
    let mut input = event_stream("messageStart {}\nmessageStop {\"stopReason\":\"end_turn\"}\n");
    let last = input.len() - 1;
    input[last] ^= 1;
    let (seen, answer) = unread(Dialect::Converse, Framing::EventStream, DEFAULT_CAP, input);
    assert!(matches!(&*seen, [Seen::Preamble, Seen::Error(_)]), "{seen:?}");
    let error = answer.error.unwrap();
    assert_eq!((error.kind.as_str(), error.is_retryable), ("stream_corrupt", true));
    assert!(!answer.ended_early);
    assert_eq!(answer.finish_reasons[0].canonical, "error");
}

#[test]
fn errors_of_every_shape_are_read() {
    let read = |status, body: &str| {
        let mut fold = Fold::new(Dialect::Chat, false, Capture::NOTHING);
        fold.body(status, body.as_bytes());
        fold.finish(Ending::Closed).error.unwrap()
    };
    let of = |status, body| {
        let error = read(status, body);
        (error.kind, error.message, error.is_retryable)
    };
    let expect = |kind: &str, message: &str, retry| (kind.to_owned(), message.to_owned(), retry);
    assert_eq!(of(503, ""), expect("503", "", true));
    assert_eq!(of(400, "no"), expect("400", "no", false));
    assert_eq!(of(500, r#"{"error":"oops"}"#), expect("500", "oops", true));
    assert_eq!(of(422, r#"{"detail":"bad"}"#), expect("422", "bad", false));
    assert_eq!(
        of(400, r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#),
        expect("BadRequestError", "m", false)
    );
    assert_eq!(
        of(429, r#"{"__type":"ThrottlingException","message":"m"}"#),
        expect("ThrottlingException", "m", true)
    );
    assert_eq!(of(403, "[]"), expect("403", "[]", false));
    let long = "é".repeat(2000);
    assert_eq!(read(500, &long).message.len(), 1024);
}

#[test]
fn an_error_in_an_answer_that_says_200_is_an_error() {
    for (dialect, body) in [
        (Dialect::Chat, r#"{"error":{"message":"m","code":502}}"#),
        (Dialect::Responses, r#"{"status":"failed","error":{"code":"502","message":"m"}}"#),
        (Dialect::Gemini, r#"{"error":{"code":502,"message":"m"}}"#),
        (Dialect::Ollama, r#"{"error":"m"}"#),
        (Dialect::Messages, r#"{"type":"error","error":{"type":"api_error","message":"m"}}"#),
        (Dialect::Embeddings, r#"{"error":{"message":"m","code":502}}"#),
    ] {
        let mut fold = Fold::new(dialect, false, Capture::NOTHING);
        fold.body(200, body.as_bytes());
        let error = fold.finish(Ending::Closed).error.unwrap();
        assert_eq!((error.message.as_str(), error.is_retryable), ("m", true), "{dialect}");
    }
}

proptest! {
    #[test]
    fn arbitrary_events_never_panic(
        event in prop::option::of("(content_block_delta|message_start|error|response\\.x\\.delta|metadata)"),
        data in r#"\{("choices"|"delta"|"usage"|"type"|"error"|"message"|[\[\]{},:]|"é\\u00e9"|1e9|null){0,20}\}?"#,
        raw in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        for dialect in Dialect::ALL {
            let mut fold = Fold::new(dialect, true, ALL);
            fold.event(event.as_deref(), data.as_bytes());
            fold.event(event.as_deref(), &raw);
            fold.finish(Ending::Broken);
            let mut fold = Fold::new(dialect, false, ALL);
            fold.body(200, data.as_bytes());
            fold.body(500, &raw);
            fold.finish(Ending::Closed);
        }
    }
}
