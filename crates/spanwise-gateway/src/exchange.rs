//! A request to a model, in the order of its phases: enter, admit, understand, choose and send,
//! answer. Whatever ends it, [`Record`] writes its spans. What requests to agents have in common
//! with it is there for all [`Exchange`]s.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use spanwise_model::sampling::Randomness;
use spanwise_model::{Attributes, Str, Value};

use crate::cache;
use crate::dialect::Dialect;
use crate::fold::{self, Capture, Fold};
use crate::frames::{Frames, Framing};
use crate::gateway::{State, Worker};
use crate::keys::{self, Key, KeyError};
use crate::limits::{Amount, Who};
use crate::plan::Route;
use crate::record::{Call, Fault, Record};
use crate::relay::Holds;
use crate::reply::{Body, Refusal, json};
use crate::scan::{self, RequestFacts};
use crate::translate::ErrorKind;

mod attempt;
pub mod kept;

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What the client speaks.
    pub dialect: Dialect,
    /// The route, as spans name it.
    pub route: &'static str,
    /// The model, in dialects that have it in the path.
    pub model: Option<String>,
    /// Whether the path asks for a stream.
    pub is_stream: bool,
    /// Whether tokens are only to be counted.
    pub counts_tokens: bool,
}

impl Target {
    /// Finds out what a `POST` asks for.
    pub fn of_path(path: &str) -> Option<Self> {
        let plain = |dialect, route| Target {
            dialect,
            route,
            model: None,
            is_stream: false,
            counts_tokens: false,
        };
        Some(match path {
            "/v1/chat/completions" => plain(Dialect::Chat, "/v1/chat/completions"),
            "/v1/responses" => plain(Dialect::Responses, "/v1/responses"),
            "/v1/embeddings" => plain(Dialect::Embeddings, "/v1/embeddings"),
            "/v1/messages" => plain(Dialect::Messages, "/v1/messages"),
            "/v1/messages/count_tokens" => Target {
                counts_tokens: true,
                ..plain(Dialect::Messages, "/v1/messages/count_tokens")
            },
            "/api/chat" => plain(Dialect::Ollama, "/api/chat"),
            _ => return Self::with_model(path),
        })
    }

    fn with_model(path: &str) -> Option<Self> {
        let (dialect, route, model, is_stream) = if let Some(rest) =
            path.strip_prefix("/v1beta/models/")
        {
            let (model, method) = rest.rsplit_once(':')?;
            match method {
                "generateContent" => {
                    (Dialect::Gemini, "/v1beta/models/{model}:generateContent", model, false)
                }
                "streamGenerateContent" => {
                    (Dialect::Gemini, "/v1beta/models/{model}:streamGenerateContent", model, true)
                }
                _ => return None,
            }
        } else {
            let (model, method) = path.strip_prefix("/model/")?.rsplit_once('/')?;
            match method {
                "converse" => (Dialect::Converse, "/model/{model}/converse", model, false),
                "converse-stream" => {
                    (Dialect::Converse, "/model/{model}/converse-stream", model, true)
                }
                _ => return None,
            }
        };
        // A name that no body could have either.
        let model = unescaped(model).filter(|model| !model.chars().any(char::is_control));
        let model = Some(model?);
        Some(Target { dialect, route, model, is_stream, counts_tokens: false })
    }

    fn operation(&self) -> &'static str {
        match self.dialect {
            Dialect::Embeddings => "embeddings",
            Dialect::Gemini => "generate_content",
            _ if self.counts_tokens => "count_tokens",
            _ => "chat",
        }
    }
}

/// Takes the `%3A`s out of a name in a path.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A request while it is served, and what it is for: a model's [`Target`], or an agent.
pub struct Exchange<T> {
    pub(crate) worker: Arc<Worker>,
    pub(crate) state: Arc<State>,
    pub(crate) target: T,
    pub(crate) head: Parts,
    /// Taken when the answer takes it over.
    pub(crate) record: Option<Box<Record>>,
    pub(crate) holds: Holds,
    pub(crate) key: Option<Arc<Key>>,
    pub(crate) deadline: Instant,
    /// When the last of the request was here; what follows until it is sent is our own time.
    pub(crate) received: Instant,
}

