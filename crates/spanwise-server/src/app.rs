//! Composes the server from its parts, runs it, and drains it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use spanwise_model::price::PriceTable;
use spanwise_pipeline::Pipeline;
use spanwise_store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::metrics::Metrics;
use crate::api::{self, Api, Hosts};
use crate::auth::Gate;
use crate::config::{AuthMode, Config, Limits, Listen};
use crate::error::ApiError;
use crate::gateway::{self, Running as Gateway};
use crate::ingest::{Ingest, replay};
use crate::problems::Problems;
use crate::receive::body::Budget;
use crate::receive::{Receiver, otlp_grpc, otlp_http};
use crate::{StartError, connections, ui};

/// How long the store may take to write out what it holds at shutdown.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);

/// A server with its sockets bound and its store open, ready to run.
#[derive(Debug)]
pub struct App {
    listeners: Vec<Bound>,
    store: Arc<Store>,
    limits: Limits,
    gateway: Option<Gateway>,
    stopping: watch::Sender<bool>,
}

/// A bound socket and what is served on it.
#[derive(Debug)]
struct Bound {
    what: &'static str,
    address: SocketAddr,
    listener: TcpListener,
    router: Router,
}

/// A bound socket that has no router yet.
struct Socket {
    what: &'static str,
    address: SocketAddr,
    listener: TcpListener,
}

impl App {
    /// Binds the sockets, then opens the store; connections wait in the kernel until it is ready.
    pub async fn build(config: Config) -> Result<App, StartError> {
        let ui_name = if config.ui { "ui" } else { "api" };
        let listen = bind(ui_name, &config.listen).await?;
        let grpc = bind("otlp-grpc", &config.otlp_grpc).await?;
        let http = bind("otlp-http", &config.otlp_http).await?;
        let sockets = || [&listen, &grpc, &http].into_iter().flatten();
        warn_if_open(&config, sockets());
        let addresses = sockets().map(|socket| (socket.what, url(socket.address))).collect();

        let (store, pipeline) = open_store(&config).await?;
        let metrics = Arc::new(Metrics::default());
        let problems = Arc::new(Problems::default());
        let gate = Arc::new(Gate::open(config.auth, config.data_dir())?);
        let (stopping, stopped) = watch::channel(false);
        let ingest = Arc::new(Ingest {
            pipeline,
            store: Arc::clone(&store),
            metrics: Arc::clone(&metrics),
            problems: Arc::clone(&problems),
            max_body_bytes: config.limits.max_body_bytes,
        });
        let gateway = config.gateway.as_ref().map(|file| {
            let home = gateway::Home::new(Arc::clone(&ingest));
            let server = gateway::Server { home, data_dir: config.data_dir().to_owned() };
            Gateway::start(gateway::Source::Section(file.clone()), Some(server))
        });
        let gateway = gateway.transpose()?;
        let receiver = Receiver {
            gate: Arc::clone(&gate),
            ingest: Arc::clone(&ingest),
            budget: Budget::new(&config.limits),
        };
        let is_private = listen.as_ref().is_some_and(|socket| socket.address.ip().is_loopback());
        let api = Arc::new(Api {
            store: Arc::clone(&store),
            ingest,
            gate,
            metrics: Arc::clone(&metrics),
            problems,
            hosts: Hosts {
                any: !is_private || config.auth == AuthMode::Required,
                allowed: config.allowed_hosts.clone(),
            },
            addresses,
            gateway: gateway.as_ref().map(Gateway::observer),
            stopping: stopped,
        });

        let everything = api::routes(api).merge(otlp_http::routes(receiver.clone()));
        let everything =
            if config.ui { everything.merge(ui::routes()) } else { everything.fallback(not_found) };
        let http_only = otlp_http::routes(receiver.clone()).fallback(not_found);
        let routers = [everything, otlp_grpc::routes(receiver), http_only];
        let listeners = [listen, grpc, http]
            .into_iter()
            .zip(routers)
            .filter_map(|(socket, router)| Some(socket?.serving(api::observed(router, &metrics))))
            .collect();
        Ok(App { listeners, store, limits: config.limits, gateway, stopping })
    }

    /// Where something listens: `ui`, `otlp-grpc` or `otlp-http`.
    pub fn address(&self, what: &str) -> Option<SocketAddr> {
        self.listeners.iter().find(|bound| bound.what == what).map(|bound| bound.address)
    }

