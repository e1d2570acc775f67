//! Answers from a snapshot: what waits in the live index and what lies in segments, as one.

mod fields;
mod histogram;
mod live;
mod spans;
mod split;
mod stats;
mod traces;

use std::sync::atomic::{AtomicUsize, Ordering};

pub use self::fields::{field_values, fields};
pub use self::spans::spans;
pub use self::stats::stats;
pub use self::traces::traces;
use super::{QueryError, TimeRange};
use crate::segment::{Meta, RowGroup};

/// How many threads scan for one query. More would take the machine from those who ingest.
const N_THREADS: usize = 2;

/// Does `work` on every item, on [`N_THREADS`] threads if there are several; answers in order.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, QueryError> + Sync,
) -> Result<Vec<R>, QueryError> {
    if items.len() < 2 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = vec![];
        while let Some((at, item)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            items.get(at).map(|item| (at, item))
        } {
            done.push((at, work(item)?));
        }
        Ok::<_, QueryError>(done)
    };
    let mut done = std::thread::scope(|scope| {
        let others: Vec<_> = (1..N_THREADS).map(|_| scope.spawn(run)).collect();
        let mut done = run()?;
        for other in others {
            let failed = |_| QueryError::Storage("a query thread failed".to_owned());
            done.extend(other.join().map_err(failed)??);
        }
        Ok::<_, QueryError>(done)
    })?;
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, answer)| answer).collect())
}

fn has_project(meta: &Meta, project: &str) -> bool {
    meta.projects.iter().any(|name| **name == *project)
}

/// Whether spans of a segment may start within a range.
fn overlaps(meta: &Meta, time: TimeRange) -> bool {
    meta.min_start < time.to && meta.max_start >= time.from
}

fn group_overlaps(group: &RowGroup, time: TimeRange) -> bool {
    group.min_start < time.to && group.max_start >= time.from
}

fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
