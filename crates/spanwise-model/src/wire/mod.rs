//! Wire formats: one module each, shared by everything that reads or writes them.

pub mod base64;
mod names;
pub mod otlp;
mod utf8;
