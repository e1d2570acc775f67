//! What the store refuses, and how it says so.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use spanwise_store::{AppendError, Config, Hooks, OpenError, Store};

use crate::batches::{append, append_all, check, config, open, open_with, trace};

#[test]
fn a_second_store_on_the_same_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path())).unwrap();
    let refused = open(config(dir.path())).unwrap_err();
    assert!(
        matches!(refused, OpenError::Locked { pid: Some(pid), .. } if pid == std::process::id())
    );
    assert!(refused.to_string().contains("in use by another spanwise process"), "{refused}");
    drop(store);
    open(config(dir.path())).unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let refused = open(config(&path)).unwrap_err();
        assert!(matches!(refused, OpenError::NotWritable { .. }), "{refused:?}");
        assert!(refused.to_string().contains("cannot be written"), "{refused}");
    }
}

#[test]
fn a_folder_of_another_version_is_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(config(dir.path())).unwrap());
    for (format, advice) in [
        ("spanwise-store 2", "a newer spanwise wrote it"),
        ("spanwise-store 0", "an older spanwise wrote it"),
        ("leveldb 7", "it is no data folder of spanwise"),
        ("", "it is no data folder of spanwise"),
    ] {
        std::fs::write(dir.path().join("format"), format).unwrap();
        let refused = open(config(dir.path())).unwrap_err().to_string();
        assert!(refused.contains(&format!("`{format}`")) && refused.contains(advice), "{refused}");
    }
}

#[test]
fn a_log_of_another_version_is_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path())).unwrap();
    append_all(&store, &[(1, 1)]);
    drop(store);
    let log = std::fs::read_dir(dir.path().join("wal")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[8] = 2;
    std::fs::write(&log, &bytes).unwrap();
    let refused = open(config(dir.path())).unwrap_err().to_string();
    assert!(refused.contains("`log 2`") && refused.contains("a newer spanwise"), "{refused}");
    bytes[8] = 1;
    std::fs::write(&log, &bytes).unwrap();
    check(&open(config(dir.path())).unwrap(), [(1, 1)]);
}

#[test]
fn a_full_disk_refuses_writes_and_answers_queries() {
    let dir = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(1000));
    let seen = Arc::clone(&free);
    let hooks = Hooks::default().with_free_bytes(move |_| Ok(seen.load(Ordering::Relaxed)));
    let config = Config { min_free_bytes: 2000, ..config(dir.path()) };
    let store = open_with(config, hooks);
    let refused = append(&store, &[(1, 1)]);
    assert!(matches!(
        refused,
        Err(AppendError::DiskFull { free_bytes: 1000, min_free_bytes: 2000 })
    ));
    assert_eq!(trace(&store, 1), [0; 0]);
}

#[test]
fn a_log_that_meets_a_full_disk_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&full);
    let hooks = Hooks::default().with_step(move |step| {
        let fails = step == "wal.write" && seen.load(Ordering::Relaxed);
        if fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    });
    let store = open_with(config(dir.path()), hooks);
    append_all(&store, &[(1, 1)]);
    full.store(true, Ordering::Relaxed);
    let refused = append(&store, &[(1, 2)]).unwrap_err();
    assert!(matches!(refused, AppendError::DiskRefused { .. }), "{refused:?}");
    assert!(refused.to_string().contains("no storage space"), "{refused}");
    full.store(false, Ordering::Relaxed);
    append_all(&store, &[(1, 2)]);
    assert_eq!(store.status().poisoned, None);
    drop(store);
    check(&open(config(dir.path())).unwrap(), [(1, 1), (1, 2)]);
}

