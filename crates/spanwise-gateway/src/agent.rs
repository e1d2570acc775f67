//! A request to an agent: any method and path, forwarded as it comes. Where it is of A2A or MCP,
//! what it says is told in its spans.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use crate::dialect::Dialect;
use crate::exchange::Exchange;
use crate::gateway::{State, Worker};
use crate::limits::Amount;
use crate::plan::{AgentRoute, Upstream};
use crate::record::Fault;
use crate::relay::Source;
use crate::reply::{Body, Refusal, json, pass_response_headers};
use crate::translate::ErrorKind;
use crate::upstream::Upload;

mod a2a;
mod attempt;
mod card;
mod mcp;
mod passage;
mod rpc;
mod talk;

use card::Outside;
use passage::Reads;
use talk::Talk;

pub use passage::Passage;

/// The header by which a client names an agent.
const NAME: &str = "spanwise-agent";
/// Bytes of a request in JSON that are read before it goes on. Of larger ones nothing is
/// understood.
const MAX_UNDERSTOOD: usize = 8 << 20;
/// Bytes of an agent's card.
const MAX_CARD: usize = 4 << 20;

/// What a request asks of whom.
pub struct Errand {
    agent: Arc<Upstream>,
    /// Path and query there, below the agent's own address.
    path: String,
    /// The path of the agent here.
    prefix: String,
    talk: Option<Box<Talk>>,
}

/// A request's body, ready to be sent.
enum Sending {
    Whole(Bytes),
    Upload(Upload),
}

