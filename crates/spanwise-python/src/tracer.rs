//! Starting spans.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use spanwise::{Context, Recording, Sampling, ScopeId, Start, Started};
use spanwise_model::propagate::{TraceFlags, TraceState};
use spanwise_model::sampling::Randomness;
use spanwise_model::{Kind, Scope, SpanId, TraceId};

use crate::activation::Activation;
use crate::api::{Api, api, read_trace_state, report, warn};
use crate::origin::Origin;
use crate::provider::{Decide, Provider};
use crate::runtime::{Runtime, span_in};
use crate::span::{Span, UnsampledSpan, add_link};
use crate::value::{for_each_item, to_attributes, with_value};

/// OpenTelemetry's `Tracer`.
#[pyclass(frozen, weakref, dict, module = "spanwise._core")]
pub(crate) struct Tracer {
    pub provider: Py<Provider>,
    scope: ScopeId,
    /// The provider as Python knows it.
    pub owner: Py<PyAny>,
    /// The `InstrumentationScope` object.
    scope_object: Py<PyAny>,
    /// Where it belongs to an instrumentation of models or of what calls them.
    pub origin: Option<Origin>,
}

/// What `start_span` was asked for.
#[derive(Default)]
pub(crate) struct Request {
    pub name: Option<Py<PyAny>>,
    pub context: Option<Py<PyAny>>,
    pub kind: Option<Py<PyAny>>,
    pub attributes: Option<Py<PyAny>>,
    pub links: Option<Py<PyAny>>,
    pub start_time: Option<u64>,
    pub record_exception: bool,
    pub set_status_on_exception: bool,
}

/// What a sampler written in Python decided.
struct Decision {
    context: Context,
    is_recording: bool,
    attributes: Option<Py<PyAny>>,
}

#[pymethods]
impl Tracer {
    #[new]
    #[pyo3(signature = (provider, owner, scope_object, name, version, schema_url, attributes, origin=None))]
    #[expect(clippy::too_many_arguments, reason = "one call, in one place")]
    fn new(
        py: Python<'_>,
        provider: Py<Provider>,
        owner: Py<PyAny>,
        scope_object: Py<PyAny>,
        name: &str,
        version: &str,
        schema_url: Option<&str>,
        attributes: Option<&Bound<'_, PyAny>>,
        origin: Option<(Option<(String, String)>,)>,
    ) -> Self {
        let scope = Scope {
            name: name.into(),
            version: version.into(),
            attributes: to_attributes(attributes),
            schema_url: schema_url.unwrap_or_default().into(),
            ..Scope::default()
        };
        let scope = provider.bind(py).get().recorder.scope(&scope);
        let origin = origin.map(|(framework,)| Origin { framework });
        Tracer { provider, scope, owner, scope_object, origin }
    }

