//! Quantiles of many durations in little memory.

/// Buckets per power of two, as a power of two. A bucket is at most 1/32 of its lower bound wide
/// and is answered by its middle: the relative error is at most 1/64, below 1.6 %.
const PRECISION_BITS: u32 = 5;

/// How often values fell into logarithmic buckets.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// The bucket of `counts[0]`.
    first: u32,
    counts: Vec<u32>,
    n: u64,
}

impl Histogram {
    /// Counts a value.
    pub fn add(&mut self, value: u64) {
        self.add_many(bucket(value), 1);
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (at, count) in (other.first..).zip(&other.counts) {
            if *count > 0 {
                self.add_many(at, *count);
            }
        }
    }

    fn add_many(&mut self, bucket: u32, count: u32) {
        if self.counts.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            let missing = (self.first - bucket) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = bucket;
        }
        let at = (bucket - self.first) as usize;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] = self.counts[at].saturating_add(count);
        self.n += u64::from(count);
    }

    /// The value that this share (0 to 1) of the values does not exceed; `None` without values.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = ((share.clamp(0.0, 1.0) * self.n as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in (self.first..).zip(&self.counts) {
            seen += u64::from(*count);
            if seen >= rank {
                return Some(middle(bucket));
            }
        }
        None
    }
}

/// Small values have a bucket each; above, the highest bits of the value are its bucket.
fn bucket(value: u64) -> u32 {
    let exponent = value.checked_ilog2().unwrap_or(0).saturating_sub(PRECISION_BITS);
    (exponent << PRECISION_BITS) + (value >> exponent) as u32
}

fn middle(bucket: u32) -> f64 {
    let exponent = (bucket >> PRECISION_BITS).saturating_sub(1);
    let width = 2_f64.powi(exponent as i32);
    let lower = f64::from(bucket - (exponent << PRECISION_BITS)) * width;
    lower + (width - 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_values_are_exact() {
        let mut histogram = Histogram::default();
        (1..=64).rev().for_each(|value| histogram.add(value));
        assert_eq!(histogram.quantile(0.5), Some(32.0));
        assert_eq!(histogram.quantile(0.0), Some(1.0));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    proptest! {
        #[test]
        fn quantiles_are_near_the_true_ones(
            mut values in proptest::collection::vec(any::<u64>().prop_map(|v| v >> (v % 60)), 1..200),
            share in 0.0..=1.0_f64,
            cut in any::<prop::sample::Index>(),
        ) {
            let (mut all, mut other) = (Histogram::default(), Histogram::default());
            let cut = cut.index(values.len());
            values[..cut].iter().for_each(|value| all.add(*value));
            values[cut..].iter().for_each(|value| other.add(*value));
            all.merge(&other);
            values.sort_unstable();
            let rank = ((share * values.len() as f64).ceil() as usize).max(1);
            let expected = values[rank - 1] as f64;
            let found = all.quantile(share).unwrap();
            prop_assert!((found - expected).abs() <= expected / 64.0, "{found} {expected}");
        }
    }
}
