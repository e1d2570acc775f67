//! Redaction: what must not leave a process is replaced before it does.
//!
//! Secrets (keys of providers, tokens, private keys, passwords that are called so) are always
//! looked for; personal and financial data where the configuration says so; and whatever the
//! user's own patterns match. Checks keep ordinary numbers alone: a card's number has to pass the
//! Luhn check and begin like a card's, an account number has to have the right check digits.
//!
//! One vectorised search over the literals that secrets begin with and one look at digits and `@`
//! find the few places that small matchers then judge, so that text without any such place costs
//! little and nothing is allocated for it. A text that is JSON is redacted string by string and
//! stays JSON, however deeply it is nested in itself.
//!
//! ```
//! use spanwise_model::redact::{RedactionConfig, Redactor};
//!
//! let redactor = Redactor::new(RedactionConfig { pii: true, ..RedactionConfig::default() })?;
//! assert_eq!(redactor.redact("write to ada@example.org"), "write to [REDACTED]");
//! assert_eq!(redactor.redact("password=hunter2"), "password=[REDACTED]");
//! assert_eq!(redactor.redact(r#"{"n": 4111111111111112}"#), r#"{"n": 4111111111111112}"#);
//! # Ok::<(), spanwise_model::redact::Error>(())
//! ```

mod assignments;
mod checks;
mod context;
mod email;
mod json;
mod numbers;
mod phone;
mod secrets;
mod text;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use regex::{Regex, RegexSet};

use self::assignments::Certainty;
use self::context::Context;
use self::json::{Leaf, Outcome};
use self::numbers::Classes;
use self::secrets::Secrets;
use self::text::Text;
use crate::{Attributes, LogEvent, Span, Str, Value};

/// How deeply JSON may lie in strings of JSON before it is redacted as plain text.
const MAX_DEPTH: usize = 16;

/// What was replaced can leave new neighbours that match in turn. This often at most.
const MAX_ROUNDS: usize = 8;

/// What is redacted, and what stands in its place. Secrets are redacted in any case.
#[derive(Clone, PartialEq, Eq)]
pub struct RedactionConfig {
    /// Addresses of mail, telephone, social security and passport numbers, IP addresses.
    pub pii: bool,
    /// Cards that pass the Luhn check, account numbers (IBAN) with right check digits.
    pub financial: bool,
    /// Regular expressions of the user, in the syntax of the crate `regex`.
    pub custom_patterns: Vec<String>,
    /// What stands in the place of what was found.
    pub replacement_text: String,
}

impl Default for RedactionConfig {
    /// Secrets only, replaced by `[REDACTED]`.
    fn default() -> Self {
        RedactionConfig {
            pii: false,
            financial: false,
            custom_patterns: Vec::new(),
            replacement_text: "[REDACTED]".to_owned(),
        }
    }
}

impl fmt::Debug for RedactionConfig {
    /// Without the patterns, which may contain what they look for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedactionConfig")
            .field("pii", &self.pii)
            .field("financial", &self.financial)
            .field("custom_patterns", &self.custom_patterns.len())
            .field("replacement_text", &self.replacement_text)
            .finish()
    }
}

/// Why a [`Redactor`] cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A pattern of the user is no regular expression, or one that is too large.
    #[error("custom_patterns[{index}] `{pattern}` is not a regular expression: {reason}")]
    InvalidPattern {
        /// Its place in the list, from 0.
        index: usize,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A pattern of the user matches between any two characters.
    #[error("custom_patterns[{index}] `{pattern}` matches the empty text, which is everywhere")]
    MatchesNothing {
        /// Its place in the list, from 0.
        index: usize,
        /// The pattern.
        pattern: String,
    },
}

/// Replaces secrets and other sensitive text. Cheap to clone and to share between threads.
#[derive(Clone)]
pub struct Redactor(Arc<Rules>);

struct Rules {
    classes: Classes,
    secrets: Secrets,
    context: Context,
    custom: Vec<Regex>,
    /// All of `custom`, which tells in one pass which of them match at all.
    any_custom: RegexSet,
    replacement: String,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor")
            .field("pii", &self.0.classes.pii)
            .field("financial", &self.0.classes.financial)
            .field("custom_patterns", &self.0.custom.len())
            .finish_non_exhaustive()
    }
}

impl Redactor {
    /// Compiles the configuration; says which of the user's patterns is wrong, and why.
    pub fn new(config: RedactionConfig) -> Result<Self, Error> {
        let patterns = config.custom_patterns;
        let custom = patterns.iter().enumerate().map(|(index, pattern)| compile(index, pattern));
        let custom: Vec<Regex> = custom.collect::<Result<_, Error>>()?;
        let any_custom = RegexSet::new(&patterns).map_err(|error| Error::InvalidPattern {
            index: patterns.len().saturating_sub(1),
            pattern: patterns.last().cloned().unwrap_or_default(),
            reason: reason(&error),
        })?;
        Ok(Redactor(Arc::new(Rules {
            classes: Classes { pii: config.pii, financial: config.financial },
            secrets: Secrets::new(),
            context: Context::new(),
            custom,
            any_custom,
            replacement: config.replacement_text,
        })))
    }

