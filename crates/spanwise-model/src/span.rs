//! Spans and what they carry, in OpenTelemetry's terms.

use std::sync::Arc;

use crate::{Attributes, SpanId, Str, TraceId, Value};

/// One timed operation of a trace, as its producer recorded it.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Its own id, unique within the trace.
    pub span_id: SpanId,
    /// The span it is part of; `None` at a root.
    pub parent_span_id: Option<SpanId>,
    /// W3C `tracestate`, verbatim.
    pub trace_state: Str,
    /// Low 8 bits: W3C trace flags. 0x100: "is-remote is known". 0x200: the parent is remote.
    pub flags: u32,
    /// What it was, in few distinct words.
    pub name: Str,
    /// Its role in a remote call.
    pub kind: Kind,
    /// Start, nanoseconds since 1970.
    pub start_time_unix_nano: u64,
    /// End, nanoseconds since 1970; not before the start once sanitized.
    pub end_time_unix_nano: u64,
    /// Facts about it.
    pub attributes: Attributes,
    /// How many attributes its producer dropped.
    pub dropped_attributes_count: u32,
    /// Timestamped facts inside it.
    pub events: Vec<Event>,
    /// How many events its producer dropped.
    pub dropped_events_count: u32,
    /// Causal edges outside the tree.
    pub links: Vec<Link>,
    /// How many links its producer dropped.
    pub dropped_links_count: u32,
    /// How it ended.
    pub status: Status,
    /// Who produced it. Spans of one resource share one allocation.
    pub resource: Arc<Resource>,
    /// Which instrumentation produced it, likewise shared.
    pub scope: Arc<Scope>,
}

impl Span {
    /// End minus start in nanoseconds; zero when the span ends before it starts.
    pub fn duration_ns(&self) -> u64 {
        self.end_time_unix_nano.saturating_sub(self.start_time_unix_nano)
    }

    /// Whether it failed: its status says so, or its attribute `error` does, as older tracers
    /// write it, unless its status is explicitly ok.
    pub fn is_error(&self) -> bool {
        match self.status.code {
            StatusCode::Error => true,
            StatusCode::Ok => false,
            StatusCode::Unset => match self.attributes.get("error") {
                Some(Value::Bool(truth)) => *truth,
                Some(Value::String(text)) => !text.is_empty() && text != "false",
                _ => false,
            },
        }
    }
}

/// OpenTelemetry's `SpanKind`. The numbers are OTLP's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Not said, or a number we do not know.
    #[default]
    Unspecified = 0,
    /// Within one process.
    Internal = 1,
    /// Serves a remote request.
    Server = 2,
    /// Makes a remote request.
    Client = 3,
    /// Sends a message.
    Producer = 4,
    /// Takes a message.
    Consumer = 5,
}

impl Kind {
    /// The kind with this OTLP number; unknown numbers are [`Kind::Unspecified`].
    pub fn from_number(number: i32) -> Self {
        match number {
            1 => Kind::Internal,
            2 => Kind::Server,
            3 => Kind::Client,
            4 => Kind::Producer,
            5 => Kind::Consumer,
            _ => Kind::Unspecified,
        }
    }

    /// `unspecified`, `internal`, `server`, `client`, `producer` or `consumer`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Unspecified => "unspecified",
            Kind::Internal => "internal",
            Kind::Server => "server",
            Kind::Client => "client",
            Kind::Producer => "producer",
            Kind::Consumer => "consumer",
        }
    }
}

/// How a span ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Unset, ok or error.
    pub code: StatusCode,
    /// What went wrong, in the producer's words; empty if it said nothing.
    pub message: Str,
}

/// OTLP's status codes, with its numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum StatusCode {
    /// The producer did not say.
    #[default]
    Unset = 0,
    /// Explicitly fine.
    Ok = 1,
    /// Failed.
    Error = 2,
}

impl StatusCode {
    /// The code with this OTLP number; unknown numbers are [`StatusCode::Unset`].
    pub fn from_number(number: i32) -> Self {
        match number {
            1 => StatusCode::Ok,
            2 => StatusCode::Error,
            _ => StatusCode::Unset,
        }
    }

    /// `unset`, `ok` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            StatusCode::Unset => "unset",
            StatusCode::Ok => "ok",
            StatusCode::Error => "error",
        }
    }
}

