//! A proxy in front of models and agents that traces every call without touching the application.
//!
//! Nothing in this crate reads a configuration file, binds a socket or installs a signal handler;
//! whoever runs a gateway hands these in.

pub mod config;
pub mod connect;
pub mod dialect;
pub mod plan;
pub mod provider;
pub mod trace;
pub mod upstream;
