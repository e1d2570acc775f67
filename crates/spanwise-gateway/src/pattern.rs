//! Names with wildcards, by which keys and limits say which models and agents they mean.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A name in which `*` stands for any run of characters. Case counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// The pattern that is written like this.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Pattern(text.into())
    }

    /// How the pattern is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole name is meant.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut seen) = (0, 0);
        // Where to resume when the last star has to swallow one character more.
        let mut star: Option<(usize, usize)> = None;
        while seen < name.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at + 1, seen));
                    at += 1;
                }
                Some(byte) if *byte == name[seen] => {
                    at += 1;
                    seen += 1;
                }
                _ => {
                    let Some((after_star, swallowed)) = star else { return false };
                    star = Some((after_star, swallowed + 1));
                    (at, seen) = (after_star, swallowed + 1);
                }
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

/// Which names are meant. By default all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Patterns(Option<Box<[Pattern]>>);

impl Patterns {
    /// Every name.
    pub const ALL: Patterns = Patterns(None);

    /// The names that one of these patterns means.
    pub fn of<T: Into<Box<str>>>(patterns: impl IntoIterator<Item = T>) -> Self {
        Patterns(Some(patterns.into_iter().map(Pattern::new).collect()))
    }

    /// Whether every name is meant.
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether this name is meant.
    pub fn matches(&self, name: &str) -> bool {
        match &self.0 {
            None => true,
            Some(patterns) => patterns.iter().any(|pattern| pattern.matches(name)),
        }
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PatternsVisitor)
    }
}

/// Takes one pattern or a list of them.
struct PatternsVisitor;

impl<'de> Visitor<'de> for PatternsVisitor {
    type Value = Patterns;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, in which `*` stands for anything, or a list of names")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Patterns, E> {
        Ok(Patterns::of([text]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Patterns, A::Error> {
        let mut patterns = Vec::new();
        while let Some(pattern) = seq.next_element::<Pattern>()? {
            patterns.push(pattern);
        }
        if patterns.is_empty() {
            return Err(de::Error::custom(
                "an empty list would allow nothing; leave it out to allow everything",
            ));
        }
        Ok(Patterns(Some(patterns.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run() {
        let cases = [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("gpt-4o*", "gpt-4o-mini", true),
            ("gpt-4o*", "gpt-4o", true),
            ("openai/*", "openai/gpt-4o", true),
            ("openai/*", "anthropic/claude", false),
            ("*-mini", "gpt-4o-mini", true),
            ("*-mini", "gpt-4o-mini-high", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = Pattern::new("*a".repeat(40) + "b");
        assert!(!pattern.matches(&"a".repeat(2_000)));
    }

    #[test]
    fn patterns_are_a_name_or_a_list_but_never_an_empty_one() {
        let one: Patterns = serde_json::from_str(r#""openai/*""#).unwrap();
        assert!(one.matches("openai/gpt-4o") && !one.matches("gpt-4o"));
        let two: Patterns = serde_json::from_str(r#"["a", "b*"]"#).unwrap();
        assert!(two.matches("a") && two.matches("bc") && !two.matches("c"));
        assert!(Patterns::default().matches("anything"));
        assert!(serde_json::from_str::<Patterns>("[]").is_err());
        assert!(serde_json::from_str::<Patterns>("3").is_err());
    }
}