/// A timestamped fact inside a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When, nanoseconds since 1970.
    pub time_unix_nano: u64,
    /// What.
    pub name: Str,
    /// Facts about it.
    pub attributes: Attributes,
    /// How many attributes its producer dropped.
    pub dropped_attributes_count: u32,
}

/// A causal edge to a span that is not the parent.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The other span's trace.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// W3C `tracestate` of the other span.
    pub trace_state: Str,
    /// Facts about the edge.
    pub attributes: Attributes,
    /// How many attributes its producer dropped.
    pub dropped_attributes_count: u32,
    /// As [`Span::flags`].
    pub flags: u32,
}

/// Who produced spans: a service instance on a host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// `service.name` and the rest.
    pub attributes: Attributes,
    /// How many attributes its producer dropped.
    pub dropped_attributes_count: u32,
    /// URL of the semantic conventions in force; empty if not said.
    pub schema_url: Str,
}

impl Resource {
    /// `service.name`; empty when the producer gave none.
    pub fn service(&self) -> &str {
        self.attributes.str("service.name").unwrap_or_default()
    }
}

/// Which instrumentation library produced spans.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// The library.
    pub name: Str,
    /// Its version.
    pub version: Str,
    /// Facts about it.
    pub attributes: Attributes,
    /// How many attributes its producer dropped.
    pub dropped_attributes_count: u32,
    /// URL of the semantic conventions in force; empty if not said.
    pub schema_url: Str,
}

/// A log record that belongs to a span: the way some GenAI instrumentations send messages.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEvent {
    /// The trace of the span it belongs to.
    pub trace_id: TraceId,
    /// The span it belongs to.
    pub span_id: SpanId,
    /// When, nanoseconds since 1970 (the observed time where the record has no other).
    pub time_unix_nano: u64,
    /// `event_name`, else the attribute `event.name`, else empty.
    pub name: Str,
    /// OTLP severity number, 0 if not said.
    pub severity_number: u8,
    /// What it says; for GenAI events a map.
    pub body: Value,
    /// Facts about it.
    pub attributes: Attributes,
    /// Who produced it.
    pub resource: Arc<Resource>,
    /// Which instrumentation produced it.
    pub scope: Arc<Scope>,
}

/// The unit that moves through the system: what one request carried.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Spans in the order in which they arrived.
    pub spans: Vec<Span>,
    /// Log records that name a trace and a span.
    pub log_events: Vec<LogEvent>,
    /// What was refused, and why. A bad span never fails its neighbours.
    pub rejected: Vec<Rejection>,
    /// What the decoder repaired or found odd, by index into `spans`.
    pub repairs: Vec<(usize, crate::Warning)>,
    /// The same by index into `log_events`.
    pub log_repairs: Vec<(usize, crate::Warning)>,
    /// Log records without a trace or span id: accepted, counted, not kept.
    pub unrelated_logs: usize,
}

/// Why one span or log record of a batch was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Its position among the spans (or log records) of the request, from 0.
    pub index: usize,
    /// Its name, as far as it could be read.
    pub name: String,
    /// The reason in a few words, such as `trace_id is zero`.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(code: StatusCode, error: Value) -> Span {
        Span {
            trace_id: TraceId::from_bytes(&[1; 16]).unwrap(),
            span_id: SpanId::from_bytes(&[2; 8]).unwrap(),
            parent_span_id: None,
            trace_state: Str::new(),
            flags: 0,
            name: Str::new(),
            kind: Kind::Internal,
            start_time_unix_nano: 0,
            end_time_unix_nano: 0,
            attributes: [("error", error)].into_iter().collect(),
            dropped_attributes_count: 0,
            events: Vec::new(),
            dropped_events_count: 0,
            links: Vec::new(),
            dropped_links_count: 0,
            status: Status { code, message: Str::new() },
            resource: Arc::default(),
            scope: Arc::default(),
        }
    }

    #[test]
    fn the_attribute_error_counts_unless_the_status_is_said() {
        for (error, is_error) in [
            (Value::Null, false),
            (Value::Bool(false), false),
            (Value::Bool(true), true),
            (Value::from("false"), false),
            (Value::from(""), false),
            (Value::from("true"), true),
            (Value::from("connection reset"), true),
            (Value::Int(1), false),
        ] {
            assert_eq!(span(StatusCode::Unset, error.clone()).is_error(), is_error, "{error:?}");
            assert!(!span(StatusCode::Ok, error.clone()).is_error());
            assert!(span(StatusCode::Error, error).is_error());
        }
    }
}
