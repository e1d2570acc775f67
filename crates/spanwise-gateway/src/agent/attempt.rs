//! Sending a request to an agent, and again if it could not be reached.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;

use super::{Errand, NAME, Sending, incomplete, mcp, too_large};
use crate::exchange::{self, Exchange};
use crate::plan::Upstream;
use crate::record::Fault;
use crate::reply::{Body, Refusal, connection_options};
use crate::retry::{Failure as Trouble, GaveUp, Situation, Step};
use crate::translate::ErrorKind;
use crate::upstream::{Broken, Client, Failure, FailureKind, Payload};

/// Headers of requests that concern the connection, the gateway or the trace, and not the agent.
/// Cookies stay here too: agents that share this gateway's address must not see each other's.
const WITHHELD: &[&str] = &[
    "b3",
    "baggage",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    NAME,
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-b3-flags",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-spanwise-api-key",
];

impl Exchange<Errand> {
    /// Asks the agent, again as long as there was no connection to it.
    pub(super) async fn call(&mut self, body: &Sending) -> Result<Response<Body>, Refusal> {
        let agent = Arc::clone(&self.target.agent);
        let client = self
            .worker
            .client(&agent)
            .map_err(|error| Refusal::new(ErrorKind::Internal, "no_client", error.to_string()))?;
        self.state.retry_budget.deposit(Instant::now());
        let (mut pause, mut n_attempts, mut was_replayed) = (Duration::ZERO, 0, false);
        loop {
            n_attempts += 1;
            let failure = match self.attempt(&client, &agent, body, pause).await? {
                Ok(response) => return self.answer(response, &agent).await,
                Err(failure) => failure,
            };
            if let Some(attempt) = self.record().attempt() {
                attempt.ended = Some(Instant::now());
                attempt.fault = Some(Fault::new(failure.kind.as_str(), failure.message.clone()));
            }
            pause = match self.after(&failure, n_attempts, was_replayed, body) {
                Step::Again { pause } => pause,
                Step::Replay => {
                    (n_attempts, was_replayed) = (n_attempts - 1, true);
                    Duration::ZERO
                }
                _ => {
                    let refusal = self.give_up(&failure, body);
                    return Ok(self.tell(&refusal));
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether there is to be another attempt: if nothing was sent, or if a connection was closed
    /// just when it was used again and the request does twice what it does once.
    fn after(
        &self,
        failure: &Failure,
        n_attempts: u32,
        was_replayed: bool,
        body: &Sending,
    ) -> Step {
        let trouble = match failure.kind {
            FailureKind::ConnectTimeout => Trouble::ConnectTimeout,
            FailureKind::Dns | FailureKind::ConnectRefused | FailureKind::ConnectFailed => {
                Trouble::Connect
            }
            FailureKind::Stale if self.head.method.is_idempotent() && !was_replayed => {
                Trouble::StaleConnection
            }
            _ => return Step::GiveUp(GaveUp::Final),
        };
        let situation = Situation {
            failure: trouble,
            n_attempts,
            was_replayed,
            content_sent: matches!(body, Sending::Upload(upload) if upload.moved().is_some()),
            retry_after: None,
            has_other: false,
            deadline: Some(self.deadline),
        };
        self.state.retry.next(situation, &self.state.retry_budget, rand::random(), Instant::now())
    }

    /// Tells the client why the agent does not answer.
    fn give_up(&self, failure: &Failure, body: &Sending) -> Refusal {
        if let Sending::Upload(upload) = body {
            match upload.broken() {
                Some(Broken::TooLarge) => {
                    return too_large(self.state.plan.config.limits.max_body_bytes);
                }
                Some(broken) => return incomplete(&broken),
                None => {}
            }
        }
        let (kind, status) = if failure.kind.is_timeout() {
            (ErrorKind::Timeout, 504)
        } else {
            (ErrorKind::Upstream, 502)
        };
        let message = format!(
            "the agent `{}` could not be reached or did not answer: {}",
            self.target.agent.id, failure.message
        );
        Refusal::new(kind, failure.kind.as_str(), message).with_status(status)
    }

    /// Sends the request once. The outer error is about the request, the inner one about the agent.
    async fn attempt(
        &mut self,
        client: &Client,
        agent: &Arc<Upstream>,
        body: &Sending,
        pause: Duration,
    ) -> Result<Result<Response<Incoming>, Failure>, Refusal> {
        let request = self.request(agent, body, pause)?;
        if self.record().attempts.len() == 1 {
            self.record().overhead = self.received.elapsed();
        }
        let first = agent.timeouts.first_event;
        let mut sent = std::pin::pin!(client.send(request));
        let mut since = Instant::now();
        loop {
            let latest = (since + first).min(self.deadline);
            match tokio::time::timeout_at(latest.into(), &mut sent).await {
                Ok(Ok(response)) => {
                    if let Some(attempt) = self.record().attempt() {
                        attempt.head = Some(Instant::now());
                        attempt.status = Some(response.status().as_u16());
                    }
                    return Ok(Ok(response));
                }
                Ok(Err(failure)) => return Ok(Err(failure)),
                Err(_) => {}
            }
            // Who is still sending cannot be answered yet.
            let moved = match body {
                Sending::Upload(upload) => upload.moved(),
                Sending::Whole(_) => None,
            };
            let is_total = Instant::now() >= self.deadline;
            match moved.filter(|moved| *moved > since && !is_total) {
                Some(moved) => since = moved,
                None if is_total => {
                    return Ok(Err(Failure::late(FailureKind::TotalTimeout, agent.timeouts.total)));
                }
                None => return Ok(Err(Failure::late(FailureKind::FirstEventTimeout, first))),
            }
        }
    }

    /// Puts the request together, and notes that it is sent.
    fn request(
        &mut self,
        agent: &Arc<Upstream>,
        body: &Sending,
        pause: Duration,
    ) -> Result<Request<Payload>, Refusal> {
        let uri = Uri::builder()
            .scheme(agent.scheme.clone())
            .authority(agent.authority.clone())
            .path_and_query(joined_path(&agent.base_path, &self.target.path))
            .build()
            .map_err(|error| {
                let message = format!("no address can be made of this path: {error}");
                Refusal::new(ErrorKind::InvalidRequest, "invalid_path", message)
            })?;
        let mut headers = HeaderMap::with_capacity(16);
        let credential =
            self.key.is_some().then(|| exchange::credential_header(&self.head.headers));
        pass_headers(&self.head.headers, &mut headers, credential.flatten());
        for (name, value) in &agent.headers {
            headers.insert(name, value.clone());
        }
        let talk = self.target.talk.as_ref();
        if talk.is_some_and(|talk| talk.is_understood()) {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        let carries = talk.is_some_and(|talk| talk.carries_context());
        self.set_out(agent, "", self.head.method.clone(), pause, &mut headers);
        let payload = match body {
            Sending::Upload(upload) => Payload::Upload(upload.clone()),
            Sending::Whole(body) if carries && self.state.tracer.edits_context(agent.propagate) => {
                Full::new(mcp::with_context(body, &headers)).into()
            }
            Sending::Whole(body) => Full::new(body.clone()).into(),
        };
        let mut request = Request::new(payload);
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// Copies those headers of a client's request that are meant for the agent.
fn pass_headers(from: &HeaderMap, to: &mut HeaderMap, credential: Option<&str>) {
    let named = connection_options(from);
    for (name, value) in from {
        let stays = WITHHELD.contains(&name.as_str())
            || credential == Some(name.as_str())
            || named.iter().any(|option| option == name.as_str());
        if !stays {
            to.append(name, value.clone());
        }
    }
}

/// The agent's own path with what follows the prefix.
fn joined_path(base: &str, below: &str) -> String {
    match (base.is_empty(), below.starts_with('/')) {
        (true, false) => format!("/{below}"),
        _ => format!("{base}{below}"),
    }
}

#[cfg(test)]
mod tests;
