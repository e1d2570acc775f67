//! What real exporters sent: nothing of it is refused, and nothing is lost on the way through.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};
use spanwise_model::wire::otlp;
use spanwise_model::{Batch, Span};

/// The folder of recordings, which only development machines have.
pub fn recordings() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/traces");
    if !folder.is_dir() {
        println!("{} is absent: nothing to compare with", folder.display());
        return None;
    }
    Some(folder)
}

fn files(folder: &Path, matches: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, matches));
        } else if matches(&path.to_string_lossy()) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The requests of a file: one object, an array of them or of `{case, request}`, or one a line.
fn requests(path: &Path) -> Vec<Json> {
    let text = fs::read_to_string(path).unwrap();
    let documents = serde_json::Deserializer::from_str(&text).into_iter::<Json>();
    documents
        .flat_map(|document| match document.unwrap() {
            Json::Array(items) => items,
            object => vec![object],
        })
        .map(|item| item.get("request").unwrap_or(&item).clone())
        .collect()
}

/// Five spans of this file have no span id, and their trace ids are not sixteen bytes either.
const WITHOUT_IDS: &str = "otelToObservationForEval.test.json";

fn assert_whole(batch: &Batch, path: &Path) {
    assert!(batch.rejected.is_empty(), "{}: {:?}", path.display(), batch.rejected);
    let is_protobufs_own_json = path.to_string_lossy().contains(".protojson");
    let base64_only = batch.repairs.iter().all(|(_, repair)| repair.kind == "base64_id");
    assert_eq!(is_protobufs_own_json, !batch.repairs.is_empty(), "{}", path.display());
    assert!(base64_only, "{}: {:?}", path.display(), batch.repairs);
}

#[test]
fn otlp_json_goes_through_protobuf_and_back() {
    let Some(folder) = recordings() else { return };
    let (mut n_spans, mut rejected) = (0, Vec::new());
    for path in files(&folder.join("otlp-json"), &|path| path.contains(".json")) {
        for request in requests(&path) {
            let body = request.to_string();
            let mut batch = otlp::decode_traces_json(body.as_bytes()).unwrap();
            if path.ends_with(WITHOUT_IDS) {
                rejected.append(&mut batch.rejected);
            }
            assert_whole(&batch, &path);
            let protobuf = otlp::decode_traces(otlp::encode_traces(&batch.spans).into()).unwrap();
            assert_eq!(protobuf.spans, batch.spans, "{}", path.display());
            let json = otlp::encode_traces_json(&protobuf.spans);
            if !path.to_string_lossy().contains(".protojson") && !path.ends_with(WITHOUT_IDS) {
                let written = serde_json::from_str(&json).unwrap();
                assert_eq!(records(&written), records(&request), "{}", path.display());
            }
            n_spans += batch.spans.len();
        }
    }
    assert!(n_spans > 700, "only {n_spans} spans");
    assert_eq!(rejected.len(), 5);
    assert!(rejected.iter().all(|span| span.reason.contains("_id has ")), "{rejected:?}");
}

/// Every span with its resource and scope, free of the liberties that the JSON mapping leaves:
/// default values, the case of ids, numbers in strings.
fn records(request: &Json) -> Vec<Json> {
    let mut records = Vec::new();
    for group in list(request, "resourceSpans") {
        for scope_group in list(group, "scopeSpans") {
            for span in list(scope_group, "spans") {
                let parts = json!({
                    "resource": group["resource"], "schemaUrl": group["schemaUrl"],
                    "scope": scope_group["scope"], "scopeSchemaUrl": scope_group["schemaUrl"],
                    "span": span,
                });
                records.push(canonical("", &parts));
            }
        }
    }
    records
}

fn list<'a>(object: &'a Json, key: &str) -> &'a [Json] {
    object[key].as_array().map_or(&[], Vec::as_slice)
}

fn canonical(key: &str, json: &Json) -> Json {
    match json {
        Json::Object(fields) => {
            let kept = |(key, value): (&String, &Json)| {
                let value = canonical(key, value);
                (!is_default(key, &value)).then(|| (key.clone(), value))
            };
            let sorted: BTreeMap<String, Json> = fields.iter().filter_map(kept).collect();
            Json::Object(sorted.into_iter().collect::<Map<_, _>>())
        }
        Json::Array(items) => items.iter().map(|item| canonical("", item)).collect(),
        Json::Number(number) if key == "intValue" || key.ends_with("UnixNano") => {
            number.to_string().into()
        }
        Json::Number(number) if key == "doubleValue" => json!(number.as_f64()),
        Json::String(id) if key.ends_with("Id") => id.to_lowercase().into(),
        leaf => leaf.clone(),
    }
}

fn is_default(key: &str, value: &Json) -> bool {
    let is_choice = key.ends_with("Value") && !value.is_null();
    let empty = [json!(null), json!(0), json!("0"), json!(""), json!([]), json!({})];
    !is_choice && empty.contains(value)
}

#[test]
fn recorded_protobuf_is_read_like_its_json() {
    let Some(folder) = recordings() else { return };
    for path in files(&folder.join("captured"), &|path| path.ends_with("v1_traces.pb")) {
        let batch = otlp::decode_traces(Bytes::from(fs::read(&path).unwrap())).unwrap();
        assert_whole(&batch, &path);
        let producer = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        let json = folder.join(format!("otlp-json/captured/{producer}.otlp.json"));
        let body = fs::read(json).unwrap();
        let joined = otlp::decode_traces_json(&body).unwrap().spans;
        let twin = |span: &Span| joined.iter().find(|twin| twin.span_id == span.span_id).cloned();
        for span in batch.spans {
            assert_eq!(twin(&span), Some(span), "{}", path.display());
        }
    }
}

#[test]
fn recorded_logs_belong_to_spans() {
    let Some(folder) = recordings() else { return };
    let mut n_logs = 0;
    for path in files(&folder.join("captured"), &|path| path.ends_with("v1_logs.pb")) {
        let batch = otlp::decode_logs(Bytes::from(fs::read(&path).unwrap())).unwrap();
        assert_eq!((batch.rejected.len(), batch.log_repairs.len()), (0, 0));
        assert!(batch.log_events.iter().all(|log| log.name.starts_with("gen_ai.")));
        let again = otlp::decode_logs_json(otlp::encode_logs_json(&batch.log_events).as_bytes());
        assert_eq!(again.unwrap().log_events, batch.log_events);
        n_logs += batch.log_events.len();
    }
    assert_eq!(n_logs, 34);
}

#[test]
fn recorded_metrics_are_counted() {
    let body = include_bytes!("../../testdata/otlp/logfire.metrics.pb");
    assert!(otlp::check_metrics(body).unwrap() > 0);
}
