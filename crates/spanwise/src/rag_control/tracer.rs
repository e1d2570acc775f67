//! What the engine tells of a request, and who is told.
//!
//! The engine makes [`Note`]s: a span starts, has an attribute, ends. [`Telling`] takes them. Spans
//! are made at once, on the thread of the request, because what adapters record belongs below them;
//! the recorder never blocks. Every other tracer is somebody's code or writes somewhere: it is told
//! by a thread of its own ([`lane`](super::lane)).

use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use spanwise_model::content::Class;
use spanwise_model::wire::otlp::ValueRef;

use super::lane::Lane;
use crate::clock::unix_nanos;
use crate::export::log::date;
use crate::span::{Span, current_context, span};
use crate::{Context, ToValue};

/// An attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Words.
    Text(Cow<'static, str>),
    /// A whole number.
    Int(i64),
    /// Another number.
    Double(f64),
    /// Words, in order.
    Texts(Vec<String>),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Value::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text.into())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Value::Int(number as i64)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Int(number as i64)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Double(number)
    }
}

impl ToValue for Value {
    fn show(&self, record: &mut dyn FnMut(ValueRef<'_>)) {
        match self {
            Value::Text(text) => record(ValueRef::String(text)),
            Value::Int(number) => record(ValueRef::Int(*number)),
            Value::Double(number) => record(ValueRef::Double(*number)),
            Value::Texts(texts) => texts.as_slice().show(record),
        }
    }
}

impl Value {
    fn to_json(&self) -> Json {
        match self {
            Value::Text(text) => (**text).into(),
            Value::Int(number) => (*number).into(),
            Value::Double(number) => (*number).into(),
            Value::Texts(texts) => texts.clone().into(),
        }
    }
}

/// Something that happened; it is about the span that started last and has not ended.
#[derive(Debug)]
pub enum Note<'a> {
    /// A span starts, below the one that is open.
    Start(&'a str),
    /// The span has an attribute.
    Set(&'static str, Value),
    /// Who asks what: told before the first span starts, an attribute of it and of all below.
    About(&'static str, Value),
    /// Something happened in it.
    Event(&'static str, Vec<(&'static str, Value)>),
    /// It failed: a word for it, and more words.
    Error(&'a str, &'a str),
    /// It ends.
    End,
}

/// Takes what the engine tells of one request. None of it may fail, block or panic.
pub trait Telling: Send {
    /// Takes a note.
    fn tell(&mut self, note: Note<'_>);

    /// Whether content of this class is wanted. Log lines are facts only, and want none.
    fn wants(&self, class: Class) -> bool {
        let _ = class;
        false
    }

    /// The trace, once its first span has started.
    fn trace_id(&self) -> Option<String> {
        None
    }

    /// Runs work inside the span that is open.
    fn within(&mut self, work: &mut dyn FnMut()) {
        work();
    }

    /// The request is over.
    fn finish(&mut self) {}
}

/// Who is told of requests.
#[derive(Clone)]
pub(super) enum Choice {
    /// Spans where tracing runs, log lines where it does not.
    Automatic(Lane),
    Nobody,
    Spans,
    Lane(Lane),
}

impl Choice {
    pub fn telling(&self) -> Box<dyn Telling> {
        match self {
            Choice::Automatic(_) if crate::thread::default().is_some() => Box::<Spans>::default(),
            Choice::Spans => Box::<Spans>::default(),
            Choice::Automatic(lane) | Choice::Lane(lane) => lane.telling(None),
            Choice::Nobody => Box::new(Nobody),
        }
    }
}

impl std::fmt::Debug for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Choice::Automatic(_) => "Automatic",
            Choice::Nobody => "Nobody",
            Choice::Spans => "Spans",
            Choice::Lane(_) => "Lane",
        })
    }
}

/// Nobody is told.
#[derive(Debug)]
pub struct Nobody;

