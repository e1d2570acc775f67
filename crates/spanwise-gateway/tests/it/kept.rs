//! Responses that providers keep: fault 30.

use spanwise_gateway::keys::{Key, NewKey};

use crate::house::House;

const ASK: &str = r#"{"model":"MODEL","input":"hello"}"#;

fn two_providers() -> House {
    House::with(
        r#"{"model_providers":[
             {"model":"openai/*","base_url":"MOCK/one/v1","access_key":"$KEY"},
             {"model":"xai/*","base_url":"MOCK/two/v1","access_key":"$KEY"},
             {"model":"anthropic/*","base_url":"MOCK","access_key":"$KEY"}],
           "routes":[{"model":"both","strategy":"weighted","targets":["openai/a","xai/b"]}]}"#,
    )
}

fn make(house: &House, model: &str, more: &str) -> String {
    let body = ASK.replace("MODEL", model).replace('}', &format!("{more}}}"));
    let answer = house.post("/v1/responses", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let text = answer.events().first().cloned().unwrap_or(answer.body);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let id = json.pointer("/response/id").or(json.get("id")).unwrap();
    id.as_str().unwrap().to_owned()
}

fn last_path(house: &House) -> String {
    house.mock.seen().last().unwrap().path.clone()
}

#[test]
fn fault_30_a_response_is_asked_for_where_it_was_made() {
    let house = two_providers();
    for (model, place, more) in
        [("openai/a", "/one", ""), ("xai/b", "/two", ""), ("xai/b", "/two", r#","stream":true"#)]
    {
        let id = make(&house, model, more);
        for (method, part) in
            [("GET", ""), ("GET", "/input_items?limit=5"), ("POST", "/cancel"), ("DELETE", "")]
        {
            let answer = house.send(method, &format!("/v1/responses/{id}{part}"), "", &[]);
            assert_eq!(answer.status, 200, "{method} {part}: {}", answer.body);
            assert_eq!(last_path(&house), format!("{place}/v1/responses/{id}{part}"));
            let seen = house.mock.seen();
            let seen = seen.last().unwrap();
            assert_eq!((seen.method.as_str(), seen.body.len()), (method, 0));
            assert_eq!(seen.header("authorization"), Some("Bearer sk-upstream"));
            assert_eq!(seen.header("content-type"), None);
        }
    }
}

#[test]
fn fault_30_what_nobody_made_is_not_found() {
    let house = two_providers();
    let answer = house.send("GET", "/v1/responses/resp_unknown", "", &[]);
    assert_eq!(answer.status, 404);
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("resp_unknown"));
    assert_eq!(house.send("PUT", "/v1/responses/resp_unknown", "", &[]).status, 404);
    assert_eq!(house.mock.n_requests(), 0);
}

#[test]
fn fault_30_where_only_one_provider_keeps_responses_it_is_asked() {
    let house = House::with(
        r#"{"model_providers":[
             {"model":"openai/a","base_url":"MOCK/v1"},{"model":"openai/b","base_url":"MOCK/v1"},
             {"model":"anthropic/*","base_url":"MOCK"}]}"#,
    );
    assert_eq!(house.send("GET", "/v1/responses/resp_unknown", "", &[]).status, 200);
    assert_eq!(last_path(&house), "/v1/responses/resp_unknown");
}

#[test]
fn fault_30_a_fetch_is_a_span_without_usage() {
    let house = House::new();
    // The mock answers this path with a whole response, usage and all.
    let answer = house.send("GET", "/v1/responses/responses", "", &[]);
    assert!(answer.json()["usage"]["input_tokens"].is_number(), "{}", answer.body);
    let shown = ["http.route", "gen_ai.usage.input_tokens", "gen_ai.usage.cost", "error.type"];
    assert_eq!(
        house.tree(3, &shown),
        "GET /v1/responses/{id} http.route=/v1/responses/{id}\n  fetch_response\n    GET\n"
    );
}

#[test]
fn fault_30_a_conversation_goes_on_where_it_began() {
    let house = two_providers();
    for (model, place) in [("openai/a", "/one"), ("xai/b", "/two")] {
        let id = make(&house, model, "");
        for _ in 0..8 {
            make(&house, "both", &format!(r#","previous_response_id":"{id}""#));
            assert_eq!(last_path(&house), format!("{place}/v1/responses"));
        }
    }
    let id = make(&house, "openai/a", "");
    let body = format!(r#"{{"model":"xai/b","input":"x","previous_response_id":"{id}"}}"#);
    let answer = house.post("/v1/responses", &body);
    assert_eq!(answer.status, 404, "{}", answer.body);
    assert!(answer.body.contains("previous_response_id"));
}

#[test]
fn a_response_is_for_the_key_that_it_was_made_for() {
    let (ours, theirs) = (NewKey::generate(), NewKey::generate());
    let keys = vec![Key::new("ours", ours.hash), Key::new("theirs", theirs.hash)];
    let house = House::start("{}", Some(keys));
    let bearer = |key: &NewKey| format!("Bearer {}", key.secret);
    let (ours, theirs) = (bearer(&ours), bearer(&theirs));
    let ask = ASK.replace("MODEL", "openai/a");
    let made = house.post_with("/v1/responses", &ask, &[("authorization", &ours)]);
    let path = format!("/v1/responses/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(house.send("GET", &path, "", &[("authorization", &ours)]).status, 200);
    assert_eq!(house.send("GET", &path, "", &[("authorization", &theirs)]).status, 404);
    assert_eq!(house.send("GET", &path, "", &[]).status, 401);
}
