//! Addresses of electronic mail.

use std::ops::Range;

use super::text::{off_escapes, run_end};

/// The longest part before the `@` that is looked at; standards allow 64 characters.
const LONGEST_LOCAL: usize = 128;

/// Endings of file names that follow an `@` (`icon@2x.png`) and are no top-level domains.
const FILES: [&[u8]; 6] = [b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp"];

/// The address whose `@` stands at `at`.
pub(super) fn email(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let from = at.saturating_sub(LONGEST_LOCAL);
    let n_local = bytes[from..at].iter().rev().take_while(|byte| is_local(**byte)).count();
    let mut start = whole_character(bytes, at - n_local, at);
    while start < at && bytes[start] == b'.' {
        start += 1;
    }
    start = off_escapes(bytes, start..at).start;
    if start >= at {
        return None;
    }
    domain_end(bytes, at + 1).map(|end| start..end)
}

/// Where the domain ends that begins at `start`: labels with dots between them, of which the last
/// has letters only.
fn domain_end(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut end) = (start, None);
    loop {
        let label = run_end(bytes, at, is_label);
        if label == at {
            break;
        }
        let last = &bytes[at..run_end(bytes, at, |byte| is_label(byte) && byte != b'-')];
        let is_top = last.len() >= 2 && !last.iter().any(u8::is_ascii_digit);
        if at > start && is_top && !FILES.contains(&last) {
            end = Some(at + last.len());
        }
        if bytes.get(label) != Some(&b'.') {
            break;
        }
        at = label + 1;
    }
    end
}

/// A byte of two-byte UTF-8: letters with accents, Greek, Cyrillic, Hebrew, Arabic. Longer ones
/// are scripts without spaces, where the sentence would become part of the address.
fn is_letter_beyond_ascii(byte: u8) -> bool {
    matches!(byte, 0x80..=0xbf | 0xc3..=0xdf)
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._%+'-".contains(&byte) || is_letter_beyond_ascii(byte)
}

fn is_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || is_letter_beyond_ascii(byte)
}

/// The first place from `start` on where a character begins.
fn whole_character(bytes: &[u8], start: usize, end: usize) -> usize {
    (start..end).find(|place| bytes[*place] & 0xc0 != 0x80).unwrap_or(end)
}