    #[pyo3(signature = (name, context=None, kind=None, attributes=None, links=None, start_time=None, record_exception=true, set_status_on_exception=true))]
    #[expect(clippy::too_many_arguments, reason = "the API's")]
    fn start_span<'py>(
        slf: &Bound<'py, Self>,
        name: Py<PyAny>,
        context: Option<Py<PyAny>>,
        kind: Option<Py<PyAny>>,
        attributes: Option<Py<PyAny>>,
        links: Option<Py<PyAny>>,
        start_time: Option<&Bound<'py, PyAny>>,
        record_exception: bool,
        set_status_on_exception: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let request = Request {
            name: Some(name),
            context,
            kind,
            attributes,
            links,
            start_time: to_nanos(start_time),
            record_exception,
            set_status_on_exception,
        };
        let above = match &request.context {
            Some(context) => context.bind(slf.py()).clone(),
            None => Runtime::current(slf.py())?.get(slf.py())?,
        };
        start(slf, &request, &above)
    }

    #[pyo3(signature = (name, context=None, kind=None, attributes=None, links=None, start_time=None, record_exception=true, set_status_on_exception=true, end_on_exit=true))]
    #[expect(clippy::too_many_arguments, reason = "the API's")]
    fn start_as_current_span(
        slf: &Bound<'_, Self>,
        name: Py<PyAny>,
        context: Option<Py<PyAny>>,
        kind: Option<Py<PyAny>>,
        attributes: Option<Py<PyAny>>,
        links: Option<Py<PyAny>>,
        start_time: Option<&Bound<'_, PyAny>>,
        record_exception: bool,
        set_status_on_exception: bool,
        end_on_exit: bool,
    ) -> Activation {
        let request = Request {
            name: Some(name),
            context,
            kind,
            attributes,
            links,
            start_time: to_nanos(start_time),
            record_exception,
            set_status_on_exception,
        };
        Activation::new(slf.clone().unbind(), request, end_on_exit)
    }

    #[getter(_instrumentation_scope)]
    pub fn scope_object(&self, py: Python<'_>) -> Py<PyAny> {
        self.scope_object.clone_ref(py)
    }

    /// What the provider knows, its tracers know too; the class has properties for it.
    #[getter(_provider)]
    fn owner(&self, py: Python<'_>) -> Py<PyAny> {
        self.owner.clone_ref(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)?;
        visit.call(&self.scope_object)
    }
}

/// Nanoseconds, if they were given and can be.
pub(crate) fn to_nanos(time: Option<&Bound<'_, PyAny>>) -> Option<u64> {
    let time = time.filter(|time| !time.is_none())?;
    let nanos = time.extract::<u64>().ok();
    if nanos.is_none() {
        warn(time.py(), "A time has to be nanoseconds since 1970, an int. It is ignored.");
    }
    nanos
}

/// Starts a span below what is current in `above`.
pub(crate) fn start<'py>(
    tracer: &Bound<'py, Tracer>,
    request: &Request,
    above: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = tracer.py();
    let parent = parent_in(py, above)?;
    let name = request.name.as_ref().map(|name| name.bind(py));
    let name = name.map(|name| text_of(name)).transpose()?;
    let name = name.as_ref().map_or(Ok(std::borrow::Cow::Borrowed("")), |name| {
        name.to_str().map(std::borrow::Cow::Borrowed).or_else(|_| {
            Ok::<_, PyErr>(std::borrow::Cow::Owned(name.to_string_lossy().into_owned()))
        })
    })?;
    start_named(tracer, request, &name, parent)
}

pub(crate) fn start_named<'py>(
    tracer: &Bound<'py, Tracer>,
    request: &Request,
    name: &str,
    parent: Option<Context>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = tracer.py();
    let own = tracer.get();
    let kind = match &request.kind {
        Some(kind) => api(py)?.kind_of(kind.bind(py)),
        None => Kind::Internal,
    };
    let start = Start { name, kind, scope: own.scope, time: request.start_time };
    let mut attributes = request.attributes.as_ref().map(|some| some.clone_ref(py));
    let provider = own.provider.bind(py).get();
    let is_usual = matches!(provider.decide, Decide::Recorder) && provider.ids.is_none();
    let custom = provider.custom_sampler(py).filter(|_| parent.is_none());
    let started = if let Some(sampler) = custom
        && let Some(context) = ask_custom(&sampler, request, name)
    {
        if context.is_sampled() {
            Started::Recording(provider.recorder.start_as(&start, context, None))
        } else {
            Started::Unsampled(context)
        }
    } else if is_usual {
        provider.recorder.start(&start, parent.as_ref())
    } else {
        let decision = decide(py, provider, request, parent.as_ref())?;
        attributes = decision.attributes;
        if decision.is_recording {
            let recorder = &provider.recorder;
            Started::Recording(recorder.start_as(&start, decision.context, parent.as_ref()))
        } else {
            Started::Unsampled(decision.context)
        }
    };
    let mut recording = match started {
        Started::Recording(recording) => recording,
        Started::Unsampled(context) => {
            return Ok(Bound::new(py, UnsampledSpan::new(context))?.into_any());
        }
    };
    if let Some(origin) = &own.origin {
        origin.begin(&mut recording);
    }
    fill(py, &mut recording, attributes.as_ref(), request)?;
    let span = Span::new(recording, parent, tracer.clone().unbind(), request);
    let span = Bound::new(py, span)?.into_any();
    if let Some(processors) = provider.processors.bind(py).get().any(py) {
        let named = PyDict::new(py);
        named.set_item(intern!(py, "parent_context"), request.context.as_ref())?;
        for processor in processors {
            let started = processor.call_method(intern!(py, "on_start"), (&span,), Some(&named));
            if let Err(error) = started {
                report(py, "a span processor raised in on_start", error);
            }
        }
    }
    Ok(span)
}