#[test]
fn after_a_failed_sync_nothing_is_taken_but_queries_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&fails);
    let hooks = Hooks::default().with_step(move |step| {
        let fails = step == "wal.sync" && seen.load(Ordering::Relaxed);
        if fails { Err(io::Error::other("the disk is gone")) } else { Ok(()) }
    });
    let store = open_with(config(dir.path()), hooks);
    append_all(&store, &[(1, 1)]);
    fails.store(true, Ordering::Relaxed);
    assert!(matches!(append(&store, &[(1, 2)]), Err(AppendError::LogFailed(_))));
    fails.store(false, Ordering::Relaxed);
    assert!(matches!(append(&store, &[(1, 3)]), Err(AppendError::LogFailed(_))));
    assert!(store.status().poisoned.unwrap().contains("the disk is gone"));
    assert_eq!(trace(&store, 1), [1]);
    drop(store);
    let store = open(config(dir.path())).unwrap();
    assert!(trace(&store, 1).contains(&1));
    append(&store, &[(1, 3)]).unwrap();
}

#[test]
fn too_much_that_waits_to_be_sealed_is_refused_and_taken_later() {
    const HANGS: usize = 0;
    const FAILS: usize = 1;
    const WORKS: usize = 2;
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(AtomicUsize::new(HANGS));
    let seen = Arc::clone(&disk);
    let hooks = Hooks::default().with_step(move |step| {
        while step == "segment.write" && seen.load(Ordering::Relaxed) == HANGS {
            std::thread::yield_now();
        }
        let fails = step == "segment.write" && seen.load(Ordering::Relaxed) == FAILS;
        if fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    });
    let config = Config { max_live_bytes: 64 << 10, ..config(dir.path()) };
    let store = open_with(config, hooks);
    let mut taken = vec![];
    let refused = loop {
        let number = (1, taken.len() as u64 + 1);
        match append(&store, &[number]) {
            Ok(_) => taken.push(number),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(
        refused,
        AppendError::Overloaded { live_bytes, retry_after }
            if live_bytes > 64 << 10 && !retry_after.is_zero()
    ));
    disk.store(FAILS, Ordering::Relaxed);
    assert!(store.seal().is_err());
    assert!(store.status().seal_failure.is_some());
    let refused = append(&store, &[(3, 1)]);
    assert!(matches!(refused, Err(AppendError::DiskRefused { .. })), "{refused:?}");
    disk.store(WORKS, Ordering::Relaxed);
    while store.status().sealing > 0 {
        std::thread::yield_now();
    }
    append_all(&store, &[(2, 1)]);
    taken.push((2, 1));
    check(&store, taken);
}

/// There is always more to seal than merging has time to wait for: a generation for every span,
/// all of them before the first one is sealed.
#[test]
fn a_writer_that_never_pauses_does_not_pile_up_segments() {
    const SPANS: u64 = 160;
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<OnceLock<Weak<Store>>> = Arc::default();
    let (may_seal, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let hooks = Hooks::default().with_step({
        let (store, may_seal, most) = (store.clone(), may_seal.clone(), most.clone());
        move |step| {
            while step == "seal.commit" && !may_seal.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            if let Some(store) = store.get().and_then(Weak::upgrade) {
                most.fetch_max(store.snapshot().segments.len(), Ordering::Relaxed);
            }
            Ok(())
        }
    });
    let opened = Arc::new(open_with(Config { seal_spans: 1, ..config(dir.path()) }, hooks));
    store.set(Arc::downgrade(&opened)).unwrap();
    for span in 1..=SPANS {
        append_all(&opened, &[(span % 7 + 1, span)]);
    }
    may_seal.store(true, Ordering::Release);
    opened.seal().unwrap();
    // Before it is dropped, or one of its own threads might be the last to have it.
    opened.close();
    let most = most.load(Ordering::Relaxed);
    assert!(most <= 64, "{most} segments at once");
    check(&opened, (1..=SPANS).map(|span| (span % 7 + 1, span)));
}

#[test]
fn a_closed_store_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path())).unwrap();
    store.close();
    assert!(matches!(append(&store, &[(1, 1)]), Err(AppendError::Closed)));
    store.close();
}

#[test]
fn a_body_without_spans_is_not_logged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(config(dir.path())).unwrap();
    append(&store, &[]).unwrap();
    assert_eq!(store.status().wal_bytes, 0);
}
