//! What a receiver answers: partial success and `google.rpc.Status`, in both encodings, written
//! by servers and read by exporters.

use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};

use super::Signal;
use super::encode::Writer;
use crate::wire::fields::{Fields, Wire};

/// The answer to a request of any signal: empty when all was taken.
pub fn encode_partial_success(rejected: u64, message: &str) -> Vec<u8> {
    let mut answer = Writer::default();
    if rejected > 0 || !message.is_empty() {
        answer.message(1, |out| {
            if rejected > 0 {
                out.varint_field(1, rejected);
            }
            out.text(2, message);
        });
    }
    answer.0
}

/// The same in JSON: `{}` when all was taken.
pub fn encode_partial_success_json(signal: Signal, rejected: u64, message: &str) -> String {
    if rejected == 0 && message.is_empty() {
        return "{}".to_owned();
    }
    let count = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Logs => "rejectedLogRecords",
        Signal::Metrics => "rejectedDataPoints",
    };
    json!({"partialSuccess": {count: rejected.to_string(), "errorMessage": message}}).to_string()
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// A `google.rpc.Status` with a gRPC code; with a delay, a `RetryInfo` says when to try again.
pub fn encode_status(code: u32, message: &str, retry_after: Option<Duration>) -> Vec<u8> {
    let mut status = Writer::default();
    status.count(1, code);
    status.text(2, message);
    if let Some(delay) = retry_after {
        let mut info = Writer::default();
        info.message(1, |duration| {
            duration.varint_field(1, delay.as_secs());
            duration.count(2, delay.subsec_nanos());
        });
        status.message(3, |any| {
            any.text(1, RETRY_INFO);
            any.bytes(2, &info.0);
        });
    }
    status.0
}

/// The same in JSON.
pub fn encode_status_json(code: u32, message: &str, retry_after: Option<Duration>) -> String {
    let mut status = json!({"code": code, "message": message});
    if let Some(delay) = retry_after {
        let seconds = format!("{}.{:09}s", delay.as_secs(), delay.subsec_nanos());
        status["details"] = json!([{"@type": RETRY_INFO, "retryDelay": seconds}]);
    }
    status.to_string()
}

/// Reads the answer to spans: how many were refused, and the receiver's words. Zero and nothing
/// where all was taken, or where the answer cannot be read.
pub fn decode_partial_success(answer: &[u8]) -> (u64, String) {
    let (mut rejected, mut message) = (0, String::new());
    if let Some(partial) = message_field(answer, 0..answer.len(), 1) {
        let mut fields = Fields::new(answer, partial);
        while let Ok(Some(field)) = fields.next() {
            match field {
                (1, Wire::Varint(count)) => rejected = count,
                (2, Wire::Bytes(at)) => message = String::from_utf8_lossy(&answer[at]).into_owned(),
                _ => {}
            }
        }
    }
    (rejected, message)
}

/// The same in JSON.
pub fn decode_partial_success_json(answer: &[u8]) -> (u64, String) {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let partial = &answer["partialSuccess"];
    let rejected = &partial["rejectedSpans"];
    let count = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok());
    let message = partial["errorMessage"].as_str().unwrap_or_default();
    (count.unwrap_or_default(), message.to_owned())
}

/// The pause that a `google.rpc.Status` in protobuf asks for with a `RetryInfo`.
pub fn decode_retry_delay(status: &[u8]) -> Option<Duration> {
    let mut fields = Fields::new(status, 0..status.len());
    while let Ok(Some(any)) = fields.next_message(3) {
        let kind = message_field(status, any.clone(), 1);
        if kind.is_none_or(|kind| status[kind] != *RETRY_INFO.as_bytes()) {
            continue;
        }
        let info = message_field(status, any, 2)?;
        let mut delay = Duration::ZERO;
        if let Some(duration) = message_field(status, info, 1) {
            let mut fields = Fields::new(status, duration);
            while let Ok(Some((number, Wire::Varint(value)))) = fields.next() {
                delay += match number {
                    1 => Duration::from_secs(value.min(i32::MAX as u64)),
                    2 => Duration::from_nanos(value.min(999_999_999)),
                    _ => Duration::ZERO,
                };
            }
        }
        return Some(delay);
    }
    None
}

fn message_field(body: &[u8], message: Range<usize>, number: u32) -> Option<Range<usize>> {
    Fields::new(body, message).next_message(number).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_were_written() {
        let answer = encode_partial_success(3, "too old");
        assert_eq!(decode_partial_success(&answer), (3, "too old".to_owned()));
        let answer = encode_partial_success_json(Signal::Traces, 3, "too old");
        assert_eq!(decode_partial_success_json(answer.as_bytes()), (3, "too old".to_owned()));
        for garbage in [&b""[..], b"\x0a", b"<html>", b"\x0a\xff\xff\xff\xff\x0f"] {
            assert_eq!(decode_partial_success(garbage).0, 0);
            assert_eq!(decode_partial_success_json(garbage), (0, String::new()));
            assert_eq!(decode_retry_delay(garbage), None);
        }
    }

    #[test]
    fn only_a_retry_info_asks_for_a_pause() {
        let delay = Duration::new(5, 250_000_000);
        assert_eq!(decode_retry_delay(&encode_status(8, "busy", Some(delay))), Some(delay));
        assert_eq!(decode_retry_delay(&encode_status(8, "busy", None)), None);
    }
}
