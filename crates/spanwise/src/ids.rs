//! New trace and span ids.

use spanwise_model::{SpanId, TraceId};

/// Two SplitMix64 sequences, seeded from the system: ids have to be distinct, not secret.
#[derive(Debug)]
pub(crate) struct Ids {
    states: Option<(u64, u64)>,
}

impl Ids {
    pub const fn unseeded() -> Self {
        Ids { states: None }
    }

    #[inline]
    pub fn trace_id(&mut self) -> TraceId {
        let (high, low) = self.states();
        let bits = u128::from(next(high)) << 64 | u128::from(next(low));
        // One in 2^128 sequences has the zero here; then the next one does not.
        TraceId::from_bytes(&bits.to_be_bytes()).unwrap_or_else(|_| self.trace_id())
    }

    #[inline]
    pub fn span_id(&mut self) -> SpanId {
        let (_, low) = self.states();
        SpanId::from_bytes(&next(low).to_be_bytes()).unwrap_or_else(|_| self.span_id())
    }

    fn states(&mut self) -> &mut (u64, u64) {
        self.states.get_or_insert_with(seeds)
    }
}

#[inline]
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cold]
fn seeds() -> (u64, u64) {
    // Where the system has no randomness to give, time and process still differ.
    let fallback = || (crate::clock::unix_nanos(), u64::from(std::process::id()) << 32);
    match (getrandom::u64(), getrandom::u64()) {
        (Ok(high), Ok(low)) => (high, low),
        _ => fallback(),
    }
}
