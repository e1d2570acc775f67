//! Counts of tokens: each dialect counts in its own way, [`Usage`] in one.

use spanwise_model::genai::Usage;

use crate::dialect::Dialect;

use super::json::{Node, Writer};

/// The counts as a dialect wrote them. In a stream they come in pieces, and the last count of
/// each kind holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    reasoning: Option<u64>,
    tool_input: Option<u64>,
}

impl Counts {
    /// Takes what an object with usage says in this dialect.
    pub fn take(&mut self, dialect: Dialect, node: &Node<'_>) {
        let nested = |outer: &str, inner: &str| node.get(outer).and_then(|node| node.count(inner));
        let new = match dialect {
            Dialect::Chat | Dialect::Embeddings => Counts {
                input: node.count("prompt_tokens"),
                output: node.count("completion_tokens"),
                total: node.count("total_tokens"),
                cache_read: nested("prompt_tokens_details", "cached_tokens"),
                cache_write: nested("prompt_tokens_details", "cache_write_tokens"),
                reasoning: nested("completion_tokens_details", "reasoning_tokens"),
                tool_input: None,
            },
            Dialect::Responses => Counts {
                input: node.count("input_tokens"),
                output: node.count("output_tokens"),
                total: node.count("total_tokens"),
                cache_read: nested("input_tokens_details", "cached_tokens"),
                cache_write: nested("input_tokens_details", "cache_write_tokens"),
                reasoning: nested("output_tokens_details", "reasoning_tokens"),
                tool_input: None,
            },
            Dialect::Messages => Counts {
                input: node.count("input_tokens"),
                output: node.count("output_tokens"),
                cache_read: node.count("cache_read_input_tokens"),
                cache_write: node.count("cache_creation_input_tokens"),
                reasoning: nested("output_tokens_details", "thinking_tokens"),
                ..Counts::default()
            },
            Dialect::Gemini => Counts {
                input: node.count("promptTokenCount"),
                output: node.count("candidatesTokenCount"),
                total: node.count("totalTokenCount"),
                cache_read: node.count("cachedContentTokenCount"),
                reasoning: node.count("thoughtsTokenCount"),
                tool_input: node.count("toolUsePromptTokenCount"),
                cache_write: None,
            },
            Dialect::Converse => Counts {
                input: node.count("inputTokens"),
                output: node.count("outputTokens"),
                total: node.count("totalTokens"),
                cache_read: node.count("cacheReadInputTokens"),
                cache_write: node.count("cacheWriteInputTokens"),
                ..Counts::default()
            },
            Dialect::Ollama => Counts {
                input: node.count("prompt_eval_count"),
                output: node.count("eval_count"),
                ..Counts::default()
            },
        };
        *self = Counts {
            input: new.input.or(self.input),
            output: new.output.or(self.output),
            total: new.total.or(self.total),
            cache_read: new.cache_read.or(self.cache_read),
            cache_write: new.cache_write.or(self.cache_write),
            reasoning: new.reasoning.or(self.reasoning),
            tool_input: new.tool_input.or(self.tool_input),
        };
    }

    /// In the one way of counting: input with what was cached, output with what was thought.
    pub fn usage(&self, dialect: Dialect) -> Usage {
        let plus = |count: Option<u64>, more: [Option<u64>; 2]| {
            count.map(|count| more.into_iter().flatten().fold(count, u64::saturating_add))
        };
        let (input, output) = match dialect {
            Dialect::Messages | Dialect::Converse => {
                (plus(self.input, [self.cache_read, self.cache_write]), self.output)
            }
            Dialect::Gemini => {
                // An answer that is all thought has no count of its own.
                let said = self.output.or(self.reasoning.map(|_| 0));
                (plus(self.input, [self.tool_input, None]), plus(said, [self.reasoning, None]))
            }
            _ => (self.input, self.output),
        };
        Usage {
            input,
            output,
            total: self.total,
            cache_read: self.cache_read,
            cache_write: self.cache_write,
            reasoning: self.reasoning,
        }
    }
}

