use super::super::tests::frames::frames;
use super::super::*;

const STAMP: Stamp<'_> = Stamp { id: "made", model: "m", created: 1 };

/// The reply to a request that asks for thoughts and, in Chat, for usage.
fn reply(client: Dialect, upstream: Dialect) -> Reply {
    let wants = reply::Wants { usage: true, thoughts: true, echo: Vec::new() };
    Reply { client, upstream, wants }
}

fn run(reply: &Reply, frames: &[&str], ending: Ending<'_>) -> String {
    let mut stream = reply.stream(&STAMP);
    let mut out = Vec::new();
    for frame in frames {
        out.extend_from_slice(&stream.frame(None, frame.as_bytes()));
    }
    out.extend_from_slice(&stream.finish(ending));
    assert!(stream.has_ended());
    assert!(stream.finish(Ending::Closed).is_empty(), "an end comes once");
    String::from_utf8_lossy(&out).into_owned()
}

/// A chunk of Chat with these calls in it.
fn calls(calls: &str) -> String {
    format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{{"tool_calls":[{calls}]}}}}]}}"#)
}

/// The calls that a client of Messages gets: their ids, names and arguments.
fn got(chunks: &[String]) -> Vec<(String, String, String)> {
    let mut frames_in: Vec<&str> = chunks.iter().map(String::as_str).collect();
    frames_in.push(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#);
    frames_in.push("[DONE]");
    let out = run(&reply(Dialect::Messages, Dialect::Chat), &frames_in, Ending::Closed);
    let mut calls = Vec::new();
    let mut is_open = false;
    for (_, data) in frames(Dialect::Messages, out.as_bytes()) {
        let event: serde_json::Value = serde_json::from_slice(&data).unwrap();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert!(!is_open, "one block after the other");
                is_open = true;
                let block = &event["content_block"];
                let word = |key: &str| block[key].as_str().unwrap().to_owned();
                calls.push((word("id"), word("name"), String::new()));
            }
            "content_block_delta" => {
                let more = event["delta"]["partial_json"].as_str().unwrap();
                calls.last_mut().unwrap().2.push_str(more);
            }
            "content_block_stop" => is_open = false,
            _ => {}
        }
    }
    calls
}

fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
    (id.to_owned(), name.to_owned(), arguments.to_owned())
}

