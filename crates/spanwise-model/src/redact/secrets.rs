//! Secrets that show what they are by how they begin, or by what the text calls them.
//!
//! One vectorised search finds the few places where any of the beginnings stands; small matchers
//! look at each of them.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind, Span, packed};

use super::assignments;
use super::text::{Text, ends_word, off_escapes, run_end, start_of, starts_word};

/// What stands at a literal that was found.
#[derive(Clone, Copy)]
enum Shape {
    /// A key that begins with the literal.
    Key(Key),
    /// The end of a name such as `password`, `api_key` or `authorization`.
    Name,
    JsonWebToken,
    PrivateKey,
    Bearer,
    /// A URL, perhaps with a password in it.
    Url,
}

/// What follows the beginning of a key.
#[derive(Clone, Copy)]
struct Key {
    alphabet: Alphabet,
    /// How many characters have to follow.
    least: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Alphabet {
    /// Letters and digits.
    Alphanumeric,
    /// Capitals and digits, exactly as many.
    Capitals,
    /// Letters, digits, `_` and `-`.
    Url,
    /// As `Url`; has to look random, because words begin like this too.
    Random,
    /// Letters, digits, `_`, `-`, `.` and `/`.
    Path,
    Hex,
}

const fn key(literal: &'static str, alphabet: Alphabet, least: usize) -> (&'static str, Shape) {
    (literal, Shape::Key(Key { alphabet, least }))
}

const fn name(literal: &'static str) -> (&'static str, Shape) {
    (literal, Shape::Name)
}

/// Everything that is searched for. Names stand without their first letter, which leaves two ways
/// of writing most of them.
const LITERALS: [(&str, Shape); 74] = [
    key("sk-", Alphabet::Random, 16),
    key("sk_live_", Alphabet::Alphanumeric, 10),
    key("sk_test_", Alphabet::Alphanumeric, 10),
    key("rk_live_", Alphabet::Alphanumeric, 10),
    key("sw-", Alphabet::Hex, 32),
    key("pk-lf-", Alphabet::Url, 16),
    key("AKIA", Alphabet::Capitals, 16),
    key("ASIA", Alphabet::Capitals, 16),
    key("ghp_", Alphabet::Alphanumeric, 20),
    key("gho_", Alphabet::Alphanumeric, 20),
    key("ghu_", Alphabet::Alphanumeric, 20),
    key("ghs_", Alphabet::Alphanumeric, 20),
    key("ghr_", Alphabet::Alphanumeric, 20),
    key("github_pat_", Alphabet::Url, 20),
    key("glpat-", Alphabet::Url, 16),
    key("xoxa-", Alphabet::Url, 10),
    key("xoxb-", Alphabet::Url, 10),
    key("xoxe-", Alphabet::Url, 10),
    key("xoxe.", Alphabet::Path, 10),
    key("xoxp-", Alphabet::Url, 10),
    key("xoxr-", Alphabet::Url, 10),
    key("xoxs-", Alphabet::Url, 10),
    key("xapp-", Alphabet::Url, 10),
    key("hooks.slack.com/services/", Alphabet::Path, 16),
    key("AIza", Alphabet::Url, 30),
    key("ya29.", Alphabet::Url, 20),
    key("GOCSPX-", Alphabet::Url, 20),
    key("hf_", Alphabet::Alphanumeric, 30),
    key("gsk_", Alphabet::Alphanumeric, 30),
    key("pplx-", Alphabet::Alphanumeric, 30),
    key("xai-", Alphabet::Alphanumeric, 30),
    key("r8_", Alphabet::Alphanumeric, 30),
    key("lsv2_", Alphabet::Url, 20),
    key("npm_", Alphabet::Alphanumeric, 30),
    key("pypi-", Alphabet::Url, 40),
    key("dapi", Alphabet::Hex, 32),
    key("dop_v1_", Alphabet::Hex, 32),
    key("SG.", Alphabet::Path, 30),
    key("whsec_", Alphabet::Alphanumeric, 16),
    ("eyJ", Shape::JsonWebToken),
    ("-----BEGIN ", Shape::PrivateKey),
    ("earer ", Shape::Bearer),
    ("EARER ", Shape::Bearer),
    ("://", Shape::Url),
    name("assword"),
    name("ASSWORD"),
    name("asswd"),
    name("ASSWD"),
    name("assphrase"),
    name("ASSPHRASE"),
    name("pwd"),
    name("PWD"),
    name("ecret"),
    name("ECRET"),
    name("_key"),
    name("_KEY"),
    name("-key"),
    name("-Key"),
    name("-KEY"),
    name("iKey"),
    name("sKey"),
    name("eKey"),
    name("tKey"),
    name("apikey"),
    name("APIKEY"),
    name("pi key"),
    name("PI key"),
    name("PI Key"),
    name("oken"),
    name("OKEN"),
    name("uthorization"),
    name("UTHORIZATION"),
    name("redential"),
    name("REDENTIAL"),
];

/// Finds secrets. Made once, shared by all that look.
pub(super) struct Secrets {
    search: Search,
}

enum Search {
    /// Where the processor has vector instructions for it.
    Vector(packed::Searcher),
    Automaton(AhoCorasick),
}

impl Secrets {
    pub fn new() -> Self {
        let texts = || LITERALS.iter().map(|(literal, _)| literal);
        let vector =
            packed::Config::new().heuristic_pattern_limits(false).builder().extend(texts()).build();
        let search = vector.map_or_else(|| Search::Automaton(automaton()), Search::Vector);
        Secrets { search }
    }

