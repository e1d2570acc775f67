//! What is odd about a whole trace, and what to do about it.

use serde::Serialize;
use spanwise_model::{SpanId, StoredSpan};

/// Something a person should know about a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// A stable word, such as `orphan`.
    pub kind: &'static str,
    /// The span it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_id: Option<SpanId>,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

/// Looks at the rows of one trace, in any order.
pub fn diagnose(_rows: &[StoredSpan]) -> Vec<Diagnostic> {
    Vec::new()
}
