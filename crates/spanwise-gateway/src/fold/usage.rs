//! Token counts of every dialect, made inclusive as OpenTelemetry wants them.

use spanwise_model::genai::Usage;

use crate::dialect::Dialect;
use crate::json::{Kind, Value};

/// More tokens than any call has: such a count is none.
const MAX_TOKENS: u64 = 1_000_000_000;

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    Input,
    Output,
    Total,
    CacheRead,
    CacheWrite,
    CacheWrite5m,
    CacheWrite1h,
    Reasoning,
    /// What the results of the provider's own tools brought in, beside the input.
    ToolInput,
}

/// Counts as they were given. The last one that is a count wins; what is no count is remembered
/// as odd and changes nothing.
#[derive(Debug, Default)]
pub(super) struct Counts {
    counts: [Option<u64>; 9],
    is_odd: bool,
}

/// What [`Usage`] has no place for.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub cache_write_5m: Option<u64>,
    pub cache_write_1h: Option<u64>,
    pub is_inconsistent: bool,
}

impl Counts {
    pub fn take(&mut self, count: Count, value: Value<'_>) {
        match value.as_u64().filter(|&n| n <= MAX_TOKENS) {
            Some(n) => self.counts[count as usize] = Some(n),
            None => self.is_odd |= !value.is_null(),
        }
    }

    fn get(&self, count: Count) -> Option<u64> {
        self.counts[count as usize]
    }

    /// The object of an OpenAI-compatible answer, whichever generation's names it uses.
    pub fn openai(&mut self, usage: Value<'_>) {
        self.is_odd |= !matches!(usage.kind, Kind::Object | Kind::Null);
        for (key, value) in usage.members() {
            match &*key {
                "prompt_tokens" | "input_tokens" => self.take(Count::Input, value),
                "completion_tokens" | "output_tokens" => self.take(Count::Output, value),
                "total_tokens" => self.take(Count::Total, value),
                "prompt_cache_hit_tokens" => self.take(Count::CacheRead, value),
                "prompt_tokens_details" | "input_tokens_details" => {
                    for (key, value) in value.members() {
                        match &*key {
                            "cached_tokens" => self.take(Count::CacheRead, value),
                            "cache_write_tokens" => self.take(Count::CacheWrite, value),
                            _ => {}
                        }
                    }
                }
                "completion_tokens_details" | "output_tokens_details" => {
                    if let Some(value) = value.get("reasoning_tokens") {
                        self.take(Count::Reasoning, value);
                    }
                }
                _ => {}
            }
        }
    }

    /// The counts in one convention, and whether they had to be bent for it.
    pub fn usage(&self, dialect: Dialect) -> (Usage, Tally) {
        let cache_write = self.cache_write();
        let cache_read = self.get(Count::CacheRead);
        let (input, output) = match dialect {
            Dialect::Messages | Dialect::Converse => {
                let cached = cache_read.unwrap_or(0) + cache_write.unwrap_or(0);
                (self.get(Count::Input).map(|n| n + cached), self.get(Count::Output))
            }
            Dialect::Gemini => {
                let (input, output) = (self.get(Count::Input), self.get(Count::Output));
                let thoughts = self.get(Count::Reasoning);
                (sum(input, self.get(Count::ToolInput)), sum(output, thoughts))
            }
            Dialect::Embeddings => (self.get(Count::Input), None),
            Dialect::Chat | Dialect::Responses | Dialect::Ollama => {
                (self.get(Count::Input), self.output_with_reasoning())
            }
        };
        let reasoning = self.get(Count::Reasoning);
        let mut usage = Usage { input, output, total: None, cache_read, cache_write, reasoning };
        let mut tally = Tally {
            cache_write_5m: self.get(Count::CacheWrite5m),
            cache_write_1h: self.get(Count::CacheWrite1h),
            is_inconsistent: self.is_odd | clamp(&mut usage),
        };
        usage.total = self.total(&usage, &mut tally);
        (usage, tally)
    }

    /// What was written to caches, from its parts where only they are given.
    fn cache_write(&self) -> Option<u64> {
        let parts = sum(self.get(Count::CacheWrite5m), self.get(Count::CacheWrite1h));
        self.get(Count::CacheWrite).max(parts)
    }

    /// Some providers count reasoning beside the output; the total tells.
    fn output_with_reasoning(&self) -> Option<u64> {
        let output = self.get(Count::Output)?;
        let reasoning = self.get(Count::Reasoning).unwrap_or(0);
        let beside = self.get(Count::Input).unwrap_or(0) + output + reasoning;
        let is_beside = reasoning > 0 && self.get(Count::Total) == Some(beside);
        Some(if is_beside { output + reasoning } else { output })
    }

    fn total(&self, usage: &Usage, tally: &mut Tally) -> Option<u64> {
        let given = self.get(Count::Total);
        let (Some(input), Some(output)) = (usage.input, usage.output) else {
            return given;
        };
        let total = input + output;
        // Bedrock has counted caches in and left them out.
        let without_caches = sum(self.get(Count::Input), self.get(Count::Output));
        tally.is_inconsistent |= given.is_some() && given != Some(total) && given != without_caches;
        Some(total)
    }
}

/// The sum of what is known; unknown if nothing is.
fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0) + b.unwrap_or(0)),
    }
}

/// Makes no part larger than what it is part of; tells whether one was.
fn clamp(usage: &mut Usage) -> bool {
    let limit = |part: &mut Option<u64>, whole: Option<u64>| match (*part, whole) {
        (Some(n), Some(whole)) if n > whole => {
            *part = Some(whole);
            true
        }
        _ => false,
    };
    let read = limit(&mut usage.cache_read, usage.input);
    let rest = usage.input.map(|input| input - usage.cache_read.unwrap_or(0));
    let write = limit(&mut usage.cache_write, rest);
    let reasoning = limit(&mut usage.reasoning, usage.output);
    read | write | reasoning
}
