//! OpenAI's Chat Completions, and the many servers that speak it.

mod read;
mod reply;
mod stream;
mod write;

pub use read::{read_mode, read_request, read_schema};
pub use reply::{read_answer, write_answer};
pub use stream::{Reader, Writer};
pub use write::{write_function, write_request};
