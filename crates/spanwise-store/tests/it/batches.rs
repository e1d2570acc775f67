//! Bodies that say which spans they hold, and stores to put them into.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spanwise_model::genai::Facts;
use spanwise_model::span::Kind;
use spanwise_model::stored::MISSING_END;
use spanwise_model::{
    Attributes, Resource, RowRole, Scope, Span, SpanId, Status, StoredSpan, TraceId, Warning,
};
use spanwise_store::query::Detail;
use spanwise_store::segment::Rows;
use spanwise_store::{
    AppendError, Appended, Config, Encoding, Hooks, LoggedBody, OpenError, Signal, Store,
};

/// A span by its trace and its own number, neither of them zero.
pub type Number = (u64, u64);

/// The number of a span that runs and has recorded so much, in place of its own. More than nothing.
pub fn running(span: u64, progress: u64) -> u64 {
    span | progress << PROGRESS_AT
}

const PROGRESS_AT: u32 = 32;

/// A body of these spans: the numbers, one after the other.
pub fn body(spans: &[Number]) -> LoggedBody {
    let numbers = spans.iter().flat_map(|(trace, span)| [trace.to_le_bytes(), span.to_le_bytes()]);
    let received = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    LoggedBody {
        project: "default".into(),
        received_unix_nano: received.as_nanos() as u64,
        signal: Signal::Traces,
        encoding: Encoding::Identity,
        body: numbers.flatten().collect::<Vec<u8>>().into(),
    }
}

/// The spans of such a body; the same on every call.
pub fn spans(body: &LoggedBody) -> Vec<StoredSpan> {
    let resource = Arc::new(Resource {
        attributes: [("service.name", "shop")].into_iter().collect(),
        ..Resource::default()
    });
    let scope = Arc::new(Scope::default());
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    let each = body.body.chunks_exact(16).map(|pair| (number(&pair[..8]), number(&pair[8..])));
    let stored = |(trace, progress, span): (u64, u64, u64)| StoredSpan {
        project: Arc::clone(&body.project),
        role: RowRole::Span,
        span: Span {
            trace_id: trace_id(trace),
            span_id: SpanId::from_bytes(&span.to_be_bytes()).unwrap(),
            parent_span_id: None,
            trace_state: "".into(),
            flags: 0,
            name: format!("step {span}").into(),
            kind: Kind::Internal,
            start_time_unix_nano: 1_700_000_000_000_000_000 + trace * 1_000_000 + span,
            end_time_unix_nano: 1_700_000_000_000_000_000
                + trace * 1_000_000
                + span
                + if progress == 0 { 500_000 } else { 0 },
            attributes: [
                ("text", format!("what span {span} of {trace} said")),
                ("progress", progress.to_string()),
            ]
            .into_iter()
            .collect::<Attributes>(),
            dropped_attributes_count: 0,
            events: vec![],
            dropped_events_count: 0,
            links: vec![],
            dropped_links_count: 0,
            status: Status::default(),
            resource: Arc::clone(&resource),
            scope: Arc::clone(&scope),
        },
        facts: Facts::default(),
        warnings: Vec::from_iter((progress > 0).then(|| Warning::new(MISSING_END, "it runs"))),
        received_unix_nano: body.received_unix_nano,
    };
    each.map(|(trace, span)| {
        let low = (1 << PROGRESS_AT) - 1;
        stored((trace, span >> PROGRESS_AT, span & low))
    })
    .collect()
}

pub fn trace_id(trace: u64) -> TraceId {
    let mut bytes = [0xb0; 16];
    bytes[8..].copy_from_slice(&trace.to_be_bytes());
    TraceId::from_bytes(&bytes).unwrap()
}

pub fn number_of(span: &StoredSpan) -> Number {
    let trace = span.span.trace_id.as_bytes()[8..].try_into().unwrap();
    (u64::from_be_bytes(trace), u64::from_be_bytes(*span.span.span_id.as_bytes()))
}

/// A small store that seals only when told, and whose disk is never full.
pub fn config(dir: &Path) -> Config {
    Config {
        seal_after: Duration::from_hours(1),
        min_free_bytes: 0,
        text_index: false,
        ..Config::new(dir)
    }
}

pub fn open(config: Config) -> Result<Store, OpenError> {
    Store::open(config, Arc::new(spans))
}

pub fn open_with(config: Config, hooks: Hooks) -> Store {
    Store::open_with(config, &spans, hooks).unwrap()
}

/// Appends, from a thread that is in no runtime.
pub fn append(store: &Store, numbers: &[Number]) -> Result<Appended, AppendError> {
    let body = body(numbers);
    let spans = spans(&body);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.append(body, spans))
}

pub fn append_all(store: &Store, numbers: &[Number]) {
    let appended = append(store, numbers).unwrap();
    assert_eq!(appended, Appended::New { spans: numbers.len(), duplicates: 0 });
}

/// Every row of a store with how often it is there, live and in segments, without any merging of
/// what is there twice.
pub fn rows(store: &Store) -> HashMap<Number, usize> {
    let snapshot = store.snapshot();
    let mut rows = HashMap::new();
    for row in snapshot.live.iter() {
        *rows.entry(number_of(row)).or_default() += 1;
    }
    for segment in &snapshot.segments {
        let all = Rows::Range(0..segment.meta().n_rows);
        for row in segment.stored_spans(all, Detail::Full).unwrap() {
            *rows.entry(number_of(&row)).or_default() += 1;
        }
    }
    rows
}

/// That a store has exactly these rows, each once.
pub fn check(store: &Store, expected: impl IntoIterator<Item = Number>) {
    let mut found: Vec<_> = rows(store).into_iter().collect();
    found.sort_unstable();
    let mut expected: Vec<_> = expected.into_iter().map(|number| (number, 1)).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// The numbers of one trace, as a reader of traces gets them.
pub fn trace(store: &Store, trace: u64) -> Vec<u64> {
    let rows = store.trace("default", trace_id(trace), Detail::Full).unwrap().unwrap_or_default();
    rows.iter().map(|row| number_of(row).1).collect()
}
