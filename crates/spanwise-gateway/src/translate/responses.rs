//! OpenAI's Responses.

mod read;
mod reply;
mod stream;
mod write;

pub use read::read_request;
pub use reply::{read_answer, write_answer};
pub use stream::{Reader, Writer};
pub use write::write_request;

/// Stands before the signature of another provider's thought where OpenAI's own encrypted thought
/// would be, so that neither is ever taken for the other.
const FOREIGN: &str = "spanwise:";
