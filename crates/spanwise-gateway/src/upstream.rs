//! Requests to upstreams over pooled connections, and what their failures mean.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use http::uri::Scheme;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client as Pool, Error as PoolError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::RootCertStore;

pub use payload::{Broken, Payload, Upload};

use crate::connect::{self, ConnectError, Connector, Served};
use crate::plan::Upstream;

mod payload;

/// How long an idle connection is kept. Shorter than the minute after which many servers close
/// theirs, so that a request seldom meets a connection that is about to go.
const IDLE: Duration = Duration::from_secs(45);

/// The connections of one thread to one upstream.
#[derive(Clone, Debug)]
pub struct Client(Pool<Connector, Payload>);

impl Client {
    /// No connections yet. Fails if the upstream's certificates cannot be read.
    pub fn new(upstream: &Upstream) -> Result<Self, Box<dyn StdError + Send + Sync>> {
        let is_encrypted = upstream.scheme == Scheme::HTTPS;
        let extra = upstream.ca_pem.as_deref();
        let roots = if is_encrypted { connect::roots(extra)? } else { RootCertStore::empty() };
        let tls = connect::client_tls(roots)?;
        let connector = Connector::new(tls.into(), upstream.timeouts.connect, upstream.is_confined);
        let mut builder = Pool::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).timer(TokioTimer::new());
        // A request that met a connection which the other side had closed is sent once more, on
        // another one, where nothing of it had been written.
        builder.retry_canceled_requests(true);
        Ok(Client(builder.build(connector)))
    }

    /// Sends a request and waits for the head of the answer.
    pub async fn send<B: Into<Payload>>(
        &self,
        request: Request<B>,
    ) -> Result<Response<Incoming>, Failure> {
        let sent = self.0.request(request.map(Into::into)).await;
        let response = sent.map_err(|error| Failure::of_request(&error))?;
        if let Some(served) = response.extensions().get::<Served>() {
            served.note();
        }
        Ok(response)
    }
}

/// What went wrong between us and an upstream, as `error.type` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FailureKind {
    Dns,
    ConnectRefused,
    ConnectFailed,
    ConnectTimeout,
    Tls,
    Reset,
    Closed,
    Stale,
    Protocol,
    FirstEventTimeout,
    IdleTimeout,
    TotalTimeout,
}

impl FailureKind {
    /// The value of `error.type`.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::Dns => "dns_error",
            FailureKind::ConnectRefused => "connect_refused",
            FailureKind::ConnectFailed => "connect_error",
            FailureKind::ConnectTimeout => "connect_timeout",
            FailureKind::Tls => "tls_error",
            FailureKind::Reset => "connection_reset",
            FailureKind::Closed => "connection_closed",
            FailureKind::Stale => "stale_connection",
            FailureKind::Protocol => "protocol_error",
            FailureKind::FirstEventTimeout => "first_event_timeout",
            FailureKind::IdleTimeout => "idle_timeout",
            FailureKind::TotalTimeout => "total_timeout",
        }
    }

    /// Whether the provider was too slow, rather than broken or away.
    pub fn is_timeout(self) -> bool {
        matches!(
            self,
            FailureKind::ConnectTimeout
                | FailureKind::FirstEventTimeout
                | FailureKind::IdleTimeout
                | FailureKind::TotalTimeout
        )
    }
}

/// A failure with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub kind: FailureKind,
    /// For people.
    pub message: String,
}

impl Failure {
    /// A deadline that has passed.
    pub fn late(kind: FailureKind, after: Duration) -> Self {
        Failure { kind, message: format!("nothing came for {after:?}") }
    }

    /// What kept a request from being answered. Where it went over a connection that had served
    /// others before, the other side may have closed it just then, without having seen the request.
    fn of_request(error: &PoolError) -> Self {
        let mut failure = Self::of(error, error.is_connect());
        let mut extras = http::Extensions::new();
        error.connect_info().inspect(|connection| connection.get_extras(&mut extras));
        let was_kept = extras.get::<Served>().is_some_and(Served::has_before);
        if was_kept && matches!(failure.kind, FailureKind::Reset | FailureKind::Closed) {
            failure.kind = FailureKind::Stale;
        }
        failure
    }

    /// What broke an answer that had begun.
    pub fn of_body(error: &hyper::Error) -> Self {
        Self::of(error, false)
    }

    fn of(error: &(dyn StdError + 'static), is_connect: bool) -> Self {
        let mut kind = if is_connect { FailureKind::ConnectFailed } else { FailureKind::Protocol };
        let mut message = error.to_string();
        let mut cause = Some(error);
        while let Some(error) = cause {
            message = error.to_string();
            if let Some(connect) = error.downcast_ref::<ConnectError>() {
                return Failure { kind: of_connect(connect), message };
            }
            if let Some(hyper) = error.downcast_ref::<hyper::Error>() {
                if hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled() {
                    kind = FailureKind::Closed;
                }
            } else if let Some(io) = error.downcast_ref::<io::Error>() {
                kind = of_io(io, kind);
            }
            cause = error.source();
        }
        Failure { kind, message }
    }
}

fn of_connect(error: &ConnectError) -> FailureKind {
    match error {
        ConnectError::Dns(_) | ConnectError::Host(_) => FailureKind::Dns,
        ConnectError::Socket(io) if io.kind() == io::ErrorKind::ConnectionRefused => {
            FailureKind::ConnectRefused
        }
        ConnectError::Socket(_) | ConnectError::Forbidden(_) => FailureKind::ConnectFailed,
        ConnectError::Tls(_) => FailureKind::Tls,
        ConnectError::Timeout(_) => FailureKind::ConnectTimeout,
    }
}

fn of_io(error: &io::Error, otherwise: FailureKind) -> FailureKind {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => FailureKind::Reset,
        io::ErrorKind::UnexpectedEof => FailureKind::Closed,
        _ => otherwise,
    }
}
