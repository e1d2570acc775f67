//! Arguments and results as JSON: what is plain data exactly, everything else as well as it can say.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::value::with_key;

/// How deep values are followed; what is deeper is shown as text.
const MAX_DEPTH: usize = 64;

/// A value as JSON text. It never fails: what cannot be shown is shown as its type.
#[pyfunction]
pub(crate) fn to_json(value: &Bound<'_, PyAny>) -> String {
    let mut out = String::new();
    put(&mut out, value, 0);
    out
}

pub(crate) fn put(out: &mut String, value: &Bound<'_, PyAny>, depth: usize) {
    if let Ok(text) = value.cast::<PyString>() {
        return with_key(text, |text| put_text(out, text));
    }
    if value.is_none() {
        return out.push_str("null");
    }
    if let Ok(truth) = value.cast::<PyBool>() {
        return out.push_str(if truth.is_true() { "true" } else { "false" });
    }
    if value.is_exact_instance_of::<PyInt>() {
        if let Ok(number) = value.extract::<i64>() {
            return out.push_str(&number.to_string());
        }
        // Python refuses to write out numbers of more than some thousand digits.
        return match value.str() {
            Ok(digits) => out.push_str(&digits.to_string_lossy()),
            Err(_) => put_text(out, "an integer too large to be shown"),
        };
    }
    if let Ok(number) = value.cast_exact::<PyFloat>() {
        let number = number.value();
        // JSON has no such numbers; their names are understood by most readers.
        return match number {
            _ if number.is_nan() => put_text(out, "NaN"),
            f64::INFINITY => put_text(out, "Infinity"),
            f64::NEG_INFINITY => put_text(out, "-Infinity"),
            _ => put_display(out, format_args!("{number:?}")),
        };
    }
    if depth < MAX_DEPTH {
        if let Ok(dict) = value.cast::<PyDict>() {
            return put_object(out, dict.iter(), depth);
        }
        if let Ok(list) = value.cast::<PyList>() {
            return put_list(out, list.iter(), depth);
        }
        if let Ok(tuple) = value.cast::<PyTuple>() {
            return put_list(out, tuple.iter(), depth);
        }
        if let Some(plain) = as_plain_data(value) {
            return put(out, &plain, depth + 1);
        }
    }
    put_described(out, value);
}

/// What pydantic models, dataclasses, enumerations and sets consist of.
fn as_plain_data<'py>(value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let module = value.py().import("spanwise._content").ok()?;
    let plain = module.getattr("as_plain_data").ok()?.call1((value,)).ok()?;
    (!plain.is_none() && !plain.is(value)).then_some(plain)
}

fn put_described(out: &mut String, value: &Bound<'_, PyAny>) {
    if let Ok(text) = value.str().or_else(|_| value.repr()) {
        return put_text(out, &text.to_string_lossy());
    }
    let kind = value.get_type().name();
    let kind = kind.map(|kind| kind.to_string_lossy().into_owned()).unwrap_or_default();
    put_text(out, &format!("<{kind}>"));
}

pub(crate) fn put_object<'py>(
    out: &mut String,
    items: impl Iterator<Item = (Bound<'py, PyAny>, Bound<'py, PyAny>)>,
    depth: usize,
) {
    out.push('{');
    for (at, (key, value)) in items.enumerate() {
        if at > 0 {
            out.push(',');
        }
        match key.cast::<PyString>() {
            Ok(key) => with_key(key, |key| put_text(out, key)),
            Err(_) => put_described(out, &key),
        }
        out.push(':');
        put(out, &value, depth + 1);
    }
    out.push('}');
}

fn put_list<'py>(out: &mut String, items: impl Iterator<Item = Bound<'py, PyAny>>, depth: usize) {
    out.push('[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(',');
        }
        put(out, &item, depth + 1);
    }
    out.push(']');
}

fn put_display(out: &mut String, shown: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = std::fmt::Write::write_fmt(out, shown);
}

pub(crate) fn put_text(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        plain = at + 1;
        if escape.is_empty() {
            put_display(out, format_args!("\\u{byte:04x}"));
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}
