//! The model from outside: wire formats against other implementations and real recordings.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests throughout")]

mod arbitrary;
mod content;
mod foreign;
mod hostile;
mod recordings;
mod round_trip;
