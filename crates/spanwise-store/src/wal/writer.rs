//! Writing the log: one group of records, one write, one fdatasync.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::FILE_BYTES;
use super::record::{self, FILE_HEADER_BYTES, FileHeader, RECORD_HEADER_BYTES};
use crate::{Durability, Hooks, LoggedBody, disk};

/// How long [`Durability::Interval`] waits between syncs.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);
/// How many files wait to be used again; more are removed.
const MAX_SPARES: usize = 3;
/// A file that is new grows by at least and at most this much at a time, filled with zeros.
const GROWTH: std::ops::RangeInclusive<u64> = (256 << 10)..=(2 << 20);
/// The kernel takes at most 1,024 slices in one write.
const MAX_SLICES: usize = 1000;

/// Why a group was not logged.
#[derive(Debug)]
pub(crate) enum WalError {
    /// The disk is full, or takes no new file. Nothing of the group is in the log, and the log is
    /// whole: the next group may be tried.
    Refused(io::Error),
    /// What is on the disk is not known any more: the log must not be written until it has been
    /// read again.
    Failed(io::Error),
}

/// The files that are not being written.
#[derive(Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    state: Mutex<FilesState>,
    /// Bytes of records in all files.
    used_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct FilesState {
    /// Oldest first.
    closed: Vec<ClosedFile>,
    spares: Vec<PathBuf>,
}

/// A file with all its records.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClosedFile {
    pub(super) path: PathBuf,
    /// The sequence after its last record.
    pub(super) end_sequence: u64,
    pub(super) used_bytes: u64,
}

impl Files {
    pub(super) fn new(dir: &Path, closed: Vec<ClosedFile>, spares: Vec<PathBuf>) -> Self {
        let used_bytes = closed.iter().map(|file| file.used_bytes).sum();
        Files {
            dir: dir.to_owned(),
            state: Mutex::new(FilesState { closed, spares }),
            used_bytes: AtomicU64::new(used_bytes),
        }
    }

