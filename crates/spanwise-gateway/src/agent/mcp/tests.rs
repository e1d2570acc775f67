use proptest::prelude::*;

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn edited(body: &str, pairs: &[(&'static str, &str)]) -> String {
    let edited = with_context(&Bytes::copy_from_slice(body.as_bytes()), &headers(pairs));
    String::from_utf8(edited.to_vec()).unwrap()
}

const PARENT: [(&str, &str); 1] = [("traceparent", "00-aa-bb-01")];

#[test]
fn the_context_goes_where_it_belongs_and_nothing_else_changes() {
    for (body, expected) in [
        (
            r#"{ "jsonrpc":"2.0","id":1, "method":"tools/list" }"#,
            r#"{"params":{"_meta":{"traceparent":"00-aa-bb-01"}}, "jsonrpc":"2.0","id":1, "method":"tools/list" }"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{ }}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"traceparent":"00-aa-bb-01"} }}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","n":1.50e0}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"traceparent":"00-aa-bb-01"},"name":"a","n":1.50e0}}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken": 7.0 ,"traceparent":"old","tracestate":"a=b"}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"traceparent":"00-aa-bb-01","progressToken":7.0}}}"#,
        ),
        (
            r#"[{"jsonrpc":"2.0","method":"notifications/initialized"},{"jsonrpc":"2.0","id":1,"method":"ping","params":{}}]"#,
            r#"[{"jsonrpc":"2.0","method":"notifications/initialized"},{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"traceparent":"00-aa-bb-01"}}}]"#,
        ),
    ] {
        assert_eq!(edited(body, &PARENT), expected);
    }
}

#[test]
fn a_server_that_is_to_know_nothing_is_not_told_by_the_caller_either() {
    let body =
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"traceparent":"old","a":1}}}"#;
    let expected = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"a":1}}}"#;
    assert_eq!(edited(body, &[]), expected);
    let without = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1}}"#;
    assert_eq!(edited(without, &[]), without);
}

#[test]
fn what_is_not_as_it_should_be_is_left_alone() {
    for body in [
        "",
        "{",
        "[]",
        "7",
        r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[1]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":7}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    ] {
        assert_eq!(edited(body, &PARENT), body);
    }
}

#[test]
fn a_method_that_others_have_too_is_taken_for_ours_only_with_a_sign() {
    let none = HeaderMap::new();
    let spoken = |method: &str, params: &str, headers: &HeaderMap| {
        is_spoken(method, Value::first(params), headers)
    };
    assert!(spoken("tools/call", "{}", &none));
    assert!(spoken("initialize", r#"{"protocolVersion":"2025-11-25"}"#, &none));
    assert!(spoken("tasks/get", r#"{"taskId":"t"}"#, &none));
    for (method, params) in [
        ("initialize", r#"{"rootUri":"file:///"}"#),
        ("ping", "{}"),
        ("tasks/get", r#"{"id":"t"}"#),
        ("tasks/pushNotificationConfig/get", r#"{"taskId":"t"}"#),
        ("message/send", "{}"),
    ] {
        assert!(!spoken(method, params, &none), "{method}");
        assert!(spoken(method, params, &headers(&[("mcp-session-id", "s")])), "{method}");
    }
}

#[test]
fn the_callers_context_is_read() {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{
        "traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tracestate":"a=1"}}}"#;
    let parent = context_in(body).unwrap().parent.unwrap();
    assert_eq!(parent.span_id.to_string(), "b7ad6b7169203331");
    assert_eq!(parent.trace_state.get("a"), Some("1"));
    let wrong = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"traceparent":7}}}"#;
    assert!(context_in(wrong).unwrap().parent.is_none());
    assert!(context_in(r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#).is_none());
}

proptest! {
    #[test]
    fn a_body_with_context_says_the_same_otherwise(
        meta in proptest::option::of(proptest::collection::btree_map("[a-z\u{e9}\"/]{1,6}", any::<i32>(), 0..4)),
        arguments in proptest::collection::btree_map("\\PC{0,6}", "\\PC{0,9}", 0..4),
        pretty in any::<bool>(),
    ) {
        let mut params = serde_json::json!({"name": "a", "arguments": arguments});
        if let Some(meta) = meta {
            params["_meta"] = serde_json::json!(meta);
        }
        let mut request = serde_json::json!({"jsonrpc":"2.0","id":1,"method":"tools/call","params":params});
        let body = if pretty { serde_json::to_string_pretty(&request) } else { serde_json::to_string(&request) };
        let edited: serde_json::Value = serde_json::from_str(&edited(&body.unwrap(), &PARENT)).unwrap();
        request["params"]["_meta"]["traceparent"] = "00-aa-bb-01".into();
        prop_assert_eq!(edited, request);
    }
}
