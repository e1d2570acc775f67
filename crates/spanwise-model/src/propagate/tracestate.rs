//! `tracestate`: what tracing systems on the way told each other, most recent first.

use super::trim;
use crate::Str;

/// How many members a tracestate may have.
const MAX_MEMBERS: usize = 32;

/// How many bytes of a tracestate are passed on. The specification asks for at least 512.
const MAX_BYTES: usize = 4096;

/// Members longer than this are the first to go when a tracestate is cut.
const LONG_MEMBER: usize = 128;

const MAX_KEY: usize = 256;
const MAX_VALUE: usize = 256;

/// A legal tracestate: at most 32 members with distinct keys, in one header without spaces between
/// members. The most recently written member comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceState(Str);

/// Why a member cannot be added to a [`TraceState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMember {
    /// Keys are 1 to 256 of `a-z 0-9 _ - * / @`, and begin with a letter or a digit.
    #[error("tracestate key has to be 1 to 256 of a-z 0-9 _ - * / @ and begin with one of a-z 0-9")]
    Key,
    /// Values are 1 to 256 printable ASCII characters without comma and equals sign, of which
    /// the last is no space.
    #[error("tracestate value has to be 1 to 256 printable ascii characters without , and =")]
    Value,
}

impl TraceState {
    /// Reads one header; says which rule it breaks. Several headers are one with commas between.
    pub fn parse(value: &[u8]) -> Result<Self, &'static str> {
        let mut reader = Reader::default();
        reader.header(value);
        reader.finish()
    }

    /// The value of the header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same as shared text, as spans keep it.
    pub fn to_str(&self) -> Str {
        self.0.clone()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values, most recent first.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split(',').filter_map(|member| member.split_once('='))
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.members().find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// Writes a member: it moves to the front, and what no longer fits falls off the end.
    pub fn insert(&mut self, key: &str, value: &str) -> Result<(), InvalidMember> {
        if !is_key(key.as_bytes()) {
            return Err(InvalidMember::Key);
        }
        if !is_value(value.as_bytes()) || value.ends_with(' ') {
            return Err(InvalidMember::Value);
        }
        let first = format!("{key}={value}");
        let others = self.0.split(',').filter(|member| !is_of(member, key));
        let members = std::iter::once(&*first).chain(others).take(MAX_MEMBERS).collect();
        *self = Self::of(members);
        Ok(())
    }

    /// Removes a member.
    pub fn remove(&mut self, key: &str) {
        if self.get(key).is_some() {
            *self = Self::of(self.0.split(',').filter(|member| !is_of(member, key)).collect());
        }
    }

    /// Cuts by whole members: long ones first, then from the end. The first member, which is the
    /// most recent, stays in any case.
    fn of(mut members: Vec<&str>) -> Self {
        members.retain(|member| !member.is_empty());
        let mut size: usize = members.iter().map(|member| member.len() + 1).sum();
        let mut position = members.len();
        while size > MAX_BYTES + 1 && position > 1 {
            position -= 1;
            if members[position].len() > LONG_MEMBER {
                size -= members.remove(position).len() + 1;
            }
        }
        while size > MAX_BYTES + 1
            && let Some(last) = members.pop()
        {
            size -= last.len() + 1;
        }
        TraceState(members.join(",").into())
    }
}

impl std::fmt::Display for TraceState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_of(member: &str, key: &str) -> bool {
    member.split_once('=').is_some_and(|(found, _)| found == key)
}

/// Collects the members of one or several headers.
#[derive(Default)]
pub(super) struct Reader {
    /// Members with a comma after each.
    text: String,
    n_members: usize,
    broken: Option<&'static str>,
}

impl Reader {
    pub(super) fn header(&mut self, value: &[u8]) {
        for member in value.split(|byte| *byte == b',').map(trim) {
            if member.is_empty() {
                continue;
            }
            self.n_members += 1;
            if self.n_members > MAX_MEMBERS {
                self.broken = Some("has more than 32 members");
            }
            if self.broken.is_some() {
                return;
            }
            if let Err(reason) = self.member(member) {
                self.broken = Some(reason);
            }
        }
    }

    /// Keeps a member unless its key was there before: the first is the most recent one.
    fn member(&mut self, member: &[u8]) -> Result<(), &'static str> {
        let mut halves = member.splitn(2, |byte| *byte == b'=');
        let (Some(key), Some(value)) = (halves.next(), halves.next()) else {
            return Err("a member has no equals sign");
        };
        if !is_key(key) {
            return Err("a key is illegal");
        }
        if !is_value(value) {
            return Err("a value is illegal");
        }
        // Legal keys and values are ASCII.
        let member = str::from_utf8(member).map_err(|_| "a value is illegal")?;
        let key = &member[..key.len()];
        if !self.text.split(',').any(|known| is_of(known, key)) {
            self.text.push_str(member);
            self.text.push(',');
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<TraceState, &'static str> {
        match self.broken {
            Some(reason) => Err(reason),
            None if self.text.is_empty() => Ok(TraceState::default()),
            None => Ok(TraceState::of(self.text.split(',').collect())),
        }
    }
}

fn is_key(key: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_legal = |byte: &u8| is_letter(byte) || b"_-*/@".contains(byte);
    key.first().is_some_and(is_letter) && key.len() <= MAX_KEY && key.iter().all(is_legal)
}

fn is_value(value: &[u8]) -> bool {
    let is_legal = |byte: &u8| matches!(byte, 0x20..=0x7e) && !b",=".contains(byte);
    !value.is_empty() && value.len() <= MAX_VALUE && value.iter().all(is_legal)
}
