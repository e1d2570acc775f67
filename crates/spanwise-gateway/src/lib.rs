//! A proxy in front of models and agents that traces every call without touching the application.
//!
//! Nothing in this crate reads a configuration file, binds a socket or installs a signal handler;
//! whoever runs a gateway hands these in.

mod address;
pub mod admission;
pub mod agent;
mod aws;
pub mod balance;
pub mod cache;
pub mod config;
pub mod connect;
pub mod created;
pub mod dialect;
pub mod exchange;
pub mod fold;
pub mod frames;
pub mod gateway;
pub mod json;
pub mod keys;
pub mod limits;
pub mod metrics;
pub mod pattern;
pub mod plan;
pub mod provider;
pub mod record;
pub mod relay;
pub mod reply;
pub mod retry;
pub mod scan;
pub mod size;
pub mod trace;
pub mod translate;
pub mod upstream;
