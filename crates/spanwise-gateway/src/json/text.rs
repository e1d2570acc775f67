//! The inside of JSON strings.

use std::borrow::Cow;

/// How many bytes at the start are neither quote, backslash nor control character. Blocks are
/// judged without a branch per byte, so that the compiler uses vectors.
#[inline]
pub fn plain_len(bytes: &[u8]) -> usize {
    const BLOCK: usize = 16;
    let mut at = 0;
    for block in bytes.chunks_exact(BLOCK) {
        if block.iter().fold(false, |any, &byte| any | is_special(byte)) {
            break;
        }
        at += BLOCK;
    }
    let rest = &bytes[at..];
    at + rest.iter().position(|&byte| is_special(byte)).unwrap_or(rest.len())
}

#[inline]
fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Length of the escape sequence that starts here, a pair of surrogates counting as one.
pub fn escape_len(bytes: &[u8]) -> Result<usize, &'static str> {
    match bytes.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
        Some(b'u') => match hex4(bytes.get(2..6)).ok_or("expected four hexadecimal digits")? {
            0xd800..=0xdbff if low_surrogate(&bytes[6..]).is_some() => Ok(12),
            0xd800..=0xdfff => Err("lone surrogate"),
            _ => Ok(6),
        },
        _ => Err("unknown escape"),
    }
}

/// The text of a string literal without its quotes. A lone surrogate, which a provider may well
/// send when it cuts a character in two, becomes a replacement character.
pub fn unescape(inside: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', inside.as_bytes()) else {
        return Cow::Borrowed(inside);
    };
    let mut text = String::with_capacity(inside.len());
    let mut rest = inside;
    let mut escape = Some(first);
    while let Some(at) = escape {
        text.push_str(&rest[..at]);
        let (character, len) = resolve(&rest.as_bytes()[at..]);
        text.push(character);
        rest = rest.get(at + len..).unwrap_or_default();
        escape = memchr::memchr(b'\\', rest.as_bytes());
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// The character that an escape sequence stands for, and the length of the sequence.
fn resolve(bytes: &[u8]) -> (char, usize) {
    let simple = match bytes.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return resolve_unicode(bytes),
        Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
        _ => return (char::REPLACEMENT_CHARACTER, 1),
    };
    (simple, 2)
}

fn resolve_unicode(bytes: &[u8]) -> (char, usize) {
    let Some(first) = hex4(bytes.get(2..6)) else {
        return (char::REPLACEMENT_CHARACTER, 2);
    };
    if let (0xd800..=0xdbff, Some(second)) = (first, low_surrogate(&bytes[6..])) {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

fn low_surrogate(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(b"\\u")?;
    hex4(digits.get(..4)).filter(|code| (0xdc00..=0xdfff).contains(code))
}

fn hex4(digits: Option<&[u8]>) -> Option<u32> {
    digits?.iter().try_fold(0, |code, &digit| Some(code << 4 | char::from(digit).to_digit(16)?))
}
