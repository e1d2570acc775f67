//! A snapshot shows each span exactly once, whatever is going on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use spanwise_store::Config;

use crate::batches::{append_all, config, open, rows, trace};

/// Spans are appended, sealed and merged while others look: what was acknowledged before a look
/// is there, and nothing is there twice.
#[test]
fn spans_are_seen_exactly_once_while_they_are_sealed_and_merged() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { seal_spans: 8, ..config(dir.path()) };
    let store = open(config).unwrap();
    let (acknowledged, done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    let known = acknowledged.load(Ordering::Acquire);
                    let rows = rows(&store);
                    assert!(rows.values().all(|&times| times == 1), "{rows:?}");
                    assert!((1..=known).all(|span| rows.contains_key(&(1, span))), "{known}");
                    let of_trace = trace(&store, 1);
                    assert!(of_trace.windows(2).all(|pair| pair[0] + 1 == pair[1]));
                    assert!(of_trace.len() as u64 >= known);
                }
            });
        }
        for span in 1..=300 {
            append_all(&store, &[(1, span)]);
            acknowledged.store(span, Ordering::Release);
        }
        store.seal().unwrap();
        done.store(true, Ordering::Release);
    });
    assert_eq!(rows(&store).len(), 300);
}

#[test]
fn a_snapshot_stays_readable_when_its_segments_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path())).unwrap();
    for at in 1..=7 {
        append_all(&store, &[(at, 1)]);
        store.seal().unwrap();
    }
    let snapshot = store.snapshot();
    append_all(&store, &[(8, 1)]);
    store.seal().unwrap();
    while store.status().segments >= 8 {
        std::thread::yield_now();
    }
    for segment in &snapshot.segments {
        segment.verify().unwrap();
    }
}

#[tokio::test]
async fn subscribers_get_what_becomes_visible() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path())).unwrap();
    let mut events = store.subscribe();
    let body = crate::batches::body(&[(1, 1), (1, 2)]);
    let spans = crate::batches::spans(&body);
    store.append(body, spans).await.unwrap();
    let batch = events.recv().await.unwrap();
    assert_eq!(batch.len(), 2);
    assert_eq!(trace(&store, 1), [1, 2]);
}
