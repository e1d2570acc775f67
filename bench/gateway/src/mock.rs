//! An upstream that speaks the dialects of models, well or as badly as its script says.
//!
//! A [`Script`] stands in the path (`/~status=429,retry-after=1/v1/messages`), in the header
//! `x-mock`, or behind a `~` in the model's name. Steps between semicolons are taken one after
//! the other by the requests that carry the same script; the last one repeats:
//! `status=503;error=0;deltas=64`.

mod dialect;
mod reply;
mod script;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use memchr::memmem;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};

use crate::clock;
use crate::http1::{Connection, Head};
use dialect::{CLOCK, Endpoint, Request, Writer};
use reply::{Step, Then};
use script::Odd;

pub use dialect::usage_of;
pub use reply::{Body, Piece, Reply};
pub use script::{Counts, InvalidScript, Script, Split};

/// Answers a request instead of the mock's dialects, or leaves it to them.
pub type Answer = dyn Fn(&Seen) -> Option<Reply> + Send + Sync;

/// How a mock is started.
#[derive(Clone, Default)]
pub struct Options {
    /// Where it listens; a free port of the loopback where nothing is said.
    pub listen: Option<SocketAddr>,
    /// Whether requests are forgotten at once, as a benchmark must.
    pub forgets: bool,
    /// What answers first.
    pub answer: Option<Arc<Answer>>,
}

/// A running upstream; it ends when dropped.
pub struct MockUpstream {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A request that reached the mock.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which connection carried it, from 0.
    pub connection: u64,
    /// The method.
    pub method: String,
    /// Path and query as they were sent.
    pub path: String,
    /// Headers in order, with their names as they were sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// When it was read to its end.
    pub received_at: Instant,
    answered: Arc<Answered>,
}

/// How answering a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of the answer was written.
    Complete,
    /// The mock ended the connection, as its script says.
    Broken,
    /// The other side went away before.
    PeerGone,
}

#[derive(Debug, Default)]
struct Answered {
    sent_bytes: AtomicU64,
    end: Mutex<Option<(End, Instant)>>,
}

#[derive(Default)]
struct State {
    forgets: bool,
    answer: Option<Arc<Answer>>,
    n_requests: AtomicU64,
    n_connections: AtomicU64,
    seen: Mutex<Vec<Seen>>,
    /// How many requests carried a script of several steps.
    steps: Mutex<HashMap<String, usize>>,
    /// Counts what happened, so that a test can wait for it.
    changes: watch::Sender<u64>,
}

impl Seen {
    /// The first header with this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers_named(name).into_iter().next()
    }

    /// Every header with this lower-case name.
    pub fn headers_named(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// How many bytes of the answer were written so far.
    pub fn sent_bytes(&self) -> u64 {
        self.answered.sent_bytes.load(Ordering::Relaxed)
    }

    /// How and when answering ended, if it has.
    pub fn end(&self) -> Option<(End, Instant)> {
        *locked(&self.answered.end)
    }
}

impl MockUpstream {
    /// Starts one on a free port.
    pub fn start() -> io::Result<Self> {
        Self::start_with(Options::default())
    }

