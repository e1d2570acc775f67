//! A span as the store keeps it: what its producer said and what we make of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::genai::Facts;
use crate::{Span, Str};

/// A span (or a log record that belongs to one) with everything derived at ingest.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSpan {
    /// The project (tenant) it belongs to. Every query is confined to one.
    pub project: Arc<str>,
    /// Whether this is a span or a log record that belongs to one.
    pub role: RowRole,
    /// What the producer recorded, after repairs. For [`RowRole::LogEvent`]: ids of the span it
    /// belongs to, the event's name, start = end = its time, its attributes, and its body under
    /// [`LOG_BODY_KEY`].
    pub span: Span,
    /// What we make of it.
    pub facts: Facts,
    /// Repairs and oddities.
    pub warnings: Vec<Warning>,
    /// When the server took it in, nanoseconds since 1970.
    pub received_unix_nano: u64,
}

impl StoredSpan {
    /// Whether this is a span as it was while it was open: what it had recorded so far. It stands
    /// for the span until that arrives, for good if its process died.
    pub fn is_running(&self) -> bool {
        self.role == RowRole::Span && self.warnings.iter().any(|w| w.kind == MISSING_END)
    }
}

/// The warning of a span that came without an end. Its end is then its start.
pub const MISSING_END: &str = "missing_end";

/// The attribute under which a log record's body is kept.
pub const LOG_BODY_KEY: &str = "spanwise.log.body";

/// The attribute under which a log record's severity number is kept, if it has one.
pub const LOG_SEVERITY_KEY: &str = "spanwise.log.severity_number";

/// What a stored row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RowRole {
    /// A span.
    #[default]
    Span = 0,
    /// A log record that belongs to a span; joined to it on read, never counted as a span.
    LogEvent = 1,
}

/// A repair or an oddity of one span, for the person who looks at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// A stable word, such as `negative_duration`.
    pub kind: Str,
    /// What was found and what was done about it.
    pub message: Str,
}

impl Warning {
    /// A warning of this kind.
    pub fn new(kind: &'static str, message: impl Into<Str>) -> Self {
        Warning { kind: Str::from_static(kind), message: message.into() }
    }
}
