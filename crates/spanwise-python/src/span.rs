//! Spans as Python holds them.

use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use spanwise::{Context, Recorder, Recording};
use spanwise_model::Attributes;
use spanwise_model::span::StatusCode;

use crate::api::{api, read_span_context, report, warn};
use crate::origin::describe_call;
use crate::readable::{self, Field, Owner, ReadableSpan};
use crate::tracer::{Request, Tracer, lock, to_nanos};
use crate::value::{for_each_item, to_attributes, valid_key, with_key, with_value};

/// A recorded span. What it is told is in Rust's memory at once; no Python value is kept.
///
/// No Python code ever runs while `recording` is locked.
#[pyclass(frozen, weakref, dict, freelist = 128, module = "spanwise._core")]
pub(crate) struct Span {
    recording: Mutex<Option<Box<Recording>>>,
    parent: Option<Context>,
    tracer: Py<Tracer>,
    record_exception: bool,
    set_status_on_exception: bool,
    identity: PyOnceLock<Py<PyAny>>,
}

impl Drop for Span {
    fn drop(&mut self) {
        let recording = self.recording.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(recording) = recording.take() {
            Recorder::recycle(recording);
        }
    }
}

impl Span {
    pub fn new(
        recording: Box<Recording>,
        parent: Option<Context>,
        tracer: Py<Tracer>,
        request: &Request,
    ) -> Self {
        Span {
            recording: Mutex::new(Some(recording)),
            parent,
            tracer,
            record_exception: request.record_exception,
            set_status_on_exception: request.set_status_on_exception,
            identity: PyOnceLock::new(),
        }
    }

    /// What its children need.
    pub fn context(&self) -> Context {
        let recording = lock(&self.recording);
        recording.as_ref().map_or_else(Context::new_root, |recording| recording.context().clone())
    }

    /// Works with what it recorded, unless it has ended.
    #[inline]
    pub fn record<R>(&self, work: impl FnOnce(&mut Recording) -> R) -> Option<R> {
        let mut recording = lock(&self.recording);
        let recording = recording.as_deref_mut().filter(|recording| !recording.is_closed())?;
        Some(work(recording))
    }

    /// Works with what it recorded, even if it has ended.
    fn look<R>(&self, work: impl FnOnce(&mut Recording) -> R) -> PyResult<R> {
        let mut recording = lock(&self.recording);
        let gone = || pyo3::exceptions::PyRuntimeError::new_err("the span is gone");
        recording.as_deref_mut().map(work).ok_or_else(gone)
    }

    /// Sets a value whose conversion may run Python code.
    fn set(&self, key: &str, value: &Bound<'_, PyAny>) -> Option<()> {
        let mut is_open = None;
        with_value(value, |value| is_open = self.record(|recording| recording.set(key, value)));
        is_open
    }