    /// Adds the places of all secrets to `found`.
    pub fn find(&self, text: Text<'_>, found: &mut Vec<Range<usize>>) {
        let mut at = 0;
        while let Some((shape, place)) = self.next(text.bytes, at) {
            at = place.start + 1;
            if let Some(secret) = of_shape(shape, text.bytes, place) {
                at = at.max(secret.end);
                found.push(secret);
            }
        }
    }

    fn next(&self, bytes: &[u8], at: usize) -> Option<(Shape, Range<usize>)> {
        let span = Span { start: at.min(bytes.len()), end: bytes.len() };
        let found = match &self.search {
            Search::Vector(searcher) => searcher.find_in(bytes, span),
            Search::Automaton(automaton) => {
                automaton.find(aho_corasick::Input::new(bytes).span(span))
            }
        };
        found.map(|found| (LITERALS[found.pattern().as_usize()].1, found.range()))
    }
}

fn automaton() -> AhoCorasick {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostFirst)
        .build(LITERALS.iter().map(|(literal, _)| literal))
        .expect("literals that are known at compile time fit an automaton")
}

fn of_shape(shape: Shape, bytes: &[u8], place: Range<usize>) -> Option<Range<usize>> {
    match shape {
        Shape::Key(key) => key_at(key, bytes, place),
        Shape::Name => assignments::value_of(bytes, place.end),
        Shape::JsonWebToken => json_web_token(bytes, place),
        Shape::PrivateKey => private_key(bytes, place),
        Shape::Bearer => bearer(bytes, place),
        Shape::Url => password_in_url(bytes, place.end),
    }
}

fn key_at(key: Key, bytes: &[u8], place: Range<usize>) -> Option<Range<usize>> {
    if !starts_word(bytes, place.start) {
        return None;
    }
    let is_part = |byte| is_in(key.alphabet, byte);
    let body = &bytes[place.end..run_end(start_of(bytes, place.end), place.end, is_part)];
    let fits = match key.alphabet {
        Alphabet::Capitals => body.len() == key.least && ends_word(bytes, place.end + body.len()),
        Alphabet::Random => body.len() >= key.least && looks_random(body),
        _ => body.len() >= key.least,
    };
    fits.then(|| place.start..run_end(bytes, place.end, is_part))
}

fn is_in(alphabet: Alphabet, byte: u8) -> bool {
    match alphabet {
        Alphabet::Alphanumeric => byte.is_ascii_alphanumeric(),
        Alphabet::Capitals => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        Alphabet::Url | Alphabet::Random => is_url_safe(byte),
        Alphabet::Path => is_url_safe(byte) || byte == b'.' || byte == b'/',
        Alphabet::Hex => byte.is_ascii_hexdigit(),
    }
}

