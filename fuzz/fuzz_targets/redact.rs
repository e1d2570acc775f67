//! Any text: redacting it twice is redacting it once, and JSON stays JSON.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use spanwise_model::redact::{RedactionConfig, Redactor};

static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| {
    let config = RedactionConfig { pii: true, financial: true, ..RedactionConfig::default() };
    Redactor::new(config).expect("no patterns")
});

fuzz_target!(|text: &str| {
    let once = REDACTOR.redact(text);
    assert_eq!(REDACTOR.redact(&once), once);
    // A bare number is JSON too, but nobody means it so.
    let is_json = serde_json::from_str::<serde_json::Value>(text).is_ok();
    if is_json && text.trim_ascii().starts_with(['{', '[', '"']) {
        serde_json::from_str::<serde_json::Value>(&once).expect("still JSON");
    }
});