    /// The store, for tests that look behind the API.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// What `serve` prints: one line per listener, then `ready`.
    pub fn greeting(&self) -> String {
        let listening = |bound: &Bound| format!("listening {} {}", bound.what, url(bound.address));
        let of_gateway = self.gateway.iter().flat_map(|gateway| gateway.listening().to_vec());
        let lines: Vec<_> = self.listeners.iter().map(listening).chain(of_gateway).collect();
        format!("{}\nready\n", lines.join("\n"))
    }

    /// Serves until `stop` completes, lets running requests finish, and closes the store.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        let mut serving = JoinSet::new();
        let stopped = || {
            let mut stopped = self.stopping.subscribe();
            async move {
                // An error means that the sender is gone, which is as good as a stop.
                drop(stopped.wait_for(|stopping| *stopping).await);
            }
        };
        if let Some(gateway) = self.gateway {
            let running = gateway.run(stopped());
            serving.spawn(async {
                if let Err(error) = running.await {
                    tracing::error!(%error, "the gateway has failed");
                }
            });
        }
        for Bound { listener, router, .. } in self.listeners {
            let limits = self.limits.clone();
            serving.spawn(connections::serve(listener, router, limits, stopped()));
        }
        stop.await;
        tracing::info!("stopping");
        self.stopping.send_replace(true);
        while serving.join_next().await.is_some() {}
        close_store(self.store).await
    }
}

impl Socket {
    fn serving(self, router: Router) -> Bound {
        let Socket { what, address, listener } = self;
        Bound { what, address, listener, router }
    }
}

/// Completes at SIGTERM or SIGINT. The handlers are in place when this returns.
pub fn stop_signal() -> Result<impl Future<Output = ()>, StartError> {
    let failed = |error| StartError::Io(format!("cannot handle signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    // Because it is handled, a write beyond a limit on file sizes fails instead of ending us.
    let too_large = rustix::process::Signal::XFSZ.as_raw();
    drop(signal(SignalKind::from_raw(too_large)).map_err(failed)?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn bind(what: &'static str, listen: &Listen) -> Result<Option<Socket>, StartError> {
    let Listen::At(wanted) = listen else { return Ok(None) };
    let failed = |error| StartError::Io(format!("cannot listen on {wanted} ({what}): {error}"));
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Some(Socket { what, address, listener }))
}

fn warn_if_open<'a>(config: &Config, sockets: impl Iterator<Item = &'a Socket>) {
    if config.auth == AuthMode::Required {
        return;
    }
    for Socket { what, address, .. } in sockets {
        if !address.ip().is_loopback() {
            tracing::warn!(
                "{what} listens on {address} without authentication: anyone who reaches it can \
                 send or read traces; set `auth: required`"
            );
        }
    }
}

async fn open_store(config: &Config) -> Result<(Arc<Store>, Pipeline), StartError> {
    let pipeline = Pipeline::new(Arc::new(PriceTable::bundled()));
    let replay = replay(pipeline.clone());
    let store_config = config.store.clone();
    let store = tokio::task::spawn_blocking(move || Store::open(store_config, replay))
        .await
        .map_err(|_| StartError::Io("opening the data folder met a fault".to_owned()))?
        .map_err(|error| StartError::Io(error.to_string()))?;
    let status = store.status();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        data_dir = %config.data_dir().display(),
        segments = status.segments,
        recovered_rows = status.recovery.rows,
        took_ms = status.recovery.took.as_millis() as u64,
        "store open"
    );
    for damaged in &status.set_aside {
        let path = damaged.path.display();
        tracing::warn!(%path, reason = %damaged.reason, "damaged; set aside and not served");
    }
    Ok((Arc::new(store), pipeline))
}

async fn close_store(store: Arc<Store>) -> Result<(), StartError> {
    let closing = tokio::task::spawn_blocking(move || store.close());
    match tokio::time::timeout(CLOSE_TIMEOUT, closing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(StartError::Io("closing the data folder met a fault".to_owned())),
        // Everything acknowledged is in the log; the next start picks it up.
        Err(_) => {
            tracing::warn!("the store did not finish in time; the log has everything");
            Ok(())
        }
    }
}

async fn not_found(uri: axum::http::Uri) -> ApiError {
    ApiError::not_found(format!("there is no {}", uri.path()))
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}