#[test]
fn parallel_calls_that_come_interleaved_are_told_one_after_the_other() {
    let calls = got(&[
        calls(
            r#"{"index":0,"id":"a","function":{"name":"f"}},{"index":1,"id":"b","function":{"name":"g"}}"#,
        ),
        calls(r#"{"index":0,"function":{"arguments":"{\"q\":"}}"#),
        calls(r#"{"index":1,"function":{"arguments":"{\"r\":"}}"#),
        calls(r#"{"index":0,"function":{"arguments":"\"}\\\"\"}"}}"#),
        calls(r#"{"index":1,"function":{"arguments":"2}"}}"#),
    ]);
    assert_eq!(calls, [call("a", "f", r#"{"q":"}\""}"#), call("b", "g", r#"{"r":2}"#)]);
}

#[test]
fn a_name_in_pieces_becomes_whole_and_a_repeated_one_stays_as_it_is() {
    let calls = got(&[
        calls(r#"{"index":0,"id":"a","function":{"name":"get_","arguments":""}}"#),
        calls(r#"{"index":0,"function":{"name":"weather"}}"#),
        calls(r#"{"index":0,"function":{"arguments":"{}"}}"#),
        calls(r#"{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}"#),
        calls(r#"{"index":1,"id":"b","function":{"name":"g","arguments":"}"}}"#),
    ]);
    assert_eq!(calls, [call("a", "get_weather", "{}"), call("b", "g", "{}")]);
}

#[test]
fn one_index_for_all_calls_still_makes_several() {
    let calls = got(&[
        calls(r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"n\":1}"}}"#),
        calls(r#"{"index":0,"id":"b","function":{"name":"f","arguments":"{\"n\":2}"}}"#),
        calls(r#"{"function":{"name":"f","arguments":"{\"n\":3}"}}"#),
    ]);
    let (id, ..) = calls[2].clone();
    assert_eq!(calls[..2], [call("a", "f", r#"{"n":1}"#), call("b", "f", r#"{"n":2}"#)]);
    assert_eq!(calls[2], call(&id, "f", r#"{"n":3}"#));
    assert!(id.starts_with("call_") && id.len() == 21, "{id}");
}

#[test]
fn calls_without_ids_get_the_same_ids_whenever_they_are_told() {
    let chunks = [
        calls(r#"{"index":0,"function":{"name":"f"}}"#),
        calls(r#"{"index":1,"function":{"name":"f"}}"#),
    ];
    let calls = got(&chunks);
    assert_eq!(calls, got(&chunks));
    assert_ne!(calls[0].0, calls[1].0);
    assert_eq!([&*calls[0].2, &*calls[1].2], ["{}", "{}"], "no arguments are an empty object");
}

#[test]
fn what_comes_after_a_call_was_closed_is_lost_and_nothing_else() {
    let calls = got(&[
        calls(r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}"#),
        calls(r#"{"index":1,"id":"b","function":{"name":"g","arguments":"{}"}}"#),
        calls(r#"{"index":0,"function":{"arguments":" "}}"#),
    ]);
    assert_eq!(calls, [call("a", "f", "{}"), call("b", "g", "{}")]);
}

const HELLO: [&str; 2] = [
    r#"{"id":"c","model":"gpt","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"}}]}"#,
    r#"{"id":"c","choices":[{"index":0,"delta":{"content":"lo"}}]}"#,
];

#[test]
fn a_stream_that_breaks_off_ends_with_an_error_of_the_clients_dialect() {
    for (client, end) in [
        (Dialect::Chat, r#""code":"upstream_error"}}"#),
        (Dialect::Responses, r#""error":{"code":"server_error""#),
        (Dialect::Messages, r#"data: {"type":"error","error":{"type":"api_error""#),
        (Dialect::Gemini, r#"data: {"error":{"code":502"#),
        (Dialect::Converse, "modelStreamErrorException"),
        (Dialect::Ollama, r#"{"error":"the provider's stream ended early"}"#),
    ] {
        let out = run(&reply(client, Dialect::Chat), &HELLO, Ending::Closed);
        assert!(out.contains("Hel") && out.contains(end), "{client}: {out}");
        assert!(!out.contains("[DONE]") && !out.contains("message_stop"), "{client}: {out}");
    }
}

#[test]
fn an_error_inside_of_a_stream_is_told_with_its_kind() {
    let broken = r#"{"error":{"message":"busy","type":"overloaded_error"}}"#;
    let out = run(&reply(Dialect::Messages, Dialect::Chat), &[HELLO[0], broken], Ending::Closed);
    assert!(out.ends_with(
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n"
    ));
    let out = run(&reply(Dialect::Ollama, Dialect::Chat), &[HELLO[0], "{nonsense"], Ending::Closed);
    assert!(out.ends_with("{\"error\":\"the provider sent a frame that is not JSON\"}\n"));
    let failed = Ending::Failed(ErrorKind::Timeout, "nothing came for a minute");
    let out = run(&reply(Dialect::Chat, Dialect::Messages), &[], failed);
    assert!(out.contains(r#""message":"nothing came for a minute""#));
}

#[test]
fn a_stream_without_its_end_marker_is_whole_if_the_model_had_finished() {
    let finish = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let frames = [HELLO[0], HELLO[1], finish];
    let out = run(&reply(Dialect::Messages, Dialect::Chat), &frames, Ending::Closed);
    assert!(out.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
}

#[test]
fn clients_get_usage_and_thoughts_only_if_they_asked() {
    let thought = r#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#;
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    let frames = [HELLO[0], thought, usage, "[DONE]"];
    for (client, body) in [
        (Dialect::Chat, r#"{"messages":[{"role":"user","content":"hi"}],"stream":true}"#),
        (Dialect::Messages, r#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":9}"#),
    ] {
        let upstream = if client == Dialect::Chat { Dialect::Responses } else { Dialect::Chat };
        let translated = request(client, upstream, body.as_bytes(), "m", false).unwrap();
        let reply = Reply { upstream: Dialect::Chat, ..translated.reply };
        let out = run(&reply, &frames, Ending::Closed);
        assert_eq!(out.contains("hm"), client == Dialect::Chat, "{out}");
        assert_eq!(out.contains("usage"), client == Dialect::Messages, "{out}");
    }
}

#[test]
fn half_a_character_waits_for_its_other_half() {
    let piece =
        |text: &str| format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#);
    let (first, second) = (piece("a\\ud83d"), piece("\\ude00b"));
    let frames = [&*first, &*second, "[DONE]"];
    let out = run(&reply(Dialect::Ollama, Dialect::Chat), &frames, Ending::Closed);
    assert!(out.contains(r#""content":"a""#) && out.contains(r#""content":"\ud83d\ude00b""#));
}
