//! A span while it is open: everything but its identity is already in the bytes that will leave.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use spanwise_model::content::Class;
use spanwise_model::propagate::SpanContext;
use spanwise_model::sampling::Randomness;
use spanwise_model::span::StatusCode;
use spanwise_model::wire::otlp::{
    Owner, SpanParts, ValueRef, decode_traces, put_event, put_link, put_request, put_span,
};
use spanwise_model::{Attributes, Kind, Resource, Scope, Span, SpanId, Status, Str};

use crate::clock::{Stamp, unix_nanos};
use crate::context::{Context, Identity, Shared};
use crate::fields::Fields;
use crate::intake::{Chunk, Intake};
use crate::recorder::{Recorder, ScopeId};
use crate::running::Shown;
use crate::settings::Limits;
use crate::tail::Ended;

/// What an idle recording keeps of the memory that a huge span took.
const KEPT_BYTES: usize = 16 << 10;

/// An open span. It is recorded when it is given to [`Recorder::end`].
pub struct Recording {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) context: Context,
    parent: Option<SpanId>,
    parent_is_remote: bool,
    name: String,
    kind: Kind,
    pub(crate) scope: ScopeId,
    start: Stamp,
    attributes: Fields,
    events: Parts,
    links: Parts,
    status: StatusCode,
    status_message: String,
    end: Option<Stamp>,
    /// What others see of it while it is open, if they do.
    shown: Option<Arc<Shown>>,
}

/// Events or links, written one after the other.
#[derive(Debug, Default)]
struct Parts {
    bytes: Vec<u8>,
    count: usize,
    dropped: u32,
}

impl Parts {
    /// Makes room for one more, or counts it as dropped.
    fn admit(&mut self, limit: usize) -> bool {
        let admitted = self.count < limit;
        self.count += usize::from(admitted);
        self.dropped += u32::from(!admitted);
        admitted
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.count = 0;
        self.dropped = 0;
    }
}

/// How a span starts.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// What it is, in few distinct words.
    pub name: &'a str,
    /// Its role in a remote call.
    pub kind: Kind,
    /// The instrumentation that records it.
    pub scope: ScopeId,
    /// When it started, nanoseconds since 1970; now, if not said.
    pub time: Option<u64>,
}

impl<'a> Start<'a> {
    /// A span within this process that starts now.
    pub fn named(name: &'a str) -> Self {
        Start { name, kind: Kind::Internal, scope: ScopeId::default(), time: None }
    }
}

impl Recording {
    pub(crate) fn unused(recorder: Arc<Recorder>, identity: Identity) -> Self {
        Recording {
            recorder,
            context: Context::of(identity, None),
            parent: None,
            parent_is_remote: false,
            name: String::new(),
            kind: Kind::Internal,
            scope: ScopeId::default(),
            start: Stamp::Said(0),
            attributes: Fields::new(Owner::Span),
            events: Parts::default(),
            links: Parts::default(),
            status: StatusCode::Unset,
            status_message: String::new(),
            end: None,
            shown: None,
        }
    }

    /// Begins; whatever it recorded before has been cleared.
    #[inline]
    pub(crate) fn begin(
        &mut self,
        start: &Start<'_>,
        identity: Identity,
        shared: Option<Arc<Shared>>,
        parent: Option<&Context>,
    ) {
        self.parent = parent.map(|parent| parent.span_id);
        self.parent_is_remote = parent.is_some_and(Context::is_remote);
        self.context = Context::of(identity, shared);
        self.name.push_str(start.name);
        self.kind = start.kind;
        self.scope = start.scope;
        self.start = Stamp::or_now(start.time);
    }

    /// Forgets everything but its memory.
    pub(crate) fn clear(&mut self) {
        self.name.clear();
        self.attributes.clear();
        self.attributes.shrink(KEPT_BYTES);
        if self.events.count + self.links.count > 0 {
            self.events.clear();
            self.links.clear();
        }
        if self.status != StatusCode::Unset {
            self.status = StatusCode::Unset;
            self.status_message.clear();
        }
        self.context.shared = None;
        self.end = None;
        self.shown = None;
    }

