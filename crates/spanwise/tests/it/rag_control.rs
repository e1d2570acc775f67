//! RAG control: every scenario of `testdata/rag_control` gives the spans that stand beside it, the
//! same as in Python; users see nothing that their filter denies; no tracer disturbs a request.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};

use futures::StreamExt as _;
use futures::executor::block_on;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use spanwise::rag_control::{
    AdapterError, Answer, AsyncLlm, AsyncQueryEmbedding, AsyncVectorStore, Document, Error,
    ErrorKind, Generation, Llm, Piece, Pieces, Policies, Prompt, QueryEmbedding, RagControl,
    Search, SpanRecord, Stage, StructlogTracer, Tracer, Usage, UserContext, VectorStore,
};
use spanwise_model::span::StatusCode;
use spanwise_model::{Span, Value};

use crate::recording::with_default;
use crate::sink::Sink;

const DIMENSIONS: usize = 4;

#[derive(Clone, Deserialize)]
struct Scenario {
    name: String,
    mode: String,
    query: String,
    user: User,
    documents: Vec<Document>,
    reply: Reply,
    #[serde(default)]
    fault: BTreeMap<String, String>,
}

#[derive(Clone, Deserialize)]
#[expect(clippy::struct_field_names, reason = "as the file has them")]
struct User {
    user_id: String,
    org_id: String,
    attributes: Map<String, Json>,
}

#[derive(Clone, Default, Deserialize)]
struct Reply {
    pieces: Vec<String>,
    usage: Usage,
    finish_reason: Option<String>,
}

/// All three adapters of a scenario.
#[derive(Clone)]
struct Parts(Arc<Scenario>);

impl Parts {
    fn fault(&self, at: &str) -> Result<&str, AdapterError> {
        match self.0.fault.get(at).map(String::as_str) {
            Some("raise") => Err(AdapterError::new("AsAsked", "as asked")),
            other => Ok(other.unwrap_or_default()),
        }
    }

    fn pieces(&self) -> Result<Vec<Result<Piece, AdapterError>>, AdapterError> {
        if self.fault("generate")? == "empty" {
            return Ok(Vec::new());
        }
        let texts = self.0.reply.pieces.iter().map(|text| Ok(Piece::from(text.as_str())));
        let last = match self.fault("stream") {
            Ok(_) => Ok(Piece {
                text: String::new(),
                usage: Some(self.0.reply.usage),
                finish_reason: self.0.reply.finish_reason.clone(),
            }),
            Err(error) => Err(error),
        };
        Ok(texts.chain([last]).collect())
    }
}

impl Llm for Parts {
    fn model(&self) -> &'static str {
        "mock-model"
    }

    fn provider(&self) -> Option<&str> {
        Some("mock")
    }

    fn generate(&self, _: &Prompt) -> Result<Generation, AdapterError> {
        let reply = &self.0.reply;
        let is_empty = self.fault("generate")? == "empty";
        let content = if is_empty { String::new() } else { reply.pieces.concat() };
        let finish_reason = reply.finish_reason.clone();
        Ok(Generation { content, usage: reply.usage, finish_reason })
    }

    fn stream(&self, _: &Prompt) -> Result<Pieces<'_>, AdapterError> {
        Ok(Box::new(self.pieces()?.into_iter()))
    }
}

impl QueryEmbedding for Parts {
    fn model(&self) -> &'static str {
        "mock-embedding"
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn embed(&self, _: &str) -> Result<Vec<f32>, AdapterError> {
        Ok(match self.fault("embed")? {
            "empty" => Vec::new(),
            "short" => vec![0.5; DIMENSIONS - 1],
            "nan" => vec![0.5, f32::NAN, 0.5, 0.5],
            _ => vec![0.5; DIMENSIONS],
        })
    }
}

impl VectorStore for Parts {
    fn name(&self) -> &'static str {
        "mock-store"
    }

    fn search(&self, _: &Search) -> Result<Vec<Document>, AdapterError> {
        self.fault("search")?;
        Ok(self.0.documents.clone())
    }
}

/// The same without blocking.
struct Async(Parts);

impl AsyncLlm for Async {
    fn model(&self) -> &'static str {
        "mock-model"
    }

    fn provider(&self) -> Option<&str> {
        Some("mock")
    }

    async fn generate(&self, prompt: &Prompt) -> Result<Generation, AdapterError> {
        yield_once().await;
        self.0.generate(prompt)
    }

    fn stream(
        &self,
        _: Arc<Prompt>,
    ) -> impl futures::Stream<Item = Result<Piece, AdapterError>> + Send {
        let pieces = self.0.pieces().unwrap_or_else(|error| vec![Err(error)]);
        futures::stream::iter(pieces).then(async |piece| {
            yield_once().await;
            piece
        })
    }
}

