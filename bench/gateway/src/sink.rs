//! Receives spans over OTLP/HTTP and gRPC, counts them, and checks what they say of usage.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::convert::Infallible;
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::{Buf, Bytes};
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use spanwise_model::wire::otlp::{decode_traces, decode_traces_json};
use spanwise_model::{Batch, Span, SpanId, TraceId, Value};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};

use crate::mock::usage_of;

/// A running receiver; it ends when dropped.
pub struct Sink {
    address: SocketAddr,
    state: Arc<State>,
    mode: watch::Sender<Mode>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How it treats who sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Takes everything.
    #[default]
    Live,
    /// Takes everything, but answers only after so long.
    Slow(Duration),
    /// Takes nothing: 429, or `RESOURCE_EXHAUSTED`.
    Refusing,
    /// Is not there: connections are refused, and those that were open have ended.
    Dead,
}

/// What has arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were taken.
    pub n_requests: u64,
    /// Different spans.
    pub n_spans: u64,
    /// Spans that had arrived before.
    pub n_repeated: u64,
    /// Calls whose usage is what the mock said.
    pub n_right: u64,
    /// Calls whose usage is not.
    pub n_wrong: u64,
    /// The first of these.
    pub first_wrong: Option<String>,
    /// Requests that could not be read.
    pub n_malformed: u64,
}

#[derive(Default)]
struct State {
    forgets: bool,
    arrived: Mutex<Arrived>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Arrived {
    counts: Counts,
    ids: HashSet<(TraceId, SpanId)>,
    spans: Vec<Span>,
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

impl Sink {
    /// Starts one on a free port that keeps the spans.
    pub fn start() -> io::Result<Self> {
        Self::start_with(false)
    }

    /// Starts one on a thread of its own; one that forgets only counts.
    pub fn start_with(forgets: bool) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { forgets, ..State::default() });
        let (mode, watched) = watch::channel(Mode::Live);
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let receiving = Arc::clone(&state);
        let thread = thread::Builder::new().name("sink".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    // Whoever sends sees a dead sink where the port is lost.
                    _ = listen(listener, address, watched, receiving) => {}
                }
            });
        })?;
        Ok(Sink { address, state, mode, stop: Some(stop), thread: Some(thread) })
    }

    /// Its base URL for both protocols, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Treats who sends otherwise from now on.
    pub fn set_mode(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// What has arrived since the start or the last [`Sink::clear`].
    pub fn counts(&self) -> Counts {
        self.state.locked().counts.clone()
    }

    /// The spans in the order in which they came, if they are kept.
    pub fn spans(&self) -> Vec<Span> {
        self.state.locked().spans.clone()
    }

    /// Forgets what has arrived.
    pub fn clear(&self) {
        *self.state.locked() = Arrived::default();
    }

    /// Waits until the spans are as wanted; `None` if they were not in time.
    pub async fn wait_for(
        &self,
        within: Duration,
        wanted: impl Fn(&[Span]) -> bool,
    ) -> Option<Vec<Span>> {
        let mut changes = self.state.changes.subscribe();
        let found = async {
            loop {
                let spans = self.spans();
                if wanted(&spans) {
                    return Some(spans);
                }
                changes.changed().await.ok()?;
            }
        };
        tokio::time::timeout(within, found).await.ok().flatten()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // A thread that has ended already needs no word, and its panic was printed.
        self.stop.take().map(|stop| stop.send(()).ok());
        self.thread.take().map(|thread| thread.join().ok());
    }
}

async fn listen(
    first: TcpListener,
    address: SocketAddr,
    mut mode: watch::Receiver<Mode>,
    state: Arc<State>,
) -> io::Result<()> {
    let mut bound = Some(first);
    loop {
        let listener = match bound.take() {
            Some(listener) => listener,
            None => TcpListener::bind(address)?,
        };
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        while *mode.borrow_and_update() != Mode::Dead {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    tokio::spawn(serve(stream, mode.clone(), Arc::clone(&state)));
                }
                changed = mode.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
            }
        }
        drop(listener);
        if mode.wait_for(|mode| *mode != Mode::Dead).await.is_err() {
            return Ok(());
        }
    }
}

async fn serve(stream: TcpStream, mode: watch::Receiver<Mode>, state: Arc<State>) {
    let current = mode.clone();
    let answer = service_fn(move |request| answer(request, current.clone(), Arc::clone(&state)));
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut ending = mode;
    tokio::select! {
        // What a connection ends with is the sender's to tell.
        _ = builder.serve_connection(TokioIo::new(stream), answer) => {}
        _ = ending.wait_for(|mode| *mode == Mode::Dead) => {}
    }
}

