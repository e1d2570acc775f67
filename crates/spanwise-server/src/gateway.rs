//! `spanwise gateway`, and the gateway within `spanwise serve`: reads what it is to do, binds its
//! sockets, and keeps it up to date.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use clap::{Args, Subcommand};
use spanwise::Recorder;
use spanwise_gateway::config::{Config, Listener, Tracing};
use spanwise_gateway::gateway::{Gateway, Listening, Observer, State};
use spanwise_gateway::plan::{Plan, Target};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::api::metrics::of_gateway;
use crate::cli::{raise_file_limit, say};
use crate::{StartError, connections, telemetry};

pub use files::Source;
use files::{Files, Reading};
use keys::KeysAction;
pub use spans::Home;
use usage::UsageFile;

mod files;
mod keys;
mod spans;
mod usage;

/// How often the files are looked at for changes. A change counts when it is there at two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Within a server, whose store has to be closed too, what is under way gets no longer than this.
const DRAIN_WITHIN_SERVER: Duration = Duration::from_secs(4);
/// How long it may take from the signal until the last spans are delivered, if what is under way
/// ends in time; what comes later gets the least time.
const STOP_WITHIN: Duration = Duration::from_secs(9);
const FLUSH_AT_LEAST: Duration = Duration::from_millis(1500);

/// The options of `spanwise gateway`.
#[derive(Args, Debug)]
pub struct GatewayArgs {
    /// What it is to do (YAML): a file of its own, or a server's with a section `gateway:`
    #[arg(long, global = true, env = "SPANWISE_GATEWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read the configuration, say what it amounts to, and exit
    #[arg(long)]
    check: bool,
    /// Filter of the log on standard error
    #[arg(long, env = "SPANWISE_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create, list and revoke keys in the gateway's file of keys; works while it runs
    Keys {
        #[command(subcommand)]
        action: KeysAction,
    },
}

impl GatewayArgs {
    /// Does what is asked for: serves until SIGTERM or SIGINT, if nothing else.
    pub fn run(self) -> Result<(), StartError> {
        let path = self.config.ok_or_else(|| {
            StartError::Config("gateway: --config FILE is missing: it says what to do".to_owned())
        })?;
        let source = Source::of(path);
        if let Some(Action::Keys { action }) = self.action {
            return action.run(source.file_of_keys()?);
        }
        if self.check {
            return say(&format!("configuration ok\n{}", check(source, None)?));
        }
        telemetry::init(&self.log)?;
        raise_file_limit();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StartError::Io(format!("cannot start threads: {error}")))?;
        runtime.block_on(async {
            let stop = crate::app::stop_signal()?;
            let running = Running::start(source, None)?;
            say(&format!("{}\nready\n", running.listening().join("\n")))?;
            let (stopping, stopped) = tokio::sync::oneshot::channel();
            let stop = async {
                stop.await;
                // Nobody waits any more once the gateway has stopped.
                let _ = stopping.send(());
            };
            tokio::select! {
                outcome = running.run(stop) => outcome,
                // Who asks a second time does not want to wait.
                () = stop_signal_after(stopped) => std::process::exit(0),
            }
        })
    }
}

async fn stop_signal_after<T>(first: impl Future<Output = T>) {
    drop(first.await);
    match crate::app::stop_signal() {
        Ok(again) => again.await,
        Err(_) => std::future::pending().await,
    }
}

/// What the configuration amounts to, for people. Finds its mistakes without serving anything.
pub fn check(source: Source, data_dir: Option<&Path>) -> Result<String, StartError> {
    let Reading { plan, keys } = Files::new(source).read(None)?;
    spans::settings(&plan.config.tracing, data_dir.is_some())?;
    let state = State::new(plan, keys, None, None).map_err(|mistake| wrong_keys(&*mistake))?;
    Ok(explain(&state, data_dir))
}

/// A gateway that runs.
#[derive(Debug)]
pub struct Running {
    follower: Follower,
    listening: Vec<String>,
    metrics: Option<TcpListener>,
    hangup: Signal,
}

/// What a gateway was made of, and what is done about it when that changes.
#[derive(Debug)]
struct Follower {
    gateway: Gateway,
    recorder: Option<Arc<Recorder>>,
    files: Files,
    usage: Option<UsageFile>,
    server: Option<Server>,
}

/// The server that a gateway is a part of.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its store.
    pub home: Home,
    /// Its folder.
    pub data_dir: PathBuf,
}

/// What the one who runs a gateway tells the thread that follows its files.
enum Order {
    Reload,
    Stop,
}

