//! Opening a data folder: what was there, and what the log has that segments do not.

use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use spanwise_model::StoredSpan;

use super::shared::{Parts, remove_leftovers};
use super::{Checkpoint, Recovery, SetAside, Shared, Store};
use crate::bodies::{BodyMark, RecentBodies};
use crate::catalog::Catalog;
use crate::folder::Folder;
use crate::live::{Running, Writer};
use crate::query::Detail;
use crate::segment::{FORMAT_VERSION, Rows, Segment, SegmentError};
use crate::wal::{Logged, Recovered, Wal, recover};
use crate::{Config, Hooks, OpenError, Replay, committer, compact, seal};

pub(super) fn open(config: Config, replay: &Replay, hooks: Hooks) -> Result<Store, OpenError> {
    let started = Instant::now();
    let config = bounded(config);
    let folder = Folder::open(&config.dir)?;
    let catalog = Catalog::open(&folder.catalog(), hooks.clone(), config.repair)?;
    remove_leftovers(&folder, &catalog, config.repair)?;
    let Opened { segments, checkpoint, mut set_aside } = open_segments(&folder, &catalog)?;
    let mut bodies: Vec<_> = Vec::new();
    let log_mark = catalog.log_mark();
    let mut recovery = Recovery::default();
    let recovered = recover(&folder.wal(), log_mark, config.repair, |records| {
        bodies.extend(replay_all(&records, replay));
    })?;
    let mut recent = RecentBodies::default();
    for mark in catalog.bodies() {
        recent.insert(*mark);
    }
    report(&recovered, &mut set_aside);
    let Recovered { files, next_sequence, n_records, torn_bytes, .. } = recovered;
    let wal_files = Arc::new(files);
    recovery.bodies = n_records;
    recovery.torn_bytes = torn_bytes;
    recovery.rows = bodies.iter().map(|(_, _, rows)| rows.len() as u64).sum();
    recovery.took = started.elapsed();
    let wal = Wal::new(Arc::clone(&wal_files), next_sequence, config.durability, hooks.clone());
    let must_seal = config.repair && !set_aside.is_empty();
    let writer = Writer::new(log_mark);
    let shared = Arc::new(Shared::new(Parts {
        config,
        hooks,
        folder,
        catalog,
        segments,
        checkpoint,
        set_aside,
        writer,
        wal_files,
        recovery,
    }));
    for (sequence, mark, rows) in bodies {
        recent.insert(mark);
        shared.make_visible(sequence, mark, rows);
    }
    let store = start(shared, wal, recent)?;
    if must_seal && let Err(error) = store.seal() {
        tracing::error!(%error, "what was repaired is not sealed yet");
    }
    Ok(store)
}

/// Sealing begins well before appends are refused, whatever was configured; nothing is waited for
/// longer than it would be kept.
fn bounded(mut config: Config) -> Config {
    config.seal_spans = config.seal_spans.max(1);
    config.seal_bytes = config.seal_bytes.min(config.max_live_bytes / 2);
    config.running_for = config.running_for.min(config.retain_for.unwrap_or(Duration::MAX));
    config
}

/// The segments of a folder.
#[derive(Default)]
struct Opened {
    segments: Vec<Arc<Segment>>,
    checkpoint: Checkpoint,
    set_aside: Vec<SetAside>,
}

/// A damaged segment is set aside. One of another format is not: that is nearly always all of
/// them, and the wrong program.
fn open_segments(folder: &Folder, catalog: &Catalog) -> Result<Opened, OpenError> {
    let mut found = Opened::default();
    for (&id, meta) in catalog.segments() {
        let path = folder.segment(id);
        let opened = Segment::open(&path, meta.clone()).and_then(|segment| {
            if !meta.keeps_running {
                return Ok(Some(segment));
            }
            let running = running_of(&segment)?;
            found.checkpoint = Checkpoint { segment: Some(id), running: Arc::new(running) };
            Ok(None)
        });
        match opened {
            Ok(segment) => found.segments.extend(segment.map(Arc::new)),
            Err(SegmentError::Format(version)) => {
                let (found, known) =
                    (format!("segment {version}"), format!("segment {FORMAT_VERSION}"));
                return Err(OpenError::Format { path, found, known });
            }
            Err(error) => {
                tracing::error!(%error, "a damaged segment is not served");
                found.set_aside.push(SetAside { path, reason: error.to_string() });
            }
        }
    }
    Ok(found)
}

/// The spans that ran when the last generation was sealed.
fn running_of(segment: &Segment) -> Result<Running, SegmentError> {
    let mut running = Running::default();
    let rows = Rows::Range(0..segment.meta().n_rows);
    for row in segment.stored_spans(rows, Detail::Full)? {
        running.insert(Arc::new(row));
    }
    Ok(running)
}

fn report(recovered: &Recovered, set_aside: &mut Vec<SetAside>) {
    if recovered.torn_bytes > 0 {
        let bytes = recovered.torn_bytes;
        tracing::warn!(bytes, "a write to the log was cut short; it was never acknowledged");
    }
    for (path, reason) in &recovered.set_aside {
        tracing::error!(path = %path.display(), reason, "a damaged log file was copied aside");
        set_aside.push(SetAside { path: path.clone(), reason: reason.clone() });
    }
}

type Body = (u64, BodyMark, Vec<Arc<StoredSpan>>);

/// Makes the spans of logged bodies again, on all processors, in order.
fn replay_all(records: &[Logged], replay: &Replay) -> Vec<Body> {
    let n_threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let n_each = records.len().div_ceil(n_threads).max(1);
    let replay_each = |records: &[Logged]| -> Vec<Body> {
        let spans = |body| replay(body).into_iter().map(Arc::new).collect();
        records.iter().map(|r| (r.sequence, BodyMark::of(&r.body), spans(&r.body))).collect()
    };
    std::thread::scope(|scope| {
        let parts: Vec<_> = records
            .chunks(n_each)
            .map(|records| scope.spawn(move || replay_each(records)))
            .collect();
        let joined = parts.into_iter().map(|part| match part.join() {
            Ok(bodies) => bodies,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.flatten().collect()
    })
}

fn start(shared: Arc<Shared>, wal: Wal, recent: RecentBodies) -> Result<Store, OpenError> {
    let text_index = shared.config.text_index;
    let store = Store { shared, threads: Mutex::default() };
    store.spawn("store-log", move |shared| committer::run(shared, wal, recent))?;
    store.spawn("store-seal", seal::run)?;
    store.spawn("store-compact", compact::run)?;
    if text_index {
        store.spawn("store-text", compact::run_text_index)?;
    }
    Ok(store)
}

impl Store {
    fn spawn(
        &self,
        name: &str,
        work: impl FnOnce(&Shared) + Send + 'static,
    ) -> Result<(), OpenError> {
        let shared = Arc::clone(&self.shared);
        let thread: JoinHandle<()> =
            std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&shared))?;
        self.threads.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(thread);
        Ok(())
    }
}
