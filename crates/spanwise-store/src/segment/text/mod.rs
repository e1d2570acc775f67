//! What a text search finds.
//!
//! Recorded text is what the producer wrote for people: span names, status messages, attribute
//! values, events and messages. Of a value that looks like JSON it is the string values and the
//! numbers, not the keys. A word is a run of letters and digits, compared in lower case; a phrase
//! matches within one string, never across two. The live scan, the scan of a segment and the text
//! index all go through [`words`], so they agree.

mod index;
mod phrase;
mod scan;

use memchr::{memchr2_iter, memmem};
use spanwise_model::{Attributes, StoredSpan, Value};

pub(super) use self::index::TextIndex;
pub use self::index::index_text;
use super::json;
use crate::query::TextQuery;

/// Longer words are cut here: nobody types them, and base64 must not bloat the index.
const MAX_WORD_BYTES: usize = 128;

/// The words of a text, in lower case and in order.
pub fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut word = String::new();
        next_word(&mut rest, &mut word).then_some(word)
    })
}

/// Takes the next word off the front of `rest` and puts it, as it is compared, into `word`: in
/// lower case, and cut if it is very long.
fn next_word(rest: &mut &str, word: &mut String) -> bool {
    let text = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
    if text.is_empty() {
        return false;
    }
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    let cut = if end > MAX_WORD_BYTES { text.floor_char_boundary(MAX_WORD_BYTES) } else { end };
    word.clear();
    if text[..cut].is_ascii() {
        word.push_str(&text[..cut]);
        word.make_ascii_lowercase();
    } else {
        word.push_str(&text[..cut].to_lowercase());
    }
    *rest = &text[end..];
    true
}

/// Calls `found` with each string of a recorded value that is searched by itself: the text, or
/// the string values and numbers of JSON. Stops when `found` says false.
pub fn each_string(text: &str, mut found: impl FnMut(&str) -> bool) -> bool {
    if json::looks_like_json(text) { json::each_value(text, found) } else { found(text) }
}

/// A [`TextQuery`] made ready to be tried on many texts.
#[derive(Debug)]
pub struct Matcher<'q> {
    query: &'q TextQuery,
    /// The longest word if it is ASCII, and the position of its rarest letter in it: a text
    /// without it needs no second look.
    needle: Option<(&'q [u8], usize)>,
}

impl<'q> Matcher<'q> {
    /// Makes a query ready. A query without words matches nothing.
    pub fn new(query: &'q TextQuery) -> Self {
        let longest = query.words.iter().max_by_key(|word| word.len());
        let needle = longest
            .filter(|word| word.is_ascii() && word.len() < MAX_WORD_BYTES)
            .map(|word| (word.as_bytes(), rarest_letter(word.as_bytes())));
        Matcher { query, needle }
    }

    /// Whether a recorded value matches.
    pub fn matches(&self, text: &str) -> bool {
        self.may_match(text) && !each_string(text, |string| !self.matches_string(string))
    }

    /// Whether a value that is known not to be JSON matches.
    fn matches_plain(&self, text: &str) -> bool {
        self.may_match(text) && self.matches_string(text)
    }

    /// Whether a piece of a value that looks like JSON matches.
    fn matches_json_piece(&self, piece: &str) -> bool {
        self.may_match(piece) && !json::each_value(piece, |string| !self.matches_string(string))
    }

    /// Whether a span or log record has a recorded text that matches.
    pub fn matches_span(&self, stored: &StoredSpan) -> bool {
        let span = &stored.span;
        self.matches(&span.name)
            || self.matches(&span.status.message)
            || self.matches_attributes(&span.attributes)
            || span.events.iter().any(|event| {
                self.matches(&event.name) || self.matches_attributes(&event.attributes)
            })
            || span.links.iter().any(|link| self.matches_attributes(&link.attributes))
    }

    fn matches_attributes(&self, attributes: &Attributes) -> bool {
        attributes.iter().any(|attribute| self.matches_value(&attribute.value))
    }

    fn matches_value(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.matches(text),
            Value::Array(values) => values.iter().any(|value| self.matches_value(value)),
            Value::Map(attributes) => self.matches_attributes(attributes),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Bytes(_) => {
                false
            }
        }
    }

    /// False only if no word of `text` can be the needle. Escapes can hide letters from a look
    /// at the bytes, and so can the two characters whose lower case begins with an ASCII letter.
    fn may_match(&self, text: &str) -> bool {
        let Some((needle, rarest)) = self.needle else { return true };
        let bytes = text.as_bytes();
        let letter = needle[rarest];
        let seen = memchr2_iter(letter, letter.to_ascii_uppercase(), bytes).any(|at| {
            at.checked_sub(rarest)
                .and_then(|from| bytes.get(from..from + needle.len()))
                .is_some_and(|found| found.eq_ignore_ascii_case(needle))
        });
        seen || ["\\u", "\u{212a}", "\u{130}"]
            .iter()
            .any(|hidden| memmem::find(bytes, hidden.as_bytes()).is_some())
    }

    fn matches_string(&self, text: &str) -> bool {
        let Some((last, first)) = self.query.words.split_last() else { return false };
        if first.is_empty() {
            return words(text).any(|word| self.is_last(&word, last));
        }
        let words: Vec<String> = words(text).collect();
        words.windows(first.len() + 1).any(|window| {
            window.iter().zip(first).all(|(word, wanted)| word == wanted)
                && self.is_last(&window[first.len()], last)
        })
    }

    fn is_last(&self, word: &str, wanted: &str) -> bool {
        if self.query.prefix { word.starts_with(wanted) } else { word == wanted }
    }
}

/// Position of the letter of a word that texts contain least.
fn rarest_letter(word: &[u8]) -> usize {
    const COMMON_FIRST: &[u8] = b"etaoinsrhldcumfpgwybvkxjqz";
    let rank =
        |byte: &u8| COMMON_FIRST.iter().position(|b| b == byte).unwrap_or(COMMON_FIRST.len());
    (0..word.len()).max_by_key(|&at| rank(&word[at])).unwrap_or(0)
}
