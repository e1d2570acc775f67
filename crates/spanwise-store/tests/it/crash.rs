//! A process that dies at any step: what it had acknowledged is there, once.
//!
//! The dying is real: a child process aborts within a step, or is killed. It appends bodies in
//! order, seals now and then, and prints what has been acknowledged.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use spanwise_store::{Config, Hooks, Status, Store};

use crate::batches::{append, config, open, open_with, rows};

/// How many bodies a child appends.
const BODIES: u64 = 40;
/// A child seals after so many bodies.
const SEAL_EVERY: u64 = 4;

/// The child's work; run by [`crash`] only.
#[test]
#[ignore = "started by the other tests of this file"]
fn child() {
    let Ok(dir) = std::env::var("SPANWISE_TEST_DIR") else { return };
    let fatal = std::env::var("SPANWISE_TEST_STEP").unwrap_or_default();
    let countdown = std::env::var("SPANWISE_TEST_NTH").map_or(0, |n| n.parse().unwrap());
    let countdown = AtomicUsize::new(countdown);
    let hooks = Hooks::default().with_step(move |step| {
        if step == fatal && countdown.fetch_sub(1, Ordering::Relaxed) == 1 {
            println!("\ndied");
            std::process::abort();
        }
        Ok(())
    });
    let store = open_with(config(Path::new(&dir)), hooks);
    let next = Mutex::new(1..=BODIES);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| append_until_done(&store, &next));
        }
    });
    while store.status().segments >= 8 {
        std::thread::yield_now();
    }
}

fn append_until_done(store: &Store, next: &Mutex<std::ops::RangeInclusive<u64>>) {
    loop {
        let Some(at) = next.lock().unwrap().next() else { return };
        append(store, &[(at, 1), (7, at + 1)]).unwrap();
        println!("\nacknowledged {at}");
        if at % SEAL_EVERY == 0 {
            store.seal().unwrap();
        }
    }
}

fn start(dir: &Path, step: &str, nth: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["crash::child", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env("SPANWISE_TEST_DIR", dir)
        .env("SPANWISE_TEST_STEP", step)
        .env("SPANWISE_TEST_NTH", nth.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Reads what a child says until it ends, or until it has acknowledged enough and is killed.
/// Returns what it acknowledged and whether it died within the step.
fn watch(mut child: Child, kill_after: usize) -> (BTreeSet<u64>, bool) {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut acknowledged, mut died) = (BTreeSet::new(), false);
    for line in lines.map_while(Result::ok) {
        if let Some(at) = line.strip_prefix("acknowledged ") {
            acknowledged.insert(at.parse().unwrap());
            if acknowledged.len() == kill_after {
                child.kill().unwrap();
            }
        }
        died |= line == "died";
    }
    child.wait().unwrap();
    (acknowledged, died)
}

/// Opens what a child left; everything acknowledged must be there and nothing twice.
fn audit(dir: &Path, acknowledged: &BTreeSet<u64>) -> (HashMap<(u64, u64), usize>, Status) {
    let store = open(config(dir)).unwrap();
    let rows = rows(&store);
    assert!(rows.values().all(|&times| times == 1), "doubled: {rows:?}");
    for &at in acknowledged {
        assert!(rows.contains_key(&(at, 1)) && rows.contains_key(&(7, at + 1)), "lost: {at}");
    }
    (rows, store.status())
}

/// Dies at the `nth` time of a step, twice over on the same folder, and then goes on to the end:
/// the clients send again what they had sent, as clients do.
fn dies_at(step: &str, nth: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..2 {
        let (more, died) = watch(start(dir.path(), step, nth), usize::MAX);
        assert!(died || round > 0, "{step} was not reached {nth} times");
        acknowledged.extend(more);
        audit(dir.path(), &acknowledged);
    }
    let (all, _) = watch(start(dir.path(), "", 0), usize::MAX);
    assert_eq!(all.len() as u64, BODIES, "{step}");
    let (rows, status) = audit(dir.path(), &all);
    assert_eq!(rows.len() as u64, 2 * BODIES, "{step}");
    assert_eq!(status.set_aside, []);
    let folders = std::fs::read_dir(dir.path().join("segments")).unwrap().count();
    assert_eq!(folders, status.segments, "leftovers after {step}");
}

#[test]
fn dying_while_logging_loses_nothing() {
    dies_at("wal.rotate", 1);
    dies_at("wal.grow", 1);
    dies_at("wal.write", 1);
    dies_at("wal.write", 11);
    dies_at("wal.sync", 2);
    dies_at("wal.sync", 9);
}

#[test]
fn dying_while_sealing_loses_nothing() {
    dies_at("segment.write", 1);
    dies_at("segment.write", 5);
    dies_at("seal.commit", 1);
    dies_at("seal.commit", 3);
}

#[test]
fn dying_while_committing_loses_nothing() {
    dies_at("catalog.write", 1);
    dies_at("catalog.write", 4);
    dies_at("catalog.sync", 1);
    dies_at("catalog.sync", 6);
}

#[test]
fn dying_while_merging_loses_nothing() {
    dies_at("compact.commit", 1);
}

#[test]
fn being_killed_at_any_moment_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for kill_after in [1, 3, 8, 13, 21, 34] {
        acknowledged.extend(watch(start(dir.path(), "", 0), kill_after).0);
        audit(dir.path(), &acknowledged);
    }
}

/// A crash between two steps leaves a folder that opens at once, also with little to repair by.
#[test]
fn a_store_that_died_opens_with_repair_too() {
    let dir = tempfile::tempdir().unwrap();
    let (acknowledged, _) = watch(start(dir.path(), "catalog.sync", 3), usize::MAX);
    let store = open(Config { repair: true, ..config(dir.path()) }).unwrap();
    assert!(acknowledged.iter().all(|&at| rows(&store).contains_key(&(at, 1))));
}
