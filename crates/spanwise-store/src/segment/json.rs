//! Just enough of JSON to cut a text between array elements and to find the strings people read,
//! without parsing it: one pass that knows strings from structure.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// Arrays nested deeper than this are not cut into.
const MAX_CUT_DEPTH: usize = 8;

/// Whether `text` is an object or array, as far as brackets, strings and bare words show.
pub fn looks_like_json(text: &str) -> bool {
    scan(text, |_| {})
}

/// Calls `element_end` with the position after each element of an array, down to a limited depth,
/// and says whether the text looks like JSON. The positions mean nothing if not.
///
/// The position is before the `,` or `]`, so that an element is followed by the same cut whether
/// or not it is the last: a message that ends one request is found again in the next.
pub(super) fn scan(text: &str, mut element_end: impl FnMut(usize)) -> bool {
    let bytes = text.as_bytes();
    let Some(first) = bytes.iter().position(|b| !b.is_ascii_whitespace()) else { return false };
    if !matches!(bytes[first], b'{' | b'[') {
        return false;
    }
    let mut open: Vec<u8> = Vec::with_capacity(16);
    let mut at = first;
    while at < bytes.len() {
        let byte = bytes[at];
        match byte {
            b'"' => match string_end(bytes, at + 1) {
                Some(end) => at = end,
                None => return false,
            },
            b'{' | b'[' => open.push(byte + 2),
            b'}' | b']' => {
                if byte == b']' && open.len() <= MAX_CUT_DEPTH {
                    element_end(at);
                }
                if open.pop() != Some(byte) {
                    return false;
                }
                if open.is_empty() {
                    return bytes[at + 1..].iter().all(u8::is_ascii_whitespace);
                }
            }
            b',' => {
                if open.len() <= MAX_CUT_DEPTH && open.last() == Some(&b']') {
                    element_end(at);
                }
            }
            b':' | b' ' | b'\t' | b'\n' | b'\r' => {}
            _ => match bare_end(bytes, at) {
                Some(end) => at = end - 1,
                None => return false,
            },
        }
        at += 1;
    }
    false
}

/// Position of the closing quote of the string whose content starts at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// End of the number or literal that starts at `at`; `None` if it is neither.
fn bare_end(bytes: &[u8], at: usize) -> Option<usize> {
    let len = bytes[at..]
        .iter()
        .position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')))
        .unwrap_or(bytes.len() - at);
    let word = &bytes[at..at + len];
    let number = word.iter().any(u8::is_ascii_digit)
        && word.iter().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    let literal: [&[u8]; 6] = [b"true", b"false", b"null", b"NaN", b"Infinity", b"-Infinity"];
    (number || literal.contains(&word)).then_some(at + len)
}

/// Calls `found` with each string value (unescaped; not keys) and each number of a text that
/// looks like JSON, or of a piece of one that was cut where [`scan`] said. Stops early when
/// `found` says false; returns whether it never did.
pub(super) fn each_value(piece: &str, mut found: impl FnMut(&str) -> bool) -> bool {
    let bytes = piece.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte == b'"' {
            let Some(end) = string_end(bytes, at + 1) else { return true };
            let content = &piece[at + 1..end];
            at = end + 1;
            if !followed_by_colon(&bytes[at..]) && !found(&unescape(content)) {
                return false;
            }
        } else if byte.is_ascii_digit() {
            let end = bare_end(bytes, at).unwrap_or(at + 1);
            if !found(&piece[at..end]) {
                return false;
            }
            at = end;
        } else {
            at += 1;
        }
    }
    true
}

fn followed_by_colon(rest: &[u8]) -> bool {
    rest.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b':')
}

/// The text of a JSON string's content. Escapes that are none are kept as they are.
fn unescape(content: &str) -> Cow<'_, str> {
    let Some(first) = memchr(b'\\', content.as_bytes()) else { return Cow::Borrowed(content) };
    let mut text = String::with_capacity(content.len());
    text.push_str(&content[..first]);
    let mut rest = &content[first..];
    while let Some(escape) = memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..escape]);
        let (character, len) = escaped(&rest[escape..]);
        match character {
            Some(character) => text.push(character),
            None => text.push_str(&rest[escape..escape + len]),
        }
        rest = &rest[escape + len..];
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// The character that the escape at the start of `rest` stands for, and the escape's length.
fn escaped(rest: &str) -> (Option<char>, usize) {
    let simple = |character| (Some(character), 2);
    match rest.as_bytes().get(1) {
        Some(b'n') => simple('\n'),
        Some(b't') => simple('\t'),
        Some(b'r') => simple('\r'),
        Some(b'b') => simple('\u{8}'),
        Some(b'f') => simple('\u{c}'),
        Some(b @ (b'"' | b'\\' | b'/')) => simple(char::from(*b)),
        Some(b'u') => unicode_escape(rest),
        _ => (None, 1),
    }
}

fn unicode_escape(rest: &str) -> (Option<char>, usize) {
    let unit = |at: usize| {
        let digits = rest.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let Some(high) = unit(0) else { return (None, 1) };
    if let (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) = (high, unit(6)) {
        return (char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)), 12);
    }
    (Some(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER)), 6)
}
