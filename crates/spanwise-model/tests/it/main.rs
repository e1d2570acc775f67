//! The model from outside: wire formats against other implementations and real recordings.

mod arbitrary;
mod hostile;
mod recordings;
mod round_trip;
