//! Measures gateways between a mock of model providers and a load generator.
//!
//! [`run`] puts the same loads on our gateway, on the floor, on nothing and on peers, in turns;
//! [`soak`] looks for growth. The parts can be started alone: [`floor`], `mock`, `sink`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that prints its results")]

mod cell;
mod floor;
mod histogram;
mod load;
mod process;
mod report;
mod results;
mod run;
mod soak;
mod subject;

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use spanwise_bench_gateway::mock::{self, MockUpstream};
use spanwise_bench_gateway::sink::Sink;

/// What every measurement may fail with: it ends the run and is printed.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compare our gateway with the floor and with peers
    Run(run::Options),
    /// Look for growth under a steady load
    Soak(soak::Options),
    /// Pass everything through, as cheaply as can be
    Floor(floor::Options),
    /// Answer as providers of models do
    Mock(Listen),
    /// Count spans
    Sink,
}

#[derive(Args)]
struct Listen {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseFloatError> {
    text.parse().map(Duration::from_secs_f64)
}

/// Answers until the process is killed.
fn serve_mock(options: &Listen) -> Outcome<()> {
    let listen = Some(options.listen);
    let mock = MockUpstream::start_with(mock::Options { listen, forgets: true, answer: None })?;
    println!("listening mock {}", mock.url());
    loop {
        thread::park();
    }
}

/// Counts until the process is killed.
fn serve_sink() -> Outcome<()> {
    let sink = Sink::start_with(true)?;
    println!("listening sink {}", sink.url());
    let mut last = sink.counts();
    loop {
        thread::sleep(Duration::from_secs(1));
        let counts = sink.counts();
        if counts != last {
            println!("{counts:?}");
            last = counts;
        }
    }
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Floor(options) => floor::run(&options),
        Command::Mock(options) => serve_mock(&options),
        Command::Sink => serve_sink(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spanwise-bench-gateway: {error}");
            ExitCode::FAILURE
        }
    }
}
