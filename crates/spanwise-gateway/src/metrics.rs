//! What a gateway counts, for Prometheus: as OpenTelemetry names it where it has a name.
//!
//! An exchange is counted once, when it is over. Names that come from outside (models, errors) get
//! a series of their own only up to a number; those beyond share `_OTHER`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::record::{Attempt, Record};

pub use families::{Family, Sample, families};

mod families;

/// Models that were asked for by names which the configuration does not have.
const MAX_MODELS: usize = 200;
/// Words for what went wrong; providers have some of their own.
const MAX_ERRORS: usize = 100;
/// What all others share.
const OTHER: &str = "_OTHER";
/// Upper bounds of times, in seconds: OpenTelemetry's for calls of models.
const SECONDS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// Upper bounds of our own part of the time.
const OVERHEAD: [f64; 10] =
    [0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002_5, 0.01, 0.1];
/// Upper bounds of tokens of one call: OpenTelemetry's.
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// All counts of one gateway. They outlive its configurations.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: Mutex<Counts>,
    refused: Mutex<BTreeMap<&'static str, u64>>,
    context_problems: Mutex<BTreeMap<&'static str, u64>>,
    panics: AtomicU64,
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
}

#[derive(Debug, Default)]
struct Counts {
    requests: HashMap<(Cow<'static, str>, u16), Histogram<14>>,
    overhead: Histogram<10>,
    calls: HashMap<Call, OfCalls>,
    attempts: HashMap<(Arc<str>, Arc<str>), u64>,
    retries: HashMap<Arc<str>, u64>,
    cached: u64,
    models: Names,
    errors: Names,
    upstreams: Names,
}

/// By what calls of models are told apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Call {
    operation: &'static str,
    provider: Arc<str>,
    model: Arc<str>,
    error: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct OfCalls {
    duration: Histogram<14>,
    first_chunk: Histogram<14>,
    input: Histogram<14>,
    output: Histogram<14>,
    cache_read: u64,
    cache_write: u64,
    reasoning: u64,
    nano_usd: u64,
}

/// Counts by upper bounds.
#[derive(Clone, Debug)]
struct Histogram<const N: usize> {
    buckets: [u64; N],
    count: u64,
    sum: f64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Histogram { buckets: [0; N], count: 0, sum: 0.0 }
    }
}

impl<const N: usize> Histogram<N> {
    fn add(&mut self, bounds: &[f64; N], value: f64) {
        if let Some(at) = bounds.iter().position(|bound| value <= *bound) {
            self.buckets[at] += 1;
        }
        self.count += 1;
        self.sum += value;
    }
}

/// Names that have series of their own.
#[derive(Debug, Default)]
struct Names {
    known: HashSet<Arc<str>>,
    /// Of these, how many came from outside.
    n_foreign: usize,
}

impl Names {
    /// A name of the configuration: there are as many as its owner wants.
    fn own(&mut self, name: &str) -> Arc<str> {
        self.known.get(name).cloned().unwrap_or_else(|| self.insert(name))
    }

    /// A name from outside. A new one gets a series only if it `deserves` one.
    fn foreign(&mut self, name: &str, max: usize, deserves: bool) -> Arc<str> {
        if let Some(known) = self.known.get(name) {
            return Arc::clone(known);
        }
        if !deserves || self.n_foreign >= max {
            return OTHER.into();
        }
        self.n_foreign += 1;
        self.insert(name)
    }

    fn insert(&mut self, name: &str) -> Arc<str> {
        let name: Arc<str> = name.into();
        self.known.insert(Arc::clone(&name));
        name
    }
}

