//! Measures a real `spanwise` process from outside, beside the floor of the same machine.
//!
//! [`ingest`] sends model calls as fast as eight connections can; [`generate`] fills a store with
//! millions of varied spans; [`queries`] asks it; [`conversation`] weighs an agent that re-sends
//! its history. Tables come out as Markdown, ready for RESULTS.md.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that prints its results")]

mod conversation;
mod dice;
mod disk;
mod floor;
mod generate;
mod http;
mod ingest;
mod queries;
mod server;
mod table;
mod workload;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// What every measurement may fail with: it ends the run and is printed.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Durable ingest at full speed, and the floor
    Ingest(ingest::Options),
    /// Fill a store with varied traces
    Generate(generate::Options),
    /// Ask a store that `generate` filled
    Queries(queries::Options),
    /// Stored against raw size of a 50-turn agent
    Conversation(conversation::Options),
}

/// The process to measure.
#[derive(Args, Clone)]
pub struct Target {
    /// The binary
    #[arg(long, env = "SPANWISE_BIN", default_value = "target/release/spanwise")]
    binary: PathBuf,
    /// Its data folder; must be on a real disk
    #[arg(long)]
    data_dir: PathBuf,
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseFloatError> {
    text.parse().map(Duration::from_secs_f64)
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Ingest(options) => ingest::run(&options),
        Command::Generate(options) => generate::run(&options),
        Command::Queries(options) => queries::run(&options),
        Command::Conversation(options) => conversation::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spanwise-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
