//! Requests in closed and open loops, and what became of them.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use spanwise_bench_gateway::clock;
use spanwise_bench_gateway::http1::Connection;
use spanwise_bench_gateway::mock::sent_at_ns;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::Outcome;
use crate::histogram::Histogram;

#[cfg(test)]
mod tests;

/// How long a request may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(100);

/// More connections than this are not opened for requests that fall behind.
const MAX_CONNECTIONS: usize = 1024;

/// What stands before the text of a chat's delta.
const CONTENT: &[u8] = br#""content":""#;

/// One request, again and again.
#[derive(Clone, Debug)]
pub struct Shot {
    /// Who gets it.
    pub address: SocketAddr,
    /// Head and body.
    pub request: Bytes,
    /// How many events its answer has, if it is a stream.
    pub n_events: Option<usize>,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many connections, each with its next request once the last one is answered.
    Closed(usize),
    /// The same, but what is under way at the end is given up.
    Held(usize),
    /// So many requests a second, whatever becomes of those before.
    Open(u32),
}

/// How long each part of a measurement takes.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Before anything counts.
    pub warm_up: Duration,
    /// While it counts.
    pub measured: Duration,
}

/// What was seen.
#[derive(Default)]
pub struct Tally {
    /// From sending (closed) or from when it was due (open) to the last byte.
    pub latency: Histogram,
    /// To the first event of a stream that has content.
    pub first_content: Histogram,
    /// From the leaving of an event to its arrival, from the first content on. What comes before
    /// a gateway may hold back, for as long as it could still turn to another provider.
    pub delay: Histogram,
    /// How much farther from the one before such an event arrived than it had left.
    pub gap: Histogram,
    /// Requests that were answered in full while it counted.
    pub n_done: u64,
    /// Requests that were not, at any time.
    pub n_failed: u64,
    /// Why the first one was not.
    pub failure: Option<String>,
    /// Requests that were sent, at any time.
    pub n_sent: u64,
    /// How long it counted.
    pub elapsed: Duration,
    /// What the probe said at the end, less what it had said at the beginning.
    pub cpu: Duration,
}

struct Run {
    shot: Shot,
    tally: RefCell<Tally>,
    counts: Cell<bool>,
    is_over: Cell<bool>,
}

/// Sends for a while; `cpu` tells what the subject has used so far.
pub fn run(
    shot: &Shot,
    pace: Pace,
    window: Window,
    cpu: impl Fn() -> Outcome<Duration>,
) -> Outcome<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = Rc::new(Run {
        shot: shot.clone(),
        tally: RefCell::default(),
        counts: Cell::new(false),
        is_over: Cell::new(false),
    });
    LocalSet::new().block_on(&runtime, async {
        let sending = tokio::task::spawn_local(send(Rc::clone(&run), pace, window.warm_up));
        tokio::time::sleep(window.warm_up).await;
        let (cpu_before, began) = (cpu()?, clock::now_ns());
        run.counts.set(true);
        tokio::time::sleep(window.measured).await;
        run.counts.set(false);
        let (cpu_after, ended) = (cpu()?, clock::now_ns());
        run.is_over.set(true);
        if !matches!(pace, Pace::Held(_)) {
            sending.await??;
        }
        let mut tally = run.tally.take();
        tally.elapsed = Duration::from_nanos(ended - began);
        tally.cpu = cpu_after.saturating_sub(cpu_before);
        Ok(tally)
    })
}

async fn send(run: Rc<Run>, pace: Pace, warm_up: Duration) -> io::Result<()> {
    match pace {
        Pace::Closed(n_connections) | Pace::Held(n_connections) => {
            let loops: Vec<_> = (0..n_connections)
                .map(|number| {
                    // Streams that begin together would stay in step.
                    let wait = warm_up.mul_f64(number as f64 / n_connections as f64 / 2.0);
                    tokio::task::spawn_local(closed_loop(Rc::clone(&run), wait))
                })
                .collect();
            for task in loops {
                task.await?;
            }
            Ok(())
        }
        Pace::Open(per_second) => open_loop(run, per_second).await,
    }
}

