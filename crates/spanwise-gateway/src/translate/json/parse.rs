//! A strict reader of JSON that borrows everything.

use std::borrow::Cow;

use super::{Kind, Node, Text};

/// Deeper nesting than any request needs, and far less than the stack holds.
const MAX_DEPTH: usize = 512;

/// Why a body is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub what: &'static str,
    /// The byte at which it was noticed.
    pub at: usize,
}

/// Reads one JSON value that fills the whole body.
pub fn parse(body: &[u8]) -> Result<Node<'_>, Malformed> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Malformed { what: "is not UTF-8", at: error.valid_up_to() })?;
    let mut parser = Parser { text, at: 0, depth: 0 };
    parser.space();
    let node = parser.value()?;
    parser.space();
    if parser.at == text.len() { Ok(node) } else { parser.fail("has more after its end") }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn fail<T>(&self, what: &'static str) -> Result<T, Malformed> {
        Err(Malformed { what, at: self.at })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Node<'a>, Malformed> {
        let from = self.at;
        let kind = match self.peek() {
            Some(b'"') => {
                self.string()?;
                Kind::String
            }
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::array)?,
            Some(b't') => self.word("true", Kind::Bool(true))?,
            Some(b'f') => self.word("false", Kind::Bool(false))?,
            Some(b'n') => self.word("null", Kind::Null)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => return self.fail("has something that is no JSON value"),
            None => return self.fail("ends too early"),
        };
        Ok(Node { raw: &self.text[from..self.at], kind })
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Kind<'a>, Malformed>,
    ) -> Result<Kind<'a>, Malformed> {
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail("is nested too deeply");
        }
        self.space();
        let kind = read(self)?;
        self.depth -= 1;
        Ok(kind)
    }

    fn object(&mut self) -> Result<Kind<'a>, Malformed> {
        let mut fields = Vec::new();
        if self.closes(b'}') {
            return Ok(Kind::Object(fields));
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.fail("has an object with something that is no key");
            }
            let key = self.key()?;
            self.space();
            if self.peek() != Some(b':') {
                return self.fail("has a key without a colon");
            }
            self.at += 1;
            self.space();
            let value = self.value()?;
            fields.push((key, value));
            if self.ends(b'}')? {
                return Ok(Kind::Object(fields));
            }
        }
    }

    fn array(&mut self) -> Result<Kind<'a>, Malformed> {
        let mut elements = Vec::new();
        if self.closes(b']') {
            return Ok(Kind::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            if self.ends(b']')? {
                return Ok(Kind::Array(elements));
            }
        }
    }

    fn closes(&mut self, bracket: u8) -> bool {
        let closes = self.peek() == Some(bracket);
        self.at += usize::from(closes);
        closes
    }

    /// After an element: whether the bracket closes here, rather than another element following.
    fn ends(&mut self, bracket: u8) -> Result<bool, Malformed> {
        self.space();
        if self.closes(bracket) {
            return Ok(true);
        }
        if self.peek() != Some(b',') {
            return self.fail("has elements without a comma between them");
        }
        self.at += 1;
        self.space();
        Ok(false)
    }

    fn word(&mut self, word: &str, kind: Kind<'a>) -> Result<Kind<'a>, Malformed> {
        if !self.text[self.at..].starts_with(word) {
            return self.fail("has something that is no JSON value");
        }
        self.at += word.len();
        Ok(kind)
    }

    fn number(&mut self) -> Result<Kind<'a>, Malformed> {
        self.at += usize::from(self.peek() == Some(b'-'));
        let from = self.at;
        self.digits()?;
        if self.at - from > 1 && self.text.as_bytes()[from] == b'0' {
            return self.fail("has a number that starts with a zero");
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Kind::Number)
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == from { self.fail("has a number without digits") } else { Ok(()) }
    }

    fn key(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let from = self.at + 1;
        let has_escapes = self.string()?;
        let key = &self.text[from..self.at - 1];
        Ok(if has_escapes { Text::from_escaped(key).into_plain() } else { Cow::Borrowed(key) })
    }

    /// Walks over a string; answers whether anything in it is escaped.
    fn string(&mut self) -> Result<bool, Malformed> {
        let bytes = self.text.as_bytes();
        let mut has_escapes = false;
        self.at += 1;
        loop {
            self.at += plain_length(&bytes[self.at..]);
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(has_escapes);
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return self.fail("has a control character in a string"),
                None => return self.fail("ends inside a string"),
            }
            has_escapes = true;
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        let bytes = self.text.as_bytes();
        let length = match bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u')
                if bytes
                    .get(self.at + 2..self.at + 6)
                    .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) =>
            {
                6
            }
            _ => return self.fail("has an escape that JSON does not know"),
        };
        self.at += length;
        Ok(())
    }
}

/// How many bytes at the start stand for themselves: no quote, no backslash, no control character.
///
/// Eight bytes are judged at once. Where a byte is special, borrowing may mark bytes behind it
/// too, but never one before it, and only the first counts.
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let is_below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGHS;
    let mut at = 0;
    for chunk in bytes.chunks_exact(8) {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        let word = u64::from_le_bytes(word);
        let special = is_below(word, 0x20)
            | is_below(word ^ (ONES * u64::from(b'"')), 1)
            | is_below(word ^ (ONES * u64::from(b'\\')), 1);
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let rest = &bytes[at..];
    at + rest.iter().position(is_special).unwrap_or(rest.len())
}
