//! Spans that match, and what can be searched for.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde_json::{Value, json};
use spanwise_store::query::{Field, SpanQuery};

use super::params::Params;
use super::wire::SpanHitJson;
use super::{Shared, blocking};
use crate::auth::Caller;
use crate::error::ApiError;

/// `GET /api/v1/spans`
pub async fn spans(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    let query = SpanQuery {
        project: caller.project,
        filter: params.filter()?,
        time: params.time()?,
        limit: params.limit()?,
        cursor: params.cursor(),
    };
    blocking(move || {
        let page = shared.store.spans(&query)?;
        let spans: Vec<_> = page.items.iter().map(SpanHitJson::from).collect();
        Ok(Json(json!({"spans": spans, "next_cursor": page.next_cursor})))
    })
    .await
}

/// `GET /api/v1/fields`
pub async fn fields(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    let prefix = params.prefix.to_lowercase();
    blocking(move || {
        let fields = shared.store.fields(&caller.project)?;
        let fields: Vec<_> = fields
            .iter()
            .filter(|field| field.name.to_lowercase().starts_with(&prefix))
            .map(
                |field| json!({"name": field.name, "type": field.value_type, "count": field.count}),
            )
            .collect();
        Ok(Json(json!({"fields": fields})))
    })
    .await
}

/// `GET /api/v1/fields/{name}/values`
pub async fn field_values(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    let limit = params.limit()?;
    let field = Field::from_name(&name);
    let project = Arc::clone(&caller.project);
    blocking(move || {
        let values = shared.store.field_values(&project, &field, &params.prefix, limit)?;
        let values: Vec<_> =
            values.iter().map(|(value, count)| json!({"value": value, "count": count})).collect();
        Ok(Json(json!({"field": field.name(), "values": values})))
    })
    .await
}
