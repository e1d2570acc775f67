//! Traces: lists, one whole trace in several shapes, one span.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use spanwise_model::summary::{SpanBrief, TraceSummary, summarize};
use spanwise_model::wire::otlp;
use spanwise_model::{RowRole, SpanId, StoredSpan, TraceId};
use spanwise_pipeline::{diagnose, llm_view};
use spanwise_store::query::{Detail, Filter, TraceQuery};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::params::Params;
use super::wire::{OutlineJson, SpanJson, TraceSummaryJson};
use super::{Shared, blocking};
use crate::auth::Caller;
use crate::error::ApiError;

/// How much of an answer is made before the client has taken the last piece.
const PIECE_BYTES: usize = 64 << 10;

/// `GET /api/v1/traces`
pub async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    let query = TraceQuery {
        project: caller.project,
        filter: params.filter()?,
        time: params.time()?,
        sort: params.sort()?,
        limit: params.limit()?,
        cursor: params.cursor(),
    };
    blocking(move || {
        let page = shared.store.traces(&query)?;
        let traces: Vec<_> = page.items.iter().map(TraceSummaryJson::from).collect();
        Ok(Json(json!({"traces": traces, "next_cursor": page.next_cursor})))
    })
    .await
}

/// The shapes of one trace.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Full,
    Outline,
    Otlp,
}

impl Shape {
    fn asked(params: &Params) -> Result<Self, ApiError> {
        match (params.format.as_str(), params.view.as_str()) {
            ("" | "json", "" | "full") => Ok(Shape::Full),
            ("" | "json", "outline") => Ok(Shape::Outline),
            ("otlp", _) => Ok(Shape::Otlp),
            ("" | "json", view) => Err(ApiError::bad_request(
                "bad_view",
                format!("view: `{view}` is neither full nor outline"),
            )),
            (format, _) => Err(ApiError::bad_request(
                "bad_format",
                format!("format: `{format}` is neither json nor otlp"),
            )),
        }
    }
}

/// `GET /api/v1/traces/{trace_id}`
pub async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(trace_id): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let trace_id = trace_id_of(&trace_id)?;
    let shape = Shape::asked(&params)?;
    let detail = if shape == Shape::Outline { Detail::Outline } else { Detail::Full };
    blocking(move || {
        let found = shared.store.trace(&caller.project, trace_id, detail)?;
        let rows = found.ok_or_else(|| ApiError::not_found(format!("no trace {trace_id}")))?;
        Ok(Trace::of(&caller.project, trace_id, rows).respond(shape))
    })
    .await
}

