//! Calls that do not go well. The numbers are those of the list of faults that a gateway survives.

use crate::house::House;

const CHAT: &str = "/v1/chat/completions";

fn ask(model: &str, more: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}]{more}}}"#)
}

fn two(first: &str) -> String {
    format!(
        r#"{{"model_providers":[
             {{"model":"openai/first","base_url":"MOCK{first}/v1","upstream_model":"gpt-4o"}},
             {{"model":"openai/second","base_url":"MOCK/v1","upstream_model":"gpt-4o"}}],
           "routes":[{{"model":"both","targets":["openai/first","openai/second"]}}],
           "timeouts":{{"first_event":"700ms","connect":"500ms"}}}}"#
    )
}

#[test]
fn fault_05_a_body_that_is_no_request_never_reaches_a_provider() {
    let house = House::new();
    for wrong in
        ["", "{", "[]", "{\"model\":\"gpt-4o\",\"model\":\"x\"}", "{\"a\":NaN}", "\u{feff}{}"]
    {
        let answer = house.post(CHAT, wrong);
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
    let anthropic = house.post("/v1/messages", "{");
    assert_eq!(anthropic.json()["type"], "error");
    assert_eq!(house.mock.n_requests(), 0);
}

#[test]
fn fault_06_unknown_and_missing_models_are_named() {
    let house = House::with(r#"{"model_providers":[{"model":"openai/gpt-4o","base_url":"MOCK"}]}"#);
    let unknown = house.post(CHAT, &ask("gpt-5", ""));
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("`gpt-5` is not configured"), "{}", unknown.body);
    assert_eq!(house.post(CHAT, r#"{"messages":[]}"#).status, 400);
}

#[test]
fn fault_13_a_stream_that_ends_early_says_so() {
    let house =
        House::with(r#"{"model_providers":[{"model":"openai/*","base_url":"MOCK/~cut=3/v1"}]}"#);
    let answer = house.post(CHAT, &ask("gpt-4o", r#","stream":true"#));
    assert!(answer.is_whole);
    assert!(answer.events().last().unwrap().contains("\"error\""), "{}", answer.body);
    let tree = house.tree(3, &["error.type"]);
    assert!(tree.contains("chat gpt-4o error.type="), "{tree}");
}

#[test]
fn faults_14_16_19_20_the_next_target_answers_and_the_client_never_knows() {
    for first in
        ["/~error=0", "/~status=503", "/~hangup", "/~hang", "/~status=429,retry-after=3600"]
    {
        let house = House::with(&two(first));
        let answer = house.post(CHAT, &ask("both", r#","stream":true"#));
        assert_eq!(answer.status, 200, "{first}: {}", answer.body);
        assert_eq!(answer.events().last().map(String::as_str), Some("[DONE]"), "{first}");
        let tree = house.tree(4, &["http.request.resend_count", "error.type"]);
        assert_eq!(tree.matches("    POST").count(), 2, "{first}: {tree}");
        assert!(tree.contains("POST http.request.resend_count=1\n"), "{first}: {tree}");
        assert!(!tree.contains("chat gpt-4o error.type"), "{first}: {tree}");
    }
}

#[test]
fn fault_15_an_error_after_content_is_forwarded_and_nobody_else_is_asked() {
    let house = House::with(&two("/~error=2"));
    let answer = house.post(CHAT, &ask("both", r#","stream":true"#));
    assert!(answer.body.contains("\"error\""), "{}", answer.body);
    assert_eq!(house.mock.n_requests(), 1);
}

#[test]
fn fault_15_an_error_that_comes_when_nobody_could_wait_any_longer_is_told() {
    let house = House::with(
        r#"{"model_providers":[{"model":"openai/*","base_url":"MOCK/~pace=900,error=0/v1"}],
            "timeouts":{"first_event":"300ms"}}"#,
    );
    let answer = house.post(CHAT, &ask("gpt-4o", r#","stream":true"#));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("\"error\""), "{}", answer.body);
    let tree = house.tree(3, &["error.type"]);
    assert!(tree.contains("chat gpt-4o error.type="), "{tree}");
}

#[test]
fn fault_17_a_refused_credential_is_not_shown() {
    let house = House::with(
        r#"{"model_providers":[{"model":"openai/*","base_url":"MOCK/~status=401/v1","access_key":"$KEY"}]}"#,
    );
    let answer = house.post(CHAT, &ask("gpt-4o", ""));
    assert_eq!(answer.status, 502, "{}", answer.body);
    assert!(!answer.body.contains("sk-"), "{}", answer.body);
    assert_eq!(house.mock.n_requests(), 1);
}

#[test]
fn fault_18_the_providers_own_words_about_a_bad_request_pass() {
    let house = House::with(
        r#"{"model_providers":[{"model":"openai/*","base_url":"MOCK/~status=400/v1"}]}"#,
    );
    let answer = house.post(CHAT, &ask("gpt-4o", ""));
    assert_eq!(answer.status, 400);
    assert_eq!(house.mock.n_requests(), 1);
}

#[test]
fn fault_19_failures_to_connect_are_told_apart() {
    for (address, kind) in
        [("http://127.0.0.1:1", "connect_refused"), ("http://no-such-host.invalid", "dns_error")]
    {
        let house = House::with(&format!(
            r#"{{"model_providers":[{{"model":"openai/*","base_url":"{address}"}}],"retry":{{"attempts":1}}}}"#
        ));
        let answer = house.post(CHAT, &ask("gpt-4o", ""));
        assert_eq!(answer.status, 502, "{}", answer.body);
        let tree = house.tree(3, &["error.type"]);
        assert!(tree.contains(&format!("    POST error.type={kind}\n")), "{tree}");
    }
}

#[test]
fn fault_45_a_circle_of_gateways_is_broken() {
    let house = House::new();
    let headers = [
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "spanwise=hop:8"),
    ];
    let answer = house.post_with(CHAT, &ask("gpt-4o", ""), &headers);
    assert_eq!(answer.status, 508);
    assert_eq!(house.mock.n_requests(), 0);
}

#[test]
fn fault_40_what_is_under_way_ends_before_the_gateway_does() {
    let mut house = House::with(
        r#"{"model_providers":[{"model":"openai/*","base_url":"MOCK/~deltas=20,pace=20/v1"}]}"#,
    );
    let (url, body) = (house.url.clone(), ask("gpt-4o", r#","stream":true"#));
    let (begun, wait) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        let mut answer = ureq::post(format!("{url}{CHAT}")).send(body).unwrap();
        begun.send(()).unwrap();
        answer.body_mut().read_to_string().unwrap()
    });
    wait.recv().unwrap();
    house.stop();
    assert!(client.join().unwrap().ends_with("data: [DONE]\n\n"));
    house.spans(3);
}
