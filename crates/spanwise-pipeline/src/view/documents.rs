//! What a retriever found or a reranker ordered (semconv §14).

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use spanwise_model::genai::Document;
use spanwise_model::{Attributes, Span};

use crate::normalize::dialect;
use crate::normalize::reading::{
    map_to_json, number, parse_or_text, parse_value, split_index, to_json,
};
use crate::normalize::table::Documents;

/// Events that are one result each; their fields stand under `<name>.`.
const RESULT_EVENTS: [&str; 2] = ["db.query.result", "db.search.result"];

/// The documents of a span, and where they came from.
pub fn of(span: &Span) -> Option<(Vec<Document>, String)> {
    let mut places: Vec<&Documents> =
        dialect::ALL.iter().flat_map(|dialect| dialect.documents).collect();
    places.sort_by_key(|place| place.rank);
    let from_attributes = places.into_iter().find_map(|place| {
        let (found, more) = if place.key.ends_with('.') {
            (flattened(&span.attributes, place.key), "*")
        } else {
            (listed(&span.attributes, place.key), "")
        };
        (!found.is_empty()).then(|| (found, format!("{}{more}", place.key)))
    });
    from_attributes.or_else(|| from_events(span))
}

fn listed(attributes: &Attributes, key: &str) -> Vec<Document> {
    match attributes.get(key).map(parse_value) {
        Some(Json::Array(items)) => items.into_iter().filter_map(of_item).collect(),
        _ => Vec::new(),
    }
}

fn of_item(item: Json) -> Option<Document> {
    match item {
        Json::Object(fields) => Some(document(fields)),
        Json::String(text) => Some(Document { content: Some(text), ..Document::default() }),
        _ => None,
    }
}

fn flattened(attributes: &Attributes, start: &str) -> Vec<Document> {
    let mut by_index: BTreeMap<u16, Map<String, Json>> = BTreeMap::new();
    for attribute in attributes {
        let Some(rest) = attribute.key.strip_prefix(start) else { continue };
        let Some((n, rest)) = split_index(rest) else { continue };
        let Some(field) = rest.strip_prefix("document.") else { continue };
        by_index.entry(n).or_default().insert(field.to_owned(), to_json(&attribute.value));
    }
    by_index.into_values().map(document).collect()
}

fn from_events(span: &Span) -> Option<(Vec<Document>, String)> {
    RESULT_EVENTS.iter().find_map(|name| {
        let events = span.events.iter().filter(|event| event.name == **name);
        let found: Vec<Document> = events
            .map(|event| {
                let fields = map_to_json(&event.attributes).into_iter();
                let short = |key: String| match key.strip_prefix(name) {
                    Some(rest) => rest.trim_start_matches('.').to_owned(),
                    None => key,
                };
                document(fields.map(|(key, value)| (short(key), value)).collect())
            })
            .collect();
        (!found.is_empty()).then(|| (found, format!("event:{name}")))
    })
}

fn document(mut fields: Map<String, Json>) -> Document {
    let mut first = |names: &[&str]| names.iter().find_map(|name| fields.shift_remove(*name));
    let text = |json: Json| match json {
        Json::String(text) => text,
        other => other.to_string(),
    };
    let score = |json: Json| match json {
        Json::String(text) => number(&text.into()),
        other => other.as_f64(),
    };
    Document {
        id: first(&["id"]).map(text),
        score: first(&["score", "distance"]).and_then(score),
        content: first(&["content", "page_content", "document", "text"]).map(text),
        metadata: first(&["metadata"]).map(|json| match json {
            Json::String(text) => parse_or_text(&text),
            other => other,
        }),
    }
}
