//! Keys of OpenTelemetry's general conventions that say something about any span.

use crate::normalize::table::Field as F;
use crate::normalize::table::{Dialect, row};

pub static DIALECT: Dialect = Dialect {
    rows: &[
        row(F::Session, 20, "session.id"),
        row(F::User, 20, "user.id"),
        row(F::User, 30, "enduser.id"),
        row(F::Environment, 20, "deployment.environment.name"),
        row(F::Environment, 30, "deployment.environment"),
        row(F::ErrorType, 10, "error.type"),
        row(F::ErrorType, 30, "error.code"),
        row(F::ErrorMessage, 30, "error.message"),
        row(F::ErrorMessage, 40, "error.msg"),
        row(F::ErrorMessage, 60, "otel.status_description"),
        row(F::HttpStatus, 10, "http.response.status_code"),
        row(F::HttpStatus, 20, "http.status_code"),
        row(F::HttpMethod, 10, "http.request.method"),
        row(F::HttpMethod, 20, "http.method"),
    ],
    ..Dialect::EMPTY
};
