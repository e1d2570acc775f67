//! What the decorators do around each call.

use std::sync::Mutex;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use spanwise_model::content::Class;
use spanwise_model::wire::otlp::ValueRef;

use crate::api::report;
use crate::json;
use crate::runtime::{Attached, Runtime, with_span};
use crate::span::Span;
use crate::tracer::{Request, Tracer, lock, parent_in, start_named};
use crate::value::with_key;

/// A decorated function: what its spans are called and carry.
#[pyclass(frozen, module = "spanwise._core")]
pub(crate) struct Operation {
    name: String,
    attributes: Py<PyAny>,
    /// Attributes that everything below gets too.
    inherited: Vec<(String, String)>,
    /// The names of its positional parameters, and of the one that takes the rest.
    parameters: Vec<Py<PyString>>,
    rest: Py<PyString>,
    /// Whether the first one is the object that it is a method of.
    skip_first: bool,
    /// Arguments that are not recorded.
    skip: Vec<String>,
    input: Class,
    output: Class,
    keeps_output: bool,
    /// Marks the context while one entry point of an object runs, so that those that it calls are
    /// no calls of their own.
    guard: Option<Py<PyString>>,
}

/// One call, from its start to its end. Generators leave and enter it around each step.
#[pyclass(frozen, freelist = 64, module = "spanwise._core")]
pub(crate) struct Call {
    span: Py<PyAny>,
    /// The context in which the span is current, kept for those that are entered again.
    context: Py<PyAny>,
    attached: Mutex<Option<Attached>>,
    records_output: bool,
}

#[pymethods]
impl Operation {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "one call, in one place")]
    fn new(
        role: &str,
        name: String,
        attributes: Py<PyAny>,
        inherited: &Bound<'_, PyDict>,
        parameters: Vec<Py<PyString>>,
        rest: Py<PyString>,
        skip_first: bool,
        skip: Vec<String>,
        keeps_output: bool,
        guard: Option<Py<PyString>>,
    ) -> PyResult<Self> {
        let (input, output) = match role {
            "tool" => (Class::ToolInput, Class::ToolOutput),
            "task" => (Class::FunctionInput, Class::FunctionOutput),
            _ => (Class::UserInput, Class::FunctionOutput),
        };
        let inherited: PyResult<Vec<(String, String)>> =
            inherited.iter().map(|(key, value)| Ok((key.extract()?, value.extract()?))).collect();
        let inherited = inherited?;
        Ok(Operation {
            name,
            attributes,
            inherited,
            parameters,
            rest,
            skip_first,
            skip,
            input,
            output,
            keeps_output,
            guard,
        })
    }

    /// Starts a call and makes its span current. Nothing that goes wrong here is the caller's
    /// business: then there is no call.
    fn enter(
        &self,
        py: Python<'_>,
        tracer: &Bound<'_, PyAny>,
        arguments: &Bound<'_, PyTuple>,
        named: &Bound<'_, PyDict>,
    ) -> Option<Call> {
        let tracer = tracer.cast_exact::<Tracer>().ok()?;
        self.begin(py, tracer, arguments, named).unwrap_or_else(|error| {
            report(py, "a decorated call is not traced", error);
            None
        })
    }
}

impl Operation {
    fn begin(
        &self,
        py: Python<'_>,
        tracer: &Bound<'_, Tracer>,
        arguments: &Bound<'_, PyTuple>,
        named: &Bound<'_, PyDict>,
    ) -> PyResult<Option<Call>> {
        let runtime = Runtime::current(py)?;
        let above = runtime.get(py)?;
        let object = self.guard.as_ref().and_then(|_| arguments.get_item(0).ok());
        if let (Some(guard), Some(object)) = (&self.guard, &object)
            && let Ok(context) = above.cast::<PyDict>()
            && context.get_item(guard)?.is_some_and(|inside| inside.is(object))
        {
            return Ok(None);
        }
        let request = Request {
            attributes: Some(self.attributes.clone_ref(py)),
            record_exception: true,
            set_status_on_exception: true,
            ..Request::default()
        };
        let span = start_named(tracer, &request, &self.name, parent_in(py, &above)?)?;
        let mut records_output = false;
        if let Ok(span) = span.cast_exact::<Span>() {
            let own = span.get();
            let records = own.record(|recording| {
                for (key, value) in &self.inherited {
                    recording.inherit(key, ValueRef::String(value));
                }
                (recording.records(self.input), recording.records(self.output))
            });
            let (records_input, records_result) = records.unwrap_or_default();
            records_output = records_result && self.keeps_output;
            if records_input {
                self.record_input(py, own, arguments, named);
            }
        }
        let context = with_span(py, &above, &span)?;
        if let (Some(guard), Some(object)) = (&self.guard, object) {
            context.cast::<PyDict>()?.set_item(guard, object)?;
        }
        let attached = Some(runtime.attach_context(py, &context)?);
        Ok(Some(Call {
            span: span.unbind(),
            context: context.unbind(),
            attached: Mutex::new(attached),
            records_output,
        }))
    }

