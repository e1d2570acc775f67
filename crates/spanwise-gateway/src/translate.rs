//! Translation between the dialects of models: pure, from bytes to bytes.

mod error;

pub use error::{ErrorBody, ErrorKind, error_body};
