//! Spans as an application holds them.

use std::error::Error;
use std::marker::PhantomData;
#[cfg(feature = "tracing-layer")]
use std::sync::Arc;

use spanwise_model::content::Class;
use spanwise_model::span::StatusCode;
use spanwise_model::wire::otlp::ValueRef;
use spanwise_model::{Attributes, Kind};

use crate::context::Context;
use crate::recorder::{Recorder, Started};
use crate::recording::{Recording, Start};
use crate::settings::Limits;
#[cfg(feature = "tracing-layer")]
use crate::shared::{Newer, Shared};
use crate::thread;
use crate::value::ToValue;

/// A span. It ends when it is dropped.
///
/// It is nobody's parent by itself: [`enter`](Span::enter) it, or put a future
/// [into it](crate::future::InSpan::in_span).
#[derive(Debug)]
#[must_use = "a span ends when it is dropped"]
pub struct Span(State);

/// What is behind a span: never more than a pointer, so that it is handed on in registers. Copies of
/// more through memory cost a third of what recording a span does.
#[derive(Debug)]
pub(crate) enum State {
    /// Nothing: there is no recorder.
    Off,
    /// Only a context: the trace is not recorded, or the span is not ours.
    Passing(Box<Context>),
    Recording(Box<Recording>),
    /// A span that other threads may be in at the same time.
    #[cfg(feature = "tracing-layer")]
    Shared(Arc<Shared>),
    /// Such a span, whose context got attributes since it started.
    #[cfg(feature = "tracing-layer")]
    Newer(Box<Newer>),
    /// It was left while spans inside it were not.
    Left,
}

impl From<Started> for State {
    fn from(started: Started) -> Self {
        match started {
            Started::Unsampled(context) => State::Passing(Box::new(context)),
            Started::Recording(recording) => State::Recording(recording),
        }
    }
}

impl State {
    #[inline]
    pub fn context(&self) -> Option<&Context> {
        match self {
            State::Off | State::Left => None,
            State::Passing(context) => Some(context),
            State::Recording(recording) => Some(recording.context()),
            #[cfg(feature = "tracing-layer")]
            State::Shared(shared) => Some(shared.first_context()),
            #[cfg(feature = "tracing-layer")]
            State::Newer(newer) => Some(&newer.context),
        }
    }

    #[inline]
    pub fn record(&mut self, work: impl FnOnce(&mut Recording)) {
        match self {
            State::Recording(recording) => work(recording),
            #[cfg(feature = "tracing-layer")]
            State::Shared(shared) => shared.record(work).unwrap_or_default(),
            #[cfg(feature = "tracing-layer")]
            State::Newer(newer) => newer.shared.record(work).unwrap_or_default(),
            State::Off | State::Passing(_) | State::Left => {}
        }
    }

    fn is_recording(&self) -> bool {
        match self {
            State::Recording(_) => true,
            #[cfg(feature = "tracing-layer")]
            State::Shared(shared) => shared.is_recording(),
            #[cfg(feature = "tracing-layer")]
            State::Newer(newer) => newer.shared.is_recording(),
            State::Off | State::Passing(_) | State::Left => false,
        }
    }

    /// The span behind it, if other threads may be in it too.
    #[cfg(feature = "tracing-layer")]
    pub fn shared(&self) -> Option<&Arc<Shared>> {
        match self {
            State::Shared(shared) => Some(shared),
            State::Newer(newer) => Some(&newer.shared),
            State::Off | State::Passing(_) | State::Recording(_) | State::Left => None,
        }
    }

    #[cfg(feature = "tracing-layer")]
    pub fn into_shared(self) -> Option<Arc<Shared>> {
        match self {
            State::Shared(shared) => Some(shared),
            State::Newer(newer) => Some(newer.shared),
            State::Off | State::Passing(_) | State::Recording(_) | State::Left => None,
        }
    }

    fn inherit(&mut self, key: &str, value: ValueRef<'_>) {
        match self {
            State::Off | State::Left => {}
            State::Passing(context) => context.inherit_value(&Limits::default(), key, value),
            State::Recording(recording) => recording.inherit(key, value),
            #[cfg(feature = "tracing-layer")]
            State::Shared(shared) => {
                let newer = shared.inherit(shared.first_context(), key, value);
                *self = State::Newer(Box::new(newer));
            }
            #[cfg(feature = "tracing-layer")]
            State::Newer(newer) => **newer = newer.shared.inherit(&newer.context, key, value),
        }
    }
}

/// Starts a span below the current one, or a new trace.
///
/// Before [`init`](crate::init()) it does nothing and costs next to nothing.
#[inline]
pub fn span(name: &str) -> Span {
    start(&Start::named(name))
}

/// Starts a span with more than a name, below the current one or as a new trace.
#[inline]
pub fn start(how: &Start<'_>) -> Span {
    Span(start_here(how))
}

