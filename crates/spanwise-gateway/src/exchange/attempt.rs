//! Asking upstreams, one after the other, until one answers or nobody is left.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use spanwise_model::Attributes;

use super::{Asked, Exchange, Target as Asking};
use crate::balance::{Ask, InFlight, Outcome, Tried, affinity};
use crate::cache;
use crate::dialect::Dialect;
use crate::fold::{Capture, Ending, Fold};
use crate::frames::Framing;
use crate::plan::{Credential, Route, Target, Upstream};
use crate::record::{Attempt, Fault};
use crate::relay::{FalseStart, Manner, Relay};
use crate::reply::{Body, Refusal, pass_request_headers, pass_response_headers};
use crate::retry::{self, Failure as Trouble, Situation, Step};
use crate::scan::{self, Edits};
use crate::translate::{self, ErrorKind, Reply, Stamp};
use crate::upstream::{Failure, FailureKind};
use crate::{aws, trace};

/// Bytes of an error answer that are read.
const MAX_ERROR: usize = 1 << 20;
/// Bytes of a whole answer that can be translated.
const MAX_TRANSLATED: usize = 64 << 20;
/// Bytes at the beginning of a prompt that decide about its provider's cache.
const PREFIX: usize = 4096;

/// A request as one upstream gets it.
pub(super) struct Prepared {
    pub dialect: Dialect,
    pub method: Method,
    pub path: String,
    pub body: Bytes,
    /// Whether we asked for the usage at the end of the stream, and not the client.
    pub injects_usage: bool,
    /// What comes back has to be translated.
    pub reply: Option<Reply>,
}

/// Why an attempt came to nothing.
pub(super) struct Failed {
    trouble: Trouble,
    fault: Fault,
    retry_after: Option<Duration>,
    /// What the upstream answered, for the case that nobody answers better.
    answer: Option<ErrorAnswer>,
}

/// An upstream's own words about what is wrong.
struct ErrorAnswer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    dialect: Dialect,
}

impl<T> Exchange<T> {
    /// Notes that a request to an upstream is sent, and tells the upstream about the trace.
    pub(crate) fn set_out(
        &mut self,
        upstream: &Arc<Upstream>,
        model: &str,
        method: Method,
        pause: Duration,
        headers: &mut HeaderMap,
    ) {
        let caller = self.head.headers.clone();
        let tracer = Arc::clone(&self.state.tracer);
        let record = self.record();
        let context = record.place.call.new_child();
        let manner = trace::Manner {
            propagate: upstream.propagate,
            baggage: upstream.passes_baggage,
            counts_hops: upstream.passes_baggage,
        };
        let restarted = tracer.inject(&record.place, &context, &caller, manner, headers);
        record.attempts.push(Attempt {
            context,
            upstream: Arc::clone(upstream),
            model: model.to_owned(),
            method,
            started: Instant::now(),
            head: None,
            ended: None,
            status: None,
            pause,
            restarted,
            fault: None,
        });
    }
}

