use bytes::Bytes;
use serde_json::json;
use spanwise_model::Attribute;

use super::*;

#[test]
fn values_keep_what_json_can_hold() {
    let value = |value: Value| serde_json::to_value(ValueJson(&value)).unwrap();
    assert_eq!(value(Value::Null), Json::Null);
    assert_eq!(value(Value::Int(1 << 53)), json!(9_007_199_254_740_992_i64));
    assert_eq!(value(Value::Int(-(1 << 53) - 1)), json!("-9007199254740993"));
    assert_eq!(value(Value::Int(i64::MIN)), json!("-9223372036854775808"));
    assert_eq!(value(Value::Double(0.1)), json!(0.1));
    assert_eq!(value(Value::Double(f64::NAN)), json!("NaN"));
    assert_eq!(value(Value::Double(f64::NEG_INFINITY)), json!("-Infinity"));
    assert_eq!(value(Value::Bytes(Bytes::from_static(b"fo"))), json!({"base64": "Zm8="}));
    let map = Attributes(vec![Attribute { key: "k".into(), value: Value::Bool(true) }]);
    let nested = Value::Array(vec![Value::Map(map), Value::Null]);
    assert_eq!(value(nested), json!([{"k": true}, null]));
}

#[test]
fn an_unknown_number_is_null_and_an_ordinary_span_has_no_llm() {
    let facts = Facts::default();
    assert!(FactsJson::of(&facts).is_none());
    let facts = Facts {
        operation: Some(spanwise_model::genai::Operation::Chat),
        usage: Usage { input: Some(0), ..Usage::default() },
        finish_reasons: "stop,length".into(),
        ..Facts::default()
    };
    let view = LlmView::default();
    let llm = serde_json::to_value(LlmJson::of(&facts, &view)).unwrap();
    assert_eq!(llm["usage"]["input"], json!(0));
    assert_eq!(llm["usage"]["output"], Json::Null);
    assert_eq!(llm["cost_usd"], Json::Null);
    assert_eq!(llm["finish_reasons"], json!(["stop", "length"]));
    assert_eq!(llm["agent"], Json::Null);
}

#[test]
fn money_is_in_dollars() {
    assert!((usd(1_250_000) - 0.001_25).abs() < 1e-15);
}