/// Starts a span of the default recorder, if there is one, below the current span.
#[inline]
pub(crate) fn start_here(how: &Start<'_>) -> State {
    #[cfg(feature = "opentelemetry")]
    if let Some(parent) = crate::interop::newer_than_ours() {
        return start_below(&parent, how);
    }
    match thread::with(|thread| thread.start_here(how)) {
        Some(Some(state)) => state,
        _ => State::Off,
    }
}

fn start_below(parent: &Context, how: &Start<'_>) -> State {
    thread::default().map_or(State::Off, |recorder| recorder.start(how, Some(parent)).into())
}

/// Starts a span below another one: of another thread, or of another process.
pub fn span_below(parent: &Context, name: &str) -> Span {
    Span(start_below(parent, &Start::named(name)))
}

/// The current span's context, to be handed to other threads and processes.
pub fn current_context() -> Option<Context> {
    #[cfg(feature = "opentelemetry")]
    if let Some(newer) = crate::interop::newer_than_ours() {
        return Some(newer);
    }
    thread::with(|thread| thread.current().cloned()).flatten()
}

/// The current span, for code that did not start it.
pub fn current() -> Current {
    Current(PhantomData)
}

/// The innermost span that this thread is in. See [`current`].
#[derive(Clone, Copy, Debug)]
pub struct Current(PhantomData<*const ()>);

/// A span that the thread is in, until this is dropped, which ends it.
#[derive(Debug)]
#[must_use = "the span is left, and ends, when this is dropped"]
pub struct Entered {
    depth: usize,
    /// As long as the thread is in it, it is OpenTelemetry's active span.
    #[cfg(feature = "opentelemetry")]
    attached: Option<opentelemetry::ContextGuard>,
    // Threads are in spans one by one.
    not_send: PhantomData<*const ()>,
}

macro_rules! record {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*) |$state:ident| $body:expr;)*) => {
        impl Span {
            $($(#[$doc])* #[inline] pub fn $name(&mut self, $($argument: $type),*) -> &mut Self {
                let $state = &mut self.0;
                $body;
                self
            })*
        }

        impl Entered {
            $($(#[$doc])* #[inline] pub fn $name(&self, $($argument: $type),*) -> &Self {
                self.with(|$state| $body);
                self
            })*
        }

        #[expect(clippy::return_self_not_must_use, reason = "it is returned to say more, or not")]
        impl Current {
            $($(#[$doc])* #[inline] pub fn $name(self, $($argument: $type),*) -> Self {
                self.with(|$state| $body);
                self
            })*
        }
    };
}

record! {
    /// Sets an attribute; a key that is set again gets the new value.
    fn set(key: &str, value: impl ToValue) |span| span.record(|r| value.with(|value| r.set(key, value)));
    /// Sets an attribute of this span and of every span below it that starts from now on, on
    /// whatever thread. Spans below that set the key themselves keep their own value.
    fn inherit(key: &str, value: impl ToValue) |span| value.with(|value| span.inherit(key, value));
    /// Gives it another name.
    fn rename(name: &str) |span| span.record(|r| r.rename(name));
    /// Adds an event with attributes.
    fn event(name: &str, attributes: &Attributes) |span| span.record(|r| r.event(name, None, attributes));
    /// Records that it failed, with the error and what caused it.
    fn error(error: &dyn Error) |span| span.record(|r| r.error(error));
    /// Records that it failed, in a few words.
    fn failed(reason: &str) |span| span.record(|r| r.set_status(StatusCode::Error, reason));
    /// Records that it went well, whatever is said later.
    fn ok() |span| span.record(|r| r.set_status(StatusCode::Ok, ""));
    /// Adds an edge to a span that is not its parent.
    fn link(to: &Context) |span| span.record(|r| r.link(&to.span_context(), to.is_remote(), &Attributes::default()));
}

/// Sets attributes of the current span and of everything below it that starts from now on: who is
/// asking, for whom, in which conversation. It ends with the span.
///
/// The names that most applications need may be written as in `spanwise.init`'s other languages:
/// `organization_id`, `project_id`, `agent_id`, `request_id`, `conversation_id` and `user_id` are
/// recorded as `organization.id` and so on.
///
/// ```
/// # let recorder = spanwise::Recorder::new(Default::default());
/// # spanwise::set_default(Some(recorder));
/// let _request = spanwise::span("request").enter();
/// spanwise::set_span_context([("user_id", "u-17"), ("conversation_id", "c-4")]);
/// let _below = spanwise::span("answer").enter(); // has user.id and conversation.id
/// ```
pub fn set_span_context<'k, V: ToValue>(attributes: impl IntoIterator<Item = (&'k str, V)>) {
    for (key, value) in attributes {
        current().inherit(context_key(key), value);
    }
}