    fn read<'py>(&self, py: Python<'py>, field: Field) -> PyResult<Bound<'py, PyAny>> {
        let model = self.look(Recording::snapshot)?;
        readable::field(py, field, &model, &self.owner(py))
    }

    fn owner(&self, py: Python<'_>) -> Owner {
        Owner { tracer: self.tracer.clone_ref(py), parent: self.parent.clone() }
    }

    pub fn is_open(&self) -> bool {
        self.record(|_| ()).is_some()
    }

    /// Ends it; `false` if it had ended before.
    pub fn finish(slf: &Bound<'_, Self>, time: Option<u64>) -> bool {
        let py = slf.py();
        let own = slf.get();
        let provider = own.tracer.bind(py).get().provider.bind(py).get();
        let processors = provider.processors.bind(py).get().any(py);
        let exports = provider.exports;
        let describes_calls = own.tracer.bind(py).get().origin.is_some();
        let ended = own.record(|recording| {
            if describes_calls {
                describe_call(recording);
            }
            recording.close(time);
            if processors.is_none() && exports {
                Recorder::submit(recording);
            }
        });
        if ended.is_none() {
            return false;
        }
        if let Some(processors) = processors {
            if let Err(error) = own.show_to(slf, &processors) {
                report(py, "a span that ended could not be shown to its processors", error);
            }
            if exports {
                lock(&own.recording).as_deref_mut().map(Recorder::submit);
            }
        }
        if provider.flushes_roots && own.parent.as_ref().is_none_or(Context::is_remote) {
            provider.flush_root(py);
        }
        true
    }

    /// Shows it to the processors; they may change what leaves.
    fn show_to(
        &self,
        slf: &Bound<'_, Self>,
        processors: &Bound<'_, pyo3::types::PyTuple>,
    ) -> PyResult<()> {
        let py = slf.py();
        for processor in processors {
            // Older processors have no such method.
            if let Ok(Some(on_ending)) = processor.getattr_opt(pyo3::intern!(py, "_on_ending"))
                && let Err(error) = on_ending.call1((slf,))
            {
                report(py, "a span processor raised in _on_ending", error);
            }
        }
        let model = self.look(Recording::snapshot)?;
        let view = Bound::new(py, ReadableSpan::new(model, self.owner(py)))?;
        for processor in processors {
            if let Err(error) = processor.call_method1(pyo3::intern!(py, "on_end"), (&view,)) {
                report(py, "a span processor raised in on_end", error);
            }
        }
        let changes = view.get().changes(py);
        if let Some(changes) = changes {
            self.look(|recording| changes.apply(recording))?;
        }
        Ok(())
    }

    /// Records what was raised inside it, if that is an error and it wants to know.
    pub fn raised(slf: &Bound<'_, Self>, exception: &Bound<'_, PyAny>, escaped: bool) {
        let own = slf.get();
        if !own.is_open() {
            return;
        }
        let recorded = (|| {
            if own.record_exception {
                own.record_exception(exception, None, None, escaped)?;
            }
            if own.set_status_on_exception {
                own.fail(exception)?;
            }
            Ok(())
        })();
        if let Err(error) = recorded {
            report(slf.py(), "an exception was not recorded", error);
        }
    }

    pub fn fail(&self, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let kind = exception.get_type().name()?.to_string_lossy().into_owned();
        // An exception may fail to say what it is.
        let text = exception.str().map(|text| text.to_string_lossy().into_owned());
        let message = format!("{kind}: {}", text.unwrap_or_default());
        self.record(|recording| recording.set_status(StatusCode::Error, &message));
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "called where a span is at hand")]
    fn warn_ended(&self, py: Python<'_>, method: &str) {
        warn(py, &format!("Tried calling {method} on an ended span."));
    }
}

#[pymethods]
impl Span {
    fn set_attribute(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) {
        let set = match key.cast_exact::<PyString>().ok().and_then(|key| key.to_str().ok()) {
            Some(key) if !key.is_empty() => self.set(key, value),
            _ => match valid_key(key) {
                Some(key) => with_key(&key, |key| self.set(key, value)),
                None => Some(()),
            },
        };
        if set.is_none() {
            warn(key.py(), "Setting attribute on ended span.");
        }
    }

    fn set_attributes(&self, attributes: &Bound<'_, PyAny>) {
        if !self.is_open() {
            return warn(attributes.py(), "Setting attribute on ended span.");
        }
        for_each_item(attributes, |key, value| {
            self.set(key, value);
        });
    }

    #[pyo3(signature = (name, attributes=None, timestamp=None))]
    fn add_event(
        &self,
        name: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
        timestamp: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = name.py();
        let attributes = to_attributes(attributes);
        let (name, time) = (name.str()?.to_string_lossy().into_owned(), to_nanos(timestamp));
        let added = self.record(|recording| recording.event(&name, time, &attributes));
        if added.is_none() {
            self.warn_ended(py, "_add_event");
        }
        Ok(())
    }

