//! Durable ingest at full speed: bodies are encoded beforehand, and only ids, times and one word
//! of each prompt are patched into them, so that the client leaves the cores to the server.

use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use spanwise_model::wire::otlp::encode_traces;
use spanwise_model::{Span, TraceId};

use crate::dice::mix;
use crate::floor::{self, Floor};
use crate::http::{Connection, in_parallel};
use crate::server::{Memory, Server, fresh_folder};
use crate::table::{self, ms, quantile, verdict};
use crate::workload::{UNIQUE_TEXT, Workload};
use crate::{Outcome, Target, row, seconds};

const SPANS_PER_TRACE: usize = 10;
const BAR_SPANS_PER_SECOND: f64 = 60_000.0;
const N_TEMPLATES: u64 = 48;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// Send to this OTLP endpoint instead of starting a server (to compare with others)
    #[arg(long)]
    endpoint: Option<String>,
    /// How long to send
    #[arg(long, default_value = "20", value_parser = seconds)]
    seconds: Duration,
    /// Stop after so many bodies per connection
    #[arg(long)]
    bodies: Option<u64>,
    #[arg(long, default_value = "8")]
    connections: u64,
    /// Spans per body
    #[arg(long, default_value = "200")]
    batch: usize,
}

/// A body whose ids, times and texts can be made new in place.
pub struct Template {
    body: Vec<u8>,
    n_spans: usize,
    /// Where each trace id stands.
    trace_ids: Vec<Vec<usize>>,
    /// Where each span id stands, as an id and as a parent.
    span_ids: Vec<Vec<usize>>,
    texts: Vec<usize>,
    /// Where the times stand, and how far they are from the first.
    times: Vec<(usize, u64)>,
}

impl Template {
    /// Encodes `n_spans` model calls in traces of ten.
    pub fn new(workload: &Workload, seed: u64, n_spans: usize) -> Self {
        let base = 1_700_000_000_000_000_000 + seed;
        let spans: Vec<Span> = (0..n_spans)
            .map(|n| {
                let (trace, ordinal) = (n / SPANS_PER_TRACE, n % SPANS_PER_TRACE);
                workload.model_call(seed << 16 | trace as u64, ordinal, base + n as u64 * 1_000)
            })
            .collect();
        let body = encode_traces(&spans);
        let everywhere =
            |needle: &[u8]| memchr::memmem::find_iter(&body, needle).collect::<Vec<_>>();
        let times = spans
            .iter()
            .flat_map(|span| [span.start_time_unix_nano, span.end_time_unix_nano])
            .flat_map(|time| {
                everywhere(&time.to_le_bytes()).into_iter().map(move |at| (at, time - base))
            })
            .collect();
        Template {
            n_spans,
            trace_ids: spans
                .iter()
                .step_by(SPANS_PER_TRACE)
                .map(|span| everywhere(span.trace_id.as_bytes()))
                .collect(),
            span_ids: spans.iter().map(|span| everywhere(span.span_id.as_bytes())).collect(),
            texts: everywhere(UNIQUE_TEXT.as_bytes()),
            times,
            body,
        }
    }

    /// Fills `out` with a body that was never sent before; returns the id of its first trace.
    pub fn stamp(&self, number: u64, now: u64, out: &mut Vec<u8>) -> Option<TraceId> {
        out.clear();
        out.extend_from_slice(&self.body);
        let mut unique = number << 24;
        let mut next = || {
            unique += 1;
            mix(unique).max(1).to_be_bytes()
        };
        let mut first = None;
        for places in &self.trace_ids {
            let id = [next(), next()].concat();
            for &at in places {
                out[at..at + 16].copy_from_slice(&id);
            }
            first.get_or_insert(id);
        }
        for places in &self.span_ids {
            let id = next();
            for &at in places {
                out[at..at + 8].copy_from_slice(&id);
            }
        }
        for &at in &self.texts {
            let word = format!("ref{:016x}", u64::from_be_bytes(next()));
            out[at..at + word.len()].copy_from_slice(word.as_bytes());
        }
        for &(at, offset) in &self.times {
            out[at..at + 8].copy_from_slice(&(now + offset).to_le_bytes());
        }
        first.and_then(|id| TraceId::from_bytes(&id).ok())
    }
}

/// What the connections saw.
#[derive(Default)]
struct Sent {
    spans: u64,
    bytes: u64,
    refused: u64,
    acknowledged: Vec<Duration>,
}

pub fn run(options: &Options) -> Outcome<()> {
    let workload = Workload::new(u64::MAX);
    let templates: Vec<_> =
        (0..N_TEMPLATES).map(|seed| Template::new(&workload, seed, options.batch)).collect();
    match &options.endpoint {
        Some(endpoint) => foreign(options, &templates, endpoint),
        None => own(options, &templates),
    }
}