impl AsyncQueryEmbedding for Async {
    fn model(&self) -> &'static str {
        "mock-embedding"
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    async fn embed(&self, text: &str) -> Result<Vec<f32>, AdapterError> {
        yield_once().await;
        self.0.embed(text)
    }
}

impl AsyncVectorStore for Async {
    fn name(&self) -> &'static str {
        "mock-store"
    }

    async fn search(&self, search: &Search) -> Result<Vec<Document>, AdapterError> {
        yield_once().await;
        self.0.search(search)
    }
}

async fn yield_once() {
    let mut has_yielded = false;
    std::future::poll_fn(|task| {
        if std::mem::replace(&mut has_yielded, true) {
            return std::task::Poll::Ready(());
        }
        task.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

fn testdata() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/rag_control")
}

fn scenarios() -> Vec<Scenario> {
    let text = std::fs::read_to_string(testdata().join("scenarios.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn scenario(name: &str) -> Scenario {
    scenarios().into_iter().find(|one| one.name == name).unwrap()
}

fn policies() -> Policies {
    Policies::open(testdata().join("policies.yaml")).unwrap()
}

fn user(scenario: &Scenario) -> UserContext {
    let User { user_id, org_id, attributes } = scenario.user.clone();
    UserContext { user_id, org_id, attributes }
}

fn engine(scenario: &Scenario) -> RagControl<Parts, Parts, Parts> {
    let parts = Parts(Arc::new(scenario.clone()));
    RagControl::new(parts.clone(), parts.clone(), parts, policies())
}

fn ask(
    rag: &RagControl<Parts, Parts, Parts>,
    scenario: &Scenario,
) -> Result<(Answer, String), Error> {
    if scenario.mode == "run" {
        let answer = rag.run(&scenario.query, &user(scenario))?;
        let content = answer.content.clone();
        return Ok((answer, content));
    }
    let mut stream = rag.stream(&scenario.query, &user(scenario))?;
    let shown = stream.by_ref().collect::<Result<String, _>>()?;
    Ok((stream.result().unwrap().clone(), shown))
}

fn ask_without_blocking(scenario: &Scenario) -> Result<Answer, Error> {
    let parts = || Async(Parts(Arc::new(scenario.clone())));
    let rag = RagControl::new(parts(), parts(), parts(), policies());
    block_on(async {
        if scenario.mode == "run" {
            return rag.arun(&scenario.query, &user(scenario)).await;
        }
        let mut stream = rag.astream(&scenario.query, &user(scenario)).await?;
        while let Some(piece) = stream.next().await {
            piece?;
        }
        Ok(stream.result().unwrap().clone())
    })
}

/// The outcome and the spans as text, without what differs from request to request.
fn described(outcome: &Result<Answer, Error>, spans: &[Span]) -> String {
    let mut text = match outcome {
        Ok(answer) => format!(
            "answer: {}\ndocuments: {}\ncitations: {}\nrefused: {}\npolicy: {}\n\n",
            json!(answer.content),
            answer.documents.iter().map(|one| one.id.as_str()).collect::<Vec<_>>().join(" "),
            answer.citations.join(" "),
            answer.refused,
            answer.policy_name,
        ),
        Err(error) => format!("error: {error}\n\n"),
    };
    let root = spans.iter().find(|span| span.parent_span_id.is_none()).unwrap();
    let children = spans.iter().filter(|span| span.parent_span_id == Some(root.span_id));
    describe(&mut text, root, "");
    children.for_each(|child| describe(&mut text, child, "  "));
    text
}

fn describe(text: &mut String, span: &Span, indent: &str) {
    let status = match span.status.code {
        StatusCode::Error => format!(" (error: {})", span.status.message),
        _ => String::new(),
    };
    writeln!(text, "{indent}{}{status}", span.name).unwrap();
    let mut attributes: Vec<_> = span.attributes.iter().collect();
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
    for one in attributes {
        let value = match &*one.key {
            "request.id" | "request_id" => json!("<id>"),
            "stage_latency_ms" | "gen_ai.response.time_to_first_chunk" => json!("<time>"),
            _ => plain(&one.value),
        };
        writeln!(text, "{indent}    {} = {value}", one.key).unwrap();
    }
    for event in &span.events {
        writeln!(text, "{indent}    event {}", event.name).unwrap();
    }
}

fn plain(value: &Value) -> Json {
    match value {
        Value::String(text) => json!(&**text),
        Value::Int(number) => json!(number),
        Value::Double(number) => json!(number),
        Value::Bool(truth) => json!(truth),
        Value::Array(values) => values.iter().map(plain).collect(),
        _ => Json::Null,
    }
}

fn spans_in_order(sink: &Sink, recorder: &spanwise::Recorder) -> Vec<Span> {
    assert!(recorder.flush(std::time::Duration::from_secs(10)));
    let mut spans = sink.spans();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    spans
}

#[test]
fn every_scenario_gives_the_spans_that_stand_beside_it_blocking_or_not() {
    for scenario in scenarios() {
        let mut found = Vec::new();
        for blocking in [true, false] {
            with_default(|sink, recorder| {
                let outcome = if blocking {
                    ask(&engine(&scenario), &scenario).map(|(answer, shown)| {
                        assert_eq!(answer.content, shown, "{}", scenario.name);
                        answer
                    })
                } else {
                    ask_without_blocking(&scenario)
                };
                found.push(described(&outcome, &spans_in_order(sink, recorder)));
            });
        }
        assert_eq!(found[0], found[1], "{}", scenario.name);
        let golden = testdata().join(format!("{}.txt", scenario.name));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &found[0]).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(found[0], expected, "{}: UPDATE_GOLDEN=1 writes it anew", scenario.name);
    }
}

#[test]
fn a_request_joins_the_current_trace_and_what_adapters_record_is_below_their_stage() {
    struct Recording(Parts);
    impl QueryEmbedding for Recording {
        fn model(&self) -> &'static str {
            "recording"
        }
        fn dimensions(&self) -> usize {
            DIMENSIONS
        }
        fn embed(&self, text: &str) -> Result<Vec<f32>, AdapterError> {
            spanwise::span("POST").in_scope(|| self.0.embed(text))
        }
    }
    with_default(|sink, recorder| {
        let scenario = scenario("run_answered");
        let parts = Parts(Arc::new(scenario.clone()));
        let rag = RagControl::new(parts.clone(), Recording(parts.clone()), parts, policies());
        let answer = {
            let _handler = spanwise::span("handler").enter();
            rag.run(&scenario.query, &user(&scenario)).unwrap()
        };
        let spans = spans_in_order(sink, recorder);
        let named = |name: &str| spans.iter().find(|span| span.name == *name).unwrap();
        let (handler, root) = (named("handler"), named("rag_control.request.run"));
        let stage = named("rag_control.request.run.stage.embedding");
        assert_eq!(root.parent_span_id, Some(handler.span_id));
        assert_eq!(named("POST").parent_span_id, Some(stage.span_id));
        assert_eq!(answer.trace_id, Some(handler.trace_id.to_string()));
        let request_id = named("POST").attributes.str("request.id");
        assert_eq!(request_id, Some(answer.request_id.as_str()));
    });
}

#[test]
fn a_stream_that_is_abandoned_ends_its_spans() {
    with_default(|sink, recorder| {
        let scenario = scenario("stream_answered");
        let rag = engine(&scenario);
        let mut stream = rag.stream(&scenario.query, &user(&scenario)).unwrap();
        assert_eq!(stream.next().unwrap().unwrap(), "You have 28 days ");
        drop(stream);
        let spans = spans_in_order(sink, recorder);
        let root = spans.iter().find(|span| span.parent_span_id.is_none()).unwrap();
        assert_eq!(root.attributes.str("status"), Some("error"));
        assert_eq!(root.attributes.str("error.type"), Some("abandoned"));
    });
}

#[test]
fn errors_name_their_stage_and_their_request() {
    for (name, stage) in [
        ("run_unknown_organization", Stage::OrgLookup),
        ("run_empty_query", Stage::Embedding),
        ("run_embedding_is_not_a_number", Stage::Embedding),
        ("stream_retrieval_raises", Stage::Retrieval),
        ("run_generation_raises", Stage::Generate),
        ("stream_raises_half_way", Stage::Stream),
        ("stream_rejected_on_the_way", Stage::Enforcement),
    ] {
        let scenario = scenario(name);
        let error = ask(&engine(&scenario).without_tracer(), &scenario).unwrap_err();
        assert_eq!(error.stage, stage, "{name}");
        assert!(error.request_id.starts_with("req-") && error.trace_id.is_none());
    }
}

#[test]
fn ten_thousand_documents_are_filtered_and_cut_to_the_best() {
    let mut scenario = scenario("run_answered");
    scenario.documents = (0..10_000)
        .map(|n: u32| Document {
            id: format!("d{n}"),
            content: "28 days".to_owned(),
            score: f64::from(n % 97),
            metadata: [("visibility".to_owned(), ["public", "internal"][n as usize % 2].into())]
                .into_iter()
                .collect(),
        })
        .collect();
    scenario.reply.pieces = vec!["28 days [1].".to_owned()];
    let answer = engine(&scenario).without_tracer().run("How many?", &user(&scenario)).unwrap();
    assert_eq!(answer.documents.len(), 3);
    assert!(answer.documents.iter().all(|one| one.score > 95.5));
    for bad in [f64::NAN, 1.0] {
        scenario.documents[5].score = bad;
        scenario.documents[5].id = String::new();
        let error = engine(&scenario).without_tracer().run("How?", &user(&scenario)).unwrap_err();
        assert!(matches!(error.kind, ErrorKind::BadResult(_)));
    }
}

#[test]
fn log_lines_tell_of_every_start_end_event_and_error_with_the_same_ids() {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let scenario = scenario("run_rejected_for_a_citation");
    let rag = engine(&scenario).tracer(StructlogTracer(lines.clone()));
    let error = rag.run(&scenario.query, &user(&scenario)).unwrap_err();
    drop(rag);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
    assert_eq!(["span_start", "span_end", "event", "error"].map(count), [8, 8, 1, 2]);
    for line in &lines {
        assert_eq!(line["request_id"], error.request_id, "{line}");
        assert_eq!(line["trace_id"].as_str(), error.trace_id.as_deref());
        assert_eq!((&line["user_id"], &line["org_id"]), (&json!("u-17"), &json!("meridian")));
    }
    assert!(!text.contains("28 days"), "log lines hold no content");
}

/// Panics, or waits until it is let go, at one of its hooks.
struct Bad {
    hook: usize,
    hangs: Option<mpsc::Receiver<()>>,
    n_calls: Arc<AtomicUsize>,
}

impl Bad {
    fn called(&self, hook: usize) {
        self.n_calls.fetch_add(1, Relaxed);
        if hook == self.hook {
            match &self.hangs {
                Some(release) => drop(release.recv()),
                None => panic!("as asked"),
            }
        }
    }
}

impl Tracer for Bad {
    fn span_started(&mut self, _: &SpanRecord) {
        self.called(0);
    }
    fn span_ended(&mut self, _: &SpanRecord) {
        self.called(1);
    }
    fn event(&mut self, _: &SpanRecord, _: &str, _: &Map<String, Json>) {
        self.called(2);
    }
    fn error(&mut self, _: &SpanRecord, _: &str, _: &str) {
        self.called(3);
    }
}

#[test]
fn a_tracer_that_panics_or_hangs_at_any_hook_changes_no_answer() {
    for name in ["run_answered", "stream_rejected_at_the_end"] {
        let scenario = scenario(name);
        let expected = ask(&engine(&scenario).without_tracer(), &scenario);
        for (hook, hangs) in (0..4).flat_map(|hook| [(hook, false), (hook, true)]) {
            let (release, released) = mpsc::channel();
            let n_calls = Arc::new(AtomicUsize::new(0));
            let hangs = hangs.then_some(released);
            let rag = engine(&scenario).tracer(Bad { hook, hangs, n_calls: Arc::clone(&n_calls) });
            // It hangs until all of these have their answers.
            for _ in 0..20 {
                match (ask(&rag, &scenario), &expected) {
                    (Ok((answer, _)), Ok((expected, _))) => {
                        assert_eq!(answer.content, expected.content);
                    }
                    (Err(error), Err(expected)) => {
                        assert_eq!(error.to_string(), expected.to_string());
                    }
                    _ => panic!("hook {hook} changed the outcome"),
                }
            }
            assert!(n_calls.load(Relaxed) > 0);
            drop(release);
        }
    }
}

fn any_filter() -> impl Strategy<Value = Json> {
    let value = prop_oneof![
        Just(json!("red")),
        Just(json!(1)),
        Just(json!("$user.attributes.color")),
        Just(json!("$user.attributes.level")),
        Just(json!("$user.id")),
    ];
    let operator = prop::sample::select(vec!["equals", "not_equals", "contains"]);
    let leaf = (prop::sample::select(vec!["color", "level", "owner"]), operator, value).prop_map(
        |(field, operator, value)| json!({"field": field, "operator": operator, "value": value}),
    );
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|all| json!({"and": all})),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|any| json!({"or": any})),
            inner.prop_map(|not| json!({"not": not})),
        ]
    })
}

