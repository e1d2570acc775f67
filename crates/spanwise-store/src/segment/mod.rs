//! Immutable segments: one folder of files that never change once the catalog names it.
//!
//! Rows are sorted by (start of the trace within the segment, project, trace id, span start), so
//! one trace is one run of rows and the newest traces are at the end.
//!
//! | file | what it answers |
//! |---|---|
//! | `rows.bin` | here is a row number, give me the span, exactly as it was |
//! | `texts.bin` | … and the long texts it refers to, each distinct one stored once |
//! | `names.bin` | … and the attribute keys and other short strings that occur over and over |
//! | `resources.bin`, `scopes.bin` | … and who produced it |
//! | `spans.parquet` | which rows match, and what do they add up to |
//! | `traces.idx` | here is a trace id, which rows are its spans |
//! | `traces.bin`, `summaries.bin` | the traces of this segment in order, and one row for each |
//! | `fields.json` | which attributes exist, with which values |
//! | `text/` | which texts contain this word (built later; scanned until then) |
//!
//! The record of a span is its row in `rows.bin` with what that refers to; everything else is an
//! index over it. So a trace is read without touching Parquet (a hundred columns would cost a
//! hundred page reads), there is one codec to get a span back exactly, and merging is reading
//! spans and writing them again. The price is that short values are on disk twice.

mod blocks;
mod chunk;
mod columns;
mod fields;
mod hash;
mod json;
mod merge;
mod names;
mod open;
mod row;
mod scan;
pub mod schema;
mod strings;
mod text;
mod traces;
mod varint;
mod write;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::ArrayRef;
use serde::{Deserialize, Serialize};

pub use self::fields::{FieldCatalog, FieldStats};
pub use self::merge::merge;
pub use self::open::Segment;
pub use self::strings::StringColumn;
pub use self::text::{Matcher, index_text, words};
pub use self::traces::trace_hash;
pub use self::write::write;

/// The format written, and the only one read so far.
pub const FORMAT_VERSION: u32 = 1;

/// What the catalog keeps of a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// [`FORMAT_VERSION`] at the time of writing.
    pub format: u32,
    /// How often its spans have been merged; 0 as sealed.
    pub level: u8,
    /// Rows, log records included.
    pub n_rows: u32,
    /// Rows that are spans.
    pub n_spans: u32,
    /// Distinct (project, trace id).
    pub n_traces: u32,
    /// The earliest start of a row, nanoseconds since 1970.
    pub min_start: u64,
    /// The latest start of a row.
    pub max_start: u64,
    /// The latest end of a row.
    pub max_end: u64,
    /// When the last of its spans was received.
    pub max_received: u64,
    /// Size of all files, without the text index.
    pub bytes: u64,
    /// Whether it is not served: it keeps the running spans for the next opening.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_running: bool,
    /// The projects in it, sorted.
    pub projects: Vec<Arc<str>>,
    /// Row groups of `spans.parquet` in order.
    pub row_groups: Vec<RowGroup>,
    /// Its files with their sizes and checksums.
    pub files: Vec<FileMeta>,
}

/// A run of rows that is scanned as one, with bounds to skip it by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct RowGroup {
    pub first_row: u32,
    pub n_rows: u32,
    pub min_start: u64,
    pub max_start: u64,
    pub max_duration: u64,
    /// Whether any span failed.
    pub has_errors: bool,
    /// The highest known cost, nano-dollars.
    pub max_cost: Option<i64>,
}

impl RowGroup {
    /// Its rows.
    pub fn rows(&self) -> Range<u32> {
        self.first_row..self.first_row + self.n_rows
    }
}

/// One file of a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct FileMeta {
    pub name: String,
    pub bytes: u64,
    /// xxh3-64 of the content.
    pub xxh3: u64,
}

/// How a segment is written.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// [`Meta::level`].
    pub level: u8,
    /// zstd level: low at seal, higher for merged segments that live long.
    pub zstd_level: i32,
}

impl WriteOptions {
    /// For sealing: cheap.
    pub fn seal() -> Self {
        WriteOptions { level: 0, zstd_level: 1 }
    }

    /// For merging into `level`: small.
    pub fn merge(level: u8) -> Self {
        WriteOptions { level, zstd_level: 3 }
    }
}

/// Why a segment was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The operating system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// A file is not what was written.
    #[error("{path} is corrupt: {reason}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Written by a version whose segments this one does not read.
    #[error("segment format {0} is not known to this version")]
    Format(u32),
    /// More rows or texts than a segment can number.
    #[error("too many {0} for one segment")]
    TooLarge(&'static str),
    /// A Parquet file could not be written or read.
    #[error("{path}: {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the Parquet library said.
        source: parquet::errors::ParquetError,
    },
    /// The text index could not be built or read.
    #[error("text index of {path}: {source}")]
    Text {
        /// The folder of the index.
        path: PathBuf,
        /// What the index library said.
        source: tantivy::TantivyError,
    },
}

impl SegmentError {
    fn parquet(path: &Path) -> impl FnOnce(parquet::errors::ParquetError) -> SegmentError + '_ {
        |source| SegmentError::Parquet { path: path.to_owned(), source }
    }

    fn text(path: &Path) -> impl FnOnce(tantivy::TantivyError) -> SegmentError + '_ {
        |source| SegmentError::Text { path: path.to_owned(), source }
    }

    fn arrow(path: &Path) -> impl FnOnce(arrow::error::ArrowError) -> SegmentError + '_ {
        |source| SegmentError::Parquet { path: path.to_owned(), source: source.into() }
    }

    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> SegmentError + '_ {
        |source| SegmentError::Io { path: path.to_owned(), source }
    }
}

/// Rows of a segment.
#[derive(Clone, Debug)]
pub enum Rows<'a> {
    /// All of a run.
    Range(Range<u32>),
    /// These, ascending and distinct.
    Sorted(&'a [u32]),
}

impl Rows<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Rows::Range(range) => range.len(),
            Rows::Sorted(rows) => rows.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (range, sorted) = match self {
            Rows::Range(range) => (range.clone(), &[][..]),
            Rows::Sorted(rows) => (0..0, *rows),
        };
        range.chain(sorted.iter().copied())
    }
}

/// The values of one attribute key over some rows: one array per type that occurs, each as long
/// as the rows asked for.
#[derive(Clone, Debug, Default)]
pub struct AttributeColumns {
    /// `Dictionary(Int32, Utf8)` or `Utf8`; read it with [`StringColumn`].
    pub strings: Option<ArrayRef>,
    /// `Int64`.
    pub ints: Option<ArrayRef>,
    /// `Float64`.
    pub doubles: Option<ArrayRef>,
    /// `Boolean`.
    pub bools: Option<ArrayRef>,
}

/// What [`Segment::trace_column`] can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TraceColumn {
    /// Earliest start of a row, nanoseconds since 1970 (at most [`i64::MAX`]). Ascending: it is the
    /// order of the traces.
    Start,
    /// Last end minus start, nanoseconds.
    Duration,
    /// Nano-dollars; [`i64::MIN`] where unknown.
    Cost,
    /// Input plus output tokens; [`i64::MIN`] where unknown.
    Tokens,
    /// Its first row.
    FirstRow,
    /// Index of its project in [`Meta::projects`].
    Project,
}

#[cfg(test)]
mod tests;
