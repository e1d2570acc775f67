//! A configuration that takes the place of another while the gateway serves.

use std::sync::mpsc::channel;

use spanwise_gateway::keys::{ContentRules, Key, KeyHash, NewKey};

use crate::house::House;

const CHAT: &str = "/v1/chat/completions";
const ASK: &str = r#"{"model":"both","messages":[]}"#;
const TWO: &str = r#"{"model_providers":[
      {"model":"openai/first","base_url":"MOCK/~status=503/v1","upstream_model":"gpt-4o"},
      {"model":"openai/second","base_url":"MOCK/v1","upstream_model":"gpt-4o"}],
    "routes":[{"model":"both","targets":["openai/first","openai/second"]}],
    "limits":{"max_hops":8}}"#;

#[test]
fn health_and_connections_of_what_did_not_change_outlive_a_reload() {
    let house = House::with(TWO);
    for _ in 0..6 {
        assert_eq!(house.post(CHAT, ASK).status, 200);
    }
    let breaker = r#"spanwise_gateway_breaker_open{target="openai/first gpt-4o"}"#;
    house.assert_metric(breaker, 1.0);
    let connection = |house: &House| house.mock.seen().last().unwrap().connection;
    let before = connection(&house);
    house.reload(&TWO.replace(r#""max_hops":8"#, r#""max_hops":7"#), None);
    house.assert_metric(breaker, 1.0);
    let n_before = house.mock.n_requests();
    assert_eq!(house.post(CHAT, ASK).status, 200);
    assert_eq!(house.mock.n_requests(), n_before + 1, "the broken one is left alone");
    assert_eq!(connection(&house), before);
    house.reload(&TWO.replace("/~status=503/v1", "/mended/v1"), None);
    assert_eq!(house.post(CHAT, ASK).status, 200);
    assert!(house.mock.seen().last().unwrap().path.starts_with("/mended/"));
}

#[test]
fn fault_39_many_reloads_leave_nothing_behind() {
    let house = House::with(TWO);
    let mut states = Vec::new();
    for n in 0..2_000 {
        let changed = TWO.replace(r#""max_hops":8"#, &format!(r#""max_hops":{}"#, 2 + n % 7));
        states.push(house.reload(&changed, None));
        if n % 100 == 0 {
            assert_eq!(house.post(CHAT, ASK).status, 200);
        }
    }
    assert_eq!(house.post(CHAT, ASK).status, 200);
    let n_left = states.iter().filter(|state| state.strong_count() > 0).count();
    assert!(n_left <= 1, "{n_left} states are left");
}

#[test]
fn fault_44_a_stream_ends_under_the_key_that_it_began_with() {
    let new = NewKey::generate();
    let key = || Key::new("team-a", new.hash);
    let slow =
        r#"{"model_providers":[{"model":"openai/*","base_url":"MOCK/~deltas=20,pace=20/v1"}]}"#;
    let house = House::start(slow, Some(vec![key()]));
    let bearer = format!("Bearer {}", new.secret);
    let ask = r#"{"model":"openai/gpt-4o","stream":true,"messages":[]}"#;
    let (url, authorization) = (house.url.clone(), bearer.clone());
    let (begun, wait) = channel();
    let client = std::thread::spawn(move || {
        let request = ureq::post(format!("{url}{CHAT}")).header("authorization", authorization);
        let mut answer = request.send(ask).unwrap();
        begun.send(()).unwrap();
        answer.body_mut().read_to_string().unwrap()
    });
    wait.recv().unwrap();
    house.reload(slow, Some(vec![Key { disabled: true, ..key() }]));
    let refused = house.post_with(CHAT, ask, &[("authorization", &bearer)]);
    assert_eq!(refused.status, 401);
    assert!(client.join().unwrap().ends_with("data: [DONE]\n\n"));
}

#[test]
fn where_keys_are_not_required_only_those_that_were_meant_for_the_gateway_are_refused() {
    let (good, gone) = (NewKey::generate(), NewKey::generate());
    let own = "a-key-of-somebodys-own-making";
    let keys = vec![
        Key::new("good", good.hash),
        Key { disabled: true, ..Key::new("own", KeyHash::of(own.as_bytes())) },
    ];
    let house = House::start(r#"{"keys":{"file":"none","required":false}}"#, Some(keys));
    let ask = r#"{"model":"openai/gpt-4o","messages":[]}"#;
    assert_eq!(house.post(CHAT, ask).status, 200);
    let with = |key: &str| {
        house.post_with(CHAT, ask, &[("authorization", &format!("Bearer {key}"))]).status
    };
    assert_eq!([with("none"), with("sk-of-a-provider"), with(&good.secret)], [200, 200, 200]);
    assert_eq!([with(&gone.secret), with(own)], [401, 401]);
    for seen in house.mock.seen() {
        assert_eq!(seen.header("authorization"), Some("Bearer sk-upstream"));
    }
}

#[test]
fn a_key_decides_for_itself_how_much_of_its_content_is_recorded() {
    let (open, closed) = (NewKey::generate(), NewKey::generate());
    let rules = |capture| ContentRules { capture: Some(capture), max_bytes: Some(9) };
    let keys = vec![
        Key { content: rules(true), ..Key::new("open", open.hash) },
        Key { content: rules(false), ..Key::new("closed", closed.hash) },
    ];
    let house = House::start(r#"{"keys":{"file":"none"}}"#, Some(keys));
    let ask = r#"{"model":"openai/gpt-4o","messages":[{"role":"user","content":"hello there"}]}"#;
    for key in [&open, &closed] {
        let bearer = format!("Bearer {}", key.secret);
        assert_eq!(house.post_with(CHAT, ask, &[("authorization", &bearer)]).status, 200);
    }
    let spans = house.spans(6);
    let calls = spans.iter().filter(|span| span.name == "chat gpt-4o");
    let inputs: Vec<_> = calls
        .map(|call| call.attributes.str("gen_ai.input.messages").unwrap_or_default())
        .collect();
    assert!(inputs[0].contains(r#""hello the""#), "{inputs:?}");
    assert_eq!(inputs[1], "");
}

#[test]
fn fault_43_a_stream_that_crosses_a_budget_finishes_and_the_next_is_refused() {
    let house = House::with(
        r#"{"limits":{"rules":[{"name":"all","limits":{"tokens_total":20}}]},
            "model_providers":[{"model":"openai/*","base_url":"MOCK/~deltas=50/v1"}]}"#,
    );
    let ask = r#"{"model":"gpt-4o","stream":true,"messages":[]}"#;
    let crossing = house.post(CHAT, ask);
    assert_eq!(crossing.events().last().map(String::as_str), Some("[DONE]"));
    house.spans(3);
    let refused = house.post(CHAT, ask);
    assert_eq!(refused.status, 429, "{}", refused.body);
    assert_eq!(refused.json()["error"]["type"], "insufficient_quota", "{}", refused.body);
    house.assert_metric(r#"spanwise_gateway_refused_total{reason="rate_limited"}"#, 1.0);
}
