//! Spans of `tracing`, recorded.
//!
//! ```
//! # let recorder = spanwise::Recorder::new(Default::default());
//! # spanwise::set_default(Some(recorder));
//! use tracing_subscriber::layer::SubscriberExt as _;
//!
//! let subscriber = tracing_subscriber::registry().with(spanwise::layer());
//! tracing::subscriber::with_default(subscriber, || {
//!     let _agent = spanwise::span("agent").enter();
//!     let _lookup = tracing::info_span!("lookup", city = "Oslo", tries = 2).entered();
//!     tracing::info!(hits = 3, "found it"); // an event of "lookup"
//!     spanwise::current().set("hits", 3); // an attribute of "lookup", which is below "agent"
//! });
//! ```

mod callsite;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use spanwise_model::span::StatusCode;
use spanwise_model::wire::otlp::ValueRef;
use spanwise_model::{Attributes, Kind};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes as NewSpan, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::Context as Registered;
use tracing_subscriber::registry::LookupSpan;

use crate::recorder::Recorder;
use crate::recording::{Recording, Start};
use crate::shared::{Name, Shared};
use crate::span::{State, start_here};
use crate::thread;

/// A layer that records the spans of `tracing` with the default recorder.
///
/// Spans of `tracing` and those of [`span`](crate::span()) nest in each other. Fields become typed
/// attributes, events of `tracing` events, `follows_from` a link; `level`, `target`,
/// `code.file.path` and `code.line.number` tell where the span is. An event of level ERROR, or one
/// with an error among its fields, marks the span as failed. The fields `otel.name`, `otel.kind`,
/// `otel.status_code` and `otel.status_description` set what they name.
pub fn layer() -> TracingLayer {
    static LAYERS: AtomicU64 = AtomicU64::new(0);
    TracingLayer { recorder: None, has_location: true, number: LAYERS.fetch_add(1, Relaxed) }
}

/// See [`layer`].
#[derive(Debug)]
pub struct TracingLayer {
    recorder: Option<Arc<Recorder>>,
    has_location: bool,
    number: u64,
}

impl TracingLayer {
    /// Records with this recorder.
    #[must_use]
    pub fn recorder(self, recorder: Arc<Recorder>) -> Self {
        TracingLayer { recorder: Some(recorder), ..self }
    }

    /// Whether spans tell the file and line that they are made in. They do, unless told otherwise.
    #[must_use]
    pub fn location(self, has_location: bool) -> Self {
        TracingLayer { has_location, ..self }
    }

    fn start<S>(&self, new: &NewSpan<'_>, spans: &Registered<'_, S>) -> State
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        let start = Start::named(new.metadata().name());
        if let (true, None) = (new.is_contextual(), &self.recorder) {
            return start_here(&start);
        }
        let Some(recorder) = self.recorder.clone().or_else(thread::default) else {
            return State::Off;
        };
        let parent = match new.parent() {
            Some(parent) => shared(parent, spans).map(|parent| parent.context()),
            None if new.is_root() => None,
            None => crate::current_context(),
        };
        recorder.start(&start, parent.as_ref()).into()
    }

    fn name(&self, id: &Id) -> Name {
        Name { layer: self.number, id: id.into_u64() }
    }

    /// The span of this id. Most spans are entered right after they are made, and closed right
    /// after they are left, by the same thread: then it has it at hand.
    fn span<S>(&self, id: &Id, spans: &Registered<'_, S>) -> Option<Arc<Shared>>
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        let name = self.name(id);
        let recent = thread::with(|thread| thread.recent.take_if(|span| span.is_open_as(name)));
        recent.flatten().or_else(|| shared(id, spans))
    }
}

/// Notes a span that this thread probably enters or closes next.
fn expect_next(span: Arc<Shared>) {
    let before = thread::with(|thread| thread.recent.replace(span));
    // Not in the closure: what ends with it may look at the thread's spans.
    drop(before);
}

/// Ours among the registry's extensions of a span.
struct Extension(Arc<Shared>);

fn shared<S>(id: &Id, spans: &Registered<'_, S>) -> Option<Arc<Shared>>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    let span = spans.span(id)?;
    let extensions = span.extensions();
    extensions.get().map(|Extension(shared)| Arc::clone(shared))
}

