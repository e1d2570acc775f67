//! What segments cost: sealing, merging and indexing per span, and reads.
//!
//! `cargo bench -p spanwise-store --bench segment`

#![expect(clippy::print_stdout, reason = "sizes are what some of it measures")]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use divan::Bencher;
use divan::counter::ItemsCount;
use spanwise_model::genai::{Cost, CostSource, Facts, Operation, Usage};
use spanwise_model::{
    Attributes, Kind, Resource, RowRole, Scope, Span, SpanId, Status, StoredSpan, TraceId,
};
use spanwise_store::query::{Detail, TextQuery};
use spanwise_store::segment::{Rows, Segment, WriteOptions, index_text, merge, schema, write};

fn main() {
    divan::main();
}

/// Spans of a segment; a trace has ten, three of which call a model.
const N_SPANS: u64 = 65_536;

/// Numbers that do not repeat soon.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ mixed >> 29
    }

    /// Small numbers far more often than large ones, as words of a language are.
    fn skewed(&mut self, below: u64) -> u64 {
        let (a, b) = (self.next() % below, self.next() % below);
        a * b / below
    }

    fn prose(&mut self, n_words: usize) -> String {
        let mut text = String::new();
        for _ in 0..n_words {
            let word = self.skewed(20_000);
            let _ =
                write!(text, "{}{} ", ["re", "in", "order", "ship", "a"][word as usize % 5], word);
        }
        text
    }
}

fn spans(seed: u64) -> Vec<Arc<StoredSpan>> {
    let mut random = Random(seed);
    let resources: Vec<Arc<Resource>> = (0..8)
        .map(|n| {
            let name = format!("service-{n}");
            let attributes = [("service.name", name)].into_iter().collect();
            Arc::new(Resource { attributes, ..Resource::default() })
        })
        .collect();
    let scope = Arc::new(Scope { name: "bench".into(), ..Scope::default() });
    (0..N_SPANS).map(|n| Arc::new(span(&mut random, n, &resources, &scope))).collect()
}

fn span(
    random: &mut Random,
    n: u64,
    resources: &[Arc<Resource>],
    scope: &Arc<Scope>,
) -> StoredSpan {
    let (trace, place) = (n / 10, n % 10);
    let start = 1_790_000_000_000_000_000 + trace * 3_000_000 + place * 40_000;
    let mut trace_id = [7; 16];
    trace_id[..8].copy_from_slice(&trace.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let span_id =
        |n: u64| SpanId::from_bytes(&(n + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes());
    let is_model_call = place % 3 == 1;
    StoredSpan {
        project: "default".into(),
        role: RowRole::Span,
        span: Span {
            trace_id: TraceId::from_bytes(&trace_id).expect("not zero"),
            span_id: span_id(n).expect("not zero"),
            parent_span_id: (place > 0).then(|| span_id(trace * 10).expect("not zero")),
            trace_state: "".into(),
            flags: 0x101,
            name: format!("operation {}", random.next() % 30).into(),
            kind: Kind::Internal,
            start_time_unix_nano: start,
            end_time_unix_nano: start + random.next() % 2_000_000_000,
            attributes: attributes(random, is_model_call),
            dropped_attributes_count: 0,
            events: vec![],
            dropped_events_count: 0,
            links: vec![],
            dropped_links_count: 0,
            status: Status::default(),
            resource: resources[(random.next() % 8) as usize].clone(),
            scope: scope.clone(),
        },
        facts: if is_model_call { facts(random) } else { Facts::default() },
        warnings: vec![],
        received_unix_nano: start + 5_000_000_000,
    }
}

/// Sixteen attributes; about 1.8 kB on a model call, 0.5 kB otherwise.
fn attributes(random: &mut Random, is_model_call: bool) -> Attributes {
    let mut attributes = Attributes::default();
    for n in 0..8 {
        attributes.push(
            format!("app.setting.{}", (b'a' + n) as char),
            format!("value {}", random.skewed(50)),
        );
    }
    attributes.push("http.status_code", 200);
    attributes.push("http.duration", random.next() as f64 / 1e12);
    attributes.push("request.id", format!("{:016x}{:016x}", random.next(), random.next()));
    attributes.push("cache.hit", random.next().is_multiple_of(2));
    if is_model_call {
        let messages = serde_json::json!([
            {"role": "system", "parts": [{"type": "text", "content": "You are a helpful assistant. ".repeat(8)}]},
            {"role": "user", "parts": [{"type": "text", "content": random.prose(70)}]},
        ]);
        let answer = serde_json::json!([
            {"role": "assistant", "parts": [{"type": "text", "content": random.prose(60)}]},
        ]);
        attributes.push("gen_ai.operation.name", "chat");
        attributes.push("gen_ai.request.model", "model-large");
        attributes.push("gen_ai.input.messages", messages.to_string());
        attributes.push("gen_ai.output.messages", answer.to_string());
    }
    attributes
}

fn facts(random: &mut Random) -> Facts {
    Facts {
        operation: Some(Operation::Chat),
        provider: "openai".into(),
        request_model: "model-large".into(),
        usage: Usage { input: Some(random.next() % 4000), output: Some(300), ..Usage::default() },
        cost: Some(Cost {
            nano_usd: (random.next() % 10_000_000) as i64,
            source: CostSource::Computed,
        }),
        session_id: format!("session-{}", random.skewed(5000)).into(),
        user_id: format!("user-{}", random.skewed(500)).into(),
        input_preview: random.prose(20).into(),
        output_preview: random.prose(20).into(),
        input_is_message: true,
        output_is_message: true,
        ..Facts::default()
    }
}

static SPANS: LazyLock<Vec<Arc<StoredSpan>>> = LazyLock::new(|| spans(1));

/// A sealed segment that all reads share, with its text index.
static SEGMENT: LazyLock<(tempfile::TempDir, Arc<Segment>)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a folder");
    let segment = sealed(&dir.path().join("segment"), &SPANS);
    let bytes_per_span = segment.meta().bytes as f64 / N_SPANS as f64;
    println!("{bytes_per_span:.0} bytes a span, of which:");
    for file in &segment.meta().files {
        println!("  {:16} {:6.1}", file.name, file.bytes as f64 / N_SPANS as f64);
    }
    index_text(&segment).expect("an index");
    (dir, segment)
});

