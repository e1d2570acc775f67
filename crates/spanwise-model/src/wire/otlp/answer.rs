//! What a receiver answers: partial success and `google.rpc.Status`, in both encodings.

use std::time::Duration;

use serde_json::json;

use super::Signal;
use super::encode::Writer;

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
