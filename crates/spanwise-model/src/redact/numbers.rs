//! What is made of digits: cards, account, telephone, insurance and passport numbers, addresses.
//!
//! Every detector is asked at the start of a run of digits and looks at its length and its
//! neighbours first, so that the many numbers of a JSON text cost little.

use core::net::Ipv6Addr;
use std::ops::Range;

use super::context::Topic;
use super::text::{Text, before, end_of_unicode_escape, ends_word, run_end, starts_word};
use super::{checks, phone};

/// Which of the detectors are on.
#[derive(Clone, Copy)]
pub(super) struct Classes {
    pub pii: bool,
    pub financial: bool,
}

/// What stands at a run of digits: something to redact, or the place to go on at.
pub(super) fn at_digits(text: Text<'_>, start: usize, on: Classes) -> Result<Range<usize>, usize> {
    let bytes = text.bytes;
    if let Some(end) = end_of_unicode_escape(bytes, start) {
        return Err(end.max(start + 1));
    }
    let run = start..run_end(bytes, start, |byte| byte.is_ascii_digit());
    let financial = || card(bytes, &run).or_else(|| iban(bytes, &run));
    let personal = || {
        ip_v4(bytes, &run)
            .or_else(|| ip_v6(bytes, &run))
            .or_else(|| social_security(text, &run))
            .or_else(|| phone::phone(text, &run))
            .or_else(|| passport(text, &run))
    };
    let found = if on.financial { financial() } else { None };
    found.or_else(|| if on.pii { personal() } else { None }).ok_or(run.end)
}

/// Whether a number can begin here: not within a word, nor behind a decimal point.
pub(super) fn starts_number(bytes: &[u8], at: usize) -> bool {
    let is_fraction = before(bytes, at, 1) == Some(b'.')
        && before(bytes, at, 2).is_some_and(|byte| byte.is_ascii_digit());
    starts_word(bytes, at) && !is_fraction
}

/// Whether a number can end here.
pub(super) fn ends_number(bytes: &[u8], at: usize) -> bool {
    let goes_on = bytes.get(at) == Some(&b'.') && is_digit_at(bytes, at + 1);
    ends_word(bytes, at) && !goes_on
}

pub(super) fn is_digit_at(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_some_and(u8::is_ascii_digit)
}

/// A card's number: 13 to 19 digits, or groups as they are printed on cards.
fn card(bytes: &[u8], run: &Range<usize>) -> Option<Range<usize>> {
    if !starts_number(bytes, run.start) {
        return None;
    }
    match run.len() {
        13..=19 if ends_number(bytes, run.end) => {
            let digits = &bytes[run.clone()];
            (checks::has_issuer(digits) && checks::luhn(digits)).then(|| run.clone())
        }
        4 => grouped_card(bytes, run.start),
        _ => None,
    }
}

fn grouped_card(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let separator = *bytes.get(start + 4).filter(|byte| b" -.".contains(byte))?;
    // Most runs of four digits are years.
    let second = run_end(bytes, start + 5, |byte| byte.is_ascii_digit()) - (start + 5);
    if !matches!(second, 4 | 6) {
        return None;
    }
    let mut digits = [0; 19];
    let (mut n_digits, mut groups, mut at) = (0, Vec::with_capacity(5), start);
    let mut found = None;
    while groups.len() < 5 {
        let end = run_end(bytes, at, |byte| byte.is_ascii_digit());
        let group = &bytes[at..end];
        if group.is_empty() || n_digits + group.len() > digits.len() {
            break;
        }
        digits[n_digits..n_digits + group.len()].copy_from_slice(group);
        n_digits += group.len();
        groups.push(group.len());
        let is_printed_so = matches!(*groups, [4, 4, 4, 4] | [4, 4, 4, 4, 1..=3] | [4, 6, 4..=5]);
        if is_printed_so && ends_word(bytes, end) && checks::luhn(&digits[..n_digits]) {
            found = Some(start..end);
        }
        if bytes.get(end) != Some(&separator) {
            break;
        }
        at = end + 1;
    }
    found.filter(|_| digits.iter().any(|digit| *digit != b'0' && *digit != 0))
}

/// An account's number: `DE89 3704 0044 0532 0130 00`, with or without spaces.
fn iban(bytes: &[u8], run: &Range<usize>) -> Option<Range<usize>> {
    let start = run.start.checked_sub(2).filter(|_| run.len() >= 2)?;
    if !bytes[start..run.start].iter().all(u8::is_ascii_alphabetic) {
        return None;
    }
    let country = [bytes[start].to_ascii_uppercase(), bytes[start + 1].to_ascii_uppercase()];
    let length = checks::iban_length(country)?;
    if !starts_word(bytes, start) {
        return None;
    }
    let mut compact = Vec::with_capacity(length);
    let mut at = start;
    while compact.len() < length {
        match bytes.get(at)? {
            byte if byte.is_ascii_alphanumeric() => compact.push(byte.to_ascii_uppercase()),
            b' ' | b'-' if compact.len() % 4 == 0 => {}
            _ => return None,
        }
        at += 1;
    }
    (ends_word(bytes, at) && checks::iban(&compact)).then_some(start..at)
}

