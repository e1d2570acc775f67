//! Calls that go well.

use spanwise_model::{Kind, Value};

use crate::house::House;

const CHAT: &str = "/v1/chat/completions";

fn ask(model: &str, more: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}]{more}}}"#)
}

const USAGE: &[&str] = &[
    "gen_ai.request.model",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "http.response.status_code",
    "error.type",
];

fn int(span: &spanwise_model::Span, key: &str) -> Option<i64> {
    match span.attributes.get(key) {
        Some(Value::Int(value)) => Some(*value),
        _ => None,
    }
}

#[test]
fn a_call_is_a_request_a_logical_call_and_an_attempt() {
    let house = House::new();
    let answer = house.post(CHAT, &ask("openai/gpt-4o", ""));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let usage = &answer.json()["usage"];
    let spans = house.spans(3);
    let tree = house.tree(3, &["gen_ai.request.model", "http.response.status_code"]);
    assert_eq!(
        tree,
        "POST /v1/chat/completions http.response.status_code=200\n  \
           chat gpt-4o gen_ai.request.model=gpt-4o\n    \
             POST http.response.status_code=200\n"
    );
    let call = spans.iter().find(|span| span.name == "chat gpt-4o").unwrap();
    assert_eq!(call.kind, Kind::Client);
    assert_eq!(int(call, "gen_ai.usage.input_tokens"), usage["prompt_tokens"].as_i64());
    assert_eq!(int(call, "gen_ai.usage.output_tokens"), usage["completion_tokens"].as_i64());
    assert_eq!(call.attributes.str("gen_ai.provider.name"), Some("openai"));
    assert_eq!(call.attributes.str("gen_ai.response.id"), answer.json()["id"].as_str());
    assert!(call.attributes.get("gen_ai.usage.cost").is_some());
}

#[test]
fn the_upstream_gets_the_attempts_context_and_the_gateways_credential() {
    let house = House::new();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [
        ("traceparent", parent),
        ("tracestate", "vendor=1"),
        ("authorization", "Bearer sk-of-the-client"),
        ("cookie", "secret=1"),
    ];
    let answer = house.post_with(CHAT, &ask("openai/gpt-4o", ""), &headers);
    let seen = &house.mock.seen()[0];
    let spans = house.spans(3);
    let attempt = spans.iter().find(|span| span.name == "POST").unwrap();
    let sent = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", attempt.span_id);
    assert_eq!(seen.header("traceparent"), Some(sent.as_str()));
    assert_eq!(seen.header("authorization"), Some("Bearer sk-upstream"));
    assert_eq!(seen.header("cookie"), None);
    let server = spans.iter().find(|span| span.kind == Kind::Server).unwrap();
    assert_eq!(server.parent_span_id.unwrap().to_string(), "b7ad6b7169203331");
    let told = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", server.span_id);
    assert_eq!(answer.headers["traceresponse"], told);
    assert!(answer.headers["server-timing"].starts_with("gateway;dur="));
}

#[test]
fn what_is_sent_on_is_what_was_sent_but_for_the_models_name() {
    let house = House::new();
    let odd = "{ \"b\": 1.50e0, \"model\" : \"openai/gpt-4o\",\n\"messages\":[], \"a\": [ ] }";
    house.post(CHAT, odd);
    let sent = String::from_utf8(house.mock.seen()[0].body.to_vec()).unwrap();
    assert_eq!(sent, odd.replace("openai/gpt-4o", "gpt-4o"));
}

