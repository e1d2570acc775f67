//! A running gateway: its threads, what they share, and how it stops.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::io;
use std::net::TcpListener as StdListener;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::FutureExt;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use spanwise::Recorder;
use spanwise_model::price::PriceTable;
use spanwise_model::propagate;
use spanwise_model::sampling::Rate;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::admission::Admission;
use crate::agent;
use crate::cache::Cache;
use crate::created::Created;
use crate::dialect::Dialect;
use crate::exchange::kept::{self, Kept};
use crate::exchange::{self, Target};
use crate::keys::{Key, Keys};
use crate::limits::Limits;
use crate::metrics::{self, Family, Metrics};
use crate::plan::{Plan, Upstream};
use crate::reply::{Body, Refusal, json};
use crate::retry::{RetryBudget, RetryPolicy};
use crate::trace::Tracer;
use crate::translate::ErrorKind;
use crate::upstream::Client;

/// More threads than this do not serve a proxy any faster on the machines that it runs on.
const MAX_WORKERS: usize = 4;
/// Headers of one request.
const MAX_HEADERS: usize = 200;
/// Bytes of a request's headers, but for those that say where it stands in its trace.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// Bytes of a request's head. Context that is too long is cut, by its rules, and costs nobody an
/// answer, so that there has to be room for it.
const MAX_HEAD: usize = 2 * MAX_HEADER_BYTES + (8 << 10);
/// How long nothing is accepted when there are no more file descriptors.
const BREATHER: Duration = Duration::from_millis(50);

/// Everything that serving a request takes, as one configuration says it.
#[derive(Debug)]
pub struct State {
    /// What leads where.
    pub plan: Plan,
    /// Takes part in traces.
    pub tracer: Arc<Tracer>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who made which response.
    pub created: Arc<Created>,
    /// What tokens cost.
    pub prices: Arc<PriceTable>,
    /// Keys of our own, if clients need any.
    pub keys: Option<Keys>,
    /// What may be used.
    pub limits: Limits,
    /// How many are served at once.
    pub admission: Arc<Admission>,
    /// Answers that are given again.
    pub cache: Option<Arc<Cache>>,
    /// How often and how fast to try again.
    pub retry: RetryPolicy,
    /// How many retries there may be at all.
    pub retry_budget: Arc<RetryBudget>,
    /// Of how many calls the content is recorded.
    pub content_rate: Rate,
}

/// A mistake in keys or limits.
pub type Mistake = Box<dyn std::error::Error + Send + Sync>;

impl State {
    /// Prepares everything. What was used and kept under the state before lives on.
    pub fn new(
        plan: Plan,
        keys: Option<Vec<Key>>,
        recorder: Option<Arc<Recorder>>,
        before: Option<&State>,
    ) -> Result<Self, Mistake> {
        let config = &plan.config;
        let metrics = before.map(|before| Arc::clone(&before.metrics)).unwrap_or_default();
        metrics.know_models(plan.upstream_models());
        let tracer = Arc::new(Tracer::new(recorder, &config.tracing, Arc::clone(&metrics)));
        let keys = keys.map(Keys::new).transpose()?;
        let (none, rules) = (Keys::default(), config.limits.rules.clone());
        let of_keys = keys.as_ref().unwrap_or(&none);
        let limits = match before {
            Some(before) => before.limits.with_rules(rules, of_keys)?,
            None => Limits::new(rules, of_keys)?,
        };
        let admission = match before {
            Some(before) => Arc::clone(&before.admission),
            None => Arc::new(Admission::new((&config.limits).into())),
        };
        let cache = config.cache.map(|cache| {
            let kept = before.filter(|b| b.plan.config.cache == Some(cache));
            let kept = kept.and_then(|before| before.cache.clone());
            kept.unwrap_or_else(|| Cache::new((&cache).into()))
        });
        let retry_budget = match before.filter(|b| b.plan.config.retry == config.retry) {
            Some(before) => Arc::clone(&before.retry_budget),
            None => Arc::new(RetryBudget::new((&config.retry).into(), Instant::now())),
        };
        let prices = before.map(|before| Arc::clone(&before.prices));
        Ok(State {
            tracer,
            metrics,
            created: before.map(|before| Arc::clone(&before.created)).unwrap_or_default(),
            prices: prices.unwrap_or_else(|| Arc::new(PriceTable::bundled())),
            keys,
            limits,
            admission,
            cache,
            retry: (&config.retry).into(),
            retry_budget,
            content_rate: Rate::new(config.tracing.content.sample / 100.0)?,
            plan,
        })
    }
}

