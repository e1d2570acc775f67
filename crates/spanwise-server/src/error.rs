//! Errors as their readers meet them: an exit code with one line, or a status with JSON.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use spanwise_store::query::QueryError;

/// Why the process could not start or go on. One clear line and an exit code of `sysexits.h`.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration or the command line is wrong: exit code 64.
    #[error("{0}")]
    Config(String),
    /// A port, a folder or a file cannot be used: exit code 74.
    #[error("{0}")]
    Io(String),
}

impl StartError {
    /// The code the process exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            StartError::Config(_) => 64,
            StartError::Io(_) => 74,
        }
    }
}

/// An error of the query API: `{"error":{"code","message","position"?}}` with a status.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// HTTP's part.
    pub status: StatusCode,
    /// A stable word.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// The column in `q` (counted from 1) where the parser stumbled.
    pub position: Option<usize>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        ApiError { status, code, message: message.into(), position: None, retry_after: None }
    }

    /// A parameter or a body that makes no sense.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// No key, or one that is not known.
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
    }

    /// A known caller who may not do this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// A fault of ours. The message goes to the caller, so it names no content.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// The right path with the wrong method.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this path does not take this method",
        )
    }

    /// Not now.
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        ApiError { retry_after: Some(retry_after), ..error }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::BadCursor => ApiError::bad_request("bad_cursor", error.to_string()),
            QueryError::Storage(_) => {
                tracing::error!(%error, "a query met damaged or unreadable files");
                ApiError::internal(error.to_string())
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(position) = self.position {
            error["position"] = position.into();
        }
        let mut response = (self.status, Json(json!({"error": error}))).into_response();
        let headers = response.headers_mut();
        if let Some(delay) = self.retry_after {
            headers.insert(header::RETRY_AFTER, retry_after(delay));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// `Retry-After` in whole seconds, at least one.
pub fn retry_after(delay: Duration) -> HeaderValue {
    HeaderValue::from(delay.as_secs_f64().ceil().max(1.0) as u64)
}
