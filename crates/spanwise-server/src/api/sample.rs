//! `POST /api/v1/sample`: the "load sample data" button.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value, json};
use spanwise_model::wire::otlp;
use spanwise_store::{Encoding, Signal};

use super::Shared;
use crate::auth::keys::Scope;
use crate::demo;
use crate::error::ApiError;
use crate::ingest::{Envelope, Format, IngestError, unix_nano_now};

/// Enough to fill the first page and to have something to search for.
const N_TRACES: u64 = 60;

/// `POST /api/v1/sample`
pub async fn post(
    State(shared): State<Shared>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    let caller = shared.gate.admit(&headers, Scope::Ingest)?;
    let spans: Vec<_> = demo::traces(N_TRACES, unix_nano_now()).flatten().collect();
    let envelope = Envelope {
        project: Arc::clone(&caller.project),
        signal: Signal::Traces,
        format: Format::Protobuf,
        encoding: Encoding::Identity,
        body: otlp::encode_traces(&spans).into(),
        source: "sample",
    };
    shared.ingest.accept(envelope).await?;
    Ok(Json(json!({"traces": N_TRACES, "spans": spans.len()})))
}

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> Self {
        match error.retry_after() {
            Some(delay) => ApiError::unavailable(error.to_string(), delay),
            None => ApiError::internal(error.to_string()),
        }
    }
}
