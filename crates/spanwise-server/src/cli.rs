//! The command line.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::auth::keys::{Key, KeyFile, Scope};
use crate::config::{AuthMode, Config, Listen, Settings, is_gateways};
use crate::gateway::{self, GatewayArgs};
use crate::remote::Remote;
use crate::{App, StartError, telemetry};

/// Traces of LLM applications: receive, keep, search and look.
#[derive(Debug, Parser)]
#[command(name = "spanwise", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Without a command the server starts, with these settings.
    #[command(flatten)]
    serve: Settings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server (also what happens without a command)
    Serve(Settings),
    /// Read the configuration, say what it amounts to, and exit
    Check(Settings),
    /// Start a proxy in front of models and agents that traces every call
    Gateway(GatewayArgs),
    /// Create, list and revoke API keys; works while the server runs
    Keys(KeysArgs),
    #[command(flatten)]
    Remote(Remote),
}

#[derive(Args, Debug)]
struct KeysArgs {
    #[command(subcommand)]
    action: KeysAction,
}

#[derive(Debug, Subcommand)]
enum KeysAction {
    /// Make a key and print it, this once
    Create {
        /// What the key is for
        #[arg(long, default_value = "unnamed")]
        name: String,
        /// The project whose spans it may send or read
        #[arg(long, default_value = crate::auth::DEFAULT_PROJECT)]
        project: String,
        /// What it may do; repeat for several [default: both]
        #[arg(long, value_name = "SCOPE")]
        scope: Vec<Scope>,
        #[command(flatten)]
        place: Place,
    },
    /// Show all keys without their secrets
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Make a key useless, at once
    Revoke {
        /// The id or the prefix of the key, as `list` shows it
        key: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Where the keys are: the data folder, directly or through the configuration file.
#[derive(Args, Debug)]
struct Place {
    /// Configuration file (YAML)
    #[arg(long, env = "SPANWISE_CONFIG", value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// Folder for all data [default: ./spanwise-data]
    #[arg(long, env = "SPANWISE_DATA_DIR", value_name = "DIR")]
    data_dir: Option<std::path::PathBuf>,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Asking for help or the version is no mistake.
            let code = if error.use_stderr() { 64 } else { 0 };
            // Nobody is left to tell when the terminal is gone.
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "spanwise: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), StartError> {
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(settings) => serve(Config::load(settings)?),
        Command::Check(settings) => say(&format!("configuration ok\n{}", check(settings)?)),
        Command::Gateway(gateway) => gateway.run(),
        Command::Keys(keys) => keys.run(),
        Command::Remote(remote) => remote.run(),
    }
}

/// Serves until SIGTERM or SIGINT.
fn serve(config: Config) -> Result<(), StartError> {
    telemetry::init(&config.log)?;
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("spanwise")
        .build()
        .map_err(|error| StartError::Io(format!("cannot start threads: {error}")))?;
    let outcome = runtime.block_on(async {
        let stop = crate::app::stop_signal()?;
        let app = App::build(config).await?;
        say(&app.greeting())?;
        app.run(stop).await
    });
    // A blocking task that hangs (a dead disk) must not keep the process from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    outcome
}

/// Takes all the open files that the process may have: shells give 1,024, and every segment of the
/// store and every connection needs some.
pub(crate) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        tracing::warn!(%error, "the limit on open files was not raised");
    }
}

/// Writes to standard output. A closed pipe is an I/O error, not a panic.
pub(crate) fn say(text: &str) -> Result<(), StartError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| StartError::Io(format!("cannot write to standard output: {error}")))
}

/// What a configuration amounts to, be it a server's or a gateway's.
fn check(settings: Settings) -> Result<String, StartError> {
    if let Some(path) = &settings.config
        && std::fs::read_to_string(path).is_ok_and(|text| is_gateways(&text))
    {
        return gateway::check(gateway::Source::File(path.clone()), None);
    }
    let config = Config::load(settings)?;
    let of_gateway = config.gateway.as_ref().map(|file| {
        gateway::check(gateway::Source::Section(file.clone()), Some(config.data_dir()))
    });
    Ok(explain(&config) + &of_gateway.transpose()?.unwrap_or_default())
}

fn explain(config: &Config) -> String {
    let listen = |listen: &Listen| match listen {
        Listen::Off => "off".to_owned(),
        Listen::At(address) => address.clone(),
    };
    let auth = match config.auth {
        AuthMode::Off => "off: anyone who reaches the addresses can send and read",
        AuthMode::Required => "required: senders and readers need a key",
    };
    let keep = match (config.store.retain_for, config.store.retain_bytes) {
        (None, None) => "everything".to_owned(),
        (age, size) => [
            age.map(|age| format!("at most {} h", age.as_secs() / 3600)),
            size.map(|size| format!("at most {size} bytes")),
        ]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", "),
    };
    format!(
        "data_dir: {}\nlisten: {}\notlp_grpc: {}\notlp_http: {}\nui: {}\n\
         auth: {auth}\ndurability: {:?}\nkeep: {keep}\n",
        config.data_dir().display(),
        listen(&config.listen),
        listen(&config.otlp_grpc),
        listen(&config.otlp_http),
        if config.ui { "on" } else { "off" },
        config.store.durability,
    )
}

impl KeysArgs {
    fn run(self) -> Result<(), StartError> {
        match self.action {
            KeysAction::Create { name, project, scope, place } => {
                let scopes =
                    if scope.is_empty() { vec![Scope::Ingest, Scope::Read] } else { scope };
                let secret = place.keys()?.create(&name, &project, scopes)?;
                say(&format!("{secret}\n"))
            }
            KeysAction::List { json, place } => {
                let keys = place.keys()?.list()?;
                say(&if json { listed_as_json(&keys) } else { listed(&keys) })
            }
            KeysAction::Revoke { key, place } => {
                let revoked = place.keys()?.revoke(&key)?;
                say(&format!("revoked {} ({})\n", revoked.prefix, revoked.name))
            }
        }
    }
}

impl Place {
    fn keys(self) -> Result<KeyFile, StartError> {
        let settings =
            Settings { config: self.config, data_dir: self.data_dir, ..Settings::default() };
        Ok(KeyFile::in_folder(Path::new(Config::load(settings)?.data_dir())))
    }
}

fn listed(keys: &[Key]) -> String {
    let row = |id: &str, prefix: &str, project: &str, scopes: &str, created: &str, name: &str| {
        format!("{id:<10} {prefix:<14} {project:<16} {scopes:<12} {created:<21} {name}\n")
    };
    let head = row("ID", "PREFIX", "PROJECT", "SCOPES", "CREATED", "NAME");
    let rows = keys.iter().map(|key| {
        let scopes = key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",");
        let state = if key.revoked.is_some() { " (revoked)" } else { "" };
        let name = format!("{}{state}", key.name);
        row(&key.id, &key.prefix, &key.project, &scopes, &key.created, &name)
    });
    std::iter::once(head).chain(rows).collect()
}

fn listed_as_json(keys: &[Key]) -> String {
    let rows: Vec<_> = keys.iter().map(Key::without_hash).collect();
    format!("{:#}\n", serde_json::Value::Array(rows))
}
