use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::compact::tests::meta;

fn open(dir: &Path) -> Catalog {
    Catalog::open(&dir.join("catalog"), Hooks::default(), false).unwrap()
}

fn add(id: u64, mark: u64) -> Edit {
    Edit { add: vec![(id, meta(id as u32 + 1))], log_mark: Some(mark), ..Edit::default() }
}

fn ids(catalog: &Catalog) -> Vec<u64> {
    catalog.segments().keys().copied().collect()
}

#[test]
fn edits_are_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path());
    let (one, two, three) = (catalog.new_id(), catalog.new_id(), catalog.new_id());
    let bodies = vec![BodyMark { hash: u128::MAX - 1, received_unix_nano: 5 }];
    catalog.commit(Edit { bodies: bodies.clone(), ..add(one, 10) }).unwrap();
    catalog.commit(add(two, 20)).unwrap();
    catalog.commit(Edit { remove: vec![one, two], ..add(three, 0) }).unwrap();
    let mut again = open(dir.path());
    assert_eq!(ids(&again), [three]);
    assert_eq!(again.segments()[&three], meta(three as u32 + 1));
    assert_eq!((again.log_mark(), again.bodies()), (20, &bodies[..]));
    assert_eq!(again.new_id(), three + 1);
}

#[test]
fn a_long_log_is_replaced_by_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path());
    for id in 0..90 {
        let remove = if id > 0 { vec![id - 1] } else { vec![] };
        // Each edit's bodies are forgotten by the time of the next.
        let received_unix_nano = id * 700_000_000_000;
        let bodies = (0..2000).map(|hash| BodyMark { hash, received_unix_nano }).collect();
        catalog.commit(Edit { remove, bodies, ..add(id, id) }).unwrap();
    }
    let bytes = fs::metadata(dir.path().join("catalog")).unwrap().len();
    assert!(bytes < 2 * REWRITE_SLACK_BYTES, "{bytes}");
    let again = open(dir.path());
    assert_eq!((ids(&again), again.log_mark(), again.bodies().len()), (vec![89], 89, 2000));
}

#[test]
fn a_cut_at_any_byte_leaves_whole_edits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog");
    let mut catalog = open(dir.path());
    let mut ends = vec![fs::metadata(&path).unwrap().len()];
    for id in 0..3 {
        catalog.commit(add(id, id)).unwrap();
        ends.push(fs::metadata(&path).unwrap().len());
    }
    let bytes = fs::read(&path).unwrap();
    for cut in ends[0]..=ends[3] {
        fs::write(&path, &bytes[..cut as usize]).unwrap();
        let whole = ends[1..].iter().filter(|end| **end <= cut).count();
        let mut again = open(dir.path());
        assert_eq!(ids(&again).len(), whole, "cut at {cut}");
        again.commit(add(9, 9)).unwrap();
        assert_eq!(ids(&open(dir.path())).len(), whole + 1);
    }
}

#[test]
fn damage_in_front_of_an_edit_is_refused_and_repaired_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog");
    let mut catalog = open(dir.path());
    (0..3).for_each(|id| catalog.commit(add(id, id)).unwrap());
    drop(catalog);
    let mut bytes = fs::read(&path).unwrap();
    bytes[HEADER_BYTES + 30] ^= 1;
    fs::write(&path, bytes).unwrap();
    let refused = Catalog::open(&path, Hooks::default(), false);
    assert!(matches!(refused, Err(OpenError::Corrupt { offset: 16, .. })), "{refused:?}");
    let repaired = Catalog::open(&path, Hooks::default(), true).unwrap();
    assert_eq!(ids(&repaired), [1, 2]);
    assert!(path.with_extension("corrupt").exists());
    assert_eq!(ids(&open(dir.path())), [1, 2]);
}

#[test]
fn a_newer_or_foreign_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog");
    let mut newer = file_header();
    newer[8] = 2;
    fs::write(&path, newer).unwrap();
    let refused = Catalog::open(&path, Hooks::default(), false).unwrap_err();
    assert!(refused.to_string().contains("catalog 2"), "{refused}");
    fs::write(&path, b"something else altogether").unwrap();
    assert!(Catalog::open(&path, Hooks::default(), false).is_err());
}

#[test]
fn an_edit_that_failed_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&fails);
    let hooks = Hooks::default().with_step(move |step| {
        let fails = step == "catalog.write" && seen.load(Ordering::Relaxed);
        if fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    });
    let mut catalog = Catalog::open(&dir.path().join("catalog"), hooks, false).unwrap();
    assert!(catalog.commit(add(0, 1)).is_err());
    fails.store(false, Ordering::Relaxed);
    catalog.commit(add(1, 2)).unwrap();
    assert_eq!(ids(&catalog), [1]);
    assert_eq!(ids(&open(dir.path())), [1]);
}

#[test]
fn after_a_failed_sync_nothing_is_committed_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let hooks = Hooks::default().with_step(|step| {
        if step == "catalog.sync" { Err(io::Error::other("no")) } else { Ok(()) }
    });
    let mut catalog = Catalog::open(&dir.path().join("catalog"), hooks, false).unwrap();
    assert!(catalog.commit(add(0, 1)).is_err());
    assert!(catalog.commit(add(1, 2)).is_err());
    assert!(ids(&catalog).is_empty());
}
