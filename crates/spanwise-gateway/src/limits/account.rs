//! What a group of requests has used, window by window.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::quota::{Amount, Window};

/// Clocks of threads differ a little, and a clock may be set back. A moment that is at most this
/// much before the window still counts in it; one that is earlier means that the clock was set.
const JITTER_NANOS: u64 = 5_000_000_000;

/// What was used in one window of time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Use {
    start: u64,
    end: u64,
    used: Amount,
}

impl Use {
    /// Goes on to the window around this moment, and says what is used in it.
    pub(super) fn at(&mut self, window: Window, now: u64) -> Amount {
        if now >= self.end {
            (self.start, self.end) = window.around(now);
            self.used = Amount::default();
        } else if now.saturating_add(JITTER_NANOS) < self.start {
            // The clock was set back. What was used stays used, in the window that is now: to
            // forget it would give every budget anew.
            (self.start, self.end) = window.around(now);
        }
        self.used
    }

    /// When the window ends, in nanoseconds since 1970.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn charge(&mut self, amount: Amount) {
        self.used = self.used.plus(amount);
    }

    /// Takes back what was charged at that moment, unless its window has gone.
    pub(super) fn refund(&mut self, amount: Amount, charged_at: u64) {
        if self.holds(charged_at) {
            self.used = self.used.minus(amount);
        }
    }

    /// Puts what was used in place of what was estimated. Where the window of the estimate has
    /// gone, only the excess counts, in the window that is now: a debt is not forgotten.
    pub(super) fn settle(&mut self, estimate: Amount, actual: Amount, charged_at: u64) {
        if self.holds(charged_at) {
            self.used = self.used.minus(estimate).plus(actual);
        } else {
            self.used = self.used.plus(actual.minus(estimate));
        }
    }

    fn holds(&self, moment: u64) -> bool {
        (self.start..self.end).contains(&moment)
    }
}

/// The counters of one group of requests under one rule.
#[derive(Debug)]
pub(super) struct Account {
    /// Accounts are always locked in this order, so that two requests never wait for each other.
    pub(super) serial: u64,
    uses: Mutex<[Use; Window::COUNT]>,
}

impl Account {
    pub(super) fn new(serial: u64) -> Self {
        Account { serial, uses: Mutex::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, [Use; Window::COUNT]> {
        // Every change is a few sums that cannot fail half way.
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is used in windows that have not ended.
    pub(super) fn record(&self, now: u64) -> Vec<UseRecord> {
        let uses = self.lock();
        Window::ALL
            .into_iter()
            .map(|window| (window, uses[window as usize]))
            .filter(|(_, used)| used.end > now && used.used != Amount::default())
            .map(|(window, used)| UseRecord { window, start: used.start, used: used.used })
            .collect()
    }

    /// Takes up what was used before, if its window has not ended.
    pub(super) fn restore(&self, record: &UseRecord, now: u64) {
        let used = &mut self.lock()[record.window as usize];
        used.at(record.window, now);
        if used.start == record.start {
            used.used = used.used.max(record.used);
        }
    }
}

/// What was used in one window, to be kept over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseRecord {
    pub(super) window: Window,
    #[serde(rename = "start_unix_nano")]
    pub(super) start: u64,
    pub(super) used: Amount,
}