fn is_url_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// Digits, capitals, or one long word: `sk-` also begins names of styles and libraries.
fn looks_random(body: &[u8]) -> bool {
    body.iter().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        || !body.contains(&b'-')
}

/// Header, claims and signature, of which the first begins with `{"`.
fn json_web_token(bytes: &[u8], place: Range<usize>) -> Option<Range<usize>> {
    if !starts_word(bytes, place.start) {
        return None;
    }
    let mut end = run_end(start_of(bytes, place.start), place.start, is_url_safe);
    let mut n_parts = 1;
    let mut is_token = end - place.start >= 10;
    while n_parts < 5 && bytes.get(end) == Some(&b'.') {
        let next = run_end(bytes, end + 1, is_url_safe);
        is_token &= n_parts != 1 || next - end > 8;
        if next == end + 1 && n_parts != 1 {
            break;
        }
        n_parts += 1;
        end = next;
    }
    (is_token && n_parts >= 2).then_some(place.start..end)
}

/// A private key from its first to its last line; without a last line, as far as it goes.
fn private_key(bytes: &[u8], place: Range<usize>) -> Option<Range<usize>> {
    const LONGEST_LABEL: usize = 64;
    const LONGEST: usize = 64 << 10;
    let is_label = |byte: u8| byte.is_ascii_uppercase() || byte == b' ';
    let label = place.end..run_end(bytes, place.end, is_label);
    let is_private = label.len() < LONGEST_LABEL
        && memchr::memmem::find(&bytes[label.clone()], b"PRIVATE KEY").is_some()
        && bytes[label.end..].starts_with(b"-----");
    is_private.then_some(())?;
    let body = label.end + 5;
    let last = format!("-----END {}-----", String::from_utf8_lossy(&bytes[label]));
    let near = &bytes[body..bytes.len().min(body + LONGEST)];
    let end = match memchr::memmem::find(near, last.as_bytes()) {
        Some(offset) => body + offset + last.len(),
        None => off_escapes(bytes, place.start..run_end(bytes, body, is_key_text)).end,
    };
    Some(place.start..end)
}

/// What stands between the lines of a key: base64, headers, line ends (also escaped ones).
fn is_key_text(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=\r\n\t \\-:,".contains(&byte)
}

/// The token behind `Bearer`: with a digit, so that no bearer of news is meant.
fn bearer(bytes: &[u8], place: Range<usize>) -> Option<Range<usize>> {
    let is_word_start = place.start > 0 && bytes[place.start - 1].eq_ignore_ascii_case(&b'b');
    let start = run_end(bytes, place.end, |byte| byte == b' ');
    let is_token = |byte: u8| is_url_safe(byte) || b".~+/=".contains(&byte);
    let mut end = run_end(bytes, start, is_token);
    while end > start && bytes[end - 1] == b'.' {
        end -= 1;
    }
    let token = &bytes[start..end];
    let fits = token.len() >= 8
        && (token.iter().any(u8::is_ascii_digit) || token.len() >= 32)
        && is_word_start;
    fits.then_some(start..end)
}

/// The password of `scheme://user:password@host`.
fn password_in_url(bytes: &[u8], authority: usize) -> Option<Range<usize>> {
    const LONGEST: usize = 512;
    let is_part = |byte: u8| byte > b' ' && byte < 0x7f && !b"/?#\"'\\<>`".contains(&byte);
    let end = run_end(&bytes[..bytes.len().min(authority + LONGEST)], authority, is_part);
    let at = bytes[authority..end].iter().rposition(|byte| *byte == b'@')? + authority;
    let colon = bytes[authority..at].iter().position(|byte| *byte == b':')? + authority;
    let password = colon + 1..at;
    let is_placeholder = matches!(bytes.get(password.start), Some(b'$' | b'{' | b'*'));
    (!password.is_empty() && !is_placeholder).then_some(password)
}