/// `GET /api/v1/traces/{trace_id}/spans/{span_id}`
pub async fn span(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path((trace_id, span_id)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let trace_id = trace_id_of(&trace_id)?;
    let span_id: SpanId = span_id
        .parse()
        .map_err(|error| ApiError::bad_request("bad_span_id", format!("span_id {error}")))?;
    blocking(move || {
        let rows = shared.store.span(&caller.project, trace_id, span_id)?;
        let (logs, spans): (Vec<_>, Vec<_>) =
            rows.iter().partition(|row| row.role == RowRole::LogEvent);
        let span = spans
            .first()
            .ok_or_else(|| ApiError::not_found(format!("no span {span_id} in trace {trace_id}")))?;
        let view = llm_view(span, &logs);
        serde_json::to_value(SpanJson::new(span, view.as_ref()))
            .map(Json)
            .map_err(|error| ApiError::internal(error.to_string()))
    })
    .await
}

fn trace_id_of(text: &str) -> Result<TraceId, ApiError> {
    text.parse().map_err(|error| ApiError::bad_request("bad_trace_id", format!("trace_id {error}")))
}

/// A trace that was found.
pub struct Trace {
    /// The trace in one row.
    pub summary: TraceSummary,
    /// Spans and log records, by start.
    rows: Vec<StoredSpan>,
}

impl Trace {
    /// The trace that these rows are.
    pub fn of(project: &Arc<str>, id: TraceId, rows: Vec<StoredSpan>) -> Self {
        let briefs: Vec<_> = rows.iter().map(SpanBrief::from).collect();
        Trace { summary: summarize(Arc::clone(project), id, &briefs), rows }
    }

    /// Whether one of its spans satisfies the filter.
    pub fn matches(&self, filter: &Filter) -> bool {
        if filter.is_all() {
            return true;
        }
        let logs = self.logs_by_span();
        self.spans().any(|span| filter.matches_with_logs(span, of_span(&logs, span)))
    }

    fn spans(&self) -> impl Iterator<Item = &StoredSpan> {
        self.rows.iter().filter(|row| row.role == RowRole::Span)
    }

    /// Sends the trace piece by piece: a trace of 200,000 spans is held once as spans, never a
    /// second time as text.
    fn respond(self, shape: Shape) -> Response {
        if shape == Shape::Otlp {
            let body = otlp::encode_traces_json(self.spans().map(|row| &row.span));
            return json_response(Body::from(body));
        }
        let (sender, receiver) = mpsc::channel(2);
        tokio::task::spawn_blocking(move || {
            let mut pieces = Pieces { sender, buffer: Vec::with_capacity(2 * PIECE_BYTES) };
            // The only failure is a client that has gone.
            drop(self.write(shape, &mut pieces));
        });
        json_response(Body::from_stream(ReceiverStream::new(receiver)))
    }

    fn write(&self, shape: Shape, pieces: &mut Pieces) -> Result<(), Gone> {
        pieces.json(&TraceSummaryJson::from(&self.summary))?;
        // The summary's object goes on with the spans.
        pieces.buffer.pop();
        pieces.raw(b",\"spans\":[");
        let logs = self.logs_by_span();
        for (index, span) in self.spans().enumerate() {
            if index > 0 {
                pieces.raw(b",");
            }
            if shape == Shape::Outline {
                pieces.json(&OutlineJson::from(span))?;
            } else {
                let view = llm_view(span, of_span(&logs, span));
                pieces.json(&SpanJson::new(span, view.as_ref()))?;
            }
        }
        pieces.raw(b"],\"diagnostics\":");
        pieces.json(&diagnose(&self.rows))?;
        pieces.raw(b"}");
        pieces.flush()
    }

    fn logs_by_span(&self) -> Logs<'_> {
        let mut logs = Logs::new();
        for row in self.rows.iter().filter(|row| row.role == RowRole::LogEvent) {
            logs.entry(row.span.span_id).or_default().push(row);
        }
        logs
    }
}

/// Log records by the span that they belong to.
type Logs<'a> = HashMap<SpanId, Vec<&'a StoredSpan>>;

fn of_span<'l, 'a>(logs: &'l Logs<'a>, span: &StoredSpan) -> &'l [&'a StoredSpan] {
    logs.get(&span.span.span_id).map_or(&[], Vec::as_slice)
}

fn json_response(body: Body) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], body).into_response()
}

/// The client has gone.
struct Gone;

/// Text on its way to the client, in pieces of a bounded size.
struct Pieces {
    sender: mpsc::Sender<Result<Bytes, std::io::Error>>,
    buffer: Vec<u8>,
}

impl Pieces {
    fn json(&mut self, value: &impl Serialize) -> Result<(), Gone> {
        self.flush_if_full()?;
        let written = serde_json::to_writer(&mut self.buffer, value);
        if let Err(error) = written {
            // Cut the answer off rather than end it well.
            let error = std::io::Error::other(error);
            drop(self.sender.blocking_send(Err(error)));
            return Err(Gone);
        }
        Ok(())
    }

    fn raw(&mut self, text: &[u8]) {
        self.buffer.extend_from_slice(text);
    }

    fn flush_if_full(&mut self) -> Result<(), Gone> {
        if self.buffer.len() < PIECE_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Gone> {
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(2 * PIECE_BYTES));
        self.sender.blocking_send(Ok(piece.into())).map_err(|_| Gone)
    }
}
