//! Durations, counted in buckets that are never wider than half a percent.

use std::time::Duration;

/// Below this everything has a bucket of its own.
const FINE: u64 = 256;
const N_BUCKETS: usize = (FINE as usize / 2) * (64 - 6);

/// How often each duration occurred.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u32>,
    n_values: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: vec![0; N_BUCKETS], n_values: 0 }
    }
}

impl Histogram {
    /// Adds one.
    pub fn record(&mut self, value: Duration) {
        let value = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(value)] += 1;
        self.n_values += 1;
    }

    /// The duration below which this share of them lies; `None` if there is none.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = (share * self.n_values as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        let found = self.counts.iter().position(|count| {
            below += u64::from(*count);
            below >= wanted
        });
        found.map(|bucket| Duration::from_nanos(middle(bucket)))
    }
}

/// Each power of two is divided into so many buckets as fit below [`FINE`] half.
fn bucket(value: u64) -> usize {
    if value < FINE {
        return value as usize;
    }
    let shift = value.ilog2() - FINE.ilog2() + 1;
    (u64::from(shift) * (FINE / 2) + (value >> shift)) as usize
}

fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < FINE {
        return bucket;
    }
    let shift = bucket / (FINE / 2) - 1;
    let start = (bucket - shift * (FINE / 2)) << shift;
    start + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_half_a_percent() {
        let mut histogram = Histogram::default();
        for micros in 1..=10_000_u64 {
            histogram.record(Duration::from_micros(micros));
        }
        for share in [0.001, 0.5, 0.9, 0.99, 1.0] {
            let found = histogram.quantile(share).unwrap().as_secs_f64();
            let expected = share * 10_000e-6;
            assert!((found / expected - 1.0).abs() < 0.005, "{share}: {found} {expected}");
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn every_value_has_a_bucket_near_it() {
        let mut histogram = Histogram::default();
        for value in [0, 1, 255, 256, 257, 511, 512, u64::MAX / 3, u64::MAX] {
            histogram.record(Duration::from_nanos(value));
            let near = middle(bucket(value));
            assert!(near.abs_diff(value) as f64 <= value as f64 * 0.005, "{value} {near}");
        }
        assert_eq!(histogram.n_values, 9);
    }
}