/// The attribute that an argument of the decorators and of [`set_span_context`] is recorded as.
pub fn context_key(name: &str) -> &str {
    match name {
        "organization_id" => "organization.id",
        "project_id" => "project.id",
        "agent_id" => "agent.id",
        "request_id" => "request.id",
        "conversation_id" => "conversation.id",
        "user_id" => "user.id",
        other => other,
    }
}

impl Span {
    /// Stands for a span of another thread or process: spans started inside it are below that one.
    pub fn remote(context: Context) -> Self {
        Span(State::Passing(Box::new(context)))
    }

    /// Whether what is set on it goes anywhere: worth asking before costly work.
    pub fn is_recording(&self) -> bool {
        self.0.is_recording()
    }

    /// Whether content of this class is recorded: worth asking before it is collected.
    pub fn records(&self, class: Class) -> bool {
        matches!(&self.0, State::Recording(recording) if recording.records(class))
    }

    /// What identifies it; `None` where tracing is off.
    pub fn context(&self) -> Option<&Context> {
        self.0.context()
    }

    /// Makes it the current span of this thread.
    #[inline]
    pub fn enter(mut self) -> Entered {
        let state = std::mem::replace(&mut self.0, State::Off);
        // Nothing is left in it that would have to be dropped.
        std::mem::forget(self);
        enter(state)
    }

    /// Makes it the current span while `work` runs, then ends it.
    #[inline]
    pub fn in_scope<R>(self, work: impl FnOnce() -> R) -> R {
        let _entered = self.enter();
        work()
    }

    /// Ends it at this time, nanoseconds since 1970.
    pub fn end_at(mut self, time: u64) {
        if let State::Recording(recording) = std::mem::replace(&mut self.0, State::Off) {
            Recorder::end(recording, Some(time));
        }
    }

    /// Makes it the current span of this thread for a while.
    pub(crate) fn lend(&mut self) -> Entered {
        enter(std::mem::replace(&mut self.0, State::Off))
    }

    /// Takes it back after [`lend`](Span::lend).
    pub(crate) fn take_back(&mut self, entered: Entered) {
        self.0 = entered.leave();
    }
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        if let State::Recording(recording) = std::mem::replace(&mut self.0, State::Off) {
            Recorder::end(recording, None);
        }
    }
}

#[inline]
fn enter(state: State) -> Entered {
    #[cfg(feature = "opentelemetry")]
    let attached = crate::interop::attach(state.context());
    let depth = thread::with(|thread| {
        thread.entered.push(state);
        thread.entered.len()
    });
    Entered {
        // A depth of zero is left without effect.
        depth: depth.unwrap_or_default(),
        #[cfg(feature = "opentelemetry")]
        attached,
        not_send: PhantomData,
    }
}

impl Entered {
    /// Leaves it without ending it.
    pub fn exit(self) -> Span {
        Span(self.leave())
    }

    #[inline]
    #[cfg_attr(
        not(feature = "opentelemetry"),
        expect(unused_mut, reason = "it has nothing to detach")
    )]
    fn leave(mut self) -> State {
        #[cfg(feature = "opentelemetry")]
        drop(self.attached.take());
        let state = thread::with(|thread| thread.leave(self.depth)).unwrap_or(State::Off);
        std::mem::forget(self);
        state
    }

    fn with(&self, work: impl FnOnce(&mut State)) {
        thread::with(|thread| {
            let at = self.depth.checked_sub(1)?;
            thread.entered.get_mut(at).map(work)
        });
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failed("panicked");
        }
        thread::leave_and_end(self.depth);
    }
}

impl Current {
    /// Whether what is set on it goes anywhere.
    pub fn is_recording(&self) -> bool {
        thread::with(|thread| {
            innermost(&mut thread.entered).is_some_and(|span| span.is_recording())
        })
        .unwrap_or_default()
    }

    /// Whether content of this class is recorded: worth asking before it is collected.
    pub fn records(self, class: Class) -> bool {
        let mut records = false;
        self.with(|span| span.record(|recording| records = recording.records(class)));
        records
    }

    #[cfg(feature = "tracing-layer")]
    pub(crate) fn record(self, work: impl FnOnce(&mut Recording)) {
        self.with(|span| span.record(work));
    }

    #[expect(clippy::unused_self, reason = "all three sorts of spans are used alike")]
    fn with(self, work: impl FnOnce(&mut State)) {
        thread::with(|thread| innermost(&mut thread.entered).map(work));
    }
}

fn innermost(entered: &mut [State]) -> Option<&mut State> {
    entered.iter_mut().rev().find(|state| state.context().is_some())
}

impl Start<'_> {
    /// The same with another role in a remote call.
    #[must_use]
    pub fn kind(self, kind: Kind) -> Self {
        Start { kind, ..self }
    }
}