/// What one thread works with.
#[derive(Debug)]
pub struct Worker {
    state: watch::Receiver<Arc<State>>,
    clients: Mutex<Clients>,
}

/// Connections to upstreams, as long as the configuration names them.
#[derive(Debug, Default)]
struct Clients {
    of: Option<Arc<State>>,
    /// By where the upstream is in memory, which is its alone as long as it is kept here.
    by_upstream: HashMap<usize, (Arc<Upstream>, Client)>,
}

impl Clients {
    /// Gives up the connections to upstreams that the configuration does not have any more.
    fn follow(&mut self, state: Arc<State>) {
        let plan = &state.plan;
        let kept: HashSet<usize> = plan.upstreams().iter().map(place).collect();
        self.by_upstream.retain(|place, _| kept.contains(place));
        self.of = Some(state);
    }
}

fn place(upstream: &Arc<Upstream>) -> usize {
    Arc::as_ptr(upstream) as usize
}

impl Worker {
    /// The configuration in force.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.borrow())
    }

    /// This thread's connections to an upstream.
    pub fn client(&self, upstream: &Arc<Upstream>) -> Result<Client, Mistake> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state();
        if !clients.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, &state)) {
            clients.follow(state);
        }
        if let Some((_, client)) = clients.by_upstream.get(&place(upstream)) {
            return Ok(client.clone());
        }
        let client = Client::new(upstream)?;
        clients.by_upstream.insert(place(upstream), (Arc::clone(upstream), client.clone()));
        Ok(client)
    }
}

/// A socket that clients connect to, bound and listening.
#[derive(Debug)]
pub struct Listening {
    /// Which of the configuration's listeners it is.
    pub name: String,
    /// The socket.
    pub socket: StdListener,
}

/// A gateway that runs, on threads of its own.
#[derive(Debug)]
pub struct Gateway {
    state: watch::Sender<Arc<State>>,
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
}

impl Gateway {
    /// Starts to serve.
    pub fn start(state: State, listening: &[Listening]) -> io::Result<Self> {
        let n_workers = state.plan.config.workers.unwrap_or_else(usual_workers).max(1);
        let (state, watched) = watch::channel(Arc::new(state));
        let (stop, stopping) = watch::channel(false);
        let mut workers = Vec::with_capacity(n_workers);
        for n in 0..n_workers {
            let sockets = listening.iter().map(|l| Ok((l.name.clone(), l.socket.try_clone()?)));
            let sockets: Vec<_> = sockets.collect::<io::Result<_>>()?;
            let worker = Arc::new(Worker { state: watched.clone(), clients: Mutex::default() });
            let stopping = stopping.clone();
            let run = move || run_worker(&worker, sockets, stopping);
            workers.push(std::thread::Builder::new().name(format!("gateway-{n}")).spawn(run)?);
        }
        Ok(Gateway { state, stop, workers })
    }

    /// The configuration in force.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.borrow())
    }

    /// Tells what is counted, also when the gateway has moved elsewhere.
    pub fn observer(&self) -> Observer {
        Observer(self.state.subscribe())
    }

    /// Serves by another configuration from now on. What is under way ends under the old one.
    pub fn reload(&self, state: State) {
        self.state.send_replace(Arc::new(state));
    }

    /// Takes no more connections, and returns when what is under way has ended, or the time for
    /// that is over.
    pub fn drain(self) {
        self.stop.send_replace(true);
        for worker in self.workers {
            // A thread that panicked has nothing under way any more.
            drop(worker.join());
        }
    }
}

/// Looks at a gateway from outside.
#[derive(Clone, Debug)]
pub struct Observer(watch::Receiver<Arc<State>>);

impl Observer {
    /// Everything that is counted, as it is now.
    pub fn families(&self) -> Vec<Family> {
        let state = Arc::clone(&self.0.borrow());
        metrics::families(&state)
    }
}

fn usual_workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS)
}

fn run_worker(
    worker: &Arc<Worker>,
    sockets: Vec<(String, StdListener)>,
    stopping: watch::Receiver<bool>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "a thread of the gateway cannot start"),
    };
    let drain = worker.state().plan.config.timeouts.drain;
    runtime.block_on(async {
        let mut listeners = tokio::task::JoinSet::new();
        for (name, socket) in sockets {
            let (worker, stopping) = (Arc::clone(worker), stopping.clone());
            let name: Arc<str> = name.into();
            listeners.spawn(async move {
                if let Err(error) = accept(worker, Arc::clone(&name), socket, stopping).await {
                    tracing::error!(%error, listener = &*name, "a listener has failed");
                }
            });
        }
        let mut stopping = stopping;
        drop(stopping.wait_for(|stop| *stop).await);
        let ended = async { while listeners.join_next().await.is_some() {} };
        if tokio::time::timeout(drain, ended).await.is_err() {
            tracing::warn!("some requests were still under way when the gateway stopped");
        }
    });
    runtime.shutdown_background();
}

