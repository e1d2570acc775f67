//! Functions as spans: what `#[workflow]`, `#[task]`, `#[agent]` and `#[tool]` do.
//!
//! ```
//! # let recorder = spanwise::Recorder::new(Default::default());
//! # spanwise::set_default(Some(recorder));
//! #[spanwise::tool(skip(key))]
//! fn weather(city: &str, key: &str) -> f64 {
//!     14.5
//! }
//!
//! #[spanwise::agent(name = "forecaster", err)]
//! async fn forecast(city: String) -> Result<String, std::fmt::Error> {
//!     Ok(format!("{} degrees in {city}", weather(&city, "secret")))
//! }
//!
//! #[spanwise::workflow(organization_id = "acme", user_id = user)]
//! fn chat(user: &str, question: &str) -> String {
//!     futures::executor::block_on(forecast(question.to_owned())).unwrap_or_default()
//! }
//!
//! // workflow.chat → agent.forecaster → tool.weather
//! assert_eq!(chat("u-17", "Oslo"), "14.5 degrees in Oslo");
//! ```
//!
//! | option | does |
//! |---|---|
//! | `name = "…"` | names the span in place of the function |
//! | `skip(a, b)`, `skip_all` | leaves arguments out |
//! | `skip_output` | leaves the result out |
//! | `err` | an `Err` fails the span |
//! | `organization_id`, `project_id`, `agent_id`, `request_id`, `conversation_id`, `user_id` `= …` | sets the attribute here and on everything below; the value is an expression that may use the arguments |
//!
//! They work on functions and methods, sync and async, and on functions that end with
//! `Box::pin(async move { … })`, as `#[async_trait]` makes them (put `#[async_trait]` on the
//! implementation and these on its methods). The span of an async function starts when it is
//! awaited, and is current whenever the future is polled.
//!
//! Arguments, without `self`, are recorded as `input.value`, a JSON object by their names; the
//! result, of a `Result` what is in `Ok`, as `output.value`. What implements [`serde::Serialize`]
//! is written as JSON, what implements only [`Debug`] as text, and of everything else the name of
//! the type. In generic functions that is decided by the bounds on the parameter. A result that is
//! `impl Trait` is not looked at. Nothing is looked at when the trace is not recorded, or content
//! of this sort is switched off.
//!
//! A panic fails the span and goes on. A failure to record never reaches the caller.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use spanwise_model::content::Class;

use crate::span::{Span, current, span};

/// What a function is to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What people ask for.
    Workflow,
    /// A step of a workflow.
    Task,
    /// A part that decides what to do.
    Agent,
    /// Something that a model may use.
    Tool,
}

impl Role {
    /// The canonical kind, OpenTelemetry's operation, and the key that has the name.
    fn names(self) -> (&'static str, Option<&'static str>, &'static str) {
        match self {
            Role::Workflow => ("workflow", Some("invoke_workflow"), "gen_ai.workflow.name"),
            Role::Task => ("task", None, "gen_ai.task.name"),
            Role::Agent => ("agent", Some("invoke_agent"), "gen_ai.agent.name"),
            Role::Tool => ("tool", Some("execute_tool"), "gen_ai.tool.name"),
        }
    }

    /// Whether arguments are recorded.
    pub fn records_input(self, span: &Span) -> bool {
        span.records(match self {
            Role::Workflow | Role::Agent => Class::UserInput,
            Role::Task => Class::FunctionInput,
            Role::Tool => Class::ToolInput,
        })
    }

    /// Whether results are recorded on the current span.
    pub fn records_output(self) -> bool {
        current().records(match self {
            Role::Workflow | Role::Task | Role::Agent => Class::FunctionOutput,
            Role::Tool => Class::ToolOutput,
        })
    }
}

/// Starts the span of a call; `full` is its name, `name` the function's.
pub fn start(role: Role, full: &str, name: &str) -> Span {
    let mut span = span(full);
    if span.is_recording() {
        let (kind, operation, key) = role.names();
        span.set("spanwise.kind", kind).set("gen_ai.operation.name", operation).set(key, name);
    }
    span
}

/// Calls it, once: so that it may give away what it captured.
#[doc(hidden)]
#[inline]
pub fn call<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// The arguments of a call, as they are written.
#[doc(hidden)]
#[derive(Debug)]
pub struct Arguments(Vec<u8>);

#[doc(hidden)]
impl Arguments {
    #[expect(clippy::new_without_default, reason = "only the macros make one")]
    pub fn new() -> Self {
        Arguments(Vec::with_capacity(128))
    }

