use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::record::{FILE_HEADER_BYTES, RECORD_HEADER_BYTES};
use super::*;
use crate::{Durability, Encoding, Hooks, LoggedBody, OpenError, Signal};

fn body(text: &[u8]) -> LoggedBody {
    LoggedBody {
        project: "default".into(),
        received_unix_nano: 1_700_000_000_000_000_000,
        signal: Signal::Traces,
        encoding: Encoding::Gzip,
        body: Bytes::copy_from_slice(text),
    }
}

fn bodies(texts: &[&str]) -> Vec<LoggedBody> {
    texts.iter().map(|text| body(text.as_bytes())).collect()
}

/// Reads the log from `mark` on.
fn read(dir: &Path, mark: u64, repair: bool) -> Result<(Vec<Logged>, Recovered), OpenError> {
    let mut records = Vec::new();
    let recovered = recover(dir, mark, repair, |more| records.extend(more))?;
    Ok((records, recovered))
}

fn texts(dir: &Path) -> Vec<String> {
    let (records, _) = read(dir, 0, false).unwrap();
    let text = |record: &Logged| String::from_utf8(record.body.body.to_vec()).unwrap();
    records.iter().map(text).collect()
}

fn open_with(dir: &Path, mark: u64, hooks: Hooks) -> Wal {
    let (_, recovered) = read(dir, mark, false).unwrap();
    Wal::new(Arc::new(recovered.files), recovered.next_sequence, Durability::Fsync, hooks)
}

fn append(wal: &mut Wal, texts: &[&str]) {
    let bodies = bodies(texts);
    wal.append(&bodies.iter().collect::<Vec<_>>()).unwrap();
}

/// A log with these groups, each written and synced at once.
fn logged(groups: &[&[&str]]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut wal = open_with(dir.path(), 0, Hooks::default());
    for group in groups {
        append(&mut wal, group);
    }
    dir
}

fn only_file(dir: &Path) -> PathBuf {
    let mut files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|e| e == "wal")).unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_was_logged_comes_back_in_order() {
    let dir = logged(&[&["a", "b"], &[""], &["c"]]);
    assert_eq!(texts(dir.path()), ["a", "b", "", "c"]);
    let (records, recovered) = read(dir.path(), 2, false).unwrap();
    assert_eq!(records.iter().map(|record| record.sequence).collect::<Vec<_>>(), [2, 3]);
    assert_eq!((recovered.next_sequence, recovered.torn_bytes), (4, 0));
    let expected = body(b"c");
    let last = &records[1].body;
    assert_eq!(last.project, expected.project);
    assert_eq!(last.received_unix_nano, expected.received_unix_nano);
    assert_eq!((last.signal, last.encoding), (expected.signal, expected.encoding));
}

#[test]
fn an_empty_log_is_small_and_starts_at_the_mark() {
    let dir = tempfile::tempdir().unwrap();
    let (records, recovered) = read(dir.path(), 7, false).unwrap();
    assert!(records.is_empty());
    assert_eq!(recovered.next_sequence, 7);
    append(&mut open_with(dir.path(), 7, Hooks::default()), &["a"]);
    assert!(fs::metadata(only_file(dir.path())).unwrap().len() < 1 << 20);
}

#[test]
fn every_opening_goes_on_in_a_new_file() {
    let dir = logged(&[&["a"]]);
    for text in ["b", "c", "d"] {
        append(&mut open_with(dir.path(), 0, Hooks::default()), &[text]);
    }
    assert_eq!(texts(dir.path()), ["a", "b", "c", "d"]);
}

#[test]
fn a_body_larger_than_a_file_gets_a_larger_file() {
    let dir = logged(&[&["before"]]);
    let large = body(&vec![7; FILE_BYTES as usize + 5]);
    let mut wal = open_with(dir.path(), 0, Hooks::default());
    wal.append(&[&large]).unwrap();
    append(&mut wal, &["after"]);
    let (records, _) = read(dir.path(), 0, false).unwrap();
    let lengths: Vec<_> = records.iter().map(|record| record.body.body.len()).collect();
    assert_eq!(lengths, [6, large.body.len(), 5]);
}

