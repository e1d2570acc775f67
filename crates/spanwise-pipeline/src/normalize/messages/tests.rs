use serde_json::json;

use super::*;

fn text(content: &str) -> Part {
    Part::Text { content: content.into() }
}

fn call(id: &str, name: &str, arguments: Json) -> Part {
    Part::ToolCall { id: Some(id.into()), name: name.into(), arguments }
}

fn answer(id: &str, result: Json) -> Part {
    Part::ToolResult { id: Some(id.into()), result }
}

#[test]
fn m1_roles_have_one_spelling() {
    for (seen, expected) in
        [("developer", "system"), ("human", "user"), ("model", "assistant"), ("judge", "judge")]
    {
        let found = messages(&json!([{"role": seen, "content": "x"}]), "user").unwrap();
        assert_eq!(found[0].role, expected);
    }
}

#[test]
fn parts_of_opentelemetry() {
    let parts = json!([
        {"type": "text", "content": "a"},
        {"type": "reasoning", "content": "b"},
        {"type": "tool_call", "id": "1", "name": "f", "arguments": {"x": 1}},
        {"type": "tool_call_response", "id": "1", "response": 2},
        {"type": "tool_call_response", "id": "1", "result": 3},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AA=="},
        {"type": "hologram", "depth": 3},
        "bare"
    ]);
    let Json::Object(fields) = json!({"mime_type": "image/png", "content": "AA=="}) else {
        unreachable!()
    };
    let expected = [
        text("a"),
        Part::Reasoning { content: "b".into() },
        call("1", "f", json!({"x": 1})),
        answer("1", json!(2)),
        answer("1", json!(3)),
        Part::Media { modality: "image".into(), fields },
        Part::Other { value: json!({"type": "hologram", "depth": 3}) },
        text("bare"),
    ];
    assert_eq!(content_parts(&parts), expected, "M2, M4, M5");
}

#[test]
fn parts_of_providers() {
    assert_eq!(part(&json!({"type": "output_text", "text": "a"})), text("a"));
    assert_eq!(part(&json!({"text": "gemini"})), text("gemini"));
    let anthropic = json!({"type": "tool_use", "id": "1", "name": "f", "input": {}});
    assert_eq!(part(&anthropic), call("1", "f", json!({})));
    let responses =
        json!({"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"});
    assert_eq!(part(&responses), call("1", "f", json!({})));
    let vercel = json!({"type": "tool-call", "toolCallId": "1", "toolName": "f", "args": {}});
    assert_eq!(part(&vercel), call("1", "f", json!({})));
    let result = json!({"type": "tool_result", "tool_use_id": "1", "content": "ok"});
    assert_eq!(part(&result), answer("1", json!("ok")));
    let image = json!({"type": "image_url", "image_url": {"url": "https://x/y.png"}});
    match part(&image) {
        Part::Media { modality, fields } => {
            assert_eq!((&*modality, &fields["uri"]), ("image", &json!("https://x/y.png")));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_answer_of_a_tool_is_a_result() {
    let found =
        messages(&json!([{"role": "tool", "tool_call_id": "1", "content": "{\"a\": 1}"}]), "user");
    assert_eq!(found.unwrap()[0].parts, [answer("1", json!({"a": 1}))]);
}

#[test]
fn langchain_messages_have_classes() {
    let inputs = json!({"messages": [[
        {"lc": 1, "id": ["langchain", "schema", "SystemMessage"], "kwargs": {"content": "s"}},
        {"lc": 1, "id": ["langchain", "schema", "HumanMessage"], "kwargs": {"content": "q"}},
    ]]});
    let found = embedded_messages(&inputs, "user").unwrap();
    let seen: Vec<_> = found.iter().map(|m| (&*m.role, texts(m))).collect();
    assert_eq!(seen, [("system", "s".into()), ("user", "q".into())]);

    let outputs = json!({"generations": [[{
        "text": "a",
        "generation_info": {"finish_reason": "stop"},
        "message": {"kwargs": {"content": "a"}, "id": ["x", "AIMessage"]},
    }]]});
    let found = embedded_messages(&outputs, "assistant").unwrap();
    assert_eq!(found[0].parts, [text("a")]);
    assert_eq!(found[0].finish_reason.as_deref(), Some("stop"));
}

#[test]
fn requests_and_responses_of_providers_hold_messages() {
    let request =
        json!({"model": "m", "system": "s", "messages": [{"role": "user", "content": "q"}]});
    let roles: Vec<String> =
        embedded_messages(&request, "user").unwrap().into_iter().map(|m| m.role).collect();
    assert_eq!(roles, ["system", "user"]);
    let response = json!({"choices": [{"message": {"content": "a"}, "finish_reason": "length"}]});
    let found = embedded_messages(&response, "assistant").unwrap();
    assert_eq!((&*found[0].role, found[0].finish_reason.as_deref()), ("assistant", Some("length")));
}

#[test]
fn data_is_not_taken_for_messages() {
    for data in [
        json!({"content": "a page", "url": "x"}),
        json!([{"id": 1, "content": "row"}]),
        json!([]),
        json!({}),
        json!("text"),
        json!(3),
        json!([1, 2]),
    ] {
        assert_eq!(embedded_messages(&data, "user"), None, "{data}");
    }
}

#[test]
fn s8_the_frame_of_a_call_is_taken_off() {
    let shown = |json| call_arguments(json);
    assert_eq!(shown(json!({"args": [], "kwargs": {"a": 1}})), json!({"a": 1}));
    assert_eq!(shown(json!({"args": [1], "kwargs": {}})), json!([1]));
    let both = json!({"args": [1], "kwargs": {"a": 1}});
    assert_eq!(shown(both.clone()), both);
    let other = json!({"args": [1], "kwargs": {}, "more": 1});
    assert_eq!(shown(other.clone()), other);
}
