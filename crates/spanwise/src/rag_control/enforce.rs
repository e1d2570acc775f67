//! Whether an answer keeps to its policy, checked as it comes and once more at its end.
//!
//! Text is released when nothing in it can be wrong any more: what may become a citation when its
//! bracket closes, for example, or under strict rules the end of its statement.

use std::collections::HashSet;
use std::sync::Arc;

use super::adapter::{Document, Usage};
use super::error::Violation;
use super::policy::Policy;

/// A bracket that is not closed within this many bytes is no citation.
const MAX_CITATION_BYTES: usize = 96;
/// Statements of fewer words, such as "Yes.", need no citation and no document that says so.
const STATEMENT_WORDS: usize = 4;
/// Of the longer words of a statement, the share that documents or the question have to have.
const GROUNDED_SHARE: f64 = 0.25;

/// Follows one answer.
#[derive(Debug)]
pub(super) struct Enforcer {
    policy: Arc<Policy>,
    ids: Vec<String>,
    /// Words and numbers that an answer may use: those of the documents and of the question.
    known_words: HashSet<String>,
    text: String,
    n_characters: usize,
    /// How far citations were looked for.
    scanned: usize,
    /// Where the statement starts that is not complete yet.
    statement: usize,
    released: usize,
    /// Documents cited so far, by place.
    cited: Vec<usize>,
    /// Citations by where they stand.
    citations: Vec<std::ops::Range<usize>>,
}

/// An answer that keeps to its policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// The places of the documents that it cites, in the order of their first mention.
    pub cited: Vec<usize>,
    /// Whether it says only that there is no answer.
    pub is_refusal: bool,
}

impl Enforcer {
    pub fn new(policy: Arc<Policy>, query: &str, documents: &[Document]) -> Self {
        let mut known_words = HashSet::new();
        if policy.enforcement.answer_only_from_documents {
            let texts = documents.iter().map(|document| document.content.as_str());
            known_words.extend(texts.chain([query]).flat_map(words));
        }
        Enforcer {
            ids: documents.iter().map(|document| document.id.clone()).collect(),
            policy,
            known_words,
            text: String::new(),
            n_characters: 0,
            scanned: 0,
            statement: 0,
            released: 0,
            cited: Vec::new(),
            citations: Vec::new(),
        }
    }

    /// Takes a piece; gives back what may be shown now.
    pub fn push(&mut self, piece: &str) -> Result<&str, Violation> {
        self.text.push_str(piece);
        self.n_characters += piece.chars().count();
        self.check_length()?;
        self.scan(false)?;
        let ready = if self.checks_statements() {
            self.check_statements(false)?;
            self.statement
        } else {
            self.scanned
        };
        Ok(self.release(ready))
    }

