//! `spanwise gateway`: reads what it is to do, binds its sockets, and keeps it up to date.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use spanwise::{ConfigError, Recorder};
use spanwise_gateway::config::{Config, Listener, Secret, Tracing};
use spanwise_gateway::gateway::{Gateway, Listening, State};
use spanwise_gateway::keys::{Key, KeyList};
use spanwise_gateway::plan::{Plan, Secrets, look_up};
use spanwise_model::redact::{self, Redactor};

use crate::cli::{raise_file_limit, say};
use crate::config::parse_yaml;
use crate::{StartError, telemetry};

/// How often the files are looked at for changes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the last spans may take to be delivered.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The options of `spanwise gateway`.
#[derive(Args, Debug)]
pub struct GatewayArgs {
    /// What it is to do (YAML)
    #[arg(long, env = "SPANWISE_GATEWAY_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Read the configuration, say what it amounts to, and exit
    #[arg(long)]
    check: bool,
    /// Filter of the log on standard error
    #[arg(long, env = "SPANWISE_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
}

impl GatewayArgs {
    /// Serves until SIGTERM or SIGINT.
    pub fn run(self) -> Result<(), StartError> {
        let files = Files::new(&self.config);
        let (config, _) = files.read()?;
        if self.check {
            let plan = plan(config, None)?;
            return say(&explain(&plan));
        }
        telemetry::init(&self.log)?;
        raise_file_limit();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StartError::Io(format!("cannot start threads: {error}")))?;
        runtime.block_on(async {
            let stop = crate::app::stop_signal()?;
            let running = Running::start(files)?;
            say(&running.greeting())?;
            running.run(stop).await
        })
    }
}

/// A gateway that runs, and what it was made of.
#[derive(Debug)]
pub struct Running {
    gateway: Gateway,
    recorder: Option<Arc<Recorder>>,
    addresses: Vec<String>,
    files: Files,
}

impl Running {
    /// Binds the sockets and starts to serve.
    fn start(mut files: Files) -> Result<Self, StartError> {
        let (config, keys) = files.read()?;
        let plan = plan(config, None)?;
        files.note(&plan);
        let recorder = recorder(&plan.config.tracing)?;
        let mut listening = Vec::new();
        let mut addresses = Vec::new();
        for listener in &plan.config.listeners {
            let socket = bind(listener)?;
            let address = socket.local_addr().map_err(|error| StartError::Io(error.to_string()))?;
            addresses.push(format!("listening {} http://{address}", listener.name));
            listening.push(Listening { name: listener.name.clone(), socket });
        }
        let state = State::new(plan, keys, recorder.clone(), None)
            .map_err(|mistake| StartError::Config(mistake.to_string()))?;
        let gateway = Gateway::start(state, &listening)
            .map_err(|error| StartError::Io(format!("cannot start the gateway: {error}")))?;
        Ok(Running { gateway, recorder, addresses, files })
    }

    fn greeting(&self) -> String {
        format!("{}\nready\n", self.addresses.join("\n"))
    }

    /// Serves until `stop` completes; follows changes of the files meanwhile.
    async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                () = tokio::time::sleep(LOOK_EVERY) => self.follow(),
            }
        }
        tracing::info!("stopping");
        let Running { gateway, recorder, .. } = self;
        let drained = tokio::task::spawn_blocking(move || {
            gateway.drain();
            let Some(recorder) = recorder else { return };
            if !recorder.shutdown(FLUSH_TIMEOUT) {
                tracing::warn!("some spans could not be delivered");
            }
        });
        // Who asks a second time does not want to wait.
        let again = crate::app::stop_signal()?;
        tokio::select! {
            _ = drained => Ok(()),
            () = again => std::process::exit(0),
        }
    }

    /// Takes over changed files. With a mistake in them the old ones stay in force.
    fn follow(&mut self) {
        if !self.files.have_changed() {
            return;
        }
        match self.reload() {
            Ok(()) => tracing::info!("the changed configuration is in force"),
            Err(error) => tracing::error!(%error, "the old configuration stays in force"),
        }
    }

    fn reload(&mut self) -> Result<(), StartError> {
        let (config, keys) = self.files.read()?;
        let before = self.gateway.state();
        let plan = plan(config, Some(&before.plan))?;
        let place = |listener: &Listener| {
            (listener.name.clone(), listener.kind, listener.address.clone(), listener.port)
        };
        let places = |config: &Config| config.listeners.iter().map(place).collect::<Vec<_>>();
        if places(&plan.config) != places(&before.plan.config) {
            let reason = "listeners cannot be moved, added or taken away without a restart";
            return Err(StartError::Config(reason.to_owned()));
        }
        let exporters = |tracing: &Tracing| (tracing.exporters.clone(), tracing.content.clone());
        if exporters(&plan.config.tracing) != exporters(&before.plan.config.tracing) {
            let old = std::mem::replace(&mut self.recorder, recorder(&plan.config.tracing)?);
            // What was recorded before is still to be delivered, but nobody waits for it.
            std::thread::spawn(move || old.map(|recorder| recorder.shutdown(FLUSH_TIMEOUT)));
        }
        self.files.note(&plan);
        let state = State::new(plan, keys, self.recorder.clone(), Some(&before))
            .map_err(|mistake| StartError::Config(mistake.to_string()))?;
        self.gateway.reload(state);
        Ok(())
    }
}

/// The configuration, and the files that it names.
#[derive(Debug)]
struct Files {
    config: PathBuf,
    watched: Vec<(PathBuf, Option<Stamp>)>,
}

