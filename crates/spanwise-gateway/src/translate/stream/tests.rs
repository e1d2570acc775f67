use super::super::*;

fn reply(from: Dialect, to: Dialect) -> Reply {
    let body = r#"{"model":"m","max_tokens":9,"thinking":{"type":"enabled","budget_tokens":1024},
        "messages":[{"role":"user","content":"hi"}],"stream":true}"#;
    let chat = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,
        "stream_options":{"include_usage":true}}"#;
    let body = if from == Dialect::Chat { chat } else { body };
    request(from, to, body.as_bytes(), "m", false).unwrap().reply
}

const STAMP: Stamp<'_> = Stamp { id: "made", model: "m", created: 1 };

fn run(reply: &Reply, frames: &[&str]) -> String {
    let mut stream = reply.stream(&STAMP);
    let mut out = Vec::new();
    for frame in frames {
        out.extend_from_slice(&stream.frame(None, frame.as_bytes()));
    }
    out.extend_from_slice(&stream.finish(Ending::Closed));
    assert!(stream.has_ended());
    String::from_utf8(out).unwrap()
}

#[test]
fn interleaved_calls_of_chat_become_one_block_after_the_other() {
    let out = run(
        &reply(Dialect::Messages, Dialect::Chat),
        &[
            r#"{"id":"c","model":"gpt","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"Hi"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"get_"}},{"index":1,"id":"b","function":{"name":"g"}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"x","arguments":"{\"q\":"}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}}"#,
            "[DONE]",
        ],
    );
    println!("{out}");
    assert!(out.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
}

#[test]
fn messages_become_chunks_of_chat() {
    let out = run(
        &reply(Dialect::Chat, Dialect::Messages),
        &[
            r#"{"type":"message_start","message":{"id":"msg","model":"claude","usage":{"input_tokens":3,"cache_read_input_tokens":4,"output_tokens":1}}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hi\n"}}"#,
            r#"{"type":"content_block_stop","index":1}"#,
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
            r#"{"type":"content_block_stop","index":2}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":9}}"#,
            r#"{"type":"message_stop"}"#,
        ],
    );
    println!("{out}");
    assert!(out.ends_with("data: [DONE]\n\n"));
}
