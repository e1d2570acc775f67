//! What the threads of a store share.
//!
//! Locks are taken in the order in which they are declared, and none is held while waiting for
//! the disk, but for the catalog's.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use spanwise_model::StoredSpan;
use tokio::sync::broadcast;

use super::{Recovery, SealError, SetAside, Snapshot, Status};
use crate::bodies::BodyMark;
use crate::catalog::{Catalog, Edit};
use crate::committer::Queue;
use crate::compact::Bell;
use crate::folder::Folder;
use crate::live::{Generation, Running, View, Writer};
use crate::query::QueryError;
use crate::seal::{SealQueue, guarded};
use crate::segment::Segment;
use crate::wal::Files;
use crate::{AppendError, Config, Hooks, disk};

/// How many batches a slow subscriber may be behind before it misses some.
const SUBSCRIBER_BATCHES: usize = 1024;
/// How long an answer about free space holds.
const FREE_SPACE_VALID: Duration = Duration::from_secs(1);
/// When a client should try again while too much waits to be sealed.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Running spans take this part of the memory for live spans at most.
const RUNNING_PART: usize = 4;
/// With an age to keep, segments of this part of it at most are merged.
const RETENTION_STEPS: u32 = 30;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) hooks: Hooks,
    pub(crate) folder: Folder,
    pub(crate) queue: Queue,
    pub(crate) seal_queue: SealQueue,
    pub(crate) compaction: Bell,
    pub(crate) wal_files: Arc<Files>,
    pub(crate) recovery: Recovery,
    pub(crate) subscribers: broadcast::Sender<Arc<[Arc<StoredSpan>]>>,
    writer: Mutex<Writer>,
    catalog: Mutex<Catalog>,
    checkpoint: Mutex<Checkpoint>,
    visible: RwLock<Visible>,
    /// Segments that the catalog has dropped, until their last reader is gone.
    retired: Mutex<Vec<Arc<Segment>>>,
    set_aside: Mutex<Vec<SetAside>>,
    free_space: Mutex<Option<(Instant, u64)>>,
    poisoned: OnceLock<String>,
    verifying: AtomicBool,
}

/// What a snapshot is taken of.
#[derive(Debug, Default)]
struct Visible {
    /// Oldest first; the last one takes spans.
    generations: Vec<Arc<Generation>>,
    /// Spans that have not ended, wherever they were logged.
    running: Arc<Running>,
    /// Oldest first.
    segments: Vec<Arc<Segment>>,
}

/// The running spans as the last seal wrote them down.
#[derive(Debug, Default)]
pub(crate) struct Checkpoint {
    /// The segment that holds them, if there were any.
    pub(crate) segment: Option<u64>,
    pub(crate) running: Arc<Running>,
}