impl<S> tracing_subscriber::Layer<S> for TracingLayer
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn on_new_span(&self, new: &NewSpan<'_>, id: &Id, spans: Registered<'_, S>) {
        let mut started = self.start(new, &spans);
        if let State::Recording(recording) = &mut started {
            callsite::describe(recording, new.metadata(), self.has_location);
            new.record(&mut OnSpan(recording));
        }
        if let Some(shared) = Shared::new(started, self.name(id))
            && let Some(span) = spans.span(id)
        {
            let shared = Arc::new(shared);
            span.extensions_mut().replace(Extension(Arc::clone(&shared)));
            expect_next(shared);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, spans: Registered<'_, S>) {
        let Some(shared) = shared(id, &spans) else { return };
        if shared.is_recording() {
            // Showing a value may run code that records too, so the span is not locked meanwhile.
            let mut collected = Collected::default();
            values.record(&mut collected);
            shared.record(|recording| {
                for attribute in &collected.attributes {
                    set(recording, &attribute.key, ValueRef::from(&attribute.value));
                }
            });
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, spans: Registered<'_, S>) {
        if let (Some(shared), Some(follows)) = (shared(id, &spans), shared(follows, &spans)) {
            let to = follows.context().span_context();
            shared.record(|recording| recording.link(&to, false, &Attributes::default()));
        }
    }

    fn on_event(&self, event: &Event<'_>, spans: Registered<'_, S>) {
        if event.is_contextual() {
            let current = crate::current();
            if current.is_recording() {
                let happened = Happened::new(event);
                current.record(|recording| happened.record(recording));
            }
        } else if let Some(shared) = event.parent().and_then(|parent| shared(parent, &spans))
            && shared.is_recording()
        {
            let happened = Happened::new(event);
            shared.record(|recording| happened.record(recording));
        }
    }

    fn on_enter(&self, id: &Id, spans: Registered<'_, S>) {
        if let Some(shared) = self.span(id, &spans) {
            #[cfg(feature = "opentelemetry")]
            attached::enter(id, &shared.context());
            thread::with(|thread| thread.entered.push(shared.entered()));
        }
    }

    fn on_exit(&self, id: &Id, _: Registered<'_, S>) {
        #[cfg(feature = "opentelemetry")]
        attached::exit(id);
        let name = self.name(id);
        let before = thread::with(|thread| {
            let is_left = |state: &State| state.shared().is_some_and(|span| span.name() == name);
            let at = thread.entered.iter().rposition(is_left)?;
            let left = thread.leave(at + 1).into_shared()?;
            thread.recent.replace(left)
        });
        drop(before);
    }

    fn on_close(&self, id: Id, spans: Registered<'_, S>) {
        // The registry forgets it by itself.
        if let Some(shared) = self.span(&id, &spans) {
            shared.end();
        }
    }
}

/// Spans of `tracing` that the thread is in, as OpenTelemetry's active spans.
#[cfg(feature = "opentelemetry")]
mod attached {
    use std::cell::RefCell;

    use opentelemetry::ContextGuard;
    use tracing::span::Id;

    use crate::context::Context;
    use crate::interop;

    thread_local! {
        static ATTACHED: RefCell<Vec<(Id, ContextGuard)>> = const { RefCell::new(Vec::new()) };
    }

    pub fn enter(id: &Id, context: &Context) {
        if let Some(guard) = interop::attach(Some(context)) {
            let entered = (id.clone(), guard);
            ATTACHED.try_with(|attached| attached.borrow_mut().push(entered)).unwrap_or_default();
        }
    }

    pub fn exit(id: &Id) {
        let left = ATTACHED.try_with(|attached| {
            let mut attached = attached.borrow_mut();
            let at = attached.iter().rposition(|(entered, _)| entered == id)?;
            Some(attached.remove(at))
        });
        // What is dropped with it may look at the thread's spans.
        drop(left);
    }
}

/// Sets what a field of a span says.
fn set(recording: &mut Recording, key: &str, value: ValueRef<'_>) {
    match (key, value) {
        ("otel.name", ValueRef::String(name)) => recording.rename(name),
        ("otel.kind", ValueRef::String(kind)) => recording.set_kind(kind_named(kind)),
        ("otel.status_code", ValueRef::String(code)) => match code.to_ascii_lowercase().as_str() {
            "ok" => recording.set_status(StatusCode::Ok, ""),
            "error" => {
                let message = recording.status().message;
                recording.set_status(StatusCode::Error, &message);
            }
            _ => {}
        },
        ("otel.status_description" | "otel.status_message", ValueRef::String(message)) => {
            recording.set_status(StatusCode::Error, message);
        }
        _ => recording.set(key, value),
    }
}

fn kind_named(name: &str) -> Kind {
    match name.to_ascii_lowercase().as_str() {
        "server" => Kind::Server,
        "client" => Kind::Client,
        "producer" => Kind::Producer,
        "consumer" => Kind::Consumer,
        _ => Kind::Internal,
    }
}

macro_rules! visit {
    ($set:ident) => {
        fn record_f64(&mut self, field: &Field, value: f64) {
            self.$set(field.name(), ValueRef::Double(value));
        }

        fn record_i64(&mut self, field: &Field, value: i64) {
            self.$set(field.name(), ValueRef::Int(value));
        }

        fn record_u64(&mut self, field: &Field, value: u64) {
            self.$set(field.name(), ValueRef::Int(i64::try_from(value).unwrap_or(i64::MAX)));
        }

        fn record_bool(&mut self, field: &Field, value: bool) {
            self.$set(field.name(), ValueRef::Bool(value));
        }

        fn record_str(&mut self, field: &Field, value: &str) {
            self.$set(field.name(), ValueRef::String(value));
        }

        fn record_bytes(&mut self, field: &Field, value: &[u8]) {
            self.$set(field.name(), ValueRef::Bytes(value));
        }

        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.$set(field.name(), ValueRef::String(&format!("{value:?}")));
        }
    };
}