impl Metrics {
    /// Models that the configuration names have series of their own, however many others there
    /// are.
    pub(crate) fn know_models<'n>(&self, names: impl IntoIterator<Item = &'n str>) {
        let mut counts = self.counts();
        for name in names {
            counts.models.own(name);
        }
    }

    /// Counts an exchange that is over.
    pub(crate) fn exchange(&self, record: &Record, end: Instant) {
        let cost = record.cost().and_then(|cost| u64::try_from(cost).ok()).unwrap_or_default();
        let mut counts = self.counts();
        let took = end.saturating_duration_since(record.clock.started()).as_secs_f64();
        let key = (record.route.clone(), record.status);
        counts.requests.entry(key).or_default().add(&SECONDS, took);
        if let Some(first) = record.attempts.first() {
            counts.overhead.add(&OVERHEAD, record.overhead.as_secs_f64());
            counts.call(record, first, took, cost);
        }
        for (n, attempt) in record.attempts.iter().enumerate() {
            counts.attempt(attempt, n > 0);
        }
        counts.cached += u64::from(record.call.as_ref().is_some_and(|call| call.is_cached));
    }

    /// Counts a request that was not sent on, by the reason.
    pub(crate) fn refused(&self, reason: &'static str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry(reason).or_default() += 1;
    }

    /// Counts a header of trace context that made no sense.
    pub(crate) fn bad_context(&self, header: &'static str) {
        let mut problems = self.context_problems.lock().unwrap_or_else(PoisonError::into_inner);
        *problems.entry(header).or_default() += 1;
    }

    /// Counts a fault of our own.
    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Relaxed);
    }

    /// Counts a change of the configuration, which came into force or did not.
    pub fn reloaded(&self, is_in_force: bool) {
        let counter = if is_in_force { &self.reloads } else { &self.failed_reloads };
        counter.fetch_add(1, Relaxed);
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn call(&mut self, record: &Record, first: &Attempt, took: f64, nano_usd: u64) {
        let Some(call) = &record.call else { return };
        let attempt = record.attempts.last().unwrap_or(first);
        let fault = record.fault.as_ref();
        let has_answered = fault.is_none() && record.status < 400;
        let key = Call {
            operation: call.operation,
            provider: self.upstreams.own(&attempt.upstream.provider),
            model: self.models.foreign(&attempt.model, MAX_MODELS, has_answered),
            error: fault.map(|fault| self.errors.foreign(&fault.kind, MAX_ERRORS, true)),
        };
        let of_calls = self.calls.entry(key).or_default();
        of_calls.duration.add(&SECONDS, took);
        if let Some(content) = record.firsts.content.filter(|_| call.is_stream) {
            let after = content.saturating_duration_since(record.clock.started());
            of_calls.first_chunk.add(&SECONDS, after.as_secs_f64());
        }
        let Some(answer) = &record.answer else { return };
        let usage = &answer.usage;
        if let Some(input) = usage.input {
            of_calls.input.add(&TOKENS, input as f64);
        }
        if let Some(output) = usage.output {
            of_calls.output.add(&TOKENS, output as f64);
        }
        of_calls.cache_read += usage.cache_read.unwrap_or_default();
        of_calls.cache_write += usage.cache_write.unwrap_or_default();
        of_calls.reasoning += usage.reasoning.unwrap_or_default();
        of_calls.nano_usd += nano_usd;
    }

    fn attempt(&mut self, attempt: &Attempt, is_retry: bool) {
        let upstream = self.upstreams.own(&attempt.upstream.id);
        if is_retry {
            *self.retries.entry(Arc::clone(&upstream)).or_default() += 1;
        }
        let error = attempt.fault.as_ref().map_or("", |fault| &fault.kind);
        let error = self.errors.foreign(error, MAX_ERRORS, true);
        *self.attempts.entry((upstream, error)).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_36_names_from_outside_share_a_series_beyond_a_number() {
        let mut names = Names::default();
        names.own("configured");
        for n in 0..100_000 {
            names.foreign(&format!("model-{n}"), MAX_MODELS, true);
        }
        assert_eq!(names.known.len(), MAX_MODELS + 1);
        assert_eq!(&*names.foreign("model-0", MAX_MODELS, true), "model-0");
        assert_eq!(&*names.foreign("model-99999", MAX_MODELS, true), OTHER);
        assert_eq!(&*names.foreign("configured", MAX_MODELS, false), "configured");
        assert_eq!(&*names.own("configured later"), "configured later");
    }

    #[test]
    fn names_that_no_provider_knows_take_no_place() {
        let mut names = Names::default();
        assert_eq!(&*names.foreign("made-up", 1, false), OTHER);
        assert_eq!(&*names.foreign("real", 1, true), "real");
        assert_eq!(&*names.foreign("real", 1, false), "real");
    }

    #[test]
    fn buckets_are_cumulative() {
        let mut histogram = Histogram::default();
        for seconds in [0.005, 0.03, 0.03, 1000.0] {
            histogram.add(&SECONDS, seconds);
        }
        let mut family = Family::new("x", "histogram", "");
        family.histogram(&[("route", "/".to_owned())], &SECONDS, &histogram);
        let values: Vec<_> = family.samples.iter().map(|sample| sample.value).collect();
        assert_eq!(values[..4], [1.0, 1.0, 3.0, 3.0]);
        assert_eq!(values[13..15], [3.0, 4.0]);
        assert_eq!(values[16..], [4.0]);
        assert_eq!(family.samples[14].labels[1], ("le", "+Inf".to_owned()));
    }
}
