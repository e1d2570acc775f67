//! How many retries there may be.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::config;

const N_SLOTS: usize = 10;

/// How many retries there may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetPolicy {
    /// Retries for each request of the last ten seconds.
    pub ratio: f64,
    /// Retries per second that are always allowed, so that few requests can be retried too.
    pub min_per_second: f64,
}

impl From<&config::Retry> for BudgetPolicy {
    fn from(retry: &config::Retry) -> Self {
        BudgetPolicy { ratio: retry.budget, ..BudgetPolicy::default() }
    }
}

impl Default for BudgetPolicy {
    fn default() -> Self {
        BudgetPolicy { ratio: 0.2, min_per_second: 1.0 }
    }
}

/// Keeps retries to a part of the requests of the last ten seconds.
#[derive(Debug)]
pub struct RetryBudget {
    policy: BudgetPolicy,
    origin: Instant,
    slots: Mutex<[Slot; N_SLOTS]>,
}

/// What happened in one second.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    second: u64,
    requests: u32,
    retries: u32,
}

impl RetryBudget {
    /// A budget that begins now.
    pub fn new(policy: BudgetPolicy, now: Instant) -> Self {
        RetryBudget { policy, origin: now, slots: Mutex::default() }
    }

    /// Counts a request (not its retries).
    pub fn deposit(&self, now: Instant) {
        self.with_slot(now, |slot, _| slot.requests += 1);
    }

    /// Takes one retry, if there is one.
    pub fn withdraw(&self, now: Instant) -> bool {
        let policy = self.policy;
        self.with_slot(now, |slot, (requests, retries)| {
            let allowed =
                policy.ratio * f64::from(requests) + policy.min_per_second * N_SLOTS as f64;
            let is_allowed = f64::from(retries) + 1.0 <= allowed;
            slot.retries += u32::from(is_allowed);
            is_allowed
        })
    }

    /// Gives the slot of this second and the requests and retries of the last ten.
    fn with_slot<T>(&self, now: Instant, act: impl FnOnce(&mut Slot, (u32, u32)) -> T) -> T {
        let second = now.saturating_duration_since(self.origin).as_secs();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |slot: &&Slot| slot.second + N_SLOTS as u64 > second;
        let recent = slots.iter().filter(is_recent);
        let sums = recent.fold((0, 0), |(requests, retries), slot| {
            (requests + slot.requests, retries + slot.retries)
        });
        let slot = &mut slots[(second % N_SLOTS as u64) as usize];
        if slot.second < second {
            *slot = Slot { second, ..Slot::default() };
        }
        act(slot, sums)
    }
}