    /// How many bytes of records there are, sealed ones included while their file is kept.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Frees the files whose records are all before `sequence`.
    pub(crate) fn release_before(&self, sequence: u64) -> io::Result<()> {
        let mut state = self.lock();
        let n_done = state.closed.partition_point(|file| file.end_sequence <= sequence);
        let done: Vec<_> = state.closed.drain(..n_done).collect();
        let room = MAX_SPARES.saturating_sub(state.spares.len());
        drop(state);
        if done.is_empty() {
            return Ok(());
        }
        let mut spares = Vec::new();
        for (at, file) in done.into_iter().enumerate() {
            self.used_bytes.fetch_sub(file.used_bytes, Ordering::Relaxed);
            if at < room {
                spares.push(make_spare(&file.path)?);
            } else {
                disk::remove_file(&file.path)?;
            }
        }
        // Only when the old names are gone for certain may the content be overwritten.
        disk::sync_dir(&self.dir)?;
        self.lock().spares.extend(spares);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, FilesState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a file's name from it; the caller syncs the folder.
pub(super) fn make_spare(path: &Path) -> io::Result<PathBuf> {
    let spare = path.with_extension("spare");
    std::fs::rename(path, &spare).map_err(disk::named(path))?;
    Ok(spare)
}

/// The log as its one writer has it.
#[derive(Debug)]
pub(crate) struct Wal {
    files: Arc<Files>,
    durability: Durability,
    hooks: Hooks,
    active: Option<Active>,
    next_sequence: u64,
    /// Records before this one are on the disk for certain.
    durable_before: u64,
    last_sync: Instant,
}

#[derive(Debug)]
struct Active {
    file: File,
    path: PathBuf,
    header: FileHeader,
    /// Where the next record goes.
    position: u64,
    /// Up to here the file's blocks are allocated and written.
    allocated: u64,
}

impl Wal {
    pub(crate) fn new(
        files: Arc<Files>,
        next_sequence: u64,
        durability: Durability,
        hooks: Hooks,
    ) -> Self {
        Wal {
            files,
            durability,
            hooks,
            active: None,
            next_sequence,
            durable_before: next_sequence,
            last_sync: Instant::now(),
        }
    }

    /// How many bytes a body takes in the log; `None` if no record can hold it.
    pub(crate) fn record_bytes(body: &LoggedBody) -> Option<usize> {
        record::encoded_len(body)
    }

    /// Writes the bodies and makes them durable as configured. Returns the first one's sequence.
    pub(crate) fn append(&mut self, bodies: &[&LoggedBody]) -> Result<u64, WalError> {
        let len: usize = bodies.iter().filter_map(|body| record::encoded_len(body)).sum();
        self.make_room(len as u64)?;
        let first = self.next_sequence;
        self.write(bodies, len as u64)?;
        self.next_sequence += bodies.len() as u64;
        self.files.used_bytes.fetch_add(len as u64, Ordering::Relaxed);
        if self.durability == Durability::Fsync {
            self.sync()?;
        }
        Ok(first)
    }

    /// In how long [`sync_if_due`](Self::sync_if_due) has something to do.
    pub(crate) fn sync_due_in(&self) -> Option<Duration> {
        let waiting = self.durability == Durability::Interval && self.is_dirty();
        waiting.then(|| SYNC_INTERVAL.saturating_sub(self.last_sync.elapsed()))
    }

    /// Syncs when the interval has passed.
    pub(crate) fn sync_if_due(&mut self) -> Result<(), WalError> {
        if self.sync_due_in().is_some_and(|wait| wait.is_zero()) { self.sync() } else { Ok(()) }
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) -> Result<(), WalError> {
        if let Some(active) = &self.active
            && self.is_dirty()
        {
            let synced = self.hooks.step("wal.sync").and_then(|()| active.file.sync_data());
            // After a failed sync the kernel may have dropped the pages: asking again proves
            // nothing.
            synced.map_err(|error| WalError::Failed(disk::named(&active.path)(error)))?;
        }
        self.durable_before = self.next_sequence;
        self.last_sync = Instant::now();
        Ok(())
    }

    fn is_dirty(&self) -> bool {
        self.durable_before < self.next_sequence
    }

    fn make_room(&mut self, len: u64) -> Result<(), WalError> {
        let fits = |active: &Active| {
            active.position + len <= FILE_BYTES || active.position == FILE_HEADER_BYTES as u64
        };
        if !self.active.as_ref().is_some_and(fits) {
            self.rotate()?;
        }
        let hooks = &self.hooks;
        match &mut self.active {
            Some(active) => active.allocate(len, hooks).map_err(refused_or_failed),
            None => Ok(()),
        }
    }

    /// Closes the file and goes on in the next. The old one is synced in every mode, so that a
    /// record missing in front of a file is always damage.
    fn rotate(&mut self) -> Result<(), WalError> {
        self.sync()?;
        let header = FileHeader {
            first_sequence: self.next_sequence,
            salt: RandomState::new().hash_one(self.next_sequence),
        };
        let spare = self.files.lock().spares.pop();
        let next = self
            .hooks
            .step("wal.rotate")
            .and_then(|()| Active::create(&self.files.dir, spare.as_deref(), header));
        // The old file is whole whatever became of the new one.
        let next = next.map_err(|error| {
            self.files.lock().spares.extend(spare.filter(|spare| spare.exists()));
            WalError::Refused(error)
        })?;
        if let Some(old) = self.active.replace(next) {
            self.files.lock().closed.push(ClosedFile {
                path: old.path,
                end_sequence: self.next_sequence,
                used_bytes: old.position - FILE_HEADER_BYTES as u64,
            });
        }
        Ok(())
    }

    fn write(&mut self, bodies: &[&LoggedBody], len: u64) -> Result<(), WalError> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let headers: Vec<_> = (self.next_sequence..)
            .zip(bodies)
            .map(|(sequence, body)| {
                record::encode_header(active.header, sequence, self.durable_before, body)
            })
            .collect();
        let mut slices = Vec::with_capacity(bodies.len() * 4);
        for (header, body) in headers.iter().zip(bodies) {
            let bytes = header.len() + body.project.len() + body.body.len();
            slices.extend([
                IoSlice::new(header),
                IoSlice::new(body.project.as_bytes()),
                IoSlice::new(&body.body),
                IoSlice::new(record::padding(bytes)),
            ]);
        }
        // Zeros behind the last record tell its end from an older record that lay there.
        let room = active.allocated.saturating_sub(active.position + len);
        let zeros = [0; RECORD_HEADER_BYTES];
        slices.push(IoSlice::new(&zeros[..zeros.len().min(room as usize)]));
        let written = self
            .hooks
            .step("wal.write")
            .and_then(|()| write_all_at(&active.file, &mut slices, active.position));
        if let Err(error) = written {
            return Err(active.undo(disk::named(&active.path)(error)));
        }
        active.position += len;
        Ok(())
    }
}

impl Active {
    /// Makes a log file of a spare or of nothing. It gets its name when its header is durable.
    fn create(dir: &Path, spare: Option<&Path>, header: FileHeader) -> io::Result<Self> {
        let path = dir.join(format!("{:016x}.wal", header.first_sequence));
        let draft = spare.map_or_else(|| path.with_extension("spare"), Path::to_owned);
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(&draft);
        let file = file.map_err(disk::named(&draft))?;
        let prepared = file.metadata().and_then(|metadata| {
            if metadata.len() > FILE_BYTES {
                file.set_len(FILE_BYTES)?;
            }
            file.write_all_at(&header.encode(), 0)?;
            file.sync_data()?;
            Ok(metadata.len().min(FILE_BYTES))
        });
        let allocated = prepared.map_err(disk::named(&draft))?;
        disk::rename(&draft, &path)?;
        let position = FILE_HEADER_BYTES as u64;
        Ok(Active { file, path, header, position, allocated })
    }

