//! Builds the tree that translators read. The grammar is [`Cursor`]'s.

use crate::json::{self, Cursor, MAX_DEPTH, Malformed};

use super::{Kind, Node};

/// Reads one JSON value that fills the whole body.
pub fn parse(body: &[u8]) -> Result<Node<'_>, Malformed> {
    let text = simdutf8::compat::from_utf8(body)
        .map_err(|error| Malformed { what: "not UTF-8", at: error.valid_up_to() })?;
    let mut parser = Parser { text, cursor: Cursor::new(text), depth: 0 };
    parser.cursor.skip_space();
    let node = parser.value()?;
    parser.cursor.skip_space();
    match parser.cursor.peek() {
        None => Ok(node),
        Some(_) => Err(parser.cursor.malformed("expected the end of the body")),
    }
}

struct Parser<'a> {
    text: &'a str,
    cursor: Cursor<'a>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn value(&mut self) -> Result<Node<'a>, Malformed> {
        let from = self.cursor.at();
        let kind = if self.cursor.eat(b'{') {
            self.nested(Self::object)?
        } else if self.cursor.eat(b'[') {
            self.nested(Self::array)?
        } else {
            match self.cursor.scalar()? {
                json::Kind::True => Kind::Bool(true),
                json::Kind::False => Kind::Bool(false),
                json::Kind::Number => Kind::Number,
                json::Kind::Text => Kind::String,
                _ => Kind::Null,
            }
        };
        Ok(Node { raw: &self.text[from..self.cursor.at()], kind })
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Kind<'a>, Malformed>,
    ) -> Result<Kind<'a>, Malformed> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.cursor.malformed("nested too deeply"));
        }
        let kind = read(self)?;
        self.depth -= 1;
        Ok(kind)
    }

    fn object(&mut self) -> Result<Kind<'a>, Malformed> {
        let mut fields = Vec::new();
        while self.cursor.has_next(b'}', fields.is_empty())? {
            let key = self.cursor.key()?;
            fields.push((key, self.value()?));
        }
        Ok(Kind::Object(fields))
    }

    fn array(&mut self) -> Result<Kind<'a>, Malformed> {
        let mut elements = Vec::new();
        while self.cursor.has_next(b']', elements.is_empty())? {
            elements.push(self.value()?);
        }
        Ok(Kind::Array(elements))
    }
}
