//! Damaged files are reported by name and set aside; everything else is served.

use std::fs;
use std::path::{Path, PathBuf};

use spanwise_store::{Config, OpenError};

use crate::batches::{append_all, check, config, open, trace};

/// A store with one segment per trace.
fn sealed(dir: &Path, traces: &[u64]) {
    let store = open(config(dir)).unwrap();
    for &trace in traces {
        append_all(&store, &[(trace, 1), (trace, 2)]);
        store.seal().unwrap();
    }
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_segment_that_is_cut_short_is_set_aside_when_the_store_opens() {
    let dir = tempfile::tempdir().unwrap();
    sealed(dir.path(), &[1, 2]);
    let damaged = files(&dir.path().join("segments"), "parquet").remove(0);
    fs::write(&damaged, "").unwrap();
    let store = open(config(dir.path())).unwrap();
    let status = store.status();
    assert_eq!((status.segments, status.set_aside.len()), (1, 1));
    assert_eq!(status.set_aside[0].path, damaged.parent().unwrap());
    assert_eq!(trace(&store, 2), [1, 2]);
    check(&store, [(2, 1), (2, 2)]);
}

#[test]
fn a_segment_that_is_gone_is_reported_and_the_rest_is_served() {
    let dir = tempfile::tempdir().unwrap();
    sealed(dir.path(), &[1, 2]);
    let gone = files(&dir.path().join("segments"), "parquet").remove(1);
    fs::remove_dir_all(gone.parent().unwrap()).unwrap();
    let store = open(config(dir.path())).unwrap();
    assert_eq!(store.status().set_aside.len(), 1);
    check(&store, [(1, 1), (1, 2)]);
}

/// A flipped bit is found when the block is read; the query is answered without the segment.
#[test]
fn a_segment_with_a_flipped_bit_is_set_aside_by_the_query_that_meets_it() {
    let dir = tempfile::tempdir().unwrap();
    sealed(dir.path(), &[1, 2]);
    let rows = files(&dir.path().join("segments"), "bin");
    let rows = rows.iter().find(|path| path.file_name().unwrap() == "rows.bin").unwrap();
    flip(rows, 12);
    let store = open(config(dir.path())).unwrap();
    assert_eq!(store.status().set_aside.len(), 0);
    assert_eq!(trace(&store, 1), [0; 0]);
    assert_eq!(trace(&store, 2), [1, 2]);
    assert_eq!(store.status().set_aside.len(), 1);
}

#[test]
fn a_damaged_index_of_traces_is_no_reason_to_find_nothing() {
    let dir = tempfile::tempdir().unwrap();
    sealed(dir.path(), &[1, 2]);
    let index = files(&dir.path().join("segments"), "idx").remove(0);
    flip(&index, 12);
    let store = open(config(dir.path())).unwrap();
    assert_eq!(trace(&store, 1), [0; 0]);
    assert_eq!(store.status().set_aside[0].path, index.parent().unwrap());
    assert_eq!(trace(&store, 2), [1, 2]);
}

#[test]
fn an_unfinished_segment_is_removed_and_a_committed_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    sealed(dir.path(), &[1]);
    let leftover = dir.path().join("segments/00000000000000ff");
    fs::create_dir(&leftover).unwrap();
    fs::write(leftover.join("rows.bin"), "unfinished").unwrap();
    let store = open(config(dir.path())).unwrap();
    assert!(!leftover.exists());
    check(&store, [(1, 1), (1, 2)]);
}

#[test]
fn damage_in_the_middle_of_the_log_is_refused_and_repaired_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path())).unwrap();
    (1..=3).for_each(|at| append_all(&store, &[(at, 1)]));
    drop(store);
    let log = files(&dir.path().join("wal"), "wal").remove(0);
    flip(&log, 64 + 64 + 50);
    let refused = open(config(dir.path())).unwrap_err();
    assert!(matches!(&refused, OpenError::Corrupt { path, .. } if *path == log), "{refused}");
    assert!(refused.to_string().contains("--repair"), "{refused}");
    let store = open(Config { repair: true, ..config(dir.path()) }).unwrap();
    check(&store, [(1, 1), (3, 1)]);
    assert!(store.status().set_aside[0].path.to_string_lossy().contains(".corrupt-"));
    append_all(&store, &[(4, 1)]);
    drop(store);
    let store = open(config(dir.path())).unwrap();
    check(&store, [(1, 1), (3, 1), (4, 1)]);
}

#[test]
fn a_torn_tail_of_the_log_is_counted_and_nothing_else_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path())).unwrap();
    (1..=3).for_each(|at| append_all(&store, &[(at, 1)]));
    drop(store);
    let log = files(&dir.path().join("wal"), "wal").remove(0);
    let end = 64 + 3 * 64;
    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(end - 10).unwrap();
    let store = open(config(dir.path())).unwrap();
    assert!(store.status().recovery.torn_bytes > 0);
    check(&store, [(1, 1), (2, 1)]);
}