impl Running {
    /// Binds the sockets and starts to serve.
    pub fn start(source: Source, server: Option<Server>) -> Result<Self, StartError> {
        let hangup = signal(SignalKind::hangup())
            .map_err(|error| StartError::Io(format!("cannot handle signals: {error}")))?;
        let mut files = Files::new(source);
        let Reading { plan, keys } = files.read(None)?;
        let plan = fitting(plan, server.as_ref());
        let recorder = spans::recorder(&plan.config.tracing, server.as_ref().map(|s| &s.home))?;
        let mut sockets = Vec::new();
        let mut listening = Vec::new();
        for listener in &plan.config.listeners {
            let socket = bind(&listener.name, &listener.address, listener.port)?;
            listening.push(listening_line(&listener.name, &socket)?);
            sockets.push(Listening { name: listener.name.clone(), socket });
        }
        let metrics = plan.config.metrics.as_ref();
        let metrics = metrics.map(|at| bind("metrics", &at.address, at.port)).transpose()?;
        if let Some(socket) = &metrics {
            listening.push(listening_line("metrics", socket)?);
        }
        let data_dir = server.as_ref().map(|server| server.data_dir.as_path());
        let usage = usage::path(&plan.config, data_dir);
        let state = State::new(plan, keys, recorder.clone(), None)
            .map_err(|mistake| wrong_keys(&*mistake))?;
        warn(&state, usage.as_deref());
        let usage = usage.map(|path| UsageFile::restore(path, &state.limits)).transpose()?;
        let gateway = Gateway::start(state, &sockets)
            .map_err(|error| StartError::Io(format!("cannot start the gateway: {error}")))?;
        let follower = Follower { gateway, recorder, files, usage, server };
        Ok(Running { follower, listening, metrics, hangup })
    }

    /// Where it listens, a line for each address.
    pub fn listening(&self) -> &[String] {
        &self.listening
    }

    /// Tells what it counts.
    pub fn observer(&self) -> Observer {
        self.follower.gateway.observer()
    }

    /// Serves until `stop` completes and what is under way has ended; follows changes of the
    /// files meanwhile.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        let observer = self.observer();
        let Running { follower, metrics, mut hangup, .. } = self;
        if let Some(socket) = metrics {
            let failed = |error| StartError::Io(format!("cannot serve metrics: {error}"));
            socket.set_nonblocking(true).map_err(failed)?;
            let socket = tokio::net::TcpListener::from_std(socket).map_err(failed)?;
            let router = Router::new().route("/metrics", get(of_gateway));
            let router = router.with_state(observer);
            // To the very end, as it is nobody's request that would have to be waited for.
            let limits = crate::config::Limits::default();
            tokio::spawn(connections::serve(socket, router, limits, std::future::pending()));
        }
        let (orders, received) = channel();
        let following = tokio::task::spawn_blocking(move || follower.follow(&received));
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                // One that cannot be given is not needed any more: nobody follows.
                _ = hangup.recv() => drop(orders.send(Order::Reload)),
            }
        }
        drop(orders.send(Order::Stop));
        following.await.map_err(|_| StartError::Io("the gateway met a fault of its own".to_owned()))
    }
}

impl Follower {
    fn follow(mut self, orders: &Receiver<Order>) {
        loop {
            match orders.recv_timeout(LOOK_EVERY) {
                Ok(Order::Reload) => self.take_over(),
                Err(RecvTimeoutError::Timeout) if self.files.are_due() => self.take_over(),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return self.stop(),
            }
            if let Some(usage) = &mut self.usage {
                usage.keep_up(&self.gateway.state().limits);
            }
        }
    }

    fn stop(self) {
        let asked = Instant::now();
        if self.server.is_none() {
            tracing::info!("stopping");
        }
        let state = self.gateway.state();
        self.gateway.drain();
        if let Some(mut usage) = self.usage {
            usage.write(&state.limits);
        }
        let left = STOP_WITHIN.saturating_sub(asked.elapsed()).max(FLUSH_AT_LEAST);
        let left = if self.server.is_some() { FLUSH_AT_LEAST } else { left };
        if self.recorder.is_some_and(|recorder| !recorder.shutdown(left)) {
            tracing::warn!("some spans of the gateway could not be delivered");
        }
    }

    /// Takes over what the files say now. With a mistake in them the old state stays in force.
    fn take_over(&mut self) {
        let outcome = self.reload();
        self.gateway.state().metrics.reloaded(outcome.is_ok());
        match outcome {
            Ok(()) => tracing::info!("the gateway's configuration is in force as it is now"),
            Err(error) => tracing::error!(%error, "the gateway's old configuration stays in force"),
        }
    }

