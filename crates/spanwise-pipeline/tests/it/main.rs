//! The pipeline over recordings of real instrumentations.

#![expect(clippy::unwrap_used, reason = "a test that fails to read its data should stop")]

mod golden;
mod recordings;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use spanwise_model::genai::LlmView;
use spanwise_model::price::PriceTable;
use spanwise_model::wire::otlp;
use spanwise_model::{RowRole, StoredSpan};
use spanwise_pipeline::{Pipeline, llm_view};

/// A fixed time of arrival, so that results do not depend on the day.
const RECEIVED: u64 = 1_800_000_000_000_000_000;

/// Rows of OTLP JSON requests of traces and logs, one request per text.
fn rows(traces: &[String], logs: &[String]) -> Vec<StoredSpan> {
    let pipeline = Pipeline::new(Arc::new(PriceTable::bundled()));
    let project = Arc::from("test");
    let of_traces = traces.iter().map(|json| otlp::decode_traces_json(json.as_bytes()).unwrap());
    let of_logs = logs.iter().map(|json| otlp::decode_logs_json(json.as_bytes()).unwrap());
    of_traces
        .chain(of_logs)
        .flat_map(|batch| pipeline.process(batch, &project, RECEIVED).stored)
        .collect()
}

/// The spans of some rows, each with its view.
fn views(rows: &[StoredSpan]) -> Vec<(&StoredSpan, Option<LlmView>)> {
    let spans = rows.iter().filter(|row| row.role == RowRole::Span);
    spans
        .map(|row| {
            let belongs = |other: &&StoredSpan| {
                other.role == RowRole::LogEvent
                    && other.span.trace_id == row.span.trace_id
                    && other.span.span_id == row.span.span_id
            };
            let logs: Vec<&StoredSpan> = rows.iter().filter(belongs).collect();
            (row, llm_view(row, &logs))
        })
        .collect()
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata")
}
