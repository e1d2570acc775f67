//! From the text of a search to a [`Filter`]: `docs/search.md` is the language.
//!
//! ```text
//! search  = any
//! any     = every { "OR" every }
//! every   = term { [ "AND" ] term }
//! term    = ( "NOT" | "-" ) term | "(" any ")" | "*" | field ":" value | "has:" field
//!         | word [ "*" ] | phrase [ "*" ]
//! ```

mod value;

use std::fmt;

use regex::Regex;

use super::{Field, Filter, TextQuery};
use crate::segment::words;

/// The longest search in bytes: room for a list of some hundred trace ids.
pub const MAX_LENGTH: usize = 16 * 1024;
/// The deepest nesting of parentheses and negations.
pub const MAX_DEPTH: usize = 64;
/// The most regular expressions in one search; each may take some memory.
pub const MAX_REGEXES: usize = 16;
/// The most terms in one search: each takes a look at the spans by itself. The values of a list
/// are one term, unless they are numbers or ranges.
pub const MAX_TERMS: usize = 128;

/// Why a text is no search, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong there.
    pub message: String,
    /// The column in characters; the first is 1.
    pub position: usize,
    /// What would have been right there, such as `a value for "model"`.
    pub expected: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at column {}: expected {}", self.message, self.position, self.expected)
    }
}

impl std::error::Error for ParseError {}

/// Reads a search. Nothing at all is a search for everything.
pub fn parse(text: &str) -> Result<Filter, ParseError> {
    let mut parser = Parser { text, at: 0, depth: 0, n_terms: 0, n_regexes: 0 };
    if text.len() > MAX_LENGTH {
        let expected = format!("at most {MAX_LENGTH} bytes");
        return Err(parser.error_at(0, "the search is too long", expected));
    }
    parser.skip_space();
    if parser.rest().is_empty() {
        return Ok(Filter::All);
    }
    let filter = parser.any()?;
    if parser.rest().is_empty() {
        Ok(filter)
    } else {
        Err(parser.error("this \")\" closes nothing", "AND, OR or a term"))
    }
}