/// By what a file is known to be another than before.
type Stamp = (SystemTime, u64);

impl Files {
    fn new(config: &Path) -> Self {
        let watched = vec![(config.to_owned(), stamp(config))];
        Files { config: config.to_owned(), watched }
    }

    fn read(&self) -> Result<(Config, Option<Vec<Key>>), StartError> {
        let config: Config = read_yaml(&self.config)?;
        let list = |file: &str| read_yaml::<KeyList>(Path::new(file)).map(|list| list.keys);
        let keys = config.keys.as_ref().map(|keys| list(&keys.file)).transpose()?;
        Ok((config, keys))
    }

    /// Remembers which files matter, as they are now.
    fn note(&mut self, plan: &Plan) {
        let keys = plan.config.keys.as_ref().map(|keys| PathBuf::from(&keys.file));
        let paths = std::iter::once(self.config.clone()).chain(keys);
        self.watched = paths.map(|path| (path.clone(), stamp(&path))).collect();
    }

    /// Whether one of them is another than when this was last asked.
    fn have_changed(&mut self) -> bool {
        let mut changed = false;
        for (path, known) in &mut self.watched {
            let now = stamp(path);
            changed |= now != *known;
            *known = now;
        }
        changed
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read_yaml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, StartError> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| StartError::Config(format!("cannot read {name}: {error}")))?;
    parse_yaml(&text, |_| None).map_err(|error| StartError::Config(format!("{name}: {error}")))
}

/// Secrets in the environment and in files.
struct Outside;

impl Secrets for Outside {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))
    }
}

fn plan(config: Config, before: Option<&Plan>) -> Result<Plan, StartError> {
    Plan::after(config, &Outside, before).map_err(|mistake| StartError::Config(mistake.to_string()))
}

fn bind(listener: &Listener) -> Result<TcpListener, StartError> {
    let (address, port) = (listener.address.as_str(), listener.port);
    let socket = TcpListener::bind((address, port)).map_err(|error| {
        StartError::Io(format!("cannot listen on {address}:{port} ({}): {error}", listener.name))
    })?;
    let bound = socket.local_addr().map_err(|error| StartError::Io(error.to_string()))?;
    if !bound.ip().is_loopback() {
        tracing::warn!("{} listens on {bound}: anyone who reaches it can use it", listener.name);
    }
    Ok(socket)
}

/// Sends spans where the configuration says; nowhere, if it says so.
fn recorder(tracing: &Tracing) -> Result<Option<Arc<Recorder>>, StartError> {
    let wrong = |error: ConfigError| StartError::Config(format!("tracing: {error}"));
    let mut sdk = spanwise::Config::new(&tracing.service_name);
    for (key, value) in &tracing.resource {
        sdk = sdk.resource_attribute(key, value.as_str());
    }
    if let Some(exporters) = &tracing.exporters {
        let kinds: Vec<_> = exporters.iter().map(|exporter| exporter.kind.as_str()).collect();
        if kinds.iter().all(|kind| *kind == "none") {
            return Ok(None);
        }
        sdk = sdk.exporters(kinds);
        for exporter in exporters {
            let option = match exporter.kind.as_str() {
                "zipkin" => "zipkin_endpoint",
                _ => "opentelemetry_endpoint",
            };
            if let Some(endpoint) = &exporter.endpoint {
                sdk.set(option, endpoint.clone()).map_err(wrong)?;
            }
            if let Some(protocol) = &exporter.protocol {
                sdk.set("otlp_protocol", protocol.clone()).map_err(wrong)?;
            }
            for (name, value) in &exporter.headers {
                sdk = sdk.header(name, resolved(value)?);
            }
        }
    }
    let mut settings = sdk.settings().map_err(wrong)?;
    if let Some(redaction) = &tracing.content.redaction {
        let usual = redact::RedactionConfig::default();
        let replacement = redaction.replacement_text.clone();
        let config = redact::RedactionConfig {
            pii: redaction.pii_redaction,
            financial: redaction.financial_data_redaction,
            custom_patterns: redaction.custom_patterns.clone(),
            replacement_text: replacement.unwrap_or(usual.replacement_text),
        };
        let redactor = Redactor::new(config)
            .map_err(|error| StartError::Config(format!("tracing.content.redaction: {error}")))?;
        settings.content.redactor = Some(redactor);
    }
    Ok(Some(Recorder::new(settings)))
}

fn resolved(secret: &Secret) -> Result<String, StartError> {
    let found = look_up(secret, &Outside)
        .map_err(|reason| StartError::Config(format!("tracing: {reason}")))?;
    Ok(found.unwrap_or_else(|| secret.0.clone()))
}

/// What the configuration amounts to, for people.
fn explain(plan: &Plan) -> String {
    let mut text = String::from("configuration ok\n");
    for listener in &plan.config.listeners {
        let place = format!("{}:{}", listener.address, listener.port);
        let _ = writeln!(text, "listener {}: {place}", listener.name);
    }
    for name in plan.models() {
        let Some(route) = plan.route(Some(name)) else { continue };
        let target = |target: &spanwise_gateway::plan::Target| {
            let upstream = &target.upstream;
            format!(
                "{} at {}://{}{}",
                target.model, upstream.scheme, upstream.authority, upstream.base_path
            )
        };
        let targets: Vec<_> = route.targets.iter().map(target).collect();
        let _ = writeln!(text, "model {name}: {}", targets.join(", then "));
    }
    text
}