    /// Sees to it that the next `len` bytes overwrite allocated blocks.
    fn allocate(&mut self, len: u64, hooks: &Hooks) -> io::Result<()> {
        let end = self.position + len;
        if end <= self.allocated {
            return Ok(());
        }
        let growth = self.allocated.clamp(*GROWTH.start(), *GROWTH.end());
        let target = end.max((self.allocated + growth).min(FILE_BYTES));
        // The group itself fills the gap in front of the zeros.
        let grown = hooks.step("wal.grow").and_then(|()| self.write_zeros(end, target));
        if grown.is_err() {
            self.file.set_len(self.allocated.max(self.position))?;
        }
        grown.map_err(disk::named(&self.path))?;
        self.allocated = target;
        Ok(())
    }

    fn write_zeros(&self, from: u64, to: u64) -> io::Result<()> {
        static ZEROS: [u8; 256 << 10] = [0; 256 << 10];
        let mut at = from;
        while at < to {
            let len = (to - at).min(ZEROS.len() as u64) as usize;
            self.file.write_all_at(&ZEROS[..len], at)?;
            at += len as u64;
        }
        Ok(())
    }

    /// Takes back what a failed write may have left behind the last good record: it must not be
    /// read as logged after a crash.
    fn undo(&mut self, error: io::Error) -> WalError {
        match self.file.set_len(self.position) {
            Ok(()) => {
                self.allocated = self.position;
                refused_or_failed(error)
            }
            Err(_) => WalError::Failed(error),
        }
    }
}

fn refused_or_failed(error: io::Error) -> WalError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            WalError::Refused(error)
        }
        _ => WalError::Failed(error),
    }
}

fn write_all_at(file: &File, slices: &mut [IoSlice<'_>], mut at: u64) -> io::Result<()> {
    let mut rest = slices;
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        let n_slices = rest.len().min(MAX_SLICES);
        match rustix::io::pwritev(file, &rest[..n_slices], at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                at += written as u64;
                IoSlice::advance_slices(&mut rest, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
