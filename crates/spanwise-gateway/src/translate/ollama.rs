//! Ollama's own `/api/chat`.

mod read;
mod reply;
mod stream;
mod write;

pub use read::read_request;
pub use reply::{read_answer, write_answer};
pub use stream::{Reader, Writer};
pub use write::write_request;

/// Seconds since 1970 as a date and time in RFC 3339.
fn rfc3339(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).ok();
    let time = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.unwrap_or_default().to_string()
}
