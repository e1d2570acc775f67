//! The query API: `/api/v1`, and `/healthz`, `/readyz`, `/metrics` at the root.
//!
//! Every route asks for a key that may read, except the few that are listed in [`routes`] as open.
//! A handler gets its caller from the guard; without the guard it does not run at all.

pub mod health;
pub mod live;
pub mod metrics;
mod params;
mod problems;
mod sample;
mod search;
mod session;
mod stats;
mod traces;
pub mod wire;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::FutureExt;
use spanwise_gateway::gateway::Observer;
use spanwise_store::Store;
use tokio::sync::{Semaphore, watch};

use crate::auth::keys::Scope;
use crate::auth::{Gate, Refusal};
use crate::error::ApiError;
use crate::ingest::Ingest;
use crate::problems::Problems;
use metrics::Metrics;

/// What every handler needs.
#[derive(Debug)]
pub struct Api {
    /// Where the spans are.
    pub store: Arc<Store>,
    /// Where sample data goes in, like everything else.
    pub ingest: Arc<Ingest>,
    /// Who may read.
    pub gate: Arc<Gate>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What went wrong on the way in.
    pub problems: Arc<Problems>,
    /// Host names by which browsers may reach this server.
    pub hosts: Hosts,
    /// The addresses to show to people, by what listens there.
    pub addresses: Vec<(&'static str, String)>,
    /// The gateway in this process, if there is one.
    pub gateway: Option<Observer>,
    /// Turns true when the server stops; endless answers end then.
    pub stopping: watch::Receiver<bool>,
}

/// A handle on [`Api`].
pub type Shared = Arc<Api>;

/// The API's router.
pub fn routes(shared: Shared) -> Router {
    let guarded = Router::new()
        .route("/api/v1/traces", get(traces::list))
        .route("/api/v1/traces/{trace_id}", get(traces::get))
        .route("/api/v1/traces/{trace_id}/spans/{span_id}", get(traces::span))
        .route("/api/v1/spans", get(search::spans))
        .route("/api/v1/fields", get(search::fields))
        .route("/api/v1/fields/{name}/values", get(search::field_values))
        .route("/api/v1/stats", get(stats::get))
        .route("/api/v1/live", get(live::get))
        .route("/api/v1/ingest/problems", get(problems::get))
        .route("/api/v1/info", get(health::info))
        .route("/api/v1/sample", post(sample::post))
        .route("/api/v1/{*unknown}", get(unknown).fallback(unknown))
        .route("/metrics", get(metrics::get))
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), require_reader));
    let session = get(session::get).post(session::post).delete(session::delete);
    let open = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/api/v1/session", session);
    guarded
        .merge(open)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), refuse_foreign_sites))
        .with_state(shared)
}

/// Counts and times every request, and turns a panic into an answer.
pub fn observed(router: Router, metrics: &Arc<Metrics>) -> Router {
    router.layer(middleware::from_fn_with_state(Arc::clone(metrics), observe))
}

async fn observe(
    State(metrics): State<Arc<Metrics>>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let outcome = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let response = outcome.unwrap_or_else(|_| {
        metrics.panics.fetch_add(1, Ordering::Relaxed);
        ApiError::internal("the server met a fault; its log says more").into_response()
    });
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    // Methods are the client's to invent; count only those that exist.
    let method = if method.as_str().len() <= 7 { method.as_str() } else { "other" };
    metrics.request(method, route, response.status().as_u16(), started.elapsed());
    response
}

async fn require_reader(
    State(shared): State<Shared>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = shared.gate.admit(request.headers(), Scope::Read)?;
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(no_store);
    Ok(response)
}

async fn unknown(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is no {}", uri.path()))
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::NoKey | Refusal::UnknownKey => ApiError::unauthenticated(message),
            Refusal::NotForIngest | Refusal::NotForReading | Refusal::OtherProject => {
                ApiError::forbidden(message)
            }
            Refusal::BadProject => ApiError::bad_request("bad_project", message),
        }
    }
}

/// How many queries run at once; more wait. Each may hold a trace of any size in memory.
static QUERIES: Semaphore = Semaphore::const_new(8);

/// Runs a blocking store call where it holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    // The semaphore is never closed.
    let _place = QUERIES.acquire().await;
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(ApiError::internal("the query met a fault; the log says more")))
}

/// By which names browsers may reach the server, so that a web page somewhere else cannot: neither
/// by asking across sites nor by pointing its own name at this machine (DNS rebinding).
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Accept every `Host`: the listener is public, or callers need a key anyway.
    pub any: bool,
    /// Names beside the loopback's own; `*` for any.
    pub allowed: Vec<String>,
}

impl Hosts {
    fn allows(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), ApiError> {
        let authority = match (headers.get(header::HOST), uri.host()) {
            (Some(value), _) => value.to_str().unwrap_or("?"),
            (None, Some(host)) => host,
            // HTTP/1.0 has no host; browsers do not speak it.
            (None, None) => "localhost",
        };
        let host = host_of(authority);
        if !self.any && !is_loopback(host) && !self.lists(host) {
            return Err(ApiError::forbidden(format!(
                "this server is not known as `{host}`; if it should be, add it to allowed_hosts"
            )));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().unwrap_or("?");
        let from = host_of(origin.split_once("://").map_or(origin, |(_, rest)| rest));
        if from == host || (is_loopback(from) && is_loopback(host)) || self.lists(from) {
            Ok(())
        } else {
            Err(ApiError::forbidden(format!("requests from pages of `{from}` are not taken")))
        }
    }

    fn lists(&self, host: &str) -> bool {
        self.allowed.iter().any(|name| name == "*" || name.eq_ignore_ascii_case(host))
    }
}

async fn refuse_foreign_sites(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    shared.hosts.allows(request.headers(), request.uri())?;
    Ok(next.run(request).await)
}

/// The host of `host:port`, `[v6]:port`, or a bare host.
fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match authority.rsplit_once(':') {
        Some((host, _)) if !host.contains(':') => host,
        _ => authority,
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(hosts: &Hosts, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        hosts.allows(&headers, &Uri::from_static("/")).is_ok()
    }

    #[test]
    fn only_known_names_reach_a_loopback_listener() {
        let hosts = Hosts { any: false, allowed: vec!["traces.example".into()] };
        for host in ["localhost:4319", "127.0.0.1:1", "[::1]:4319", "traces.example", "a.localhost"]
        {
            assert!(asked(&hosts, host, None), "{host}");
        }
        for host in ["evil.example", "evil.example:4319", "192.168.0.1", ""] {
            assert!(!asked(&hosts, host, None), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let hosts = Hosts { any: true, allowed: Vec::new() };
        assert!(asked(&hosts, "traces.example", Some("https://traces.example")));
        assert!(asked(&hosts, "localhost:4319", Some("http://127.0.0.1:5173")));
        assert!(!asked(&hosts, "traces.example", Some("https://evil.example")));
        assert!(!asked(&hosts, "traces.example", Some("null")));
        assert!(!asked(&hosts, "localhost:4319", Some("https://evil.example")));
    }
}
