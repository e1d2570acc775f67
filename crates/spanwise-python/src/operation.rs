//! What the decorators do around each call.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use spanwise_model::wire::otlp::ValueRef;

use crate::api::report;
use crate::json;
use crate::runtime::{Attached, Runtime, with_span};
use crate::span::Span;
use crate::tracer::{Request, Tracer, lock, parent_in, start_named};

/// A decorated function: what its spans are called and carry.
#[pyclass(frozen, module = "spanwise._core")]
pub(crate) struct Operation {
    name: String,
    attributes: Option<Py<PyAny>>,
    /// The names of its positional parameters.
    parameters: Vec<Py<PyString>>,
    /// Whether the first one is the object that it is a method of.
    skip_first: bool,
    records_input: AtomicBool,
    records_output: AtomicBool,
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
    fn new(
        name: String,
        attributes: Option<Py<PyAny>>,
        parameters: Vec<Py<PyString>>,
        skip_first: bool,
        records_input: bool,
        records_output: bool,
    ) -> Self {
        Operation {
            name,
            attributes,
            parameters,
            skip_first,
            records_input: records_input.into(),
            records_output: records_output.into(),
        }
    }

    /// Which content is recorded from now on.
    fn set_content(&self, input: bool, output: bool) {
        self.records_input.store(input, Relaxed);
        self.records_output.store(output, Relaxed);
    }

    /// Starts a call and makes its span current. Nothing that goes wrong here is the caller's
    /// business: then there is no call.
    fn enter(
        &self,
        py: Python<'_>,
        tracer: &Bound<'_, Tracer>,
        arguments: &Bound<'_, PyTuple>,
        named: &Bound<'_, PyDict>,
    ) -> Option<Call> {
        self.begin(py, tracer, arguments, named)
            .map_err(|error| report(py, "a decorated call is not traced", error))
            .ok()
    }
}

impl Operation {
    fn begin(
        &self,
        py: Python<'_>,
        tracer: &Bound<'_, Tracer>,
        arguments: &Bound<'_, PyTuple>,
        named: &Bound<'_, PyDict>,
    ) -> PyResult<Call> {
        let runtime = Runtime::current(py)?;
        let above = runtime.get(py)?;
        let attributes = self.attributes.as_ref().map(|some| some.clone_ref(py));
        let request = Request {
            attributes,
            record_exception: true,
            set_status_on_exception: true,
            ..Request::default()
        };
        let span = start_named(tracer, &request, &self.name, parent_in(py, &above)?)?;
        if self.records_input.load(Relaxed)
            && let Ok(span) = span.cast_exact::<Span>()
        {
            self.record_input(py, span.get(), arguments, named);
        }
        let context = with_span(py, &above, &span)?;
        let attached = runtime.attach_context(py, &context)?;
        Ok(Call {
            span: span.unbind(),
            context: context.unbind(),
            attached: Mutex::new(Some(attached)),
            records_output: self.records_output.load(Relaxed),
        })
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
            (!rest.is_empty()).then(|| (PyString::new(py, "*args").into_any(), rest.into_any()));
        json::put_object(&mut out, known.chain(rest).chain(named.iter()), 0);
        record_content(span, "input", &out);
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

    /// Whether anything that is recorded goes anywhere.
    fn is_recording(&self, py: Python<'_>) -> bool {
        self.span.bind(py).cast_exact::<Span>().is_ok_and(|span| span.get().is_open())
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