    /// Prepares everything first: until nothing can go wrong any more, nothing changes.
    fn reload(&mut self) -> Result<(), StartError> {
        let before = self.gateway.state();
        let Reading { plan, keys } = self.files.read(Some(&before.plan))?;
        let plan = fitting(plan, self.server.as_ref());
        let (new, old) = (&plan.config, &before.plan.config);
        if places(new) != places(old) {
            let reason = "listeners cannot be moved, added or taken away without a restart";
            return Err(StartError::Config(reason.to_owned()));
        }
        let another = if destination(&new.tracing) == destination(&old.tracing) {
            None
        } else {
            let home = self.server.as_ref().map(|server| &server.home);
            Some(spans::recorder(&new.tracing, home)?)
        };
        let data_dir = self.server.as_ref().map(|server| server.data_dir.as_path());
        let usage = usage::path(new, data_dir);
        let recorder = another.clone().unwrap_or_else(|| self.recorder.clone());
        let state = State::new(plan, keys, recorder, Some(&before))
            .map_err(|mistake| wrong_keys(&*mistake))?;
        warn(&state, usage.as_deref());
        self.usage = match (self.usage.take(), usage) {
            (Some(mut file), Some(path)) => {
                file.move_to(path);
                Some(file)
            }
            (None, Some(path)) => Some(UsageFile::new(path)),
            (_, None) => None,
        };
        if let Some(recorder) = another {
            let old = std::mem::replace(&mut self.recorder, recorder);
            // What was recorded before is still to be delivered, but nobody waits for it.
            std::thread::spawn(move || old.map(|recorder| recorder.shutdown(STOP_WITHIN)));
        }
        self.gateway.reload(state);
        Ok(())
    }
}

/// A server has to end in time, whatever its gateway was told.
fn fitting(mut plan: Plan, server: Option<&Server>) -> Plan {
    if server.is_some() {
        let drain = &mut plan.config.timeouts.drain;
        *drain = (*drain).min(DRAIN_WITHIN_SERVER);
    }
    plan
}

/// What is bound once and for all.
fn places(config: &Config) -> impl PartialEq {
    let place = |listener: &Listener| {
        (listener.name.clone(), listener.kind, listener.address.clone(), listener.port)
    };
    (config.listeners.iter().map(place).collect::<Vec<_>>(), config.metrics.clone())
}

/// What a recorder is made of.
fn destination(tracing: &Tracing) -> impl PartialEq {
    let Tracing { exporters, content, service_name, resource, .. } = tracing.clone();
    (exporters, content.redaction, service_name, resource)
}

fn wrong_keys(mistake: &dyn std::error::Error) -> StartError {
    StartError::Config(format!("keys and limits: {mistake}"))
}

fn bind(name: &str, address: &str, port: u16) -> Result<TcpListener, StartError> {
    let socket = TcpListener::bind((address, port)).map_err(|error| {
        StartError::Io(format!("cannot listen on {address}:{port} ({name}): {error}"))
    })?;
    let bound = socket.local_addr().map_err(|error| StartError::Io(error.to_string()))?;
    if !bound.ip().is_loopback() {
        tracing::warn!("{name} listens on {bound}: anyone who reaches it can use it");
    }
    Ok(socket)
}

fn listening_line(name: &str, socket: &TcpListener) -> Result<String, StartError> {
    let address = socket.local_addr().map_err(|error| StartError::Io(error.to_string()))?;
    Ok(format!("listening {name} http://{address}"))
}

/// Says what is allowed, but may not be meant.
fn warn(state: &State, usage: Option<&Path>) {
    for doubt in doubts(state, usage) {
        tracing::warn!("{doubt}");
    }
}

fn doubts(state: &State, usage: Option<&Path>) -> Vec<&'static str> {
    let config = &state.plan.config;
    let is_open = config.keys.as_ref().is_some_and(|keys| !keys.required);
    let is_paid = config.model_providers.iter().any(|provider| provider.access_key.is_some());
    let is_forgotten = usage.is_none() && !config.limits.rules.is_empty();
    let doubts = [
        (
            is_open && is_paid,
            "keys.required is false: requests without a key use the providers' keys of the \
             configuration",
        ),
        (
            is_forgotten,
            "what was used under limits is forgotten at a restart; limits.state_file would keep it",
        ),
    ];
    doubts.into_iter().filter(|(is_so, _)| *is_so).map(|(_, doubt)| doubt).collect()
}

fn explain(state: &State, data_dir: Option<&Path>) -> String {
    let plan = &state.plan;
    let mut text = String::new();
    for listener in &plan.config.listeners {
        let place = format!("{}:{}", listener.address, listener.port);
        let _ = writeln!(text, "listener {}: {place}", listener.name);
    }
    for agent in &plan.config.agents {
        let _ = writeln!(text, "agent {}: {}", agent.id, agent.url);
    }
    for name in plan.models() {
        let Some(route) = plan.route(Some(name)) else { continue };
        let target = |target: &Target| {
            let upstream = &target.upstream;
            format!(
                "{} at {}://{}{}",
                target.model, upstream.scheme, upstream.authority, upstream.base_path
            )
        };
        let targets: Vec<_> = route.targets.iter().map(target).collect();
        let _ = writeln!(text, "model {name}: {}", targets.join(", then "));
    }
    if let Some(keys) = &state.keys {
        let required = plan.config.keys.as_ref().is_some_and(|keys| keys.required);
        let whether = if required { "required" } else { "not required" };
        let _ = writeln!(text, "keys: {}, {whether}", keys.iter().count());
    }
    let usage = usage::path(&plan.config, data_dir);
    if let Some(path) = &usage {
        let _ = writeln!(text, "what is used is kept in {}", path.display());
    }
    for doubt in doubts(state, usage.as_deref()) {
        let _ = writeln!(text, "warning: {doubt}");
    }
    text
}
