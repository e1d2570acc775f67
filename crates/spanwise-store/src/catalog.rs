//! The catalog: which segments are there, and from which record on must the log be read?
//!
//! A log of edits, each synced before anything relies on it: its record is the commit of a seal, a
//! merge or a removal. Numbers are little-endian.
//!
//! ```text
//! file:   magic (8) · version u32 · zeros to 16
//! record: length u32 · crc32c u32 · edit length u32 · edit (JSON) · body marks (24 bytes each)
//! ```
//!
//! The length counts what follows the checksum, which covers it. When the log has grown well past
//! what it says, it is replaced by one edit that says the same.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bodies::{BodyMark, still_recent};
use crate::segment::Meta;
use crate::{Hooks, OpenError, disk};

const MAGIC: [u8; 8] = *b"SPANCAT\n";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
const RECORD_HEADER_BYTES: usize = 8;
const MARK_BYTES: usize = 24;
/// The log is rewritten when it is twice as long as it need be, and this much more.
const REWRITE_SLACK_BYTES: u64 = 1 << 20;

/// One change, which happens as a whole or not at all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Edit {
    /// Segments that appear, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) add: Vec<(u64, Meta)>,
    /// Segments that go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) remove: Vec<u64>,
    /// Records of the write-ahead log before this one are in segments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) log_mark: Option<u64>,
    /// Ids below this one have been given away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_id: Option<u64>,
    /// Bodies whose records the mark has passed.
    #[serde(skip)]
    pub(crate) bodies: Vec<BodyMark>,
}

/// The catalog of a store.
#[derive(Debug)]
pub(crate) struct Catalog {
    path: PathBuf,
    file: File,
    hooks: Hooks,
    bytes: u64,
    /// How long the log was when it was last rewritten.
    rewritten_bytes: u64,
    /// Why it cannot be written any more.
    failed: Option<String>,
    segments: BTreeMap<u64, Meta>,
    log_mark: u64,
    next_id: u64,
    bodies: Vec<BodyMark>,
}

impl Catalog {
    /// Opens the catalog, or makes an empty one. An edit that was being written when the process
    /// stopped is left out; damage in front of another edit is an error, unless `repair` is set.
    pub(crate) fn open(path: &Path, hooks: Hooks, repair: bool) -> Result<Self, OpenError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                disk::replace(path, &file_header())?;
                file_header().to_vec()
            }
            Err(error) => return Err(disk::named(path)(error).into()),
        };
        check_header(path, &bytes)?;
        let mut options = OpenOptions::new();
        let file = options.write(true).open(path).map_err(disk::named(path))?;
        let mut catalog = Catalog {
            path: path.to_owned(),
            file,
            hooks,
            bytes: 0,
            rewritten_bytes: 0,
            failed: None,
            segments: BTreeMap::new(),
            log_mark: 0,
            next_id: 0,
            bodies: Vec::new(),
        };
        catalog.replay(&bytes, repair)?;
        Ok(catalog)
    }

    /// The segments by id.
    pub(crate) fn segments(&self) -> &BTreeMap<u64, Meta> {
        &self.segments
    }

    /// From which record on the write-ahead log is not in segments.
    pub(crate) fn log_mark(&self) -> u64 {
        self.log_mark
    }

    /// The last minutes' bodies whose records are in segments.
    pub(crate) fn bodies(&self) -> &[BodyMark] {
        &self.bodies
    }

    /// An id that no segment had before.
    pub(crate) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Makes an edit durable, and with it true.
    pub(crate) fn commit(&mut self, mut edit: Edit) -> io::Result<()> {
        if let Some(reason) = &self.failed {
            return Err(io::Error::other(reason.clone()));
        }
        edit.next_id = Some(self.next_id);
        let record = encode(&edit)?;
        let written = self
            .hooks
            .step("catalog.write")
            .and_then(|()| self.file.write_all_at(&record, self.bytes));
        if let Err(error) = written {
            let undone = self.file.set_len(self.bytes);
            return Err(self.failed_if(undone.is_err(), error));
        }
        let synced = self.hooks.step("catalog.sync").and_then(|()| self.file.sync_all());
        // Whether the edit will be there after a restart is now unknown: nothing may build on it.
        synced.map_err(|error| self.failed_if(true, error))?;
        self.bytes += record.len() as u64;
        self.apply(edit);
        if self.bytes > 2 * self.rewritten_bytes + REWRITE_SLACK_BYTES {
            let rewritten = self.rewrite();
            rewritten.unwrap_or_else(|error| tracing::warn!(%error, "catalog not shortened"));
        }
        Ok(())
    }

    fn failed_if(&mut self, failed: bool, error: io::Error) -> io::Error {
        let error = disk::named(&self.path)(error);
        if failed {
            self.failed = Some(error.to_string());
        }
        error
    }

    fn apply(&mut self, mut edit: Edit) {
        for id in edit.remove {
            self.segments.remove(&id);
        }
        self.segments.extend(edit.add);
        let newest_id = self.segments.last_key_value().map_or(0, |(id, _)| id + 1);
        self.next_id = self.next_id.max(edit.next_id.unwrap_or(0)).max(newest_id);
        self.log_mark = self.log_mark.max(edit.log_mark.unwrap_or(0));
        self.bodies.append(&mut edit.bodies);
        let newest = self.bodies.iter().map(|mark| mark.received_unix_nano).max();
        still_recent(&mut self.bodies, newest.unwrap_or(0));
    }

    /// Replaces the log by one edit that says the same.
    fn rewrite(&mut self) -> io::Result<()> {
        self.hooks.step("catalog.rewrite")?;
        let everything = Edit {
            add: self.segments.iter().map(|(id, meta)| (*id, meta.clone())).collect(),
            remove: Vec::new(),
            log_mark: Some(self.log_mark),
            next_id: Some(self.next_id),
            bodies: self.bodies.clone(),
        };
        let mut content = file_header().to_vec();
        content.extend_from_slice(&encode(&everything)?);
        disk::replace(&self.path, &content)?;
        // The old file has no name any more: an edit written to it would be lost.
        let opened = OpenOptions::new().write(true).open(&self.path);
        self.file = opened.map_err(|error| self.failed_if(true, error))?;
        self.bytes = content.len() as u64;
        self.rewritten_bytes = self.bytes;
        Ok(())
    }

    fn replay(&mut self, bytes: &[u8], repair: bool) -> Result<(), OpenError> {
        let mut at = HEADER_BYTES;
        while let Some((edit, end)) = decode(bytes, at) {
            self.apply(edit);
            at = end;
        }
        let rest = &bytes[at..];
        if let Some(next) = (1..rest.len()).find(|skip| decode(rest, *skip).is_some()) {
            if !repair {
                return Err(OpenError::corrupt(&self.path, at as u64, "an edit is damaged"));
            }
            return self.repair(bytes, at + next);
        }
        if !rest.is_empty() {
            tracing::warn!(bytes = rest.len(), "an edit of the catalog was cut short");
            let cut = self.file.set_len(at as u64).and_then(|()| self.file.sync_all());
            cut.map_err(disk::named(&self.path))?;
        }
        self.bytes = at as u64;
        Ok(())
    }

    /// Keeps a copy of the damaged log and goes on with the edits that can be read.
    fn repair(&mut self, bytes: &[u8], mut at: usize) -> Result<(), OpenError> {
        let copy = self.path.with_extension("corrupt");
        std::fs::copy(&self.path, &copy).map_err(disk::named(&copy))?;
        while at < bytes.len() {
            match decode(bytes, at) {
                Some((edit, end)) => {
                    self.apply(edit);
                    at = end;
                }
                None => at += 1,
            }
        }
        Ok(self.rewrite()?)
    }
}

