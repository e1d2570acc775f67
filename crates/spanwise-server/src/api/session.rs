//! Signing in to the UI with a key that may read.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use crate::auth::Caller;
use crate::auth::keys::Scope;
use crate::error::ApiError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    key: String,
}

/// `GET /api/v1/session`: who is asking, and whether a sign-in is needed.
pub async fn get(State(shared): State<Shared>, headers: HeaderMap) -> Json<Value> {
    let required = shared.gate.is_required();
    let auth = if required { "required" } else { "off" };
    Json(match shared.gate.admit(&headers, Scope::Read) {
        Ok(Caller { project, key }) => json!({
            "auth": auth,
            "signed_in": true,
            "project": &*project,
            "key": key.map(|key| key.without_hash()),
        }),
        Err(_) => json!({"auth": auth, "signed_in": false, "project": null, "key": null}),
    })
}

/// `POST /api/v1/session` `{"key": "…"}`: signs in and sets a cookie that scripts cannot read.
pub async fn post(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Result<Json<SignIn>, JsonRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Json(SignIn { key }) =
        body.map_err(|error| ApiError::bad_request("bad_body", error.body_text()))?;
    let secure = headers.get("x-forwarded-proto").is_some_and(|value| value == "https");
    let (cookie, key) = shared.gate.sign_in(&key, secure)?;
    let answer = json!({"signed_in": true, "project": key.project, "key": key.without_hash()});
    Ok((no_store(cookie), Json(answer)))
}

/// `DELETE /api/v1/session`: signs out.
pub async fn delete(State(shared): State<Shared>, headers: HeaderMap) -> impl IntoResponse {
    (StatusCode::NO_CONTENT, no_store(shared.gate.sign_out(&headers)))
}

fn no_store(cookie: String) -> [(HeaderName, String); 2] {
    [(header::SET_COOKIE, cookie), (header::CACHE_CONTROL, "no-store".to_owned())]
}