impl Telling for Nobody {
    fn tell(&mut self, _: Note<'_>) {}
}

/// Spans of the default recorder.
#[derive(Debug, Default)]
struct Spans {
    open: Vec<Span>,
    about: Vec<(&'static str, Value)>,
}

impl Telling for Spans {
    fn tell(&mut self, note: Note<'_>) {
        match note {
            Note::Start(name) => return self.start(name),
            Note::About(key, value) => return self.about.push((key, value)),
            _ => {}
        }
        let Some(open) = self.open.last_mut() else { return };
        match note {
            Note::Start(_) | Note::About(..) => {}
            Note::Set(key, value) => drop(open.set(key, value)),
            Note::Event(name, attributes) => {
                let attributes = attributes.into_iter().map(|(key, value)| (key, to_model(value)));
                open.event(name, &attributes.collect());
            }
            Note::Error(kind, message) => drop(open.set("error.type", kind).failed(message)),
            Note::End => drop(self.open.pop()),
        }
    }

    fn wants(&self, class: Class) -> bool {
        self.open.last().is_some_and(|open| open.records(class))
    }

    fn trace_id(&self) -> Option<String> {
        self.open.first()?.context().map(|context| context.trace_id.to_string())
    }

    fn within(&mut self, work: &mut dyn FnMut()) {
        let Some(open) = self.open.last_mut() else { return work() };
        let entered = open.lend();
        work();
        open.take_back(entered);
    }
}

impl Spans {
    fn start(&mut self, name: &str) {
        let mut started = match self.open.last().and_then(Span::context) {
            Some(parent) => crate::span::span_below(parent, name),
            None => span(name),
        };
        for (key, value) in self.about.drain(..) {
            started.inherit(key, value);
        }
        self.open.push(started);
    }
}

fn to_model(value: Value) -> spanwise_model::Value {
    match value {
        Value::Text(Cow::Borrowed(text)) => text.into(),
        Value::Text(Cow::Owned(text)) => text.into(),
        Value::Int(number) => number.into(),
        Value::Double(number) => number.into(),
        Value::Texts(texts) => {
            spanwise_model::Value::Array(texts.into_iter().map(Into::into).collect())
        }
    }
}

/// A span as tracers are told of it.
#[derive(Clone, Debug)]
pub struct SpanRecord {
    /// What it is called.
    pub name: String,
    /// Its trace.
    pub trace_id: String,
    /// Its id.
    pub span_id: String,
    /// The span above it.
    pub parent_span_id: Option<String>,
    /// When it started, nanoseconds since 1970.
    pub start_time_unix_nano: u64,
    /// When it ended.
    pub end_time_unix_nano: Option<u64>,
    /// What is known of it so far.
    pub attributes: Map<String, Json>,
    /// What is known of the whole request: its id, its user, the user's organization.
    pub request: Arc<Map<String, Json>>,
}

/// A tracer of your own. It is called by a thread of its own, one call after the other: it may be
/// slow, and it may panic, and no request notices. What it cannot keep up with is left out.
pub trait Tracer: Send {
    /// A span has started.
    fn span_started(&mut self, span: &SpanRecord);
    /// A span has ended.
    fn span_ended(&mut self, span: &SpanRecord);
    /// Something happened in a span.
    fn event(&mut self, span: &SpanRecord, name: &str, attributes: &Map<String, Json>);
    /// A span has failed: a word for it, and more words.
    fn error(&mut self, span: &SpanRecord, kind: &str, message: &str);
}

/// A tracer that writes a line of JSON for each start, end, event and error of a span.
#[derive(Debug)]
pub struct StructlogTracer<W>(pub W);

impl StructlogTracer<std::io::Stderr> {
    /// Lines on standard error.
    pub fn stderr() -> Self {
        StructlogTracer(std::io::stderr())
    }
}

impl<W: Write + Send> StructlogTracer<W> {
    fn line(&mut self, event: &str, span: &SpanRecord, more: Map<String, Json>) {
        let now = unix_nanos();
        let mut line = json!({
            "timestamp": date(now),
            "level": if event == "error" { "error" } else { "info" },
            "event": event,
            "span": span.name,
            "trace_id": span.trace_id,
            "span_id": span.span_id,
            "parent_span_id": span.parent_span_id,
        });
        if let Some(fields) = line.as_object_mut() {
            fields.extend((*span.request).clone());
            fields.extend(more);
        }
        // A log that cannot be written is nobody's error, least of all the request's.
        let _ = writeln!(self.0, "{line}").and_then(|()| self.0.flush());
    }
}

impl<W: Write + Send> Tracer for StructlogTracer<W> {
    fn span_started(&mut self, span: &SpanRecord) {
        self.line("span_start", span, Map::new());
    }