/// The usage in an object of this dialect.
pub fn read_usage(dialect: Dialect, node: Option<&Node<'_>>) -> Usage {
    let mut counts = Counts::default();
    if let Some(node) = node {
        counts.take(dialect, node);
    }
    counts.usage(dialect)
}

/// Whether there is anything to tell. A usage object of OpenAI's has all its counts or is missing.
pub fn is_told(dialect: Dialect, usage: &Usage) -> bool {
    match dialect {
        Dialect::Chat | Dialect::Embeddings | Dialect::Responses => {
            usage.input.is_some() && usage.output.is_some()
        }
        Dialect::Messages | Dialect::Gemini | Dialect::Converse | Dialect::Ollama => {
            usage.is_known()
        }
    }
}

/// Writes the fields of a usage object. A count that is not known is left out, except where a
/// dialect's clients count on it.
pub fn write_usage(dialect: Dialect, usage: &Usage, w: &mut Writer) {
    let both = usage.input.zip(usage.output).map(|(input, output)| input.saturating_add(output));
    let total = usage.total.or(both);
    let cached = usage.cache_read.unwrap_or(0).saturating_add(usage.cache_write.unwrap_or(0));
    let fresh = usage.input.map(|input| input.saturating_sub(cached));
    match dialect {
        Dialect::Chat | Dialect::Embeddings => write_chat(usage, total, w),
        Dialect::Responses => write_responses(usage, total, w),
        Dialect::Messages => {
            // Clients add these up without asking whether they are there.
            w.key("input_tokens").count(fresh.unwrap_or(0));
            w.maybe_count("cache_creation_input_tokens", usage.cache_write);
            w.maybe_count("cache_read_input_tokens", usage.cache_read);
            w.key("output_tokens").count(usage.output.unwrap_or(0));
        }
        Dialect::Gemini => {
            let thought = usage.reasoning.unwrap_or(0);
            w.maybe_count("promptTokenCount", usage.input);
            w.maybe_count("cachedContentTokenCount", usage.cache_read);
            w.maybe_count("candidatesTokenCount", usage.output.map(|n| n.saturating_sub(thought)));
            w.maybe_count("thoughtsTokenCount", usage.reasoning);
            w.maybe_count("totalTokenCount", total);
        }
        Dialect::Converse => {
            w.maybe_count("inputTokens", fresh);
            w.maybe_count("outputTokens", usage.output);
            w.maybe_count("totalTokens", total);
            w.maybe_count("cacheReadInputTokens", usage.cache_read);
            w.maybe_count("cacheWriteInputTokens", usage.cache_write);
        }
        Dialect::Ollama => {
            w.maybe_count("prompt_eval_count", usage.input);
            w.maybe_count("eval_count", usage.output);
        }
    }
}

fn write_chat(usage: &Usage, total: Option<u64>, w: &mut Writer) {
    w.maybe_count("prompt_tokens", usage.input);
    w.maybe_count("completion_tokens", usage.output);
    w.maybe_count("total_tokens", total);
    if usage.cache_read.or(usage.cache_write).is_some() {
        w.key("prompt_tokens_details").object(|w| {
            w.maybe_count("cached_tokens", usage.cache_read);
            w.maybe_count("cache_write_tokens", usage.cache_write);
        });
    }
    if let Some(reasoning) = usage.reasoning {
        w.key("completion_tokens_details").object(|w| w.key("reasoning_tokens").count(reasoning));
    }
}

/// The details are never missing in this dialect, so its clients read them unasked.
fn write_responses(usage: &Usage, total: Option<u64>, w: &mut Writer) {
    w.maybe_count("input_tokens", usage.input);
    w.key("input_tokens_details").object(|w| {
        w.key("cached_tokens").count(usage.cache_read.unwrap_or(0));
        w.key("cache_write_tokens").count(usage.cache_write.unwrap_or(0));
    });
    w.maybe_count("output_tokens", usage.output);
    w.key("output_tokens_details").object(|w| {
        w.key("reasoning_tokens").count(usage.reasoning.unwrap_or(0));
    });
    w.maybe_count("total_tokens", total);
}
