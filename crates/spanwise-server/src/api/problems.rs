//! `GET /api/v1/ingest/problems`: what went wrong on the way in.

use axum::extract::State;
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::Shared;
use super::params::Params;
use super::wire::Nanos;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::problems::Problem;

/// `GET /api/v1/ingest/problems`
pub async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    let problems = shared.problems.of(&caller.project, params.limit()?);
    let problems: Vec<_> = problems.iter().map(problem_json).collect();
    Ok(Json(json!({"problems": problems})))
}

fn problem_json(problem: &Problem) -> Value {
    let (trace_id, span_id) = problem.span.as_ref().map(|(trace, span)| (trace, span)).unzip();
    let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    json!({
        "outcome": problem.outcome.as_str(),
        "kind": problem.kind,
        "reason": problem.reason,
        "source": problem.source,
        "service": known(&problem.service),
        "span_name": known(&problem.span_name),
        "trace_id": trace_id,
        "span_id": span_id,
        "count": problem.count,
        "time_unix_nano": Nanos(problem.last_unix_nano),
        "first_time_unix_nano": Nanos(problem.first_unix_nano),
        "fix": problem.fix(),
    })
}
