//! The server from outside: HTTP and gRPC against an `App` on free ports, and the real binary.

#![expect(clippy::unwrap_used, reason = "these are tests throughout")]

mod auth;
mod binary;
mod harness;
mod hostile;
mod house;
mod live;
mod query;
mod receivers;