struct Parser<'a> {
    text: &'a str,
    /// Byte offset of what comes next.
    at: usize,
    depth: usize,
    n_terms: usize,
    n_regexes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    And,
    Or,
    Not,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn error_at(
        &self,
        offset: usize,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> ParseError {
        let position = self.text[..offset].chars().count() + 1;
        ParseError { message: message.into(), position, expected: expected.into() }
    }

    fn error(&self, message: impl Into<String>, expected: impl Into<String>) -> ParseError {
        self.error_at(self.at, message, expected)
    }

    /// Reads AND, OR or NOT in any case, without taking it.
    fn operator(&self) -> Option<(Operator, usize)> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let stands_alone =
            rest[end..].chars().next().is_none_or(|c| c.is_whitespace() || "()\"".contains(c));
        let operator = match rest[..end].to_ascii_uppercase().as_str() {
            "AND" => Operator::And,
            "OR" => Operator::Or,
            "NOT" => Operator::Not,
            _ => return None,
        };
        stands_alone.then_some((operator, end))
    }

    fn eat_operator(&mut self, wanted: Operator) -> bool {
        self.skip_space();
        match self.operator() {
            Some((operator, len)) if operator == wanted => {
                self.at += len;
                self.skip_space();
                true
            }
            _ => false,
        }
    }

    fn any(&mut self) -> Result<Filter, ParseError> {
        let mut filters = vec![self.every()?];
        while self.eat_operator(Operator::Or) {
            filters.push(self.every()?);
        }
        Ok(join_any(filters))
    }

    fn every(&mut self) -> Result<Filter, ParseError> {
        let mut filters = vec![self.term()?];
        loop {
            if self.eat_operator(Operator::And) {
                filters.push(self.term()?);
                continue;
            }
            let at_end = matches!(self.peek(), None | Some(')'));
            if at_end || matches!(self.operator(), Some((Operator::Or, _))) {
                return Ok(join_every(filters));
            }
            filters.push(self.term()?);
        }
    }

    fn term(&mut self) -> Result<Filter, ParseError> {
        if self.depth == MAX_DEPTH {
            let expected = format!("at most {MAX_DEPTH} levels");
            return Err(self.error("this is nested too deeply", expected));
        }
        self.depth += 1;
        let term = self.term_at_depth();
        self.depth -= 1;
        term
    }

    fn term_at_depth(&mut self) -> Result<Filter, ParseError> {
        if self.eat_operator(Operator::Not) {
            return Ok(negate(self.term()?));
        }
        match self.peek() {
            None => Err(self.error("the search ends here", "a term")),
            Some('-') => self.dash(),
            Some('(') => self.group(),
            Some(')') => Err(self.error("\")\" where a term should be", "a term")),
            Some('>' | '<') => Err(self.structure_operator()),
            Some('"') => self.quoted_term(),
            Some(_) if self.operator().is_some() => {
                let message = "an operator where a term should be";
                Err(self.error(message, "a term; to search for the word itself, quote it"))
            }
            Some(_) => self.plain_term(),
        }
    }

    fn count_term(&mut self, start: usize) -> Result<(), ParseError> {
        self.n_terms += 1;
        if self.n_terms > MAX_TERMS {
            let expected = format!("at most {MAX_TERMS}; a list such as model:a,b is one term");
            return Err(self.error_at(start, "too many terms", expected));
        }
        Ok(())
    }

    fn dash(&mut self) -> Result<Filter, ParseError> {
        let dash = self.at;
        self.at += 1;
        match self.peek() {
            None | Some('-' | ')') => Err(self.dangling_dash(dash)),
            Some(c) if c.is_whitespace() => Err(self.dangling_dash(dash)),
            Some(_) => Ok(negate(self.term()?)),
        }
    }

    fn dangling_dash(&self, dash: usize) -> ParseError {
        let expected = "a term after \"-\"; to search for text that begins with it, quote it";
        self.error_at(dash, "\"-\" negates nothing", expected)
    }

    fn group(&mut self) -> Result<Filter, ParseError> {
        let open = self.at;
        self.at += 1;
        self.skip_space();
        let filter = self.any()?;
        if self.eat(")") {
            Ok(filter)
        } else {
            Err(self.error_at(open, "this \"(\" is not closed", "\")\" at the end of the group"))
        }
    }

    fn structure_operator(&self) -> ParseError {
        let message = "structure operators (\">\" and \">>\") are not supported yet";
        self.error(message, "terms that one span satisfies, joined by AND or OR")
    }

    /// A phrase, or a field whose key is quoted.
    fn quoted_term(&mut self) -> Result<Filter, ParseError> {
        let start = self.at;
        self.count_term(start)?;
        let text = self.quoted()?;
        if self.eat(":") {
            return self.field_value(&Field::Attribute(text));
        }
        let prefix = self.eat("*");
        self.text_query(start, &text, prefix)
    }

    /// Takes a quoted string: `\"` and `\\` stand for `"` and `\`, other backslashes for
    /// themselves, so that a regular expression needs no doubled ones.
    fn quoted(&mut self) -> Result<String, ParseError> {
        let start = self.at;
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((offset, c)) = chars.next() {
            match c {
                '"' => {
                    self.at = start + offset + 1;
                    return Ok(text);
                }
                '\\' => match chars.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                    Some((_, escaped)) => text.push(escaped),
                    None => text.push('\\'),
                },
                _ => text.push(c),
            }
        }
        Err(self.error_at(start, "this quote is not closed", "a second \"\\\"\""))
    }

    /// A field with its value, or a word.
    fn plain_term(&mut self) -> Result<Filter, ParseError> {
        self.count_term(self.at)?;
        let rest = self.rest();
        let name_len = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(name_len);
        let is_name = name.starts_with(|c: char| c.is_alphabetic() || "_@$".contains(c));
        // A pasted address is text, not a field called "https".
        if is_name && after.starts_with(':') && !after.starts_with("://") {
            self.at += name_len + 1;
            if name.eq_ignore_ascii_case("has") {
                return self.has();
            }
            return self.field_value(&Field::from_name(name));
        }
        let start = self.at;
        let end = rest.find(|c: char| c.is_whitespace() || "()\"".contains(c));
        let word = &rest[..end.unwrap_or(rest.len())];
        if let Some(offset) = word.find(['<', '>', '=']) {
            self.refuse_comparison(name, offset, &word[offset..])?;
        }
        self.at += word.len();
        if word == "*" {
            return Ok(Filter::All);
        }
        let stem = word.strip_suffix('*');
        if let Some(offset) = stem.unwrap_or(word).find('*') {
            let expected = "\"*\" only at the end of a word; quote it to search for the text";
            return Err(self.error_at(start + offset, "\"*\" inside a word", expected));
        }
        self.text_query(start, stem.unwrap_or(word), stem.is_some())
    }

    /// `duration>2s` would silently be a search for the words "duration" and "2s".
    fn refuse_comparison(&self, name: &str, at: usize, rest: &str) -> Result<(), ParseError> {
        let is_field = !matches!(Field::from_name(name), Field::Attribute(_));
        if rest.starts_with('=') && !is_field {
            return Ok(());
        }
        let value = if rest.starts_with('=') { "value" } else { ">value" };
        let expected = format!("{name}:{value}; quote it to search for the text");
        Err(self.error_at(self.at + at, "a comparison without \":\"", expected))
    }

    fn text_query(&self, start: usize, text: &str, prefix: bool) -> Result<Filter, ParseError> {
        let words: Vec<String> = words(text).collect();
        let continues = text.ends_with(char::is_alphanumeric);
        if words.is_empty() {
            Err(self.error_at(start, "nothing to search for", "a letter or digit"))
        } else if prefix && !continues {
            Err(self.error_at(start, "\"*\" continues no word", "a letter or digit before \"*\""))
        } else {
            Ok(Filter::Text(TextQuery { words, prefix }))
        }
    }

    fn has(&mut self) -> Result<Filter, ParseError> {
        let field = if self.peek() == Some('"') {
            Field::Attribute(self.quoted()?)
        } else {
            let rest = self.rest();
            let len = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
            self.at += len;
            Field::from_name(&rest[..len])
        };
        if field.name().is_empty() {
            return Err(self.error("\"has:\" without a field", "the name of a field"));
        }
        self.end_of_value()?;
        // A span can fail without saying how: what a person means is "has it failed?".
        Ok(if field == Field::Error {
            join_any(vec![Filter::Has(Field::Error), Filter::Failed])
        } else {
            Filter::Has(field)
        })
    }

    /// Checks that a value ends where it should.
    fn end_of_value(&self) -> Result<(), ParseError> {
        match self.peek() {
            None | Some('(' | ')') => Ok(()),
            Some(c) if c.is_whitespace() => Ok(()),
            Some(_) => Err(self.error("the value should end here", "a space")),
        }
    }

    fn regex(&mut self, start: usize, text: &str) -> Result<Regex, ParseError> {
        self.n_regexes += 1;
        if self.n_regexes > MAX_REGEXES {
            let expected = format!("at most {MAX_REGEXES}");
            return Err(self.error_at(start, "too many regular expressions", expected));
        }
        let mut builder = regex::RegexBuilder::new(text);
        builder.size_limit(1 << 20).dfa_size_limit(1 << 20).nest_limit(64);
        builder.build().map_err(|error| {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            self.error_at(start, format!("bad regular expression ({reason})"), "a valid one")
        })
    }
}

/// What a name without quotes may consist of.
pub(super) fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || "_.-/@$#[]".contains(c)
}

fn negate(filter: Filter) -> Filter {
    match filter {
        Filter::Not(inner) => *inner,
        other => Filter::Not(Box::new(other)),
    }
}

fn join_every(filters: Vec<Filter>) -> Filter {
    let flat = filters.into_iter().flat_map(|filter| match filter {
        Filter::And(inner) => inner,
        other => vec![other],
    });
    one_or(flat.collect(), Filter::And)
}

fn join_any(filters: Vec<Filter>) -> Filter {
    let flat = filters.into_iter().flat_map(|filter| match filter {
        Filter::Or(inner) => inner,
        other => vec![other],
    });
    one_or(flat.collect(), Filter::Or)
}

fn one_or(mut filters: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Filter {
    match filters.pop() {
        Some(only) if filters.is_empty() => only,
        Some(last) => {
            filters.push(last);
            join(filters)
        }
        None => Filter::All,
    }
}

#[cfg(test)]
mod tests;