    #[pyo3(signature = (context, attributes=None))]
    fn add_link(
        &self,
        context: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if context.is_none() {
            return Ok(());
        }
        let attributes = to_attributes(attributes);
        let Some((to, is_remote)) = read_span_context(context)? else {
            return Ok(());
        };
        let added = self.record(|recording| recording.link(&to, is_remote, &attributes));
        if added.is_none() {
            self.warn_ended(context.py(), "_add_link");
        }
        Ok(())
    }

    fn update_name(&self, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let text = name.str()?.to_string_lossy().into_owned();
        if self.record(|recording| recording.rename(&text)).is_none() {
            self.warn_ended(name.py(), "update_name");
        }
        Ok(())
    }

    fn is_recording(&self) -> bool {
        self.is_open()
    }

    #[pyo3(signature = (status, description=None))]
    fn set_status(
        &self,
        status: &Bound<'_, PyAny>,
        description: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = status.py();
        let api = api(py)?;
        let is_final = self.record(|recording| recording.status().code == StatusCode::Ok);
        let Some(is_final) = is_final else {
            self.warn_ended(py, "set_status");
            return Ok(());
        };
        let status = if status.is_instance(api.status.bind(py))? {
            if let Some(description) = description.filter(|_| !is_final) {
                let description = description.str()?.to_string_lossy().into_owned();
                warn(
                    py,
                    &format!(
                        "Description {description} ignored. Use either `Status` or `(StatusCode, Description)`"
                    ),
                );
            }
            status.clone()
        } else if status.is_instance(api.status_code.bind(py))? {
            if is_final || status.is(&api.codes[0]) {
                return Ok(());
            }
            api.status.bind(py).call1((status, description))?
        } else {
            return Ok(());
        };
        let (code, message) = readable::status_of(api, &status)?;
        self.record(|recording| recording.set_status(code, &message));
        Ok(())
    }

    #[pyo3(signature = (exception, attributes=None, timestamp=None, escaped=false))]
    fn record_exception(
        &self,
        exception: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
        timestamp: Option<&Bound<'_, PyAny>>,
        escaped: bool,
    ) -> PyResult<()> {
        let py = exception.py();
        let describe = py.import("spanwise._event")?.getattr("describe_exception")?;
        let described = describe.call1((exception, attributes, escaped))?;
        self.add_event(PyString::new(py, "exception").as_any(), Some(&described), timestamp)
    }

    #[pyo3(signature = (end_time=None))]
    fn end(slf: &Bound<'_, Self>, end_time: Option<&Bound<'_, PyAny>>) {
        if !Self::finish(slf, to_nanos(end_time)) {
            warn(slf.py(), "Calling end() on an ended span.");
        }
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __exit__(
        slf: &Bound<'_, Self>,
        _kind: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) {
        if !exception.is_none() {
            Self::raised(slf, exception, true);
        }
        Self::end(slf, None);
    }

    fn get_span_context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let context = || PyResult::Ok(api(py)?.to_span_context(py, &self.context())?.unbind());
        Ok(self.identity.get_or_try_init(py, context)?.bind(py).clone())
    }

    #[getter]
    fn name(&self) -> PyResult<String> {
        self.look(|recording| recording.name().to_owned())
    }

