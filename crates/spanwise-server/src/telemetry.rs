//! The server's own log: standard error, never content of a span.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::StartError;

/// Starts logging with a filter such as `info` or `spanwise_server=debug,info`.
pub fn init(filter: &str) -> Result<(), StartError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| StartError::Config(format!("log: `{filter}`: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init()
        .map_err(|error| StartError::Io(format!("cannot start logging: {error}")))
}