    /// The end of the answer; gives back what has not been shown, and what is to be said about it.
    pub fn finish(&mut self, usage: &Usage) -> Result<(&str, Kept), Violation> {
        self.scan(true)?;
        let rules = &self.policy.enforcement;
        let is_refusal = self.text.trim() == rules.refusal;
        if !is_refusal {
            if self.checks_statements() {
                self.check_statements(true)?;
            }
            if self.policy.enforcement.require_citations && self.cited.is_empty() {
                let message = if self.ids.is_empty() {
                    "no documents were retrieved, so that none can be cited"
                } else {
                    "the answer cites no document"
                };
                return Err(violation("require_citations", message));
            }
        }
        if let (Some(most), Some(made)) =
            (self.policy.generation.max_output_tokens, usage.completion_tokens)
            && made > most
        {
            let message = format!("the answer took {made} tokens, {most} are allowed");
            return Err(violation("max_output_tokens", message));
        }
        let kept = Kept { cited: std::mem::take(&mut self.cited), is_refusal };
        Ok((self.release(self.text.len()), kept))
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    fn release(&mut self, until: usize) -> &str {
        let from = self.released;
        self.released = until.max(from);
        &self.text[from..self.released]
    }

    fn checks_statements(&self) -> bool {
        let rules = &self.policy.enforcement;
        rules.strict_citations || rules.answer_only_from_documents
    }

    fn check_length(&self) -> Result<(), Violation> {
        match self.policy.enforcement.max_answer_characters {
            Some(most) if self.n_characters > most => {
                let message = format!("the answer is longer than {most} characters");
                Err(violation("max_answer_characters", message))
            }
            _ => Ok(()),
        }
    }

    /// Looks for citations in what is new.
    fn scan(&mut self, is_end: bool) -> Result<(), Violation> {
        while let Some(found) = self.text[self.scanned..].find('[') {
            let open = self.scanned + found;
            let rest = &self.text[open + 1..];
            let Some(length) = rest.find([']', '[', '\n']) else {
                // It may still be closed.
                self.scanned = open;
                if !is_end && rest.len() <= MAX_CITATION_BYTES {
                    return Ok(());
                }
                self.scanned += 1;
                continue;
            };
            let close = open + 1 + length;
            if !self.text[close..].starts_with(']') {
                self.scanned = close;
                continue;
            }
            let after = &self.text[close + 1..];
            if after.is_empty() && !is_end {
                // An opening parenthesis may follow, which makes it a link.
                self.scanned = open;
                return Ok(());
            }
            if !after.starts_with('(') {
                self.cite(open + 1..close)?;
            }
            self.scanned = close + 1;
        }
        self.scanned = self.text.len();
        Ok(())
    }

    /// Notes what stands in brackets, if it is a citation.
    fn cite(&mut self, inside: std::ops::Range<usize>) -> Result<(), Violation> {
        let rules = &self.policy.enforcement;
        let (requires, is_strict) = (rules.require_citations, rules.strict_citations);
        let content = self.text[inside.clone()].to_owned();
        let mut is_citation = false;
        let whole = self.place_of(content.trim());
        let parts = whole.map_or_else(|| content.split([',', ';']).collect(), |_| vec![&*content]);
        for part in parts {
            let part = part.trim();
            match self.place_of(part) {
                Some(place) => {
                    is_citation = true;
                    if !self.cited.contains(&place) {
                        self.cited.push(place);
                    }
                }
                None if requires && (is_strict || names_a_document(part)) => {
                    let shown: String = part.chars().take(40).collect();
                    let message = format!("[{shown}] is none of the retrieved documents");
                    return Err(violation("unknown_citation", message));
                }
                None => {}
            }
        }
        if is_citation {
            self.citations.push(inside);
        }
        Ok(())
    }

    /// The place of the document that is meant.
    fn place_of(&self, said: &str) -> Option<usize> {
        if let Some(place) = self.ids.iter().position(|id| id == said) {
            return Some(place);
        }
        let number: usize = without_label(said).parse().ok()?;
        (1..=self.ids.len()).contains(&number).then(|| number - 1)
    }

    /// Checks every statement that is complete.
    fn check_statements(&mut self, is_end: bool) -> Result<(), Violation> {
        if self.policy.enforcement.refusal.starts_with(self.text.trim()) {
            // So far it says that there is no answer.
            return Ok(());
        }
        let until = if is_end { self.text.len() } else { self.scanned };
        while let Some(length) = statement(&self.text[self.statement..until], is_end) {
            let range = self.statement..self.statement + length;
            self.check_statement(range.clone())?;
            self.statement = range.end;
        }
        Ok(())
    }

    fn check_statement(&self, range: std::ops::Range<usize>) -> Result<(), Violation> {
        let rules = &self.policy.enforcement;
        let said = self.without_citations(range.clone());
        let words: Vec<String> = words(&said).collect();
        let is_short = words.len() < STATEMENT_WORDS || said.trim_end().ends_with(':');
        let has_citation = self.citations.iter().any(|one| range.contains(&one.start));
        let n_before = self.text[..range.start].trim().chars().count();
        if rules.strict_citations && !is_short && !has_citation {
            let message = format!("the statement from character {n_before} on cites no document");
            return Err(violation("strict_citations", message));
        }
        if rules.answer_only_from_documents && !self.is_grounded(&words) {
            let message = format!("no document says the statement from character {n_before} on");
            return Err(violation("answer_only_from_documents", message));
        }
        Ok(())
    }

    fn without_citations(&self, range: std::ops::Range<usize>) -> String {
        let mut said = String::with_capacity(range.len());
        let mut from = range.start;
        for one in self.citations.iter().filter(|one| range.contains(&one.start)) {
            said.push_str(&self.text[from..one.start - 1]);
            from = one.end + 1;
        }
        said.push_str(&self.text[from..range.end]);
        said
    }

    /// Whether the documents, or the question, have the numbers and enough of the words.
    fn is_grounded(&self, words: &[String]) -> bool {
        let is_number = |word: &str| word.starts_with(|first: char| first.is_ascii_digit());
        let knows = |word: &&String| self.known_words.contains(*word);
        // Numbers of one digit count steps and items of lists.
        if words.iter().any(|word| word.len() > 1 && is_number(word) && !knows(&word)) {
            return false;
        }
        let long: Vec<_> = words.iter().filter(|word| word.chars().count() >= 4).collect();
        let n_known = long.iter().copied().filter(knows).count();
        long.len() < STATEMENT_WORDS || n_known as f64 >= GROUNDED_SHARE * long.len() as f64
    }
}

fn violation(rule: &'static str, message: impl Into<String>) -> Violation {
    Violation { rule, message: message.into() }
}

/// `doc 3`, `Document-3` and `3` all mean the third.
fn without_label(said: &str) -> &str {
    for label in ["document", "doc"] {
        if let Some(head) = said.get(..label.len())
            && head.eq_ignore_ascii_case(label)
        {
            return said[label.len()..].trim_start_matches([' ', '-', '_', ':', '#']);
        }
    }
    said
}

/// Whether what stands in brackets looks like the name of a document: one word with a number.
fn names_a_document(said: &str) -> bool {
    let rest = without_label(said);
    let is_word = !rest.is_empty() && !rest.contains(char::is_whitespace);
    is_word && rest.contains(|letter: char| letter.is_ascii_digit())
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// The length of the first complete statement: to the end of its line, or to its full stop with
/// the citations and spaces behind it.
fn statement(text: &str, is_end: bool) -> Option<usize> {
    for (at, letter) in text.char_indices() {
        if letter == '\n' {
            return Some(at + 1);
        }
        if matches!(letter, '.' | '!' | '?') && !is_abbreviation(&text[..at]) {
            let rest = &text[at + 1..];
            let behind = behind_citations(rest);
            let Some(next) = rest[behind..].chars().next() else { break };
            let ends = rest.starts_with([' ', '\t', '[']) || rest.starts_with(['"', ')', '”']);
            if ends && !next.is_lowercase() && next != '\n' {
                return Some(at + 1 + behind);
            }
        }
    }
    (is_end && !text.is_empty()).then_some(text.len())
}

/// The length of spaces and brackets before the next word.
fn behind_citations(text: &str) -> usize {
    let mut behind = 0;
    loop {
        let rest = &text[behind..];
        let spaces = rest.len() - rest.trim_start_matches([' ', '\t', '"', ')', '”']).len();
        let bracket = &rest[spaces..];
        match bracket.find(']') {
            Some(close) if bracket.starts_with('[') => behind += spaces + close + 1,
            _ => return behind + spaces,
        }
    }
}

/// Whether the full stop behind this belongs to the word before it, as in "e.g." or "Dr.".
fn is_abbreviation(before: &str) -> bool {
    let word = before.rsplit(|letter: char| letter.is_whitespace() || letter == '(').next();
    word.is_some_and(|word| {
        let is_short = (1..=2).contains(&word.chars().count());
        word.contains('.') || (is_short && word.chars().all(char::is_alphabetic))
    })
}

#[cfg(test)]
mod tests;
