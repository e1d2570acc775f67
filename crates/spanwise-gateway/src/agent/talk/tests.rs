use http::Request;
use serde_json::json;

use super::*;

fn head(method: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// The same document with one value in it exchanged for another, once for each of its values.
fn damaged(document: &Json, odd: &Json) -> Vec<Json> {
    let mut all = vec![odd.clone()];
    match document {
        Json::Object(members) => {
            for (name, value) in members {
                for value in damaged(value, odd) {
                    let mut members = members.clone();
                    members.insert(name.clone(), value);
                    all.push(Json::Object(members));
                }
            }
        }
        Json::Array(elements) => {
            for (at, element) in elements.iter().enumerate() {
                for element in damaged(element, odd) {
                    let mut elements = elements.clone();
                    elements[at] = element;
                    all.push(Json::Array(elements));
                }
            }
        }
        _ => {}
    }
    all
}

#[test]
fn values_of_the_wrong_kind_are_not_known_and_nothing_worse() {
    let message = json!({"messageId": "m", "contextId": "c", "taskId": "t", "referenceTaskIds": ["r"],
        "parts": [{"text": "é"}, {"data": {"a": 1}}, {"file": {"uri": "u", "mimeType": "x"}}]});
    let task = json!({"id": "t", "contextId": "c", "status": {"state": "failed", "message": message},
        "artifacts": [{"artifactId": "a", "parts": [{"text": "x"}]}]});
    let requests = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message, "tenant": "x"}}),
        json!({"jsonrpc": "2.0", "id": "1", "method": "tasks/get", "params": {"id": "t"}}),
        json!([{"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "n", "arguments": {}, "_meta": {"traceparent": "x"}}}]),
        json!({"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "u"}}),
    ];
    let answers = [
        json!({"jsonrpc": "2.0", "id": 1, "result": {"task": task}}),
        json!({"jsonrpc": "2.0", "id": 1, "result": {"kind": "message", "parts": [{"text": "y"}]}}),
        json!([{"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "no", "data": 1}}]),
        json!({"jsonrpc": "2.0", "id": 1, "result": {"artifactUpdate": {"taskId": "t", "append": true,
            "artifact": {"artifactId": "a", "parts": [{"raw": "eA=="}]}}}}),
        json!({"jsonrpc": "2.0", "id": 1, "result": {"isError": true, "content": []}}),
    ];
    for odd in [json!(null), json!(true), json!(7.5), json!(""), json!("é"), json!([]), json!({})]
    {
        for request in requests.iter().flat_map(|request| damaged(request, &odd)) {
            let body = request.to_string();
            let capture = Capture { max_bytes: 3 };
            let mut talk = Talk::of("a", &head("POST", &[]), "/", Some(&body), capture);
            talk.context_in(&body);
            talk.rpc_id();
            for answer in answers.iter().flat_map(|answer| damaged(answer, &odd)) {
                talk.hear(&answer.to_string());
            }
            let (call, _) = talk.finish();
            assert!(!call.name.is_empty());
        }
    }
}

#[test]
fn names_from_outside_stay_short() {
    let long = "n".repeat(10_000);
    let body = json!({"jsonrpc": "2.0", "id": long, "method": "tools/call", "params": {"name": long, "uri": long}});
    let talk = Talk::of("a", &head("POST", &[]), "/", Some(&body.to_string()), Capture::NOTHING);
    let (call, _) = talk.finish();
    assert!(call.name.len() < 200);
    assert!(call.facts.iter().all(|fact| fact.value.as_str().is_none_or(|text| text.len() <= 256)));
}

#[test]
fn a_session_of_mcp_ends_without_a_name_of_its_own() {
    let head = head("DELETE", &[("mcp-session-id", "s")]);
    let (call, _) = Talk::of("tools", &head, "/mcp", None, Capture::NOTHING).finish();
    assert_eq!((call.name.as_str(), call.operation), ("DELETE tools", None));
    assert_eq!(call.facts.str("mcp.session.id"), Some("s"));
}