/// Files of sealed records are written again; what lies behind the new records stays unseen.
#[test]
fn a_recycled_file_shows_nothing_of_its_former_life() {
    let dir = logged(&[&["old one"], &["old two"], &["old three"]]);
    let (_, recovered) = read(dir.path(), 3, false).unwrap();
    let files = Arc::new(recovered.files);
    files.release_before(3).unwrap();
    assert_eq!(files.used_bytes(), 0);
    let mut wal = Wal::new(files, 3, Durability::Fsync, Hooks::default());
    append(&mut wal, &["new"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let (records, recovered) = read(dir.path(), 3, false).unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(&records[0].body.body[..], b"new");
    assert_eq!((recovered.next_sequence, recovered.torn_bytes), (4, 0));
}

#[test]
fn a_write_that_was_cut_short_is_counted_and_the_log_goes_on() {
    let dir = logged(&[&["a"], &["second"]]);
    let path = only_file(dir.path());
    let end = FILE_HEADER_BYTES + 2 * (RECORD_HEADER_BYTES + 16);
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(end as u64 - 16).unwrap();
    let (records, recovered) = read(dir.path(), 0, false).unwrap();
    assert_eq!((records.len(), recovered.next_sequence), (1, 1));
    assert!(recovered.torn_bytes > 0);
    append(&mut open_with(dir.path(), 0, Hooks::default()), &["b", "c"]);
    assert_eq!(texts(dir.path()), ["a", "b", "c"]);
}

#[test]
fn a_group_that_reached_the_disk_in_part_is_a_torn_tail() {
    let dir = logged(&[&["first"], &["lost", "with it"]]);
    let second = FILE_HEADER_BYTES + RECORD_HEADER_BYTES + 16;
    flip(&only_file(dir.path()), second + 20);
    assert_eq!(texts(dir.path()), ["first"]);
}

#[test]
fn damage_in_the_middle_is_refused_by_name_and_repaired_on_request() {
    let dir = logged(&[&["first"], &["damaged"], &["third"]]);
    let path = only_file(dir.path());
    let second = FILE_HEADER_BYTES + RECORD_HEADER_BYTES + 16;
    flip(&path, second + RECORD_HEADER_BYTES + 9);
    match read(dir.path(), 0, false) {
        Err(OpenError::Corrupt { path: at, offset, .. }) => {
            assert_eq!((at, offset), (path, second as u64));
        }
        other => panic!("{other:?}"),
    }
    let (records, recovered) = read(dir.path(), 0, true).unwrap();
    let kept: Vec<_> = records.iter().map(|record| record.sequence).collect();
    assert_eq!((kept, recovered.next_sequence), (vec![0, 2], 3));
    let (copy, reason) = &recovered.set_aside[0];
    assert!(copy.exists() && copy.to_string_lossy().contains(".corrupt-"), "{copy:?}");
    assert!(reason.contains("damaged"), "{reason}");
    // What was damaged has been sealed without, so nobody misses it any more.
    assert!(read(dir.path(), 2, false).is_ok());
}

#[test]
fn a_missing_file_is_noticed() {
    let dir = logged(&[&["a"]]);
    append(&mut open_with(dir.path(), 0, Hooks::default()), &["b"]);
    append(&mut open_with(dir.path(), 0, Hooks::default()), &["c"]);
    fs::remove_file(dir.path().join("0000000000000001.wal")).unwrap();
    assert!(matches!(read(dir.path(), 0, false), Err(OpenError::Corrupt { .. })));
    assert_eq!(read(dir.path(), 0, true).unwrap().0.len(), 2);
    assert_eq!(read(dir.path(), 2, false).unwrap().0.len(), 1);
}

#[test]
fn a_full_disk_refuses_a_group_and_takes_the_next() {
    for (step, kind) in [
        ("wal.rotate", io::ErrorKind::StorageFull),
        ("wal.rotate", io::ErrorKind::PermissionDenied),
        ("wal.grow", io::ErrorKind::FileTooLarge),
        ("wal.write", io::ErrorKind::QuotaExceeded),
    ] {
        let full = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&full);
        let hooks = Hooks::default().with_step(move |name| {
            let fails = name == step && seen.load(Ordering::Relaxed);
            if fails { Err(kind.into()) } else { Ok(()) }
        });
        let dir = tempfile::tempdir().unwrap();
        let mut wal = open_with(dir.path(), 0, hooks);
        if step != "wal.rotate" {
            append(&mut wal, &["before"]);
        }
        full.store(true, Ordering::Relaxed);
        let large = vec![b'x'; 1 << 20];
        let refused = wal.append(&[&body(&large)]);
        assert!(matches!(refused, Err(WalError::Refused(_))), "{step}: {refused:?}");
        full.store(false, Ordering::Relaxed);
        append(&mut wal, &["after"]);
        let all = texts(dir.path());
        assert_eq!(all.last().map(String::as_str), Some("after"), "{step}");
        assert!(all.len() <= 2, "{step}: {}", all.len());
    }
}

#[test]
fn a_failed_sync_is_no_full_disk() {
    let hooks = Hooks::default().with_step(|name| {
        if name == "wal.sync" { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    });
    let dir = tempfile::tempdir().unwrap();
    let mut wal = open_with(dir.path(), 0, hooks);
    assert!(matches!(wal.append(&[&body(b"a")]), Err(WalError::Failed(_))));
}

fn groups() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let text = prop::collection::vec(any::<u8>(), 0..80);
    prop::collection::vec(prop::collection::vec(text, 1..4), 1..5)
}

/// Logs the groups; gives the bytes of the file and where each record ends.
fn log_groups(dir: &Path, groups: &[Vec<Vec<u8>>]) -> (PathBuf, Vec<usize>) {
    let mut wal = open_with(dir, 0, Hooks::default());
    let mut at = FILE_HEADER_BYTES;
    let mut ends = vec![];
    for group in groups {
        let bodies: Vec<_> = group.iter().map(|text| body(text)).collect();
        wal.append(&bodies.iter().collect::<Vec<_>>()).unwrap();
        for body in &bodies {
            at += Wal::record_bytes(body).unwrap();
            ends.push(at);
        }
    }
    (only_file(dir), ends)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_prefix_of_the_log_gives_exactly_the_records_before_it(
        groups in groups(), cut in 0.0..1.0_f64,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (path, ends) = log_groups(dir.path(), &groups);
        let all: Vec<_> = groups.concat();
        let last = *ends.last().unwrap();
        let cut = FILE_HEADER_BYTES + ((last - FILE_HEADER_BYTES) as f64 * cut) as usize;
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(cut as u64).unwrap();
        let (records, recovered) = read(dir.path(), 0, false).unwrap();
        // A record whose padding alone is missing is whole.
        let whole = ends.iter().zip(&all).filter(|(end, text)| {
            let unpadded = RECORD_HEADER_BYTES + "default".len() + text.len();
            **end - unpadded.next_multiple_of(8) + unpadded <= cut
        }).count();
        prop_assert_eq!(records.len(), whole);
        prop_assert_eq!(recovered.next_sequence, whole as u64);
        for (record, text) in records.iter().zip(&all) {
            prop_assert_eq!(&record.body.body[..], &text[..]);
        }
    }

    #[test]
    fn a_flipped_bit_is_refused_or_ends_the_log(
        groups in groups(), at in 0.0..1.0_f64, bit in 0..8_u32,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (path, ends) = log_groups(dir.path(), &groups);
        let all: Vec<_> = groups.concat();
        let mut bytes = fs::read(&path).unwrap();
        let at = (*ends.last().unwrap() as f64 * at) as usize;
        bytes[at] ^= 1 << bit;
        fs::write(&path, bytes).unwrap();
        let n_before = ends.iter().filter(|end| **end <= at).count();
        match read(dir.path(), 0, false) {
            Err(OpenError::Corrupt { .. } | OpenError::Format { .. }) => {}
            Err(other) => prop_assert!(false, "{}", other),
            Ok((records, _)) => {
                // Padding and the unused part of the header are not covered.
                prop_assert!(records.len() == all.len() || records.len() == n_before);
                for (record, text) in records.iter().zip(&all) {
                    prop_assert_eq!(&record.body.body[..], &text[..]);
                }
            }
        }
        let repaired = read(dir.path(), 0, true);
        prop_assert!(repaired.is_ok());
    }

    #[test]
    fn random_bytes_are_never_taken_for_records(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("0000000000000000.wal"), bytes).unwrap();
        let refused = matches!(read(dir.path(), 0, false), Err(OpenError::Corrupt { .. }));
        prop_assert!(refused);
        prop_assert!(read(dir.path(), 0, true).unwrap().0.is_empty());
    }
}
