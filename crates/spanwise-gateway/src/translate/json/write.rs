//! Writing JSON without building a tree first.

use std::fmt::Write as _;

use super::text::escape;
use super::{Text, compact};

/// Appends JSON to a text; puts the commas itself.
#[derive(Debug, Default)]
pub struct Writer {
    out: String,
    comma: bool,
}

impl Writer {
    /// A writer with room for about this many bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Writer { out: String::with_capacity(capacity), comma: false }
    }

    /// What was written.
    pub fn finish(self) -> String {
        self.out
    }

    /// Writes the key of the value that comes next.
    pub fn key(&mut self, key: &str) -> &mut Self {
        self.separate();
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
        self.comma = false;
        self
    }

    /// Writes a key that may need escaping.
    pub fn plain_key(&mut self, key: &str) -> &mut Self {
        self.plain(key);
        self.out.push(':');
        self.comma = false;
        self
    }

    /// An object whose fields the closure writes.
    pub fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.nested('{', '}', fields);
    }

    /// An array whose elements the closure writes.
    pub fn array(&mut self, elements: impl FnOnce(&mut Self)) {
        self.nested('[', ']', elements);
    }

    /// A text that is escaped already.
    pub fn text(&mut self, text: &Text<'_>) {
        self.separate();
        self.out.push('"');
        self.out.push_str(text.escaped());
        self.out.push('"');
        self.comma = true;
    }

    /// A text that is not escaped yet.
    pub fn plain(&mut self, plain: &str) {
        self.separate();
        self.out.push('"');
        escape(plain, &mut self.out);
        self.out.push('"');
        self.comma = true;
    }

    /// A value in JSON already. It is put on one line, since lines separate the frames of streams.
    pub fn raw(&mut self, json: &str) {
        self.separate();
        self.out.push_str(&compact(json));
        self.comma = true;
    }

    /// A whole number.
    pub fn count(&mut self, count: u64) {
        self.separate();
        let written = write!(self.out, "{count}");
        debug_assert!(written.is_ok(), "writing into memory does not fail");
        self.comma = true;
    }

    /// `true` or `false`.
    pub fn bool(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    /// `null`.
    pub fn null(&mut self) {
        self.raw("null");
    }

    /// A field with a text, if there is one.
    pub fn maybe_text(&mut self, key: &str, text: Option<&Text<'_>>) {
        if let Some(text) = text {
            self.key(key).text(text);
        }
    }

    /// A field with a value in JSON, if there is one.
    pub fn maybe_raw(&mut self, key: &str, json: Option<&str>) {
        if let Some(json) = json {
            self.key(key).raw(json);
        }
    }

    /// A field with a count, if it is known.
    pub fn maybe_count(&mut self, key: &str, count: Option<u64>) {
        if let Some(count) = count {
            self.key(key).count(count);
        }
    }

    fn nested(&mut self, open: char, close: char, content: impl FnOnce(&mut Self)) {
        self.separate();
        self.out.push(open);
        self.comma = false;
        content(self);
        self.out.push(close);
        self.comma = true;
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(',');
        }
    }
}
