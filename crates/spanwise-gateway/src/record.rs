//! What is known of an exchange, and the spans that are written of it when it is over.
//!
//! Until then there are only facts and ids: whether it was worth keeping is often clear at the end
//! alone, and what is not kept has cost next to nothing.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, Method};
use spanwise::{Context, Recorder, Recording, Start};
use spanwise_model::price::{PriceTable, Terms};
use spanwise_model::propagate::SpanContext;
use spanwise_model::span::StatusCode;
use spanwise_model::wire::otlp::ValueRef;
use spanwise_model::{Attributes, Kind};

use crate::fold::{Answer, ProviderError, RequestContent};
use crate::limits::{Amount, Reservation};
use crate::plan::Upstream;
use crate::scan::Parameters;
use crate::trace::{Place, Tracer};

mod names;

/// A point in time that says both what the clock showed and how long ago it was: spans get dates,
/// but durations do not change when somebody sets the clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    unix_nano: u64,
}

impl Clock {
    /// Now.
    pub fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { started: Instant::now(), unix_nano: nanos(since) }
    }

    /// When it started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The date of a later moment, nanoseconds since 1970.
    pub fn unix_nano(&self, at: Instant) -> u64 {
        self.unix_nano + nanos(at.saturating_duration_since(self.started))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What went wrong, in a word and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `error.type`.
    pub kind: String,
    /// Never has content of the request or the answer, or a credential.
    pub message: String,
}

impl Fault {
    /// A fault of this kind.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Fault { kind: kind.into(), message: message.into() }
    }

    /// What a provider says went wrong.
    pub fn of(error: &ProviderError) -> Self {
        Fault::new(error.code.as_deref().unwrap_or(&error.kind), error.message.clone())
    }
}

/// One request to one upstream.
#[derive(Debug)]
pub struct Attempt {
    /// The span whose id the upstream got.
    pub context: Context,
    /// Where it went.
    pub upstream: Arc<Upstream>,
    /// What it was asked for.
    pub model: String,
    /// The HTTP method.
    pub method: Method,
    /// When it was sent.
    pub started: Instant,
    /// When the head of the answer came.
    pub head: Option<Instant>,
    /// When it was over.
    pub ended: Option<Instant>,
    /// The answer's status.
    pub status: Option<u16>,
    /// How long we waited before it, because of the one before.
    pub pause: Duration,
    /// The trace that began there, where it did.
    pub restarted: Option<SpanContext>,
    /// What went wrong.
    pub fault: Option<Fault>,
}

/// What a model was asked for.
#[derive(Debug, Default)]
pub struct Call {
    /// `chat`, `embeddings`, and so on.
    pub operation: &'static str,
    /// The model that the client named.
    pub asked: String,
    /// Whether the answer is streamed.
    pub is_stream: bool,
    /// For the span.
    pub parameters: Parameters<'static>,
    /// What the request said, where content is recorded.
    pub content: RequestContent,
    /// Whether it is about an answer that was made before: its tokens were counted then.
    pub is_about_another: bool,
    /// Whether the answer came out of the cache.
    pub is_cached: bool,
    /// Which dialect was translated into which.
    pub translated: Option<String>,
}

/// Something that happened at a time, and what there is to say about it.
#[derive(Debug)]
pub struct Happening {
    /// The event's name.
    pub name: &'static str,
    /// When.
    pub at: Instant,
    /// What else is to be said.
    pub attributes: Attributes,
}

/// When an answer began, in three senses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Firsts {
    /// The first byte of the body.
    pub byte: Option<Instant>,
    /// The first event of the stream, or the whole answer.
    pub event: Option<Instant>,
    /// The first piece of content.
    pub content: Option<Instant>,
}

/// All that is known of one exchange. When it is dropped, its spans are written.
#[derive(Debug)]
pub struct Record {
    tracer: Arc<Tracer>,
    prices: Arc<PriceTable>,
    /// When everything happened.
    pub clock: Clock,
    /// Its place in the trace.
    pub place: Place,
    /// The request's method.
    pub method: Method,
    /// The request's route, one of few; empty if it has none.
    pub route: Cow<'static, str>,
    /// The request's path.
    pub path: String,
    /// What the client was answered.
    pub status: u16,
    /// Which key it presented.
    pub key: Option<String>,
    /// The call to a model, if the request came so far.
    pub call: Option<Call>,
    /// The agent that was called.
    pub agent: Option<names::AgentCall>,
    /// Requests to upstreams, in order.
    pub attempts: Vec<Attempt>,
    /// What the model answered.
    pub answer: Option<Answer>,
    /// When the answer began.
    pub firsts: Firsts,
    /// How much of the time was ours: from the request's last byte to the upstream, and from its
    /// answer to the client.
    pub overhead: Duration,
    /// What happened on the way.
    pub happenings: Vec<Happening>,
    /// Why it failed.
    pub fault: Option<Fault>,
    is_over: bool,
}