    /// The text without what is sensitive in it; the text itself where nothing is.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.0.redact(text, "", 0).map_or(Cow::Borrowed(text), |(redacted, _)| Cow::Owned(redacted))
    }

    /// Redacts the span's name, the text of its status, and every string among its attributes,
    /// events and links. Ids, keys and the resource stay. Returns how many places were replaced.
    pub fn redact_span(&self, span: &mut Span) -> usize {
        let mut n_replaced = self.redact_str(&mut span.name, "");
        n_replaced += self.redact_str(&mut span.status.message, "");
        n_replaced += self.redact_attributes(&mut span.attributes);
        for event in &mut span.events {
            n_replaced += self.redact_str(&mut event.name, "");
            n_replaced += self.redact_attributes(&mut event.attributes);
        }
        for link in &mut span.links {
            n_replaced += self.redact_attributes(&mut link.attributes);
        }
        n_replaced
    }

    /// Redacts the name, the body and the attributes of a log record, as [`Self::redact_span`].
    pub fn redact_log_event(&self, event: &mut LogEvent) -> usize {
        self.redact_str(&mut event.name, "")
            + self.redact_value(&mut event.body, "")
            + self.redact_attributes(&mut event.attributes)
    }

    /// Redacts every string among the values. Returns how many places were replaced.
    pub fn redact_attributes(&self, attributes: &mut Attributes) -> usize {
        let redact = |attribute: &mut crate::Attribute| {
            self.redact_value(&mut attribute.value, &attribute.key)
        };
        attributes.0.iter_mut().map(redact).sum()
    }

    fn redact_value(&self, value: &mut Value, key: &str) -> usize {
        match value {
            Value::String(text) => self.redact_str(text, key),
            Value::Array(values) => values.iter_mut().map(|v| self.redact_value(v, key)).sum(),
            Value::Map(entries) => self.redact_attributes(entries),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Bytes(_) => 0,
        }
    }

    fn redact_str(&self, text: &mut Str, key: &str) -> usize {
        let Some((redacted, n_replaced)) = self.0.redact(text, key, 0) else { return 0 };
        *text = redacted.into();
        n_replaced
    }
}

fn compile(index: usize, pattern: &str) -> Result<Regex, Error> {
    let regex = Regex::new(pattern).map_err(|error| Error::InvalidPattern {
        index,
        pattern: pattern.to_owned(),
        reason: reason(&error),
    })?;
    if regex.is_match("") {
        return Err(Error::MatchesNothing { index, pattern: pattern.to_owned() });
    }
    Ok(regex)
}

