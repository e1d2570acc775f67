//! What a store takes on disk, by kind of file.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::{Outcome, row, table};

/// Bytes by kind of file.
pub type Kinds = BTreeMap<String, u64>;

/// The kind of the write-ahead log's files.
const LOG: &str = "log";

/// Bytes on disk by kind of file, the log included.
pub fn by_kind(data_dir: &Path) -> Outcome<Kinds> {
    let mut kinds = BTreeMap::new();
    collect(data_dir, data_dir, &mut kinds)?;
    Ok(kinds)
}

/// All but the log, which is recycled and bounded whatever the store holds.
pub fn without_log(kinds: &Kinds) -> u64 {
    kinds.iter().filter(|(kind, _)| *kind != LOG).map(|(_, size)| size).sum()
}

/// Prints the kinds with their share per span.
pub fn print(kinds: &Kinds, n_spans: u64) {
    let per_span = |size: u64| format!("{:.1}", size as f64 / n_spans as f64);
    let mut rows = vec![row!["files", "size", "bytes per span"]];
    for (kind, size) in kinds {
        rows.push(row![kind, table::bytes(*size), per_span(*size)]);
    }
    let kept = without_log(kinds);
    rows.push(row!["all but the log", table::bytes(kept), per_span(kept)]);
    table::print("Disk", &rows);
}

fn collect(root: &Path, folder: &Path, kinds: &mut Kinds) -> Outcome<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            collect(root, &entry.path(), kinds)?;
        } else {
            let path = entry.path();
            let kind = kind(path.strip_prefix(root)?);
            // The log is written ahead; of it counts what is allocated.
            let size = if kind == LOG { metadata.blocks() * 512 } else { metadata.len() };
            *kinds.entry(kind).or_default() += size;
        }
    }
    Ok(())
}

fn kind(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    match parts.as_slice() {
        [first, ..] if first == "wal" => LOG.into(),
        [first, _, third, _, ..] if first == "segments" => format!("{third}/"),
        [first, _, third] if first == "segments" => third.to_string(),
        [first, ..] => first.to_string(),
        [] => String::new(),
    }
}
