//! What the tracer of a known instrumentation adds to its spans: whose framework it is, and of a
//! model's call its provider, model and temperature under names that are the same for all.

use serde_json::Value as Json;
use spanwise::Recording;
use spanwise_model::wire::otlp::ValueRef;
use spanwise_model::{Attributes, Value};

/// Where each standard attribute is found, best first.
const PROVIDER: [&str; 3] = ["gen_ai.provider.name", "gen_ai.system", "llm.system"];
const MODEL: [&str; 4] =
    ["gen_ai.request.model", "llm.model_name", "embedding.model_name", "gen_ai.response.model"];
/// JSON objects that hold the parameters of a call.
const PARAMETERS: [&str; 2] = ["llm.invocation_parameters", "gen_ai.request.parameters"];

/// What is known of an instrumentation.
pub(crate) struct Origin {
    /// The framework that it instruments, with its version.
    pub framework: Option<(String, String)>,
}

impl Origin {
    /// Says on the span, and on those below, which framework made it.
    pub fn begin(&self, recording: &mut Recording) {
        if let Some((name, version)) = &self.framework {
            recording.inherit("framework.name", ValueRef::String(name));
            recording.inherit("framework.version", ValueRef::String(version));
        }
    }
}

/// Names what a span that is about to end says of a model's call.
pub(crate) fn describe_call(recording: &mut Recording) {
    let said = recording.snapshot().attributes;
    let parameters = parameters(&said);
    let asked_for = parameters.get("model").and_then(Json::as_str);
    if let Some(model) = text(&said, &MODEL).or(asked_for) {
        set_text(recording, &said, "llm.model", model);
        if let Some(provider) = text(&said, &PROVIDER) {
            set_text(recording, &said, "llm.provider", provider);
        }
    }
    if said.get("llm.temperature").is_none()
        && let Some(temperature) = temperature(&said, &parameters)
    {
        recording.set("llm.temperature", ValueRef::Double(temperature));
    }
}

fn set_text(recording: &mut Recording, said: &Attributes, key: &str, value: &str) {
    if said.get(key).is_none() {
        recording.set(key, ValueRef::String(value));
    }
}

fn text<'a>(said: &'a Attributes, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| match said.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(&**text),
        _ => None,
    })
}

fn parameters(said: &Attributes) -> Json {
    let read = text(said, &PARAMETERS).and_then(|text| serde_json::from_str(text).ok());
    read.unwrap_or_default()
}

fn temperature(said: &Attributes, parameters: &Json) -> Option<f64> {
    match said.get("gen_ai.request.temperature") {
        Some(Value::Double(temperature)) => Some(*temperature),
        Some(Value::Int(temperature)) => Some(*temperature as f64),
        _ => parameters.get("temperature")?.as_f64(),
    }
}