impl Exchange<Asking> {
    /// Asks the route's targets until one answers.
    pub(super) async fn call(
        &mut self,
        route: &Route,
        asked: &Asked,
        recording: Option<cache::Recording>,
    ) -> Result<Response<Body>, Refusal> {
        let policy = self.state.retry;
        self.state.retry_budget.deposit(Instant::now());
        let mut recording = recording;
        let mut tried = Tried::default();
        let mut n_attempts = 0;
        let mut was_replayed = false;
        let mut again: Option<usize> = None;
        let mut pause = Duration::ZERO;
        loop {
            let (index, in_flight) = match again.take() {
                Some(index) => {
                    let picked = route.balancer.again(index, Instant::now());
                    (index, picked.map(|picked| picked.in_flight))
                }
                None => Self::pick(route, asked, &tried)?,
            };
            let target = &route.targets[index];
            self.holds.in_flight = in_flight;
            let failed = match self.attempt(target, asked, pause, &mut recording).await? {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            n_attempts += 1;
            let now = Instant::now();
            self.report(&failed, now);
            tried.target(index);
            if failed.trouble.remedy() == retry::Remedy::OtherCredential {
                tried.credential(target.state.credential());
            }
            let situation = Situation {
                failure: failed.trouble,
                n_attempts,
                was_replayed,
                content_sent: false,
                retry_after: failed.retry_after,
                has_other: route.balancer.has_other(&tried, now),
                deadline: Some(self.deadline),
            };
            pause = Duration::ZERO;
            match policy.next(situation, &self.state.retry_budget, rand::random(), now) {
                // Nothing was answered, so that this attempt does not count.
                Step::Replay => {
                    (n_attempts, was_replayed, again) = (n_attempts - 1, true, Some(index));
                }
                Step::Other => {}
                Step::Again { pause: wait } => {
                    tokio::time::sleep(wait).await;
                    (pause, again) = (wait, Some(index));
                }
                Step::GiveUp(_) => return Ok(self.give_up(failed, asked)),
            }
        }
    }

    fn pick(
        route: &Route,
        asked: &Asked,
        tried: &Tried,
    ) -> Result<(usize, Option<InFlight>), Refusal> {
        let prompt = asked.facts.messages.clone().and_then(|range| asked.body.get(range));
        let ask = Ask {
            affinity: prompt.map(|bytes| affinity(bytes, PREFIX)),
            random: rand::random(),
            tried,
        };
        let picked = route.balancer.pick(ask, Instant::now()).map_err(|none| {
            let message = format!("no provider of `{}` can be asked now", route.name);
            let refusal =
                Refusal::new(ErrorKind::Overloaded, "no_target", message).with_status(503);
            match none.retry_after {
                Some(wait) => refusal.retry_after(wait.as_secs() + 1),
                None => refusal,
            }
        })?;
        Ok((picked.index, Some(picked.in_flight)))
    }

    pub(super) fn report(&mut self, failed: &Failed, now: Instant) {
        let in_flight = self.holds.in_flight.take();
        let outcome = match failed.trouble {
            // Says nothing about the target: connections are closed when nobody uses them.
            Trouble::StaleConnection => None,
            Trouble::Status(status) if [401, 403].contains(&status.as_u16()) => {
                Some(Outcome::Denied)
            }
            Trouble::Status(status) if [429, 503, 529].contains(&status.as_u16()) => {
                Some(failed.retry_after.map_or(Outcome::Failed, Outcome::Busy))
            }
            Trouble::Status(status) if status.is_client_error() => Some(Outcome::Succeeded),
            _ => Some(Outcome::Failed),
        };
        if let (Some(mut in_flight), Some(outcome)) = (in_flight, outcome) {
            in_flight.report(outcome, now);
        }
        if let Some(attempt) = self.record().attempt() {
            attempt.ended = Some(now);
            attempt.fault = Some(failed.fault.clone());
        }
    }

    /// Tells the client what the last upstream said, or that there was none.
    pub(super) fn give_up(&mut self, failed: Failed, asked: &Asked) -> Response<Body> {
        let client = self.target.dialect;
        let Some(answer) = failed.answer else {
            let (kind, status) = match failed.trouble {
                Trouble::AnswerTimeout | Trouble::ConnectTimeout | Trouble::TotalTimeout => {
                    (ErrorKind::Timeout, 504)
                }
                _ => (ErrorKind::Upstream, 502),
            };
            let message = format!(
                "the provider of `{}` could not be reached or did not answer: {}",
                asked.model.as_deref().unwrap_or_default(),
                failed.fault.message
            );
            let fault = Refusal::new(kind, "upstream_failed", message).with_status(status);
            let response = fault.response(client);
            return self.close(response, failed.fault);
        };
        if let Some(refusal) = self.in_place_of(answer.status) {
            return self.close(refusal.response(client), failed.fault);
        }
        let mut response = Response::new(Body::Whole(None));
        *response.status_mut() = answer.status;
        pass_response_headers(&answer.headers, response.headers_mut());
        let body = if answer.dialect == client {
            answer.body
        } else {
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.remove(CONTENT_ENCODING);
            let (status, error) = translate::error(client, answer.status.as_u16(), &answer.body);
            *response.status_mut() = StatusCode::from_u16(status).unwrap_or(answer.status);
            error.body
        };
        *response.body_mut() = Body::whole(body);
        self.close(response, failed.fault)
    }

    /// What the client is told where an answer with this status must not reach it.
    fn in_place_of(&self, status: StatusCode) -> Option<Refusal> {
        let attempt = self.record.as_ref()?.attempts.last()?;
        let is_ours = !matches!(attempt.upstream.credential, Credential::Clients);
        let (fault, message) = match status.as_u16() {
            // The provider's text may show a part of the key, which is ours and not the client's.
            401 | 403 if is_ours => {
                ("upstream_denied", "the provider refused the gateway's credential")
            }
            // A client that followed it would show its credential to whoever is there.
            300..=399 => ("upstream_redirect", "the provider redirects, which is not followed"),
            _ => return None,
        };
        Some(Refusal::new(ErrorKind::Upstream, fault, message).with_status(502))
    }

    /// Asks one target. The outer error is about the request, the inner one about the target.
    async fn attempt(
        &mut self,
        target: &Target,
        asked: &Asked,
        pause: Duration,
        recording: &mut Option<cache::Recording>,
    ) -> Result<Result<Response<Body>, Failed>, Refusal> {
        let prepared = self.prepare(target, asked)?;
        self.send(target, asked, prepared, pause, recording).await
    }

    /// Sends what was prepared for a target, and begins to pass on its answer.
    pub(super) async fn send(
        &mut self,
        target: &Target,
        asked: &Asked,
        prepared: Prepared,
        pause: Duration,
        recording: &mut Option<cache::Recording>,
    ) -> Result<Result<Response<Body>, Failed>, Refusal> {
        let upstream = &target.upstream;
        let client = self
            .worker
            .client(upstream)
            .map_err(|error| Refusal::new(ErrorKind::Internal, "no_client", error.to_string()))?;
        let request = self.request(target, &prepared, pause)?;
        if self.record().attempts.len() == 1 {
            let spent = self.received.elapsed();
            self.record().overhead = spent;
        }
        let first = upstream.timeouts.first_event;
        let latest = (Instant::now() + first).min(self.deadline);
        let sent = tokio::time::timeout_at(latest.into(), client.send(request)).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(failure)) => return Ok(Err(Failed::of(failure))),
            Err(_) => {
                let is_total = Instant::now() >= self.deadline;
                let kind = if is_total {
                    FailureKind::TotalTimeout
                } else {
                    FailureKind::FirstEventTimeout
                };
                return Ok(Err(Failed::of(Failure::late(kind, first))));
            }
        };
        let came = Instant::now();
        if let Some(attempt) = self.record().attempt() {
            attempt.head = Some(came);
            attempt.status = Some(response.status().as_u16());
        }
        if !response.status().is_success() {
            return Ok(Err(self.read_error(response, &prepared).await));
        }
        let answered = self.answer(response, target, asked, prepared, recording, came).await;
        Ok(answered)
    }

    /// Writes the request as the target wants it.
    fn prepare(&mut self, target: &Target, asked: &Asked) -> Result<Prepared, Refusal> {
        let upstream = &target.upstream;
        let client = self.target.dialect;
        if upstream.dialects.contains(&client) {
            let injects_usage = client == Dialect::Chat
                && upstream.injects_usage
                && asked.is_stream
                && asked.facts.lacks_usage();
            let renames = asked.facts.model.as_ref().is_none_or(|m| m.value != target.model);
            let edits = Edits {
                model: renames.then_some(target.model.as_str()),
                include_usage: injects_usage,
            };
            let mut path = upstream.path(client, &target.model, asked.is_stream);
            if self.target.counts_tokens {
                path.push_str("/count_tokens");
            }
            let body = scan::rewrite(&asked.body, &asked.facts, &edits);
            return Ok(Prepared {
                dialect: client,
                method: Method::POST,
                path,
                body,
                injects_usage,
                reply: None,
            });
        }
        self.translated(target, asked)
    }

    fn translated(&mut self, target: &Target, asked: &Asked) -> Result<Prepared, Refusal> {
        let upstream = &target.upstream;
        let client = self.target.dialect;
        let mut reason = None;
        if self.target.counts_tokens {
            let message = format!("`{}` cannot count tokens", upstream.id);
            return Err(Refusal::new(ErrorKind::NotImplemented, "not_translatable", message));
        }
        for &dialect in upstream.dialects.iter().filter(|d| **d != Dialect::Embeddings) {
            let stream_by_path = self.target.is_stream;
            let translated =
                translate::request(client, dialect, &asked.body, &target.model, stream_by_path);
            let translated = match translated {
                Ok(translated) => translated,
                Err(error) => {
                    reason = Some((error.kind, error.to_string()));
                    continue;
                }
            };
            if let Some(call) = &mut self.record().call {
                call.translated = Some(format!("{client} to {dialect}"));
            }
            for dropped in &translated.dropped {
                let mut attributes = Attributes::default();
                attributes.push("field", dropped.what.to_string());
                attributes.push("reason", dropped.why);
                self.record().happened("spanwise.gateway.dropped", attributes);
            }
            return Ok(Prepared {
                dialect,
                method: Method::POST,
                path: upstream.path(dialect, &target.model, translated.stream),
                body: translated.body,
                injects_usage: false,
                reply: Some(translated.reply),
            });
        }
        let (kind, why) = reason.unwrap_or_else(|| {
            let why = format!("`{}` does not speak it, and there is no translation", upstream.id);
            (ErrorKind::NotImplemented, why)
        });
        let message = format!("this request in the dialect `{client}` cannot be sent on: {why}");
        Err(Refusal::new(kind, "not_translatable", message))
    }

    /// Puts the request together, and notes that it is sent.
    fn request(
        &mut self,
        target: &Target,
        prepared: &Prepared,
        pause: Duration,
    ) -> Result<Request<Full<Bytes>>, Refusal> {
        let upstream = &target.upstream;
        let internal = |error: &dyn std::fmt::Display| {
            let message = format!("no address can be made for `{}`: {error}", target.model);
            Refusal::new(ErrorKind::InvalidRequest, "invalid_model", message)
        };
        let uri = Uri::builder()
            .scheme(upstream.scheme.clone())
            .authority(upstream.authority.clone())
            .path_and_query(prepared.path.as_str())
            .build()
            .map_err(|error| internal(&error))?;
        let mut headers = HeaderMap::with_capacity(16);
        pass_request_headers(&self.head.headers, &mut headers);
        if !prepared.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        // Compressed answers could not be read on their way.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if prepared.dialect == Dialect::Messages && !headers.contains_key("anthropic-version") {
            headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        }
        for (name, value) in &upstream.headers {
            headers.insert(name, value.clone());
        }
        let method = prepared.method.clone();
        self.set_out(upstream, &target.model, method.clone(), pause, &mut headers);
        self.sign(upstream, &uri, &prepared.body, &mut headers);
        let mut request = Request::new(Full::new(prepared.body.clone()));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Says who asks.
    fn sign(&self, upstream: &Upstream, uri: &Uri, body: &Bytes, headers: &mut HeaderMap) {
        match &upstream.credential {
            Credential::Header(name, value) => {
                headers.insert(name, value.clone());
            }
            Credential::Aws(credential) => {
                aws::sign(
                    credential,
                    "bedrock",
                    &Method::POST,
                    uri,
                    headers,
                    body,
                    SystemTime::now(),
                );
            }
            Credential::Clients => {
                let own = super::provider_credential(&self.head.headers, self.key.is_some());
                for (name, value) in own {
                    headers.insert(name, value.clone());
                }
            }
        }
    }

    async fn read_error(&mut self, response: Response<Incoming>, prepared: &Prepared) -> Failed {
        let (head, body) = response.into_parts();
        let retry_after = retry::retry_after(&head.headers, SystemTime::now());
        let read = Limited::new(body, MAX_ERROR).collect();
        let body = match tokio::time::timeout_at(self.deadline.into(), read).await {
            Ok(Ok(body)) => body.to_bytes(),
            _ => Bytes::new(),
        };
        let mut fold = Fold::new(prepared.dialect, false, Capture::NOTHING);
        fold.body(head.status.as_u16(), &body);
        let error = fold.finish(Ending::Closed).error;
        let is_quota = [Some("insufficient_quota"), Some("billing_hard_limit_reached")];
        let trouble = if is_quota.contains(&error.as_ref().and_then(|error| error.code.as_deref()))
        {
            Trouble::QuotaExhausted
        } else {
            Trouble::Status(head.status)
        };
        Failed {
            trouble,
            fault: error.map_or_else(
                || Fault::new(head.status.as_str(), "the provider answered with an error"),
                |error| Fault::of(&error),
            ),
            retry_after,
            answer: Some(ErrorAnswer {
                status: head.status,
                headers: head.headers,
                body,
                dialect: prepared.dialect,
            }),
        }
    }

    /// Begins to pass on an answer with a good status.
    async fn answer(
        &mut self,
        response: Response<Incoming>,
        target: &Target,
        asked: &Asked,
        prepared: Prepared,
        recording: &mut Option<cache::Recording>,
        came: Instant,
    ) -> Result<Response<Body>, Failed> {
        let capture = self.capture();
        let (head, body) = response.into_parts();
        let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_readable = head.headers.get(CONTENT_ENCODING).is_none_or(|e| e == "identity");
        let framing = Framing::of(prepared.dialect, kind.unwrap_or_default());
        let framing =
            framing.filter(|f| is_readable && (*f != Framing::JsonArray || asked.is_stream));
        let Some(record) = self.record.take() else {
            return Err(Failed::of(Failure {
                kind: FailureKind::Protocol,
                message: String::new(),
            }));
        };
        let stamp_id = format!("spanwise-{}", record.place.call.span_id);
        let created = record.clock.unix_nano(came) / 1_000_000_000;
        let stamp = Stamp { id: &stamp_id, model: &target.model, created };
        let mut headers = HeaderMap::new();
        pass_response_headers(&head.headers, &mut headers);
        if let (Some(reply), None) = (&prepared.reply, framing) {
            self.record = Some(record);
            return self.translate_whole(body, reply, &stamp, headers, came).await;
        }
        let translation = prepared.reply.as_ref().map(|reply| reply.stream(&stamp));
        if translation.is_some() {
            let kind = translate::content_type(self.target.dialect, true);
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        } else if framing.is_none()
            && let Some(length) = head.headers.get(http::header::CONTENT_LENGTH)
        {
            headers.insert(http::header::CONTENT_LENGTH, length.clone());
        }
        let keeps =
            recording.take().filter(|_| prepared.reply.is_none() && !prepared.injects_usage);
        let is_made = prepared.dialect == Dialect::Responses
            && prepared.reply.is_none()
            && record.call.as_ref().is_some_and(|call| !call.is_about_another);
        let note = is_made.then(|| {
            let key = self.key.as_ref().map_or("", |key| &key.id);
            self.state.created.note(&target.upstream.id, key, came)
        });
        let limits = &self.state.plan.config.limits;
        let timeouts = &target.upstream.timeouts;
        let is_sse = headers.get(CONTENT_TYPE).is_some_and(|kind| {
            framing.is_some() && kind.as_bytes().starts_with(b"text/event-stream")
        });
        let manner = Manner {
            client: self.target.dialect,
            framing,
            keep_alive: timeouts.keep_alive.filter(|_| is_sse),
            max_event_bytes: limits.max_event_bytes,
            fold: Fold::new(prepared.dialect, framing.is_some(), capture),
            strips_usage: prepared.injects_usage && framing.is_some(),
            translation,
            idle: timeouts.idle,
            deadline: self.deadline,
            recording: keeps.map(|recording| (recording, headers.clone())),
            note,
        };
        let mut relay = Relay::new(body, manner, record, std::mem::take(&mut self.holds));
        if let Err(start) = relay.begin(timeouts.first_event).await {
            let (record, holds) = relay.give_back();
            (self.record, self.holds) = (Some(record), holds);
            return Err(Failed::of_start(start));
        }
        let mut response = Response::new(Body::Whole(None));
        *response.status_mut() = head.status;
        let ours = came.elapsed();
        relay.with_record(|record| {
            record.status = head.status.as_u16();
            record.overhead += ours;
            self.state.tracer.respond(&record.place, &mut headers);
            record.tell_overhead(&mut headers);
        });
        *response.headers_mut() = headers;
        *response.body_mut() = Body::Relay(relay.pass());
        Ok(response)
    }

    async fn translate_whole(
        &mut self,
        body: Incoming,
        reply: &Reply,
        stamp: &Stamp<'_>,
        mut headers: HeaderMap,
        came: Instant,
    ) -> Result<Response<Body>, Failed> {
        let read = Limited::new(body, MAX_TRANSLATED).collect();
        let body = match tokio::time::timeout_at(self.deadline.into(), read).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) => {
                let failure = Failure { kind: FailureKind::Reset, message: error.to_string() };
                return Err(Failed::of(failure));
            }
            Err(_) => {
                let late = Failure::late(FailureKind::TotalTimeout, came.elapsed());
                return Err(Failed::of(late));
            }
        };
        let translated = reply.answer(&body, stamp).map_err(|error| {
            Failed::of(Failure { kind: FailureKind::Protocol, message: error.to_string() })
        })?;
        let answer = super::read(reply.upstream, "application/json", &body, self.capture());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut response = Response::new(Body::whole(translated));
        if let Some(mut record) = self.record.take() {
            record.firsts.byte = Some(Instant::now());
            record.answer = Some(answer);
            record.overhead += came.elapsed();
            record.status = 200;
            self.state.tracer.respond(&record.place, &mut headers);
            let now = Instant::now();
            if let Some(mut in_flight) = self.holds.in_flight.take() {
                in_flight.report(Outcome::Succeeded, now);
            }
            record.settle(self.holds.reservation.take());
            record.finish();
        }
        *response.headers_mut() = headers;
        Ok(response)
    }
}

