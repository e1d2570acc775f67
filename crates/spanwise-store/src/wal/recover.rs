//! Reading the log again after a stop, whatever kind of stop it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::record::{
    self, FILE_HEADER_BYTES, FileHeader, HeaderError, Logged, RECORD_HEADER_BYTES, RecordAt,
    VERSION,
};
use super::writer::{ClosedFile, Files, make_spare};
use crate::{OpenError, disk};

/// What was found in the log.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) files: Files,
    /// The sequence of the next record.
    pub(crate) next_sequence: u64,
    /// Records given back.
    pub(crate) n_records: u64,
    /// Bytes after the last record that are not a record: a write that was cut short.
    pub(crate) torn_bytes: u64,
    /// Copies of damaged files, with what is wrong with each.
    pub(crate) set_aside: Vec<(PathBuf, String)>,
}

/// Reads the log of a folder: gives `each` the records from `mark` on, file by file and in order.
///
/// With `repair`, a damaged file is copied aside and its readable records are used; without, damage
/// is an error. A record that was being written when the process stopped is no damage.
pub(crate) fn recover(
    dir: &Path,
    mark: u64,
    repair: bool,
    mut each: impl FnMut(Vec<Logged>),
) -> Result<Recovered, OpenError> {
    let (names, spares) = list(dir)?;
    let mut recovery = Recovery {
        mark,
        repair,
        expected: mark,
        projects: Vec::new(),
        closed: Vec::new(),
        spares,
        n_records: 0,
        torn_bytes: 0,
        set_aside: Vec::new(),
    };
    for (at, (first, path)) in names.iter().enumerate() {
        let next_first = names.get(at + 1).map(|(first, _)| *first);
        let records = recovery.read_file(path, *first, next_first)?;
        if !records.is_empty() {
            recovery.n_records += records.len() as u64;
            each(records);
        }
    }
    Ok(Recovered {
        files: Files::new(dir, recovery.closed, recovery.spares),
        next_sequence: recovery.expected.max(mark),
        n_records: recovery.n_records,
        torn_bytes: recovery.torn_bytes,
        set_aside: recovery.set_aside,
    })
}

type Named = Vec<(u64, PathBuf)>;

/// The log files by first sequence, and the spares.
fn list(dir: &Path) -> Result<(Named, Vec<PathBuf>), OpenError> {
    let (mut files, mut spares) = (Vec::new(), Vec::new());
    for name in disk::names(dir)? {
        match name.split_once('.') {
            Some((first, "wal")) => {
                if let Ok(first) = u64::from_str_radix(first, 16) {
                    files.push((first, dir.join(name)));
                }
            }
            Some((_, "spare")) => spares.push(dir.join(name)),
            _ => {}
        }
    }
    files.sort_unstable();
    Ok((files, spares))
}

struct Recovery {
    mark: u64,
    repair: bool,
    /// The sequence that the next record must have.
    expected: u64,
    projects: Vec<Arc<str>>,
    closed: Vec<ClosedFile>,
    spares: Vec<PathBuf>,
    n_records: u64,
    torn_bytes: u64,
    set_aside: Vec<(PathBuf, String)>,
}

/// One file while it is read.
struct Reading<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    header: FileHeader,
    /// The first sequence of the next file, if there is one.
    next_first: Option<u64>,
    /// Where the next record should be.
    at: usize,
}

impl Recovery {
    fn read_file(
        &mut self,
        path: &Path,
        first: u64,
        next_first: Option<u64>,
    ) -> Result<Vec<Logged>, OpenError> {
        if let Some(end_sequence) = next_first.filter(|&next| next <= self.mark) {
            // All of it has been sealed, so it does not matter what it holds.
            self.closed.push(ClosedFile { path: path.to_owned(), end_sequence, used_bytes: 0 });
            return Ok(Vec::new());
        }
        if first > self.expected.max(self.mark) {
            self.damaged(path, 0, "the records before this file are missing")?;
        }
        self.expected = first;
        let bytes = std::fs::read(path).map_err(disk::named(path))?;
        let mut records = Vec::new();
        let mut at = FILE_HEADER_BYTES;
        match FileHeader::decode(&bytes) {
            Ok(header) if header.first_sequence == first => {
                let mut reading = Reading { path, bytes: &bytes, header, next_first, at };
                self.read_records(&mut reading, &mut records)?;
                at = reading.at;
            }
            Ok(_) => self.damaged(path, 0, "its header belongs to another file")?,
            Err(HeaderError::Version(found)) if !self.repair => {
                let (found, known) = (format!("log {found}"), format!("log {VERSION}"));
                return Err(OpenError::Format { path: path.to_owned(), found, known });
            }
            Err(HeaderError::Version(_)) => self.damaged(path, 0, "its format is not known")?,
            Err(HeaderError::Damaged(reason)) => self.damaged(path, 0, reason)?,
        }
        self.close(path, first, at, next_first)?;
        Ok(records)
    }

