//! What the words before a number say about it.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// What a bare number can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Phone,
    SocialSecurity,
    Passport,
}

/// Words with what they announce. Those that end in a dot here count as whole words only.
const WORDS: [(&str, Topic); 22] = [
    ("phone", Topic::Phone),
    ("mobile", Topic::Phone),
    ("whatsapp", Topic::Phone),
    ("call me", Topic::Phone),
    ("call us", Topic::Phone),
    ("text me", Topic::Phone),
    ("电话", Topic::Phone),
    ("手机", Topic::Phone),
    ("電話", Topic::Phone),
    ("tel.", Topic::Phone),
    ("cell.", Topic::Phone),
    ("fax.", Topic::Phone),
    ("sms.", Topic::Phone),
    ("ssn", Topic::SocialSecurity),
    ("social security", Topic::SocialSecurity),
    ("social_security", Topic::SocialSecurity),
    ("passport", Topic::Passport),
    ("passeport", Topic::Passport),
    ("pasaporte", Topic::Passport),
    ("reisepass", Topic::Passport),
    ("passaporto", Topic::Passport),
    ("护照", Topic::Passport),
];

/// Finds such words.
pub(super) struct Context(AhoCorasick);

impl Context {
    pub fn new() -> Self {
        let words = WORDS.iter().map(|(word, _)| word.trim_end_matches('.'));
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostFirst)
            .kind(Some(AhoCorasickKind::DFA))
            // Texts are so short that looking for rare bytes first costs more than it saves.
            .prefilter(false)
            .build(words)
            .expect("words that are known at compile time fit an automaton");
        Context(automaton)
    }

    /// Whether a text speaks of something.
    pub fn says(&self, topic: Topic, near: &[u8]) -> bool {
        self.topics(near).any(|said| said == topic)
    }

    /// Whether a text speaks of any of the topics.
    pub fn says_anything(&self, near: &[u8]) -> bool {
        self.topics(near).next().is_some()
    }

    fn topics(&self, near: &[u8]) -> impl Iterator<Item = Topic> {
        self.0.find_iter(near).filter_map(|found| {
            let (word, topic) = WORDS[found.pattern().as_usize()];
            let is_letter = |at: Option<usize>| {
                at.and_then(|at| near.get(at)).is_some_and(u8::is_ascii_alphabetic)
            };
            let is_part = is_letter(found.start().checked_sub(1)) || is_letter(Some(found.end()));
            (!word.ends_with('.') || !is_part).then_some(topic)
        })
    }
}
