//! Durable traces.
//!
//! A batch is appended to the write-ahead log (`wal`) and fsynced, becomes visible in the live
//! index ([`live`]), and is acknowledged. From time to time the live index is sealed into an
//! immutable [`segment`]; the catalog record that names the segment is the commit. Small
//! segments are merged (`compact`), old ones dropped (`retention`). A query takes a [`Snapshot`]
//! of live index and segments and reads both ([`query`]).
//!
//! The store knows nothing of HTTP, JSON shapes of the API, or how spans are understood: the
//! caller hands it spans with their [`spanwise_model::genai::Facts`], and a function that makes
//! them again from a logged body when the log is replayed.

mod bodies;
mod catalog;
mod committer;
mod compact;
mod disk;
mod folder;
mod hooks;
pub mod live;
pub mod query;
mod retention;
mod seal;
pub mod segment;
mod store;
mod wal;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use spanwise_model::StoredSpan;

pub use self::hooks::Hooks;
pub use self::store::{Recovery, SealError, SetAside, Snapshot, Status, Store};

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
    /// … or when its oldest span has waited this long, or nothing more has come for a few seconds
    /// and it is worth the memory.
    pub seal_after: Duration,
    /// Refuse appends (overloaded) while more than this many bytes wait to be sealed.
    pub max_live_bytes: usize,
    /// Refuse appends (disk full) when fewer bytes than this are free.
    pub min_free_bytes: u64,
    /// Drop segments whose spans were all received longer ago than this.
    pub retain_for: Option<Duration>,
    /// Drop the oldest segments while the store is larger than this many bytes.
    pub retain_bytes: Option<u64>,
    /// A running span that is not heard of for so long is given up: it is kept as it was last seen.
    pub running_for: Duration,
    /// Whether finished segments get a full-text index in the background.
    pub text_index: bool,
    /// Set a log with a corrupt middle aside instead of refusing to start.
    pub repair: bool,
}

impl Config {
    /// The defaults for a small machine, with everything kept for ever.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Config {
            dir: dir.into(),
            durability: Durability::Fsync,
            seal_spans: 64 << 10,
            seal_bytes: 128 << 20,
            seal_after: Duration::from_secs(30),
            max_live_bytes: 384 << 20,
            min_free_bytes: 1 << 30,
            retain_for: None,
            retain_bytes: None,
            running_for: Duration::from_hours(24),
            text_index: true,
            repair: false,
        }
    }
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

impl Signal {
    fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Signal::Traces),
            2 => Some(Signal::Logs),
            _ => None,
        }
    }
}

impl Encoding {
    fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Encoding::Identity),
            1 => Some(Encoding::Gzip),
            2 => Some(Encoding::Zstd),
            3 => Some(Encoding::Deflate),
            _ => None,
        }
    }
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
    #[error("overloaded: {} MiB wait to be sealed; try again", live_bytes >> 20)]
    Overloaded {
        /// How much waits.
        live_bytes: usize,
        /// When to try again.
        retry_after: Duration,
    },
    /// The disk is nearly full; queries still work.
    #[error(
        "the disk is nearly full: {} MiB are free and {} MiB must stay free \
         (store.min_free_bytes); spans are taken again when there is room",
        free_bytes >> 20, min_free_bytes >> 20
    )]
    DiskFull {
        /// How much is free.
        free_bytes: u64,
        /// The configured floor.
        min_free_bytes: u64,
    },
    /// The disk did not take the batch; queries still work, and the next batch is tried.
    #[error("the disk takes no more spans ({reason}); they are taken again as soon as it does")]
    DiskRefused {
        /// What the operating system said.
        reason: String,
    },
    /// The log could not be written; the store takes nothing until it is opened again.
    #[error(
        "the write-ahead log failed ({0}); what was acknowledged is safe, but no more spans are \
         taken until the server is restarted"
    )]
    LogFailed(String),
    /// No record of the log can hold it.
    #[error("a body of {bytes} bytes is too large for the log; send smaller batches")]
    TooLarge {
        /// How large the body is.
        bytes: usize,
    },
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

/// Why a data folder was not opened; each message says what a person can do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "{} is in use by another spanwise process{}; stop it or choose another data folder",
        dir.display(),
        pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The data folder.
        dir: PathBuf,
        /// Who has it, if it said so.
        pid: Option<u32>,
    },
    /// The folder cannot be written.
    #[error("the data folder {} cannot be written: {reason}", dir.display())]
    NotWritable {
        /// The data folder.
        dir: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// Written by another version of Spanwise, or by something else.
    #[error(
        "{} has format `{found}`, and this version reads `{known}`: {}",
        path.display(), advice(found, known)
    )]
    Format {
        /// The file that says so.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What this version knows.
        known: String,
    },
    /// A file is damaged where everything should be intact.
    #[error(
        "{} is corrupt at offset {offset}: {reason}; restore it from a backup, or start once with \
         --repair to set the file aside and keep what can be read",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The operating system said no.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// What to do about a folder whose format is not the one that is known. Both end in a number.
fn advice(found: &str, known: &str) -> &'static str {
    let split = |format: &str| {
        let (name, version) = format.rsplit_once(' ')?;
        Some((name.to_owned(), version.parse::<u64>().ok()?))
    };
    match (split(found), split(known)) {
        (Some((found, version)), Some((known, newest))) if found == known => {
            if version > newest {
                "a newer spanwise wrote it; start that one, or choose another data folder"
            } else {
                "an older spanwise wrote it; start that one, or choose another data folder"
            }
        }
        _ => "it is no data folder of spanwise; choose another one",
    }
}

impl OpenError {
    fn corrupt(path: &Path, offset: u64, reason: impl Into<String>) -> Self {
        OpenError::Corrupt { path: path.to_owned(), offset, reason: reason.into() }
    }
}