/// Serves a request that came to a listener with these routes.
pub async fn serve(
    worker: Arc<Worker>,
    state: Arc<State>,
    routes: &[AgentRoute],
    head: Parts,
    body: Incoming,
) -> Response<Body> {
    let (errand, route) = match Errand::of(&state, routes, &head) {
        Ok(found) => found,
        Err(_) if head.uri.path() == "/healthz" => {
            return json(StatusCode::OK, r#"{"status":"ok"}"#);
        }
        Err(refusal) => {
            state.metrics.refused(refusal.fault);
            return refusal.response(Dialect::Chat);
        }
    };
    let mut exchange = Exchange::enter(worker, state, errand, route.into(), head);
    match exchange.run(body).await {
        Ok(response) => response,
        Err(refusal) => exchange.refuse(&refusal),
    }
}

impl Errand {
    /// Finds the agent that a request is for, and the route that spans name.
    fn of(state: &State, routes: &[AgentRoute], head: &Parts) -> Result<(Self, String), Refusal> {
        let whole = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let refuse = |kind, fault, message: String| Err(Refusal::new(kind, fault, message));
        if head.method == Method::CONNECT {
            let message = "this is no tunnel: CONNECT is not served".to_owned();
            return refuse(ErrorKind::NotImplemented, "method_not_served", message);
        }
        if climbs(head.uri.path()) {
            let message = "the path leads out of where it begins".to_owned();
            return refuse(ErrorKind::InvalidRequest, "invalid_path", message);
        }
        if let Some(name) = head.headers.get(NAME) {
            let known = name.to_str().ok().and_then(|name| state.plan.agent(name));
            let Some(agent) = known else {
                let name = String::from_utf8_lossy(name.as_bytes());
                let message = format!("there is no agent `{name:.100}` here");
                return refuse(ErrorKind::NotFound, "agent_not_found", message);
            };
            let own = routes.iter().find(|route| Arc::ptr_eq(&route.agent, agent));
            let prefix = own.map_or(String::new(), |route| route.prefix.clone());
            let (agent, path) = (Arc::clone(agent), whole.to_owned());
            return Ok((Errand { agent, path, prefix, talk: None }, String::new()));
        }
        let found = routes.iter().find_map(|route| Some((route, route.below(whole)?)));
        let Some((route, path)) = found else {
            let message = format!("no agent is at {}", head.uri.path());
            return refuse(ErrorKind::NotFound, "agent_not_found", message);
        };
        let (agent, path) = (Arc::clone(&route.agent), path.to_owned());
        let errand = Errand { agent, path, prefix: route.prefix.clone(), talk: None };
        let shown = if route.prefix.is_empty() { "/" } else { &route.prefix };
        Ok((errand, shown.to_owned()))
    }
}

impl Exchange<Errand> {
    async fn run(&mut self, body: Incoming) -> Result<Response<Body>, Refusal> {
        self.authenticate()?;
        self.refuse_loops()?;
        self.allow()?;
        self.admit().await?;
        let body = self.receive(body).await?;
        self.understand(&body)?;
        let agent = format!("agent/{}", self.target.agent.id);
        self.reserve(&agent, Amount { requests: 1, tokens: 0, nano_usd: 0 })?;
        self.call(&body).await
    }

    fn allow(&self) -> Result<(), Refusal> {
        let agent = &self.target.agent.id;
        if self.key.as_ref().is_none_or(|key| key.allows_agent(agent)) {
            return Ok(());
        }
        let message = format!("this key may not call the agent `{agent}`");
        Err(Refusal::new(ErrorKind::Permission, "agent_not_allowed", message))
    }

    fn refuse(&mut self, refusal: &Refusal) -> Response<Body> {
        self.state.metrics.refused(refusal.fault);
        self.tell(refusal)
    }

    /// Answers with an error, in the client's protocol where it is known.
    fn tell(&mut self, refusal: &Refusal) -> Response<Body> {
        let mut response = refusal.response(Dialect::Chat);
        let talk = self.target.talk.take();
        if let Some(id) = talk.as_ref().and_then(|talk| talk.rpc_id()) {
            let code = if response.status().is_client_error() { -32600 } else { -32603 };
            let message = serde_json::Value::from(refusal.message.as_str());
            *response.body_mut() = Body::whole(format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message}}}}}"#
            ));
        }
        if let Some(talk) = talk {
            self.record().agent = Some(talk.finish().0);
        }
        self.close(response, Fault::new(refusal.fault, refusal.message.clone()))
    }

    /// Reads a body that can be understood; any other goes on as it arrives.
    async fn receive(&mut self, mut body: Incoming) -> Result<Sending, Refusal> {
        let config = &self.state.plan.config;
        let most = config.limits.max_body_bytes;
        if body.size_hint().lower() > most {
            return Err(too_large(most));
        }
        let mut ahead = VecDeque::new();
        let mut n_bytes = 0;
        if is_json(&self.head.headers) && self.head.method == Method::POST {
            let latest = Instant::now() + config.timeouts.body;
            while n_bytes <= MAX_UNDERSTOOD {
                let next = tokio::time::timeout_at(latest.into(), body.frame()).await;
                let next = next.map_err(|_| {
                    let message = "the request took too long to arrive";
                    Refusal::new(ErrorKind::Timeout, "request_timeout", message).with_status(408)
                })?;
                let Some(frame) = next else {
                    self.received = Instant::now();
                    return Ok(Sending::Whole(joined(ahead)));
                };
                let frame = frame.map_err(|error| incomplete(&error))?;
                if let Ok(data) = frame.into_data() {
                    n_bytes += data.len();
                    ahead.push_back(data);
                }
            }
        }
        self.received = Instant::now();
        let left = most.saturating_sub(n_bytes as u64);
        Ok(Sending::Upload(Upload::new(ahead, body, left)))
    }

    /// Finds out what is said, and joins the trace of a client that has its context in the body.
    fn understand(&mut self, body: &Sending) -> Result<(), Refusal> {
        let text = match body {
            Sending::Whole(body) => simdutf8::basic::from_utf8(body).ok(),
            Sending::Upload(_) => None,
        };
        let path = self.target.path.split('?').next().unwrap_or_default();
        let id = &self.target.agent.id;
        let talk = Talk::of(id, &self.head, path, text, self.capture());
        let has_context = self.head.headers.contains_key("traceparent");
        let inside = text.filter(|_| !has_context).and_then(|text| talk.context_in(text));
        self.record().agent = Some(talk.call());
        self.target.talk = Some(Box::new(talk));
        if let Some(inside) = inside {
            let place = self.state.tracer.enter_as(inside);
            self.record().place = place;
            self.refuse_loops()?;
        }
        Ok(())
    }

    /// Passes the answer on. An error of the agent's is its own words.
    async fn answer(
        &mut self,
        response: Response<Incoming>,
        agent: &Upstream,
    ) -> Result<Response<Body>, Refusal> {
        let came = Instant::now();
        let (head, body) = response.into_parts();
        if head.status.is_informational() {
            let message = "the agent wants another protocol, which nobody asked for";
            let refusal = Refusal::new(ErrorKind::Upstream, "protocol_error", message);
            return Err(refusal.with_status(502));
        }
        let talk = self.target.talk.as_ref();
        let reads = self.reads(&head.headers).filter(|_| talk.is_some_and(|t| t.is_understood()));
        let is_card = talk.is_some_and(|talk| talk.asks_for_card()) && head.status.is_success();
        let card = match reads {
            Some(Reads::Whole) if is_card => Ok(self.read_card(body).await?),
            _ => Err(body),
        };
        let mut headers = self.answer_headers(&head, agent);
        let (Some(mut talk), Some(mut record)) = (self.target.talk.take(), self.record.take())
        else {
            return Err(Refusal::new(ErrorKind::Internal, "no_record", "there is no record"));
        };
        if head.status.is_client_error() || head.status.is_server_error() {
            record.blame(&Fault::new(head.status.as_str(), "the agent answered with an error"));
        }
        talk.hear_head(&head.headers);
        record.status = head.status.as_u16();
        record.overhead += came.elapsed();
        self.state.tracer.respond(&record.place, &mut headers);
        record.tell_overhead(&mut headers);
        let holds = std::mem::take(&mut self.holds);
        let body = match card {
            Ok(card) => {
                talk.hear(&card);
                passage::conclude(record, *talk, holds);
                Body::whole(self.outside().rewrite(card, agent))
            }
            Err(body) => {
                if let Some(length) = head.headers.get(CONTENT_LENGTH) {
                    headers.insert(CONTENT_LENGTH, length.clone());
                }
                let source = Source::new(body, agent.timeouts.idle, self.deadline);
                Body::Passage(Box::new(Passage::new(source, talk, reads, record, holds)))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    fn answer_headers(&self, head: &http::response::Parts, agent: &Upstream) -> HeaderMap {
        let mut headers = HeaderMap::new();
        pass_response_headers(&head.headers, &mut headers);
        // Where an agent sends the client elsewhere within itself, the client has to come back here.
        let written = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let here = written.and_then(|written| self.outside().of(written, agent));
        if let Some(here) = here.and_then(|here| HeaderValue::try_from(here).ok()) {
            headers.insert(LOCATION, here);
        }
        headers
    }

    /// Reads an answer that has a card in it, which is text.
    async fn read_card(&self, body: Incoming) -> Result<String, Refusal> {
        let read = Limited::new(body, MAX_CARD).collect();
        let read = tokio::time::timeout_at(self.deadline.into(), read).await;
        let card = match read {
            Ok(Ok(card)) => String::from_utf8(card.to_bytes().into()).map_err(|e| e.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it took too long".to_owned()),
        };
        card.map_err(|reason| {
            let message = format!("the agent's card cannot be read: {reason}");
            Refusal::new(ErrorKind::Upstream, "invalid_card", message).with_status(502)
        })
    }

    /// How an answer with these headers can be read.
    fn reads(&self, headers: &HeaderMap) -> Option<Reads> {
        let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        if is_media_type(kind, "text/event-stream") {
            let max_bytes = self.state.plan.config.limits.max_event_bytes;
            return Some(Reads::Events { max_bytes });
        }
        is_json(headers).then_some(Reads::Whole)
    }

    /// Where the client sees the agent.
    fn outside(&self) -> Outside {
        let headers = &self.head.headers;
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let of_uri = self.head.uri.authority().map(http::uri::Authority::as_str);
        let host = of_uri.or_else(|| text(HOST)).unwrap_or_default();
        let forwarded = text(HeaderName::from_static("x-forwarded-proto"));
        let scheme = forwarded.filter(|scheme| *scheme == "https").unwrap_or("http");
        Outside { base: format!("{scheme}://{host}{}", self.target.prefix) }
    }
}

fn too_large(most: u64) -> Refusal {
    let message = format!("the request is larger than {most} bytes");
    Refusal::new(ErrorKind::TooLarge, "request_too_large", message)
}

fn incomplete(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(ErrorKind::InvalidRequest, "request_incomplete", error.to_string())
}

fn joined(pieces: VecDeque<Bytes>) -> Bytes {
    let mut pieces = Vec::from(pieces);
    if pieces.len() == 1 { pieces.remove(0) } else { pieces.concat().into() }
}

/// Whether a body is JSON and can be read.
fn is_json(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let kind = text(CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let is_json = is_media_type(kind, "application/json") || kind.ends_with("+json");
    is_json && text(CONTENT_ENCODING).is_none_or(|encoding| encoding == "identity")
}

fn is_media_type(written: &str, name: &str) -> bool {
    let written = written.split(';').next().unwrap_or_default().trim();
    written.eq_ignore_ascii_case(name)
}

/// Whether a path has a step upwards, however it is written: servers would follow it out of the
/// part of them that is configured.
fn climbs(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let plain = lower.replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    let mut steps = plain.split(['/', '\\']);
    steps.any(|step| matches!(step.split(';').next(), Some("." | "..")))
}

#[cfg(test)]
mod tests;
