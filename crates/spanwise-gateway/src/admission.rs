//! How many requests may be under way, and how long others wait for their turn.
//!
//! One [`Admission`] is shared by all threads. Those who wait are served in the order in which
//! they came. Whoever cannot be served in time is told at once or when its time is over, never
//! later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::config;

#[cfg(test)]
mod tests;

/// How much is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionPolicy {
    /// Requests that may be under way at once.
    pub max_in_flight: usize,
    /// Requests that may wait.
    pub max_waiting: usize,
    /// The longest wait.
    pub max_wait: Duration,
}

impl From<&config::Limits> for AdmissionPolicy {
    fn from(limits: &config::Limits) -> Self {
        AdmissionPolicy {
            max_in_flight: limits.max_in_flight,
            max_wait: limits.max_wait,
            ..AdmissionPolicy::default()
        }
    }
}

impl Default for AdmissionPolicy {
    fn default() -> Self {
        AdmissionPolicy {
            max_in_flight: 10_000,
            max_waiting: 1_000,
            max_wait: Duration::from_secs(1),
        }
    }
}

/// Why a request was not let in. The answer is 503 in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// As many are waiting as may wait.
    #[error("too many requests are waiting")]
    Full,
    /// Its turn did not come in time.
    #[error("too many requests are under way")]
    TimedOut,
    /// The gateway is about to stop.
    #[error("the gateway is stopping")]
    Draining,
}

/// Counts the requests under way.
#[derive(Debug)]
pub struct Admission {
    policy: AdmissionPolicy,
    room: Arc<Semaphore>,
    waiting: AtomicUsize,
    under_way: Arc<UnderWay>,
}

#[derive(Debug, Default)]
struct UnderWay {
    count: AtomicUsize,
    none_left: Notify,
}

impl Admission {
    /// Lets in as many as the policy says.
    pub fn new(policy: AdmissionPolicy) -> Self {
        let n_permits = policy.max_in_flight.min(Semaphore::MAX_PERMITS);
        Admission {
            policy,
            room: Arc::new(Semaphore::new(n_permits)),
            waiting: AtomicUsize::new(0),
            under_way: Arc::default(),
        }
    }

    /// Lets a request in, now or when there is room, but not after its deadline.
    pub async fn enter(&self, deadline: Option<Instant>) -> Result<Admitted, NotAdmitted> {
        match self.room.clone().try_acquire_owned() {
            Ok(permit) => return Ok(self.admitted(permit)),
            Err(TryAcquireError::Closed) => return Err(NotAdmitted::Draining),
            Err(TryAcquireError::NoPermits) => {}
        }
        let _waiting = Waiting::begin(&self.waiting, self.policy.max_waiting)?;
        let turn = self.room.clone().acquire_owned();
        let latest = tokio::time::Instant::now() + self.policy.max_wait;
        let latest = deadline.map_or(latest, |deadline| latest.min(deadline.into()));
        match tokio::time::timeout_at(latest, turn).await {
            Ok(Ok(permit)) => Ok(self.admitted(permit)),
            Ok(Err(_closed)) => Err(NotAdmitted::Draining),
            Err(_elapsed) => Err(NotAdmitted::TimedOut),
        }
    }

    fn admitted(&self, permit: OwnedSemaphorePermit) -> Admitted {
        self.under_way.count.fetch_add(1, Ordering::SeqCst);
        Admitted { _permit: permit, under_way: self.under_way.clone() }
    }

    /// Requests under way.
    pub fn in_flight(&self) -> usize {
        self.under_way.count.load(Ordering::SeqCst)
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The value of `Retry-After` for those who are not let in: whole seconds.
    pub fn retry_after_seconds(&self) -> u64 {
        let wait = self.policy.max_wait;
        (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
    }

    /// From now on nobody is let in, and those who wait are told so.
    pub fn drain(&self) {
        self.room.close();
    }

    /// Whether [`Admission::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.room.is_closed()
    }

    /// Waits until no request is under way. Whoever waits sets the deadline.
    pub async fn idle(&self) {
        loop {
            let none_left = self.under_way.none_left.notified();
            tokio::pin!(none_left);
            // Registered before the count is read, so that the last one out is not missed.
            none_left.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            none_left.await;
        }
    }
}

/// A request that was let in. Dropping it makes room for another.
#[derive(Debug)]
pub struct Admitted {
    _permit: OwnedSemaphorePermit,
    under_way: Arc<UnderWay>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if self.under_way.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.under_way.none_left.notify_waiters();
        }
    }
}

/// A place among those who wait; given back also when the client goes away.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize, max: usize) -> Result<Self, NotAdmitted> {
        let place = Waiting(count);
        if count.fetch_add(1, Ordering::Relaxed) < max { Ok(place) } else { Err(NotAdmitted::Full) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
