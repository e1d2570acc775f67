//! The gateway as a whole: a real one between real sockets, in front of a mock of providers.

#![allow(clippy::unwrap_used)]

mod agents;
mod chat;
mod faults;
mod house;
mod metrics;
