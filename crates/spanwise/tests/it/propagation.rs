//! The table of rules of propagation, as a program that uses this crate sees it.

use serde_json::Value as Json;
use spanwise::propagation::{extract_all, inject_context};

/// Every rule and every illegal form: what is understood, and what a span below sends on.
#[test]
fn every_rule_of_the_table_holds() {
    let table = include_str!("../../../../testdata/propagation/extract.json");
    let cases: Vec<Json> = serde_json::from_str(table).unwrap();
    assert!(cases.len() > 150);
    for case in cases {
        let headers: Vec<(String, String)> =
            serde_json::from_value(case["headers"].clone()).unwrap();
        let name = &case["name"];
        let caller = extract_all(|wanted, each| {
            let values = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            values.for_each(|(_, value)| each(value.as_bytes()));
        });
        let Some(caller) = caller else {
            assert!(case["trace_id"].is_null(), "{name}");
            continue;
        };
        assert_eq!(case["trace_id"], caller.trace_id.to_string(), "{name}");
        assert_eq!(case["span_id"], caller.span_id.to_string(), "{name}");

        let child = caller.new_child();
        let mut sent = std::collections::HashMap::new();
        inject_context(&child, |name, value| drop(sent.insert(name, value.to_owned())));
        // The decision and the random flag stay as they are; all else is the child's.
        let flags = case["flags"].as_u64().unwrap();
        let parent = format!("00-{}-{}-{flags:02x}", caller.trace_id, child.span_id);
        assert_eq!(sent["traceparent"], parent, "{name}");
        let text = |key: &str| case[key].as_str().unwrap_or_default();
        let sent = |key: &str| sent.get(key).map_or("", String::as_str);
        assert_eq!(sent("tracestate"), text("tracestate"), "{name}");
        assert_eq!(sent("baggage"), text("baggage"), "{name}");
    }
}
