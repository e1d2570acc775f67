use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn facts(dialect: Dialect, body: &str) -> RequestFacts<'_> {
    scan(dialect, body.as_bytes()).unwrap()
}

fn fault(dialect: Dialect, body: &[u8]) -> String {
    scan(dialect, body).unwrap_err().to_string()
}

fn edited(body: &str, edits: &Edits<'_>) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let facts = scan(Dialect::Chat, &body).unwrap();
    String::from_utf8(rewrite(&body, &facts, edits).to_vec()).unwrap()
}

#[test]
fn bodies_that_no_provider_should_see_are_refused_fault_5() {
    let chat = |body: &[u8]| fault(Dialect::Chat, body);
    assert_eq!(chat(b""), "expected an object at byte 0");
    assert_eq!(chat(b"\xef\xbb\xbf{}"), "byte order mark at byte 0");
    assert_eq!(chat(b"{\"a\":\"\xff\"}"), "not UTF-8 at byte 6");
    assert_eq!(chat(br#"{"model":"a","model":"b"}"#), "model is given twice at byte 21");
    assert_eq!(chat(br#"{"model":"a","mod\u0065l":"b"}"#), "model is given twice at byte 26");
    assert_eq!(chat(br#"{"model":7}"#), "model must be a string at byte 9");
    assert_eq!(chat(br#"{"temperature":NaN}"#), "expected a value at byte 15");
    assert_eq!(chat(br#"{"model":"a""#), "expected a comma at byte 12");
    assert_eq!(chat(br#"{"messages":["\udc00"]}"#), "lone surrogate at byte 14");
    assert_eq!(chat(br#"{"stream":true,"stream":false}"#), "stream is given twice at byte 24");
    let deep = format!("{{\"messages\":{}", "[".repeat(10_000));
    assert!(chat(deep.as_bytes()).starts_with("nested too deeply"));
}

#[test]
fn a_model_cannot_smuggle_a_header_fault_26() {
    let body = br#"{"model":"gpt\r\nx-admin: 1"}"#;
    assert_eq!(fault(Dialect::Chat, body), "control character in the name of a model at byte 9");
}

#[test]
fn stream_is_a_truth_value_or_nothing_fault_7() {
    for (body, stream) in [
        (r#"{"stream":true}"#, true),
        (r#"{"stream":false}"#, false),
        (r#"{"stream":null}"#, false),
        ("{}", false),
    ] {
        assert_eq!(facts(Dialect::Chat, body).stream, stream, "{body}");
    }
    for body in [r#"{"stream":"true"}"#, r#"{"stream":1}"#] {
        assert_eq!(
            fault(Dialect::Messages, body.as_bytes()),
            "stream must be true or false at byte 10"
        );
    }
    assert!(facts(Dialect::Ollama, "{}").stream, "Ollama streams by itself");
    assert!(!facts(Dialect::Ollama, r#"{"stream":false}"#).stream);
    assert!(!facts(Dialect::Gemini, r#"{"stream":true}"#).stream, "the path says so, not the body");
}

#[test]
fn the_parameters_of_a_chat_are_read() {
    let body = r#"{"model":"gpt-\u0034o","messages":[{"role":"user","content":"hi"}],
        "max_tokens":5,"max_completion_tokens":100,"temperature":0.25,"top_p":1,"n":2,
        "frequency_penalty":-0.5,"presence_penalty":0.5,"stop":["a","\n"],"seed":-3,
        "reasoning_effort":"low","service_tier":"flex","user":"u1","stream":true,
        "response_format":{"type":"json_schema"},"tools":[{"type":"function"}],"unknown":[{}]}"#;
    let facts = facts(Dialect::Chat, body);
    let model = facts.model.clone().unwrap();
    assert_eq!((&*model.value, &body[model.range]), ("gpt-4o", "\"gpt-\\u0034o\""));
    assert_eq!(&body[facts.messages.clone().unwrap()], r#"[{"role":"user","content":"hi"}]"#);
    assert_eq!(&body[facts.tools.clone().unwrap()], r#"[{"type":"function"}]"#);
    assert!(facts.stream && facts.has_tools && facts.lacks_usage());
    let expected = Parameters {
        max_tokens: Some(100),
        temperature: Some(0.25),
        top_p: Some(1.0),
        choice_count: Some(2),
        frequency_penalty: Some(-0.5),
        presence_penalty: Some(0.5),
        stop_sequences: vec!["a".into(), "\n".into()],
        seed: Some(-3),
        reasoning_effort: Some("low".into()),
        service_tier: Some("flex".into()),
        user: Some("u1".into()),
        output_type: Some("json"),
        ..Parameters::default()
    };
    assert_eq!(facts.parameters, expected);
    assert_eq!(facts.clone().into_owned(), facts);
}

#[test]
fn every_dialect_has_names_of_its_own() {
    let of = |dialect, body| facts(dialect, body).parameters.into_owned();
    let responses = of(
        Dialect::Responses,
        r#"{"max_output_tokens":9,"reasoning":{"effort":"high"},"previous_response_id":"resp_1",
            "conversation":{"id":"conv_1"},"background":true,"text":{"format":{"type":"text"}}}"#,
    );
    assert_eq!(responses.max_tokens, Some(9));
    assert_eq!(responses.reasoning_effort.as_deref(), Some("high"));
    assert_eq!(responses.previous_response_id.as_deref(), Some("resp_1"));
    assert_eq!(responses.conversation_id.as_deref(), Some("conv_1"));
    assert_eq!((responses.background, responses.output_type), (true, Some("text")));

    let messages = of(
        Dialect::Messages,
        r#"{"max_tokens":9,"top_k":4,"stop_sequences":["x"],"metadata":{"user_id":"u"},
            "thinking":{"type":"enabled","budget_tokens":1024},"system":"be brief"}"#,
    );
    assert_eq!((messages.max_tokens, messages.top_k), (Some(9), Some(4)));
    assert_eq!((messages.user.as_deref(), messages.reasoning_budget), (Some("u"), Some(1024)));
    assert_eq!(messages.stop_sequences, ["x"]);

    let gemini = of(
        Dialect::Gemini,
        r#"{"contents":[],"generationConfig":{"maxOutputTokens":9,"topP":0.5,"topK":40,
            "stopSequences":["x"],"candidateCount":2,"temperature":1,"seed":1,
            "thinkingConfig":{"thinkingBudget":64},"responseMimeType":"application/json"}}"#,
    );
    assert_eq!((gemini.max_tokens, gemini.top_p, gemini.top_k), (Some(9), Some(0.5), Some(40)));
    assert_eq!((gemini.choice_count, gemini.reasoning_budget), (Some(2), Some(64)));
    assert_eq!((gemini.output_type, gemini.seed), (Some("json"), Some(1)));

    let converse = of(
        Dialect::Converse,
        r#"{"inferenceConfig":{"maxTokens":9,"topP":0.5,"stopSequences":["x"]},
            "additionalModelRequestFields":{"top_k":200},"serviceTier":{"type":"priority"}}"#,
    );
    assert_eq!(
        (converse.max_tokens, converse.top_p, converse.top_k),
        (Some(9), Some(0.5), Some(200))
    );
    assert_eq!(converse.service_tier.as_deref(), Some("priority"));

    let ollama = of(
        Dialect::Ollama,
        r#"{"options":{"num_predict":9,"top_k":40,"stop":"x","seed":42},"think":"low","format":"json"}"#,
    );
    assert_eq!((ollama.max_tokens, ollama.top_k, ollama.seed), (Some(9), Some(40), Some(42)));
    assert_eq!(
        (ollama.reasoning_effort.as_deref(), ollama.output_type),
        (Some("low"), Some("json"))
    );

    let embeddings = of(
        Dialect::Embeddings,
        r#"{"model":"e","input":[[1,2],[3]],"encoding_format":"base64","dimensions":256}"#,
    );
    assert_eq!(embeddings.encoding_format.as_deref(), Some("base64"));
    assert_eq!(embeddings.dimensions, Some(256));
}

#[test]
fn parameters_of_odd_types_are_left_to_the_provider() {
    let facts = facts(
        Dialect::Chat,
        r#"{"temperature":"hot","max_tokens":-1,"stop":{"a":1},"n":1e99,"seed":1.5,"tools":null}"#,
    );
    assert_eq!(facts.parameters, Parameters::default());
    assert!(!facts.has_tools);
}

#[test]
fn no_edit_copies_nothing() {
    let body = Bytes::from_static(br#"{"model":"a"}"#);
    let facts = scan(Dialect::Chat, &body).unwrap();
    let edits = Edits { model: Some("a"), include_usage: false };
    assert_eq!(rewrite(&body, &facts, &edits).as_ptr(), body.as_ptr());
}

#[test]
fn edits_touch_only_what_they_must() {
    let model = Edits { model: Some("b\"1"), include_usage: false };
    let usage = Edits { model: None, include_usage: true };
    let both = Edits { model: Some("b"), include_usage: true };
    for (body, edits, expected) in [
        (r#"{ "x":1e3, "model" : "a" }"#, &model, r#"{ "x":1e3, "model" : "b\"1" }"#),
        (r#" {"x":1}"#, &model, r#" {"model":"b\"1","x":1}"#),
        ("{ }", &model, r#"{"model":"b\"1" }"#),
        ("{}", &both, r#"{"stream_options":{"include_usage":true},"model":"b"}"#),
        (
            r#"{"stream":true,"model":"a"}"#,
            &both,
            r#"{"stream_options":{"include_usage":true},"stream":true,"model":"b"}"#,
        ),
        (r#"{"stream_options":null}"#, &usage, r#"{"stream_options":{"include_usage":true}}"#),
        (r#"{"stream_options":{ }}"#, &usage, r#"{"stream_options":{"include_usage":true }}"#),
        (
            r#"{"stream_options":{"include_obfuscation":false},"model":"a"}"#,
            &both,
            r#"{"stream_options":{"include_usage":true,"include_obfuscation":false},"model":"b"}"#,
        ),
        (
            r#"{"model":"a","stream_options":{"include_usage":false}}"#,
            &both,
            r#"{"model":"b","stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":true}}"#,
            &usage,
            r#"{"stream_options":{"include_usage":true}}"#,
        ),
        (r#"{"stream_options":7}"#, &usage, r#"{"stream_options":7}"#),
    ] {
        assert_eq!(edited(body, edits), expected);
    }
}

#[test]
fn a_model_that_stands_in_the_path_stays_out_of_the_body() {
    let body = Bytes::from_static(br#"{"contents":[]}"#);
    for dialect in [Dialect::Gemini, Dialect::Converse] {
        let facts = scan(dialect, &body).unwrap();
        let edits = Edits { model: Some("b"), include_usage: true };
        assert_eq!(rewrite(&body, &facts, &edits), body);
    }
}

#[test]
fn include_usage_is_told_and_asked_for_only_where_it_exists() {
    let of = |dialect, body: &str| {
        let facts = facts(dialect, body);
        (facts.include_usage, facts.lacks_usage())
    };
    assert_eq!(of(Dialect::Chat, r#"{"stream":true}"#), (None, true));
    let with =
        |value: &str| format!(r#"{{"stream":true,"stream_options":{{"include_usage":{value}}}}}"#);
    assert_eq!(of(Dialect::Chat, &with("true")), (Some(true), false));
    assert_eq!(of(Dialect::Chat, &with("false")), (Some(false), true));
    assert_eq!(of(Dialect::Chat, &with("\"yes\"")), (None, false));
    assert_eq!(of(Dialect::Responses, r#"{"stream":true}"#), (None, false));
    assert_eq!(of(Dialect::Chat, "{}"), (None, false));
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i32>().prop_map(Json::from),
        ".{0,20}".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map("[a-z_\"é]{1,8}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn edits_change_just_what_a_rewrite_of_the_tree_would(
        before in prop::collection::btree_map("[a-m]{1,5}", json(), 0..4),
        after in prop::collection::btree_map("[n-z]{1,5}", json(), 0..4),
        model in prop::option::of(".{0,12}".prop_filter("printable", |name| !name.chars().any(char::is_control))),
        include_usage in any::<bool>(),
    ) {
        let mut tree: serde_json::Map<String, Json> = before.into_iter().collect();
        tree.extend([("model".to_owned(), json!("old")), ("stream".to_owned(), json!(true))]);
        tree.extend(after);
        let body = Bytes::from(serde_json::to_vec_pretty(&tree).unwrap());
        let facts = scan(Dialect::Chat, &body).unwrap();
        let edits = Edits { model: model.as_deref(), include_usage };
        let edited: Json = serde_json::from_slice(&rewrite(&body, &facts, &edits)).unwrap();
        if let Some(model) = model {
            tree["model"] = json!(model);
        }
        if include_usage {
            tree.insert("stream_options".to_owned(), json!({"include_usage": true}));
        }
        prop_assert_eq!(edited, Json::Object(tree));
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
        for dialect in Dialect::ALL {
            let _ = scan(dialect, &body);
        }
    }
}