/// Loads somebody else's server; what it acknowledged is for the caller to verify.
fn foreign(options: &Options, templates: &[Template], endpoint: &str) -> Outcome<()> {
    let started = Instant::now();
    let sent = send(options, templates, endpoint)?;
    let took = started.elapsed().as_secs_f64();
    let rate = sent.spans as f64 / took;
    println!("sent {} spans in {took:.2} s: {rate:.0} spans/s acknowledged", sent.spans);
    Ok(())
}

fn own(options: &Options, templates: &[Template]) -> Outcome<()> {
    fresh_folder(&options.target.data_dir)?;
    let server = Server::start(&options.target, "")?;
    let at_start = server.memory()?;
    let (cpu_before, memory) = (server.cpu_time()?, server.watch_memory());
    let started = Instant::now();
    let (sent, visible) = thread::scope(|scope| {
        let watch = scope.spawn(|| watch_visibility(&server, &templates[0], options.seconds));
        let sent = send(options, templates, &server.otlp);
        (sent, watch.join().unwrap_or_default())
    });
    let (sent, took) = (sent?, started.elapsed());
    let cpu_while_sending = server.cpu_time()?.saturating_sub(cpu_before);
    let peak = memory.peak();
    let lag = server.settle(Duration::from_mins(3))?;
    Measured {
        sent,
        took,
        visible,
        cpu_while_sending,
        cpu_until_idle: server.cpu_time()?.saturating_sub(cpu_before),
        lag,
        at_start,
        peak,
        idle: server.memory_at_rest()?,
        floor: floor::measure(templates, &options.target.data_dir)?,
    }
    .report(options);
    server.stop()
}

fn send(options: &Options, templates: &[Template], endpoint: &str) -> Outcome<Sent> {
    let deadline = Instant::now() + options.seconds;
    let parts = in_parallel(options.connections, |number| {
        connection(options, templates, endpoint, number, deadline)
    })?;
    let mut all = Sent::default();
    for sent in parts {
        all.spans += sent.spans;
        all.bytes += sent.bytes;
        all.refused += sent.refused;
        all.acknowledged.extend(sent.acknowledged);
    }
    all.acknowledged.sort_unstable();
    Ok(all)
}

fn connection(
    options: &Options,
    templates: &[Template],
    endpoint: &str,
    number: u64,
    deadline: Instant,
) -> Outcome<Sent> {
    let mut connection = Connection::open(endpoint)?;
    let (mut sent, mut body) = (Sent::default(), Vec::new());
    let mut n_bodies = 0;
    while Instant::now() < deadline && options.bodies.is_none_or(|bodies| n_bodies < bodies) {
        let template = &templates[((n_bodies + number * 7) as usize) % templates.len()];
        template.stamp(number << 20 | n_bodies, unix_nanos(), &mut body);
        n_bodies += 1;
        let started = Instant::now();
        while !post(&mut connection, &body)? {
            sent.refused += 1;
            thread::sleep(Duration::from_millis(50));
        }
        sent.acknowledged.push(started.elapsed());
        sent.spans += template.n_spans as u64;
        sent.bytes += body.len() as u64;
    }
    Ok(sent)
}

/// Whether the body was taken; false when the server asks to try again later.
pub fn post(connection: &mut Connection, body: &[u8]) -> io::Result<bool> {
    let answer = connection.post_traces(body)?;
    if matches!(answer.status, 429 | 503) {
        return Ok(false);
    }
    let refused = answer.success()?;
    if refused.is_empty() { Ok(true) } else { Err(io::Error::other("spans were rejected")) }
}

/// How long after its acknowledgement a trace answers to its id, tried now and then under load.
fn watch_visibility(server: &Server, template: &Template, time: Duration) -> Vec<Duration> {
    let deadline = Instant::now() + time;
    let (Ok(mut sender), Ok(mut reader)) =
        (Connection::open(&server.otlp), Connection::open(&server.api))
    else {
        return Vec::new();
    };
    let (mut seen, mut body) = (Vec::new(), Vec::new());
    for number in 0u64.. {
        if Instant::now() >= deadline {
            break;
        }
        let Some(trace) = template.stamp(1 << 30 | number, unix_nanos(), &mut body) else { break };
        if !post(&mut sender, &body).unwrap_or(false) {
            continue;
        }
        let acknowledged = Instant::now();
        let path = format!("/api/v1/traces/{trace}");
        while !reader.get(&path).is_ok_and(|answer| answer.status == 200) {
            if acknowledged.elapsed() > Duration::from_secs(30) {
                break;
            }
        }
        seen.push(acknowledged.elapsed());
        thread::sleep(Duration::from_millis(50));
    }
    seen.sort_unstable();
    seen
}

pub fn unix_nanos() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

