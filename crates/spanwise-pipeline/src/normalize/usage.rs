//! Tokens and money that a span reports (semconv §9 and §10).

use spanwise_model::genai::{Cost, CostSource, Operation, Usage};

use super::reading::Reading;
use super::table::Field;

/// The tokens of a call, inclusive whatever the producer's habit (rule T1).
pub fn usage(reading: &Reading<'_>, operation: Option<Operation>) -> Usage {
    let output = reading.count(Field::OutputTokens);
    let usage = Usage {
        input: reading.count(Field::InputTokens),
        // Rule T6: an embedding has no output, and a zero only says so.
        output: output.filter(|&n| n > 0 || operation != Some(Operation::Embedding)),
        total: reading.count(Field::TotalTokens),
        cache_read: reading.count(Field::CacheRead),
        cache_write: reading.count(Field::CacheWrite),
        reasoning: reading.count(Field::Reasoning),
    };
    with_total(inclusive(usage))
}

/// Rule T4: whether the parts are inside the sums is decided by arithmetic.
fn inclusive(mut usage: Usage) -> Usage {
    let (input, output) = (usage.input.unwrap_or(0), usage.output.unwrap_or(0));
    let cached = usage.cache_read.unwrap_or(0).saturating_add(usage.cache_write.unwrap_or(0));
    let reasoning = usage.reasoning.unwrap_or(0);
    let sums_to = |parts: &[u64]| {
        let sum = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(*part));
        usage.total == Some(sum)
    };
    if sums_to(&[input, output]) {
        return usage;
    }
    let both_outside = sums_to(&[input, cached, output, reasoning]);
    let cache_outside = sums_to(&[input, cached, output]) || both_outside || cached > input;
    let reasoning_outside =
        sums_to(&[input, output, reasoning]) || both_outside || reasoning > output;
    if cache_outside {
        usage.input = usage.input.map(|input| input.saturating_add(cached));
    }
    if reasoning_outside {
        usage.output = usage.output.map(|output| output.saturating_add(reasoning));
    }
    usage
}

/// A total that was not given is the sum; with one side unknown it is the known side.
fn with_total(mut usage: Usage) -> Usage {
    if usage.total.is_none() && (usage.input.is_some() || usage.output.is_some()) {
        let sum = usage.input.unwrap_or(0).saturating_add(usage.output.unwrap_or(0));
        usage.total = Some(sum);
    }
    usage
}

/// What the span itself says that it cost (rule $1).
pub fn reported_cost(reading: &Reading<'_>) -> Option<Cost> {
    let parts = || {
        let (input, output) = (reading.number(Field::CostInput), reading.number(Field::CostOutput));
        (input.is_some() || output.is_some()).then(|| input.unwrap_or(0.0) + output.unwrap_or(0.0))
    };
    let usd = reading.number(Field::CostTotal).or_else(parts)?;
    let nano_usd = (usd * 1e9).round();
    (nano_usd < i64::MAX as f64)
        .then_some(Cost { nano_usd: nano_usd as i64, source: CostSource::Reported })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(input: u64, output: u64, total: Option<u64>, parts: [u64; 3]) -> (u64, u64, u64) {
        let [cache_read, cache_write, reasoning] = parts.map(Some);
        let usage = Usage {
            input: Some(input),
            output: Some(output),
            total,
            cache_read,
            cache_write,
            reasoning,
        };
        let usage = with_total(inclusive(usage));
        (usage.input.unwrap(), usage.output.unwrap(), usage.total.unwrap())
    }

    #[test]
    fn t4_arithmetic_tells_inclusive_from_exclusive() {
        assert_eq!(of(100, 10, Some(110), [40, 20, 5]), (100, 10, 110), "a: inclusive");
        assert_eq!(of(100, 10, Some(170), [40, 20, 5]), (160, 10, 170), "b: cache outside");
        assert_eq!(of(31, 10, None, [2048, 512, 0]), (2591, 10, 2601), "c: more cached than input");
        assert_eq!(of(100, 10, None, [40, 20, 5]), (100, 10, 110), "d: inclusive");
        assert_eq!(of(100, 10, Some(115), [0, 0, 5]), (100, 15, 115), "b': reasoning outside");
        assert_eq!(of(100, 10, None, [0, 0, 50]), (100, 60, 160), "b': more reasoning than output");
        assert_eq!(of(100, 10, Some(175), [40, 20, 5]), (160, 15, 175), "both outside");
    }

    #[test]
    fn t5_sums_saturate() {
        let usage = Usage { input: Some(u64::MAX), output: Some(u64::MAX), ..Usage::default() };
        assert_eq!(with_total(usage).total, Some(u64::MAX));
    }

    #[test]
    fn with_one_side_unknown_the_total_is_the_known_side() {
        let usage = with_total(Usage { input: Some(7), ..Usage::default() });
        assert_eq!((usage.total, usage.output), (Some(7), None));
        assert_eq!(with_total(Usage::default()).total, None);
    }
}