    /// What identifies it, for children and other processes.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Its parent, if it has one.
    pub fn parent(&self) -> Option<SpanId> {
        self.parent
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its role in a remote call.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How it stands so far.
    pub fn status(&self) -> Status {
        Status { code: self.status, message: self.status_message.as_str().into() }
    }

    /// When it started, nanoseconds since 1970.
    pub fn start_time_unix_nano(&mut self) -> u64 {
        let nanos = self.start.unix_nanos(&fastant::Anchor::new());
        // What was told once stays true.
        self.start = Stamp::Said(nanos);
        nanos
    }

    /// Notes that it ends, now unless a time is given; the first time counts.
    pub fn close(&mut self, time: Option<u64>) {
        self.end.get_or_insert_with(|| Stamp::or_now(time));
        self.shown = None;
    }

    /// Whether it was [closed](Recording::close).
    pub fn is_closed(&self) -> bool {
        self.end.is_some()
    }

    /// When it was [closed](Recording::close), nanoseconds since 1970.
    pub fn end_time_unix_nano(&mut self) -> Option<u64> {
        let nanos = self.end?.unix_nanos(&fastant::Anchor::new());
        self.end = Some(Stamp::Said(nanos));
        Some(nanos)
    }

    /// Shows what it records from now on, as long as it is open.
    #[cold]
    pub(crate) fn show(&mut self) -> Arc<Shown> {
        // What is told early stays true.
        self.start = Stamp::Said(self.start.unix_nanos(&fastant::Anchor::new()));
        self.take_inherited();
        let shown = Arc::clone(self.shown.insert(Arc::new(Shown::new(self.scope))));
        self.show_changes();
        shown
    }

    /// To be called after each change.
    #[inline]
    fn show_changes(&self) {
        if self.shown.is_some() {
            self.show_picture();
        }
    }

    #[cold]
    fn show_picture(&self) {
        let (Some(shown), Stamp::Said(start)) = (&self.shown, self.start) else { return };
        let mut head = Vec::with_capacity(256);
        let parts = SpanParts { attributes: &[], events: &[], links: &[], ..self.parts(start, 0) };
        put_span(&mut head, &parts);
        shown.update(&head, self.attributes.bytes(), &self.events.bytes, &self.links.bytes);
    }

    pub(crate) fn closed_at(&mut self) -> Stamp {
        *self.end.get_or_insert_with(Stamp::now)
    }

    /// What it has recorded so far, to be looked at. An open span ends where it starts.
    pub fn snapshot(&mut self) -> Span {
        let anchor = fastant::Anchor::new();
        self.start = Stamp::Said(self.start.unix_nanos(&anchor));
        self.end = self.end.map(|end| Stamp::Said(end.unix_nanos(&anchor)));
        let mut bytes = Vec::with_capacity(512);
        self.write(&mut bytes, &anchor, self.end.unwrap_or(self.start));
        let mut request = Vec::with_capacity(bytes.len() + 16);
        let scopes = [(&Scope::default(), vec![bytes.as_slice()])];
        put_request(&mut request, &Resource::default(), scopes);
        // What was written by this crate can be read.
        let batch = decode_traces(request.into()).unwrap_or_default();
        batch.spans.into_iter().next().unwrap_or_else(|| self.bare())
    }

    fn bare(&self) -> Span {
        Span {
            trace_id: self.context.trace_id,
            span_id: self.context.span_id,
            parent_span_id: self.parent,
            trace_state: Str::default(),
            flags: 0,
            name: self.name.as_str().into(),
            kind: self.kind,
            start_time_unix_nano: 0,
            end_time_unix_nano: 0,
            attributes: Attributes::default(),
            dropped_attributes_count: 0,
            events: Vec::new(),
            dropped_events_count: 0,
            links: Vec::new(),
            dropped_links_count: 0,
            status: self.status(),
            resource: Arc::default(),
            scope: Arc::default(),
        }
    }

    /// Puts these attributes in place of all that were set.
    pub fn replace_attributes(&mut self, attributes: &Attributes) {
        self.attributes.clear();
        self.attributes.set_all(&self.recorder.settings().limits, attributes);
        self.show_changes();
    }

    /// Says how it ended, whatever was said before.
    pub fn replace_status(&mut self, code: StatusCode, message: &str) {
        self.status = StatusCode::Unset;
        self.status_message.clear();
        self.set_status(code, message);
    }

    /// Sets an attribute; a key that is set again gets the new value.
    #[inline]
    pub fn set(&mut self, key: &str, value: ValueRef<'_>) {
        self.attributes.set(&self.recorder.settings().limits, key, value);
        self.show_changes();
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.recorder.settings().limits
    }

    /// Sets what others of its kind have too, before anything else is set.
    pub(crate) fn start_with(&mut self, attributes: &Fields) {
        let inherited = (self.shown.is_some()).then(|| self.attributes.clone());
        self.attributes.become_like(attributes);
        if let Some(inherited) = inherited {
            // A span that is shown while it is open has taken what it inherits already.
            self.attributes.inherit(&self.recorder.settings().limits, &inherited);
            self.show_changes();
        }
    }

    /// Whether content of this class is recorded, or its hash: worth asking before it is collected.
    pub fn records(&self, class: Class) -> bool {
        let content = self.recorder.content();
        content.policy.allows(class) || content.policy.hashes.is_some()
    }

    /// Sets an attribute of this span and of every span below it that starts from now on.
    pub fn inherit(&mut self, key: &str, value: ValueRef<'_>) {
        let limits = self.recorder.settings().limits;
        self.context.inherit_value(&limits, key, value);
        self.attributes.set(&limits, key, value);
        self.show_changes();
    }

    /// Gives it another role in a remote call.
    pub fn set_kind(&mut self, kind: Kind) {
        self.kind = kind;
        self.show_changes();
    }

    /// Gives it another name.
    pub fn rename(&mut self, name: &str) {
        self.name.clear();
        self.name.push_str(name);
        self.show_changes();
    }

    /// Adds an event, now unless a time is given.
    pub fn event(&mut self, name: &str, time: Option<u64>, attributes: &Attributes) {
        let limits = self.recorder.settings().limits;
        if self.events.admit(limits.events) {
            let mut own = Fields::new(Owner::Event);
            own.set_all(&limits.of_parts(), attributes);
            let time = time.unwrap_or_else(unix_nanos);
            put_event(&mut self.events.bytes, time, name, own.bytes(), own.dropped());
        }
        self.show_changes();
    }

    /// Adds an edge to another span.
    pub fn link(&mut self, to: &SpanContext, is_remote: bool, attributes: &Attributes) {
        let limits = self.recorder.settings().limits;
        if self.links.admit(limits.links) {
            let mut own = Fields::new(Owner::Link);
            own.set_all(&limits.of_parts(), attributes);
            put_link(&mut self.links.bytes, to, is_remote, own.bytes(), own.dropped());
        }
        self.show_changes();
    }

    /// Records that it failed: OpenTelemetry's event of an exception with what caused it, and the
    /// status.
    pub fn error(&mut self, error: &dyn Error) {
        let message = error.to_string();
        let mut attributes = Attributes::default();
        attributes.push("exception.message", message.clone());
        let causes: Vec<_> = std::iter::successors(error.source(), |cause| (*cause).source())
            .map(ToString::to_string)
            .collect();
        if !causes.is_empty() {
            let causes = causes.join("\ncaused by: ");
            attributes.push("exception.stacktrace", format!("{message}\ncaused by: {causes}"));
        }
        self.event("exception", None, &attributes);
        self.set_status(StatusCode::Error, &message);
    }

    /// Says how it ended. As OpenTelemetry has it, "unset" changes nothing and "ok" is final.
    pub fn set_status(&mut self, code: StatusCode, message: &str) {
        if code == StatusCode::Unset || self.status == StatusCode::Ok {
            return;
        }
        self.status = code;
        self.status_message.clear();
        if code == StatusCode::Error {
            self.status_message.push_str(message);
        }
        self.show_changes();
    }

    /// Gives it to its trace's tail. Returns spans that are to leave now.
    pub(crate) fn end_in_tail(
        &mut self,
        intake: &Arc<Intake>,
        anchor: &fastant::Anchor,
        end: Stamp,
    ) -> Vec<Chunk> {
        let shared = self.context.shared.clone();
        let Some(tail) = shared.as_ref().and_then(|shared| shared.tail.as_ref()) else {
            return Vec::new();
        };
        let (start, end) = (self.start.unix_nanos(anchor), end.unix_nanos(anchor));
        let name = std::mem::take(&mut self.name);
        let ended = Ended {
            span_id: self.context.span_id,
            name: &name,
            duration: Duration::from_nanos(end.saturating_sub(start)),
            failed: self.status == StatusCode::Error,
            randomness: Randomness::of_trace(self.context.trace_id),
        };
        tail.take(intake, self.scope, &ended, |out| {
            self.name.push_str(&name);
            self.write(out, anchor, Stamp::Said(end));
        })
    }

    /// Writes it as it is, ending at `end`.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, anchor: &fastant::Anchor, end: Stamp) {
        self.take_inherited();
        put_span(out, &self.parts(self.start.unix_nanos(anchor), end.unix_nanos(anchor)));
    }

    fn take_inherited(&mut self) {
        if let Some(Shared { attributes: Some(inherited), .. }) = self.context.shared.as_deref() {
            self.attributes.inherit(&self.recorder.settings().limits, inherited);
        }
    }

    #[inline]
    fn parts(&self, start_time_unix_nano: u64, end_time_unix_nano: u64) -> SpanParts<'_> {
        SpanParts {
            trace_id: self.context.trace_id,
            span_id: self.context.span_id,
            flags: self.context.flags,
            trace_state: self.context.trace_state(),
            parent: self.parent,
            parent_is_remote: self.parent_is_remote,
            name: &self.name,
            kind: self.kind,
            start_time_unix_nano,
            end_time_unix_nano,
            attributes: self.attributes.bytes(),
            dropped_attributes_count: self.attributes.dropped(),
            events: &self.events.bytes,
            dropped_events_count: self.events.dropped,
            links: &self.links.bytes,
            dropped_links_count: self.links.dropped,
            status: self.status,
            status_message: &self.status_message,
        }
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("name", &self.name)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}
