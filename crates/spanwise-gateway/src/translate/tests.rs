use super::*;

fn translated(from: Dialect, to: Dialect, body: &str, model: &str) -> (String, Vec<Dropped>) {
    let translated = request(from, to, body.as_bytes(), model, false).unwrap();
    serde_json::from_slice::<serde_json::Value>(&translated.body).unwrap();
    (String::from_utf8(translated.body.to_vec()).unwrap(), translated.dropped)
}

#[test]
fn a_chat_request_becomes_one_of_messages() {
    let body = r#"{"model":"x","temperature":0.70,"messages":[
        {"role":"system","content":"Be \u00e9brief."},
        {"role":"user","content":[{"type":"text","text":"Look"},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,iVBOR\/w0="}}]},
        {"role":"assistant","content":null,"tool_calls":[
            {"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\": 1.0}"}},
            {"id":"call_2","type":"function","function":{"name":"g","arguments":""}}]},
        {"role":"tool","tool_call_id":"call_1","content":"one"},
        {"role":"tool","tool_call_id":"call_2","content":"two"},
        {"role":"user","content":"Go on"}],
        "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],
        "tool_choice":"required","parallel_tool_calls":false,"seed":7,"stop":"END","user":"u"}"#;
    let (body, dropped) = translated(Dialect::Chat, Dialect::Messages, body, "claude-sonnet-4-5");
    assert_eq!(
        body,
        concat!(
            r#"{"model":"claude-sonnet-4-5","max_tokens":32000,"system":"Be \u00e9brief.","#,
            r#""temperature":0.70,"stop_sequences":["END"],"#,
            r#""tools":[{"name":"f","input_schema":{"type":"object"}}],"#,
            r#""tool_choice":{"type":"any","disable_parallel_tool_use":true},"#,
            r#""metadata":{"user_id":"u"},"messages":["#,
            r#"{"role":"user","content":[{"type":"text","text":"Look"},{"type":"image","source":"#,
            r#"{"type":"base64","media_type":"image/png","data":"iVBOR/w0="}}]},"#,
            r#"{"role":"assistant","content":["#,
            r#"{"type":"tool_use","id":"call_1","name":"f","input":{"a": 1.0}},"#,
            r#"{"type":"tool_use","id":"call_2","name":"g","input":{}}]},"#,
            r#"{"role":"user","content":["#,
            r#"{"type":"tool_result","tool_use_id":"call_1","content":"one"},"#,
            r#"{"type":"tool_result","tool_use_id":"call_2","content":"two"},"#,
            r#"{"type":"text","text":"Go on"}]}]}"#,
        )
    );
    assert_eq!(dropped.len(), 1);
    assert_eq!(dropped[0].what, "seed");
}