#[test]
fn the_usage_of_a_stream_is_recorded_although_nobody_asked_for_it() {
    let house = House::new();
    let answer = house.post(CHAT, &ask("openai/gpt-4o", r#","stream":true"#));
    assert_eq!(answer.status, 200);
    let events = answer.events();
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    assert!(!answer.body.contains(r#""choices":[],"#), "{}", answer.body);
    let sent = house.mock.seen()[0].json();
    assert_eq!(sent["stream_options"]["include_usage"], true);
    let spans = house.spans(3);
    let call = spans.iter().find(|span| span.name == "chat gpt-4o").unwrap();
    assert!(int(call, "gen_ai.usage.output_tokens").is_some());
    assert!(call.attributes.get("gen_ai.response.time_to_first_chunk").is_some());
    assert_eq!(call.attributes.get("gen_ai.request.stream"), Some(&Value::Bool(true)));
}

#[test]
fn a_client_that_asks_for_usage_gets_the_providers_bytes() {
    let house = House::new();
    let body = ask("openai/gpt-4o", r#","stream":true,"stream_options":{"include_usage":true}"#);
    let through = house.post(CHAT, &body);
    let usage: Vec<_> =
        through.events().into_iter().filter(|e| e.contains("total_tokens")).collect();
    assert_eq!(usage.len(), 1);
    house.spans(3);
}

#[test]
fn anthropics_dialect_passes_and_is_understood() {
    let house = House::new();
    let body = r#"{"model":"anthropic/claude-sonnet-4-5","max_tokens":64,"stream":true,
        "messages":[{"role":"user","content":"hello"}]}"#;
    let answer = house.post("/v1/messages", body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("event: message_stop"));
    let seen = &house.mock.seen()[0];
    assert_eq!(seen.header("x-api-key"), Some("sk-upstream"));
    assert_eq!(seen.header("anthropic-version"), Some("2023-06-01"));
    let spans = house.spans(3);
    let call = spans.iter().find(|span| span.name == "chat claude-sonnet-4-5").unwrap();
    assert!(int(call, "gen_ai.usage.input_tokens").is_some());
    assert_eq!(call.attributes.str("gen_ai.provider.name"), Some("anthropic"));
}

#[test]
fn a_client_of_one_dialect_reaches_a_provider_of_another() {
    let house = House::new();
    for stream in ["", r#","stream":true"#] {
        let answer = house.post(CHAT, &ask("anthropic/claude-sonnet-4-5", stream));
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.contains("chat.completion"), "{}", answer.body);
    }
    assert!(house.mock.seen().iter().all(|seen| seen.path == "/v1/messages"));
    let tree = house.tree(6, &["spanwise.gateway.translated"]);
    assert!(tree.contains("spanwise.gateway.translated=chat to messages"), "{tree}");
}

#[test]
fn embeddings_and_responses_pass() {
    let house = House::new();
    let embedded =
        house.post("/v1/embeddings", r#"{"model":"openai/text-embedding-3-small","input":"x"}"#);
    assert_eq!(embedded.status, 200, "{}", embedded.body);
    let body = r#"{"model":"openai/gpt-4o","input":"hello","stream":true}"#;
    let responded = house.post("/v1/responses", body);
    assert_eq!(responded.status, 200);
    assert!(responded.body.contains("response.completed"), "{}", responded.body);
    let tree = house.tree(6, USAGE);
    assert!(tree.contains("embeddings text-embedding-3-small"), "{tree}");
    assert!(tree.contains("chat gpt-4o"), "{tree}");
}

#[test]
fn content_is_recorded_only_where_it_is_wanted() {
    let says_nothing = House::new();
    says_nothing.post(CHAT, &ask("openai/gpt-4o", ""));
    assert!(!format!("{:?}", says_nothing.spans(3)).contains("hello"));
    let tells = House::with(r#"{"tracing":{"content":{"capture":true}}}"#);
    tells.post(CHAT, &ask("openai/gpt-4o", ""));
    let spans = tells.spans(3);
    let call = spans.iter().find(|span| span.name == "chat gpt-4o").unwrap();
    let input = call.attributes.str("gen_ai.input.messages").unwrap();
    assert!(input.contains("hello"), "{input}");
    assert!(call.attributes.str("gen_ai.output.messages").is_some());
}

#[test]
fn an_answer_is_given_again_at_no_cost() {
    let house = House::with(r#"{"cache":{}}"#);
    let body = ask("openai/gpt-4o", r#","stream":true,"stream_options":{"include_usage":true}"#);
    let first = house.post(CHAT, &body);
    house.spans(3);
    let second = house.post(CHAT, &body);
    assert_eq!(first.body, second.body);
    assert_eq!(house.mock.n_requests(), 1);
    let spans = house.spans(5);
    let cached = spans.iter().find(|span| span.attributes.get("spanwise.gateway.cached").is_some());
    assert_eq!(cached.unwrap().attributes.get("gen_ai.usage.cost"), Some(&Value::Double(0.0)));
}

#[test]
fn models_are_listed_as_the_client_expects_them() {
    let house = House::with(r#"{"model_providers":[{"model":"openai/gpt-4o","base_url":"MOCK"}]}"#);
    let list = house.get("/v1/models").json();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|m| m["id"].as_str()).collect();
    assert_eq!(ids, [Some("openai/gpt-4o")]);
}
