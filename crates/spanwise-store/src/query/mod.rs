//! What can be asked of a store, and the answers.
//!
//! [`Filter`] is the syntax tree of the search language, [`parse`](parser::parse) makes it from
//! text. A filter is a predicate over one span; a trace matches when one of its spans does.
//! [`Filter::matches`] says what that means for a span in memory, `segment_filter` says the same
//! for the columns of a segment, and `exec` finds the answers.

mod columns;
mod cursor;
mod display;
pub mod exec;
pub mod field;
mod matches;
pub mod parser;
#[cfg(test)]
pub(crate) mod sample;
mod segment_filter;

use std::sync::Arc;

use regex::Regex;
use spanwise_model::genai::{Cost, Operation, Usage};
use spanwise_model::span::{Kind, StatusCode};
use spanwise_model::{SpanId, Str, TraceId};

/// A predicate over one span.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Every span.
    All,
    /// All of these; empty is [`Filter::All`].
    And(Vec<Filter>),
    /// Any of these.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// The field has a value that passes the test.
    Test(Field, Test),
    /// The field has a value.
    Has(Field),
    /// The span failed: [`spanwise_model::Span::is_error`].
    Failed,
    /// The recorded text contains this.
    Text(TextQuery),
}

/// What a search can name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Field {
    Service,
    Name,
    Kind,
    Status,
    Operation,
    /// The model that answered, else the one asked for.
    Model,
    Provider,
    /// Nanoseconds.
    Duration,
    /// Nano-dollars.
    Cost,
    /// Input plus output.
    Tokens,
    InputTokens,
    OutputTokens,
    /// Nanoseconds to the first token.
    TimeToFirstToken,
    Session,
    User,
    Agent,
    Tool,
    Workflow,
    Finish,
    /// The error's type.
    Error,
    Environment,
    Project,
    TraceId,
    SpanId,
    /// Any attribute of the span by its own key, else of its resource.
    Attribute(String),
}

/// A test of one value.
#[derive(Clone, Debug)]
pub enum Test {
    /// Any of these patterns. On a numeric or boolean attribute the pattern's text is read as such.
    Any(Vec<Pattern>),
    /// A number within bounds, in the field's unit (ns, nano-dollars, tokens, or as recorded).
    Range(Range),
    /// Text that a regular expression finds something in.
    Regex(Regex),
}

/// Text to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Equal, case-sensitively.
    Exact(String),
    /// `*` stands for any run of characters.
    Wildcard(String),
}

/// Bounds on a number; `None` is open.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Range {
    pub min: Option<Bound>,
    pub max: Option<Bound>,
}

/// One bound.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Bound {
    pub value: f64,
    pub inclusive: bool,
}

/// Words to find in recorded text: span names, status messages, attribute values, events and
/// messages. Words are runs of letters and digits, compared in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TextQuery {
    /// The words, in lower case and in order. One word, or a phrase whose words must be adjacent.
    pub words: Vec<String>,
    /// Whether the last word may be continued (`zeph*`).
    pub prefix: bool,
}

/// The times a query covers: start inclusive, end exclusive, nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TimeRange {
    pub from: u64,
    pub to: u64,
}

impl TimeRange {
    /// Every time there is.
    pub const ALL: TimeRange = TimeRange { from: 0, to: u64::MAX };
}

/// A page of traces to find.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct TraceQuery {
    pub project: Arc<str>,
    pub filter: Filter,
    /// Bounds on the trace's start.
    pub time: TimeRange,
    pub sort: Sort,
    pub limit: usize,
    /// Where the last page ended, as this store gave it.
    pub cursor: Option<String>,
}

/// The order of a list of traces; always descending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Sort {
    #[default]
    StartTime,
    Duration,
    Cost,
    Tokens,
}

/// A page of spans to find, newest first.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct SpanQuery {
    pub project: Arc<str>,
    pub filter: Filter,
    /// Bounds on the span's start.
    pub time: TimeRange,
    pub limit: usize,
    pub cursor: Option<String>,
}

/// A bounded part of a longer answer.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where to go on; `None` at the end.
    pub next_cursor: Option<String>,
}

/// A span as lists show it.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct SpanHit {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent_span_id: Option<SpanId>,
    pub name: Str,
    pub service: Str,
    pub kind: Kind,
    pub status: StatusCode,
    /// [`spanwise_model::Span::is_error`].
    pub is_error: bool,
    /// [`spanwise_model::StoredSpan::is_running`].
    pub is_running: bool,
    pub start_time_unix_nano: u64,
    pub duration_ns: u64,
    pub operation: Option<Operation>,
    pub model: Str,
    pub usage: Usage,
    pub cost: Option<Cost>,
    pub time_to_first_token_ns: Option<u64>,
    pub input_preview: Str,
    pub output_preview: Str,
}

/// What to compute over spans.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct StatsQuery {
    pub project: Arc<str>,
    pub filter: Filter,
    /// Bounds on the span's start.
    pub time: TimeRange,
    pub measures: Vec<Measure>,
    pub group_by: Option<Field>,
    /// Width of a time bucket in nanoseconds; `None` for one bucket over everything.
    pub bucket_ns: Option<u64>,
    /// At most this many groups, the most frequent; the rest are one group `None`.
    pub max_groups: usize,
}

/// One number over many spans. Quantiles are within 2.5 % (log-bucketed histograms).
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Measure {
    Count,
    Errors,
    /// Quantile (0 to 1) of the duration, nanoseconds.
    Duration(f64),
    /// Quantile of the time to first token, nanoseconds.
    TimeToFirstToken(f64),
    InputTokens,
    OutputTokens,
    /// Sum of costs, nano-dollars.
    Cost,
}

/// One group's series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The value grouped by; `None` without grouping, for spans without the field, and the rest.
    pub group: Option<String>,
    /// Bucket starts in order, with one number per measure; `None` where nothing was measured.
    pub points: Vec<(u64, Vec<Option<f64>>)>,
}

/// A field that can be searched.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldInfo {
    /// Its name in the search language.
    pub name: String,
    /// `string`, `number`, `bool` or `mixed`.
    pub value_type: &'static str,
    /// How many spans have it, as far as counted.
    pub count: u64,
}

/// Why a query was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// A cursor that this store did not make.
    #[error("the cursor is not one of this server's")]
    BadCursor,
    /// A file could not be read.
    #[error("{0}")]
    Storage(String),
}

/// How much of a trace's spans to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Without attributes, events and links: what a waterfall needs. An attribute `error` is there
    /// where only it says that the span failed.
    Outline,
    /// Everything.
    Full,
}
