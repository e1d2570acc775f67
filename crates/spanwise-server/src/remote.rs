//! The commands that talk to a running server: demo, import, trace, search, tail.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::StartError;
use crate::client::Client;
use crate::terminal::{Style, TerminalError};
use crate::{demo, import, terminal};

/// Commands for a running server.
#[derive(Debug, Subcommand)]
pub enum Remote {
    /// Send a realistic multi-agent workload, made offline
    Demo {
        /// How many traces
        #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        traces: u64,
        /// Traces per second, as they happen; without it all are sent at once, spread over the
        /// last hour
        #[arg(long, value_name = "R", value_parser = positive)]
        rate: Option<f64>,
        #[command(flatten)]
        server: Server,
    },
    /// Load files of OTLP JSON, JSON lines or protobuf (also gzipped)
    Import {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        server: Server,
    },
    /// Show one trace as a tree
    Trace {
        /// Its id: 32 hexadecimal digits
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        print: Print,
        #[command(flatten)]
        server: Server,
    },
    /// Find traces, newest first
    Search {
        /// In the search language, such as 'error:true cost:>$0.01'; empty for all
        #[arg(default_value = "", value_name = "QUERY")]
        query: String,
        /// At most this many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        #[command(flatten)]
        print: Print,
        #[command(flatten)]
        server: Server,
    },
    /// Show traces as they arrive, until interrupted
    Tail {
        /// Only those that match
        #[arg(default_value = "", value_name = "QUERY")]
        query: String,
        #[command(flatten)]
        print: Print,
        #[command(flatten)]
        server: Server,
    },
}

/// Which server, and as whom.
#[derive(Args, Debug)]
pub struct Server {
    /// Where the server's UI and API are
    #[arg(
        long,
        env = "SPANWISE_ENDPOINT",
        default_value = "http://127.0.0.1:4319",
        value_name = "URL"
    )]
    endpoint: String,
    /// An API key, where the server asks for one
    #[arg(long, env = "SPANWISE_API_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
}

/// How answers are printed.
#[derive(Args, Debug)]
pub struct Print {
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
}

impl Remote {
    /// Does it.
    pub fn run(self) -> Result<(), StartError> {
        match self {
            Remote::Demo { traces, rate, server } => {
                let n_spans = demo::send(&server.client(), traces, rate).map_err(io)?;
                let endpoint = &server.endpoint;
                say(&format!("sent {traces} traces, {n_spans} spans; look at {endpoint}\n"))
            }
            Remote::Import { files, server } => import_files(&server.client(), &files),
            Remote::Trace { id, print, server } => {
                shown(terminal::trace(&server.client(), &id, print.style()))
            }
            Remote::Search { query, limit, print, server } => {
                shown(terminal::search(&server.client(), &query, usize::from(limit), print.style()))
            }
            Remote::Tail { query, print, server } => {
                shown(terminal::tail(&server.client(), &query, print.style()))
            }
        }
    }
}

impl Server {
    fn client(&self) -> Client {
        Client::new(&self.endpoint, self.key.clone())
    }
}

impl Print {
    fn style(&self) -> Style {
        Style::new(self.json)
    }
}

fn import_files(client: &Client, files: &[PathBuf]) -> Result<(), StartError> {
    for file in files {
        let done = import::file(client, file).map_err(io)?;
        say(&format!("{}: {} requests taken\n", file.display(), done.requests))?;
        for rejected in done.rejected {
            say(&format!("  {rejected}\n"))?;
        }
    }
    Ok(())
}

/// A closed pipe (`spanwise search … | head`) is an ordinary end, not a failure.
fn shown(result: Result<(), TerminalError>) -> Result<(), StartError> {
    match result {
        Err(TerminalError::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Ok(())
        }
        other => other.map_err(io),
    }
}

fn say(text: &str) -> Result<(), StartError> {
    std::io::stdout().write_all(text.as_bytes()).map_err(io)
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands the error over")]
fn io(error: impl ToString) -> StartError {
    StartError::Io(error.to_string())
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= 10_000.0 => Ok(rate),
        _ => Err("expected a number above 0 and at most 10000".to_owned()),
    }
}
