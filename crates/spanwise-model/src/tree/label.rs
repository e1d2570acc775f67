//! What stands for a span, an attribute or a value in a tree.

use std::fmt::Write;

use crate::span::StatusCode;
use crate::{Attribute, Kind, RowRole, Span, StoredSpan, Value};

/// `chat gpt-4o (client, 1.2s) error: rate limited`.
pub(super) fn of_span(span: &Span) -> String {
    let mut notes = Vec::new();
    if span.kind != Kind::Unspecified {
        notes.push(span.kind.as_str().to_owned());
    }
    notes.push(duration(span.duration_ns()));
    line(span, &notes)
}

/// `chat gpt-4o (chat, 1.2s, 12 in, 34 out, $0.0021)`: what it did rather than its kind.
pub(super) fn of_stored_span(stored: &StoredSpan) -> String {
    if stored.role == RowRole::LogEvent {
        return line(&stored.span, &["log event".to_owned()]);
    }
    let facts = &stored.facts;
    let Some(operation) = facts.operation else { return of_span(&stored.span) };
    let mut notes = vec![operation.as_str().to_owned(), duration(stored.span.duration_ns())];
    notes.extend(facts.usage.input.map(|tokens| format!("{tokens} in")));
    notes.extend(facts.usage.output.map(|tokens| format!("{tokens} out")));
    notes.extend(facts.cost.map(|cost| dollars(cost.nano_usd)));
    line(&stored.span, &notes)
}

fn line(span: &Span, notes: &[String]) -> String {
    let name = if span.name.is_empty() { "(no name)" } else { &span.name };
    let mut line = format!("{} ({})", printable(name), notes.join(", "));
    if span.is_error() {
        line.push_str(" error");
    } else if span.status.code == StatusCode::Ok {
        line.push_str(" ok");
    }
    if let Some(message) = span.status.message.lines().next() {
        line.push_str(": ");
        line.push_str(&printable(message));
    }
    line
}

/// `gen_ai.request.model = "gpt-4o"`.
pub(super) fn of_attribute(attribute: &Attribute) -> String {
    let mut line = format!("{} = ", printable(&attribute.key));
    write_value(&mut line, &attribute.value);
    line
}

/// Texts in quotes, so that `"1"` and `1` differ. Values nest no deeper than decoders allow.
fn write_value(line: &mut String, value: &Value) {
    // Writing to a String cannot fail.
    let _ = match value {
        Value::Null => write!(line, "null"),
        Value::String(text) => write!(line, "{text:?}"),
        Value::Bool(truth) => write!(line, "{truth}"),
        Value::Int(number) => write!(line, "{number}"),
        Value::Double(number) => write!(line, "{number:?}"),
        Value::Bytes(bytes) => write!(line, "{bytes:?}"),
        Value::Array(values) => return write_list(line, ['[', ']'], values, write_value),
        Value::Map(entries) => {
            return write_list(line, ['{', '}'], &entries.0, |line, entry| {
                line.push_str(&of_attribute(entry));
            });
        }
    };
}

fn write_list<T>(
    line: &mut String,
    [open, close]: [char; 2],
    items: &[T],
    write_item: impl Fn(&mut String, &T),
) {
    line.push(open);
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            line.push_str(", ");
        }
        write_item(line, item);
    }
    line.push(close);
}

/// A name or message that cannot move a terminal's cursor or colour it.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

/// `850ns`, `12.5µs`, `250ms`, `1.25s`, `2m 5s`, `3h 20m`.
fn duration(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    match ns {
        0..1_000 => format!("{ns}ns"),
        1_000..1_000_000 => scaled(ns, 1_000, "µs"),
        1_000_000..1_000_000_000 => scaled(ns, 1_000_000, "ms"),
        1_000_000_000..60_000_000_000 => scaled(ns, 1_000_000_000, "s"),
        60_000_000_000..3_600_000_000_000 => format!("{}m {}s", seconds / 60, seconds % 60),
        _ => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// At most two decimals, cut rather than rounded, so that 999.999 ms is not called 1000.
fn scaled(ns: u64, unit_ns: u64, unit: &str) -> String {
    let hundredths = ns / (unit_ns / 100).max(1);
    decimal(hundredths / 100, hundredths % 100, 2) + unit
}

fn dollars(nano_usd: i64) -> String {
    let sign = if nano_usd < 0 { "-" } else { "" };
    let nanos = nano_usd.unsigned_abs();
    format!("{sign}${}", decimal(nanos / 1_000_000_000, nanos % 1_000_000_000, 9))
}

/// `whole.fraction` without trailing zeros.
fn decimal(whole: u64, fraction: u64, digits: usize) -> String {
    let text = format!("{whole}.{fraction:0digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