    fn record_input(
        &self,
        py: Python<'_>,
        span: &Span,
        arguments: &Bound<'_, PyTuple>,
        named: &Bound<'_, PyDict>,
    ) {
        let mut out = String::with_capacity(256);
        let skipped = usize::from(self.skip_first);
        let names = self.parameters.iter().map(|name| name.bind(py).clone().into_any());
        let known = names.zip(arguments.iter()).skip(skipped);
        let n_known = self.parameters.len().min(arguments.len());
        let rest = arguments.get_slice(n_known.max(skipped), arguments.len());
        let rest =
            (!rest.is_empty()).then(|| (self.rest.bind(py).clone().into_any(), rest.into_any()));
        let all = known.chain(rest).chain(named.iter());
        json::put_object(&mut out, all.filter(|(name, _)| !self.skips(name)), 0);
        record_content(span, "input", &out);
    }

    fn skips(&self, name: &Bound<'_, PyAny>) -> bool {
        !self.skip.is_empty()
            && name.cast::<PyString>().is_ok_and(|name| {
                with_key(name, |name| self.skip.iter().any(|skipped| skipped == name))
            })
    }
}

fn record_content(span: &Span, direction: &str, json: &str) {
    let (value, mime_type) = match direction {
        "input" => ("input.value", "input.mime_type"),
        _ => ("output.value", "output.mime_type"),
    };
    span.record(|recording| {
        recording.set(value, ValueRef::String(json));
        recording.set(mime_type, ValueRef::String("application/json"));
    });
}

#[pymethods]
impl Call {
    /// The span, for those who want to say more about the call.
    #[getter]
    fn span(&self, py: Python<'_>) -> Py<PyAny> {
        self.span.clone_ref(py)
    }

    #[getter]
    fn records_output(&self) -> bool {
        self.records_output
    }

    /// Makes the span current again, for the next step of a generator.
    fn resume(&self, py: Python<'_>) {
        let attached = Runtime::current(py)
            .and_then(|runtime| runtime.attach_context(py, self.context.bind(py)));
        match attached {
            Ok(attached) => *lock(&self.attached) = Some(attached),
            Err(error) => report(py, "a traced generator lost its context", error),
        }
    }

    /// Makes current what was before, while the span goes on.
    fn suspend(&self, py: Python<'_>) {
        let attached = lock(&self.attached).take();
        if let Some(attached) = attached
            && let Err(error) = attached.detach(py)
        {
            report(py, "a traced call could not restore the context", error);
        }
    }

    /// Ends it with its result.
    fn finish(&self, py: Python<'_>, result: &Bound<'_, PyAny>) {
        self.suspend(py);
        if let Ok(span) = self.span.bind(py).cast_exact::<Span>() {
            if self.records_output && span.get().is_open() {
                record_content(span.get(), "output", &json::to_json(result));
            }
            Span::finish(span, None);
        }
    }

    /// Ends it without a result.
    fn close(&self, py: Python<'_>) {
        self.suspend(py);
        if let Ok(span) = self.span.bind(py).cast_exact::<Span>() {
            Span::finish(span, None);
        }
    }

    /// Ends it with what it raised. What is not an Exception, such as a cancellation, is no error.
    fn fail(&self, py: Python<'_>, exception: &Bound<'_, PyAny>) {
        self.suspend(py);
        if let Ok(span) = self.span.bind(py).cast_exact::<Span>() {
            if exception.is_instance_of::<PyException>() {
                Span::raised(span, exception, true);
            }
            Span::finish(span, None);
        }
    }
}
