//! The bytes of a file header and of a record. Numbers are little-endian.
//!
//! ```text
//! file:   magic (8) · version u32 · crc32c u32 · first sequence u64 · salt u64 · zeros to 64
//! record: magic (4) · crc32c u32 · body length u32 · project length u16 · signal u8 · encoding u8
//!         · sequence u64 · durable before u64 · received u64 · project · body · zeros to 8
//! ```
//!
//! A checksum covers what follows it, and starts with the file's salt.

use std::sync::Arc;

use bytes::Bytes;
use crc32c::crc32c_append;

use crate::{Encoding, LoggedBody, Signal};

pub(super) const FILE_HEADER_BYTES: usize = 64;
pub(super) const RECORD_HEADER_BYTES: usize = 40;
pub(super) const RECORD_MAGIC: [u8; 4] = *b"SWR1";
const FILE_MAGIC: [u8; 8] = *b"SPANWAL\n";
pub(super) const VERSION: u32 = 1;
const ALIGNMENT: usize = 8;

/// Why a file's header is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// Written by another version.
    Version(u32),
    /// It is not what was written.
    Damaged(&'static str),
}

/// What a file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) first_sequence: u64,
    pub(super) salt: u64,
}

impl FileHeader {
    pub(super) fn encode(self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        bytes[..8].copy_from_slice(&FILE_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let damaged = HeaderError::Damaged;
        let header =
            bytes.get(..FILE_HEADER_BYTES).ok_or(damaged("it is shorter than a header"))?;
        if header[..8] != FILE_MAGIC {
            return Err(damaged("it is not a log file"));
        }
        if u32_at(header, 12) != crc32c::crc32c(&header[16..]) {
            return Err(damaged("wrong checksum of the header"));
        }
        let version = u32_at(header, 8);
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        Ok(FileHeader { first_sequence: u64_at(header, 16), salt: u64_at(header, 24) })
    }

    fn seed(self) -> u32 {
        crc32c::crc32c(&self.salt.to_le_bytes())
    }
}

/// A record as the log gives it back.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) sequence: u64,
    pub(crate) body: LoggedBody,
}

/// A valid record within a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordAt<'a> {
    pub(super) sequence: u64,
    /// Records before this one were on the disk for certain when this one was written.
    pub(super) durable_before: u64,
    received_unix_nano: u64,
    signal: Signal,
    encoding: Encoding,
    project: &'a str,
    body: &'a [u8],
    /// Where it starts.
    pub(super) start: usize,
    /// Where the next record starts.
    pub(super) end: usize,
}

impl RecordAt<'_> {
    /// Copies the record out of its file.
    pub(super) fn logged(&self, projects: &mut Vec<Arc<str>>) -> Logged {
        let known = projects.iter().find(|known| ***known == *self.project).cloned();
        let project = known.unwrap_or_else(|| {
            let project: Arc<str> = self.project.into();
            projects.push(Arc::clone(&project));
            project
        });
        let body = LoggedBody {
            project,
            received_unix_nano: self.received_unix_nano,
            signal: self.signal,
            encoding: self.encoding,
            body: Bytes::copy_from_slice(self.body),
        };
        Logged { sequence: self.sequence, body }
    }
}

/// How many bytes a record takes, or `None` if it cannot be written.
pub(super) fn encoded_len(body: &LoggedBody) -> Option<usize> {
    u32::try_from(body.body.len()).ok()?;
    u16::try_from(body.project.len()).ok()?;
    let len = RECORD_HEADER_BYTES + body.project.len() + body.body.len();
    Some(len.next_multiple_of(ALIGNMENT))
}

/// The bytes of a record before its project and body.
pub(super) fn encode_header(
    file: FileHeader,
    sequence: u64,
    durable_before: u64,
    body: &LoggedBody,
) -> [u8; RECORD_HEADER_BYTES] {
    let mut bytes = [0; RECORD_HEADER_BYTES];
    bytes[..4].copy_from_slice(&RECORD_MAGIC);
    bytes[8..12].copy_from_slice(&(body.body.len() as u32).to_le_bytes());
    bytes[12..14].copy_from_slice(&(body.project.len() as u16).to_le_bytes());
    bytes[14] = body.signal as u8;
    bytes[15] = body.encoding as u8;
    bytes[16..24].copy_from_slice(&sequence.to_le_bytes());
    bytes[24..32].copy_from_slice(&durable_before.to_le_bytes());
    bytes[32..40].copy_from_slice(&body.received_unix_nano.to_le_bytes());
    let crc = crc32c_append(file.seed(), &bytes[8..]);
    let crc = crc32c_append(crc, body.project.as_bytes());
    let crc = crc32c_append(crc, &body.body);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The zeros that follow a record of this many bytes.
pub(super) fn padding(len: usize) -> &'static [u8] {
    &[0; ALIGNMENT][..len.next_multiple_of(ALIGNMENT) - len]
}

/// The record that starts at `at`, if a valid one does.
pub(super) fn decode(file: FileHeader, bytes: &[u8], at: usize) -> Option<RecordAt<'_>> {
    let header = bytes.get(at..at.checked_add(RECORD_HEADER_BYTES)?)?;
    if header[..4] != RECORD_MAGIC {
        return None;
    }
    let body_at = at + RECORD_HEADER_BYTES + usize::from(u16_at(header, 12));
    let end = body_at.checked_add(u32_at(header, 8) as usize)?;
    let checked = bytes.get(at + 8..end)?;
    if crc32c_append(file.seed(), checked) != u32_at(header, 4) {
        return None;
    }
    Some(RecordAt {
        sequence: u64_at(header, 16),
        durable_before: u64_at(header, 24),
        received_unix_nano: u64_at(header, 32),
        signal: Signal::from_number(header[14])?,
        encoding: Encoding::from_number(header[15])?,
        project: std::str::from_utf8(&bytes[at + RECORD_HEADER_BYTES..body_at]).ok()?,
        body: &bytes[body_at..end],
        start: at,
        end: end.next_multiple_of(ALIGNMENT),
    })
}

/// How long a record says it is in its header, or the part of it that there is.
pub(super) fn claimed_len(header: &[u8]) -> usize {
    if header.len() < RECORD_HEADER_BYTES || header[..4] != RECORD_MAGIC {
        return header.len();
    }
    RECORD_HEADER_BYTES + usize::from(u16_at(header, 12)) + u32_at(header, 8) as usize
}

/// The first valid record at `from` or later.
pub(super) fn find_next(file: FileHeader, bytes: &[u8], from: usize) -> Option<RecordAt<'_>> {
    let rest = bytes.get(from..)?;
    memchr::memmem::find_iter(rest, &RECORD_MAGIC)
        .map(|at| from + at)
        .filter(|at| at % ALIGNMENT == 0)
        .find_map(|at| decode(file, bytes, at))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
}