impl Failed {
    fn of(failure: Failure) -> Self {
        let trouble = match failure.kind {
            FailureKind::Dns | FailureKind::ConnectRefused | FailureKind::ConnectFailed => {
                Trouble::Connect
            }
            FailureKind::Tls => Trouble::Tls,
            FailureKind::ConnectTimeout => Trouble::ConnectTimeout,
            FailureKind::FirstEventTimeout | FailureKind::IdleTimeout => Trouble::AnswerTimeout,
            FailureKind::TotalTimeout => Trouble::TotalTimeout,
            FailureKind::Reset | FailureKind::Closed => Trouble::Reset,
            FailureKind::Stale => Trouble::StaleConnection,
            FailureKind::Protocol => Trouble::BrokenAnswer,
        };
        let fault = Fault::new(failure.kind.as_str(), failure.message);
        Failed { trouble, fault, retry_after: None, answer: None }
    }

    /// An answer that had begun well. Its error was no content, so nothing is lost if another
    /// upstream is asked.
    fn of_start(start: FalseStart) -> Self {
        match start {
            FalseStart::Failed(failure) => Failed::of(failure),
            FalseStart::Error(error) => Failed {
                // What is wrong with the request is wrong with it everywhere.
                trouble: if error.is_retryable {
                    Trouble::BrokenAnswer
                } else {
                    Trouble::Status(StatusCode::BAD_REQUEST)
                },
                fault: Fault::of(&error),
                retry_after: None,
                answer: None,
            },
        }
    }
}