    /// Starts one on a thread of its own.
    pub fn start_with(options: Options) -> io::Result<Self> {
        let listen = options.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let Options { forgets, answer, .. } = options;
        let state = Arc::new(State { forgets, answer, ..State::default() });
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serving = Arc::clone(&state);
        let thread = thread::Builder::new().name("mock".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, serving) => {}
                }
            });
        })?;
        Ok(MockUpstream { address, state, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A base URL under which every request is answered after this script.
    pub fn url_with(&self, script: &str) -> String {
        format!("http://{}/~{script}", self.address)
    }

    /// How many requests were read.
    pub fn n_requests(&self) -> u64 {
        self.state.n_requests.load(Ordering::Relaxed)
    }

    /// How many connections were accepted.
    pub fn n_connections(&self) -> u64 {
        self.state.n_connections.load(Ordering::Relaxed)
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        locked(&self.state.seen).clone()
    }

    /// Forgets the requests so far, and how far scripts of several steps had come.
    pub fn clear(&self) {
        locked(&self.state.seen).clear();
        locked(&self.state.steps).clear();
    }

    /// Waits until the requests so far are as wanted; `None` if they were not in time.
    pub async fn wait_for(
        &self,
        within: Duration,
        wanted: impl Fn(&[Seen]) -> bool,
    ) -> Option<Vec<Seen>> {
        let mut changes = self.state.changes.subscribe();
        let found = async {
            loop {
                let seen = self.seen();
                if wanted(&seen) {
                    return Some(seen);
                }
                changes.changed().await.ok()?;
            }
        };
        tokio::time::timeout(within, found).await.ok().flatten()
    }
}

impl Drop for MockUpstream {
    fn drop(&mut self) {
        // A thread that has ended already needs no word, and its panic was printed.
        self.stop.take().map(|stop| stop.send(()).ok());
        self.thread.take().map(|thread| thread.join().ok());
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let number = state.n_connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, number, Arc::clone(&state)));
            }
            // Out of file descriptors: some will be free soon.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Answers the requests of one connection until either side has had enough.
async fn serve(stream: TcpStream, number: u64, state: Arc<State>) -> io::Result<()> {
    let mut connection = Connection::new(stream)?;
    let mut is_stale = false;
    while let Some(head) = connection.head().await? {
        if is_stale {
            connection.reset();
            return Ok(());
        }
        if head.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            connection.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = connection.body(head.request_framing()).await?;
        let (request_number, seen) = state.take(number, &head, body);
        let planned = state.plan(request_number, &seen);
        is_stale = planned.script.stale;
        let end = planned.play(&mut connection, &seen.answered).await;
        *locked(&seen.answered.end) = Some((end, Instant::now()));
        state.change();
        match (end, planned.then) {
            (End::Complete, Then::KeepOpen) if head.keeps_alive() => {}
            (End::Broken, Then::Reset) => {
                connection.reset();
                return Ok(());
            }
            _ => return Ok(()),
        }
    }
    Ok(())
}

impl State {
    /// Notes a request; the first one has the number 0.
    fn take(&self, connection: u64, head: &Head, body: Bytes) -> (u64, Seen) {
        let mut words = head.start_line().split(' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        let headers = head.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let seen = Seen {
            connection,
            method: next(),
            path: next(),
            headers: headers.collect(),
            body,
            received_at: Instant::now(),
            answered: Arc::default(),
        };
        let number = self.n_requests.fetch_add(1, Ordering::Relaxed);
        if !self.forgets {
            locked(&self.seen).push(seen.clone());
            self.change();
        }
        (number, seen)
    }

