//! Requests that are none, ask for what there is not, or carry what must not go on.

use super::*;
use spanwise_gateway::keys::{Key, KeyHash};
use spanwise_gateway::plan::Plan;

use crate::house::{House, NoSecrets, Parts};

const GEMINI: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const CONVERSE: &str = "/model/claude/converse";

#[test]
fn fault_05_a_body_that_is_no_request_never_reaches_a_provider() {
    let house = House::new();
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let whole = ask("openai/gpt-4o", "");
    for wrong in [
        "",
        "{",
        "[]",
        "null",
        &whole[..whole.len() - 1],
        r#"{"model":"gpt-4o","model":"x"}"#,
        r#"{"model":"openai/gpt-4o","a":NaN}"#,
        "\u{feff}{}",
        "model=gpt-4o&stream=true",
        &deep,
    ] {
        let answer = house.post(CHAT, wrong);
        assert_eq!(answer.status, 400, "{wrong:.40}: {}", answer.body);
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
    assert_eq!(house.mock.n_requests(), 0);
}

#[test]
fn fault_05_every_dialect_has_its_own_words_for_it() {
    let house = House::new();
    let answer = |path| {
        let answer = house.post(path, "{");
        assert_eq!(answer.status, 400, "{path}");
        answer
    };
    assert_eq!(answer("/v1/messages").json()["error"]["type"], "invalid_request_error");
    assert_eq!(answer("/v1/responses").json()["error"]["type"], "invalid_request_error");
    assert_eq!(answer("/v1/embeddings").json()["error"]["type"], "invalid_request_error");
    assert_eq!(answer(GEMINI).json()["error"]["status"], "INVALID_ARGUMENT");
    assert_eq!(answer(CONVERSE).headers["x-amzn-errortype"], "ValidationException");
    assert!(answer("/api/chat").json()["error"].is_string());
}

#[test]
fn fault_05_a_lone_surrogate_and_a_wrong_content_type_harm_nobody() {
    let house = House::new();
    let odd = r#"{"model":"openai/gpt-4o","messages":[{"role":"user","content":"\ud800 \udfff"}]}"#;
    let refused = house.post(CHAT, odd);
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("lone surrogate"), "{}", refused.body);
    let body = ask("openai/gpt-4o", "");
    let n_bytes = body.len();
    let answer = house.raw(format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: text/html\r\n\
         content-length: {n_bytes}\r\n\r\n{body}"
    ));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = &house.mock.seen()[0];
    assert_eq!(seen.header("content-type"), Some("application/json"));
}

