//! One recording per dialect against its canonical view, which was checked by hand.
//!
//! `UPDATE_GOLDEN=1` rewrites the views; look at the difference before you commit it.

use std::fmt::Write;

use serde_json::{Value as Json, json};
use spanwise_model::StoredSpan;
use spanwise_model::genai::{Facts, LlmView};

use crate::{rows, testdata, views};

#[test]
fn otel() {
    check("otel-openai-v2");
}

#[test]
fn openinference() {
    check("openinference");
}

#[test]
fn openinference_langchain() {
    check("openinference-langchain");
}

#[test]
fn openinference_frameworks() {
    check("openinference-frameworks");
}

#[test]
fn traceloop() {
    check("traceloop");
}

#[test]
fn openllmetry_before_0_5() {
    check("openllmetry");
}

#[test]
fn plain() {
    check("plain");
}

fn check(dialect: &str) {
    let folder = testdata().join("dialects").join(dialect);
    let traces = std::fs::read_to_string(folder.join("traces.json")).unwrap();
    let logs: Vec<String> = std::fs::read_to_string(folder.join("logs.json")).into_iter().collect();
    let seen = render(&views(&rows(&[traces], &logs)));
    let golden = folder.join("view.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, seen).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&golden).unwrap();
    for (number, (seen, expected)) in seen.lines().zip(expected.lines()).enumerate() {
        assert_eq!(seen, expected, "{}:{}", golden.display(), number + 1);
    }
    assert_eq!(seen.lines().count(), expected.lines().count(), "{}", golden.display());
}

/// Spans in order of time, indented under their parents.
fn render(views: &[(&StoredSpan, Option<LlmView>)]) -> String {
    let mut spans: Vec<_> = views.iter().collect();
    spans.sort_by_key(|(row, _)| (row.span.start_time_unix_nano, row.span.span_id));
    let mut text = String::new();
    for (row, view) in spans {
        let span = &row.span;
        writeln!(text, "{} {}", span.span_id, span.name).unwrap();
        facts(&mut text, &row.facts);
        for warning in &row.warnings {
            writeln!(text, "  warning {}: {}", warning.kind, warning.message).unwrap();
        }
        if let Some(view) = view {
            fields(&mut text, view);
        }
        text.push('\n');
    }
    text
}

fn facts(text: &mut String, facts: &Facts) {
    let usage = facts.usage;
    let cost = facts.cost.map(|cost| json!([cost.nano_usd, cost.source]));
    let lines = [
        ("operation", json!(facts.operation)),
        ("provider", json!(&*facts.provider)),
        ("request_model", json!(&*facts.request_model)),
        ("response_model", json!(&*facts.response_model)),
        ("input", json!(usage.input)),
        ("output", json!(usage.output)),
        ("total", json!(usage.total)),
        ("cache_read", json!(usage.cache_read)),
        ("cache_write", json!(usage.cache_write)),
        ("reasoning", json!(usage.reasoning)),
        ("cost", json!(cost)),
        ("ttft_ns", json!(facts.time_to_first_token_ns)),
        ("finish_reasons", json!(&*facts.finish_reasons)),
        ("response_id", json!(&*facts.response_id)),
        ("session_id", json!(&*facts.session_id)),
        ("conversation_id", json!(&*facts.conversation_id)),
        ("user_id", json!(&*facts.user_id)),
        ("agent_name", json!(&*facts.agent_name)),
        ("agent_id", json!(&*facts.agent_id)),
        ("tool_name", json!(&*facts.tool_name)),
        ("workflow_name", json!(&*facts.workflow_name)),
        ("environment", json!(&*facts.environment)),
        ("error_type", json!(&*facts.error_type)),
        (preview_name("input", facts.input_is_message), json!(&*facts.input_preview)),
        (preview_name("output", facts.output_is_message), json!(&*facts.output_preview)),
    ];
    for (name, value) in lines {
        line(text, name, &value);
    }
}

fn preview_name(side: &'static str, is_message: bool) -> &'static str {
    match (side, is_message) {
        ("input", true) => "input_preview (message)",
        ("input", false) => "input_preview (value)",
        (_, true) => "output_preview (message)",
        (_, false) => "output_preview (value)",
    }
}

/// The view's fields; lists one entry per line.
fn fields(text: &mut String, view: &LlmView) {
    let Json::Object(fields) = serde_json::to_value(view).unwrap() else { unreachable!() };
    for (name, value) in fields {
        match &value {
            Json::Array(items) if items.iter().any(Json::is_object) => {
                for item in items {
                    line(text, &format!("> {name}"), item);
                }
            }
            other => line(text, &format!("> {name}"), other),
        }
    }
}

fn line(text: &mut String, name: &str, value: &Json) {
    const LONGEST: usize = 400;
    let is_empty = match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(fields) => fields.is_empty(),
        _ => false,
    };
    if is_empty {
        return;
    }
    let mut shown = value.to_string();
    if shown.chars().count() > LONGEST {
        let n_chars = shown.chars().count();
        shown = shown.chars().take(LONGEST).collect::<String>() + &format!(" … {n_chars} chars");
    }
    writeln!(text, "  {name} {shown}").unwrap();
}