async fn accept(
    worker: Arc<Worker>,
    name: Arc<str>,
    socket: StdListener,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket)?;
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) => serve_connection(&worker, &name, stream, &connections),
            Err(error) => {
                // Out of file descriptors, mostly: those who are served give some back.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATHER).await;
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
    Ok(())
}

fn serve_connection(
    worker: &Arc<Worker>,
    listener: &Arc<str>,
    stream: TcpStream,
    connections: &GracefulShutdown,
) {
    // Without this, an event waits until the client has acknowledged the one before.
    drop(stream.set_nodelay(true));
    let header_timeout = worker.state().plan.config.timeouts.header;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(MAX_HEAD as u32);
    let (worker, listener) = (Arc::clone(worker), Arc::clone(listener));
    let service = service_fn(move |request| {
        let (worker, listener) = (Arc::clone(&worker), Arc::clone(&listener));
        async move { Ok::<_, Infallible>(unharmed(worker, &listener, request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended early");
        }
    });
}

/// A fault in our own code costs one request its answer, and nobody else anything.
async fn unharmed(
    worker: Arc<Worker>,
    listener: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    let metrics = Arc::clone(&worker.state().metrics);
    // In a box of its own: a connection keeps room for its request's future as long as it lives,
    // and what serving takes is needed only until an answer has begun.
    let served = Box::pin(dispatch(worker, listener, request));
    AssertUnwindSafe(served).catch_unwind().await.unwrap_or_else(|_| {
        metrics.panicked();
        let message = "the gateway met a fault of its own";
        Refusal::new(ErrorKind::Internal, "panic", message).response(Dialect::Chat)
    })
}

async fn dispatch(
    worker: Arc<Worker>,
    listener: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let state = worker.state();
    let target = Target::of_path(head.uri.path());
    if let Err(refusal) = check_head(&head) {
        return refusal.response(target.map_or(Dialect::Chat, |target| target.dialect));
    }
    if let Some(routes) = state.plan.agent_routes(listener) {
        // Boxed, so that requests to models need no room for what those to agents hold.
        return Box::pin(agent::serve(worker, Arc::clone(&state), routes, head, body)).await;
    }
    if head.uri.path() == "/healthz" {
        return json(StatusCode::OK, r#"{"status":"ok"}"#);
    }
    if let Some(kept) = Kept::of_path(head.uri.path())
        && let Some(operation) = kept.operation(&head.method)
    {
        return Box::pin(kept::serve(worker, kept, operation, head)).await;
    }
    match (&head.method, target) {
        (&Method::POST, Some(target)) => exchange::serve(worker, state, target, head, body).await,
        (&Method::GET, None) if head.uri.path() == "/v1/models" => {
            exchange::models(&state, &head.headers)
        }
        (_, target) => {
            let dialect = target.as_ref().map_or(Dialect::Chat, |target| target.dialect);
            let message = format!("there is no {} {}", head.method, head.uri.path());
            let refusal = Refusal::new(ErrorKind::NotFound, "not_found", message);
            let status = if target.is_some() { 405 } else { 404 };
            refusal.with_status(status).response(dialect)
        }
    }
}

/// Refuses what two servers in a row could take for different requests, and what is too much.
fn check_head(head: &Parts) -> Result<(), Refusal> {
    let headers = &head.headers;
    if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
        let message = "a request with both content-length and transfer-encoding is ambiguous";
        let refusal = Refusal::new(ErrorKind::InvalidRequest, "ambiguous_length", message);
        return Err(refusal.with_header(CONNECTION.as_str(), &"close"));
    }
    let counted = headers.iter().filter(|(name, _)| !propagate::HEADERS.contains(&name.as_str()));
    let n_bytes: usize = counted.map(|(name, value)| name.as_str().len() + value.len()).sum();
    if n_bytes > MAX_HEADER_BYTES {
        let message = format!("the headers are longer than {MAX_HEADER_BYTES} bytes");
        let refusal = Refusal::new(ErrorKind::InvalidRequest, "headers_too_large", message);
        return Err(refusal.with_status(431));
    }
    Ok(())
}