/// Sets what a span starts with.
fn fill(
    py: Python<'_>,
    recording: &mut Recording,
    attributes: Option<&Py<PyAny>>,
    request: &Request,
) -> PyResult<()> {
    if let Some(attributes) = attributes.map(|some| some.bind(py)).filter(|some| !some.is_none()) {
        for_each_item(attributes, |key, value| {
            with_value(value, |value| recording.set(key, value));
        });
    }
    if let Some(links) = request.links.as_ref().map(|some| some.bind(py)) {
        if links.is_none() {
            return Ok(());
        }
        for link in links.try_iter()? {
            let link = link?;
            if !link.is_none() {
                let attributes = to_attributes(Some(&link.getattr("attributes")?));
                add_link(recording, &link.getattr("context")?, &attributes)?;
            }
        }
    }
    Ok(())
}

fn text_of<'py>(name: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    match name.cast::<PyString>() {
        Ok(name) => Ok(name.clone()),
        Err(_) => name.str(),
    }
}

/// The context of the span that is current in `above`.
pub(crate) fn parent_in(py: Python<'_>, above: &Bound<'_, PyAny>) -> PyResult<Option<Context>> {
    let Some(span) = span_in(py, above)? else { return Ok(None) };
    match own_parent(&span) {
        None => foreign_parent(py, &span),
        own => Ok(own),
    }
}

#[inline]
fn own_parent(span: &Bound<'_, PyAny>) -> Option<Context> {
    if let Ok(span) = span.cast_exact::<Span>() {
        return Some(span.get().context());
    }
    span.cast_exact::<UnsampledSpan>().ok().map(|span| span.get().context.clone())
}

/// How many proxies one behind the other are looked through.
const MAX_PROXIES: usize = 8;

#[cold]
fn foreign_parent(py: Python<'_>, span: &Bound<'_, PyAny>) -> PyResult<Option<Context>> {
    let api = api(py)?;
    if !span.is_instance(api.span.bind(py))? {
        return Ok(None);
    }
    // Instrumentations put proxies in front of our spans, which know more than an identity.
    let mut inner = span.clone();
    for _ in 0..MAX_PROXIES {
        let Ok(behind) = inner.getattr(intern!(py, "__wrapped__")) else { break };
        inner = behind;
    }
    if let Some(own) = own_parent(&inner) {
        return Ok(Some(own));
    }
    let context = span.call_method0("get_span_context")?;
    if context.is_none() {
        return Ok(None);
    }
    if !context.is_instance(api.span_context.bind(py))? {
        let message = "parent_span_context must be a SpanContext or None.";
        return Err(pyo3::exceptions::PyTypeError::new_err(message));
    }
    Api::parent(&context)
}

