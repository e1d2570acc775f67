//! JSON, written piece by piece into one string.

use std::fmt::{Display, Write};

/// A JSON object that is being written. Keys need no escapes, except where it is said.
pub(super) struct Object<'a> {
    json: &'a mut String,
    is_empty: bool,
}

impl Object<'_> {
    pub(super) fn write(json: &mut String, fields: impl FnOnce(&mut Object<'_>)) {
        json.push('{');
        fields(&mut Object { json, is_empty: true });
        json.push('}');
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.is_empty) {
            self.json.push(',');
        }
        self.json.push('"');
        self.json.push_str(key);
        self.json.push_str("\":");
    }

    /// Begins a member whose key comes from outside; a value has to follow.
    pub(super) fn any_key(&mut self, key: &str) -> &mut String {
        if !std::mem::take(&mut self.is_empty) {
            self.json.push(',');
        }
        quote(self.json, key);
        self.json.push(':');
        self.json
    }

    pub(super) fn object(&mut self, key: &str, fields: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        Object::write(self.json, fields);
    }

    /// A list of objects, unless it is empty.
    pub(super) fn list<T>(&mut self, key: &str, items: &[T], fields: impl Fn(&mut Object<'_>, &T)) {
        if items.is_empty() {
            return;
        }
        self.key(key);
        for (position, item) in items.iter().enumerate() {
            self.json.push(if position == 0 { '[' } else { ',' });
            Object::write(self.json, |out| fields(out, item));
        }
        self.json.push(']');
    }

    /// A text, unless it is empty.
    pub(super) fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.string(key, text);
        }
    }

    /// A number, unless it is 0.
    pub(super) fn number(&mut self, key: &str, number: u32) {
        if number != 0 {
            self.raw(key, number);
        }
    }

    /// Nanoseconds as a string, unless they are 0.
    pub(super) fn time(&mut self, key: &str, nanos: u64) {
        if nanos != 0 {
            self.quoted(key, nanos);
        }
    }

    pub(super) fn string(&mut self, key: &str, text: &str) {
        self.key(key);
        quote(self.json, text);
    }

    /// A value that is valid JSON as it prints.
    pub(super) fn raw(&mut self, key: &str, value: impl Display) {
        self.key(key);
        write_to(self.json, format_args!("{value}"));
    }

    /// A value that needs quotes but no escapes.
    pub(super) fn quoted(&mut self, key: &str, value: impl Display) {
        self.key(key);
        write_to(self.json, format_args!("\"{value}\""));
    }
}

/// Writes a string with its quotes.
pub(super) fn quote(json: &mut String, text: &str) {
    json.push('"');
    escape(json, text);
    json.push('"');
}

fn escape(json: &mut String, text: &str) {
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        json.push_str(&text[copied..at]);
        copied = at + 1;
        match byte {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            b'\n' => json.push_str("\\n"),
            b'\r' => json.push_str("\\r"),
            b'\t' => json.push_str("\\t"),
            control => write_to(json, format_args!("\\u{control:04x}")),
        }
    }
    json.push_str(&text[copied..]);
}

fn write_to(json: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = json.write_fmt(text);
}
