//! The gateway as a whole: a real one between real sockets, in front of a mock of providers.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use spanwise_gateway::dialect::Dialect;

mod agents;
mod cassette;
mod chat;
mod faults;
mod house;
mod kept;
mod metrics;
mod reload;