/// What opening a folder gives.
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) hooks: Hooks,
    pub(super) folder: Folder,
    pub(super) catalog: Catalog,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) checkpoint: Checkpoint,
    pub(super) set_aside: Vec<SetAside>,
    pub(super) writer: Writer,
    pub(super) wal_files: Arc<Files>,
    pub(super) recovery: Recovery,
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Self {
        let mut visible = Visible::default();
        visible.generations.push(Arc::clone(parts.writer.active()));
        visible.running = Arc::clone(&parts.checkpoint.running);
        visible.segments = parts.segments;
        sort(&mut visible.segments);
        Shared {
            config: parts.config,
            hooks: parts.hooks,
            folder: parts.folder,
            queue: Queue::default(),
            seal_queue: SealQueue::default(),
            compaction: Bell::default(),
            wal_files: parts.wal_files,
            recovery: parts.recovery,
            subscribers: broadcast::Sender::new(SUBSCRIBER_BATCHES),
            writer: Mutex::new(parts.writer),
            catalog: Mutex::new(parts.catalog),
            checkpoint: Mutex::new(parts.checkpoint),
            visible: RwLock::new(visible),
            retired: Mutex::default(),
            set_aside: Mutex::new(parts.set_aside),
            free_space: Mutex::default(),
            poisoned: OnceLock::new(),
            verifying: AtomicBool::new(false),
        }
    }

    pub(crate) fn catalog(&self) -> MutexGuard<'_, Catalog> {
        lock(&self.catalog)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let visible = self.visible.read().unwrap_or_else(PoisonError::into_inner);
        let live = View::of(&visible.generations, Arc::clone(&visible.running));
        Snapshot { live, segments: visible.segments.clone() }
    }

    /// The running spans as they are now.
    fn running(&self) -> Arc<Running> {
        let visible = self.visible.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&visible.running)
    }

    /// The running spans that are in no segment once this generation is sealed.
    pub(crate) fn running_beside(&self, sealed: u64) -> Arc<Running> {
        let visible = self.visible.read().unwrap_or_else(PoisonError::into_inner);
        let mut running = Arc::clone(&visible.running);
        let later = visible.generations.iter().filter(|generation| generation.number() != sealed);
        for row in later.flat_map(|generation| generation.given_up()) {
            Arc::make_mut(&mut running).insert(Arc::clone(row));
        }
        running
    }

    pub(crate) fn checkpoint(&self) -> MutexGuard<'_, Checkpoint> {
        lock(&self.checkpoint)
    }

    /// The segments that are served, oldest first.
    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.visible.read().unwrap_or_else(PoisonError::into_inner).segments.clone()
    }

    fn change_visible<T>(&self, change: impl FnOnce(&mut Visible) -> T) -> T {
        change(&mut self.visible.write().unwrap_or_else(PoisonError::into_inner))
    }

    // Taking spans.

    /// Whether a body may be taken now.
    pub(crate) fn admit(&self) -> Result<(), AppendError> {
        if let Some(reason) = self.poisoned() {
            return Err(AppendError::LogFailed(reason));
        }
        let live_bytes = self.live_bytes() + self.queue.live_bytes();
        if live_bytes > self.config.max_live_bytes {
            return Err(match self.seal_queue.last_failure() {
                // The reason may name our files, which is no business of senders.
                Some(_) => AppendError::DiskRefused { reason: "sealing fails, see the log".into() },
                None => AppendError::Overloaded { live_bytes, retry_after: RETRY_AFTER },
            });
        }
        let free_bytes = self.free_bytes();
        if free_bytes < self.config.min_free_bytes {
            let min_free_bytes = self.config.min_free_bytes;
            return Err(AppendError::DiskFull { free_bytes, min_free_bytes });
        }
        Ok(())
    }

    /// How much room the disk has; an answer is used for a while. An unknown answer is as good as
    /// enough: a write will tell.
    fn free_bytes(&self) -> u64 {
        let mut cached = lock(&self.free_space);
        if let Some((asked, free_bytes)) = *cached
            && asked.elapsed() < FREE_SPACE_VALID
        {
            return free_bytes;
        }
        let free_bytes = self.hooks.free_bytes(self.folder.dir()).unwrap_or(u64::MAX);
        *cached = Some((Instant::now(), free_bytes));
        free_bytes
    }

    fn live_bytes(&self) -> usize {
        let visible = self.visible.read().unwrap_or_else(PoisonError::into_inner);
        visible.generations.iter().map(|generation| generation.bytes()).sum()
    }

    /// Puts the rows of a logged body into the live index and tells the subscribers. Returns how
    /// many were not there already.
    pub(crate) fn make_visible(
        &self,
        sequence: u64,
        mark: BodyMark,
        rows: Vec<Arc<StoredSpan>>,
    ) -> usize {
        let mut writer = lock(&self.writer);
        // Only those who hold the writer change what runs.
        let arrival = writer.sort_out(rows, &self.running(), |row| self.is_sealed(row));
        if arrival.concerns_running() {
            // In one step: a span that ends is not seen twice, and not for a moment nowhere.
            self.change_visible(|visible| {
                writer.publish(&arrival);
                arrival.apply(Arc::make_mut(&mut visible.running));
            });
        } else {
            writer.publish(&arrival);
        }
        writer.took(sequence, mark);
        let taken = arrival.taken;
        let active = writer.active();
        if active.len() >= self.config.seal_spans || active.bytes() >= self.config.seal_bytes {
            self.rotate_locked(&mut writer);
        }
        drop(writer);
        let n_taken = taken.len();
        if n_taken > 0 && self.subscribers.receiver_count() > 0 {
            // An error says that the last subscriber has just left.
            let _ = self.subscribers.send(taken.into());
        }
        n_taken
    }

    /// Whether a span that is said to run is in a segment: it has ended, or was given up. A segment
    /// that cannot be read does not say so.
    fn is_sealed(&self, row: &StoredSpan) -> bool {
        let start = row.span.start_time_unix_nano;
        self.segments().iter().any(|segment| {
            let meta = segment.meta();
            (meta.min_start..=meta.max_start).contains(&start)
                && matches!(
                    segment.has_span(&row.project, row.span.trace_id, row.span.span_id),
                    Ok(true)
                )
        })
    }

    /// Why nothing more is taken, if so.
    pub(crate) fn poisoned(&self) -> Option<String> {
        self.poisoned.get().cloned()
    }

    /// Takes nothing more until the folder is opened again.
    pub(crate) fn poison(&self, error: &std::io::Error) {
        if self.poisoned.set(error.to_string()).is_ok() {
            tracing::error!(%error, "the write-ahead log failed; nothing more is taken");
        }
    }

    // Sealing.

    /// Closes the generation that takes spans, if it has any, for sealing.
    pub(crate) fn rotate(&self) {
        self.rotate_locked(&mut lock(&self.writer));
    }

    /// Closes it if it has waited long enough.
    pub(crate) fn rotate_if_due(&self) {
        let mut writer = lock(&self.writer);
        if writer.active().is_due(now_unix_nano(), self.config.seal_after) {
            self.rotate_locked(&mut writer);
        }
    }

    fn rotate_locked(&self, writer: &mut Writer) {
        // A generation without spans may still hold records: of spans that were there already.
        if writer.active().first_received_unix_nano().is_none() {
            return;
        }
        self.give_up_lost(writer);
        let (closed, next) = writer.rotate();
        self.change_visible(|visible| visible.generations.push(next));
        self.seal_queue.push(closed);
    }

    /// Running spans that are not waited for any longer are sealed as they are.
    fn give_up_lost(&self, writer: &Writer) {
        let before = now_unix_nano().saturating_sub(self.config.running_for.as_nanos() as u64);
        let max_bytes = self.config.max_live_bytes / RUNNING_PART;
        let lost = self.running().lost(before, max_bytes);
        if !lost.is_empty() {
            self.change_visible(|visible| {
                writer.give_up(Arc::make_mut(&mut visible.running), lost);
            });
        }
    }

    /// Shows a segment in place of the generation it was made of, in one step.
    pub(crate) fn replace_generation(&self, number: u64, segment: Option<Arc<Segment>>) {
        let gone = self.change_visible(|visible| {
            visible.segments.extend(segment);
            sort(&mut visible.segments);
            let at = visible.generations.iter().position(|part| part.number() == number);
            at.map(|at| visible.generations.remove(at))
        });
        // Freeing many spans takes a while, and nobody need wait for it.
        drop(gone);
        lock(&self.writer).forget(number);
    }

    /// Whether sealing cannot keep up, so that background work should wait.
    pub(crate) fn is_backlogged(&self) -> bool {
        self.seal_queue.len() > 1 || self.live_bytes() > self.config.max_live_bytes / 2
    }

    // Segments.

    /// Commits `edit` together with the removal of `gone`, and shows `new` in their place. Fails
    /// if one of them is not there any more.
    pub(crate) fn swap_segments(
        &self,
        gone: &[Arc<Segment>],
        new: Option<Arc<Segment>>,
        edit: Edit,
    ) -> Result<(), SealError> {
        let mut catalog = self.catalog();
        let is_gone = |segment: &Arc<Segment>| gone.iter().any(|other| Arc::ptr_eq(segment, other));
        if self.segments().iter().filter(|segment| is_gone(segment)).count() != gone.len() {
            return Err(SealError("a segment was dropped while it was merged".to_owned()));
        }
        let ids = gone.iter().filter_map(|segment| id_of(segment)).collect();
        catalog.commit(Edit { remove: ids, ..edit })?;
        self.change_visible(|visible| {
            visible.segments.retain(|segment| !is_gone(segment));
            visible.segments.extend(new);
            sort(&mut visible.segments);
        });
        drop(catalog);
        lock(&self.retired).extend(gone.iter().cloned());
        Ok(())
    }

    /// Removes the files of dropped segments that nobody reads any more. A crash leaves them to
    /// the next opening.
    pub(crate) fn remove_retired(&self) {
        let (free, used): (Vec<_>, Vec<_>) = std::mem::take(&mut *lock(&self.retired))
            .into_iter()
            .partition(|segment| Arc::strong_count(segment) == 1);
        lock(&self.retired).extend(used);
        for segment in free {
            if let Err(error) = disk::remove_dir(segment.dir()) {
                tracing::warn!(%error, "a dropped segment was not removed");
            }
        }
    }

    /// Reads segments in full and stops serving those that are damaged. Returns whether any is.
    pub(crate) fn set_damaged_aside(&self, segments: &[Arc<Segment>]) -> bool {
        let mut any = false;
        for segment in segments {
            let Err(error) = guarded(|| segment.verify()) else { continue };
            let is_same = |other: &Arc<Segment>| Arc::ptr_eq(segment, other);
            let served = self.change_visible(|visible| {
                let served = visible.segments.iter().any(is_same);
                visible.segments.retain(|other| !is_same(other));
                served
            });
            if served {
                any = true;
                tracing::error!(%error, "a damaged segment is not served any more");
                let path = segment.dir().to_owned();
                lock(&self.set_aside).push(SetAside { path, reason: error.to_string() });
            }
        }
        any
    }

    /// Answers a query. When a file cannot be read, damaged segments are set aside and the query
    /// is answered from the others.
    pub(crate) fn query<T>(
        &self,
        query: impl Fn(&Snapshot) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let snapshot = self.snapshot();
        let failed = match query(&snapshot) {
            Err(QueryError::Storage(reason)) => reason,
            answer => return answer,
        };
        // Reading everything is slow: one query does it, the others report what they met.
        if self.verifying.swap(true, Ordering::AcqRel) {
            return Err(QueryError::Storage(failed));
        }
        let any = self.set_damaged_aside(&snapshot.segments);
        self.verifying.store(false, Ordering::Release);
        if any { query(&self.snapshot()) } else { Err(QueryError::Storage(failed)) }
    }

    /// How far apart in time segments may be received and still be merged.
    pub(crate) fn merge_window_ns(&self) -> Option<u64> {
        self.config.retain_for.map(|age| (age / RETENTION_STEPS).as_nanos() as u64)
    }

    pub(crate) fn status(&self) -> Status {
        let snapshot = self.snapshot();
        let metas = || snapshot.segments.iter().map(|segment| segment.meta());
        let unindexed: Vec<_> = if self.config.text_index {
            snapshot.segments.iter().filter(|segment| segment.wants_text_index()).collect()
        } else {
            Vec::new()
        };
        let waiting = unindexed.iter().map(|segment| segment.meta().min_start);
        let live = snapshot.live.waiting().map(|row| row.span.start_time_unix_nano);
        let newest = metas().map(|meta| meta.max_start.saturating_add(1)).max();
        Status {
            wal_bytes: self.wal_files.used_bytes(),
            live_rows: snapshot.live.len() - snapshot.live.n_running(),
            running_spans: snapshot.live.n_running(),
            live_bytes: self.live_bytes(),
            sealing: self.seal_queue.len(),
            segments: snapshot.segments.len(),
            segment_rows: metas().map(|meta| u64::from(meta.n_rows)).sum(),
            segment_bytes: metas().map(|meta| meta.bytes).sum(),
            text_pending_rows: unindexed.iter().map(|s| u64::from(s.meta().n_rows)).sum(),
            indexed_up_to_unix_nano: waiting.chain(live).min().or(newest),
            free_bytes: self.free_bytes(),
            poisoned: self.poisoned(),
            seal_failure: self.seal_queue.last_failure(),
            set_aside: lock(&self.set_aside).clone(),
            recovery: self.recovery,
        }
    }
}

/// The folders of segments that a catalog does not name are left over from a crash; where the
/// catalog itself may have been damaged they are kept under another name.
pub(super) fn remove_leftovers(
    folder: &Folder,
    catalog: &Catalog,
    keep: bool,
) -> std::io::Result<()> {
    let known: BTreeSet<String> =
        catalog.segments().keys().map(|id| format!("{id:016x}")).collect();
    for name in disk::names(&folder.segments())? {
        let is_id = name.len() == 16 && u64::from_str_radix(&name, 16).is_ok();
        if !is_id || known.contains(&name) {
            continue;
        }
        let path = folder.segments().join(name);
        if keep {
            disk::rename(&path, &path.with_extension("orphan"))?;
        } else {
            disk::remove_dir(&path)?;
        }
    }
    Ok(())
}

fn id_of(segment: &Segment) -> Option<u64> {
    u64::from_str_radix(segment.dir().file_name()?.to_str()?, 16).ok()
}

fn sort(segments: &mut [Arc<Segment>]) {
    segments.sort_by_key(|segment| (segment.meta().max_start, id_of(segment)));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn now_unix_nano() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64)
}