/// What a request says, and the request itself.
pub struct Asked {
    /// The body as it came.
    pub body: Bytes,
    /// What it says.
    pub facts: RequestFacts<'static>,
    /// The model that it names.
    pub model: Option<String>,
    /// Whether the answer is to be streamed.
    pub is_stream: bool,
}

/// Serves a request to a model.
pub async fn serve(
    worker: Arc<Worker>,
    state: Arc<State>,
    target: Target,
    head: Parts,
    body: Incoming,
) -> Response<Body> {
    let route = target.route.into();
    let mut exchange = Exchange::enter(worker, state, target, route, head);
    match exchange.run(body).await {
        Ok(response) => response,
        Err(refusal) => exchange.refuse(&refusal),
    }
}

impl<T> Exchange<T> {
    /// Begins: whatever happens from here on, the request has spans.
    pub(crate) fn enter(
        worker: Arc<Worker>,
        state: Arc<State>,
        target: T,
        route: Cow<'static, str>,
        head: Parts,
    ) -> Self {
        let place = state.tracer.enter(&head.headers);
        let record = Record::start(
            Arc::clone(&state.tracer),
            Arc::clone(&state.prices),
            place,
            head.method.clone(),
            route,
            head.uri.path(),
        );
        let started = record.clock.started();
        let deadline = started + state.plan.config.timeouts.total;
        let (record, holds) = (Some(record), Holds::default());
        Exchange {
            worker,
            state,
            target,
            head,
            record,
            holds,
            key: None,
            deadline,
            received: started,
        }
    }

    pub(crate) fn record(&mut self) -> &mut Record {
        // Only an answer takes the record, and then nobody asks for it any more.
        #[expect(clippy::expect_used, reason = "see above")]
        self.record.as_deref_mut().expect("an exchange without an answer has its record")
    }

    /// Ends the exchange with this answer, which is about what went wrong.
    pub(crate) fn close(&mut self, mut response: Response<Body>, fault: Fault) -> Response<Body> {
        if let Some(mut record) = self.record.take() {
            self.state.tracer.respond(&record.place, response.headers_mut());
            record.status = response.status().as_u16();
            record.fault = Some(fault);
            record.finish();
        }
        response
    }

    /// Finds out whose request it is.
    pub(crate) fn authenticate(&mut self) -> Result<(), Refusal> {
        let state = Arc::clone(&self.state);
        let Some(keys) = &state.keys else { return Ok(()) };
        let now = self.record().clock.unix_nano(Instant::now());
        let is_required = state.plan.config.keys.as_ref().is_none_or(|keys| keys.required);
        let Some(presented) = presented_key(&self.head.headers) else {
            return if is_required {
                Err(unknown_key("a key is missing: send it as `Authorization: Bearer KEY`"))
            } else {
                Ok(())
            };
        };
        let key = match keys.authenticate(presented, now) {
            Ok(key) => key,
            // Clients show what their library or their provider wants them to. What was meant for
            // us is refused all the same.
            Err(KeyError::Unknown) if !is_required && !keys::is_generated(presented) => {
                return Ok(());
            }
            Err(error) => {
                tracing::info!(%error, "a key was refused");
                return Err(unknown_key("this key is not known, or no longer good"));
            }
        };
        self.record().key = Some(key.id.to_string());
        self.key = Some(key);
        Ok(())
    }

    /// Breaks circles of gateways.
    pub(crate) fn refuse_loops(&mut self) -> Result<(), Refusal> {
        let most = self.state.plan.config.limits.max_hops;
        let hops = self.record().place.hops;
        if hops < most {
            return Ok(());
        }
        let message =
            format!("this request has passed through {hops} gateways: it goes in a circle");
        Err(Refusal::new(ErrorKind::InvalidRequest, "loop", message).with_status(508))
    }

