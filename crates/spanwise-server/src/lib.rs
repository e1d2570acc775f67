//! The server: configuration, receivers, query API, UI and lifecycle of `spanwise`.
//!
//! Read in this order: [`cli`] and [`config`], [`app`] (compose, run, drain), [`ingest`] (the one
//! way in), [`receive`] (wire formats over the network), [`auth`], [`api`], [`ui`].
//!
//! Only this crate reads configuration, binds sockets, reads the clock and installs signal
//! handlers.

pub mod api;
pub mod app;
pub mod auth;
pub mod cli;
mod client;
pub mod config;
mod connections;
mod demo;
pub mod error;
mod gateway;
mod import;
pub mod ingest;
mod problems;
pub mod receive;
mod remote;
mod replace;
mod telemetry;
mod terminal;
mod ui;
mod units;

pub use app::App;
pub use config::Config;
pub use error::StartError;
