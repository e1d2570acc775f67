//! Durable traces.
//!
//! A batch is appended to the write-ahead log ([`wal`]) and fsynced, becomes visible in the live
//! index ([`live`]), and is acknowledged. From time to time the live index is sealed into an
//! immutable [`segment`]; the [`catalog`] record that names the segment is the commit. Small
//! segments are merged ([`compact`]), old ones dropped ([`retention`]). A query takes a snapshot
//! of live index and catalog and reads both ([`query`]).
//!
//! The store knows nothing of HTTP, JSON shapes of the API, or how spans are understood: the
//! caller hands it spans with their [`spanwise_model::genai::Facts`], and a function that makes
//! them again from a logged body when the log is replayed.

pub mod query;
pub mod segment;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use spanwise_model::StoredSpan;

/// How a store is laid out, bounded and kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder; made if it is missing.
    pub dir: PathBuf,
    /// When an append counts as durable.
    pub durability: Durability,
    /// Seal the live index when it holds this many spans.
    pub seal_spans: usize,
    /// … or this many bytes of bodies and spans.
    pub seal_bytes: usize,
    /// … or when its oldest span has waited this long.
    pub seal_after: Duration,
    /// Refuse appends (overloaded) while more than this many bytes wait to be sealed.
    pub max_live_bytes: usize,
    /// Refuse appends (disk full) when fewer bytes than this are free.
    pub min_free_bytes: u64,
    /// Drop segments whose newest span is older than this.
    pub retain_for: Option<Duration>,
    /// Drop the oldest segments while the store is larger than this many bytes.
    pub retain_bytes: Option<u64>,
    /// Whether finished segments get a full-text index in the background.
    pub text_index: bool,
    /// Set a log with a corrupt middle aside instead of refusing to start.
    pub repair: bool,
}

/// When an append counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// After fdatasync of the log: survives a power cut.
    #[default]
    Fsync,
    /// After the write; synced every 100 ms: survives `kill -9`, may lose 100 ms in a power cut.
    Interval,
    /// After the write; synced when the system likes.
    Off,
}

/// What a log record holds. OTLP protobuf in every case, whatever the client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Signal {
    /// `ExportTraceServiceRequest`.
    Traces = 1,
    /// `ExportLogsServiceRequest`.
    Logs = 2,
}

/// How a logged body is compressed: as it came over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Encoding {
    Identity = 0,
    Gzip = 1,
    Zstd = 2,
    Deflate = 3,
}

/// A body as the log keeps it, with what is needed to make its spans again.
#[derive(Clone, Debug)]
pub struct LoggedBody {
    /// The project its spans belong to.
    pub project: Arc<str>,
    /// When it was received, nanoseconds since 1970.
    pub received_unix_nano: u64,
    /// What it holds.
    pub signal: Signal,
    /// How it is compressed.
    pub encoding: Encoding,
    /// The bytes.
    pub body: Bytes,
}

/// Makes the spans of a logged body: inflate, decode, process. Must be a pure function of the
/// body, so that replay gives what was acknowledged.
pub type Replay = dyn Fn(&LoggedBody) -> Vec<StoredSpan> + Send + Sync;

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Durable and visible.
    New {
        /// Spans that were taken.
        spans: usize,
        /// Spans that were there already, byte for byte (a client's retry).
        duplicates: usize,
    },
    /// The very same body was appended within the last minutes: nothing to do.
    Repeated,
}

/// Why a batch was not taken. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Too much waits to be sealed; try again later.
    #[error("overloaded: {live_bytes} bytes wait to be sealed")]
    Overloaded {
        /// How much waits.
        live_bytes: usize,
        /// When to try again.
        retry_after: Duration,
    },
    /// The disk is nearly full; queries still work.
    #[error("disk full: {free_bytes} bytes free, {min_free_bytes} wanted")]
    DiskFull {
        /// How much is free.
        free_bytes: u64,
        /// The configured floor.
        min_free_bytes: u64,
    },
    /// The log could not be written; the store takes nothing until it is opened again.
    #[error("write-ahead log failed: {0}")]
    LogFailed(String),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}
