//! What requests say.

use serde_json::{Value as Json, json};

use super::*;
use crate::scan::scan;

fn content(dialect: Dialect, body: &str, max_bytes: usize) -> RequestContent {
    let facts = scan(dialect, body.as_bytes()).unwrap();
    request_content(dialect, &facts, body.as_bytes(), Capture { max_bytes })
}

/// Messages, system instructions and tools of a request.
#[track_caller]
fn check(dialect: Dialect, body: &Json, messages: Json, system: Json, tools: Json) {
    let content = content(dialect, &body.to_string(), 1 << 20);
    let json =
        |text: Option<String>| text.map_or(Json::Null, |text| serde_json::from_str(&text).unwrap());
    let found = (
        json(content.input_messages),
        json(content.system_instructions),
        json(content.tool_definitions),
    );
    assert_eq!(found, (messages, system, tools));
    assert!(!content.is_cut);
}

#[test]
fn chat() {
    let tools = json!([{"type": "function", "function": {"name": "add"}}]);
    check(
        Dialect::Chat,
        &json!({"messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "name": "ada", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "new", "x": 1},
            ]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function",
                 "function": {"name": "add", "arguments": "{\"a\":1}"}},
            ]},
            {"role": "tool", "tool_call_id": "call_1", "content": "3"},
        ], "tools": tools}),
        json!([
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {"role": "user", "name": "ada", "parts": [
                {"type": "text", "content": "What is this?"},
                {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"},
                {"type": "uri", "modality": "image", "mime_type": null, "uri": "https://x/y.png"},
                {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": "BBBB"},
                {"type": "file", "modality": "document", "mime_type": null, "file_id": "file-1"},
                {"type": "new", "x": 1},
            ]},
            {"role": "assistant", "parts": [
                {"type": "tool_call", "id": "call_1", "name": "add", "arguments": {"a": 1}},
            ]},
            {"role": "tool", "parts": [
                {"type": "tool_call_response", "id": "call_1", "response": 3},
            ]},
        ]),
        Json::Null,
        tools,
    );
}

#[test]
fn responses() {
    check(
        Dialect::Responses,
        &json!({"instructions": "Be brief.", "input": [
            {"role": "user", "content": "Add."},
            {"role": "user", "content": [{"type": "input_text", "text": "Now."},
                {"type": "input_image", "image_url": "https://x/y.png"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "{\"sum\":3}"},
        ]}),
        json!([
            {"role": "user", "parts": [{"type": "text", "content": "Add."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Now."},
                {"type": "uri", "modality": "image", "mime_type": null, "uri": "https://x/y.png"}]},
            {"role": "assistant", "parts": [{"type": "reasoning", "content": "Hm."}]},
            {"role": "assistant", "parts": [
                {"type": "tool_call", "id": "c1", "name": "add", "arguments": {}}]},
            {"role": "tool", "parts": [
                {"type": "tool_call_response", "id": "c1", "response": {"sum": 3}}]},
        ]),
        json!([{"type": "text", "content": "Be brief."}]),
        Json::Null,
    );
    check(
        Dialect::Responses,
        &json!({"input": "Add."}),
        json!([{"role": "user", "parts": [{"type": "text", "content": "Add."}]}]),
        Json::Null,
        Json::Null,
    );
}

#[test]
fn messages() {
    check(
        Dialect::Messages,
        &json!({"system": [{"type": "text", "text": "Be brief.", "cache_control": {}}],
        "messages": [
            {"role": "user", "content": "Add."},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1",
                 "content": [{"type": "text", "text": "3"}]},
                {"type": "image", "source":
                    {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]},
        ]}),
        json!([
            {"role": "user", "parts": [{"type": "text", "content": "Add."}]},
            {"role": "assistant", "parts": [
                {"type": "reasoning", "content": "Hm."},
                {"type": "tool_call", "id": "t1", "name": "add", "arguments": {"a": 1}}]},
            {"role": "user", "parts": [
                {"type": "tool_call_response", "id": "t1",
                 "response": [{"type": "text", "content": "3"}]},
                {"type": "blob", "modality": "image", "mime_type": "image/png",
                 "content": "AAAA"}]},
        ]),
        json!([{"type": "text", "content": "Be brief."}]),
        Json::Null,
    );
}

#[test]
fn gemini() {
    check(
        Dialect::Gemini,
        &json!({"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": [
            {"role": "user", "parts": [{"text": "Add."},
                {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://x"}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "add", "args": {"a": 1}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "add", "response": {"sum": 3}}}]},
        ]}),
        json!([
            {"role": "user", "parts": [{"type": "text", "content": "Add."},
                {"type": "uri", "modality": "video", "mime_type": "video/mp4", "uri": "gs://x"}]},
            {"role": "assistant", "parts": [
                {"type": "tool_call", "id": null, "name": "add", "arguments": {"a": 1}}]},
            {"role": "user", "parts": [
                {"type": "tool_call_response", "id": "add", "response": {"sum": 3}}]},
        ]),
        json!([{"type": "text", "content": "Be brief."}]),
        Json::Null,
    );
}

#[test]
fn converse() {
    check(
        Dialect::Converse,
        &json!({"system": [{"text": "Be brief."}], "messages": [
            {"role": "user", "content": [{"text": "Add."},
                {"image": {"format": "png", "source": {"bytes": "AAAA"}}}]},
            {"role": "assistant", "content": [
                {"toolUse": {"toolUseId": "t1", "name": "add", "input": {"a": 1}}}]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "t1", "content": [{"json": {"sum": 3}}]}}]},
        ], "toolConfig": {"tools": [{"toolSpec": {"name": "add"}}]}}),
        json!([
            {"role": "user", "parts": [{"type": "text", "content": "Add."},
                {"type": "blob", "modality": "image", "mime_type": "image/png",
                 "content": "AAAA"}]},
            {"role": "assistant", "parts": [
                {"type": "tool_call", "id": "t1", "name": "add", "arguments": {"a": 1}}]},
            {"role": "user", "parts": [
                {"type": "tool_call_response", "id": "t1", "response": [{"sum": 3}]}]},
        ]),
        json!([{"type": "text", "content": "Be brief."}]),
        json!([{"toolSpec": {"name": "add"}}]),
    );
}

#[test]
fn embeddings() {
    check(
        Dialect::Embeddings,
        &json!({"input": ["a", "b"]}),
        json!([{"role": "user", "parts": [
            {"type": "text", "content": "a"}, {"type": "text", "content": "b"}]}]),
        Json::Null,
        Json::Null,
    );
    check(Dialect::Embeddings, &json!({"input": [[1, 2]]}), Json::Null, Json::Null, Json::Null);
}

#[test]
fn of_a_long_conversation_the_newest_messages_are_kept() {
    let turn = |text: String| json!({"role": "user", "content": text});
    let messages: Vec<_> = (0..100).map(|n| turn(format!("{n} {}", "x".repeat(97)))).collect();
    let content = content(Dialect::Chat, &json!({"messages": messages}).to_string(), 350);
    let kept: Vec<Json> = serde_json::from_str(&content.input_messages.unwrap()).unwrap();
    assert!(content.is_cut);
    assert_eq!(kept.len(), 4);
    assert!(kept[3]["parts"][0]["content"].as_str().unwrap().starts_with("99 "));
}
