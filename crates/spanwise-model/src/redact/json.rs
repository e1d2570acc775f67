//! Redacting inside JSON: string by string, without their escapes, so that the text stays JSON.

use std::borrow::Cow;
use std::ops::Range;

/// What became of a text that may be JSON.
pub(super) enum Outcome {
    /// It is none.
    NotJson,
    /// Nothing had to go.
    Same,
    /// The new text, and how many places were replaced in it.
    Changed(String, usize),
}

/// A string or a number of a JSON text.
pub(super) struct Leaf<'t> {
    /// Without quotes and escapes.
    pub text: &'t str,
    /// The key that it is the value of; empty at keys.
    pub key: &'t str,
    pub is_number: bool,
}

/// Whether a text may be JSON with strings in it.
pub(super) fn may_be_json(text: &str) -> bool {
    let text = text.trim_ascii();
    matches!(
        (text.as_bytes().first(), text.as_bytes().last()),
        (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) | (Some(b'"'), Some(b'"'))
    )
}

/// Hands the strings and numbers that `concerns` names by their place and key to `redact`, which returns
/// the text that takes their place and how many places it replaced. Numbers that change become
/// strings.
pub(super) fn redact(
    text: &str,
    concerns: impl Fn(Range<usize>, &str) -> bool,
    redact: impl Fn(Leaf<'_>) -> Option<(String, usize)>,
) -> Outcome {
    let mut rewriting = Rewriting { text, out: String::new(), copied: 0, n_replaced: 0 };
    let mut key: Cow<'_, str> = Cow::Borrowed("");
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b'[' | b']' | b',' | b':' => at + 1,
            b'{' | b'}' => {
                key = Cow::Borrowed("");
                at + 1
            }
            b'"' => {
                let Some(end) = string_end(bytes, at) else { return Outcome::NotJson };
                let is_key = bytes[end..].trim_ascii_start().first() == Some(&b':');
                let of = if is_key { "" } else { &*key };
                if concerns(at..end, of) {
                    let content = unescape(&text[at..end]);
                    rewriting.replace(
                        at..end,
                        redact(Leaf { text: &content, key: of, is_number: false }),
                    );
                }
                if is_key {
                    key = unescape(&text[at..end]);
                }
                end
            }
            b'-' | b'0'..=b'9' => {
                let end = number_end(bytes, at);
                if concerns(at..end, &key) {
                    let leaf = Leaf { text: &text[at..end], key: &key, is_number: true };
                    rewriting.replace(at..end, redact(leaf));
                }
                end
            }
            _ => match literal_end(bytes, at) {
                Some(end) => end,
                None => return Outcome::NotJson,
            },
        };
    }
    rewriting.finish()
}

/// Behind the quote that closes the string which begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

fn number_end(bytes: &[u8], start: usize) -> usize {
    super::text::run_end(bytes, start, |byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
}

/// Behind `true`, `false`, `null`, and what Python writes for numbers that JSON does not have.
fn literal_end(bytes: &[u8], start: usize) -> Option<usize> {
    const LITERALS: [&[u8]; 5] = [b"true", b"false", b"null", b"NaN", b"Infinity"];
    let found = LITERALS.iter().find(|literal| bytes[start..].starts_with(literal));
    found.map(|literal| start + literal.len())
}

/// What a string with its quotes says. One that breaks JSON's rules is taken as it stands.
fn unescape(quoted: &str) -> Cow<'_, str> {
    let inner = &quoted[1..quoted.len() - 1];
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str(quoted).map_or(Cow::Borrowed(inner), Cow::Owned)
}

/// The new text while it is written.
struct Rewriting<'t> {
    text: &'t str,
    out: String,
    copied: usize,
    n_replaced: usize,
}

impl Rewriting<'_> {
    fn replace(&mut self, token: Range<usize>, new: Option<(String, usize)>) {
        if let Some((new, n_replaced)) = new {
            self.out.push_str(&self.text[self.copied..token.start]);
            self.out.push_str(&serde_json::Value::String(new).to_string());
            self.copied = token.end;
            self.n_replaced += n_replaced;
        }
    }

    fn finish(mut self) -> Outcome {
        if self.n_replaced == 0 {
            return Outcome::Same;
        }
        self.out.push_str(&self.text[self.copied..]);
        Outcome::Changed(self.out, self.n_replaced)
    }
}
