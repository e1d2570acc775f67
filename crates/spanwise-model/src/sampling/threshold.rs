//! Thresholds and randomness as `tracestate` carries them.

use std::fmt;

use crate::TraceId;
use crate::propagate::{InvalidMember, TraceState};

/// 2⁵⁶: how many values the low 56 bits of a trace id have.
const RANGE: u64 = 1 << 56;

/// Hexadecimal digits of 56 bits.
const DIGITS: usize = 14;

/// The key of OpenTelemetry's member of `tracestate`.
const VENDOR: &str = "ot";

/// The 56 random bits of a trace that decide whether it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Randomness(u64);

impl Randomness {
    /// The low 56 bits of a trace's id.
    pub fn of_trace(trace_id: TraceId) -> Self {
        let low = trace_id.as_bytes()[9..].iter();
        Randomness(low.fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
    }

    /// What `tracestate` gives as `ot=rv:…`, else the low 56 bits of the trace's id.
    pub fn of(trace_id: TraceId, trace_state: &TraceState) -> Self {
        OtState::read(trace_state).randomness.unwrap_or_else(|| Self::of_trace(trace_id))
    }

    /// The number, below 2⁵⁶.
    pub fn get(self) -> u64 {
        self.0
    }

    /// Reads the fourteen digits of `rv`.
    pub fn parse(hex: &str) -> Option<Self> {
        (hex.len() == DIGITS).then(|| parse_hex(hex))?.map(Randomness)
    }
}

impl fmt::Display for Randomness {
    /// Fourteen hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:014x}", self.0)
    }
}

/// What the randomness of a trace has to reach for the trace to be kept; below 2⁵⁶.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Threshold(u64);

impl Threshold {
    /// Keeps every trace.
    pub const ALL: Threshold = Threshold(0);

    /// (1 − rate) · 2⁵⁶; `None` for rates so low that nothing is kept.
    pub(super) fn of_rate(rate: f64) -> Option<Self> {
        // Kept values are counted, not dropped ones: small rates keep their precision this way.
        let n_kept = (rate * RANGE as f64).round() as u64;
        (n_kept > 0).then(|| Threshold(RANGE - n_kept.min(RANGE)))
    }

    /// The number, below 2⁵⁶.
    pub fn get(self) -> u64 {
        self.0
    }

    /// Whether a trace of this randomness is kept.
    pub fn keeps(self, randomness: Randomness) -> bool {
        randomness.0 >= self.0
    }

    /// How many traces one that was kept stands for.
    pub fn weight(self) -> f64 {
        RANGE as f64 / (RANGE - self.0) as f64
    }

    /// Reads one to fourteen hexadecimal digits; those that are missing at the end are zeros.
    pub fn parse(hex: &str) -> Option<Self> {
        let n_missing = DIGITS.checked_sub(hex.len()).filter(|_| !hex.is_empty())?;
        parse_hex(hex).map(|digits| Threshold(digits << (4 * n_missing)))
    }
}

impl fmt::Display for Threshold {
    /// Hexadecimal digits without the zeros at the end; `0` keeps everything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:014x}", self.0);
        let significant = digits.trim_end_matches('0');
        f.write_str(if significant.is_empty() { "0" } else { significant })
    }
}

fn parse_hex(hex: &str) -> Option<u64> {
    let is_hex = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(hex, 16).ok().filter(|_| is_hex)
}

/// OpenTelemetry's member of `tracestate`: what a trace was sampled by, and what others put there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtState {
    /// `th`: the threshold that the trace has passed; `None` where that is not known.
    pub threshold: Option<Threshold>,
    /// `rv`: the randomness to use in place of the id's.
    pub randomness: Option<Randomness>,
    /// Other fields, as they were.
    others: Vec<String>,
}

impl OtState {
    /// Reads the member; one that is absent or illegal says nothing.
    pub fn read(trace_state: &TraceState) -> Self {
        let mut state = OtState::default();
        for field in trace_state.get(VENDOR).into_iter().flat_map(|value| value.split(';')) {
            match field.split_once(':') {
                Some(("th", hex)) => state.threshold = Threshold::parse(hex),
                Some(("rv", hex)) => state.randomness = Randomness::parse(hex),
                Some(_) => state.others.push(field.to_owned()),
                None => {}
            }
        }
        state
    }

    /// Writes the member, or removes it where it would say nothing.
    pub fn write(&self, trace_state: &mut TraceState) -> Result<(), InvalidMember> {
        let value = self.to_string();
        if value.is_empty() {
            trace_state.remove(VENDOR);
            return Ok(());
        }
        trace_state.insert(VENDOR, &value)
    }
}

impl fmt::Display for OtState {
    /// The value of the member: `th:8;rv:…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threshold = self.threshold.map(|threshold| format!("th:{threshold}"));
        let randomness = self.randomness.map(|randomness| format!("rv:{randomness}"));
        let others = self.others.iter().cloned();
        let fields: Vec<String> = threshold.into_iter().chain(randomness).chain(others).collect();
        f.write_str(&fields.join(";"))
    }
}
