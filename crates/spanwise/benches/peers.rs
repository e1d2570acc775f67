//! What a span costs the thread that records it, beside other libraries in the same run.
//!
//! Processor time of the recording thread, nanoseconds a span. All that are compared take turns, so
//! that a slow minute of the machine is everybody's; of the rounds the least and the median count.
//! Every span is counted where it arrives, so that nobody is fast by losing some.

#![expect(clippy::print_stdout, reason = "it prints its results")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use opentelemetry::trace::{Span as _, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context as OtelContext, ContextGuard, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter};
use opentelemetry_sdk::trace::{Sampler as OtelSampler, SdkTracer, SdkTracerProvider};
use spanwise::export::{Batch, Delivered, ExportError, Exporter};
use spanwise::{Recorder, Sampling, Settings};
use spanwise_model::sampling::Rate;
use tracing::dispatcher::{Dispatch, with_default};
use tracing_subscriber::layer::SubscriberExt as _;

/// Rounds in which everybody has a turn, after one that fills caches and pools.
const ROUNDS: usize = 11;
/// Pairs of root and child in one turn.
const PAIRS: usize = 20_000;

static ARRIVED: AtomicU64 = AtomicU64::new(0);

fn main() {
    println!("| what | who | min | median | arrived | ratio of minima | of medians | bar |");
    println!("|---|---|---|---|---|---|---|---|");
    let ours = Ours::new();
    let otel = Otel::new(OtelSampler::AlwaysOn);
    let otel_off = Otel::new(OtelSampler::AlwaysOff);
    fastrace::set_reporter(FastraceCounting, fastrace::collector::Config::default());
    compare(
        "root and child, 5 attributes",
        &mut [
            Contestant::new("spanwise", "", || ours.turn(pair)),
            Contestant::new("opentelemetry_sdk", "3× (4.5×)", || {
                otel.turn(|| otel_pair(&otel.1))
            }),
            Contestant::new("fastrace", "2× (3×)", || turn(fastrace_pair, fastrace::flush)),
        ],
    );
    let our_layer = Dispatch::new(tracing_subscriber::registry().with(spanwise::layer()));
    let layer = tracing_opentelemetry::layer().with_tracer(otel.1.clone()).with_threads(false);
    let layer = layer.with_tracked_inactivity(false).with_level(true);
    let otel_layer = Dispatch::new(tracing_subscriber::registry().with(layer));
    compare(
        "tracing: root and child, 5 fields",
        &mut [
            Contestant::new("spanwise", "", || {
                with_default(&our_layer, || ours.turn(tracing_pair))
            }),
            Contestant::new("tracing-opentelemetry", "3× (5×)", || {
                with_default(&otel_layer, || otel.turn(tracing_pair))
            }),
        ],
    );
    ours.0.set_sampling(Sampling::Rate(Rate::NONE));
    compare(
        "not sampled",
        &mut [
            Contestant::new("spanwise", "", || ours.turn(pair)),
            Contestant::new("opentelemetry_sdk", "5× (10×)", || {
                otel_off.turn(|| otel_pair(&otel_off.1))
            }),
        ],
    );
}

fn pair() {
    let _root = ours("agent.run");
    let _child = ours("chat gpt-4o");
}

fn ours(name: &str) -> spanwise::Entered {
    let mut span = spanwise::span(name);
    span.set("gen_ai.operation.name", "chat")
        .set("gen_ai.request.model", "gpt-4o")
        .set("gen_ai.usage.input_tokens", 1234)
        .set("gen_ai.request.temperature", 0.7)
        .set("stream", true);
    span.enter()
}

fn tracing_pair() {
    let _root = tracing_span("agent.run");
    let _child = tracing_span("chat gpt-4o");
}

fn tracing_span(what: &str) -> tracing::span::EnteredSpan {
    tracing::info_span!(
        "work",
        what,
        model = "gpt-4o",
        input_tokens = 1234,
        temperature = 0.7,
        stream = true
    )
    .entered()
}

struct Counting;

impl Exporter for Counting {
    fn export(&mut self, batch: &Batch, _: Instant) -> Result<Delivered, ExportError> {
        std::hint::black_box(batch.otlp());
        ARRIVED.fetch_add(batch.len() as u64, Relaxed);
        Ok(Delivered::default())
    }
}

struct Ours(Arc<Recorder>);

impl Ours {
    fn new() -> Self {
        let settings =
            Settings { exporters: vec![Arc::new(|| Box::new(Counting))], ..Settings::default() };
        let recorder = Recorder::new(settings);
        spanwise::set_default(Some(Arc::clone(&recorder)));
        Ours(recorder)
    }