    pub fn add(&mut self, name: &str, show: impl FnOnce(&mut Vec<u8>)) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        put_text(&mut self.0, name);
        self.0.push(b':');
        show_safely(&mut self.0, show);
    }

    pub fn record(mut self, span: &mut Span) {
        self.0.push(b'}');
        if let Ok(json) = std::str::from_utf8(&self.0) {
            span.set("input.value", json).set("input.mime_type", "application/json");
        }
    }
}

/// Records the result on the current span.
#[doc(hidden)]
pub fn record_output(show: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::with_capacity(128);
    show_safely(&mut out, show);
    if let Ok(json) = std::str::from_utf8(&out) {
        current().set("output.value", json).set("output.mime_type", "application/json");
    }
}

/// Showing a value may run the application's code, which may panic.
fn show_safely(out: &mut Vec<u8>, show: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    if catch_unwind(AssertUnwindSafe(|| show(&mut *out))).is_err() {
        out.truncate(start);
        put_text(out, "<a panic while it was shown>");
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    // Text can always be written, and so can memory.
    drop(serde_json::to_writer(out, text));
}

/// Something to be shown; which of the `Via…` traits does it is decided by what it implements.
#[doc(hidden)]
#[derive(Debug)]
pub struct Shown<'a, T: ?Sized>(pub &'a T);

#[doc(hidden)]
pub trait ViaSerialize {
    fn show(&self, out: &mut Vec<u8>);
}

impl<T: Serialize + ?Sized> ViaSerialize for &&Shown<'_, T> {
    fn show(&self, out: &mut Vec<u8>) {
        let start = out.len();
        if let Err(error) = serde_json::to_writer(&mut *out, self.0) {
            out.truncate(start);
            put_text(out, &format!("<not written: {error}>"));
        }
    }
}

#[doc(hidden)]
pub trait ViaDebug {
    fn show(&self, out: &mut Vec<u8>);
}

impl<T: Debug + ?Sized> ViaDebug for &Shown<'_, T> {
    fn show(&self, out: &mut Vec<u8>) {
        put_text(out, &format!("{:?}", self.0));
    }
}

#[doc(hidden)]
pub trait ViaNothing {
    fn show(&self, out: &mut Vec<u8>);
}

impl<T: ?Sized> ViaNothing for Shown<'_, T> {
    fn show(&self, out: &mut Vec<u8>) {
        put_text(out, &format!("<{}>", std::any::type_name::<T>()));
    }
}

/// A result, of which only what is in `Ok` is shown.
#[doc(hidden)]
#[derive(Debug)]
pub struct Returned<'a, T>(pub &'a T);

#[doc(hidden)]
impl<'a, T, E> Returned<'a, Result<T, E>> {
    pub fn value(&self) -> Option<&'a T> {
        self.0.as_ref().ok()
    }
}

#[doc(hidden)]
pub trait Whole<'a, T> {
    fn value(&self) -> Option<&'a T>;
}

impl<'a, T> Whole<'a, T> for Returned<'a, T> {
    fn value(&self) -> Option<&'a T> {
        Some(self.0)
    }
}

/// What can be an error.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`err` needs a function that returns a `Result`",
    label = "the function returns `{Self}`"
)]
pub trait Fallible<E> {
    fn error(&self) -> Option<&E>;
}

impl<T, E> Fallible<E> for Result<T, E> {
    fn error(&self) -> Option<&E> {
        self.as_ref().err()
    }
}

#[doc(hidden)]
pub fn error_of<E, R: Fallible<E>>(result: &R) -> Option<&E> {
    result.error()
}

/// An error to be recorded; which of the `As…` traits does it is decided by what it implements.
#[doc(hidden)]
#[derive(Debug)]
pub struct Failure<'a, E>(pub &'a E);

#[doc(hidden)]
pub trait AsError {
    fn record(&self);
}

impl<E: Error> AsError for &&Failure<'_, E> {
    fn record(&self) {
        current().error(self.0);
    }
}

#[doc(hidden)]
pub trait AsDisplay {
    fn record(&self);
}

impl<E: Display> AsDisplay for &Failure<'_, E> {
    fn record(&self) {
        current().failed(&self.0.to_string());
    }
}

#[doc(hidden)]
pub trait AsDebug {
    fn record(&self);
}

impl<E: Debug> AsDebug for Failure<'_, E> {
    fn record(&self) {
        current().failed(&format!("{:?}", self.0));
    }
}
