//! Which bodies were taken in the last minutes, so that a client's exact retry is stored once.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use xxhash_rust::xxh3::Xxh3Default;

use crate::LoggedBody;

/// How long a body is remembered.
pub(crate) const REMEMBERED: Duration = Duration::from_mins(10);
/// How many bodies are remembered at most, so that tiny bodies cannot fill the memory.
const MAX_BODIES: usize = 256 << 10;

/// A body's fingerprint with the time of its receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyMark {
    pub(crate) hash: u128,
    pub(crate) received_unix_nano: u64,
}

impl BodyMark {
    pub(crate) fn of(body: &LoggedBody) -> Self {
        let mut hash = Xxh3Default::new();
        hash.update(&body.body);
        hash.update(&[body.signal as u8, body.encoding as u8]);
        hash.update(body.project.as_bytes());
        BodyMark { hash: hash.digest128(), received_unix_nano: body.received_unix_nano }
    }
}

/// The bodies of the last minutes, oldest first.
#[derive(Debug, Default)]
pub(crate) struct RecentBodies {
    order: VecDeque<BodyMark>,
    hashes: HashSet<u128>,
}

impl RecentBodies {
    /// Remembers a body; false if it was there already.
    pub(crate) fn insert(&mut self, mark: BodyMark) -> bool {
        self.forget_before(mark.received_unix_nano);
        let new = self.hashes.insert(mark.hash);
        if new {
            self.order.push_back(mark);
        }
        new
    }

    /// Forgets bodies that were not stored after all; they are among the newest.
    pub(crate) fn remove_newest(&mut self, marks: &[BodyMark]) {
        for mark in marks {
            if self.hashes.remove(&mark.hash)
                && let Some(at) = self.order.iter().rposition(|other| other.hash == mark.hash)
            {
                self.order.remove(at);
            }
        }
    }

    fn forget_before(&mut self, now_unix_nano: u64) {
        let horizon = now_unix_nano.saturating_sub(REMEMBERED.as_nanos() as u64);
        while let Some(oldest) = self.order.front() {
            if oldest.received_unix_nano >= horizon && self.order.len() < MAX_BODIES {
                break;
            }
            self.hashes.remove(&oldest.hash);
            self.order.pop_front();
        }
    }
}

/// The marks that are still worth keeping at this time, newest last.
pub(crate) fn still_recent(marks: &mut Vec<BodyMark>, now_unix_nano: u64) {
    let horizon = now_unix_nano.saturating_sub(REMEMBERED.as_nanos() as u64);
    marks.retain(|mark| mark.received_unix_nano >= horizon);
    let excess = marks.len().saturating_sub(MAX_BODIES);
    marks.drain(..excess);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(hash: u128, seconds: u64) -> BodyMark {
        BodyMark { hash, received_unix_nano: seconds * 1_000_000_000 }
    }

    #[test]
    fn a_body_is_remembered_for_ten_minutes() {
        let mut recent = RecentBodies::default();
        assert!(recent.insert(mark(1, 1000)));
        assert!(!recent.insert(mark(1, 1600)));
        assert!(recent.insert(mark(1, 1601)));
    }

    #[test]
    fn a_body_that_was_not_stored_is_forgotten() {
        let mut recent = RecentBodies::default();
        recent.insert(mark(1, 1000));
        recent.insert(mark(2, 1000));
        recent.remove_newest(&[mark(1, 1000)]);
        assert!(recent.insert(mark(1, 1001)));
        assert!(!recent.insert(mark(2, 1001)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut recent = RecentBodies::default();
        (0..2 * MAX_BODIES as u128).for_each(|hash| assert!(recent.insert(mark(hash, 1000))));
        assert!(recent.order.len() <= MAX_BODIES);
        assert_eq!(recent.order.len(), recent.hashes.len());
    }

    #[test]
    fn marks_of_the_last_minutes_are_kept() {
        let mut marks = vec![mark(1, 100), mark(2, 900), mark(3, 1000)];
        still_recent(&mut marks, 1_000_000_000_000);
        assert_eq!(marks, [mark(2, 900), mark(3, 1000)]);
    }
}