    /// Reads the records of a file to where the log ends or the next file goes on.
    fn read_records(
        &mut self,
        file: &mut Reading<'_>,
        records: &mut Vec<Logged>,
    ) -> Result<(), OpenError> {
        loop {
            self.read_run(file, records);
            if file.next_first == Some(self.expected) {
                return Ok(());
            }
            let next = record::find_next(file.header, file.bytes, file.at)
                .filter(|next| next.sequence > self.expected)
                .filter(|next| file.next_first.is_none_or(|first| next.sequence < first));
            if !self.is_damage(file, next) {
                self.torn_bytes += torn_bytes(file, next);
                return Ok(());
            }
            let resume_at = next.map(|next| next.sequence).or(file.next_first);
            if resume_at.is_none_or(|sequence| sequence > self.mark) {
                self.damaged(file.path, file.at as u64, "a record is damaged")?;
            }
            let Some(next) = next else { return Ok(()) };
            (self.expected, file.at) = (next.sequence, next.start);
        }
    }

    /// Reads records for as long as each is the expected one.
    fn read_run(&mut self, file: &mut Reading<'_>, records: &mut Vec<Logged>) {
        while file.next_first != Some(self.expected)
            && let Some(record) = record::decode(file.header, file.bytes, file.at)
            && record.sequence == self.expected
        {
            if record.sequence >= self.mark {
                records.push(record.logged(&mut self.projects));
            }
            self.expected += 1;
            file.at = record.end;
        }
    }

    /// Whether the expected record was on the disk once, given the next one that is.
    fn is_damage(&self, file: &Reading<'_>, next: Option<RecordAt<'_>>) -> bool {
        match next {
            // What follows in the same unsynced write may have reached the disk without it.
            Some(next) => file.next_first.is_some() || next.durable_before > self.expected,
            None => file.next_first.is_some(),
        }
    }

    /// Refuses, or sets a copy of the file aside and notes why.
    fn damaged(&mut self, path: &Path, offset: u64, reason: &str) -> Result<(), OpenError> {
        if !self.repair {
            return Err(OpenError::corrupt(path, offset, reason));
        }
        let reason = format!("{reason} (offset {offset})");
        let known =
            self.set_aside.iter_mut().find(|(copy, _)| copy.file_stem() == path.file_stem());
        if let Some((_, reasons)) = known {
            reasons.push_str("; ");
            reasons.push_str(&reason);
            return Ok(());
        }
        // The original stays until its readable records have been sealed.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let copy = path.with_extension(format!("corrupt-{now}"));
        std::fs::copy(path, &copy).map_err(disk::named(&copy))?;
        self.set_aside.push((copy, reason));
        Ok(())
    }

    fn close(
        &mut self,
        path: &Path,
        first: u64,
        at: usize,
        next_first: Option<u64>,
    ) -> Result<(), OpenError> {
        if self.expected == first && next_first.is_none() {
            // The next file will have this one's name.
            self.spares.push(make_spare(path)?);
            return Ok(());
        }
        self.closed.push(ClosedFile {
            path: path.to_owned(),
            end_sequence: next_first.unwrap_or(self.expected),
            used_bytes: (at - FILE_HEADER_BYTES) as u64,
        });
        Ok(())
    }
}

/// How many bytes a write that was cut short left behind. The writer puts zeros behind its last
/// record, so anything else there was being written.
fn torn_bytes(file: &Reading<'_>, next: Option<RecordAt<'_>>) -> u64 {
    let rest = &file.bytes[file.at.min(file.bytes.len())..];
    let header = &rest[..rest.len().min(RECORD_HEADER_BYTES)];
    match next {
        Some(next) => (next.end - file.at) as u64,
        None if header.iter().all(|&byte| byte == 0) => 0,
        None => record::claimed_len(header).min(rest.len()) as u64,
    }
}