    #[getter]
    fn kind<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(api(py)?.kind(py, self.look(|recording| recording.kind())?))
    }

    #[getter]
    fn start_time(&self) -> PyResult<u64> {
        self.look(Recording::start_time_unix_nano)
    }

    #[getter]
    fn end_time(&self) -> PyResult<Option<u64>> {
        self.look(Recording::end_time_unix_nano)
    }

    #[pyo3(signature = (indent=Some(4)))]
    fn to_json<'py>(&self, py: Python<'py>, indent: Option<usize>) -> PyResult<Bound<'py, PyAny>> {
        let view = Bound::new(py, self.readable_span(py)?)?;
        readable::to_json(view.as_any(), indent)
    }

    #[pyo3(name = "_readable_span")]
    fn readable_span(&self, py: Python<'_>) -> PyResult<ReadableSpan> {
        Ok(ReadableSpan::new(self.look(Recording::snapshot)?, self.owner(py)))
    }

    /// Sets attributes here and on every span below that starts from now on.
    fn _hand_down(&self, attributes: &Bound<'_, PyAny>) {
        for_each_item(attributes, |key, value| {
            with_value(value, |value| {
                self.record(|recording| recording.inherit(key, value));
            });
        });
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let context = self.get_span_context(py)?.repr()?;
        Ok(format!("Span(name=\"{}\", context={})", self.name()?, context.to_string_lossy()))
    }

    /// Any other field that a `ReadableSpan` has; the class has properties for them.
    #[pyo3(name = "_read")]
    fn read_named<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        match Field::named(name)? {
            Field::Context => self.get_span_context(py),
            field => self.read(py, field),
        }
    }
}

/// Adds a link that leads somewhere.
pub(crate) fn add_link(
    recording: &mut Recording,
    context: &Bound<'_, PyAny>,
    attributes: &Attributes,
) -> PyResult<()> {
    if !context.is_none()
        && let Some((to, is_remote)) = read_span_context(context)?
    {
        recording.link(&to, is_remote, attributes);
    }
    Ok(())
}

/// A span of a trace that is not recorded: OpenTelemetry's `NonRecordingSpan`.
#[pyclass(frozen, weakref, dict, freelist = 128, module = "spanwise._core")]
pub(crate) struct UnsampledSpan {
    pub context: Context,
    identity: PyOnceLock<Py<PyAny>>,
}

impl UnsampledSpan {
    pub fn new(context: Context) -> Self {
        UnsampledSpan { context, identity: PyOnceLock::new() }
    }
}

#[pymethods]
#[expect(clippy::unused_self, reason = "they do nothing")]
impl UnsampledSpan {
    fn get_span_context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let context = || PyResult::Ok(api(py)?.to_span_context(py, &self.context)?.unbind());
        Ok(self.identity.get_or_try_init(py, context)?.bind(py).clone())
    }

    fn is_recording(&self) -> bool {
        false
    }

    #[pyo3(signature = (end_time=None))]
    fn end(&self, end_time: Option<&Bound<'_, PyAny>>) {
        let _ = end_time;
    }

    fn set_attribute(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) {
        let _ = (key, value);
    }

    fn set_attributes(&self, attributes: &Bound<'_, PyAny>) {
        let _ = attributes;
    }

    #[pyo3(signature = (name, attributes=None, timestamp=None))]
    fn add_event(
        &self,
        name: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
        timestamp: Option<&Bound<'_, PyAny>>,
    ) {
        let _ = (name, attributes, timestamp);
    }

    #[pyo3(signature = (context, attributes=None))]
    fn add_link(&self, context: &Bound<'_, PyAny>, attributes: Option<&Bound<'_, PyAny>>) {
        let _ = (context, attributes);
    }

    fn update_name(&self, name: &Bound<'_, PyAny>) {
        let _ = name;
    }

    #[pyo3(signature = (status, description=None))]
    fn set_status(&self, status: &Bound<'_, PyAny>, description: Option<&Bound<'_, PyAny>>) {
        let _ = (status, description);
    }

    #[pyo3(signature = (exception, attributes=None, timestamp=None, escaped=false))]
    fn record_exception(
        &self,
        exception: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
        timestamp: Option<&Bound<'_, PyAny>>,
        escaped: bool,
    ) {
        let _ = (exception, attributes, timestamp, escaped);
    }

    fn _hand_down(&self, attributes: &Bound<'_, PyAny>) {
        let _ = attributes;
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __exit__(
        &self,
        kind: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) {
        let _ = (kind, exception, traceback);
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let context = self.get_span_context(py)?.repr()?;
        Ok(format!("NonRecordingSpan({})", context.to_string_lossy()))
    }
}
