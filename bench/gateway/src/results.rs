//! What was measured, by load, subject and round.

use std::collections::BTreeMap;

use crate::cell::Cell;
use crate::load::Tally;
use crate::subject::Kind;

/// One window of one subject under one load. Times are in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Median latency.
    pub p50: f64,
    /// The latency of one request in a hundred.
    pub p99: f64,
    /// CPU time of the subject by request.
    pub cpu: f64,
    /// Requests a second.
    pub rate: f64,
    /// Median time to the first content of a stream.
    pub first_content: f64,
    /// How long one event in a hundred is at least on its way.
    pub delay_p99: f64,
    /// How much farther from the event before one in a hundred arrives than it had left.
    pub gap_p99: f64,
    /// Why it does not count.
    pub void: Option<String>,
}

impl Sample {
    /// What a tally amounts to.
    pub fn of(tally: &Tally) -> Self {
        let micros =
            |time: Option<std::time::Duration>| time.map_or(f64::NAN, |t| t.as_secs_f64() * 1e6);
        let n_done = tally.n_done.max(1) as f64;
        let void = match (tally.n_failed, tally.n_done) {
            (0, 0) => Some("nothing was answered".to_owned()),
            (0, _) => None,
            (n_failed, _) => {
                let why = tally.failure.as_deref().unwrap_or_default();
                Some(format!("{n_failed} of {} requests failed: {why}", tally.n_sent))
            }
        };
        Sample {
            p50: micros(tally.latency.quantile(0.5)),
            p99: micros(tally.latency.quantile(0.99)),
            cpu: tally.cpu.as_secs_f64() * 1e6 / n_done,
            rate: tally.n_done as f64 / tally.elapsed.as_secs_f64(),
            first_content: micros(tally.first_content.quantile(0.5)),
            delay_p99: micros(tally.delay.quantile(0.99)),
            gap_p99: micros(tally.gap.quantile(0.99)),
            void,
        }
    }
}

/// Every sample.
#[derive(Default)]
pub struct Results {
    samples: BTreeMap<(&'static str, Kind), BTreeMap<usize, Sample>>,
}

/// A median, and the range that the middle half lies in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// A number of a sample.
pub type Measure = fn(&Sample) -> f64;

impl Results {
    pub fn add(&mut self, cell: &Cell, kind: Kind, round: usize, sample: Sample) {
        self.samples.entry((cell.name, kind)).or_default().insert(round, sample);
    }

    /// Whether a subject was put under a load at all.
    pub fn has(&self, cell: &Cell, kind: Kind) -> bool {
        self.samples.contains_key(&(cell.name, kind))
    }

    /// The reasons of the windows that do not count.
    pub fn voids(&self, cell: &Cell, kind: Kind) -> Vec<&str> {
        let samples = self.samples.get(&(cell.name, kind));
        samples.into_iter().flatten().filter_map(|(_, sample)| sample.void.as_deref()).collect()
    }

    /// A number over the rounds that count.
    pub fn of(&self, cell: &Cell, kind: Kind, measure: Measure) -> Option<Spread> {
        Spread::of(self.valid(cell, kind).map(|(_, sample)| measure(sample)).collect())
    }

    /// A number combined with that of another load or subject in the same round.
    pub fn paired(
        &self,
        (cell, kind): (&Cell, Kind),
        (other_cell, other): (&Cell, Kind),
        measure: Measure,
        combine: fn(f64, f64) -> f64,
    ) -> Option<Spread> {
        let others: BTreeMap<usize, &Sample> = self.valid(other_cell, other).collect();
        let pairs = self.valid(cell, kind).filter_map(|(round, sample)| {
            Some(combine(measure(sample), measure(others.get(&round)?)))
        });
        Spread::of(pairs.collect())
    }

    fn valid(&self, cell: &Cell, kind: Kind) -> impl Iterator<Item = (usize, &Sample)> {
        let samples = self.samples.get(&(cell.name, kind)).into_iter().flatten();
        samples.filter(|(_, sample)| sample.void.is_none()).map(|(round, sample)| (*round, sample))
    }
}

impl Spread {
    /// Of numbers in any order; those that are none are left out.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |share: f64| {
            let place = share * last as f64;
            let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Some(Spread { median: at(0.5), low: at(0.25), high: at(0.75) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell;

    #[test]
    fn rounds_are_paired_and_voids_left_out() {
        let mut results = Results::default();
        let sample = |p50| Sample { p50, ..Sample::default() };
        for (round, p50) in [10.0, 20.0, 30.0].into_iter().enumerate() {
            results.add(&cell::ALONE, Kind::Direct, round, sample(p50));
            results.add(&cell::ALONE, Kind::Floor, round, sample(p50 * 2.0));
        }
        let void = Sample { void: Some("why".into()), ..sample(1e9) };
        results.add(&cell::ALONE, Kind::Floor, 2, void);
        let added = results.paired(
            (&cell::ALONE, Kind::Floor),
            (&cell::ALONE, Kind::Direct),
            |sample| sample.p50,
            |floor, direct| floor - direct,
        );
        assert_eq!(added, Some(Spread { median: 15.0, low: 12.5, high: 17.5 }));
        assert_eq!(results.voids(&cell::ALONE, Kind::Floor), ["why"]);
        assert_eq!(results.of(&cell::ALONE, Kind::Keys, |sample| sample.p50), None);
    }
}