pub use names::AgentCall;

impl Record {
    /// A request has come.
    pub fn start(
        tracer: Arc<Tracer>,
        prices: Arc<PriceTable>,
        place: Place,
        method: Method,
        route: Cow<'static, str>,
        path: &str,
    ) -> Box<Self> {
        Box::new(Record {
            tracer,
            prices,
            clock: Clock::start(),
            place,
            method,
            route,
            path: path.to_owned(),
            status: 0,
            key: None,
            call: None,
            agent: None,
            attempts: Vec::new(),
            answer: None,
            firsts: Firsts::default(),
            overhead: Duration::ZERO,
            happenings: Vec::new(),
            fault: None,
            is_over: false,
        })
    }

    /// Notes that something happened now.
    pub fn happened(&mut self, name: &'static str, attributes: Attributes) {
        self.happenings.push(Happening { name, at: Instant::now(), attributes });
    }

    /// The attempt that is under way, or was the last.
    pub fn attempt(&mut self) -> Option<&mut Attempt> {
        self.attempts.last_mut()
    }

    /// Notes what went wrong with the answer, and so with the attempt; what was first counts.
    pub fn blame(&mut self, fault: &Fault) {
        if let Some(attempt) = self.attempt() {
            attempt.fault.get_or_insert_with(|| fault.clone());
        }
        self.fault.get_or_insert_with(|| fault.clone());
    }

    /// Tells the client how much of the time was ours, in milliseconds.
    pub fn tell_overhead(&self, headers: &mut HeaderMap) {
        let millis = self.overhead.as_secs_f64() * 1e3;
        if let Ok(value) = HeaderValue::from_str(&format!("gateway;dur={millis:.3}")) {
            headers.append("server-timing", value);
        }
    }

    /// Everything that was to be sent has been sent.
    pub fn finish(&mut self) {
        self.is_over = true;
    }

    /// What the answer cost in nano-dollars, if that is known.
    pub fn cost(&self) -> Option<i64> {
        if self.call.as_ref()?.is_cached {
            return Some(0);
        }
        let (answer, attempt) = (self.answer.as_ref()?, self.attempts.last()?);
        let terms = Terms {
            provider: &attempt.upstream.provider,
            model: answer.response_model.as_deref().unwrap_or(&attempt.model),
            service_tier: answer.service_tier.as_deref().unwrap_or_default(),
            time_unix_nano: self.clock.unix_nano(attempt.started),
        };
        self.prices.cost(terms, &answer.usage)
    }

    /// Puts what was used in place of what was reserved.
    pub fn settle(&self, reservation: Option<Reservation>) {
        let Some(reservation) = reservation else { return };
        let usage = self.answer.as_ref().map(|answer| answer.usage).unwrap_or_default();
        let counted = usage.total.or_else(|| Some(usage.input? + usage.output?));
        let Some(tokens) = counted else { return reservation.keep() };
        let nano_usd = u64::try_from(self.cost().unwrap_or_default()).unwrap_or_default();
        let actual = Amount { requests: 1, tokens, nano_usd };
        reservation.settle(actual, self.clock.unix_nano(Instant::now()));
    }

    /// Whether it is kept, and if so whether that was decided now, against the sampling.
    fn is_kept(&self, end: Instant) -> Option<bool> {
        let keep = &self.tracer.keep;
        if self.place.server.is_sampled() {
            return Some(false);
        }
        let took = end.saturating_duration_since(self.clock.started);
        let cost = self.cost().unwrap_or_default() as f64 / 1e9;
        let failed = self.fault.is_some() || self.status >= 500;
        let is_worth = (keep.errors && failed)
            || keep.slower_than.is_some_and(|least| took >= least)
            || keep.costlier_than.is_some_and(|least| cost >= least);
        is_worth.then_some(true)
    }

    fn write(&mut self, end: Instant) {
        let Some(recorder) = self.tracer.recorder.clone() else { return };
        let Some(is_kept_late) = self.is_kept(end) else { return };
        let sheet = Sheet { recorder, clock: self.clock, is_kept_late };
        for attempt in &mut self.attempts {
            attempt.ended.get_or_insert(end);
        }
        for (n, attempt) in self.attempts.iter().enumerate() {
            sheet.attempt(attempt, n, &self.place);
        }
        if self.call.is_some() || self.agent.is_some() {
            sheet.call(self, end);
        }
        sheet.server(self, end);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.is_over && self.fault.is_none() {
            let kind = if std::thread::panicking() { "panic" } else { "client_disconnect" };
            self.fault = Some(Fault::new(kind, "the exchange ended before its time"));
        }
        let end = Instant::now();
        self.tracer.metrics.exchange(self, end);
        self.write(end);
    }
}

