//! Streams that are odd, broken, damaged or silent.

use spanwise_bench_gateway::mock::{Body, Piece, Reply, Seen, usage_of};

use super::*;
use crate::house::{Answer, House};

/// A stream with this content type that arrives in these pieces.
fn stream(content_type: &str, pieces: impl IntoIterator<Item = Vec<u8>>) -> Reply {
    Reply {
        status: 200,
        headers: vec![("content-type".to_owned(), content_type.to_owned())],
        body: Body::Pieces(pieces.into_iter().map(Piece::content).collect()),
    }
}

fn sse(text: &str) -> Reply {
    stream("text/event-stream", [text.as_bytes().to_vec()])
}

/// The model that a request asked for.
fn asked(seen: &Seen) -> String {
    seen.json()["model"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn fault_08_usage_is_known_although_the_client_did_not_want_it() {
    for more in ["", r#","stream_options":{"include_usage":false}"#, r#","stream_options":null"#] {
        let house = House::new();
        let answer = house.post(CHAT, &ask("openai/gpt-4o", &format!(r#","stream":true{more}"#)));
        assert!(!answer.body.contains("prompt_tokens"), "{}", answer.body);
        assert_eq!(answer.events().last().map(String::as_str), Some("[DONE]"));
        assert_eq!(house.mock.seen()[0].json()["stream_options"]["include_usage"], true);
        let spans = house.spans(3);
        let expected = usage_of("chatcmpl-mock-0").unwrap().output.map(|n| n as i64);
        assert_eq!(int(the_call(&spans), "gen_ai.usage.output_tokens"), expected);
    }
}

/// All that server-sent events allow: every line end, comments, data in several lines, without a
/// space, letters of several bytes, and no blank line at the end.
const ODD_EVENTS: [&str; 5] = [
    ": hi\r\n\r\ndata: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"é😀\"}}]}\r\n\r\n",
    "data:{\"id\":\"c\",\ndata: \"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "event: message\rdata: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{}}]}\r\r",
    "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":7,\"total_tokens\":10}}\n\n",
    "data: [DONE]",
];

#[test]
fn fault_09_a_stream_may_be_cut_anywhere() {
    let whole = ODD_EVENTS.concat();
    let cut = whole.clone();
    let house = House::answering("{}", move |seen| {
        let at: usize = asked(seen).parse().unwrap();
        let (first, second) = cut.as_bytes().split_at(at);
        Some(stream("text/event-stream", [first.to_vec(), second.to_vec()]))
    });
    let without_usage = [&ODD_EVENTS[..3], &ODD_EVENTS[4..]].concat().concat();
    let usage = r#","stream_options":{"include_usage":true}"#;
    let n_cuts = whole.len();
    for at in 1..n_cuts {
        let wanted =
            house.post(CHAT, &ask(&format!("openai/{at}"), &format!(r#","stream":true{usage}"#)));
        assert_eq!(wanted.body, whole, "cut at {at}");
        let unwanted = house.post(CHAT, &ask_stream(&format!("openai/{at}")));
        assert_eq!(unwanted.body, without_usage, "cut at {at}");
    }
    let spans = house.spans(6 * (n_cuts - 1));
    let calls = spans.iter().filter(|span| span.name.starts_with("chat"));
    for call in calls {
        assert_eq!(int(call, "gen_ai.usage.output_tokens"), Some(7), "{}", call.name);
        assert_eq!(call.attributes.get("error.type"), None);
    }
}

#[test]
fn fault_09_every_way_of_writing_events_is_understood() {
    for manner in ["eol=crlf", "eol=cr", "comments", "nospace", "split=1", "split=random,eol=crlf"]
    {
        for (path, model) in [
            (CHAT, "openai/gpt-4o"),
            ("/v1/responses", "openai/gpt-4o"),
            ("/v1/messages", "anthropic/claude"),
        ] {
            let house = scripted(manner);
            let answer = house.post(path, &ask_stream(model));
            assert_eq!(answer.status, 200, "{manner} {path}");
            let spans = house.spans(3);
            let call = the_call(&spans);
            let id = call.attributes.str("gen_ai.response.id").unwrap();
            let expected = usage_of(id).unwrap().output.map(|n| n as i64);
            assert_eq!(int(call, "gen_ai.usage.output_tokens"), expected, "{manner} {path}");
        }
    }
}

/// How much memory this takes is measured where the gateway is a process of its own.
#[test]
fn fault_10_a_frame_without_end_passes_unread() {
    let n_bytes = 4 << 20;
    for more in ["", r#","stream_options":{"include_usage":true}"#] {
        let house = scripted(&format!("frame={n_bytes}"));
        let answer = house.post(CHAT, &ask("openai/gpt-4o", &format!(r#","stream":true{more}"#)));
        assert!(answer.is_whole && answer.bytes.len() > n_bytes, "{}", answer.bytes.len());
        assert!(answer.body.ends_with("data: [DONE]\n\n"), "nothing is added");
        let spans = house.spans(3);
        assert_eq!(the_call(&spans).attributes.str("usage.source"), Some("none"));
        assert_eq!(the_call(&spans).attributes.get("error.type"), None);
    }
}

#[test]
fn fault_11_counts_that_are_none_stay_unknown() {
    for (counts, is_odd) in
        [("none", false), ("null", false), ("strings", true), ("negative", true), ("huge", true)]
    {
        for (path, model) in [
            (CHAT, "openai/gpt-4o"),
            ("/v1/responses", "openai/gpt-4o"),
            ("/v1/messages", "anthropic/claude"),
        ] {
            for more in ["", r#","stream":true"#] {
                // The mock's first event of messages says how much has come out so far.
                if path == "/v1/messages" && !more.is_empty() {
                    continue;
                }
                let house = scripted(&format!("usage={counts}"));
                house.post(path, &ask(model, more));
                let spans = house.spans(3);
                let call = the_call(&spans);
                let found = (
                    int(call, "gen_ai.usage.input_tokens"),
                    int(call, "gen_ai.usage.output_tokens"),
                    call.attributes.get("gen_ai.usage.cost"),
                    call.attributes.get("usage.inconsistent").is_some(),
                );
                let expected = (None, None, None, is_odd);
                assert_eq!(found, expected, "{counts} {path} {more}");
            }
        }
    }
}

#[test]
fn fault_11_the_last_count_wins_wherever_it_stands() {
    for counts in ["twice", "middle"] {
        let house = scripted(&format!("usage={counts}"));
        let answer = house.post(CHAT, &ask_stream("openai/gpt-4o"));
        assert!(!answer.body.contains("prompt_tokens"), "{}", answer.body);
        let spans = house.spans(3);
        let expected = usage_of("chatcmpl-mock-0").unwrap();
        let found = int(the_call(&spans), "gen_ai.usage.input_tokens");
        assert_eq!(found, expected.input.map(|n| n as i64), "{counts}");
    }
}

#[test]
fn fault_12_counts_that_contradict_each_other_are_clamped_and_flagged() {
    let house = scripted("usage=inconsistent");
    house.post(CHAT, &ask("openai/gpt-4o", ""));
    let spans = house.spans(3);
    let call = the_call(&spans);
    assert_eq!(call.attributes.get("usage.inconsistent"), Some(&Value::Bool(true)));
    let input = int(call, "gen_ai.usage.input_tokens").unwrap();
    assert!(int(call, "gen_ai.usage.cache_read.input_tokens").unwrap() <= input);
}

fn last_event(answer: &Answer) -> serde_json::Value {
    serde_json::from_str(answer.events().last().unwrap()).unwrap()
}

#[test]
fn fault_13_a_stream_of_events_that_ends_early_says_so_in_its_dialect() {
    for (script, kind) in [
        ("short=3", "stream_truncated"),
        ("cut=3", "connection_closed"),
        ("reset=3", "connection_reset"),
    ] {
        for (path, model, pointer) in [
            (CHAT, "openai/gpt-4o", "/error/message"),
            ("/v1/responses", "openai/gpt-4o", "/message"),
            ("/v1/messages", "anthropic/claude", "/error/message"),
            // Translated, from either side.
            (CHAT, "anthropic/claude", "/error/message"),
            ("/v1/messages", "openai/gpt-4o", "/error/message"),
        ] {
            let house = scripted(script);
            let answer = house.post(path, &ask(model, r#","stream":true,"max_tokens":9"#));
            assert!(answer.is_whole && answer.status == 200, "{script} {path}: {}", answer.body);
            assert!(answer.body.contains("The quick"), "{script} {path}: {}", answer.body);
            let event = last_event(&answer);
            assert!(event.pointer(pointer).is_some(), "{script} {path} {model}: {event}");
            let spans = house.spans(3);
            let call = the_call(&spans);
            // Where bytes that were written are still under way, a reset may look like an end.
            let blamed = call.attributes.str("error.type").unwrap();
            assert!(
                blamed == kind || script != "short=3" && blamed.starts_with("connection_"),
                "{script} {path}: {blamed}"
            );
            assert_eq!(texts(call, "gen_ai.response.finish_reasons"), ["error"], "{script} {path}");
        }
    }
}

#[test]
fn fault_13_an_event_that_was_cut_does_not_swallow_the_error() {
    let house = House::answering("{}", |_| {
        Some(sse(
            "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"id\":\"c",
        ))
    });
    let usage = r#","stream":true,"stream_options":{"include_usage":true}"#;
    let answer = house.post(CHAT, &ask("openai/gpt-4o", usage));
    assert!(answer.body.contains("data: {\"id\":\"c\n\ndata: {\"error\""), "{}", answer.body);
}

/// Other framings have no place for an error: the answer breaks off.
#[test]
fn fault_13_a_stream_of_lines_elements_or_frames_that_ends_early_breaks_off() {
    let line = r#"{"model":"m","message":{"role":"assistant","content":"The"},"done":false}"#;
    let element = r#"{"candidates":[{"index":0,"content":{"parts":[{"text":"The"}]}}]}"#;
    let frame = amazon("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"The"}}"#);
    for (path, content_type, bytes) in [
        ("/api/chat", "application/x-ndjson", format!("{line}\n").into_bytes()),
        (
            "/v1beta/models/gemini%2Fm:streamGenerateContent",
            "application/json",
            format!("[{element}").into_bytes(),
        ),
        ("/model/bedrock%2Fm/converse-stream", "application/vnd.amazon.eventstream", frame),
    ] {
        let sent = bytes.clone();
        let house = House::answering(NATIVE, move |_| Some(stream(content_type, [sent.clone()])));
        let body = if path == "/api/chat" { r#"{"model":"ollama/m","messages":[]}"# } else { "{}" };
        let answer = house.post(path, body);
        assert_eq!((answer.status, answer.is_whole), (200, false), "{path}: {}", answer.body);
        assert_eq!(answer.bytes, bytes, "{path}: what was sent has arrived");
        let spans = house.spans(3);
        let blamed = the_call(&spans).attributes.str("error.type");
        assert_eq!(blamed, Some("stream_truncated"), "{path}");
        assert_eq!(texts(the_call(&spans), "gen_ai.response.finish_reasons"), ["error"]);
    }
}

/// Providers of all that is not OpenAI's or Anthropic's.
pub const NATIVE: &str = r#"{"model_providers":[
    {"model":"ollama/*","base_url":"MOCK"},
    {"model":"gemini/*","base_url":"MOCK/v1beta","access_key":"$KEY"},
    {"model":"bedrock/*","base_url":"MOCK","region":"eu-central-1","access_key":"$KEY","secret_key":"$KEY"}]}"#;

/// A frame of Amazon's event stream.
pub fn amazon(event: &str, payload: &str) -> Vec<u8> {
    let kind = if event.ends_with("Exception") { "exception" } else { "event" };
    let mut headers = Vec::new();
    for (name, value) in [(":message-type", kind), (&format!(":{kind}-type"), event)] {
        headers.push(name.len() as u8);
        headers.extend(name.as_bytes());
        headers.push(7);
        headers.extend((value.len() as u16).to_be_bytes());
        headers.extend(value.as_bytes());
    }
    let mut frame = ((16 + headers.len() + payload.len()) as u32).to_be_bytes().to_vec();
    frame.extend((headers.len() as u32).to_be_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend(headers);
    frame.extend(payload.as_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}

#[test]
fn fault_15_an_error_after_content_is_forwarded_and_nobody_else_is_asked() {
    let house = House::with(&two("error=2", ""));
    let answer = house.post(CHAT, &ask_stream("both"));
    assert_eq!(answer.body.matches("\"error\"").count(), 1, "{}", answer.body);
    assert!(answer.events().last().unwrap().contains("the mock says so"), "{}", answer.body);
    assert_eq!(house.mock.n_requests(), 1);
    let spans = house.spans(3);
    assert_eq!(the_call(&spans).attributes.str("error.type"), Some("server_error"));
}

#[test]
fn fault_15_an_error_that_comes_when_nobody_could_wait_any_longer_is_told() {
    let house = scripted_with("pace=900,error=0", r#"{"timeouts":{"first_event":"300ms"}}"#);
    let answer = house.post(CHAT, &ask_stream("openai/gpt-4o"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("\"error\""), "{}", answer.body);
    let tree = house.tree(3, &["error.type"]);
    assert!(tree.contains("chat gpt-4o error.type="), "{tree}");
}

#[test]
fn fault_21_the_client_of_a_silent_model_hears_something() {
    let plain = scripted("deltas=2,pace=100").post(CHAT, &ask_stream("openai/gpt-4o"));
    assert!(!plain.body.contains("keep-alive"));
    for silence in ["ttft=400", "deltas=2,pace=200"] {
        let house = scripted_with(silence, r#"{"timeouts":{"keep_alive":"50ms"}}"#);
        let answer = house.post(CHAT, &ask_stream("openai/gpt-4o"));
        assert!(answer.body.contains(": keep-alive\n\n"), "{silence}: {}", answer.body);
        let without = answer.body.replace(": keep-alive\n\n", "");
        assert!(without.starts_with("data: {") && without.ends_with("data: [DONE]\n\n"));
        assert_eq!(without.matches("\n\n").count(), answer.events().len(), "{without}");
        let spans = house.spans(3);
        assert_eq!(the_call(&spans).attributes.get("error.type"), None);
        // An answer in one piece has no place for it.
        let whole = house.post(CHAT, &ask("openai/gpt-4o", ""));
        assert_eq!(whole.json()["object"], "chat.completion");
    }
}

/// A file of recorded or made answers.
fn golden(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/gateway/");
    std::fs::read_to_string(format!("{folder}{name}")).unwrap()
}

/// Names and arguments of the calls that a client of Messages gets.
fn tool_calls(answer: &Answer) -> Vec<(String, String)> {
    let mut calls: Vec<(String, String)> = Vec::new();
    for event in answer.events() {
        let event: serde_json::Value = serde_json::from_str(&event).unwrap();
        if let Some(name) = event.pointer("/content_block/name") {
            calls.push((name.as_str().unwrap().to_owned(), String::new()));
        }
        if let Some(more) = event.pointer("/delta/partial_json") {
            calls.last_mut().unwrap().1.push_str(more.as_str().unwrap());
        }
    }
    calls
}

#[test]
fn fault_28_calls_of_tools_are_kept_apart_however_they_come() {
    let odd = [
        r#"{"index":0,"function":{"name":"get_","arguments":""}}"#,
        r#"{"index":0,"function":{"name":"weather"}}"#,
        r#"{"index":1,"id":"b","function":{"name":"now"}}"#,
        r#"{"index":0,"function":{"arguments":"{}"}}"#,
    ];
    let odd = odd.map(|call| {
        format!("data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{call}]}}}}]}}\n\n")
    });
    let end = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n";
    let odd = odd.concat() + end;
    for (stream, n_calls, expected) in [
        (golden("chat/tools_interleaved.sse"), 3, None),
        (golden("chat/tools_index_reused.sse"), 3, None),
        (odd, 2, Some([("get_weather", "{}"), ("now", "{}")])),
    ] {
        let sent = stream.clone();
        let house = House::answering("{}", move |_| Some(sse(&sent)));
        let usage = r#","stream":true,"stream_options":{"include_usage":true}"#;
        assert_eq!(house.post(CHAT, &ask("openai/gpt-4o", usage)).body, stream, "untouched");
        let body = ask("openai/gpt-4o", r#","stream":true,"max_tokens":9"#);
        let calls = tool_calls(&house.post("/v1/messages", &body));
        assert_eq!(calls.len(), n_calls, "{calls:?}");
        for (name, arguments) in &calls {
            assert!(!name.is_empty());
            // No arguments at all are none, which is what clients make of an empty text.
            let arguments = if arguments.is_empty() { "{}" } else { arguments };
            assert!(serde_json::from_str::<serde_json::Value>(arguments).is_ok(), "{calls:?}");
        }
        if let Some(expected) = expected {
            let names: Vec<_> = calls.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, expected.map(|(name, _)| name));
        }
    }
}

#[test]
fn fault_29_what_the_gateway_does_not_know_passes_within_a_dialect() {
    let stream = golden("messages/thinking_and_tools.sse")
        + "event: brand_new\ndata: {\"type\":\"brand_new\",\"x\":[1.0e2]}\n\n";
    let sent = stream.clone();
    let house = House::answering("{}", move |_| Some(sse(&sent)));
    let body = r#"{"model":"claude","stream":true,"max_tokens":9,"thinking":{"type":"enabled","budget_tokens":1024},
        "messages":[{"role":"user","content":[
            {"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}},
            {"type":"brand_new","x":1.0}]},
        {"role":"assistant","content":[{"type":"redacted_thinking","data":"xyz"},
            {"type":"thinking","thinking":"hm","signature":"sig"}]}]}"#;
    let answer = house.post("/v1/messages", &body.replace("\"claude\"", "\"anthropic/claude\""));
    assert_eq!(answer.body, stream);
    assert_eq!(house.mock.seen()[0].body, body);
}

#[test]
fn fault_29_what_has_no_place_in_another_dialect_is_named() {
    let house = House::new();
    let body = r#"{"model":"openai/gpt-4o","max_tokens":9,"top_k":5,"messages":[{"role":"user","content":[
        {"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}}]}]}"#;
    let answer = house.post("/v1/messages", body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let spans = house.spans(3);
    let events = spans.iter().flat_map(|span| &span.events);
    let dropped = events.filter(|event| event.name == "spanwise.gateway.dropped");
    let fields: Vec<_> = dropped.filter_map(|event| event.attributes.str("field")).collect();
    assert!(fields.iter().any(|field| field.contains("top_k")), "{fields:?}");
    assert!(fields.iter().any(|field| field.contains("cache_control")), "{fields:?}");
    let refused = house.post("/v1/messages", &body.replace("\"text\",", "\"brand_new\","));
    assert_eq!(refused.status, 501, "{}", refused.body);
    assert!(refused.body.contains("brand_new"), "{}", refused.body);
}

#[test]
fn fault_31_each_choice_has_a_reason_to_finish() {
    let house = House::answering("{}", |_| Some(sse(&golden("chat/three_choices.sse"))));
    house.post(CHAT, &ask("openai/gpt-4o", r#","n":3,"stream":true"#));
    let spans = house.spans(3);
    let call = the_call(&spans);
    assert_eq!(int(call, "gen_ai.request.choice.count"), Some(3));
    let reasons = texts(call, "gen_ai.response.finish_reasons");
    assert_eq!(reasons, ["stop", "content_filter", "length"]);
    assert!(call.attributes.get("gen_ai.response.time_to_first_chunk").is_some());
}

#[test]
fn fault_33_a_damaged_stream_of_frames_ends_where_it_is_damaged() {
    let start = amazon("messageStart", r#"{"role":"assistant"}"#);
    let text = amazon("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"The"}}"#);
    let mut damaged = text.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let thrown = amazon("throttlingException", r#"{"message":"slow down"}"#);
    let tail = amazon("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":" end"}}"#);
    for (frames, kind, is_whole) in [
        (vec![start.clone(), text.clone(), damaged, tail], "stream_corrupt", false),
        (vec![start.clone(), text.clone(), thrown], "throttlingException", true),
    ] {
        for path in ["/model/bedrock%2Fm/converse-stream", CHAT] {
            // Byte by byte, so that every prelude is split.
            let pieces: Vec<_> = frames.concat().chunks(1).map(<[u8]>::to_vec).collect();
            let house = House::answering(NATIVE, move |_| {
                Some(stream("application/vnd.amazon.eventstream", pieces.clone()))
            });
            let body = if path == CHAT { ask_stream("bedrock/m") } else { "{}".to_owned() };
            let answer = house.post(path, &body);
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert!(!answer.body.contains(" end"), "{}", answer.body);
            if path == CHAT {
                assert!(last_event(&answer)["error"].is_object(), "{}", answer.body);
            } else {
                assert_eq!(answer.is_whole, is_whole);
            }
            let spans = house.spans(3);
            assert_eq!(the_call(&spans).attributes.str("error.type"), Some(kind), "{path}");
        }
    }
}

#[test]
fn fault_34_input_that_nobody_counted_is_unknown() {
    let house = House::answering(NATIVE, |_| {
        let lines = golden("ollama/cache_hit.ndjson");
        Some(stream("application/x-ndjson", [lines.into_bytes()]))
    });
    house.post("/api/chat", r#"{"model":"ollama/llama3.2","messages":[]}"#);
    let spans = house.spans(3);
    assert_eq!(int(the_call(&spans), "gen_ai.usage.input_tokens"), None);
    assert_eq!(int(the_call(&spans), "gen_ai.usage.output_tokens"), Some(298));
}
