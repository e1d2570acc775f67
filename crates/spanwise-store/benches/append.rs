//! How many spans a second are durable and visible, and how long opening takes after a crash.
//!
//! `cargo bench -p spanwise-store --bench append`: eight writers append bodies of 200 spans of
//! about 1.8 kB, while sealing and merging go on; then a store that was never sealed is opened
//! again. Numbers go to standard output.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark reports and stops")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use spanwise_model::genai::Facts;
use spanwise_model::span::Kind;
use spanwise_model::{
    Attributes, Resource, RowRole, Scope, Span, SpanId, Status, StoredSpan, Str, TraceId, Value,
};
use spanwise_store::{AppendError, Config, Encoding, LoggedBody, Signal, Store};

const WRITERS: usize = 8;
const SPANS: usize = 200;
const SPAN_BYTES: usize = 1800;

/// A body whose spans are slices of it, as a decoder makes them.
fn body(number: usize) -> LoggedBody {
    let words = (0..).map(|at: usize| {
        let word = (at.wrapping_mul(2_654_435_761) ^ number.wrapping_mul(40_503)) % 5000;
        format!("{number:06} word{word} ")
    });
    let mut text = String::with_capacity(SPANS * SPAN_BYTES + 32);
    words
        .take_while(|word| {
            text.push_str(word);
            text.len() < SPANS * SPAN_BYTES
        })
        .count();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    LoggedBody {
        project: "default".into(),
        received_unix_nano: now.as_nanos() as u64,
        signal: Signal::Traces,
        encoding: Encoding::Identity,
        body: Bytes::from(text),
    }
}

fn spans(body: &LoggedBody) -> Vec<StoredSpan> {
    let number: u64 = std::str::from_utf8(&body.body[..6]).unwrap().parse().unwrap();
    let resource = Arc::new(Resource {
        attributes: [("service.name", "bench")].into_iter().collect(),
        ..Resource::default()
    });
    let scope = Arc::new(Scope::default());
    let text = Str::try_from(body.body.clone()).unwrap();
    let slice = |at: usize| text.slice_ref(&text[at * SPAN_BYTES..(at + 1) * SPAN_BYTES - 40]);
    (0..SPANS as u64)
        .map(|at| span(body, number, at, slice(at as usize), &resource, &scope))
        .collect()
}

fn span(
    body: &LoggedBody,
    number: u64,
    at: u64,
    text: Str,
    resource: &Arc<Resource>,
    scope: &Arc<Scope>,
) -> StoredSpan {
    let mut trace_id = [1; 16];
    trace_id[..8].copy_from_slice(&(number * 20 + at / 10).to_be_bytes());
    let start = body.received_unix_nano - (SPANS as u64 - at) * 1000;
    let mut attributes = Attributes::default();
    attributes.push("gen_ai.request.model", "gpt-4o");
    attributes.push("gen_ai.usage.input_tokens", Value::Int(at as i64));
    attributes.push("gen_ai.input.messages", Value::String(text));
    StoredSpan {
        project: Arc::clone(&body.project),
        role: RowRole::Span,
        span: Span {
            trace_id: TraceId::from_bytes(&trace_id).unwrap(),
            span_id: SpanId::from_bytes(&(number * 1000 + at + 1).to_be_bytes()).unwrap(),
            parent_span_id: None,
            trace_state: "".into(),
            flags: 1,
            name: "chat gpt-4o".into(),
            kind: Kind::Client,
            start_time_unix_nano: start,
            end_time_unix_nano: start + 900,
            attributes,
            dropped_attributes_count: 0,
            events: vec![],
            dropped_events_count: 0,
            links: vec![],
            dropped_links_count: 0,
            status: Status::default(),
            resource: Arc::clone(resource),
            scope: Arc::clone(scope),
        },
        facts: Facts::default(),
        warnings: vec![],
        received_unix_nano: body.received_unix_nano,
    }
}

fn open(dir: &Path, seal_spans: usize) -> Store {
    let config = Config { seal_spans, min_free_bytes: 0, text_index: false, ..Config::new(dir) };
    Store::open(config, Arc::new(spans)).unwrap()
}

/// Appends the bodies from all writers; tries again when the store is overloaded.
fn append_all(store: &Store, bodies: &[LoggedBody]) -> (Duration, usize) {
    let (next, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    loop {
                        match runtime.block_on(store.append(body.clone(), spans(body))) {
                            Ok(_) => break,
                            Err(AppendError::Overloaded { .. }) => {
                                refused.fetch_add(1, Ordering::Relaxed);
                                std::thread::sleep(Duration::from_millis(20));
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    });
    (started.elapsed(), refused.into_inner())
}

fn report(what: &str, n_spans: usize, took: Duration) {
    let rate = n_spans as f64 / took.as_secs_f64();
    println!("{what}: {n_spans} spans in {took:.2?}, {rate:.0} spans/s");
}

fn main() {
    let bodies: Vec<_> = (0..300).map(body).collect();
    let n_spans = bodies.len() * SPANS;

    let dir = tempfile::tempdir_in(".").unwrap();
    let store = open(dir.path(), usize::MAX);
    let (took, refused) = append_all(&store, &bodies);
    report("append without sealing", n_spans, took);
    println!("  refused {refused} times; status {:?}", store.status());
    drop(store);
    let started = Instant::now();
    let store = open(dir.path(), usize::MAX);
    report("open after a crash", n_spans, started.elapsed());
    let started = Instant::now();
    store.seal().unwrap();
    report("seal", n_spans, started.elapsed());
    drop(store);

    let dir = tempfile::tempdir_in(".").unwrap();
    let store = open(dir.path(), 64 << 10);
    let mut total = Duration::ZERO;
    for round in 0..5 {
        let bodies: Vec<_> = (0..300).map(|at| body(1000 + round * 300 + at)).collect();
        let (took, refused) = append_all(&store, &bodies);
        report(&format!("append while sealing, round {round}, refused {refused}"), n_spans, took);
        total += took;
    }
    report("append while sealing, in all", 5 * n_spans, total);
    let started = Instant::now();
    store.seal().unwrap();
    println!("backlog sealed in {:.2?}; status {:?}", started.elapsed(), store.status());
}
