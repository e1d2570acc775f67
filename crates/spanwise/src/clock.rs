//! Time: the processor's counter on the hot path, the wall clock where it matters.

use fastant::{Anchor, Instant};

/// When something happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stamp {
    /// By the processor's counter, which is three times cheaper than asking the system.
    Counter(Instant),
    /// As the application said, nanoseconds since 1970.
    Said(u64),
}

impl Stamp {
    #[inline]
    pub fn now() -> Self {
        Stamp::Counter(Instant::now())
    }

    #[inline]
    pub fn or_now(said: Option<u64>) -> Self {
        said.map_or_else(Stamp::now, Stamp::Said)
    }

    #[inline]
    pub fn unix_nanos(self, anchor: &Anchor) -> u64 {
        match self {
            Stamp::Counter(instant) => instant.as_unix_nanos(anchor),
            Stamp::Said(nanos) => nanos,
        }
    }
}

/// The wall clock, nanoseconds since 1970.
pub(crate) fn unix_nanos() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
