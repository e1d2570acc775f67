//! What is counted.

use spanwise_model::Value;

use crate::house::House;

const CHAT: &str = "/v1/chat/completions";

fn ask(model: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}]}}"#)
}

/// The name of a series of calls to this model.
fn of_calls(name: &str, model: &str) -> String {
    format!(
        r#"{name}{{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="{model}"}}"#
    )
}

#[test]
fn calls_are_counted_under_opentelemetrys_names() {
    let house = House::new();
    house.post(CHAT, &ask("openai/gpt-4o"));
    house.post(CHAT, r#"{"model":"openai/gpt-4o","stream":true,"messages":[]}"#);
    let spans = house.spans(6);
    let input = spans.iter().filter_map(|span| span.attributes.get("gen_ai.usage.input_tokens"));
    let input = input.map(|count| if let Value::Int(n) = count { *n } else { 0 }).sum::<i64>();
    for (name, n) in [
        ("gen_ai_client_inference_duration_seconds_count", 2.0),
        ("gen_ai_client_operation_duration_seconds_count", 2.0),
        ("gen_ai_client_inference_time_to_first_chunk_seconds_count", 1.0),
        ("gen_ai_client_inference_usage_input_tokens_total", input as f64),
    ] {
        house.assert_metric(&of_calls(name, "gpt-4o"), n);
    }
    let cost = of_calls("spanwise_gateway_cost_usd_total", "gpt-4o");
    assert!(house.metrics()[&cost] > 0.0);
    let requests = "spanwise_gateway_request_duration_seconds_count";
    house.assert_metric(&format!(r#"{requests}{{route="{CHAT}",status="200"}}"#), 2.0);
    house.assert_metric("spanwise_gateway_requests_in_flight", 0.0);
    house.assert_metric("spanwise_gateway_overhead_seconds_count", 2.0);
    house.assert_metric("spanwise_gateway_spans_exported_total", 6.0);
}

#[test]
fn failures_and_retries_are_counted_where_they_happened() {
    let house = House::with(
        r#"{"model_providers":[
             {"model":"openai/first","base_url":"MOCK/~status=503/v1","upstream_model":"gpt-4o"},
             {"model":"openai/second","base_url":"MOCK/v1","upstream_model":"gpt-4o"}],
           "routes":[{"model":"both","targets":["openai/first","openai/second"]}]}"#,
    );
    for _ in 0..6 {
        assert_eq!(house.post(CHAT, &ask("both")).status, 200);
    }
    house.post(CHAT, "{");
    house.post(CHAT, &ask("nobody"));
    for (name, n) in [
        (r#"attempts_total{upstream="openai/second",error_type=""}"#, 6.0),
        (r#"retries_total{upstream="openai/second"}"#, 5.0),
        (r#"breaker_open{target="openai/first gpt-4o"}"#, 1.0),
        (r#"breaker_open{target="openai/second gpt-4o"}"#, 0.0),
        (r#"refused_total{reason="invalid_request"}"#, 1.0),
        (r#"refused_total{reason="model_not_found"}"#, 1.0),
    ] {
        house.assert_metric(&format!("spanwise_gateway_{name}"), n);
    }
}

#[test]
fn fault_01_context_that_makes_no_sense_is_counted() {
    let house = House::new();
    let wrong = [("traceparent", "00-00000000000000000000000000000000-b7ad6b7169203331-01")];
    assert_eq!(house.post_with(CHAT, &ask("openai/gpt-4o"), &wrong).status, 200);
    house.assert_metric(r#"spanwise_gateway_bad_trace_context_total{header="traceparent"}"#, 1.0);
}

#[test]
fn fault_36_models_without_number_make_series_of_a_number() {
    let house = House::with(r#"{"tracing":{"random_sampling":0}}"#);
    for n in 0..220 {
        assert_eq!(house.post(CHAT, &ask(&format!("openai/model-{n}"))).status, 200);
    }
    let name = "gen_ai_client_inference_duration_seconds_count";
    house.assert_metric(&of_calls(name, "_OTHER"), 20.0);
    assert_eq!(house.metrics().keys().filter(|key| key.starts_with(name)).count(), 201);
}