fn sealed(dir: &std::path::Path, spans: &[Arc<StoredSpan>]) -> Arc<Segment> {
    let meta = write(dir, spans, &WriteOptions::seal()).expect("a segment");
    Arc::new(Segment::open(dir, meta).expect("a segment"))
}

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("segment");
    (dir, path)
}

#[divan::bench(sample_count = 8, sample_size = 1)]
fn seal(bencher: Bencher<'_, '_>) {
    LazyLock::force(&SPANS);
    bencher.with_inputs(fresh).counter(ItemsCount::new(N_SPANS)).bench_values(|(dir, path)| {
        write(&path, &SPANS, &WriteOptions::seal()).expect("a segment");
        dir
    });
}

#[divan::bench(sample_count = 4, sample_size = 1)]
fn merge_four(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().expect("a folder");
    let inputs: Vec<_> =
        (0..4u64).map(|n| sealed(&dir.path().join(n.to_string()), &spans(n + 10))).collect();
    bencher.with_inputs(fresh).counter(ItemsCount::new(4 * N_SPANS)).bench_values(|(dir, path)| {
        merge(&inputs, &path, &WriteOptions::merge(1)).expect("a segment");
        dir
    });
}

#[divan::bench(sample_count = 4, sample_size = 1)]
fn index(bencher: Bencher<'_, '_>) {
    let input = || {
        let (dir, path) = fresh();
        let segment = sealed(&path, &SPANS);
        (dir, segment)
    };
    bencher.with_inputs(input).counter(ItemsCount::new(N_SPANS)).bench_values(|(dir, segment)| {
        index_text(&segment).expect("an index");
        dir
    });
}

#[divan::bench]
fn open(bencher: Bencher<'_, '_>) {
    let segment = &SEGMENT.1;
    bencher.bench(|| Segment::open(segment.dir(), segment.meta().clone()).expect("a segment"));
}

#[divan::bench(args = [Detail::Outline, Detail::Full])]
fn trace_by_id(bencher: Bencher<'_, '_>, detail: Detail) {
    let mut random = Random(3);
    let input = || SPANS[(random.next() % N_SPANS) as usize].span.trace_id;
    bencher
        .with_inputs(input)
        .bench_local_values(|id| SEGMENT.1.trace("default", id, detail).expect("a trace").len());
}

#[divan::bench]
fn scan_two_columns(bencher: Bencher<'_, '_>) {
    let columns = [schema::SERVICE, schema::DURATION];
    bencher
        .counter(ItemsCount::new(N_SPANS))
        .bench(|| SEGMENT.1.columns(Rows::Range(0..N_SPANS as u32), &columns).expect("columns"));
}

#[divan::bench]
fn scan_an_attribute(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(N_SPANS)).bench(|| {
        SEGMENT.1.attribute("app.setting.c", Rows::Range(0..N_SPANS as u32)).expect("a column")
    });
}

#[divan::bench(args = ["order12342", "re5 in1", "order12342 a99999"])]
fn text_by_index(bencher: Bencher<'_, '_>, text: &str) {
    let query = TextQuery { words: text.split(' ').map(str::to_owned).collect(), prefix: false };
    bencher.bench(|| SEGMENT.1.text_rows(&query).expect("rows"));
}

#[divan::bench(sample_count = 8, sample_size = 1)]
fn text_by_scan(bencher: Bencher<'_, '_>) {
    let (_dir, path) = fresh();
    let segment = sealed(&path, &SPANS);
    let query = TextQuery { words: vec!["order12342".into()], prefix: false };
    bencher.counter(ItemsCount::new(N_SPANS)).bench(|| segment.text_rows(&query).expect("rows"));
}
