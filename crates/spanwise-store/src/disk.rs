//! The file system, with errors that name the path.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Puts the path in front of an error's text; its kind stays.
pub(crate) fn named(path: &Path) -> impl FnOnce(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Makes a folder and its parents.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path).map_err(named(path))
}

/// Makes names in a folder durable: files made, renamed or removed in it.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(named(path))
}

/// Renames within a folder, durably.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to).map_err(named(from))?;
    to.parent().map_or(Ok(()), sync_dir)
}

/// Replaces a file in one step: a crash leaves the old content or the new.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("tmp");
    fs::write(&draft, content)
        .and_then(|()| File::open(&draft)?.sync_all())
        .map_err(named(&draft))?;
    rename(&draft, path)
}

/// Removes a file; it is fine if it is gone.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(path)(error)),
        _ => Ok(()),
    }
}

/// Removes a folder and all in it; it is fine if it is gone.
pub(crate) fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(path)(error)),
        _ => Ok(()),
    }
}

/// The names in a folder that are UTF-8, sorted.
pub(crate) fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(named(path))? {
        names.extend(entry.map_err(named(path))?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// How many bytes an ordinary process may still write to the file system of `path`.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let stats = rustix::fs::statvfs(path).map_err(|error| named(path)(error.into()))?;
    Ok(stats.f_bavail.saturating_mul(stats.f_frsize))
}