    /// Waits for a place, if there is none.
    pub(crate) async fn admit(&mut self) -> Result<(), Refusal> {
        let admission = &self.state.admission;
        let admitted = admission.enter(Some(self.deadline)).await.map_err(|error| {
            Refusal::new(ErrorKind::Overloaded, "not_admitted", error.to_string())
                .with_status(503)
                .retry_after(admission.retry_after_seconds())
        })?;
        self.holds.admitted = Some(admitted);
        Ok(())
    }

    /// Sets aside what the request is expected to use.
    pub(crate) fn reserve(&mut self, model: &str, estimate: Amount) -> Result<(), Refusal> {
        let who = Who { key: self.key.as_ref().map_or("", |key| &key.id), model };
        let now = self.record.as_ref().map_or(0, |record| record.clock.unix_nano(Instant::now()));
        let reserved = self.state.limits.reserve(who, estimate, now).map_err(|refusal| {
            let kind = match refusal.shortage.retry_after {
                Some(_) => ErrorKind::RateLimit,
                None => ErrorKind::Budget,
            };
            let headers = refusal.headers();
            let answer = Refusal::new(kind, "rate_limited", refusal.to_string()).with_status(429);
            headers.fold(answer, |answer, (name, value)| answer.with_header(name, &value))
        })?;
        self.holds.reservation = Some(reserved);
        Ok(())
    }

    /// Whether prompts and answers of this request are recorded.
    fn captures(&self) -> bool {
        let policy = &self.state.plan.config.tracing.content;
        let of_key = self.key.as_ref().and_then(|key| key.content.capture);
        let record = self.record.as_ref();
        let is_chosen = || {
            let id = record.map(|record| record.place.server.trace_id);
            id.is_some_and(|id| self.state.content_rate.keeps(Randomness::of_trace(id)))
        };
        of_key.unwrap_or(policy.capture) && self.state.tracer.recorder.is_some() && is_chosen()
    }

    /// How much of what is said is recorded.
    pub(crate) fn capture(&self) -> Capture {
        let policy = &self.state.plan.config.tracing.content;
        let of_key = self.key.as_ref().and_then(|key| key.content.max_bytes);
        let max_bytes = of_key.unwrap_or(policy.max_bytes);
        if self.captures() { Capture { max_bytes } } else { Capture::NOTHING }
    }
}

impl Exchange<Target> {
    async fn run(&mut self, body: Incoming) -> Result<Response<Body>, Refusal> {
        self.authenticate()?;
        self.refuse_loops()?;
        self.admit().await?;
        let body = self.receive(body).await?;
        let asked = self.understand(body)?;
        let route = self.route(&asked)?;
        let route = self.stay(route, &asked)?;
        self.reserve_tokens(&asked)?;
        let (key, directives) = self.question(&route, &asked);
        if let Some(key) = key {
            match self.look(key, directives).await {
                Found::Answer(response) => return Ok(response),
                Found::Nothing(recording) => return self.call(&route, &asked, recording).await,
            }
        }
        self.call(&route, &asked, None).await
    }

    /// Answers with an error, in the client's dialect.
    fn refuse(&mut self, refusal: &Refusal) -> Response<Body> {
        self.state.metrics.refused(refusal.fault);
        let response = refusal.response(self.target.dialect);
        self.close(response, Fault::new(refusal.fault, refusal.message.clone()))
    }