    fn change(&self) {
        if !self.forgets {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Decides how a request is answered.
    fn plan(&self, number: u64, seen: &Seen) -> Planned {
        let request: Request = serde_json::from_slice(&seen.body).unwrap_or_default();
        let script = script_text(seen, &request).map(|text| self.step(text));
        let script = match script.map_or(Ok(Script::default()), |text| text.parse()) {
            Ok(script) => script,
            Err(error) => return Planned::mistake(&error),
        };
        let reply = self.answer.as_ref().and_then(|answer| answer(seen));
        let reply = reply.unwrap_or_else(|| answer(number, seen, &request, &script));
        let (steps, then) = reply::steps(reply, &script);
        let then = if script.refuse { Then::Reset } else { then };
        Planned { script, steps, then }
    }

    /// The step of a script that is the turn of this request.
    fn step(&self, script: &str) -> String {
        let steps: Vec<&str> = script.split(';').collect();
        if steps.len() == 1 {
            return script.to_owned();
        }
        let mut taken = locked(&self.steps);
        let taken = taken.entry(script.to_owned()).or_default();
        let step = steps[(*taken).min(steps.len() - 1)];
        *taken += 1;
        step.to_owned()
    }
}

/// Where a request says how it wants to be answered.
fn script_text<'a>(seen: &'a Seen, request: &'a Request) -> Option<&'a str> {
    seen.header("x-mock")
        .or_else(|| seen.path.split('/').find_map(|part| part.strip_prefix('~')))
        .or_else(|| request.model.split_once('~').map(|(_, script)| script))
}

/// The answer of the dialect that was asked in, or the script's instead.
fn answer(number: u64, seen: &Seen, request: &Request, script: &Script) -> Reply {
    let endpoint = Endpoint::of(&seen.path);
    let model = serde_json::Value::from(request.model.as_str()).to_string();
    let writer = Writer { endpoint, request, model, script, number };
    let mut reply = if let Some(location) = &script.redirect {
        let headers = vec![("location".into(), location.clone())];
        Reply { status: 307, headers, body: Body::Whole(Vec::new()) }
    } else if script.status != 200 {
        Reply { status: script.status, ..Reply::json(writer.error(script.status)) }
    } else if request.stream {
        let mut events = writer.events();
        if let Some(n_content) = script.error {
            events.truncate(reply::end_of_content(&events, n_content));
            events.push(writer.error_event());
        }
        Reply::events(events)
    } else if script.error.is_some() {
        Reply::json(writer.error(500))
    } else {
        Reply::json(writer.whole())
    };
    match script.body {
        Some(Odd::Html) => {
            reply.headers = vec![("content-type".into(), "text/html".into())];
            reply.body = Body::Whole(b"<html><body><h1>Bad gateway</h1></body></html>".to_vec());
        }
        Some(Odd::Empty) => reply.body = Body::Whole(Vec::new()),
        Some(Odd::Junk) => reply.body = Body::Whole(b"{\"id\":\"chatcmpl-mo".to_vec()),
        None if matches!(reply.status, 204 | 304) || seen.method == "HEAD" => {
            reply.body = Body::Whole(Vec::new());
        }
        None => {}
    }
    let id_header = if seen.path.contains("/messages") { "request-id" } else { "x-request-id" };
    reply.headers.push((id_header.into(), format!("req_mock_{number}")));
    if let Some(wait) = &script.retry_after {
        reply.headers.push(("retry-after".into(), wait.clone()));
    }
    reply
}

/// An answer that is ready to be written.
struct Planned {
    script: Script,
    steps: Vec<Step>,
    then: Then,
}

impl Planned {
    /// The test asked for something that does not exist.
    fn mistake(error: &InvalidScript) -> Self {
        let script = Script::default();
        let reply = Reply { status: 599, ..Reply::json(error.to_string()) };
        let (steps, then) = reply::steps(reply, &script);
        Planned { script, steps, then }
    }

    /// Writes the answer, unless the other side leaves.
    async fn play(&self, connection: &mut Connection, answered: &Answered) -> End {
        if self.script.hang {
            connection.closed().await;
            return End::PeerGone;
        }
        if self.script.hangup || self.script.refuse {
            return End::Broken;
        }
        for step in &self.steps {
            if !step.after.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(step.after) => {}
                    () = connection.closed() => return End::PeerGone,
                }
            }
            let written = if self.script.clock {
                connection.write(&stamped(&step.bytes)).await
            } else {
                connection.write(&step.bytes).await
            };
            if written.is_err() {
                return End::PeerGone;
            }
            answered.sent_bytes.fetch_add(step.bytes.len() as u64, Ordering::Relaxed);
        }
        if self.then == Then::KeepOpen { End::Complete } else { End::Broken }
    }
}

/// The event with the time of now, which whoever receives it compares with its own.
fn stamped(bytes: &[u8]) -> Vec<u8> {
    let mut stamped = bytes.to_vec();
    if let Some(at) = memmem::find(bytes, CLOCK.as_bytes()) {
        let time = format!("fp_{:016x}", clock::now_ns());
        stamped[at..at + time.len()].copy_from_slice(time.as_bytes());
    }
    stamped
}

/// The time at which an event left the mock, if it carries one.
pub fn sent_at_ns(event: &[u8]) -> Option<u64> {
    let digits = memmem::find(event, b"fp_")? + 3;
    let digits = std::str::from_utf8(event.get(digits..digits + 16)?).ok()?;
    u64::from_str_radix(digits, 16).ok().filter(|time| *time > 0)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