/// Everything that a run came to.
struct Measured {
    sent: Sent,
    took: Duration,
    /// Acknowledged to visible, sorted.
    visible: Vec<Duration>,
    cpu_while_sending: Duration,
    cpu_until_idle: Duration,
    /// How long after the last body the server was busy.
    lag: Duration,
    at_start: Memory,
    peak: Memory,
    idle: Memory,
    floor: Floor,
}

impl Measured {
    fn report(&self, options: &Options) {
        let seconds = self.took.as_secs_f64();
        let mut rows = vec![row!["measure", "value", "bar", ""]];
        rows.extend(self.throughput(options, seconds));
        rows.extend(self.processor());
        rows.extend(self.memory());
        table::print(&format!("Ingest, {seconds:.0} s"), &rows);
    }

    fn throughput(&self, options: &Options, seconds: f64) -> Vec<Vec<String>> {
        let sent = &self.sent;
        let rate = sent.spans as f64 / seconds;
        let how = format!("({} connections, batches of {})", options.connections, options.batch);
        let size = sent.bytes as f64 / sent.spans as f64;
        let visible = quantile(&self.visible, 0.99);
        let soon = !self.visible.is_empty() && visible < Duration::from_secs(1);
        let met = verdict(rate >= BAR_SPANS_PER_SECOND);
        vec![
            row![format!("durable spans/s {how}"), format!("{rate:.0}"), "≥ 60,000", met],
            row!["bytes per span on the wire", format!("{size:.0}"), "1,800", ""],
            row!["MB/s", format!("{:.0}", sent.bytes as f64 / 1e6 / seconds), "", ""],
            row!["acknowledged, p50", ms(quantile(&sent.acknowledged, 0.5)), "", ""],
            row!["acknowledged, p99", ms(quantile(&sent.acknowledged, 0.99)), "", ""],
            row!["acknowledged to visible, p50", ms(quantile(&self.visible, 0.5)), "", ""],
            row![
                format!("acknowledged to visible, p99 of {}", self.visible.len()),
                ms(visible),
                "< 1 s",
                verdict(soon),
            ],
            row!["bodies asked to wait (429, 503)", sent.refused, "", ""],
        ]
    }

    fn processor(&self) -> Vec<Vec<String>> {
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / self.sent.spans as f64;
        let floor = self.floor.decode + self.floor.write;
        let ratio = micros(self.cpu_while_sending) / floor;
        let number = |micros: f64| format!("{micros:.2}");
        vec![
            row![
                "server CPU while sending, µs/span",
                number(micros(self.cpu_while_sending)),
                "",
                ""
            ],
            row![
                "server CPU until idle again, µs/span",
                number(micros(self.cpu_until_idle)),
                "",
                ""
            ],
            row!["idle again after", format!("{:.1} s", self.lag.as_secs_f64()), "", ""],
            row!["floor: borrowed decode, µs/span", number(self.floor.decode), "", ""],
            row!["floor: write + fdatasync, µs/span of CPU", number(self.floor.write), "", ""],
            row!["server CPU while sending ÷ floor", format!("{ratio:.1}×"), "", ""],
        ]
    }

    fn memory(&self) -> Vec<Vec<String>> {
        let (peak, idle) = (self.peak, self.idle);
        let small = verdict(peak.resident <= 1_000_000_000);
        let quiet = verdict(idle.resident <= 80_000_000);
        vec![
            row!["memory at start (own pages)", memory(self.at_start), "", ""],
            row!["memory, peak (own pages)", memory(peak), "≤ 1 GB", small],
            row!["memory when idle again (own pages)", memory(idle), "≤ 80 MB", quiet],
        ]
    }
}

/// Resident bytes, and those that are not mapped files.
pub fn memory(memory: Memory) -> String {
    format!("{} ({})", table::bytes(memory.resident), table::bytes(memory.anonymous))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bytes::Bytes;
    use spanwise_model::wire::otlp::decode_traces;

    use super::*;

    #[test]
    fn every_stamped_body_has_new_ids_and_the_size_that_was_promised() {
        let template = Template::new(&Workload::new(u64::MAX), 3, 200);
        let (mut ids, mut n_bytes) = (HashSet::new(), 0);
        for number in 0..3 {
            let mut body = Vec::new();
            let first = template.stamp(number, unix_nanos(), &mut body).unwrap();
            n_bytes += body.len();
            let batch = decode_traces(Bytes::from(body)).unwrap();
            assert!(batch.rejected.is_empty());
            assert_eq!(batch.spans.iter().filter(|span| span.trace_id == first).count(), 10);
            ids.extend(batch.spans.iter().map(|span| (span.trace_id, span.span_id)));
        }
        assert_eq!(ids.len(), 600);
        assert!((1_700..1_900).contains(&(n_bytes / 600)), "{} bytes a span", n_bytes / 600);
    }
}