    async fn receive(&mut self, body: Incoming) -> Result<Bytes, Refusal> {
        let config = &self.state.plan.config;
        let most = usize::try_from(config.limits.max_body_bytes).unwrap_or(usize::MAX);
        let too_large = || {
            let message = format!("the request is larger than {most} bytes");
            Refusal::new(ErrorKind::TooLarge, "request_too_large", message)
        };
        if let Some(encoding) = self.head.headers.get(http::header::CONTENT_ENCODING)
            && encoding != "identity"
        {
            let message = "requests are taken without content-encoding only";
            let refusal = Refusal::new(ErrorKind::InvalidRequest, "content_encoding", message);
            return Err(refusal.with_status(415));
        }
        if http_body::Body::size_hint(&body).lower() > most as u64 {
            return Err(too_large());
        }
        let collected = Limited::new(body, most).collect();
        let in_time = tokio::time::timeout(config.timeouts.body, collected).await;
        let body = in_time.map_err(|_| {
            let message =
                format!("the request took longer than {:?} to arrive", config.timeouts.body);
            Refusal::new(ErrorKind::Timeout, "request_timeout", message).with_status(408)
        })?;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                return too_large();
            }
            Refusal::new(ErrorKind::InvalidRequest, "request_incomplete", error.to_string())
        })?;
        self.received = Instant::now();
        Ok(body.to_bytes())
    }

    fn understand(&mut self, body: Bytes) -> Result<Asked, Refusal> {
        let facts = scan::scan(self.target.dialect, &body).map_err(|error| {
            Refusal::new(ErrorKind::InvalidRequest, "invalid_request", error.to_string())
        })?;
        let named = facts.model.as_ref().map(|field| field.value.clone().into_owned());
        let model = self.target.model.clone().or(named);
        let is_stream = facts.stream || self.target.is_stream;
        let content = fold::request_content(self.target.dialect, &facts, &body, self.capture());
        let facts = facts.into_owned();
        let call = Call {
            operation: self.target.operation(),
            asked: model.clone().unwrap_or_default(),
            is_stream,
            parameters: facts.parameters.clone(),
            content,
            ..Call::default()
        };
        self.record().call = Some(call);
        Ok(Asked { body, facts, model, is_stream })
    }

    fn route(&mut self, asked: &Asked) -> Result<Arc<Route>, Refusal> {
        let route =
            self.state.plan.route(asked.model.as_deref()).ok_or_else(|| match &asked.model {
                Some(model) => {
                    let message = format!("the model `{model}` is not configured here");
                    Refusal::new(ErrorKind::NotFound, "model_not_found", message)
                }
                None => Refusal::new(
                    ErrorKind::InvalidRequest,
                    "model_missing",
                    "model: missing, and no model is the default",
                ),
            })?;
        if let Some(key) = &self.key
            && !key.allows_model(&route.name)
        {
            let message = format!("this key may not use the model `{}`", route.name);
            return Err(Refusal::new(ErrorKind::Permission, "model_not_allowed", message));
        }
        let mut attributes = Attributes::default();
        attributes.push("spanwise.gateway.route", Value::String(Str::from(route.name.as_str())));
        self.record().happened("route", attributes);
        Ok(route)
    }

    fn reserve_tokens(&mut self, asked: &Asked) -> Result<(), Refusal> {
        // Four bytes make a token, roughly; what comes back is known only to its limit.
        let input = asked.body.len() as u64 / 4;
        let output = asked.facts.parameters.max_tokens.unwrap_or_default();
        let tokens = input.saturating_add(output);
        self.reserve(
            asked.model.as_deref().unwrap_or_default(),
            Amount { requests: 1, tokens, nano_usd: 0 },
        )
    }

    /// Under which key an answer is kept, if it is to be.
    fn question(
        &self,
        route: &Route,
        asked: &Asked,
    ) -> (Option<cache::CacheKey>, cache::Directives) {
        let directives = cache::Directives::of(&self.head.headers);
        if !route.is_cached || self.state.cache.is_none() || self.target.counts_tokens {
            return (None, directives);
        }
        let question = cache::Question {
            scope: self.key.as_ref().map_or("", |key| &key.id),
            dialect: self.target.dialect,
            path: self.head.uri.path_and_query().map_or("", |path| path.as_str()),
            model: &route.name,
            headers: &[],
        };
        (
            Some(cache::CacheKey::new(&question, &asked.body, &cache::volatile_parts(&asked.body))),
            directives,
        )
    }

    async fn look(&mut self, key: cache::CacheKey, directives: cache::Directives) -> Found {
        let Some(cache) = self.state.cache.clone() else { return Found::Nothing(None) };
        loop {
            match cache.look(key, directives, Instant::now()) {
                cache::Lookup::Hit { answer, age } => {
                    return Found::Answer(self.replay(&answer, age));
                }
                cache::Lookup::Miss(recording) => return Found::Nothing(Some(recording)),
                cache::Lookup::UnderWay(waiter) => waiter.wait().await,
                cache::Lookup::Bypass => return Found::Nothing(None),
            }
        }
    }

    /// Gives an answer again.
    fn replay(&mut self, answer: &cache::Answer, age: std::time::Duration) -> Response<Body> {
        let mut response = Response::new(Body::whole(answer.body().clone()));
        *response.headers_mut() = answer.headers.clone();
        response.headers_mut().insert(http::header::AGE, age.as_secs().into());
        let capture = self.capture();
        if let Some(mut record) = self.record.take() {
            let now = Instant::now();
            let kind = answer.headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
            let dialect = self.target.dialect;
            record.answer = Some(read(dialect, kind.unwrap_or_default(), answer.body(), capture));
            record.firsts.content = Some(now);
            if let Some(call) = &mut record.call {
                call.is_cached = true;
            }
            self.state.tracer.respond(&record.place, response.headers_mut());
            record.status = 200;
            record.overhead = self.received.elapsed();
            record.finish();
        }
        response
    }
}

