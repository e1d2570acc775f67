//! Where words begin and end, also in text that is full of JSON's escape sequences.

use std::ops::Range;

use super::context::{Context, Topic};

/// A text to look at.
#[derive(Clone, Copy)]
pub(super) struct Text<'t> {
    /// The text itself. All that detectors look for is ASCII.
    pub bytes: &'t [u8],
    /// What it is the value of, if anything: its key says what a bare number is.
    pub key: &'t str,
    /// Whether it is a number of a JSON text, which is rarely what it would be in prose.
    pub is_number: bool,
    /// Tells what the words before a number mean.
    pub context: &'t Context,
}

impl Text<'_> {
    /// Whether the `reach` bytes before `at` speak of something, or the key if they reach the start.
    pub fn is_said_before(&self, at: usize, reach: usize, topic: Topic) -> bool {
        let from = at.saturating_sub(reach);
        self.context.says(topic, &self.bytes[from..at])
            || (from == 0 && self.context.says(topic, self.key.as_bytes()))
    }
}

/// ASCII letters, digits and the underscore. Characters beyond ASCII are not part of a word here:
/// most scripts that use them put no space before a number or an address.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The byte `back` places before `at`.
pub(super) fn before(bytes: &[u8], at: usize, back: usize) -> Option<u8> {
    at.checked_sub(back).map(|place| bytes[place])
}

/// Whether a word can begin at `at`.
pub(super) fn starts_word(bytes: &[u8], at: usize) -> bool {
    before(bytes, at, 1).is_none_or(|byte| !is_word(byte)) || ends_escape(bytes, at)
}

/// Whether a word can end at `at`.
pub(super) fn ends_word(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_none_or(|byte| !is_word(*byte))
}

/// Whether one of JSON's escape sequences ends at `at`, such as `\n` or `\u4f60`.
fn ends_escape(bytes: &[u8], at: usize) -> bool {
    let is_short = before(bytes, at, 2) == Some(b'\\')
        && before(bytes, at, 1).is_some_and(|byte| b"nrtbf\"/\\".contains(&byte));
    is_short
        || (before(bytes, at, 6) == Some(b'\\')
            && before(bytes, at, 5) == Some(b'u')
            && bytes[at - 4..at].iter().all(u8::is_ascii_hexdigit))
}

/// Where the escape sequence `\uXXXX` ends that `at` lies in, if it does.
pub(super) fn end_of_unicode_escape(bytes: &[u8], at: usize) -> Option<usize> {
    for back in 0..4 {
        match before(bytes, at, back + 1)? {
            b'u' if before(bytes, at, back + 2) == Some(b'\\') => {
                return Some((at - back + 4).min(bytes.len()));
            }
            byte if byte.is_ascii_hexdigit() => {}
            _ => return None,
        }
    }
    None
}

/// Moves a match off escape sequences that it would cut in two: `\nbob@x.org` begins at the `b`.
pub(super) fn off_escapes(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let Range { mut start, mut end } = range;
    if let Some(whole) = end_of_unicode_escape(bytes, start) {
        start = whole;
    } else if n_backslashes(bytes, start) % 2 == 1 {
        start = match bytes.get(start) {
            Some(b'u') => (start + 5).min(bytes.len()),
            _ => start + 1,
        };
    }
    let within = n_backslashes(bytes, end).min(end.saturating_sub(start));
    if within % 2 == 1 {
        end -= 1;
    }
    start..end.max(start)
}

/// How many backslashes stand right before `at`.
fn n_backslashes(bytes: &[u8], at: usize) -> usize {
    bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count()
}

/// Where the run of bytes ends that begins at `at` and holds to `is_in`.
pub(super) fn run_end(bytes: &[u8], at: usize, is_in: impl Fn(u8) -> bool) -> usize {
    bytes[at..].iter().position(|byte| !is_in(*byte)).map_or(bytes.len(), |length| at + length)
}

/// As much of a text as is looked at before something counts as a secret: text that repeats what
/// secrets begin with is not read from each of the places to its end.
pub(super) fn start_of(bytes: &[u8], at: usize) -> &[u8] {
    const LOOK_BYTES: usize = 1024;
    &bytes[..bytes.len().min(at + LOOK_BYTES)]
}
