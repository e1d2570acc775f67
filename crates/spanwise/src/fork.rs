//! Whether this process is a fork of the one that started.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static FORKS: AtomicU64 = AtomicU64::new(0);
static WATCH: Once = Once::new();

/// How often this process and its ancestors were forked since the first call.
#[inline]
pub(crate) fn count() -> u64 {
    if !WATCH.is_completed() {
        WATCH.call_once(watch);
    }
    FORKS.load(Relaxed)
}

extern "C" fn in_child() {
    FORKS.fetch_add(1, Relaxed);
}

#[cfg(unix)]
fn watch() {
    // SAFETY: the handler adds to an atomic number and does nothing else, which is allowed between
    // a fork and whatever the child does next; it lives as long as the program.
    #[allow(unsafe_code)]
    let result = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    if result != 0 {
        tracing::warn!("forks are not noticed: a forked process will not deliver spans");
    }
}

#[cfg(not(unix))]
fn watch() {}
