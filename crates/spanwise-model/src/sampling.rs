//! Which traces are kept: rates that every party applies alike, rates per operation, and decisions
//! about what has ended.
//!
//! A [`Rate`] keeps a trace when the low 56 bits of its id, as an integer, are at least
//! (1 − rate) · 2⁵⁶: OpenTelemetry's consistent probability. Whoever asks about the same trace with
//! the same rate gets the same answer, and what a lower rate keeps a higher one keeps too. The
//! threshold travels in `tracestate` as `ot=th:…`, beside `rv:…`, which stands in for the id's
//! bits where ids are not random.
//!
//! ```
//! use spanwise_model::TraceId;
//! use spanwise_model::sampling::{Rate, Randomness};
//!
//! let half = Rate::new(0.5)?;
//! assert_eq!(half.to_string(), "0.5");
//! assert_eq!(half.threshold().unwrap().to_string(), "8");
//! let id: TraceId = "0af7651916cd43dd8480000000000000".parse().unwrap();
//! assert!(half.keeps(Randomness::of_trace(id)));
//! # Ok::<(), spanwise_model::sampling::InvalidRate>(())
//! ```

mod intelligent;
mod threshold;

use std::collections::BTreeMap;
use std::fmt;

pub use intelligent::{
    Decision, IntelligentSampling, IntelligentSamplingConfig, InvalidSampling, Reason, RootFacts,
};
pub use threshold::{OtState, Randomness, Threshold};

/// A share of traces, from 0 to 1.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub struct Rate(f64);

/// Why a number is no rate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{key}: a rate has to be a number from 0 to 1, got {got}")]
pub struct InvalidRate {
    /// The setting that it was given for, or `rate`.
    pub key: String,
    /// What was given.
    pub got: f64,
}

impl Rate {
    /// Every trace.
    pub const ALL: Rate = Rate(1.0);
    /// No trace.
    pub const NONE: Rate = Rate(0.0);

    /// A rate from 0 to 1.
    pub fn new(rate: f64) -> Result<Self, InvalidRate> {
        Self::named("rate", rate)
    }

    /// A rate from 0 to 1 for the setting `key`, which an error then names.
    pub fn named(key: &str, rate: f64) -> Result<Self, InvalidRate> {
        if (0.0..=1.0).contains(&rate) {
            Ok(Rate(rate))
        } else {
            Err(InvalidRate { key: key.to_owned(), got: rate })
        }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// What has to be reached to be kept; `None` where nothing is kept.
    pub fn threshold(self) -> Option<Threshold> {
        Threshold::of_rate(self.0)
    }

    /// Whether a trace is kept at this rate.
    pub fn keeps(self, randomness: Randomness) -> bool {
        self.threshold().is_some_and(|threshold| threshold.keeps(randomness))
    }
}

impl Default for Rate {
    /// Every trace.
    fn default() -> Self {
        Rate::ALL
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What spans of a decorated function are named by, before the function's own name.
const KINDS: [&str; 4] = ["workflow.", "task.", "agent.", "tool."];

/// Rates by the name of an operation: `checkout` is the rule for `checkout` and for
/// `workflow.checkout`, `workflow.checkout` for that span alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperationRules(BTreeMap<String, Rate>);

impl OperationRules {
    /// Rules from names with rates. `key` is the setting that an error names, as in
    /// `high_priority_operations.checkout`.
    pub fn new<N: Into<String>>(
        key: &str,
        rules: impl IntoIterator<Item = (N, f64)>,
    ) -> Result<Self, InvalidRate> {
        let rule = |(name, rate): (N, f64)| {
            let name = name.into();
            let rate = Rate::named(&format!("{key}.{name}"), rate)?;
            Ok((name, rate))
        };
        rules.into_iter().map(rule).collect::<Result<_, _>>().map(OperationRules)
    }

    /// The rate for a span of this name: the rule for its full name, else the one for its name
    /// without the kind of function.
    pub fn rate(&self, span_name: &str) -> Option<Rate> {
        let bare = KINDS.iter().find_map(|kind| span_name.strip_prefix(kind));
        let rule = self.0.get(span_name).or_else(|| self.0.get(bare?));
        rule.copied()
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
