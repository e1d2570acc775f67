//! `start_as_current_span`: a span that is current from here to there.

use std::sync::Mutex;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

use crate::api::report;
use crate::runtime::{Attached, Runtime};
use crate::span::Span;
use crate::tracer::{Request, Tracer, lock, start};

/// A context manager, and a decorator for functions and coroutine functions. The span starts when
/// it is entered.
#[pyclass(frozen, weakref, freelist = 64, module = "spanwise._core")]
pub(crate) struct Activation {
    tracer: Py<Tracer>,
    request: Request,
    end_on_exit: bool,
    entered: Mutex<Option<(Py<PyAny>, Attached)>>,
}

impl Activation {
    pub fn new(tracer: Py<Tracer>, request: Request, end_on_exit: bool) -> Self {
        Activation { tracer, request, end_on_exit, entered: Mutex::new(None) }
    }
}

#[pymethods]
impl Activation {
    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let runtime = Runtime::current(py)?;
        let current = runtime.get(py)?;
        let above = match &self.request.context {
            Some(context) => context.bind(py),
            None => &current,
        };
        let span = start(self.tracer.bind(py), &self.request, above)?;
        // As in OpenTelemetry, everything else stays as it is in the caller's context.
        let attached = runtime.attach(py, &current, &span)?;
        let before = lock(&self.entered).replace((span.clone().unbind(), attached));
        drop(before);
        Ok(span)
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> bool {
        let entered = lock(&self.entered).take();
        let Some((span, attached)) = entered else { return false };
        if let Err(error) = attached.detach(py) {
            report(py, "Failed to detach context", error);
        }
        let span = span.bind(py);
        let Ok(span) = span.cast_exact::<Span>() else { return false };
        // What is not an Exception, such as GeneratorExit, is not an error either.
        if !exception.is_none() && exception.is_instance_of::<PyException>() {
            Span::raised(span, exception, false);
        }
        if self.end_on_exit && !Span::finish(span, None) {
            crate::api::warn(py, "Calling end() on an ended span.");
        }
        false
    }

    /// Another one like this, for each call of a decorated function.
    fn _again(&self, py: Python<'_>) -> Self {
        let again = |some: &Option<Py<PyAny>>| some.as_ref().map(|some| some.clone_ref(py));
        let request = Request {
            name: again(&self.request.name),
            context: again(&self.request.context),
            kind: again(&self.request.kind),
            attributes: again(&self.request.attributes),
            links: again(&self.request.links),
            start_time: self.request.start_time,
            record_exception: self.request.record_exception,
            set_status_on_exception: self.request.set_status_on_exception,
        };
        Activation::new(self.tracer.clone_ref(py), request, self.end_on_exit)
    }

    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        function: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let module = slf.py().import("spanwise._readable")?;
        module.call_method1("decorate", (slf, function))
    }
}