    fn span_ended(&mut self, span: &SpanRecord) {
        let mut more = Map::new();
        let end = span.end_time_unix_nano.unwrap_or(span.start_time_unix_nano);
        let taken = end.saturating_sub(span.start_time_unix_nano);
        more.insert("duration_ms".to_owned(), (taken as f64 / 1e6).into());
        more.insert("attributes".to_owned(), span.attributes.clone().into());
        self.line("span_end", span, more);
    }

    fn event(&mut self, span: &SpanRecord, name: &str, attributes: &Map<String, Json>) {
        let mut more = Map::new();
        more.insert("name".to_owned(), name.into());
        more.insert("attributes".to_owned(), attributes.clone().into());
        self.line("event", span, more);
    }

    fn error(&mut self, span: &SpanRecord, kind: &str, message: &str) {
        let mut more = Map::new();
        more.insert("error_type".to_owned(), kind.into());
        more.insert("message".to_owned(), message.into());
        self.line("error", span, more);
    }
}

/// What [`Lane`] makes of notes before it passes them on: records of the spans that are open.
#[derive(Debug, Default)]
pub(super) struct Records {
    open: Vec<SpanRecord>,
    request: Arc<Map<String, Json>>,
}

/// What a tracer is to be called with.
#[derive(Debug)]
pub(super) enum Told {
    Started(SpanRecord),
    Ended(SpanRecord),
    Event(SpanRecord, &'static str, Map<String, Json>),
    Error(SpanRecord, String, String),
}

impl Told {
    pub fn tell(&self, tracer: &mut dyn Tracer) {
        match self {
            Told::Started(span) => tracer.span_started(span),
            Told::Ended(span) => tracer.span_ended(span),
            Told::Event(span, name, attributes) => tracer.event(span, name, attributes),
            Told::Error(span, kind, message) => tracer.error(span, kind, message),
        }
    }
}

impl Records {
    /// What there is to tell after this note.
    pub fn take(&mut self, note: Note<'_>, above: Option<&Context>) -> Option<Told> {
        match note {
            Note::Start(name) => {
                let record = self.start(name, above);
                self.open.push(record.clone());
                return Some(Told::Started(record));
            }
            Note::About(key, value) => {
                let plain = key.replace("organization", "org").replace('.', "_");
                Arc::make_mut(&mut self.request).insert(plain, value.to_json());
            }
            Note::Set(key, value) => {
                let open = self.open.last_mut()?;
                open.attributes.insert(key.to_owned(), value.to_json());
            }
            Note::Event(name, attributes) => {
                let attributes =
                    attributes.into_iter().map(|(key, value)| (key.to_owned(), value.to_json()));
                return Some(Told::Event(self.open.last()?.clone(), name, attributes.collect()));
            }
            Note::Error(kind, message) => {
                let open = self.open.last_mut()?;
                open.attributes.insert("error.type".to_owned(), kind.into());
                return Some(Told::Error(open.clone(), kind.to_owned(), message.to_owned()));
            }
            Note::End => {
                let mut ended = self.open.pop()?;
                ended.end_time_unix_nano = Some(unix_nanos());
                return Some(Told::Ended(ended));
            }
        }
        None
    }

    pub fn trace_id(&self) -> Option<String> {
        self.open.first().map(|root| root.trace_id.clone())
    }

    fn start(&self, name: &str, above: Option<&Context>) -> SpanRecord {
        let current = above.cloned().or_else(current_context);
        let own = current.as_ref().map_or_else(Context::new_root, Context::new_child);
        let parent = self.open.last();
        SpanRecord {
            name: name.to_owned(),
            trace_id: parent.map_or_else(|| own.trace_id.to_string(), |up| up.trace_id.clone()),
            span_id: own.span_id.to_string(),
            parent_span_id: parent
                .map(|parent| parent.span_id.clone())
                .or_else(|| current.map(|current| current.span_id.to_string())),
            start_time_unix_nano: unix_nanos(),
            end_time_unix_nano: None,
            attributes: Map::new(),
            request: Arc::clone(&self.request),
        }
    }
}