#[test]
fn fault_05_what_is_too_large_is_refused_before_it_is_read() {
    let house = House::new();
    let mut wire = house.wire();
    let n_bytes = (64 << 20) + 1;
    wire.send(format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {n_bytes}\r\n\r\n"));
    assert!(wire.until("\r\n\r\n").starts_with("HTTP/1.1 413"));

    let small = House::with(r#"{"limits":{"max_body_bytes":1000}}"#);
    let mut wire = small.wire();
    wire.send(format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"));
    wire.send(format!("7d0\r\n{}\r\n", "x".repeat(2000)));
    assert!(wire.until("\r\n\r\n").starts_with("HTTP/1.1 413"));
    assert_eq!(house.mock.n_requests() + small.mock.n_requests(), 0);
}

#[test]
fn fault_06_unknown_and_missing_models_are_named() {
    let house = House::with(r#"{"model_providers":[{"model":"openai/gpt-4o","base_url":"MOCK"}]}"#);
    let unknown = house.post(CHAT, &ask("gpt-5", ""));
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("`gpt-5` is not configured"), "{}", unknown.body);
    assert_eq!(house.post(CHAT, r#"{"messages":[]}"#).status, 400);
    assert_eq!(house.post(CHAT, r#"{"model":5,"messages":[]}"#).status, 400);
}

#[test]
fn fault_06_a_circle_of_routes_is_found_when_it_is_read() {
    let config = serde_json::json!({
        "listeners": [{"name": "models", "port": 0}],
        "routes": [
            {"model": "a", "targets": ["b"]},
            {"model": "b", "targets": ["c"]},
            {"model": "c", "targets": ["a"]},
        ],
    });
    let mistake = Plan::new(serde_json::from_value(config).unwrap(), &NoSecrets).unwrap_err();
    assert!(mistake.to_string().contains("is a circle"), "{mistake}");
}

#[test]
fn fault_07_stream_is_true_or_false_or_nothing() {
    let house = House::new();
    for wrong in [r#""true""#, "1", "[]"] {
        let answer = house.post(CHAT, &ask("openai/gpt-4o", &format!(r#","stream":{wrong}"#)));
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.body.contains("stream must be true or false"), "{}", answer.body);
    }
    let answer = house.post(CHAT, &ask("openai/gpt-4o", r#","stream":null"#));
    assert_eq!(answer.json()["object"], "chat.completion");
    house.post("/v1/messages", r#"{"model":"claude","stream":"yes","messages":[]}"#);
    assert_eq!(house.mock.n_requests(), 1);
}

#[test]
fn fault_26_names_carry_no_headers_and_no_paths() {
    let house = House::with(
        r#"{"model_providers":[
             {"model":"gemini/*","base_url":"MOCK/v1beta","access_key":"$KEY"}]}"#,
    );
    let injected = house.post(CHAT, r#"{"model":"a\r\nx-evil: 1","messages":[]}"#);
    assert_eq!(injected.status, 400);
    let in_path = house.post("/v1beta/models/a%0d%0ax-evil:%201:generateContent", "{}");
    assert_eq!(in_path.status, 404);
    assert_eq!(house.mock.n_requests(), 0);
    house.post("/v1beta/models/..%2F..%2Fadmin%3Fx:generateContent", "{}");
    let seen = &house.mock.seen()[0];
    assert_eq!(seen.path, "/v1beta/models/..%2F..%2Fadmin%3Fx:generateContent");
}

#[test]
fn fault_26_headers_are_bounded_in_number_and_length() {
    let house = House::new();
    let body = ask("openai/gpt-4o", "");
    let post = |more: &str| {
        let n_bytes = body.len();
        house.raw(format!(
            "POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {n_bytes}\r\n{more}\r\n{body}"
        ))
    };
    let many = |n: usize| (0..n).map(|n| format!("x-{n}: 1\r\n")).collect::<Vec<_>>().concat();
    assert!(post(&many(150)).starts_with("HTTP/1.1 200"));
    assert!(post(&many(200)).starts_with("HTTP/1.1 431"));
    let long = |n: usize| format!("x-long: {}\r\n", "v".repeat(n));
    assert!(post(&long(60 << 10)).starts_with("HTTP/1.1 200"));
    assert!(post(&long(64 << 10)).starts_with("HTTP/1.1 431"));
    assert!(post(&long(1 << 20)).starts_with("HTTP/1.1 431"));
    assert_eq!(house.mock.n_requests(), 2);
}

const OURS: &str = "sk-spanwise-of-the-gateway";

fn with_key(provider: &str) -> House {
    let keys = Some(vec![Key::new("team", KeyHash::of(OURS.as_bytes()))]);
    let config = format!(
        r#"{{"model_providers":[{{"model":"openai/*","base_url":"MOCK"{provider}}}],
            "keys":{{"file":"-"}},"tracing":{{"content":{{"capture":true}}}}}}"#
    );
    House::build(&config, Parts { keys, ..Parts::default() })
}

#[test]
fn fault_27_credentials_and_cookies_stay_where_they_belong() {
    let bearer = format!("Bearer {OURS}");
    let body = ask("openai/gpt-4o", "");
    // A provider with a key of its own gets that one; one without gets the client's own.
    for (provider, headers, expected) in [
        (r#","access_key":"$KEY""#, vec![("authorization", &*bearer)], Some("Bearer sk-upstream")),
        ("", vec![("authorization", &*bearer)], None),
        ("", vec![("x-api-key", OURS)], None),
        (
            "",
            vec![("x-spanwise-api-key", OURS), ("authorization", "Bearer sk-of-the-client")],
            Some("Bearer sk-of-the-client"),
        ),
    ] {
        let house = with_key(provider);
        let more = [("cookie", "session=c00kie"), ("x-private", "pr1vate"), ("x-request-id", "r1")];
        let headers: Vec<_> = headers.into_iter().chain(more).collect();
        let answer = house.post_with(CHAT, &body, &headers);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let seen = &house.mock.seen()[0];
        assert_eq!(seen.header("authorization"), expected);
        assert_eq!(seen.header("x-request-id"), Some("r1"));
        let sent = format!("{:?}", seen.headers);
        let spans = format!("{:?}", house.spans(3));
        for secret in [OURS, "c00kie", "pr1vate"] {
            assert!(!sent.contains(secret), "{sent}");
        }
        for secret in [OURS, "c00kie", "pr1vate", "sk-upstream", "sk-of-the-client"] {
            assert!(!spans.contains(secret), "{spans}");
        }
    }
    let house = with_key("");
    assert_eq!(house.post(CHAT, &body).status, 401);
    assert_eq!(house.post_with(CHAT, &body, &[("x-api-key", "sk-wrong")]).status, 401);
    assert_eq!(house.mock.n_requests(), 0);
}

#[test]
fn fault_48_a_retry_is_the_same_request() {
    let house = House::with(&two("status=503", ""));
    let answer = house.post_with(CHAT, &ask("both", ""), &[("idempotency-key", "once-only")]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let seen = house.mock.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.header("idempotency-key") == Some("once-only")));
    assert_eq!(seen[0].body, seen[1].body);
    assert_ne!(seen[0].header("traceparent"), seen[1].header("traceparent"));
}
