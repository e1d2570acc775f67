//! The one thread that writes the log: takes all that waits, writes it with one write and one
//! sync, makes it visible, and only then tells those who wait. It never lingers to make a group
//! larger: while one group is being synced the next one gathers by itself.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use spanwise_model::StoredSpan;
use std::sync::Arc;
use tokio::sync::oneshot;

use crate::bodies::{BodyMark, RecentBodies};
use crate::store::Shared;
use crate::wal::{Wal, WalError};
use crate::{AppendError, Appended, LoggedBody};

/// How many bytes go into one group at most, so that its first waiter does not wait for ever.
const MAX_GROUP_BYTES: usize = 32 << 20;

/// A body that waits to be logged.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) body: LoggedBody,
    pub(crate) mark: BodyMark,
    pub(crate) rows: Vec<Arc<StoredSpan>>,
    pub(crate) live_bytes: usize,
    pub(crate) reply: oneshot::Sender<Result<Appended, AppendError>>,
}

/// Bodies that wait to be logged, first come first served.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    pending: Vec<Pending>,
    /// What the rows of `pending` will take in the live index.
    live_bytes: usize,
    closed: bool,
}

impl Queue {
    /// Adds a body; gives it back when the queue is closed.
    pub(crate) fn push(&self, pending: Pending) -> Result<(), Box<Pending>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Box::new(pending));
        }
        state.live_bytes += pending.live_bytes;
        state.pending.push(pending);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// How much what waits will take in the live index.
    pub(crate) fn live_bytes(&self) -> usize {
        self.lock().live_bytes
    }

    /// Takes no more bodies; those that wait are still logged.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Waits for bodies, at most as long as said, and takes a group of them. `None` when the
    /// queue is closed and empty.
    fn take(&self, at_most: Option<Duration>) -> Option<Vec<Pending>> {
        let mut state = self.lock();
        while state.pending.is_empty() {
            if state.closed {
                return None;
            }
            let Some(at_most) = at_most else {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = self.wake.wait_timeout(state, at_most);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            break;
        }
        let mut bytes = 0;
        let fits = |pending: &&Pending| {
            bytes += pending.body.body.len();
            bytes <= MAX_GROUP_BYTES
        };
        let n_fitting = state.pending.iter().take_while(fits).count().max(1);
        let n_taken = n_fitting.min(state.pending.len());
        let group: Vec<_> = state.pending.drain(..n_taken).collect();
        state.live_bytes -= group.iter().map(|pending| pending.live_bytes).sum::<usize>();
        Some(group)
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs what comes until the queue is closed.
pub(crate) fn run(shared: &Shared, mut wal: Wal, mut recent: RecentBodies) {
    while let Some(group) = shared.queue.take(wal.sync_due_in()) {
        commit(shared, &mut wal, &mut recent, group);
        if let Err(error) = wal.sync_if_due() {
            fail(shared, &error);
        }
    }
    if let Err(error) = wal.sync() {
        fail(shared, &error);
    }
}

fn commit(shared: &Shared, wal: &mut Wal, recent: &mut RecentBodies, group: Vec<Pending>) {
    // A body that was logged before, or stands in this group already, shares the group's fate:
    // its first copy may be what is being made durable right now.
    let (fresh, repeated): (Vec<_>, Vec<_>) =
        group.into_iter().partition(|pending| recent.insert(pending.mark));
    match log(shared, wal, &fresh) {
        Ok(first_sequence) => {
            for (sequence, pending) in (first_sequence..).zip(fresh) {
                let n_rows = pending.rows.len();
                let taken = shared.make_visible(sequence, pending.mark, pending.rows);
                let appended = Appended::New { spans: taken, duplicates: n_rows - taken };
                answer(pending.reply, Ok(appended));
            }
            for pending in repeated {
                answer(pending.reply, Ok(Appended::Repeated));
            }
        }
        Err(error) => {
            let marks: Vec<_> = fresh.iter().map(|pending| pending.mark).collect();
            recent.remove_newest(&marks);
            for pending in fresh.into_iter().chain(repeated) {
                answer(pending.reply, Err(refusal(&error)));
            }
        }
    }
}

fn log(shared: &Shared, wal: &mut Wal, fresh: &[Pending]) -> Result<u64, WalError> {
    if let Some(reason) = shared.poisoned() {
        return Err(WalError::Failed(std::io::Error::other(reason)));
    }
    if fresh.is_empty() {
        // With a laxer durability there may be nothing to wait for, and that is what was asked.
        return Ok(0);
    }
    let bodies: Vec<_> = fresh.iter().map(|pending| &pending.body).collect();
    wal.append(&bodies).inspect_err(|error| fail(shared, error))
}

fn fail(shared: &Shared, error: &WalError) {
    match error {
        WalError::Refused(error) => tracing::warn!(%error, "a batch was refused by the disk"),
        WalError::Failed(error) => shared.poison(error),
    }
}

/// What the sender is told: the reason, but not where our files are.
fn refusal(error: &WalError) -> AppendError {
    match error {
        WalError::Refused(error) => AppendError::DiskRefused { reason: error.kind().to_string() },
        WalError::Failed(error) => AppendError::LogFailed(error.to_string()),
    }
}

fn answer(
    reply: oneshot::Sender<Result<Appended, AppendError>>,
    outcome: Result<Appended, AppendError>,
) {
    // Whoever asked may be gone; what was logged stays logged.
    let _ = reply.send(outcome);
}