/// Writes the fields of a new span, which nobody else sees yet.
struct OnSpan<'a>(&'a mut Recording);

impl OnSpan<'_> {
    #[inline]
    fn set(&mut self, key: &str, value: ValueRef<'_>) {
        // All special names begin so, and few others.
        if key.starts_with("otel.") { set(self.0, key, value) } else { self.0.set(key, value) }
    }
}

impl Visit for OnSpan<'_> {
    visit!(set);
}

/// Fields of an event, or of a span that was there before.
#[derive(Default)]
struct Collected {
    attributes: Attributes,
    message: Option<String>,
    error: Option<String>,
}

impl Collected {
    fn push(&mut self, key: &'static str, value: ValueRef<'_>) {
        match (key, value) {
            ("message", ValueRef::String(text)) => self.message = Some(text.to_owned()),
            // What the `log` crate's bridge adds says the same as the metadata.
            _ if key.starts_with("log.") => {}
            _ => self.attributes.push(key, value.into_owned()),
        }
    }
}

impl Visit for Collected {
    visit!(push);

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let message = value.to_string();
        let causes = std::iter::successors(value.source(), |cause| (*cause).source());
        let chain =
            causes.fold(message.clone(), |chain, cause| format!("{chain}\ncaused by: {cause}"));
        if chain != message {
            self.attributes.push("exception.stacktrace", chain);
        }
        self.attributes.push("exception.message", message.clone());
        self.attributes.push(field.name(), message.clone());
        self.error = Some(message);
    }
}

/// An event of `tracing`, as it will stand in the span.
struct Happened {
    name: String,
    attributes: Attributes,
    failure: Option<String>,
}

impl Happened {
    fn new(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut fields = Collected::default();
        fields.attributes.push("level", metadata.level().as_str());
        fields.attributes.push("target", metadata.target());
        event.record(&mut fields);
        let Collected { attributes, message, error } = fields;
        let is_error = *metadata.level() == Level::ERROR || error.is_some();
        let described = || error.clone().or_else(|| message.clone());
        let described = described().or_else(|| attributes.str("error").map(str::to_owned));
        let name = match (message, error) {
            (Some(message), _) => message,
            (None, Some(_)) => "exception".to_owned(),
            (None, None) => metadata.name().to_owned(),
        };
        Happened { name, attributes, failure: is_error.then(|| described.unwrap_or_default()) }
    }

    fn record(&self, recording: &mut Recording) {
        recording.event(&self.name, None, &self.attributes);
        if let Some(failure) = &self.failure {
            recording.set_status(StatusCode::Error, failure);
        }
    }
}
