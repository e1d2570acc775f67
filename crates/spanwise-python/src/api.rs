//! What we use of the `opentelemetry` API package, looked up once.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};
use spanwise::Context;
use spanwise_model::propagate::{SpanContext, TraceFlags, TraceState};
use spanwise_model::{Kind, SpanId, TraceId};

/// Classes and values of the API.
pub(crate) struct Api {
    pub span_context: Py<PyType>,
    pub trace_flags: Py<PyType>,
    pub trace_state: Py<PyType>,
    pub span: Py<PyType>,
    pub status: Py<PyType>,
    pub status_code: Py<PyType>,
    pub link: Py<PyType>,
    pub event: Py<PyType>,
    pub context: Py<PyType>,
    /// Members of `SpanKind`, by their number.
    pub kinds: [Py<PyAny>; 5],
    /// Members of `StatusCode`, by their number.
    pub codes: [Py<PyAny>; 3],
    pub span_key: Py<PyString>,
    pub context_module: Py<PyDict>,
    pub contextvars_runtime: Py<PyType>,
    pub logger: Py<PyAny>,
}

static API: PyOnceLock<Api> = PyOnceLock::new();

pub(crate) fn api(py: Python<'_>) -> PyResult<&'static Api> {
    API.get_or_try_init(py, || load(py))
}

fn load(py: Python<'_>) -> PyResult<Api> {
    let trace = py.import("opentelemetry.trace")?;
    let span = py.import("opentelemetry.trace.span")?;
    let propagation = py.import("opentelemetry.trace.propagation")?;
    let contextvars = py.import("opentelemetry.context.contextvars_context")?;
    let class = |module: &Bound<'_, PyModule>, name: &str| -> PyResult<Py<PyType>> {
        Ok(module.getattr(name)?.cast_into::<PyType>()?.unbind())
    };
    let member = |class: &str, name: &str| -> PyResult<Py<PyAny>> {
        Ok(trace.getattr(class)?.getattr(name)?.unbind())
    };
    Ok(Api {
        span_context: class(&trace, "SpanContext")?,
        trace_flags: class(&trace, "TraceFlags")?,
        trace_state: class(&span, "TraceState")?,
        span: class(&trace, "Span")?,
        status: class(&trace, "Status")?,
        status_code: class(&trace, "StatusCode")?,
        link: class(&trace, "Link")?,
        event: class(&py.import("spanwise._event")?, "Event")?,
        context: class(&py.import("opentelemetry.context.context")?, "Context")?,
        kinds: [
            member("SpanKind", "INTERNAL")?,
            member("SpanKind", "SERVER")?,
            member("SpanKind", "CLIENT")?,
            member("SpanKind", "PRODUCER")?,
            member("SpanKind", "CONSUMER")?,
        ],
        codes: [
            member("StatusCode", "UNSET")?,
            member("StatusCode", "OK")?,
            member("StatusCode", "ERROR")?,
        ],
        span_key: propagation.getattr("_SPAN_KEY")?.cast_into::<PyString>()?.unbind(),
        context_module: py.import("opentelemetry.context")?.dict().unbind(),
        contextvars_runtime: class(&contextvars, "ContextVarsRuntimeContext")?,
        logger: py.import("logging")?.call_method1("getLogger", ("spanwise.tracing",))?.unbind(),
    })
}

impl Api {
    pub fn kind_of(&self, kind: &Bound<'_, PyAny>) -> Kind {
        const KINDS: [Kind; 5] =
            [Kind::Internal, Kind::Server, Kind::Client, Kind::Producer, Kind::Consumer];
        let at = self.kinds.iter().position(|known| known.is(kind));
        at.and_then(|at| KINDS.get(at).copied()).unwrap_or(Kind::Internal)
    }

    pub fn kind<'py>(&self, py: Python<'py>, kind: Kind) -> Bound<'py, PyAny> {
        let at = usize::from(kind as u8).saturating_sub(1);
        self.kinds.get(at).unwrap_or(&self.kinds[0]).bind(py).clone()
    }

    /// A `SpanContext` object.
    pub fn to_span_context<'py>(
        &self,
        py: Python<'py>,
        context: &Context,
    ) -> PyResult<Bound<'py, PyAny>> {
        let trace_id = u128::from_be_bytes(*context.trace_id.as_bytes());
        let span_id = u64::from_be_bytes(*context.span_id.as_bytes());
        let flags = self.trace_flags.bind(py).call1((context.flags.bits(),))?;
        let header = context.trace_state();
        let state = self.trace_state.bind(py);
        let state = match header {
            "" => state.call0()?,
            _ => state.call_method1("from_header", (vec![header],))?,
        };
        self.span_context.bind(py).call1((trace_id, span_id, context.is_remote(), flags, state))
    }

    /// What a `SpanContext` object says; `None` if it is not valid.
    pub fn parent(object: &Bound<'_, PyAny>) -> PyResult<Option<Context>> {
        let Some((span, is_remote)) = read_span_context(object)? else { return Ok(None) };
        Ok(Some(Context::known(span, is_remote)))
    }
}

/// What a `SpanContext` object says, and whether it is another process's; `None` if it is not valid.
pub(crate) fn read_span_context(
    object: &Bound<'_, PyAny>,
) -> PyResult<Option<(SpanContext, bool)>> {
    let trace_id: u128 = object.getattr("trace_id")?.extract()?;
    let span_id: u64 = object.getattr("span_id")?.extract()?;
    let trace_id = TraceId::from_bytes(&trace_id.to_be_bytes());
    let (Ok(trace_id), Ok(span_id)) = (trace_id, SpanId::from_bytes(&span_id.to_be_bytes())) else {
        return Ok(None);
    };
    let flags: u8 = object.getattr("trace_flags")?.extract()?;
    let state = object.getattr("trace_state")?;
    let state = if state.is_none() || state.len()? == 0 {
        TraceState::default()
    } else {
        read_trace_state(&state)?
    };
    let span =
        SpanContext { trace_id, span_id, flags: TraceFlags::from_bits(flags), trace_state: state };
    Ok(Some((span, object.getattr("is_remote")?.is_truthy()?)))
}

/// A `TraceState` object's header, as far as it is legal.
pub(crate) fn read_trace_state(object: &Bound<'_, PyAny>) -> PyResult<TraceState> {
    let header: String = object.call_method0("to_header")?.extract()?;
    Ok(TraceState::parse(header.as_bytes()).unwrap_or_default())
}

/// Warns the way that OpenTelemetry's SDK does, by Python's logging.
#[cold]
pub(crate) fn warn(py: Python<'_>, message: &str) {
    log(py, "warning", message, None);
}

/// Reports a failure of somebody's hook, which must not reach the application.
#[cold]
pub(crate) fn report(py: Python<'_>, what: &str, error: PyErr) {
    log(py, "warning", what, Some(error));
}

fn log(py: Python<'_>, level: &str, message: &str, error: Option<PyErr>) {
    let Ok(api) = api(py) else { return };
    let logged = (|| {
        let details = PyDict::new(py);
        if let Some(error) = error {
            details.set_item("exc_info", error.into_value(py))?;
        }
        // The message has no arguments, so a percent sign in it stays what it is.
        api.logger.bind(py).call_method(level, (message,), Some(&details))
    })();
    if let Err(error) = logged {
        error.write_unraisable(py, None);
    }
}
