//! What a span costs the thread that records it, beside other libraries in the same run.
//!
//! Processor time of the recording thread, nanoseconds a span; the least and the median of several
//! runs. Every span is counted where it arrives, so that nobody is fast by losing some.

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
use tracing::subscriber::with_default;
use tracing_subscriber::layer::SubscriberExt as _;

const RUNS: usize = 11;
/// Pairs of root and child in one run.
const PAIRS: usize = 20_000;

static ARRIVED: AtomicU64 = AtomicU64::new(0);

fn main() {
    println!(
        "| what | spanwise, min | median | peer | peer, min | median | ratio of medians | bar |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let ours = Ours::new(Sampling::Rate(Rate::ALL));
    let recorded = ours.measure(pair);
    let otel = Otel::new(OtelSampler::AlwaysOn);
    let otel_recorded = otel.measure();
    row(
        "root and child, 5 attributes",
        &recorded,
        "opentelemetry_sdk",
        &otel_recorded,
        "3× (4.5×)",
    );
    row("root and child, 5 attributes", &recorded, "fastrace", &fastrace_recorded(), "2× (3×)");
    let layer = tracing_subscriber::registry().with(spanwise::layer());
    let layer = with_default(layer, || ours.measure(tracing_pair));
    let peer = tracing_opentelemetry::layer().with_tracer(otel.1.clone()).with_threads(false);
    let peer =
        tracing_subscriber::registry().with(peer.with_tracked_inactivity(false).with_level(true));
    let peer = with_default(peer, || measure(tracing_pair, || drop(otel.0.force_flush())));
    row("tracing: root and child, 5 fields", &layer, "tracing-opentelemetry", &peer, "3× (5×)");
    ours.0.set_sampling(Sampling::Rate(Rate::NONE));
    let unsampled = ours.measure(pair);
    drop(otel);
    let otel = Otel::new(OtelSampler::AlwaysOff);
    row("not sampled", &unsampled, "opentelemetry_sdk", &otel.measure(), "5× (10×)");
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
    fn new(sampling: Sampling) -> Self {
        let settings = Settings {
            sampling,
            exporters: vec![Arc::new(|| Box::new(Counting))],
            ..Settings::default()
        };
        let recorder = Recorder::new(settings);
        spanwise::set_default(Some(Arc::clone(&recorder)));
        Ours(recorder)
    }

    fn measure(&self, one: fn()) -> Times {
        let started = self.0.metrics().spans_started;
        let before = ARRIVED.load(Relaxed);
        let times = measure(one, || assert!(self.0.flush(Duration::from_secs(10))));
        let n = self.0.metrics().spans_started - started;
        assert_eq!(ARRIVED.load(Relaxed) - before, n, "spans were lost");
        times
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

    fn measure(&self) -> Times {
        measure(|| otel_pair(&self.1), || drop(self.0.force_flush()))
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

fn fastrace_recorded() -> Times {
    fastrace::set_reporter(FastraceCounting, fastrace::collector::Config::default());
    measure(fastrace_pair, fastrace::flush)
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

/// Nanoseconds of processor time a span, a run each, ascending.
struct Times(Vec<f64>);

fn measure(one: impl Fn(), settle: impl Fn()) -> Times {
    let run = |_| {
        let before = thread_time();
        (0..PAIRS).for_each(|_| one());
        let used = thread_time() - before;
        settle();
        used / (2 * PAIRS) as f64
    };
    // The first run fills caches and pools.
    run(0);
    let mut times: Vec<_> = (0..RUNS).map(run).collect();
    times.sort_by(f64::total_cmp);
    Times(times)
}

fn thread_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn row(what: &str, ours: &Times, peer: &str, theirs: &Times, bar: &str) {
    let median = |times: &Times| times.0[times.0.len() / 2];
    let ratio = median(theirs) / median(ours);
    println!(
        "| {what} | {:.1} ns | {:.1} ns | {peer} | {:.1} ns | {:.1} ns | {ratio:.1}× | {bar} |",
        ours.0[0],
        median(ours),
        theirs.0[0],
        median(theirs),
    );
}
