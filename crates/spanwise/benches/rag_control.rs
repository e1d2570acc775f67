//! What the engine of RAG control and its spans cost a request, beside adapters that take no time.
//!
//! Wall-clock time of whole requests on one thread; documents of 1 kB, five of ten allowed. Spans are
//! counted where they arrive.

#![expect(clippy::print_stdout, reason = "it prints its results")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use spanwise::export::{Batch, Delivered, ExportError, Exporter};
use spanwise::rag_control::{
    AdapterError, Document, Generation, Llm, Piece, Pieces, Policies, Prompt, QueryEmbedding,
    RagControl, Search, StructlogTracer, UserContext, VectorStore,
};
use spanwise::{Recorder, Settings};

const ROUNDS: usize = 11;
const REQUESTS: usize = 500;
const DIMENSIONS: usize = 384;
/// Milliseconds a request.
const BAR: f64 = 0.3;
const POLICIES: &str = "
organizations: {o: {filter: public, policy: cited, retrieval_top_k: 5}}
filters: {public: {field: visibility, operator: equals, value: public}}
policies: {cited: {generation: {temperature: 0.2}, enforcement: {require_citations: true}}}
";

static ARRIVED: AtomicU64 = AtomicU64::new(0);

#[derive(Clone)]
struct Idle(Arc<Vec<Document>>);

impl Llm for Idle {
    fn model(&self) -> &'static str {
        "idle"
    }

    fn generate(&self, _: &Prompt) -> Result<Generation, AdapterError> {
        Ok(Generation { content: ANSWER.to_owned(), ..Generation::default() })
    }

    fn stream(&self, _: &Prompt) -> Result<Pieces<'_>, AdapterError> {
        Ok(Box::new(ANSWER.split_inclusive(' ').map(|word| Ok(Piece::from(word)))))
    }
}

const ANSWER: &str = "Everybody has 28 days of paid holiday a year [1], to be planned with the \
                      team a month ahead [2]; what is left at its end is paid out in January [3].";

impl QueryEmbedding for Idle {
    fn model(&self) -> &'static str {
        "idle"
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn embed(&self, _: &str) -> Result<Vec<f32>, AdapterError> {
        Ok(vec![0.5; DIMENSIONS])
    }
}

impl VectorStore for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn search(&self, _: &Search) -> Result<Vec<Document>, AdapterError> {
        Ok(self.0.to_vec())
    }
}

struct Counting;

impl Exporter for Counting {
    fn export(&mut self, batch: &Batch, _: Instant) -> Result<Delivered, ExportError> {
        ARRIVED.fetch_add(batch.len() as u64, Relaxed);
        Ok(Delivered::default())
    }
}

fn documents() -> Vec<Document> {
    let document = |at: usize| Document {
        id: format!("doc-{at}"),
        content: "Everybody has 28 days of paid holiday a year. ".repeat(22),
        score: 1.0 / (at + 1) as f64,
        metadata: [("visibility".to_owned(), ["public", "internal"][at % 2].into())]
            .into_iter()
            .collect(),
    };
    (0..10).map(document).collect()
}

fn main() {
    let settings =
        Settings { exporters: vec![Arc::new(|| Box::new(Counting))], ..Settings::default() };
    let recorder = Recorder::new(settings);
    spanwise::set_default(Some(Arc::clone(&recorder)));
    let idle = Idle(Arc::new(documents()));
    let engine = || match Policies::parse(POLICIES) {
        Ok(policies) => RagControl::new(idle.clone(), idle.clone(), idle.clone(), policies),
        Err(error) => panic!("{error}"),
    };
    println!("| request | min | median | bar |");
    println!("|---|---|---|---|");
    let spans = engine().with_spans();
    measure("run, spans", &spans, run);
    measure("stream, spans", &spans, stream);
    measure("run, no tracer", &engine().without_tracer(), run);
    measure("run, log lines to nowhere", &engine().tracer(StructlogTracer(std::io::sink())), run);
    let metrics_before_flush = recorder.metrics().spans_started;
    assert!(recorder.flush(Duration::from_secs(10)));
    assert_eq!(ARRIVED.load(Relaxed), metrics_before_flush, "spans were lost");
    println!("\nspans arrived: {metrics_before_flush}, none lost");
}

type Engine = RagControl<Idle, Idle, Idle>;

fn run(engine: &Engine, user: &UserContext) {
    let answer = engine.run("How many days of holiday do I have?", user);
    assert_eq!(std::hint::black_box(answer).map_or(0, |answer| answer.documents.len()), 5);
}

fn stream(engine: &Engine, user: &UserContext) {
    let pieces = engine.stream("How many days of holiday do I have?", user);
    let n_pieces = pieces.map_or(0, |pieces| pieces.flatten().count());
    assert!(std::hint::black_box(n_pieces) > 10);
}

fn measure(what: &str, engine: &Engine, ask: fn(&Engine, &UserContext)) {
    let user = UserContext::new("u-17", "o").attribute("team", "support");
    let mut taken: Vec<f64> = (0..=ROUNDS)
        .map(|_| {
            let started = Instant::now();
            (0..REQUESTS).for_each(|_| ask(engine, &user));
            started.elapsed().as_secs_f64() * 1e3 / REQUESTS as f64
        })
        .skip(1)
        .collect();
    taken.sort_by(f64::total_cmp);
    let (least, median) = (taken[0], taken[ROUNDS / 2]);
    println!("| {what} | {least:.4} ms | {median:.4} ms | < {BAR} ms |");
}
