//! Spans for log collectors: JSON on standard error.

use std::time::Instant;

use serde_json::{Map, Number, Value as Json, json};
use spanwise_model::span::StatusCode;
use spanwise_model::wire::base64;
use spanwise_model::{Attributes, Span, Value};

use super::{Batch, Delivered, ExportError, Exporter, console};

/// Writes a line of JSON for each span.
pub(crate) struct Log;

impl Exporter for Log {
    fn export(&mut self, batch: &Batch, _: Instant) -> Result<Delivered, ExportError> {
        let mut lines = String::new();
        for span in batch.spans() {
            lines.push_str(&line(span).to_string());
            lines.push('\n');
        }
        console::write(lines.as_bytes())
    }

    fn name(&self) -> &'static str {
        "log"
    }
}

/// What log collectors expect at the top, then the span. Unknown is left out.
fn line(span: &Span) -> Json {
    let is_error = span.is_error();
    let mut line = json!({
        "timestamp": date(span.end_time_unix_nano),
        "level": if is_error { "error" } else { "info" },
        "event": "span",
        "service": span.resource.service(),
        "name": &*span.name,
        "kind": span.kind.as_str(),
        "trace_id": span.trace_id.to_string(),
        "span_id": span.span_id.to_string(),
        "start_time_unix_nano": span.start_time_unix_nano.to_string(),
        "duration_ms": span.duration_ns() as f64 / 1e6,
        "status": span.status.code.as_str(),
        "attributes": object(&span.attributes),
    });
    if let Some(parent) = span.parent_span_id {
        line["parent_span_id"] = parent.to_string().into();
    }
    if span.status.code == StatusCode::Error && !span.status.message.is_empty() {
        line["message"] = (*span.status.message).into();
    }
    if !span.events.is_empty() {
        let event = |event: &spanwise_model::Event| {
            json!({
                "name": &*event.name,
                "time_unix_nano": event.time_unix_nano.to_string(),
                "attributes": object(&event.attributes),
            })
        };
        line["events"] = span.events.iter().map(event).collect();
    }
    line
}

/// RFC 3339 to the millisecond.
pub(crate) fn date(unix_nano: u64) -> String {
    let seconds = unix_nano / 1_000_000_000;
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    // Counted from March of the year 0, so that leap days come last; eras have 400 years.
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + 400 * era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let millis = unix_nano / 1_000_000 % 1000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

fn object(attributes: &Attributes) -> Json {
    let members =
        attributes.iter().map(|attribute| (attribute.key.to_string(), value(&attribute.value)));
    Json::Object(members.collect::<Map<_, _>>())
}

fn value(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::String(text) => Json::from(&**text),
        Value::Bool(truth) => Json::from(*truth),
        Value::Int(number) => Json::from(*number),
        Value::Double(number) => {
            Number::from_f64(*number).map_or_else(|| number.to_string().into(), Json::Number)
        }
        Value::Bytes(bytes) => base64::encode(bytes).into(),
        Value::Array(values) => values.iter().map(self::value).collect(),
        Value::Map(entries) => object(entries),
    }
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(date(1_709_210_096_789_000_000), "2024-02-29T12:34:56.789Z");
    }
}
