//! Every recording there is, whatever its dialect: nothing panics, and what comes out is sane.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use spanwise_model::genai::PREVIEW_CHARS;

use crate::{rows, views};

#[test]
fn every_recording_gives_sane_facts() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/traces/otlp-json");
    if !folder.is_dir() {
        println!("no recordings at {}: nothing to check", folder.display());
        return;
    }
    let (mut n_spans, mut n_operations) = (0, 0);
    for file in files(&folder) {
        let (traces, logs) = requests(&file);
        let rows = rows(&traces, &logs);
        for (row, view) in views(&rows) {
            n_spans += 1;
            let facts = &row.facts;
            let context = format!("{} {}", file.display(), row.span.name);
            n_operations += usize::from(facts.operation.is_some());
            assert!(facts.operation.is_none() || view.is_some(), "{context}");
            assert!(facts.input_preview.chars().count() <= PREVIEW_CHARS, "{context}");
            assert!(facts.output_preview.chars().count() <= PREVIEW_CHARS, "{context}");
            let usage = facts.usage;
            assert!(usage.cache_read.unwrap_or(0) <= usage.input.unwrap_or(u64::MAX), "{context}");
            assert!(usage.reasoning.unwrap_or(0) <= usage.output.unwrap_or(u64::MAX), "{context}");
            assert!(usage.total.is_some() || usage.input.is_none(), "{context}");
            assert!(facts.cost.is_none_or(|cost| cost.nano_usd >= 0), "{context}");
            assert!(row.span.end_time_unix_nano >= row.span.start_time_unix_nano, "{context}");
        }
    }
    assert!(n_spans > 700, "{n_spans} spans");
    assert!(n_operations > 200, "{n_operations} of {n_spans} spans have an operation");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The requests of a file: one, one per line, or an array of them or of `{case, request}`.
fn requests(file: &Path) -> (Vec<String>, Vec<String>) {
    let text = std::fs::read_to_string(file).unwrap();
    let documents: Vec<Json> =
        serde_json::Deserializer::from_str(&text).into_iter().map(Result::unwrap).collect();
    let mut found = (Vec::new(), Vec::new());
    let is_list = |document: &Json| document.is_array();
    let flat = documents.into_iter().flat_map(|document| match document {
        list if is_list(&list) => list.as_array().cloned().unwrap_or_default(),
        other => vec![other],
    });
    for mut document in flat {
        let request = document.get_mut("request").map(Json::take).unwrap_or(document);
        if request.get("resourceLogs").is_some() {
            found.1.push(request.to_string());
        } else if request.get("resourceSpans").is_some() {
            found.0.push(request.to_string());
        }
    }
    found
}