    fn turn(&self, one: fn()) -> Turn {
        let started = self.0.metrics().spans_started;
        let turn = turn(one, || assert!(self.0.flush(Duration::from_secs(10))));
        let n_started = self.0.metrics().spans_started - started;
        assert_eq!(turn.n_arrived, n_started, "spans were lost");
        turn
    }
}

#[derive(Debug)]
struct OtelCounting;

impl SpanExporter for OtelCounting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        ARRIVED.fetch_add(std::hint::black_box(batch).len() as u64, Relaxed);
        Ok(())
    }
}

struct Otel(SdkTracerProvider, SdkTracer);

impl Otel {
    fn new(sampler: OtelSampler) -> Self {
        // A queue that holds a whole run, so that it loses nothing either.
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(2 * PAIRS + 1)
            .with_max_export_batch_size(512)
            .build();
        let processor = BatchSpanProcessor::builder(OtelCounting).with_batch_config(config).build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(sampler)
            .build();
        let tracer = provider.tracer("bench");
        Otel(provider, tracer)
    }

    fn turn(&self, one: impl Fn()) -> Turn {
        turn(one, || drop(self.0.force_flush()))
    }
}

fn otel_pair(tracer: &SdkTracer) {
    let _root = otel(tracer, "agent.run");
    let _child = otel(tracer, "chat gpt-4o");
}

fn otel(tracer: &SdkTracer, name: &'static str) -> ContextGuard {
    let mut span = tracer.start(name);
    span.set_attribute(KeyValue::new("gen_ai.operation.name", "chat"));
    span.set_attribute(KeyValue::new("gen_ai.request.model", "gpt-4o"));
    span.set_attribute(KeyValue::new("gen_ai.usage.input_tokens", 1234));
    span.set_attribute(KeyValue::new("gen_ai.request.temperature", 0.7));
    span.set_attribute(KeyValue::new("stream", true));
    OtelContext::current_with_span(span).attach()
}

struct FastraceCounting;

impl fastrace::collector::Reporter for FastraceCounting {
    fn report(&mut self, spans: Vec<fastrace::collector::SpanRecord>) {
        ARRIVED.fetch_add(std::hint::black_box(spans).len() as u64, Relaxed);
    }
}

fn fastrace_pair() {
    use fastrace::prelude::*;
    let root = Span::root("agent.run", SpanContext::random()).with_properties(properties);
    let _guard = root.set_local_parent();
    let _child = LocalSpan::enter_with_local_parent("chat gpt-4o").with_properties(properties);
}

fn properties() -> [(&'static str, &'static str); 5] {
    [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", "gpt-4o"),
        ("gen_ai.usage.input_tokens", "1234"),
        ("gen_ai.request.temperature", "0.7"),
        ("stream", "true"),
    ]
}

/// Nanoseconds of processor time a span, and how many spans arrived.
struct Turn {
    nanos: f64,
    n_arrived: u64,
}

fn turn(one: impl Fn(), settle: impl Fn()) -> Turn {
    let arrived = ARRIVED.load(Relaxed);
    let before = thread_time();
    (0..PAIRS).for_each(|_| one());
    let used = thread_time() - before;
    settle();
    Turn { nanos: used / (2 * PAIRS) as f64, n_arrived: ARRIVED.load(Relaxed) - arrived }
}

fn thread_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// One library at one task.
struct Contestant<'a> {
    name: &'static str,
    /// How many times as long as ours it has to take, and had better.
    bar: &'static str,
    turn: Box<dyn Fn() -> Turn + 'a>,
    nanos: Vec<f64>,
    n_arrived: u64,
}

impl<'a> Contestant<'a> {
    fn new(name: &'static str, bar: &'static str, turn: impl Fn() -> Turn + 'a) -> Self {
        Contestant { name, bar, turn: Box::new(turn), nanos: Vec::new(), n_arrived: 0 }
    }

    fn least(&self) -> f64 {
        self.nanos[0]
    }

    fn median(&self) -> f64 {
        self.nanos[self.nanos.len() / 2]
    }
}

/// Lets them take turns, and prints how they did beside the first of them.
fn compare(what: &str, contestants: &mut [Contestant<'_>]) {
    for round in 0..=ROUNDS {
        for one in &mut *contestants {
            let turn = (one.turn)();
            if round > 0 {
                one.nanos.push(turn.nanos);
                one.n_arrived += turn.n_arrived;
            }
        }
    }
    for one in &mut *contestants {
        one.nanos.sort_by(f64::total_cmp);
    }
    let (least, median) = (contestants[0].least(), contestants[0].median());
    for one in contestants {
        println!(
            "| {what} | {} | {:.1} ns | {:.1} ns | {} | {:.1}× | {:.1}× | {} |",
            one.name,
            one.least(),
            one.median(),
            one.n_arrived,
            one.least() / least,
            one.median() / median,
            one.bar,
        );
    }
}
