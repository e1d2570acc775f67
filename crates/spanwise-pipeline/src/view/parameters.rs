//! Parameters of a call by their canonical names (semconv §6.3).

use std::collections::HashMap;

use serde_json::{Map, Value as Json};
use spanwise_model::Span;

use crate::normalize::dialect;
use crate::normalize::reading::{parse_value, to_json};
use crate::normalize::table::Parameter;

/// Remaining keys under this start are parameters by their own names.
const OTHER_START: &str = "gen_ai.request.";
const OTHER_RANK: u16 = 900;
/// What a map of parameters also holds, but is shown elsewhere.
const NOT_PARAMETERS: [&str; 10] = [
    "model",
    "model_name",
    "messages",
    "input",
    "prompt",
    "system",
    "tools",
    "functions",
    "user",
    "contents",
];

/// The parameters of a span, best key first.
pub fn of(span: &Span) -> Map<String, Json> {
    let mut found: HashMap<String, (u16, Json)> = HashMap::new();
    let mut offer = |name: &str, rank: u16, value: Json| {
        let is_better = found.get(name).is_none_or(|(other, _)| rank < *other);
        if is_better && !value.is_null() {
            found.insert(name.to_owned(), (rank, value));
        }
    };
    for attribute in &span.attributes {
        let known = dialect::ALL
            .iter()
            .flat_map(|dialect| dialect.parameters)
            .find(|parameter| attribute.key == *parameter.key);
        match known {
            Some(Parameter { name: "", rank, .. }) => {
                let Json::Object(entries) = parse_value(&attribute.value) else { continue };
                for (name, value) in entries {
                    if !NOT_PARAMETERS.contains(&name.as_str()) {
                        offer(canonical(&name), *rank, value);
                    }
                }
            }
            Some(Parameter { name, rank, .. }) => offer(name, *rank, to_json(&attribute.value)),
            None => {
                let other = attribute.key.strip_prefix(OTHER_START);
                if let Some(name) = other.filter(|name| !NOT_PARAMETERS.contains(name)) {
                    offer(name, OTHER_RANK, to_json(&attribute.value));
                }
            }
        }
    }
    let mut names: Vec<(String, Json)> =
        found.into_iter().map(|(name, (_, value))| (name, value)).collect();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    names.into_iter().collect()
}

/// What providers call a parameter that has a canonical name.
fn canonical(name: &str) -> &str {
    match name {
        "max_completion_tokens" | "max_output_tokens" | "maxOutputTokens" | "maxTokens" => {
            "max_tokens"
        }
        "stop_sequences" => "stop",
        other => other,
    }
}
