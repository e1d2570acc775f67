//! Retention: which segments are too old or too many to keep?

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::catalog::Edit;
use crate::segment::{Meta, Segment};
use crate::store::Shared;

/// Drops the segments that need not be kept any more.
pub(crate) fn enforce(shared: &Shared) {
    let segments = shared.segments();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let metas: Vec<&Meta> = segments.iter().map(|segment| segment.meta()).collect();
    let config = &shared.config;
    let expired = expired(&metas, now, config.retain_for, config.retain_bytes);
    if expired.is_empty() {
        return;
    }
    let expired: Vec<Arc<Segment>> = expired.iter().map(|&at| Arc::clone(&segments[at])).collect();
    match shared.swap_segments(&expired, None, Edit::default()) {
        Ok(()) => tracing::info!(segments = expired.len(), "dropped what is past its retention"),
        Err(error) => tracing::warn!(%error, "segments past their retention were not dropped"),
    }
}

/// Which of these segments, given in any order, are past their age or beyond the size to keep.
/// The age counts from the receipt: an import of old traces is kept as long as new ones.
fn expired(
    segments: &[&Meta],
    now: Duration,
    retain_for: Option<Duration>,
    retain_bytes: Option<u64>,
) -> Vec<usize> {
    let horizon = retain_for.map_or(0, |age| now.saturating_sub(age).as_nanos() as u64);
    let mut newest_first: Vec<usize> = (0..segments.len()).collect();
    newest_first.sort_by_key(|&at| std::cmp::Reverse(segments[at].max_received));
    let mut bytes = 0;
    newest_first.retain(|&at| {
        bytes += segments[at].bytes;
        segments[at].max_received < horizon || retain_bytes.is_some_and(|limit| bytes > limit)
    });
    newest_first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compact::tests::meta;

    fn received(seconds: u64, bytes: u64) -> Meta {
        Meta { max_received: seconds * 1_000_000_000, bytes, ..meta(1) }
    }

    fn check(retain_for: Option<u64>, retain_bytes: Option<u64>, expected: &[usize]) {
        let segments = [received(100, 10), received(300, 10), received(200, 10)];
        let segments: Vec<_> = segments.iter().collect();
        let now = Duration::from_secs(301);
        let mut expired =
            expired(&segments, now, retain_for.map(Duration::from_secs), retain_bytes);
        expired.sort_unstable();
        assert_eq!(expired, expected);
    }

    #[test]
    fn everything_is_kept_unless_told() {
        check(None, None, &[]);
    }

    #[test]
    fn what_was_received_too_long_ago_goes() {
        check(Some(150), None, &[0]);
        check(Some(1), None, &[0, 2]);
        check(Some(10_000), None, &[]);
    }

    #[test]
    fn the_oldest_go_while_there_is_too_much() {
        check(None, Some(30), &[]);
        check(None, Some(29), &[0]);
        check(None, Some(10), &[0, 2]);
        check(None, Some(0), &[0, 1, 2]);
    }
}