fn file_header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header
}

fn check_header(path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    match bytes.get(..HEADER_BYTES) {
        Some(header) if *header == file_header() => Ok(()),
        Some(header) if header[..8] == MAGIC => Err(OpenError::Format {
            path: path.to_owned(),
            found: format!("catalog {}", u32_at(header, 8).unwrap_or(0)),
            known: format!("catalog {VERSION}"),
        }),
        _ => Err(OpenError::corrupt(path, 0, "it is not a catalog")),
    }
}

fn encode(edit: &Edit) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(edit)?;
    let mut content = (json.len() as u32).to_le_bytes().to_vec();
    content.extend_from_slice(&json);
    for mark in &edit.bodies {
        content.extend_from_slice(&mark.hash.to_le_bytes());
        content.extend_from_slice(&mark.received_unix_nano.to_le_bytes());
    }
    let mut record = Vec::with_capacity(RECORD_HEADER_BYTES + content.len());
    record.extend_from_slice(&(content.len() as u32).to_le_bytes());
    record.extend_from_slice(&crc32c::crc32c(&content).to_le_bytes());
    record.extend_from_slice(&content);
    Ok(record)
}

/// The edit at `at` and where the next one starts.
fn decode(bytes: &[u8], at: usize) -> Option<(Edit, usize)> {
    let content_at = at.checked_add(RECORD_HEADER_BYTES)?;
    let end = content_at.checked_add(u32_at(bytes, at)? as usize)?;
    let content = bytes.get(content_at..end).filter(|content| !content.is_empty())?;
    if u32_at(bytes, at + 4)? != crc32c::crc32c(content) {
        return None;
    }
    let (json, marks) = content.get(4..)?.split_at_checked(u32_at(content, 0)? as usize)?;
    let mut edit: Edit = serde_json::from_slice(json).ok()?;
    edit.bodies = marks.chunks_exact(MARK_BYTES).filter_map(body_mark).collect();
    Some((edit, end))
}

fn body_mark(bytes: &[u8]) -> Option<BodyMark> {
    let (hash, received) = bytes.split_at(16);
    Some(BodyMark {
        hash: u128::from_le_bytes(hash.try_into().ok()?),
        received_unix_nano: u64::from_le_bytes(received.try_into().ok()?),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

#[cfg(test)]
mod tests;