/// An address of four numbers, unless it is the version of something.
fn ip_v4(bytes: &[u8], run: &Range<usize>) -> Option<Range<usize>> {
    if run.len() > 3 || bytes.get(run.end) != Some(&b'.') || !starts_number(bytes, run.start) {
        return None;
    }
    let mut at = run.start;
    for number in 0..4 {
        let end = run_end(bytes, at, |byte| byte.is_ascii_digit());
        let digits = &bytes[at..end];
        let value = digits.iter().take(4).fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        if digits.is_empty() || value > 255 || (digits.len() > 1 && digits[0] == b'0') {
            return None;
        }
        at = end;
        if number < 3 {
            (bytes.get(at) == Some(&b'.')).then_some(())?;
            at += 1;
        }
    }
    let found = run.start..at;
    (ends_number(bytes, at) && !is_version(bytes, &found)).then_some(found)
}

/// `Chrome/120.0.0.0` and `version 1.2.3.4`.
fn is_version(bytes: &[u8], found: &Range<usize>) -> bool {
    let is_product = before(bytes, found.start, 1) == Some(b'/')
        && before(bytes, found.start, 2).is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes[found.clone()].ends_with(b".0.0");
    let word = bytes[..found.start].trim_ascii_end();
    is_product || word[word.len().saturating_sub(7)..].eq_ignore_ascii_case(b"version")
}

/// An address of hexadecimal groups, told from times and from paths of C++ by having enough groups.
fn ip_v6(bytes: &[u8], run: &Range<usize>) -> Option<Range<usize>> {
    const LONGEST: usize = 45;
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
    let near = &bytes[..bytes.len().min(run.end + LONGEST)];
    let back =
        bytes[..run.start].iter().rev().take(LONGEST).take_while(|b| is_part(**b)).enumerate();
    let mut start = run.start;
    for (place, byte) in back {
        // The run of digits before this one was asked about the same address.
        if byte.is_ascii_digit() {
            return None;
        }
        start = run.start - place - 1;
    }
    let group = run_end(near, run.end, |byte| byte.is_ascii_hexdigit());
    if bytes.get(group) != Some(&b':') && !bytes[start..run.start].contains(&b':') {
        return None;
    }
    let mut end = run_end(near, group, is_part);
    while end > run.end && matches!(bytes[end - 1], b'.' | b':') && !bytes[..end].ends_with(b"::") {
        end -= 1;
    }
    let address = &bytes[start..end];
    let n_digits = address.iter().filter(|byte| byte.is_ascii_hexdigit()).count();
    let n_colons = address.iter().fold(0, |n, byte| n + usize::from(*byte == b':'));
    let has_groups = n_colons >= 6 || (n_colons >= 2 && address.windows(2).any(|two| two == b"::"));
    if n_digits < 5 || !has_groups || !starts_word(bytes, start) || !ends_word(bytes, end) {
        return None;
    }
    let address = str::from_utf8(address).ok()?;
    address.parse::<Ipv6Addr>().is_ok().then_some(start..end)
}

/// A number of the United States' social security: `123-45-6789`; with spaces or without anything
/// between only where the text says what it is.
fn social_security(text: Text<'_>, run: &Range<usize>) -> Option<Range<usize>> {
    let bytes = text.bytes;
    if !matches!(run.len(), 3 | 9) || !starts_number(bytes, run.start) {
        return None;
    }
    let separator = bytes.get(run.end).copied().filter(|_| run.len() == 3);
    let (digits, end): (Vec<u8>, usize) = match separator {
        None if run.len() == 9 => (bytes[run.clone()].to_vec(), run.end),
        Some(separator @ (b'-' | b' ')) => {
            let rest = bytes.get(run.end..run.end + 8)?;
            let is_so = rest[3] == separator
                && [&rest[1..3], &rest[4..]].iter().all(|part| part.iter().all(u8::is_ascii_digit));
            is_so.then_some(())?;
            ([&bytes[run.clone()], &rest[1..3], &rest[4..]].concat(), run.end + 8)
        }
        _ => return None,
    };
    let is_issued = !matches!(&digits[..3], b"000" | b"666")
        && &digits[3..5] != b"00"
        && &digits[5..] != b"0000";
    let goes_on = bytes.get(end) == Some(&b'-') && is_digit_at(bytes, end + 1);
    let follows = before(bytes, run.start, 1) == Some(b'-')
        && before(bytes, run.start, 2).is_some_and(|byte| byte.is_ascii_digit());
    if !is_issued || goes_on || follows || !ends_number(bytes, end) {
        return None;
    }
    let is_named = || text.is_said_before(run.start, 40, Topic::SocialSecurity);
    (separator == Some(b'-') || is_named()).then_some(run.start..end)
}

/// A letter and seven or eight digits, two letters and seven digits; where the text speaks of a
/// passport, anything that can be the number of one.
fn passport(text: Text<'_>, run: &Range<usize>) -> Option<Range<usize>> {
    let bytes = text.bytes;
    if !matches!(run.len(), 3..=9) {
        return None;
    }
    let n_letters =
        bytes[..run.start].iter().rev().take(3).take_while(|b| b.is_ascii_uppercase()).count();
    let start = run.start - n_letters;
    let is_plain = matches!((n_letters, run.len()), (1, 7 | 8) | (2, 7));
    if is_plain && starts_word(bytes, start) && ends_word(bytes, run.end) {
        return Some(start..run.end);
    }
    let is_part = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let start =
        run.start - bytes[..run.start].iter().rev().take(9).take_while(|b| is_part(b)).count();
    let end = run_end(&bytes[..bytes.len().min(run.end + 9)], run.end, |byte| is_part(&byte));
    let n_digits = bytes[start..end].iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_possible = (6..=9).contains(&(end - start))
        && n_digits >= 4
        && starts_number(bytes, start)
        && ends_number(bytes, end);
    (is_possible && text.is_said_before(start, 40, Topic::Passport)).then_some(start..end)
}
