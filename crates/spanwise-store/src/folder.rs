//! The data folder: who may use it, which format it has, where its parts are.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::{OpenError, disk};

/// The first line of the file `format`.
const FORMAT: &str = "spanwise-store 1";

/// A data folder that this process alone uses, until this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
    lock: File,
}

impl Folder {
    /// Makes the folder if it is missing, locks it and checks its format.
    pub(crate) fn open(dir: &Path) -> Result<Folder, OpenError> {
        let lock = writable(dir, disk::create_dir(dir).and_then(|()| open_lock(dir)))?;
        lock_exclusively(dir, &lock)?;
        let folder = Folder { dir: dir.to_owned(), lock };
        folder.check_format()?;
        for part in [folder.wal(), folder.segments()] {
            writable(dir, disk::create_dir(&part))?;
        }
        Ok(folder)
    }

    /// The folder itself.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The write-ahead log's files.
    pub(crate) fn wal(&self) -> PathBuf {
        self.dir.join("wal")
    }

    /// One folder per segment.
    pub(crate) fn segments(&self) -> PathBuf {
        self.dir.join("segments")
    }

    /// The folder of one segment.
    pub(crate) fn segment(&self, id: u64) -> PathBuf {
        self.segments().join(format!("{id:016x}"))
    }

    /// The catalog's log.
    pub(crate) fn catalog(&self) -> PathBuf {
        self.dir.join("catalog")
    }

    fn check_format(&self) -> Result<(), OpenError> {
        let path = self.dir.join("format");
        match std::fs::read_to_string(&path) {
            Ok(text) if text.trim_end() == FORMAT => Ok(()),
            Ok(text) => {
                let found = text.lines().next().unwrap_or_default().to_owned();
                Err(OpenError::Format { path, found, known: FORMAT.to_owned() })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                writable(&self.dir, disk::replace(&path, format!("{FORMAT}\n").as_bytes()))
            }
            Err(error) => Err(disk::named(&path)(error).into()),
        }
    }
}

impl Drop for Folder {
    /// Closing the file is not enough while a process that is just being started has a copy of
    /// its descriptor. Should this fail, the end of both processes unlocks it.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

fn open_lock(dir: &Path) -> io::Result<File> {
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(&path).map_err(disk::named(&path))
}

/// The lock is the kernel's, so it goes with the process however that ends; the pid in the file
/// is only for the message.
fn lock_exclusively(dir: &Path, mut lock: &File) -> Result<(), OpenError> {
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let read = lock.take(20).read_to_string(&mut pid);
            let pid = read.ok().and_then(|_| pid.trim().parse().ok());
            return Err(OpenError::Locked { dir: dir.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(disk::named(&dir.join("lock"))(error).into()),
    }
    let pid = format!("{}\n", std::process::id());
    let written = lock.set_len(0).and_then(|()| lock.write_all(pid.as_bytes()));
    writable(dir, written.map_err(disk::named(&dir.join("lock"))))
}

fn writable<T>(dir: &Path, result: io::Result<T>) -> Result<T, OpenError> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::AlreadyExists => {
            OpenError::NotWritable { dir: dir.to_owned(), reason: error.to_string() }
        }
        _ => OpenError::Io(error),
    })
}