/// Reads an answer that is here as a whole, be it a stream's.
fn read(dialect: Dialect, content_type: &str, body: &Bytes, capture: Capture) -> fold::Answer {
    let framing = Framing::of(dialect, content_type).filter(|f| *f != Framing::JsonArray);
    let mut fold = Fold::new(dialect, framing.is_some(), capture);
    match framing {
        None => fold.body(200, body),
        Some(framing) => {
            let mut frames = Frames::new(framing, body.len());
            frames.push(body.clone());
            while let Some(frame) = frames.next().or_else(|| frames.finish()) {
                fold.frame(&frame);
            }
        }
    }
    fold.finish(fold::Ending::Closed)
}

/// What the cache has.
enum Found {
    Answer(Response<Body>),
    Nothing(Option<cache::Recording>),
}

/// Where clients show a key. The first can mean no other key than the gateway's.
const CREDENTIALS: [&str; 5] =
    ["x-spanwise-api-key", "authorization", "x-api-key", "api-key", "x-goog-api-key"];

/// The header in which a client shows its key.
pub fn credential_header(headers: &HeaderMap) -> Option<&'static str> {
    CREDENTIALS.into_iter().find(|name| headers.contains_key(*name))
}

/// The key that a client shows, wherever its dialect puts it.
pub fn presented_key(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(credential_header(headers)?)?.as_bytes();
    let scheme = value.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
    Some(scheme.map_or(value, |_| value[7..].trim_ascii()))
}

/// The client's own credential for a provider. A key of ours is nobody else's business.
fn provider_credential(
    headers: &HeaderMap,
    is_keyed: bool,
) -> impl Iterator<Item = (&'static str, &HeaderValue)> {
    let ours = credential_header(headers).filter(|_| is_keyed);
    let others = CREDENTIALS.into_iter().skip(1).filter(move |name| Some(*name) != ours);
    others.filter_map(|name| Some((name, headers.get(name)?)))
}

fn unknown_key(message: &str) -> Refusal {
    Refusal::new(ErrorKind::Authentication, "unknown_key", message)
}

/// The list of models, as the client's dialect writes it.
pub fn models(state: &State, headers: &HeaderMap) -> Response<Body> {
    let names = state.plan.models();
    let list = if headers.contains_key("anthropic-version") {
        let model =
            |name: &&str| serde_json::json!({"type": "model", "id": name, "display_name": name});
        let data: Vec<_> = names.iter().map(model).collect();
        serde_json::json!({
            "data": data, "has_more": false, "first_id": names.first(), "last_id": names.last(),
        })
    } else {
        let model = |name: &&str| {
            let owner = name.split_once('/').map_or("spanwise", |(provider, _)| provider);
            serde_json::json!({"id": name, "object": "model", "created": 0, "owned_by": owner})
        };
        let data: Vec<_> = names.iter().map(model).collect();
        serde_json::json!({"object": "list", "data": data})
    };
    json(StatusCode::OK, list.to_string())
}
