//! A vector that grows at one end while others read it without a lock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The first bucket holds this many, each further one twice as many as the one before.
const FIRST: usize = 1 << 10;
const BUCKETS: usize = 23;

/// Its elements never move and never change. One writer fills slots and then publishes them.
#[derive(Debug)]
pub(super) struct AppendVec<T> {
    buckets: [OnceLock<Box<[OnceLock<T>]>>; BUCKETS],
    len: AtomicUsize,
}

impl<T> Default for AppendVec<T> {
    fn default() -> Self {
        AppendVec { buckets: [const { OnceLock::new() }; BUCKETS], len: AtomicUsize::new(0) }
    }
}

impl<T> AppendVec<T> {
    /// How many elements are published.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// The element at `at`, if it has been written.
    pub(super) fn get(&self, at: usize) -> Option<&T> {
        let (bucket, slot) = place(at);
        self.buckets.get(bucket)?.get()?.get(slot)?.get()
    }

    /// Fills the slot `at`, which nobody sees through [`len`](Self::len) yet.
    pub(super) fn write(&self, at: usize, value: T) {
        let (bucket, slot) = place(at);
        let new = || (0..FIRST << bucket).map(|_| OnceLock::new()).collect();
        let written = self.buckets[bucket].get_or_init(new)[slot].set(value);
        debug_assert!(written.is_ok(), "slot {at} was written before");
    }

    /// Makes the first `len` elements visible at once.
    pub(super) fn publish(&self, len: usize) {
        self.len.store(len, Ordering::Release);
    }
}

fn place(at: usize) -> (usize, usize) {
    let bucket = (at / FIRST + 1).ilog2() as usize;
    (bucket, at - FIRST * ((1 << bucket) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_keeps_its_place() {
        let numbers = AppendVec::default();
        for at in 0..10_000 {
            numbers.write(at, at);
        }
        assert_eq!(numbers.len(), 0);
        numbers.publish(10_000);
        assert!((0..numbers.len()).all(|at| numbers.get(at) == Some(&at)));
        assert_eq!(numbers.get(10_000), None);
        assert_eq!(numbers.get(usize::MAX), None);
    }
}
