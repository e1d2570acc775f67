//! What a trace is.
//!
//! The types that every part of Spanwise speaks, the wire formats they arrive in and leave by,
//! and the pure rules that SDK, gateway and server share. Nothing here does I/O, waits, logs or
//! reads a clock.
//!
//! Read in this order: [`id`] and [`value`], then [`span`], then [`genai`] (what we understand of
//! an LLM span), [`stored`] (a span as the store keeps it), [`summary`] (a trace in one row),
//! [`tree`] (a trace as readable text), [`price`], [`propagate`] (what crosses a process boundary),
//! [`content`] and [`redact`] (what must not leave), [`sampling`], and the formats in [`wire`].

pub mod content;
pub mod genai;
pub mod id;
pub mod price;
pub mod propagate;
pub mod redact;
pub mod sampling;
pub mod span;
pub mod stored;
pub mod summary;
pub mod tree;
pub mod value;
pub mod wire;

pub use id::{SpanId, TraceId};
pub use span::{Batch, Event, Kind, Link, LogEvent, Rejection, Resource, Scope, Span, Status};
pub use stored::{RowRole, StoredSpan, Warning};
pub use value::{Attribute, Attributes, Value};

/// A cheap, immutable, reference-counted UTF-8 string: usually a slice of the request it came in.
pub use bytestring::ByteString as Str;
