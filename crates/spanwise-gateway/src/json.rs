//! Strict JSON read where it lies: nothing is built, nothing is copied.
//!
//! A [`Cursor`] walks over a text and checks its grammar; a [`Value`] is a stretch of the text
//! whose kind is known, and its members are found by walking over it again. What has not the
//! expected shape is simply not there, which is how the answer of a provider wants to be read.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

mod text;

pub use text::unescape;

/// Puts texts in the place of ranges; every other byte stays.
pub fn splice(body: &Bytes, mut edits: Vec<(Range<usize>, String)>) -> Bytes {
    if edits.is_empty() {
        return body.clone();
    }
    edits.sort_by_key(|(range, _)| range.start);
    let added: usize = edits.iter().map(|(_, text)| text.len()).sum();
    let mut edited = BytesMut::with_capacity(body.len() + added);
    let mut at = 0;
    for (range, text) in &edits {
        edited.extend_from_slice(&body[at..range.start]);
        edited.extend_from_slice(text.as_bytes());
        at = range.end;
    }
    edited.extend_from_slice(&body[at..]);
    edited.freeze()
}

/// How deeply objects and arrays may be nested.
pub const MAX_DEPTH: usize = 512;

/// Where a text stopped being JSON, or the JSON of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct Malformed {
    /// What is wrong.
    pub what: &'static str,
    /// Offset of the first byte that could not be accepted.
    pub at: usize,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true`.
    True,
    /// `false`.
    False,
    /// A number.
    Number,
    /// A string.
    Text,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// A value inside a text.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its literal: a string has its quotes, an object its braces.
    pub literal: &'a str,
    /// Where the literal starts in the text.
    pub start: usize,
}

impl<'a> Value<'a> {
    /// The value at the start of a text. What follows it is not looked at.
    pub fn first(text: &'a str) -> Option<Self> {
        let mut cursor = Cursor::new(text);
        cursor.skip_space();
        cursor.value().ok()
    }

    /// The object that a text starts with, unchecked: members are handed out up to where the
    /// text stops being JSON.
    pub fn object(text: &'a str) -> Option<Self> {
        let start = text.len() - text.trim_ascii_start().len();
        let literal = &text[start..];
        literal.starts_with('{').then_some(Value { kind: Kind::Object, literal, start })
    }

    /// Where the literal stands in the text.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.literal.len()
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }

    /// Whether this is a string, array or object with something in it, or a scalar but `null`.
    pub fn is_filled(&self) -> bool {
        match self.kind {
            Kind::Null => false,
            Kind::Text => self.literal.len() > 2,
            Kind::Array => self.elements().next().is_some(),
            Kind::Object => self.members().next().is_some(),
            Kind::True | Kind::False | Kind::Number => true,
        }
    }

    /// The truth value.
    pub fn as_bool(&self) -> Option<bool> {
        match self.kind {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        }
    }

    /// The string, with its escapes resolved.
    pub fn as_text(&self) -> Option<Cow<'a, str>> {
        (self.kind == Kind::Text).then(|| unescape(&self.literal[1..self.literal.len() - 1]))
    }

    /// The string, unless it is empty.
    pub fn as_words(&self) -> Option<Cow<'a, str>> {
        self.as_text().filter(|text| !text.is_empty())
    }

    /// The number, if it is a whole one that fits; `12.0` is a whole one.
    pub fn as_u64(&self) -> Option<u64> {
        if self.kind != Kind::Number {
            return None;
        }
        self.literal.parse().ok().or_else(|| {
            let number: f64 = self.literal.parse().ok()?;
            (number.fract() == 0.0 && (0.0..=9e15).contains(&number)).then_some(number as u64)
        })
    }

    /// The number, if it is a whole one that fits.
    pub fn as_i64(&self) -> Option<i64> {
        (self.kind == Kind::Number).then(|| self.literal.parse().ok())?
    }

    /// The number, if it is finite.
    pub fn as_f64(&self) -> Option<f64> {
        let number: f64 = (self.kind == Kind::Number).then(|| self.literal.parse().ok())??;
        number.is_finite().then_some(number)
    }

    /// The members of an object; none of anything else. Ends early where the text is malformed.
    pub fn members(&self) -> Members<'a> {
        Members(self.inside(Kind::Object))
    }

    /// The elements of an array; none of anything else. Ends early where the text is malformed.
    pub fn elements(&self) -> Elements<'a> {
        Elements(self.inside(Kind::Array))
    }

    /// The last member with this name: what most readers of JSON take.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.members().filter(|(key, _)| key == name).last().map(|(_, value)| value)
    }

    fn inside(&self, kind: Kind) -> Option<Walk<'a>> {
        (self.kind == kind).then(|| {
            let cursor = Cursor { at: 1, ..Cursor::new(self.literal) };
            Walk { cursor, base: self.start, is_first: true }
        })
    }
}

/// A walk over the inside of one object or array.
#[derive(Clone, Debug)]
struct Walk<'a> {
    cursor: Cursor<'a>,
    base: usize,
    is_first: bool,
}

impl<'a> Walk<'a> {
    fn has_next(&mut self, end: u8) -> Result<bool, Malformed> {
        self.cursor.has_next(end, std::mem::take(&mut self.is_first))
    }

    fn value(&mut self) -> Result<Value<'a>, Malformed> {
        let value = self.cursor.value()?;
        Ok(Value { start: self.base + value.start, ..value })
    }
}

/// The members of an object.
#[derive(Clone, Debug)]
pub struct Members<'a>(Option<Walk<'a>>);

impl<'a> Members<'a> {
    fn advance(walk: &mut Walk<'a>) -> Result<Option<(Cow<'a, str>, Value<'a>)>, Malformed> {
        if !walk.has_next(b'}')? {
            return Ok(None);
        }
        let key = walk.cursor.key()?;
        Ok(Some((key, walk.value()?)))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let member = Self::advance(self.0.as_mut()?).ok().flatten();
        if member.is_none() {
            self.0 = None;
        }
        member
    }
}

/// The elements of an array.
#[derive(Clone, Debug)]
pub struct Elements<'a>(Option<Walk<'a>>);

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let walk = self.0.as_mut()?;
        let element = match walk.has_next(b']') {
            Ok(true) => walk.value().ok(),
            _ => None,
        };
        if element.is_none() {
            self.0 = None;
        }
        element
    }
}

/// A whole document that is one object: its members one by one, each checked before it is
/// handed out, and nothing after the end.
#[derive(Debug)]
pub struct Document<'a> {
    walk: Walk<'a>,
    is_over: bool,
}

impl<'a> Document<'a> {
    /// Starts at the opening brace.
    pub fn open(text: &'a str) -> Result<Self, Malformed> {
        let mut cursor = Cursor { wants_pairs: true, ..Cursor::new(text) };
        cursor.skip_space();
        cursor.expect(b'{', "expected an object")?;
        Ok(Document { walk: Walk { cursor, base: 0, is_first: true }, is_over: false })
    }

    /// Offset of the byte after the opening brace, before the first member was read.
    pub fn position(&self) -> usize {
        self.walk.cursor.at
    }

    /// The next member; `None` when the object and the text have ended.
    pub fn member(&mut self) -> Result<Option<(Cow<'a, str>, Value<'a>)>, Malformed> {
        if self.is_over {
            return Ok(None);
        }
        let member = Members::advance(&mut self.walk)?;
        if member.is_none() {
            self.is_over = true;
            self.walk.cursor.skip_space();
            if self.walk.cursor.peek().is_some() {
                return Err(self.walk.cursor.malformed("expected the end of the body"));
            }
        }
        Ok(member)
    }
}

/// A position in a text that is being checked.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// Whether half a surrogate pair is a mistake: in a request it is one. A provider may well cut
    /// a character in two, and send the halves in two events.
    wants_pairs: bool,
}

impl<'a> Cursor<'a> {
    /// Stands at the start.
    pub fn new(text: &'a str) -> Self {
        Cursor { text, at: 0, wants_pairs: false }
    }

    /// Where it stands.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The text from here on cannot be accepted.
    pub fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { what, at: self.at }
    }

    /// The byte that it stands at.
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over this byte, if it stands at it.
    #[inline]
    pub fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Steps over a byte that must be there.
    #[inline]
    pub fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Malformed> {
        if self.eat(byte) { Ok(()) } else { Err(self.malformed(what)) }
    }

    /// Steps over white space.
    #[inline]
    pub fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Whether there is another member or element rather than the end of what holds it; the cursor
    /// then stands at its start.
    pub fn has_next(&mut self, end: u8, is_first: bool) -> Result<bool, Malformed> {
        self.skip_space();
        if self.eat(end) {
            return Ok(false);
        }
        if !is_first {
            self.expect(b',', "expected a comma")?;
            self.skip_space();
        }
        Ok(true)
    }

    /// A name and its colon; afterwards the cursor stands at the value.
    pub fn key(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let start = self.at + 1;
        let has_escapes = self.name()?;
        let name = &self.text[start..self.at - 1];
        self.colon()?;
        Ok(if has_escapes { unescape(name) } else { Cow::Borrowed(name) })
    }

    /// The same, where nobody asks for the name.
    #[inline]
    fn skip_key(&mut self) -> Result<(), Malformed> {
        self.name()?;
        self.colon()
    }

    /// Whether the name has escapes.
    #[inline]
    fn name(&mut self) -> Result<bool, Malformed> {
        if self.peek() != Some(b'"') {
            return Err(self.malformed("expected a name in quotes"));
        }
        self.string()
    }

    #[inline]
    fn colon(&mut self) -> Result<(), Malformed> {
        self.skip_space();
        self.expect(b':', "expected a colon")?;
        self.skip_space();
        Ok(())
    }

    /// The value that starts here.
    fn value(&mut self) -> Result<Value<'a>, Malformed> {
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            _ => self.scalar()?,
        };
        if matches!(kind, Kind::Object | Kind::Array) {
            self.container()?;
        }
        Ok(Value { kind, literal: &self.text[start..self.at], start })
    }

    /// Steps over a value that is neither object nor array.
    #[inline]
    pub fn scalar(&mut self) -> Result<Kind, Malformed> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| Kind::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Kind::Number),
            Some(b't') => self.word("true").map(|()| Kind::True),
            Some(b'f') => self.word("false").map(|()| Kind::False),
            Some(b'n') => self.word("null").map(|()| Kind::Null),
            Some(_) => Err(self.malformed("expected a value")),
            None => Err(self.malformed("the body ends too early")),
        }
    }

    /// Walks over an object or array and all that is in it, without recursion.
    fn container(&mut self) -> Result<(), Malformed> {
        let mut open = Nesting::default();
        loop {
            match self.peek() {
                Some(b'{') => {
                    open.push(true).ok_or_else(|| self.malformed("nested too deeply"))?;
                    self.at += 1;
                    self.skip_space();
                    if !self.eat(b'}') {
                        self.skip_key()?;
                        continue;
                    }
                    open.pop();
                }
                Some(b'[') => {
                    open.push(false).ok_or_else(|| self.malformed("nested too deeply"))?;
                    self.at += 1;
                    self.skip_space();
                    if !self.eat(b']') {
                        continue;
                    }
                    open.pop();
                }
                _ => {
                    self.scalar()?;
                }
            }
            if !self.close(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Reads what follows a value up to the next one; false if the outermost container ended.
    #[inline]
    fn close(&mut self, open: &mut Nesting) -> Result<bool, Malformed> {
        while !open.is_empty() {
            self.skip_space();
            match (self.peek(), open.is_object()) {
                (Some(b','), is_object) => {
                    self.at += 1;
                    self.skip_space();
                    if is_object {
                        self.skip_key()?;
                    }
                    return Ok(true);
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.at += 1;
                    open.pop();
                }
                (Some(_), _) => return Err(self.malformed("expected a comma")),
                (None, _) => return Err(self.malformed("the body ends too early")),
            }
        }
        Ok(false)
    }

    fn word(&mut self, word: &'static str) -> Result<(), Malformed> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.malformed("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), Malformed> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.malformed("expected a digit")) } else { Ok(()) }
    }

    /// Walks over a string. Whether it has escapes.
    #[inline]
    fn string(&mut self) -> Result<bool, Malformed> {
        self.at += 1;
        let mut has_escapes = false;
        loop {
            self.at += text::plain_len(&self.text.as_bytes()[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(has_escapes);
                }
                Some(b'\\') => {
                    match text::escape_len(&self.text.as_bytes()[self.at..], self.wants_pairs) {
                        Ok(n) => {
                            has_escapes = true;
                            self.at += n;
                        }
                        Err(what) => return Err(self.malformed(what)),
                    }
                }
                Some(_) => return Err(self.malformed("control character in a string")),
                None => return Err(self.malformed("the body ends inside a string")),
            }
        }
    }
}

/// Which of the open containers are objects, the innermost last.
#[derive(Default)]
struct Nesting {
    bits: [u64; MAX_DEPTH / 64],
    depth: usize,
}

impl Nesting {
    /// `None` if that is too deep. The document itself is one level more.
    #[inline]
    fn push(&mut self, is_object: bool) -> Option<()> {
        if self.depth + 1 == MAX_DEPTH {
            return None;
        }
        let (word, bit) = (self.depth / 64, self.depth % 64);
        self.bits[word] = self.bits[word] & !(1 << bit) | u64::from(is_object) << bit;
        self.depth += 1;
        Some(())
    }

    #[inline]
    fn pop(&mut self) {
        self.depth -= 1;
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.depth == 0
    }

    #[inline]
    fn is_object(&self) -> bool {
        let innermost = self.depth - 1;
        self.bits[innermost / 64] >> (innermost % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests;