async fn answer(
    request: Request<Incoming>,
    mode: watch::Receiver<Mode>,
    state: Arc<State>,
) -> Result<Answer, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let says = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let is_grpc = says(CONTENT_TYPE).starts_with("application/grpc");
    let mode = *mode.borrow();
    match mode {
        Mode::Live | Mode::Dead => {}
        Mode::Slow(wait) => tokio::time::sleep(wait).await,
        Mode::Refusing => return Ok(refusal(is_grpc)),
    }
    let batch = if is_grpc {
        message(body).and_then(|body| decode_traces(body).ok())
    } else {
        let body = plain(body, says(CONTENT_ENCODING) == "gzip");
        body.and_then(|body| decode(body, says(CONTENT_TYPE)))
    };
    let is_good = batch.is_some();
    state.take(batch);
    Ok(match (is_grpc, is_good) {
        (true, true) => grpc("0"),
        (true, false) => grpc("3"),
        (false, true) => http(StatusCode::OK),
        (false, false) => http(StatusCode::BAD_REQUEST),
    })
}

fn decode(body: Bytes, content_type: &str) -> Option<Batch> {
    if content_type.starts_with("application/json") {
        decode_traces_json(&body).ok()
    } else {
        decode_traces(body).ok()
    }
}

fn refusal(is_grpc: bool) -> Answer {
    if is_grpc { grpc("8") } else { http(StatusCode::TOO_MANY_REQUESTS) }
}

fn http(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default().boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    answer
}

/// An empty message, or none where the call failed.
fn grpc(status: &'static str) -> Answer {
    let message: &[u8] = if status == "0" { &[0; 5] } else { &[] };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    let body = Full::new(Bytes::from_static(message));
    let mut answer =
        Response::new(body.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    answer
}

/// The one message of a gRPC request.
fn message(mut body: Bytes) -> Option<Bytes> {
    if body.len() < 5 {
        return None;
    }
    let is_compressed = body.get_u8() == 1;
    let length = body.get_u32() as usize;
    (body.len() == length).then_some(())?;
    plain(body, is_compressed)
}

fn plain(body: Bytes, is_compressed: bool) -> Option<Bytes> {
    if !is_compressed {
        return Some(body);
    }
    let mut plain = Vec::new();
    MultiGzDecoder::new(body.as_ref()).read_to_end(&mut plain).ok()?;
    Some(plain.into())
}

impl State {
    /// Counts a request, which is `None` if it could not be read.
    fn take(&self, batch: Option<Batch>) {
        let mut arrived = self.locked();
        let Some(batch) = batch else {
            arrived.counts.n_malformed += 1;
            return;
        };
        arrived.counts.n_requests += 1;
        for span in batch.spans {
            if !arrived.ids.insert((span.trace_id, span.span_id)) {
                arrived.counts.n_repeated += 1;
                continue;
            }
            arrived.counts.n_spans += 1;
            arrived.counts.check_usage(&span);
            if !self.forgets {
                arrived.spans.push(span);
            }
        }
        drop(arrived);
        self.changes.send_modify(|count| *count += 1);
    }

    fn locked(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Compares a call's usage with what the mock gives answers with this id.
    fn check_usage(&mut self, span: &Span) {
        let Some(id) = span.attributes.str("gen_ai.response.id") else { return };
        let Some(usage) = usage_of(id) else { return };
        let expected = [
            ("gen_ai.usage.input_tokens", usage.input),
            ("gen_ai.usage.output_tokens", usage.output),
            ("gen_ai.usage.cache_read.input_tokens", usage.cache_read),
            ("gen_ai.usage.cache_write.input_tokens", usage.cache_write),
            ("gen_ai.usage.reasoning.output_tokens", usage.reasoning),
        ];
        let said = |key| match span.attributes.get(key) {
            Some(Value::Int(count)) => u64::try_from(*count).ok(),
            _ => None,
        };
        let wrong = expected.into_iter().find(|(key, count)| said(key) != *count);
        match wrong {
            None => self.n_right += 1,
            Some((key, count)) => {
                self.n_wrong += 1;
                self.first_wrong.get_or_insert_with(|| {
                    format!("{key} of {id}: {:?} instead of {count:?}", said(key))
                });
            }
        }
    }
}
