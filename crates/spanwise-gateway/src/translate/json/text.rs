//! The inside of a JSON string, as it was written.

use std::borrow::Cow;

use crate::json::unescape;

/// The inside of a JSON string literal, still escaped.
///
/// Two halves of a surrogate pair that arrive in two pieces make one character again when the
/// pieces are joined, which no unescaped form could do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    /// Takes what stands between the quotes of a valid literal.
    pub fn from_escaped(escaped: &'a str) -> Self {
        Text(Cow::Borrowed(escaped))
    }

    /// Escapes a plain text.
    pub fn from_plain(plain: impl Into<Cow<'a, str>>) -> Self {
        let plain = plain.into();
        if plain.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
            let mut escaped = String::with_capacity(plain.len() + 16);
            escape(&plain, &mut escaped);
            Text(Cow::Owned(escaped))
        } else {
            Text(plain)
        }
    }

    /// As it stands between the quotes.
    pub fn escaped(&self) -> &str {
        &self.0
    }

    /// The text itself. Half a surrogate pair becomes U+FFFD.
    pub fn plain(&self) -> Cow<'_, str> {
        unescape(&self.0)
    }

    /// The text itself, borrowed from the body where nothing is escaped.
    pub fn into_plain(self) -> Cow<'a, str> {
        match self.0 {
            Cow::Borrowed(escaped) => unescape(escaped),
            Cow::Owned(escaped) => Cow::Owned(unescape(&escaped).into_owned()),
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is nothing but white space.
    pub fn is_blank(&self) -> bool {
        match self.0.trim_ascii_start().as_bytes().first() {
            None => true,
            Some(b'\\') => self.plain().trim().is_empty(),
            Some(_) => false,
        }
    }

    /// Whether the text is this one.
    pub fn is(&self, plain: &str) -> bool {
        *self.plain() == *plain
    }

    /// Cuts off the first half of a surrogate pair at the end, whose other half is still to come.
    pub fn split_half(self) -> (Text<'a>, Option<Text<'static>>) {
        let text = &*self.0;
        let cut = text.len().saturating_sub(6);
        let is_half = text
            .get(cut..)
            .and_then(code_unit)
            .is_some_and(|unit| (0xd800..0xdc00).contains(&unit));
        let is_escaped =
            |text: &str| text.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
        if !is_half || is_escaped(&text[..cut]) {
            return (self, None);
        }
        let half = Text(Cow::Owned(text[cut..].to_owned()));
        (Text(Cow::Owned(text[..cut].to_owned())), Some(half))
    }

    /// Puts another text behind this one.
    pub fn push(&mut self, other: &Text<'_>) {
        self.0.to_mut().push_str(&other.0);
    }

    /// The same text, owned.
    pub fn into_owned(self) -> Text<'static> {
        Text(Cow::Owned(self.0.into_owned()))
    }

    /// The same text for a shorter time.
    pub fn borrow(&self) -> Text<'_> {
        Text(Cow::Borrowed(&self.0))
    }
}

/// Appends a plain text in its escaped form.
pub(super) fn escape(plain: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut from = 0;
    for (at, byte) in plain.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&plain[from..at]);
        from = at + 1;
        if short.is_empty() {
            out.push_str("\\u00");
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        } else {
            out.push_str(short);
        }
    }
    out.push_str(&plain[from..]);
}

/// The number in an escape such as `\u00e9` at the start of a text.
fn code_unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}