/// The last line of a message that draws the pattern first.
fn reason(error: &regex::Error) -> String {
    let message = error.to_string();
    let last = message.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

impl Rules {
    /// The redacted text and how many places were replaced; `None` if nothing was.
    fn redact(&self, text: &str, key: &str, depth: usize) -> Option<(String, usize)> {
        if let Some(certainty) = assignments::certainty(key)
            && let Some(replaced) = self.named_secret(certainty, text)
        {
            return Some(replaced);
        }
        let found = self.find(text, key, false);
        let may_be_json = depth < MAX_DEPTH && json::may_be_json(text);
        let is_hiding = may_be_json && self.has_to_be_opened(text);
        if may_be_json && (is_hiding || !found.is_empty()) {
            let places = merged(found.clone());
            let concerns = |token: Range<usize>, key: &str| {
                let next = places.partition_point(|place| place.end <= token.start);
                is_hiding
                    || places.get(next).is_some_and(|place| place.start < token.end)
                    || (self.classes.pii && self.context.says_anything(key.as_bytes()))
            };
            match json::redact(text, concerns, |leaf| self.leaf(&leaf, depth + 1)) {
                Outcome::Changed(redacted, n_replaced) => return Some((redacted, n_replaced)),
                Outcome::Same => return None,
                Outcome::NotJson => {}
            }
        }
        self.replace(text, key, found)
    }

    /// A string or number of a JSON text.
    fn leaf(&self, leaf: &Leaf<'_>, depth: usize) -> Option<(String, usize)> {
        if !leaf.is_number {
            return self.redact(leaf.text, leaf.key, depth);
        }
        let is_secret =
            assignments::certainty(leaf.key) == Some(Certainty::Sure) && leaf.text.len() >= 4;
        (is_secret || !self.find(leaf.text, leaf.key, true).is_empty())
            .then(|| (self.replacement.clone(), 1))
    }

    /// A value whose key says that all of it is a secret.
    fn named_secret(&self, certainty: Certainty, text: &str) -> Option<(String, usize)> {
        (assignments::is_secret(certainty, text) && text != self.replacement && !self.is_own(text))
            .then(|| (self.replacement.clone(), 1))
    }

    /// Whether JSON can hide something behind escapes that a look at its text does not see:
    /// escaped ASCII, or anything where the user's patterns may speak of whole strings.
    fn has_to_be_opened(&self, text: &str) -> bool {
        !self.custom.is_empty()
            || memchr::memmem::find(text.as_bytes(), b"\\u00").is_some()
            || memchr::memmem::find(text.as_bytes(), b"\\/").is_some()
    }

    /// Replaces what was found, and what then turns up beside it.
    fn replace(
        &self,
        text: &str,
        key: &str,
        mut found: Vec<Range<usize>>,
    ) -> Option<(String, usize)> {
        let mut redacted: Option<String> = None;
        let mut n_replaced = 0;
        for _ in 0..MAX_ROUNDS {
            let current = redacted.as_deref().unwrap_or(text);
            let places = self.to_replace(current, found);
            if places.is_empty() {
                break;
            }
            n_replaced += places.len();
            let next = with_replaced(current, &places, &self.replacement);
            found = self.find(&next, key, false);
            redacted = Some(next);
        }
        redacted.map(|redacted| (redacted, n_replaced))
    }

    /// Everything sensitive in a text, in any order, perhaps overlapping.
    fn find(&self, text: &str, key: &str, is_number: bool) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let look = Text { bytes: text.as_bytes(), key, is_number, context: &self.context };
        self.secrets.find(look, &mut found);
        if self.classes.pii || self.classes.financial {
            self.find_numbers(look, &mut found);
        }
        if !self.custom.is_empty() {
            for number in &self.any_custom.matches(text) {
                let places = self.custom[number].find_iter(text).map(|place| place.range());
                found.extend(places.filter(|place| !place.is_empty()));
            }
        }
        found
    }

    /// What consists of digits, and addresses of mail.
    fn find_numbers(&self, text: Text<'_>, found: &mut Vec<Range<usize>>) {
        let mut at = 0;
        while let Some(place) = next_trigger(text.bytes, at) {
            at = place + 1;
            if text.bytes[place] != b'@' {
                match numbers::at_digits(text, place, self.classes) {
                    Ok(number) => {
                        at = number.end;
                        found.push(number);
                    }
                    Err(next) => at = next,
                }
            } else if self.classes.pii
                && let Some(address) = email::email(text.bytes, place)
            {
                at = address.end;
                found.push(address);
            }
        }
    }

    /// The places to replace: in order, without overlap, none within what was put there before.
    fn to_replace(&self, text: &str, found: Vec<Range<usize>>) -> Vec<Range<usize>> {
        if found.is_empty() {
            return found;
        }
        let moved = found.into_iter().map(|place| text::off_escapes(text.as_bytes(), place));
        let own = self.own_places(text);
        let is_own = |place: &Range<usize>| {
            let next = own.partition_point(|own| own.end < place.end);
            own.get(next).is_some_and(|own| own.start <= place.start)
        };
        merged(moved.filter(|place| !place.is_empty() && !is_own(place)).collect())
    }

    /// Where the replacement text stands already.
    fn own_places(&self, text: &str) -> Vec<Range<usize>> {
        if self.replacement.is_empty() {
            return Vec::new();
        }
        let finder = memchr::memmem::find_iter(text.as_bytes(), &self.replacement);
        let mut own: Vec<Range<usize>> = Vec::new();
        for start in finder {
            let end = start + self.replacement.len();
            match own.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => own.push(start..end),
            }
        }
        own
    }

    fn is_own(&self, text: &str) -> bool {
        matches!(&*self.own_places(text), [all] if *all == (0..text.len()))
    }
}

/// The places in order; overlapping ones become one.
fn merged(mut places: Vec<Range<usize>>) -> Vec<Range<usize>> {
    places.sort_unstable_by_key(|place| place.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(places.len());
    for place in places {
        match merged.last_mut() {
            Some(last) if place.start < last.end => last.end = last.end.max(place.end),
            _ => merged.push(place),
        }
    }
    merged
}

fn with_replaced(text: &str, places: &[Range<usize>], replacement: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for place in places {
        // Detectors cut at ASCII, the user's patterns at characters; stay whole in any case.
        let (start, end) =
            (text.floor_char_boundary(place.start), text.ceil_char_boundary(place.end));
        out.push_str(&text[copied..start.max(copied)]);
        out.push_str(replacement);
        copied = end.max(copied);
    }
    out.push_str(&text[copied..]);
    out
}

/// The next digit or `@` from `at` on. Looks at blocks first, which compilers turn into vector
/// instructions.
fn next_trigger(bytes: &[u8], at: usize) -> Option<usize> {
    const BLOCK: usize = 32;
    let is_trigger = |byte: u8| matches!(byte, b'0'..=b'9' | b'@');
    let mut start = at;
    if let Some(offset) = bytes[at..].iter().take(BLOCK).position(|byte| is_trigger(*byte)) {
        return Some(at + offset);
    }
    start += BLOCK.min(bytes.len() - at);
    for block in bytes[start..].chunks(BLOCK) {
        let has_trigger = block.iter().fold(false, |any, byte| any | is_trigger(*byte));
        if has_trigger {
            let offset = block.iter().position(|byte| is_trigger(*byte))?;
            return Some(start + offset);
        }
        start += block.len();
    }
    None
}

#[cfg(test)]
mod tests;
