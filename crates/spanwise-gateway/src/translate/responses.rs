//! OpenAI's Responses.

mod read;
mod reply;
mod stream;
mod write;

pub use read::read_request;
pub use reply::{read_answer, write_answer};
pub use stream::{Reader, Writer};
pub use write::write_request;
