//! Telephone numbers: with a country's code, as they are written in North America, with a leading
//! zero as elsewhere, as Chinese mobiles, and bare where the text says what they are.

use std::ops::Range;

use super::context::Topic;
use super::numbers::{ends_number, is_digit_at, starts_number};
use super::text::{Text, before, ends_word, run_end, starts_word};

/// A telephone number that has its first run of digits (its first but one, behind a bracket) here.
pub(super) fn phone(text: Text<'_>, run: &Range<usize>) -> Option<Range<usize>> {
    let bytes = text.bytes;
    if before(bytes, run.start, 1) == Some(b'+') {
        return international(bytes, run.start);
    }
    if !starts_number(bytes, run.start) || follows_group(bytes, run.start) {
        return None;
    }
    north_american(bytes, run).or_else(|| leading_zero(bytes, run)).or_else(|| bare(text, run))
}

/// Whether digits and a hyphen come before, as in the middle of a date or an identifier.
fn follows_group(bytes: &[u8], at: usize) -> bool {
    before(bytes, at, 1) == Some(b'-')
        && before(bytes, at, 2).is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// `+44 20 7946 0958`: 8 to 15 digits, of which the first is not zero.
fn international(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    if bytes[start] == b'0' || !starts_word(bytes, start - 1) {
        return None;
    }
    let (mut at, mut n_digits, mut end) = (start, 0, None);
    loop {
        let group = run_end(bytes, at, |byte| byte.is_ascii_digit());
        n_digits += group - at;
        if n_digits > 15 {
            break;
        }
        if n_digits >= 8 && ends_word(bytes, group) {
            end = Some(group);
        }
        at = run_end(bytes, group, |byte| b" -.()/".contains(&byte));
        if at == group || at > group + 2 || !is_digit_at(bytes, at) {
            break;
        }
    }
    end.map(|end| start - 1..end)
}

/// `(415) 555-2671`, `415-555-2671`, `1-800-555-0199`.
fn north_american(bytes: &[u8], run: &Range<usize>) -> Option<Range<usize>> {
    let is_country = run.len() == 1 && bytes[run.start] == b'1';
    if !is_country && run.len() != 3 {
        return None;
    }
    let mut groups = Groups { bytes, at: run.start };
    if is_country {
        groups.digits(1)?;
        groups.one_of(b" -.")?;
    }
    let in_brackets = if is_country {
        groups.one_of(b"(").is_some()
    } else {
        before(bytes, run.start, 1) == Some(b'(') && bytes.get(run.end) == Some(&b')')
    };
    let area = groups.at;
    groups.digits(3)?;
    let separator = if in_brackets {
        groups.one_of(b")")?;
        groups.one_of(b" -.").unwrap_or(b'-')
    } else {
        groups.one_of(b" -.")?
    };
    groups.digits(3)?;
    groups.one_of(b" -.")?;
    groups.digits(4)?;
    let is_column = separator == b' ' && !in_brackets && bytes[area] < b'2';
    let goes_on = bytes.get(groups.at) == Some(&b'-') && is_digit_at(bytes, groups.at + 1);
    let start = if in_brackets && !is_country { run.start - 1 } else { run.start };
    (!is_column && !goes_on && ends_number(bytes, groups.at)).then_some(start..groups.at)
}

/// `020 7946 0958`, `0171/1234567`, `01 23 45 67 89`.
fn leading_zero(bytes: &[u8], run: &Range<usize>) -> Option<Range<usize>> {
    if !(2..=5).contains(&run.len()) || bytes[run.start] != b'0' || bytes[run.start + 1] == b'0' {
        return None;
    }
    let separator = *bytes.get(run.end).filter(|byte| b" -./".contains(byte))?;
    let (mut lengths, mut end) = (vec![run.len()], run.end);
    let mut three_groups = None;
    while bytes.get(end) == Some(&separator) && is_digit_at(bytes, end + 1) && lengths.len() < 5 {
        let next = run_end(bytes, end + 1, |byte| byte.is_ascii_digit());
        lengths.push(next - end - 1);
        end = next;
        if lengths.len() == 3 {
            three_groups = Some(end);
        }
    }
    let n_digits: usize = lengths.iter().sum();
    if is_grouped(&lengths) && (9..=12).contains(&n_digits) && ends_number(bytes, end) {
        return Some(run.start..end);
    }
    // Behind a space, more digits may be something else: `020 7946 0958 2 calls`.
    let is_whole =
        separator == b' ' && lengths.len() > 3 && matches!(lengths[..3], [3..=5, 3..=4, 3..=4]);
    three_groups.filter(|_| is_whole).map(|end| run.start..end)
}

/// Whether groups of these lengths are how telephone numbers are written.
fn is_grouped(lengths: &[usize]) -> bool {
    matches!(lengths, [2, 2, 2, 2, 2] | [2, 3..=4, 4] | [3..=5, 5..=8] | [3..=5, 3..=4, 3..=4])
}

/// A Chinese mobile, or digits that the text calls a telephone number.
fn bare(text: Text<'_>, run: &Range<usize>) -> Option<Range<usize>> {
    let digits = &text.bytes[run.clone()];
    let is_mobile = digits.len() == 11 && digits[0] == b'1' && digits[1] >= b'3' && !text.is_number;
    let end = match digits.len() {
        3 if text.bytes.get(run.end) == Some(&b'-') => {
            let end = run_end(text.bytes, run.end + 1, |byte| byte.is_ascii_digit());
            (end == run.end + 5).then_some(end)?
        }
        7..=13 => run.end,
        _ => return None,
    };
    if !ends_number(text.bytes, end) {
        return None;
    }
    (is_mobile || text.is_said_before(run.start, 24, Topic::Phone)).then_some(run.start..end)
}

/// Reads groups of digits and what is between them.
struct Groups<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Groups<'_> {
    /// A group of exactly `n` digits.
    fn digits(&mut self, n: usize) -> Option<()> {
        let end = run_end(self.bytes, self.at, |byte| byte.is_ascii_digit());
        (end - self.at == n).then(|| self.at = end)
    }

    fn one_of(&mut self, allowed: &[u8]) -> Option<u8> {
        let byte = *self.bytes.get(self.at).filter(|byte| allowed.contains(byte))?;
        self.at += 1;
        Some(byte)
    }
}
