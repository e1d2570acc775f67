//! Operations: alive, ready, and what this server is.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::Shared;

/// `GET /healthz`: the process answers.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: it takes spans and answers queries.
pub async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    if *shared.stopping.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    if let Some(reason) = shared.store.status().poisoned {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("takes no spans: {reason}\n"));
    }
    (StatusCode::OK, "ready\n".to_owned())
}

/// `GET /api/v1/info`: what a client of this server needs to know to send to it.
pub async fn info(State(shared): State<Shared>) -> Json<Value> {
    let addresses: Map<_, _> = shared
        .addresses
        .iter()
        .map(|(what, address)| ((*what).to_owned(), Value::from(address.as_str())))
        .collect();
    let auth = if shared.gate.is_required() { "required" } else { "off" };
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "addresses": addresses,
        "auth": auth,
    }))
}