/// Writes spans.
struct Sheet {
    recorder: Arc<Recorder>,
    clock: Clock,
    is_kept_late: bool,
}

impl Sheet {
    fn span(
        &self,
        name: &str,
        kind: Kind,
        (start, end): (Instant, Instant),
        context: &Context,
        parent: Option<&Context>,
        fill: impl FnOnce(&mut Recording),
    ) {
        let time = Some(self.clock.unix_nano(start));
        let how = Start { kind, time, ..Start::named(name) };
        let context = context.clone();
        let context = if self.is_kept_late { context.sampled(true) } else { context };
        let mut recording = self.recorder.start_as(&how, context, parent);
        fill(&mut recording);
        Recorder::end(recording, Some(self.clock.unix_nano(end)));
    }

    fn attempt(&self, attempt: &Attempt, n: usize, place: &Place) {
        let times = (attempt.started, attempt.ended.unwrap_or(attempt.started));
        let name = names::of_method(&attempt.method).unwrap_or("HTTP");
        self.span(name, Kind::Client, times, &attempt.context, Some(&place.call), |span| {
            let upstream = &attempt.upstream;
            names::describe_method(span, &attempt.method);
            span.set("server.address", ValueRef::String(upstream.authority.host()));
            span.set("server.port", ValueRef::Int(i64::from(upstream.port())));
            span.set("spanwise.gateway.upstream", ValueRef::String(&upstream.id));
            if n > 0 {
                span.set("http.request.resend_count", ValueRef::Int(n as i64));
            }
            if let Some(status) = attempt.status {
                span.set("http.response.status_code", ValueRef::Int(i64::from(status)));
            }
            if !attempt.pause.is_zero() {
                span.set("spanwise.gateway.pause", ValueRef::Double(attempt.pause.as_secs_f64()));
            }
            if let Some(head) = attempt.head {
                let waited = head.saturating_duration_since(attempt.started);
                span.set("spanwise.gateway.time_to_head", ValueRef::Double(waited.as_secs_f64()));
            }
            if let Some(other) = &attempt.restarted {
                span.link(other, true, &Attributes::default());
            }
            blame(span, attempt.fault.as_ref());
        });
    }

    fn call(&self, record: &Record, end: Instant) {
        let started = record.clock.started;
        let name = names::of_call(record);
        let parent = Some(&record.place.server);
        self.span(&name, Kind::Client, (started, end), &record.place.call, parent, |span| {
            names::describe_call(span, record, record.tracer.profile);
            blame(span, record.fault.as_ref());
        });
    }

    fn server(&self, record: &Record, end: Instant) {
        let method = names::of_method(&record.method);
        let name = match (method, &*record.route) {
            (None, _) => "HTTP".to_owned(),
            (Some(method), "") => method.to_owned(),
            (Some(method), route) => [method, " ", route].concat(),
        };
        let place = &record.place;
        let times = (record.clock.started, end);
        self.span(&name, Kind::Server, times, &place.server, place.parent.as_ref(), |span| {
            names::describe_method(span, &record.method);
            if !record.route.is_empty() {
                span.set("http.route", ValueRef::String(&record.route));
            }
            span.set("url.path", ValueRef::String(&record.path));
            if record.status > 0 {
                span.set("http.response.status_code", ValueRef::Int(i64::from(record.status)));
            }
            if let Some(key) = &record.key {
                span.set("spanwise.gateway.key", ValueRef::String(key));
            }
            if place.hops > 0 {
                span.set("spanwise.gateway.hops", ValueRef::Int(i64::from(place.hops)));
            }
            let overhead = record.overhead.as_secs_f64();
            span.set("spanwise.gateway.overhead", ValueRef::Double(overhead));
            for happening in &record.happenings {
                let time = Some(record.clock.unix_nano(happening.at));
                span.event(happening.name, time, &happening.attributes);
            }
            // What the caller did wrong is no fault of ours: it is told in the call's span.
            let is_ours = record.status == 0 || record.status >= 500;
            blame(span, record.fault.as_ref().filter(|_| is_ours));
        });
    }
}

fn blame(span: &mut Recording, fault: Option<&Fault>) {
    if let Some(Fault { kind, message }) = fault {
        span.set("error.type", ValueRef::String(kind));
        span.set_status(StatusCode::Error, message);
    }
}