/// Decides about a span where not the recorder does.
#[cold]
fn decide(
    py: Python<'_>,
    provider: &Provider,
    request: &Request,
    parent: Option<&Context>,
) -> PyResult<Decision> {
    let mut context = parent.map_or_else(Context::new_root, Context::new_child);
    if let Some(generator) = &provider.ids {
        make_ids(generator.bind(py), &mut context, parent.is_none())?;
    }
    let attributes = || request.attributes.as_ref().map(|some| some.clone_ref(py));
    let keeps = match &provider.decide {
        Decide::Always(keeps) => *keeps,
        Decide::Ratio(rate) => rate.keeps(Randomness::of_trace(context.trace_id)),
        Decide::Recorder => match parent {
            Some(parent) => parent.is_sampled(),
            None => match provider.recorder.settings().sampling {
                Sampling::Rate(rate) => rate.keeps(Randomness::of_trace(context.trace_id)),
                Sampling::Custom(..) | Sampling::Intelligent(_) => true,
            },
        },
        Decide::Python(sampler) => {
            return match ask(sampler.bind(py), request, context.clone()) {
                Ok(decision) => Ok(decision),
                Err(error) => {
                    report(py, "a sampler raised; the span is recorded", error);
                    let context = context.sampled(true);
                    Ok(Decision { context, is_recording: true, attributes: attributes() })
                }
            };
        }
    };
    let context = context.sampled(keeps);
    Ok(Decision { context, is_recording: keeps, attributes: attributes() })
}

/// Asks a user's sampler about a new trace. `None` if it failed: then the rate decides.
#[cold]
fn ask_custom(sampler: &Bound<'_, PyAny>, request: &Request, name: &str) -> Option<Context> {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let py = sampler.py();
    let context = Context::new_root();
    let asked = (|| {
        let span_context = api(py)?.to_span_context(py, &context)?;
        let attributes = match &request.attributes {
            Some(attributes) => attributes.bind(py).clone(),
            None => PyDict::new(py).into_any(),
        };
        let answer = sampler.call_method1("should_sample", (span_context, name, attributes))?;
        answer.is_truthy()
    })();
    match asked {
        Ok(sampled) => Some(context.sampled(sampled)),
        Err(error) => {
            if !WARNED.swap(true, Relaxed) {
                report(py, "the custom sampler raised; the rate decides instead", error);
            }
            None
        }
    }
}

fn make_ids(generator: &Bound<'_, PyAny>, context: &mut Context, is_root: bool) -> PyResult<()> {
    if is_root {
        let trace_id: u128 = generator.call_method0("generate_trace_id")?.extract()?;
        if let Ok(trace_id) = TraceId::from_bytes(&trace_id.to_be_bytes()) {
            context.trace_id = trace_id;
        }
        let is_random = generator.call_method0("is_trace_id_random");
        let is_random = is_random.is_ok_and(|random| random.is_truthy().unwrap_or(false));
        context.flags = if is_random { TraceFlags::RANDOM } else { TraceFlags::from_bits(0) };
    }
    let span_id: u64 = generator.call_method0("generate_span_id")?.extract()?;
    if let Ok(span_id) = SpanId::from_bytes(&span_id.to_be_bytes()) {
        context.span_id = span_id;
    }
    Ok(())
}

fn ask(sampler: &Bound<'_, PyAny>, request: &Request, context: Context) -> PyResult<Decision> {
    let py = sampler.py();
    let api: &Api = api(py)?;
    let trace_id = u128::from_be_bytes(*context.trace_id.as_bytes());
    let kind = match &request.kind {
        Some(kind) => kind.bind(py).clone(),
        None => api.kind(py, Kind::Internal),
    };
    let result = sampler.call_method1(
        "should_sample",
        (&request.context, trace_id, &request.name, kind, &request.attributes, &request.links),
    )?;
    let decision = result.getattr("decision")?;
    let is_recording = decision.call_method0("is_recording")?.is_truthy()?;
    let is_sampled = decision.call_method0("is_sampled")?.is_truthy()?;
    let attributes = result.getattr("attributes")?;
    let state = result.getattr("trace_state")?;
    let state = if state.is_none() { TraceState::default() } else { read_trace_state(&state)? };
    let context = context.sampled(is_sampled).with_trace_state(state);
    let attributes = (!attributes.is_none()).then(|| attributes.unbind());
    Ok(Decision { context, is_recording, attributes })
}

/// One place for what only one thread may do at a time.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
