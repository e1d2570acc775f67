//! OpenTelemetry's runtime context: where the current span is kept.

use std::sync::Mutex;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::api::{Api, api};

/// The runtime context that was last seen, with what is called of its context variable. Tests
/// and users may put another one in its place at any time.
struct Seen {
    runtime: Py<PyAny>,
    variable: Option<Variable>,
}

/// Bound methods of the context variable.
struct Variable {
    get: Py<PyAny>,
    set: Py<PyAny>,
    reset: Py<PyAny>,
}

static SEEN: Mutex<Option<&'static Seen>> = Mutex::new(None);

/// What has to be given back when a span is no longer current.
pub(crate) struct Attached {
    token: Py<PyAny>,
    seen: &'static Seen,
}

/// The runtime context in force.
pub(crate) struct Runtime(&'static Seen);

impl Runtime {
    pub fn current(py: Python<'_>) -> PyResult<Self> {
        let api = api(py)?;
        let module = api.context_module.bind(py);
        let runtime = module
            .get_item(intern!(py, "_RUNTIME_CONTEXT"))?
            .unwrap_or_else(|| py.None().into_bound(py));
        let seen = *SEEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match seen {
            Some(seen) if seen.runtime.is(&runtime) => Ok(Runtime(seen)),
            _ => Self::look(py, api, &runtime),
        }
    }

    #[cold]
    fn look(py: Python<'_>, api: &Api, runtime: &Bound<'_, PyAny>) -> PyResult<Self> {
        let is_plain = runtime.get_type().is(api.contextvars_runtime.bind(py));
        let variable = is_plain.then(|| runtime.getattr("_current_context")).transpose()?;
        let method = |variable: &Bound<'_, PyAny>, name: &str| -> PyResult<Py<PyAny>> {
            Ok(variable.getattr(name)?.unbind())
        };
        let variable = variable.map(|variable| -> PyResult<Variable> {
            Ok(Variable {
                get: method(&variable, "get")?,
                set: method(&variable, "set")?,
                reset: method(&variable, "reset")?,
            })
        });
        let seen = Seen { runtime: runtime.clone().unbind(), variable: variable.transpose()? };
        // It lives as long as the process: a handful of them at most, in tests.
        let seen: &'static Seen = Box::leak(Box::new(seen));
        *SEEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(seen);
        Ok(Runtime(seen))
    }

    /// The current context.
    pub fn get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.0.variable {
            Some(variable) => variable.get.bind(py).call0(),
            None => self.0.runtime.bind(py).call_method0("get_current"),
        }
    }

    /// Makes `span` current, in a context that is otherwise `above`.
    pub fn attach(
        &self,
        py: Python<'_>,
        above: &Bound<'_, PyAny>,
        span: &Bound<'_, PyAny>,
    ) -> PyResult<Attached> {
        let context = with_span(py, above, span)?;
        self.attach_context(py, &context)
    }

    pub fn attach_context(&self, py: Python<'_>, context: &Bound<'_, PyAny>) -> PyResult<Attached> {
        let token = match &self.0.variable {
            Some(variable) => variable.set.bind(py).call1((context,))?,
            None => self.0.runtime.bind(py).call_method1("attach", (context,))?,
        };
        Ok(Attached { token: token.unbind(), seen: self.0 })
    }
}

impl Attached {
    /// Makes current what was before.
    pub fn detach(self, py: Python<'_>) -> PyResult<()> {
        let token = self.token.into_bound(py);
        match &self.seen.variable {
            Some(variable) => variable.reset.bind(py).call1((token,))?,
            None => self.seen.runtime.bind(py).call_method1("detach", (token,))?,
        };
        Ok(())
    }
}

/// A context like another one, with this span as the current one.
pub(crate) fn with_span<'py>(
    py: Python<'py>,
    above: &Bound<'py, PyAny>,
    span: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let api = api(py)?;
    let class = api.context.bind(py);
    let is_empty = above.cast::<PyDict>().is_ok_and(PyDictMethods::is_empty);
    let context = if is_empty { class.call0()? } else { class.call1((above,))? };
    // Contexts refuse to be changed; this one is still being made.
    context.cast::<PyDict>()?.set_item(&api.span_key, span)?;
    Ok(context)
}

/// The span in a context.
pub(crate) fn span_in<'py>(
    py: Python<'py>,
    context: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let api = api(py)?;
    if let Ok(context) = context.cast::<PyDict>() {
        return context.get_item(&api.span_key);
    }
    let span = context.call_method1("get", (&api.span_key,))?;
    Ok((!span.is_none()).then_some(span))
}
