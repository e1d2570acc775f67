//! The tools that were offered to a model (semconv §8).

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use spanwise_model::Span;

use crate::normalize::dialect;
use crate::normalize::reading::{parse_or_text, parse_value, split_index, to_json};
use crate::normalize::table::Tools;

/// Tool definitions in one shape, and the key that they came from.
pub fn definitions(span: &Span) -> Option<(Vec<Json>, String)> {
    let mut places: Vec<&Tools> = dialect::ALL.iter().flat_map(|dialect| dialect.tools).collect();
    places.sort_by_key(|place| place.rank);
    places.into_iter().find_map(|place| {
        let (listed, more) = if place.key.ends_with('.') {
            (flattened(span, place.key), "*")
        } else {
            let listed = span.attributes.get(place.key).map(parse_value).map(entries);
            (listed.unwrap_or_default(), "")
        };
        let listed: Vec<Json> = listed.into_iter().map(definition).collect();
        (!listed.is_empty()).then(|| (listed, format!("{}{more}", place.key)))
    })
}

/// The entries of a list, which may be JSON in strings; an object is its only entry.
fn entries(json: Json) -> Vec<Json> {
    match json {
        Json::Array(items) => items,
        object @ Json::Object(_) => vec![object],
        _ => Vec::new(),
    }
}

/// `llm.tools.N.tool.json_schema` (one JSON text) or `llm.request.functions.N.<field>`.
fn flattened(span: &Span, start: &str) -> Vec<Json> {
    let mut by_index: BTreeMap<u16, Map<String, Json>> = BTreeMap::new();
    for attribute in &span.attributes {
        let Some(rest) = attribute.key.strip_prefix(start) else { continue };
        let Some((n, field)) = split_index(rest) else { continue };
        by_index.entry(n).or_default().insert(field.to_owned(), to_json(&attribute.value));
    }
    let whole = |mut fields: Map<String, Json>| {
        fields.shift_remove("tool.json_schema").unwrap_or(Json::Object(fields))
    };
    by_index.into_values().map(whole).collect()
}

/// `{type, name, description, parameters}` of any known form; other forms are kept as they are.
fn definition(json: Json) -> Json {
    let json = match json {
        Json::String(text) => parse_or_text(&text),
        other => other,
    };
    let function = json.get("function").filter(|function| function.is_object()).unwrap_or(&json);
    let Some(name) = function.get("name").filter(|name| name.is_string()) else { return json };
    let mut shown = Map::new();
    let kind = json.get("type").cloned().unwrap_or_else(|| Json::from("function"));
    shown.insert("type".to_owned(), kind);
    shown.insert("name".to_owned(), name.clone());
    if let Some(description) = function.get("description") {
        shown.insert("description".to_owned(), description.clone());
    }
    let schemas = ["parameters", "input_schema", "inputSchema", "parameters_json_schema"];
    if let Some(schema) = schemas.iter().find_map(|key| function.get(*key)) {
        let schema = match schema {
            Json::String(text) => parse_or_text(text),
            other => other.clone(),
        };
        shown.insert("parameters".to_owned(), schema);
    }
    Json::Object(shown)
}
