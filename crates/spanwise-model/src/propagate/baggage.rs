//! `baggage`: what an application passes along with its requests.

use std::borrow::Cow;
use std::fmt::Write;

use super::trim;
use crate::Str;

/// How many members are passed on. The specification asks for at least 64.
const MAX_MEMBERS: usize = 180;

/// How many bytes are passed on. The specification asks for at least 8192.
const MAX_BYTES: usize = 8192;

/// Legal baggage: at most 180 members in at most 8192 bytes of header. What is passed along is
/// passed as it came, but for spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baggage(Str);

/// One entry of baggage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'b> {
    /// The key.
    pub key: &'b str,
    /// The value as it stands in the header.
    pub encoded_value: &'b str,
    /// Properties with semicolons between them, as they stand in the header.
    pub properties: &'b str,
}

/// Why an entry cannot be added to [`Baggage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    /// Keys are tokens, as names of HTTP headers are.
    #[error("baggage key has to be one or more of a-z A-Z 0-9 and !#$%&'*+-.^_`|~")]
    Key,
    /// Nothing more fits.
    #[error("baggage would have more than 180 members or 8192 bytes")]
    Full,
}

impl<'b> Member<'b> {
    /// The value in plain text. Bytes that are not UTF-8 were replaced.
    pub fn value(&self) -> Cow<'b, str> {
        decode(self.encoded_value)
    }

    fn of(member: &'b str) -> Option<Self> {
        let (entry, properties) = member.split_once(';').unwrap_or((member, ""));
        let (key, encoded_value) = entry.split_once('=')?;
        Some(Member { key, encoded_value, properties })
    }
}

impl Baggage {
    /// Reads one header; what is illegal in it is left out.
    pub fn parse(value: &[u8]) -> Self {
        let mut reader = Reader::default();
        reader.header(value);
        reader.finish()
    }

    /// The value of the header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries in order. A key may be there more than once.
    pub fn members(&self) -> impl Iterator<Item = Member<'_>> {
        self.0.split(',').filter_map(Member::of)
    }

    /// The value of `key`; the last one where a key repeats.
    pub fn get(&self, key: &str) -> Option<Cow<'_, str>> {
        self.members().filter(|member| member.key == key).last().map(|member| member.value())
    }

    /// Sets `key`, in place of all entries of that key and their properties.
    pub fn insert(&mut self, key: &str, value: &str) -> Result<(), InvalidEntry> {
        if !is_token(key.as_bytes()) {
            return Err(InvalidEntry::Key);
        }
        let mut without = self.clone();
        without.remove(key);
        let member = format!("{key}={}", encode(value));
        let mut reader = Reader { n_members: without.members().count(), ..Reader::default() };
        reader.text.push_str(&without.0);
        if !reader.push(&member) {
            return Err(InvalidEntry::Full);
        }
        *self = reader.finish();
        Ok(())
    }

    /// Removes all entries of `key`.
    pub fn remove(&mut self, key: &str) {
        if self.get(key).is_some() {
            let is_other = |member: &&str| Member::of(member).is_some_and(|m| m.key != key);
            let others: Vec<&str> = self.0.split(',').filter(is_other).collect();
            *self = Baggage(others.join(",").into());
        }
    }
}

impl std::fmt::Display for Baggage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Collects the members of one or several headers.
#[derive(Default)]
pub(super) struct Reader {
    text: String,
    n_members: usize,
    /// Why something was left out.
    pub(super) ignored: Option<&'static str>,
}

impl Reader {
    pub(super) fn header(&mut self, value: &[u8]) {
        for member in value.split(|byte| *byte == b',').map(trim) {
            if member.is_empty() {
                continue;
            }
            if member.len() > MAX_BYTES || self.n_members == MAX_MEMBERS {
                self.ignored = Some("has more than 180 members or 8192 bytes");
                continue;
            }
            match tidy(member) {
                None => self.ignored = Some("a member is illegal"),
                Some(member) if !self.push(&member) => {
                    self.ignored = Some("has more than 180 members or 8192 bytes");
                }
                Some(_) => {}
            }
        }
    }

    /// Adds a member if it fits.
    fn push(&mut self, member: &str) -> bool {
        let comma = usize::from(!self.text.is_empty());
        let size = self.text.len() + comma + member.len();
        if size > MAX_BYTES || self.n_members == MAX_MEMBERS {
            return false;
        }
        if comma == 1 {
            self.text.push(',');
        }
        self.text.push_str(member);
        self.n_members += 1;
        true
    }

    pub(super) fn finish(self) -> Baggage {
        Baggage(self.text.into())
    }
}

/// A legal member without its optional spaces; `None` for one that is not legal.
fn tidy(member: &[u8]) -> Option<String> {
    let mut tidy = String::with_capacity(member.len());
    for (position, part) in member.split(|byte| *byte == b';').enumerate() {
        let equals = part.iter().position(|byte| *byte == b'=');
        let key = trim(&part[..equals.unwrap_or(part.len())]);
        let value = equals.map(|equals| trim(&part[equals + 1..]));
        if !is_token(key) || !value.unwrap_or_default().iter().copied().all(is_octet) {
            return None;
        }
        if position > 0 {
            tidy.push(';');
        } else {
            value?;
        }
        // Tokens and octets are ASCII.
        tidy.push_str(str::from_utf8(key).ok()?);
        if let Some(value) = value {
            tidy.push('=');
            tidy.push_str(str::from_utf8(value).ok()?);
        }
    }
    Some(tidy)
}

fn is_token(key: &[u8]) -> bool {
    let is_legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !key.is_empty() && key.iter().all(is_legal)
}

/// What a value may consist of: printable ASCII but for quotes, commas, semicolons, backslashes.
fn is_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}

fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if is_octet(byte) && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// A percent sign that no two hex digits follow stands for itself.
fn decode(encoded: &str) -> Cow<'_, str> {
    if !encoded.contains('%') {
        return Cow::Borrowed(encoded);
    }
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digit = |position: usize| tail.get(position).and_then(|d| char::from(*d).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            bytes.push((high << 4 | low) as u8);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}
