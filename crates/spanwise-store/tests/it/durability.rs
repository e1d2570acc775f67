//! What was acknowledged is there after the store is opened again, once.

use std::sync::Arc;
use std::time::Duration;

use spanwise_store::{Appended, Config, Durability};

use crate::batches::{append, append_all, check, config, open, trace};

#[test]
fn an_acknowledged_span_is_visible_and_survives_closing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path())).unwrap();
    append_all(&store, &[(1, 2), (1, 1), (2, 1)]);
    assert_eq!(trace(&store, 1), [1, 2]);
    assert_eq!(trace(&store, 3), [0; 0]);
    drop(store);
    let store = open(config(dir.path())).unwrap();
    assert_eq!((store.status().recovery.bodies, store.status().recovery.rows), (1, 3));
    check(&store, [(1, 2), (1, 1), (2, 1)]);
}

#[test]
fn sealed_spans_are_in_a_segment_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path())).unwrap();
    append_all(&store, &[(1, 1), (1, 2)]);
    store.seal().unwrap();
    append_all(&store, &[(1, 3)]);
    let status = store.status();
    assert_eq!((status.segments, status.segment_rows, status.live_rows), (1, 2, 1));
    assert_eq!(trace(&store, 1), [1, 2, 3]);
    drop(store);
    let store = open(config(dir.path())).unwrap();
    assert_eq!(store.status().recovery.rows, 1);
    check(&store, [(1, 1), (1, 2), (1, 3)]);
    store.seal().unwrap();
    store.seal().unwrap();
    assert_eq!(store.status().segments, 2);
}

#[test]
fn every_durability_survives_a_restart() {
    for durability in [Durability::Fsync, Durability::Interval, Durability::Off] {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { durability, ..config(dir.path()) };
        let store = open(config.clone()).unwrap();
        (1..20).for_each(|span| append_all(&store, &[(1, span)]));
        drop(store);
        check(&open(config).unwrap(), (1..20).map(|span| (1, span)));
    }
}

#[test]
fn the_same_body_again_is_repeated_live_sealed_and_after_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path())).unwrap();
    append_all(&store, &[(1, 1), (1, 2)]);
    assert_eq!(append(&store, &[(1, 1), (1, 2)]).unwrap(), Appended::Repeated);
    drop(store);
    let store = open(config(dir.path())).unwrap();
    assert_eq!(append(&store, &[(1, 1), (1, 2)]).unwrap(), Appended::Repeated);
    store.seal().unwrap();
    assert_eq!(append(&store, &[(1, 1), (1, 2)]).unwrap(), Appended::Repeated);
    drop(store);
    let store = open(config(dir.path())).unwrap();
    assert_eq!(append(&store, &[(1, 1), (1, 2)]).unwrap(), Appended::Repeated);
    check(&store, [(1, 1), (1, 2)]);
}

#[test]
fn a_span_that_is_there_is_not_taken_again_in_another_body() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path())).unwrap();
    append_all(&store, &[(1, 1)]);
    let appended = append(&store, &[(1, 1), (1, 2)]).unwrap();
    assert_eq!(appended, Appended::New { spans: 1, duplicates: 1 });
    drop(store);
    check(&open(config(dir.path())).unwrap(), [(1, 1), (1, 2)]);
}

/// A batch that differs from one that has been sealed is stored, and read, with each span once.
#[test]
fn a_trace_is_read_with_each_span_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path())).unwrap();
    append_all(&store, &[(1, 1)]);
    store.seal().unwrap();
    append_all(&store, &[(1, 1), (1, 2)]);
    assert_eq!(trace(&store, 1), [1, 2]);
}

#[test]
fn many_retries_at_once_store_a_body_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(config(dir.path())).unwrap());
    for round in 1..20 {
        let taken: usize = std::thread::scope(|scope| {
            let append = || match append(&store, &[(round, 1), (round, 2)]).unwrap() {
                Appended::New { spans, .. } => spans,
                Appended::Repeated => 0,
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(append)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 2);
    }
    check(&store, (1..20).flat_map(|round| [(round, 1), (round, 2)]));
}

#[test]
fn generations_are_sealed_by_number_and_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { seal_spans: 10, seal_after: Duration::ZERO, ..config(dir.path()) };
    let store = open(config).unwrap();
    (1..=25).for_each(|span| append_all(&store, &[(1, span)]));
    store.seal().unwrap();
    assert!(store.status().segments >= 3);
    assert_eq!(store.status().live_rows, 0);
    assert_eq!(trace(&store, 1), (1..=25).collect::<Vec<_>>());
}

/// Many small segments become few, and nothing is lost or doubled on the way.
#[test]
fn small_segments_are_merged_in_the_background() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path())).unwrap();
    for at in 1..=24 {
        append_all(&store, &[(at, 1), (100, at)]);
        store.seal().unwrap();
    }
    while store.status().segments >= 8 {
        std::thread::yield_now();
    }
    let expected = || (1..=24).flat_map(|at| [(at, 1), (100, at)]);
    check(&store, expected());
    drop(store);
    let store = open(config(dir.path())).unwrap();
    check(&store, expected());
    assert_eq!(trace(&store, 100), (1..=24).collect::<Vec<_>>());
    let folders = std::fs::read_dir(dir.path().join("segments")).unwrap().count();
    assert_eq!(folders, store.status().segments);
}

#[test]
fn old_segments_are_dropped_when_there_is_too_much() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path())).unwrap();
    for at in 1..=3 {
        append_all(&store, &[(at, 1)]);
        store.seal().unwrap();
    }
    let bytes = store.status().segment_bytes;
    drop(store);
    let config = Config { retain_bytes: Some(bytes / 3 * 2 + 8), ..config(dir.path()) };
    let store = open(config).unwrap();
    while store.status().segments != 2 {
        std::thread::yield_now();
    }
    check(&store, [(2, 1), (3, 1)]);
}
