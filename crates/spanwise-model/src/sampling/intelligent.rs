//! Sampling of what has ended: errors and slow requests first, then by operation.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{InvalidRate, OperationRules, Randomness, Rate, Threshold};

/// The settings of [`IntelligentSampling`], as people write them.
#[derive(Clone, Debug, PartialEq)]
pub struct IntelligentSamplingConfig {
    /// The share of roots with an error in or below them that is kept.
    pub error_sampling_rate: f64,
    /// The share of slow roots that is kept.
    pub slow_request_sampling_rate: f64,
    /// From how many milliseconds on a root is slow.
    pub slow_request_threshold_ms: f64,
    /// Rates by operation that are asked before the others.
    pub high_priority_operations: BTreeMap<String, f64>,
    /// Rates by operation that are asked after those.
    pub low_priority_operations: BTreeMap<String, f64>,
    /// The rate for everything else.
    pub base_sampling_rate: f64,
}

impl Default for IntelligentSamplingConfig {
    /// Every error and every root of five seconds or more; nothing is lowered.
    fn default() -> Self {
        IntelligentSamplingConfig {
            error_sampling_rate: 1.0,
            slow_request_sampling_rate: 1.0,
            slow_request_threshold_ms: 5000.0,
            high_priority_operations: BTreeMap::new(),
            low_priority_operations: BTreeMap::new(),
            base_sampling_rate: 1.0,
        }
    }
}

/// Why settings of sampling are refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidSampling {
    /// A rate is out of range.
    #[error(transparent)]
    Rate(#[from] InvalidRate),
    /// The threshold is no duration.
    #[error("slow_request_threshold_ms has to be a number of milliseconds from 0 on, got {got}")]
    Threshold {
        /// What was given.
        got: f64,
    },
}

/// What is known of a local root when it has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RootFacts<'a> {
    /// The name of the root's span.
    pub name: &'a str,
    /// The highest [rate of high priority](IntelligentSampling::high_priority) among the root
    /// and the spans below it, where somebody looked; else the root's own counts.
    pub high_priority: Option<Rate>,
    /// How long it took.
    pub duration: Duration,
    /// Whether it or any span below it failed, even if the error was caught on the way.
    pub has_error: bool,
    /// The trace's share of chance, which makes every party decide alike.
    pub randomness: Randomness,
}

/// Which rule decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There was an error.
    Error,
    /// It took as long as the threshold or longer.
    Slow,
    /// The operation is among those of high priority.
    HighPriority,
    /// The operation is among those of low priority.
    LowPriority,
    /// No rule applied.
    Base,
}

/// What becomes of a local root and all below it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Whether it is kept.
    pub is_kept: bool,
    /// Which rule decided.
    pub reason: Reason,
    /// The rate of that rule.
    pub rate: Rate,
}

impl Decision {
    /// What `tracestate` and weights tell about a root that was kept.
    pub fn threshold(self) -> Option<Threshold> {
        self.rate.threshold().filter(|_| self.is_kept)
    }
}

/// Decides about local roots that have ended. The first rule that applies decides, in this order:
/// error, slow, high priority, low priority, base rate.
#[derive(Clone, Debug, PartialEq)]
pub struct IntelligentSampling {
    error: Rate,
    slow: Rate,
    slow_from: Duration,
    high_priority: OperationRules,
    low_priority: OperationRules,
    base: Rate,
}

impl IntelligentSampling {
    /// Checks the settings; an error names the one that is wrong.
    pub fn new(config: IntelligentSamplingConfig) -> Result<Self, InvalidSampling> {
        let got = config.slow_request_threshold_ms;
        let slow_from = Duration::try_from_secs_f64(got / 1000.0)
            .map_err(|_| InvalidSampling::Threshold { got })?;
        Ok(IntelligentSampling {
            error: Rate::named("error_sampling_rate", config.error_sampling_rate)?,
            slow: Rate::named("slow_request_sampling_rate", config.slow_request_sampling_rate)?,
            slow_from,
            high_priority: OperationRules::new(
                "high_priority_operations",
                config.high_priority_operations,
            )?,
            low_priority: OperationRules::new(
                "low_priority_operations",
                config.low_priority_operations,
            )?,
            base: Rate::named("base_sampling_rate", config.base_sampling_rate)?,
        })
    }

    /// The same with another base rate, which can change while a program runs.
    #[must_use]
    pub fn with_base_rate(mut self, base: Rate) -> Self {
        self.base = base;
        self
    }

    /// Decides about a local root that has ended.
    pub fn decide(&self, root: &RootFacts<'_>) -> Decision {
        let (reason, rate) = self.rule(root);
        Decision { is_kept: rate.keeps(root.randomness), reason, rate }
    }

    /// The rate that an operation of high priority asks for, at a root or anywhere below it.
    pub fn high_priority(&self, span_name: &str) -> Option<Rate> {
        self.high_priority.rate(span_name)
    }

    fn rule(&self, root: &RootFacts<'_>) -> (Reason, Rate) {
        if root.has_error {
            (Reason::Error, self.error)
        } else if root.duration >= self.slow_from {
            (Reason::Slow, self.slow)
        } else if let Some(rate) = root.high_priority.or_else(|| self.high_priority(root.name)) {
            (Reason::HighPriority, rate)
        } else if let Some(rate) = self.low_priority.rate(root.name) {
            (Reason::LowPriority, rate)
        } else {
            (Reason::Base, self.base)
        }
    }
}
