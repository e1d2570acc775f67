//! The inside of JSON strings.

use std::borrow::Cow;

/// How many bytes at the start are neither quote, backslash nor control character.
#[inline]
pub fn plain_len(bytes: &[u8]) -> usize {
    // Most strings are names, and most names end in the first word.
    match bytes.first_chunk::<8>().map(|word| first_special(*word)) {
        Some(first) if first < 8 => first,
        Some(_) => 8 + long_plain_len(&bytes[8..]),
        None => long_plain_len(bytes),
    }
}

/// The same for texts. Blocks are judged without a branch per byte, so that the compiler uses
/// vectors.
fn long_plain_len(bytes: &[u8]) -> usize {
    let (blocks, rest) = bytes.as_chunks::<16>();
    for (n, block) in blocks.iter().enumerate() {
        if block.iter().fold(false, |any, &byte| any | is_special(byte)) {
            let (words, _) = block.as_chunks::<8>();
            let first = first_special(words[0]);
            return n * 16 + if first < 8 { first } else { 8 + first_special(words[1]) };
        }
    }
    let within = rest.iter().position(|&byte| is_special(byte));
    blocks.len() * 16 + within.unwrap_or(rest.len())
}

#[inline]
#[expect(clippy::needless_bitwise_bool, reason = "a branch would keep vectors away")]
fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Where the first special byte of a word is; 8 if there is none. A byte less than `n` borrows
/// from its highest bit when `n` is taken away, and so does, falsely, the byte after one that
/// did: but only the first one counts.
#[inline]
fn first_special(word: [u8; 8]) -> usize {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let word = u64::from_le_bytes(word);
    let below = |word: u64, n: u64| word.wrapping_sub(EACH * n) & !word;
    let quote = below(word ^ (EACH * u64::from(b'"')), 1);
    let backslash = below(word ^ (EACH * u64::from(b'\\')), 1);
    let special = (below(word, 0x20) | quote | backslash) & (EACH << 7);
    special.trailing_zeros() as usize / 8
}

/// Length of the escape sequence that starts here, a pair of surrogates counting as one. One half
/// of a pair is an error only where `wants_pairs`.
pub fn escape_len(bytes: &[u8], wants_pairs: bool) -> Result<usize, &'static str> {
    match bytes.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
        Some(b'u') => match hex4(bytes.get(2..6)).ok_or("expected four hexadecimal digits")? {
            0xd800..=0xdbff if low_surrogate(&bytes[6..]).is_some() => Ok(12),
            0xd800..=0xdfff if wants_pairs => Err("lone surrogate"),
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
