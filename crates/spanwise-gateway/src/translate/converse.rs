//! Bedrock's Converse.

mod frame;
mod read;
mod reply;
mod stream;
mod write;

pub use read::read_request;
pub use reply::{read_answer, write_answer};
pub use stream::{Reader, Writer};
pub use write::write_request;

/// Bedrock's words for kinds of documents, with their media types.
const DOCUMENTS: [(&str, &str); 9] = [
    ("pdf", "application/pdf"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("html", "text/html"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
];
