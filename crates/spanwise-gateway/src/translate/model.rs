//! What the name of a model tells of the parameters it takes.
//!
//! Dialects are the same for all models of a provider, but some parameters are refused by some
//! models. Only what would otherwise end in an error of the provider is looked up here.

/// The version of a Claude model, from names such as `claude-sonnet-4-5-20250929`,
/// `claude-3-7-sonnet-latest` or `eu.anthropic.claude-opus-4-1-20250805-v1:0`.
fn claude_version(model: &str) -> Option<(u32, u32)> {
    let (_, name) = model.split_once("claude-")?;
    // A date is longer than a version.
    let version = |word: &str| if word.len() < 3 { word.parse::<u32>().ok() } else { None };
    let mut words = name.split(['-', '.', '@', ':']).skip_while(|word| version(word).is_none());
    let major = version(words.next()?)?;
    Some((major, words.next().and_then(version).unwrap_or(0)))
}

/// How a Claude model wants to be asked. Other models behind the same dialect are asked as the
/// oldest Claude was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claude {
    version: (u32, u32),
    is_opus: bool,
}

impl Claude {
    /// From the model's name.
    pub fn of(model: &str) -> Self {
        let version = claude_version(model).unwrap_or_default();
        Claude { version, is_opus: model.contains("opus") }
    }

    /// Whether it takes temperature, top-p and top-k.
    pub fn takes_sampling(self) -> bool {
        self.version < (4, 7)
    }

    /// Whether it takes a top-p when there is a temperature too.
    pub fn takes_both(self) -> bool {
        self.version < (4, 1)
    }

    /// Whether it takes `output_config.effort`.
    pub fn takes_effort(self) -> bool {
        self.version >= (4, 6) || self.is_opus && self.version >= (4, 5)
    }

    /// Whether it decides itself how much to think.
    pub fn thinks_adaptively(self) -> bool {
        self.version >= (4, 6)
    }

    /// Whether it takes a budget of tokens for thinking.
    pub fn takes_budget(self) -> bool {
        ((3, 7)..(4, 7)).contains(&self.version)
    }

    /// Whether its answer and the arguments of its calls can be bound to a schema.
    pub fn takes_schema(self) -> bool {
        self.version >= (4, 5)
    }

    /// A limit to the answer that the model accepts, for requests that name none.
    pub fn max_tokens(self) -> u64 {
        match self.version {
            (4.., _) => 32_000,
            (3, 5..) => 8_192,
            _ => 4_096,
        }
    }
}

/// How an OpenAI-compatible model wants to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenAi {
    /// One of OpenAI's models that always think: these refuse what steers sampling, and count
    /// their thoughts in the limit of the answer.
    pub is_reasoner: bool,
    /// Whether it takes `reasoning_effort`.
    pub takes_effort: bool,
}

impl OpenAi {
    /// From the model's name.
    pub fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        let digits = |rest: &str| {
            let end = rest.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse::<u32>().ok()
        };
        let is_series = |prefix: &str, from: u32| {
            name.strip_prefix(prefix).and_then(digits).is_some_and(|number| number >= from)
        };
        let is_reasoner = is_series("o", 1) || is_series("gpt-", 5) && !name.contains("chat");
        let thinks = ["gpt-oss", "gemini-2.5", "gemini-3", "grok-3-mini"];
        let takes_effort = is_reasoner || thinks.iter().any(|prefix| name.starts_with(prefix));
        OpenAi { is_reasoner, takes_effort }
    }
}

/// How a Gemini model wants to be told how much to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeminiThinking {
    /// It does not think.
    Never,
    /// By a budget of tokens.
    Budget,
    /// By a level, and it wants the signatures of its thoughts back.
    Level,
}

impl GeminiThinking {
    /// From the model's name.
    pub fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        match name.strip_prefix("gemini-") {
            Some(rest) if rest.starts_with("2.5") => GeminiThinking::Budget,
            Some(rest) if rest.starts_with(['1', '2']) => GeminiThinking::Never,
            Some(_) => GeminiThinking::Level,
            None => GeminiThinking::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_claude_are_read_from_every_kind_of_name() {
        for (name, version) in [
            ("claude-sonnet-4-5-20250929", Some((4, 5))),
            ("claude-3-7-sonnet-latest", Some((3, 7))),
            ("claude-3-haiku-20240307", Some((3, 0))),
            ("eu.anthropic.claude-opus-4-1-20250805-v1:0", Some((4, 1))),
            ("us.anthropic.claude-sonnet-4-20250514-v1:0", Some((4, 0))),
            ("claude-opus-4@20250514", Some((4, 0))),
            ("anthropic/claude-opus-4.7", Some((4, 7))),
            ("claude-sonnet-5", Some((5, 0))),
            ("deepseek-chat", None),
            ("claude-instant", None),
        ] {
            assert_eq!(claude_version(name), version, "{name}");
        }
    }

    #[test]
    fn models_that_think_are_known_by_name() {
        assert!(OpenAi::of("gpt-5-mini").is_reasoner);
        assert!(OpenAi::of("openai/o3").is_reasoner);
        assert!(!OpenAi::of("gpt-4o").takes_effort);
        assert!(!OpenAi::of("gpt-5-chat-latest").is_reasoner);
        assert!(!OpenAi::of("gpt-oss-120b").is_reasoner && OpenAi::of("gpt-oss-120b").takes_effort);
        assert!(!OpenAi::of("olmo").is_reasoner);
        assert_eq!(GeminiThinking::of("models/gemini-2.5-flash"), GeminiThinking::Budget);
        assert_eq!(GeminiThinking::of("gemini-2.0-flash"), GeminiThinking::Never);
        assert_eq!(GeminiThinking::of("gemini-3-pro-preview"), GeminiThinking::Level);
        assert_eq!(GeminiThinking::of("gemma-3"), GeminiThinking::Never);
    }
}