fn any_facts() -> impl Strategy<Value = Map<String, Json>> {
    let value = prop::sample::select(vec![
        json!("red"),
        json!("blue"),
        json!(1),
        json!(2),
        json!(["red"]),
        Json::Null,
    ]);
    prop::collection::btree_map(prop::sample::select(vec!["color", "level", "owner"]), value, 0..4)
        .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Whether a rule surely allows a document, written without the engine's own code.
fn surely(rule: &Json, user: &UserContext, facts: &Map<String, Json>) -> Option<bool> {
    let all = |rules: &Json, stops: bool| {
        let truths: Vec<_> =
            rules.as_array().unwrap().iter().map(|rule| surely(rule, user, facts)).collect();
        if truths.contains(&Some(stops)) {
            Some(stops)
        } else if truths.contains(&None) {
            None
        } else {
            Some(!stops)
        }
    };
    if let Some(rules) = rule.get("and") {
        return all(rules, false);
    }
    if let Some(rules) = rule.get("or") {
        return all(rules, true);
    }
    if let Some(not) = rule.get("not") {
        return surely(not, user, facts).map(|truth| !truth);
    }
    let found = facts.get(rule["field"].as_str().unwrap())?;
    let value = match rule["value"].as_str() {
        Some("$user.id") => json!(user.user_id),
        Some(text) if text.starts_with('$') => {
            user.attributes.get(text.rsplit('.').next().unwrap())?.clone()
        }
        _ => rule["value"].clone(),
    };
    let alike = |a: &Json, b: &Json| {
        let is_same_type = a.is_string() && b.is_string()
            || a.is_number() && b.is_number()
            || a.is_array() && b.is_array();
        is_same_type.then(|| a == b)
    };
    match rule["operator"].as_str().unwrap() {
        "contains" => Some(found.as_array()?.iter().any(|one| alike(one, &value) == Some(true))),
        "equals" => alike(found, &value),
        _ => alike(found, &value).map(|same| !same),
    }
}

proptest! {
    #[test]
    fn no_answer_contains_what_the_users_filter_denies(
        filter in any_filter(),
        attributes in any_facts(),
        documents in prop::collection::vec(any_facts(), 0..12),
        top_k in 1_usize..6,
    ) {
        // JSON is YAML.
        let file = json!({
            "organizations": {"o": {"filter": "f", "policy": "p", "retrieval_top_k": top_k}},
            "filters": {"f": filter},
            "policies": {"p": {}},
        });
        let policies = Policies::parse(&file.to_string()).unwrap();
        let mut scenario = scenario("run_answered");
        scenario.documents = documents.iter().enumerate().map(|(at, metadata)| Document {
            id: at.to_string(), content: format!("secret-{at}."), score: 0.5, metadata: metadata.clone(),
        }).collect();
        let user = UserContext { user_id: "red".to_owned(), org_id: "o".to_owned(), attributes };
        let allowed: Vec<usize> = (0..documents.len())
            .filter(|at| surely(&filter, &user, &documents[*at]) == Some(true)).collect();
        let prompted = Arc::new(Mutex::new(String::new()));
        let parts = Parts(Arc::new(scenario));
        let llm = Listening(Arc::clone(&prompted));
        let rag = RagControl::new(llm, parts.clone(), parts, policies).without_tracer();
        let answer = rag.run("Tell me everything", &user).unwrap();
        let shown: Vec<usize> = answer.documents.iter().map(|one| one.id.parse().unwrap()).collect();
        prop_assert_eq!(&shown, &allowed[..allowed.len().min(top_k)]);
        let prompted = prompted.lock().unwrap();
        for at in 0..documents.len() {
            prop_assert_eq!(prompted.contains(&format!("secret-{at}.")), shown.contains(&at));
        }
    }
}

/// Repeats all that it is told.
struct Listening(Arc<Mutex<String>>);

impl Llm for Listening {
    fn model(&self) -> &'static str {
        "listening"
    }

    fn generate(&self, prompt: &Prompt) -> Result<Generation, AdapterError> {
        let said = prompt.messages.iter().map(|one| one.content.as_str()).collect::<String>();
        self.0.lock().unwrap().clone_from(&said);
        Ok(Generation { content: said, ..Generation::default() })
    }

    fn stream(&self, _: &Prompt) -> Result<Pieces<'_>, AdapterError> {
        Ok(Box::new(std::iter::empty()))
    }
}
