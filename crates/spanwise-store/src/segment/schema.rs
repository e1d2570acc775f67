//! The columns of `spans.parquet`.
//!
//! These columns exist to filter, sort, group and sum; the record of a span is its row in
//! `rows.bin`. A column that is null everywhere may still be written; a shredded attribute column
//! exists only in segments where its key is frequent.
//!
//! String columns come back as `Dictionary(Int32, Utf8)` where values repeat and as plain `Utf8`
//! where they hardly do; [`StringColumn`](super::StringColumn) reads both.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema};
use spanwise_model::Value;

/// The project, `Utf8`.
pub const PROJECT: &str = "project";
/// [`spanwise_model::RowRole`] as its number, `UInt8`.
pub const ROLE: &str = "role";
/// Ordinal of the trace within the segment, `UInt32`, ascending.
pub const TRACE: &str = "trace";
/// `FixedSizeBinary(16)`.
pub const TRACE_ID: &str = "trace_id";
/// `FixedSizeBinary(8)`.
pub const SPAN_ID: &str = "span_id";
/// `FixedSizeBinary(8)`, null at a root.
pub const PARENT_SPAN_ID: &str = "parent_span_id";
/// The span's name, `Utf8`, never null.
pub const NAME: &str = "name";
/// `service.name` of the resource, `Utf8`, null where there is none.
pub const SERVICE: &str = "service";
/// Ordinal of the resource within the segment, `UInt32`; see `Segment::resource_attribute`.
pub const RESOURCE: &str = "resource";
/// [`spanwise_model::span::Kind`] as its number, `UInt8`.
pub const KIND: &str = "kind";
/// [`spanwise_model::span::StatusCode`] as its number, `UInt8`.
pub const STATUS: &str = "status";
/// [`spanwise_model::Span::is_error`], `Boolean`: by its status, or by its attribute `error`.
pub const IS_ERROR: &str = "is_error";
/// Nanoseconds since 1970, `UInt64`.
pub const START: &str = "start";
/// Nanoseconds, `UInt64`.
pub const DURATION: &str = "duration";
/// [`spanwise_model::genai::Operation`] as its number, `UInt8`, null for ordinary spans.
pub const OPERATION: &str = "operation";
/// The model that answered, else the one asked for, `Utf8`. Like every fact: null if unknown.
pub const MODEL: &str = "model";
/// `Utf8`.
pub const PROVIDER: &str = "provider";
/// `UInt64`.
pub const INPUT_TOKENS: &str = "input_tokens";
/// `UInt64`.
pub const OUTPUT_TOKENS: &str = "output_tokens";
/// `UInt64`; as recorded, not the sum.
pub const TOTAL_TOKENS: &str = "total_tokens";
/// Nano-dollars, `Int64`.
pub const COST: &str = "cost";
/// Nanoseconds, `UInt64`.
pub const TIME_TO_FIRST_TOKEN: &str = "time_to_first_token";
/// Canonical finish reasons joined by commas, `Utf8`.
pub const FINISH: &str = "finish";
/// `Utf8`.
pub const SESSION: &str = "session";
/// `Utf8`.
pub const USER: &str = "user";
/// `Utf8`.
pub const AGENT: &str = "agent";
/// `Utf8`.
pub const TOOL: &str = "tool";
/// `Utf8`.
pub const WORKFLOW: &str = "workflow";
/// `Utf8`.
pub const ENVIRONMENT: &str = "environment";
/// The error's type, `Utf8`.
pub const ERROR: &str = "error";

/// The type of a shredded attribute column, and of the values of a key.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum ScalarType {
    String,
    Int,
    Double,
    Bool,
}

impl ScalarType {
    /// Every type.
    pub const ALL: [ScalarType; 4] =
        [ScalarType::String, ScalarType::Int, ScalarType::Double, ScalarType::Bool];

    /// The type of a value; `None` for those that get no column.
    pub const fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(_) => Some(ScalarType::String),
            Value::Int(_) => Some(ScalarType::Int),
            Value::Double(_) => Some(ScalarType::Double),
            Value::Bool(_) => Some(ScalarType::Bool),
            Value::Null | Value::Bytes(_) | Value::Array(_) | Value::Map(_) => None,
        }
    }

    /// The prefix of a column of this type.
    pub const fn prefix(self) -> &'static str {
        match self {
            ScalarType::String => "s.",
            ScalarType::Int => "i.",
            ScalarType::Double => "d.",
            ScalarType::Bool => "b.",
        }
    }

    /// The name of the column that holds the values of this type of an attribute.
    pub fn column(self, key: &str) -> String {
        format!("{}{key}", self.prefix())
    }

    /// The type of that column.
    pub const fn data_type(self) -> DataType {
        match self {
            ScalarType::String => DataType::Utf8,
            ScalarType::Int => DataType::Int64,
            ScalarType::Double => DataType::Float64,
            ScalarType::Bool => DataType::Boolean,
        }
    }
}

/// The promoted string columns that are facts of a span.
pub(super) const FACT_STRINGS: [&str; 10] =
    [MODEL, PROVIDER, FINISH, SESSION, USER, AGENT, TOOL, WORKFLOW, ENVIRONMENT, ERROR];

/// The columns every segment has, in the order of the file.
pub fn promoted() -> Vec<Field> {
    let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
    let mut fields = vec![
        field(PROJECT, DataType::Utf8, false),
        field(ROLE, DataType::UInt8, false),
        field(TRACE, DataType::UInt32, false),
        field(TRACE_ID, DataType::FixedSizeBinary(16), false),
        field(SPAN_ID, DataType::FixedSizeBinary(8), false),
        field(PARENT_SPAN_ID, DataType::FixedSizeBinary(8), true),
        field(NAME, DataType::Utf8, false),
        field(SERVICE, DataType::Utf8, true),
        field(RESOURCE, DataType::UInt32, false),
        field(KIND, DataType::UInt8, false),
        field(STATUS, DataType::UInt8, false),
        field(IS_ERROR, DataType::Boolean, false),
        field(START, DataType::UInt64, false),
        field(DURATION, DataType::UInt64, false),
        field(OPERATION, DataType::UInt8, true),
        field(INPUT_TOKENS, DataType::UInt64, true),
        field(OUTPUT_TOKENS, DataType::UInt64, true),
        field(TOTAL_TOKENS, DataType::UInt64, true),
        field(COST, DataType::Int64, true),
        field(TIME_TO_FIRST_TOKEN, DataType::UInt64, true),
    ];
    fields.extend(FACT_STRINGS.iter().map(|name| field(name, DataType::Utf8, true)));
    fields
}

/// The schema as written: the promoted columns, then the shredded attributes in the given order.
pub fn schema<'a>(shredded: impl IntoIterator<Item = (&'a str, ScalarType)>) -> Arc<Schema> {
    let mut fields = promoted();
    fields.extend(
        shredded.into_iter().map(|(key, ty)| Field::new(ty.column(key), ty.data_type(), true)),
    );
    Arc::new(Schema::new(Fields::from(fields)))
}

/// The data type with which repeated strings are read.
pub fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}