async fn closed_loop(run: Rc<Run>, wait: Duration) {
    tokio::time::sleep(wait).await;
    let mut idle = None;
    while !run.is_over.get() {
        idle = run.once(idle, clock::now_ns()).await;
        if idle.is_none() {
            // A gateway that refuses must not be asked a million times.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn open_loop(run: Rc<Run>, per_second: u32) -> io::Result<()> {
    let alarm = Alarm::new()?;
    let idle: Rc<RefCell<Vec<Connection>>> = Rc::default();
    let n_busy = Rc::new(Cell::new(0));
    let interval = 1_000_000_000 / u64::from(per_second);
    let mut due = clock::now_ns();
    while !run.is_over.get() {
        due += interval;
        alarm.wait_until(due).await?;
        if n_busy.get() >= MAX_CONNECTIONS {
            run.fail("more requests are waiting than connections may be opened");
            continue;
        }
        let (run, idle, n_busy) = (Rc::clone(&run), Rc::clone(&idle), Rc::clone(&n_busy));
        n_busy.set(n_busy.get() + 1);
        tokio::task::spawn_local(async move {
            let connection = idle.borrow_mut().pop();
            let connection = run.once(connection, due).await;
            idle.borrow_mut().extend(connection);
            n_busy.set(n_busy.get() - 1);
        });
    }
    while n_busy.get() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

impl Run {
    /// Sends one request and notes what became of it; returns the connection if it is still good.
    async fn once(&self, idle: Option<Connection>, since_ns: u64) -> Option<Connection> {
        self.tally.borrow_mut().n_sent += 1;
        let exchange = tokio::time::timeout(PATIENCE, self.exchange(idle, since_ns));
        match exchange.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(connection) => connection,
            Err(error) => {
                self.fail(&error.to_string());
                None
            }
        }
    }

    fn fail(&self, reason: &str) {
        let mut tally = self.tally.borrow_mut();
        tally.n_failed += 1;
        tally.failure.get_or_insert_with(|| reason.to_owned());
    }

    async fn exchange(
        &self,
        idle: Option<Connection>,
        since_ns: u64,
    ) -> io::Result<Option<Connection>> {
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::new(TcpStream::connect(self.shot.address).await?)?,
        };
        connection.write(&self.shot.request).await?;
        let head = connection.head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut framing = head.answer_framing();
        if head.status() != Some(200) {
            let body = connection.body(framing).await?;
            let said = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
            return Err(io::Error::other(format!("{}: {said}", head.start_line())));
        }
        if let Some(n_events) = self.shot.n_events {
            let mut events = Events {
                run: self,
                since_ns,
                rest: BytesMut::new(),
                n_seen: 0,
                has_content: false,
                last: None,
            };
            while let Some(piece) = connection.piece(&mut framing).await? {
                events.push(&piece, connection.read_at_ns());
            }
            if events.n_seen != n_events {
                let found = events.n_seen;
                return Err(io::Error::other(format!("{found} events instead of {n_events}")));
            }
        } else if connection.body(framing).await?.is_empty() {
            return Err(io::Error::other("an empty answer"));
        }
        if self.counts.get() {
            let took = Duration::from_nanos(connection.read_at_ns().saturating_sub(since_ns));
            let mut tally = self.tally.borrow_mut();
            tally.latency.record(took);
            tally.n_done += 1;
        }
        Ok(head.keeps_alive().then_some(connection))
    }
}

/// The events of one stream as they arrive.
struct Events<'a> {
    run: &'a Run,
    since_ns: u64,
    /// The beginning of an event whose end has not arrived.
    rest: BytesMut,
    n_seen: usize,
    /// Whether the model has said anything yet.
    has_content: bool,
    /// When the last event with a clock left and arrived.
    last: Option<(u64, u64)>,
}

impl Events<'_> {
    fn push(&mut self, piece: &[u8], now_ns: u64) {
        self.rest.extend_from_slice(piece);
        while let Some(end) = memmem::find(&self.rest, b"\n\n") {
            let event = self.rest.split_to(end + 2);
            self.n_seen += 1;
            if self.run.counts.get() {
                self.note(&event, now_ns);
            }
        }
    }

    fn note(&mut self, event: &[u8], now_ns: u64) {
        let mut tally = self.run.tally.borrow_mut();
        if !self.has_content {
            // The role comes with an empty text.
            let text = memmem::find(event, CONTENT).and_then(|at| event.get(at + CONTENT.len()));
            self.has_content = text.is_some_and(|first| *first != b'"');
            if !self.has_content {
                return;
            }
            tally.first_content.record(Duration::from_nanos(now_ns.saturating_sub(self.since_ns)));
        }
        let Some(sent_ns) = sent_at_ns(event) else { return };
        tally.delay.record(Duration::from_nanos(now_ns.saturating_sub(sent_ns)));
        if let Some((last_sent_ns, last_now_ns)) = self.last.replace((sent_ns, now_ns)) {
            let (sent, arrived) = (sent_ns - last_sent_ns, now_ns - last_now_ns);
            tally.gap.record(Duration::from_nanos(arrived.saturating_sub(sent)));
        }
    }
}

/// A timer that is not rounded to milliseconds.
struct Alarm(AsyncFd<std::os::fd::OwnedFd>);

impl Alarm {
    #[expect(deprecated, reason = "an owned descriptor that nobody closes is what it asks for")]
    fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Alarm(AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
    }

    async fn wait_until(&self, due_ns: u64) -> io::Result<()> {
        if clock::now_ns() >= due_ns {
            return Ok(());
        }
        let it_value = Timespec {
            tv_sec: (due_ns / 1_000_000_000).cast_signed(),
            tv_nsec: (due_ns % 1_000_000_000).cast_signed(),
        };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let at = Itimerspec { it_interval, it_value };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &at)?;
        let mut ready = self.0.readable().await?;
        ready.clear_ready();
        Ok(())
    }
}
