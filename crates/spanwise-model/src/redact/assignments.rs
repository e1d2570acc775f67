//! Values that a text calls a secret: `password=…`, `"api_key": "…"`, `Authorization: …`.

use std::ops::Range;

use super::text::{run_end, start_of};

/// The longest name that is looked at.
const LONGEST_NAME: usize = 64;

/// How surely a name means a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certainty {
    /// Whatever stands there, unless it is a placeholder.
    Sure,
    /// Only what looks random: there are tokens that are no secret.
    Likely,
}

/// Whether a value of this name is a secret.
pub(super) fn certainty(name: &str) -> Option<Certainty> {
    const SURE: [&str; 17] = [
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "secret",
        "apikey",
        "accesskey",
        "privatekey",
        "secretkey",
        "secretaccesskey",
        "accountkey",
        "encryptionkey",
        "signingkey",
        "credential",
        "credentials",
        "authorization",
        "masterkey",
    ];
    let mut plain = [0; LONGEST_NAME];
    let mut start = plain.len();
    for byte in name.bytes().rev().filter(u8::is_ascii_alphanumeric).take(LONGEST_NAME) {
        start -= 1;
        plain[start] = byte.to_ascii_lowercase();
    }
    let plain = &plain[start..];
    if SURE.iter().any(|end| plain.ends_with(end.as_bytes())) {
        Some(Certainty::Sure)
    } else if plain.ends_with(b"token") {
        Some(Certainty::Likely)
    } else {
        None
    }
}

/// Whether a value, all of it, is the secret that its name promises.
pub(super) fn is_secret(certainty: Certainty, value: &str) -> bool {
    match certainty {
        Certainty::Sure => value.len() >= 3 && !is_placeholder(value.as_bytes()),
        Certainty::Likely => looks_random(value.as_bytes()),
    }
}

/// The value behind a name that ends at `end`.
pub(super) fn value_of(bytes: &[u8], end: usize) -> Option<Range<usize>> {
    let certainty = certainty(name_before(bytes, end))?;
    let assigned = Assigned::behind(bytes, end)?;
    let value = assigned.value(start_of(bytes, assigned.start));
    let text = &bytes[value.clone()];
    let is_quoted = assigned.quote.is_some();
    let fits = match certainty {
        Certainty::Likely => looks_random(text),
        Certainty::Sure if is_placeholder(text) || is_code(text, is_quoted) => false,
        // In prose, a word behind "password:" is more often a word than a password.
        Certainty::Sure if assigned.is_loose && value.start == assigned.start => {
            text.len() >= 4 && text.iter().any(|byte| !byte.is_ascii_alphabetic())
        }
        Certainty::Sure => text.len() >= 3,
    };
    fits.then(|| assigned.value(bytes))
}

/// What stands behind a name and a separator.
struct Assigned {
    start: usize,
    quote: Option<u8>,
    /// Whether it is assigned as prose does it, by a colon or "is".
    is_loose: bool,
}

impl Assigned {
    fn behind(bytes: &[u8], end: usize) -> Option<Self> {
        let (is_loose, start) = separator(bytes, end)?;
        let place = run_end(bytes, start, |byte| byte == b'\\');
        match bytes.get(place) {
            Some(quote @ (b'"' | b'\'' | b'`')) => {
                Some(Assigned { start: place + 1, quote: Some(*quote), is_loose: false })
            }
            _ => Some(Assigned { start, quote: None, is_loose }),
        }
    }

    /// The value, as far as `bytes` reach.
    fn value(&self, bytes: &[u8]) -> Range<usize> {
        match self.quote {
            None => bare_value(bytes, self.start),
            Some(quote) => {
                let is_part = |byte| byte != quote && byte != b'\\' && byte != b'\n';
                self.start..run_end(bytes, self.start, is_part)
            }
        }
    }
}

/// The name that ends at `end`; empty if it goes on behind.
fn name_before(bytes: &[u8], end: usize) -> &str {
    if bytes.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte)) {
        return "";
    }
    let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-. ".contains(byte);
    let length = bytes[..end].iter().rev().take(LONGEST_NAME).take_while(is_name).count();
    str::from_utf8(&bytes[end - length..end]).unwrap_or_default()
}

/// What stands between a name and its value: where the value begins, and whether the separator is
/// one of prose.
fn separator(bytes: &[u8], end: usize) -> Option<(bool, usize)> {
    let skip = |at: usize, set: &'static [u8], most: usize| {
        run_end(&bytes[..bytes.len().min(at + most)], at, |byte| set.contains(&byte))
    };
    let at = skip(end, b"\\\"'`*]", 8);
    let is_quoted = at > end;
    let sign = skip(at, b" \t", 4);
    let (is_loose, after) = match bytes.get(sign..)? {
        [b'=', b'>', ..] | [b':', b'=', ..] => (false, sign + 2),
        [b'=', b'=', ..] => return None,
        [b'=', ..] => (false, sign + 1),
        [b':', ..] => (!is_quoted, sign + 1),
        [b'i', b's', b' ', ..] if sign > at => (true, sign + 3),
        _ => return None,
    };
    let value = skip(after, b" \t*", 8);
    Some((is_loose && value > after, value))
}

/// A value without quotes: up to a space or what ends an argument. Behind the scheme of an
/// `Authorization` header stands what counts.
fn bare_value(within: &[u8], start: usize) -> Range<usize> {
    const SCHEMES: [&[u8]; 5] = [b"bearer", b"basic", b"token", b"apikey", b"digest"];
    let is_part = |byte: u8| byte > b' ' && byte != 0x7f && !b"\"'\\,;&<>)}]`|".contains(&byte);
    let end = run_end(within, start, is_part);
    let word = &within[start.min(end)..end];
    if SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
        let next = run_end(within, end, |byte| byte == b' ');
        if next > end {
            return bare_value(within, next);
        }
    }
    let trailing = word.iter().rev().take_while(|byte| b".!?:".contains(byte)).count();
    start..end - trailing
}

/// What people write where a secret would stand.
fn is_placeholder(value: &[u8]) -> bool {
    const WORDS: [&str; 25] = [
        "include",
        "omit",
        "same-origin",
        "null",
        "none",
        "nil",
        "undefined",
        "true",
        "false",
        "string",
        "str",
        "text",
        "required",
        "optional",
        "empty",
        "unset",
        "redacted",
        "hidden",
        "masked",
        "password",
        "secret",
        "token",
        "bytes",
        "bearer",
        "basic",
    ];
    let Some(first) = value.first() else { return true };
    b"${<[(%#".contains(first)
        || value.iter().all(|byte| byte == first)
        || WORDS.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether a value without quotes is an expression of a program.
fn is_code(value: &[u8], is_quoted: bool) -> bool {
    const STARTS: [&[u8]; 8] =
        [b"os.", b"env.", b"process.", b"self.", b"config.", b"settings.", b"getenv", b"getpass"];
    !is_quoted && (value.contains(&b'(') || STARTS.iter().any(|start| value.starts_with(start)))
}

/// Twelve characters or more of those that tokens consist of, with a digit and a letter.
fn looks_random(value: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./+=~:".contains(byte);
    value.len() >= 12
        && value.iter().all(is_part)
        && value.iter().any(u8::is_ascii_digit)
        && value.iter().any(u8::is_ascii_alphabetic)
}
