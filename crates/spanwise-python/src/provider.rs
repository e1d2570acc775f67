//! What all tracers of one provider share.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use spanwise::{Limits, Recorder, Sampling, Settings};
use spanwise_model::Resource;
use spanwise_model::sampling::Rate;

use crate::exporter;
use crate::value::to_attributes;

/// The processors of a provider, in the order in which they are asked. The Python class above it
/// adds what OpenTelemetry's has.
#[pyclass(frozen, subclass, module = "spanwise._core")]
pub(crate) struct Processors {
    list: Mutex<Py<PyTuple>>,
    has_any: AtomicBool,
}

#[pymethods]
impl Processors {
    #[new]
    fn new(py: Python<'_>) -> Self {
        Processors {
            list: Mutex::new(PyTuple::empty(py).unbind()),
            has_any: AtomicBool::new(false),
        }
    }

    #[getter(_span_processors)]
    fn list(&self, py: Python<'_>) -> Py<PyTuple> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone_ref(py)
    }

    #[setter(_span_processors)]
    fn set_list(&self, py: Python<'_>, list: &Bound<'_, PyAny>) -> PyResult<()> {
        let list = PyTuple::new(py, list.try_iter()?.collect::<PyResult<Vec<_>>>()?)?;
        let has_any = !list.is_empty();
        let mut own = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *own, list.unbind());
        self.has_any.store(has_any, Relaxed);
        drop(own);
        // It may be the last owner of a processor, which then runs code of its own.
        drop(old);
        Ok(())
    }
}

impl Processors {
    /// The processors, if there are any.
    #[inline]
    pub fn any<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyTuple>> {
        self.has_any.load(Relaxed).then(|| self.list(py).into_bound(py))
    }
}

/// How long the end of a local root may wait for a delivery.
const ROOT_FLUSH: Duration = Duration::from_secs(3);

/// Who decides about sampling.
pub(crate) enum Decide {
    /// The recorder about new traces; everything below a span shares its fate.
    Recorder,
    /// The same for every span, whatever is above it.
    Always(bool),
    /// By the trace id, whatever is above.
    Ratio(Rate),
    /// A sampler written in Python.
    Python(Py<PyAny>),
}

/// See the module.
#[pyclass(frozen, module = "spanwise._core")]
pub(crate) struct Provider {
    pub recorder: Arc<Recorder>,
    /// Whether ended spans go anywhere but to Python.
    pub exports: bool,
    pub processors: Py<Processors>,
    pub decide: Decide,
    /// Makes ids, where a user's own class does.
    pub ids: Option<Py<PyAny>>,
    /// Whether everything is delivered whenever a local root ends: for processes that are frozen
    /// then.
    pub flushes_roots: bool,
    /// Asked for local roots, if there is one.
    custom_sampler: Mutex<Option<Py<PyAny>>>,
    has_custom_sampler: AtomicBool,
}

impl Provider {
    /// The provider of a recorder that decides about sampling itself.
    pub fn of(
        recorder: Arc<Recorder>,
        processors: Py<Processors>,
        custom_sampler: Option<Py<PyAny>>,
    ) -> Self {
        Provider {
            recorder,
            exports: true,
            processors,
            decide: Decide::Recorder,
            ids: None,
            flushes_roots: false,
            has_custom_sampler: custom_sampler.is_some().into(),
            custom_sampler: Mutex::new(custom_sampler),
        }
    }

    /// The same, which delivers whenever a local root ends, or does not.
    pub fn flushing_roots(self, flushes_roots: bool) -> Self {
        Provider { flushes_roots, ..self }
    }

    /// Delivers what has ended before the process may be frozen.
    #[cold]
    pub fn flush_root(&self, py: Python<'_>) {
        py.detach(|| self.recorder.flush(ROOT_FLUSH));
    }

    /// The sampler that is asked for local roots.
    #[inline]
    pub fn custom_sampler<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        if !self.has_custom_sampler.load(Relaxed) {
            return None;
        }
        let sampler = self.custom_sampler.lock().unwrap_or_else(PoisonError::into_inner);
        sampler.as_ref().map(|sampler| sampler.bind(py).clone())
    }
}

#[pymethods]
impl Provider {
    #[new]
    #[pyo3(signature = (processors, limits, decide, rate, sampler, ids, resource, exporters, export_every=None, queue_bytes=None))]
    #[expect(clippy::too_many_arguments, reason = "one call, in one place")]
    fn new(
        processors: Py<Processors>,
        limits: [Option<usize>; 5],
        decide: &str,
        rate: f64,
        sampler: Option<Py<PyAny>>,
        ids: Option<Py<PyAny>>,
        resource: &Bound<'_, PyDict>,
        exporters: Vec<Py<PyAny>>,
        export_every: Option<f64>,
        queue_bytes: Option<usize>,
    ) -> PyResult<Self> {
        let rate = Rate::new(rate).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let decide = match (decide, sampler) {
            ("always_on", _) => Decide::Always(true),
            ("always_off", _) => Decide::Always(false),
            ("ratio", _) => Decide::Ratio(rate),
            ("python", Some(sampler)) => Decide::Python(sampler),
            _ => Decide::Recorder,
        };
        let resource =
            Resource { attributes: to_attributes(Some(resource.as_any())), ..Resource::default() };
        let exports = !exporters.is_empty();
        let mut settings = Settings {
            resource,
            limits: to_limits(limits),
            sampling: Sampling::Rate(rate),
            exporters: exporters.into_iter().map(exporter::make).collect(),
            ..Settings::default()
        };
        if let Some(seconds) = export_every {
            settings.export_every = Duration::try_from_secs_f64(seconds)
                .map_err(|error| PyValueError::new_err(error.to_string()))?;
        }
        if let Some(bytes) = queue_bytes {
            settings.queue_bytes = bytes;
        }
        let recorder = Recorder::new(settings);
        Ok(Provider { exports, decide, ids, ..Provider::of(recorder, processors, None) })
    }

    /// Waits until what has ended is delivered. Other Python threads go on meanwhile.
    fn flush(&self, py: Python<'_>, timeout: f64) -> bool {
        let timeout = to_duration(timeout);
        py.detach(|| self.recorder.flush(timeout))
    }

    fn shutdown(&self, py: Python<'_>, timeout: f64) -> bool {
        let timeout = to_duration(timeout);
        py.detach(|| self.recorder.shutdown(timeout))
    }

    /// Has another sampler asked for local roots from now on, or none.
    fn set_custom_sampler(&self, sampler: Option<Py<PyAny>>) {
        let mut own = self.custom_sampler.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_custom_sampler.store(sampler.is_some(), Relaxed);
        let old = std::mem::replace(&mut *own, sampler);
        drop(own);
        drop(old);
    }

    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let metrics = self.recorder.metrics();
        let dict = PyDict::new(py);
        for (name, count) in [
            ("spans_started", metrics.spans_started),
            ("spans_exported", metrics.spans_exported),
            ("spans_dropped", metrics.spans_dropped),
            ("dropped_queue_full", metrics.dropped_queue_full),
            ("dropped_undelivered", metrics.dropped_undelivered),
            ("dropped_rejected", metrics.dropped_rejected),
            ("dropped_after_shutdown", metrics.dropped_after_shutdown),
            ("queue_size", metrics.queue_size as u64),
            ("export_errors", metrics.export_errors),
        ] {
            dict.set_item(name, count)?;
        }
        Ok(dict)
    }
}

fn to_duration(seconds: f64) -> Duration {
    // Longer than a year is for ever.
    Duration::try_from_secs_f64(seconds.clamp(0.0, 3e7)).unwrap_or_default()
}

/// Limits of attributes, bytes of text, events, links, and attributes of those.
fn to_limits([attributes, text, events, links, of_parts]: [Option<usize>; 5]) -> Limits {
    let unlimited = |limit: Option<usize>| limit.unwrap_or(usize::MAX);
    Limits {
        attributes: unlimited(attributes),
        text_bytes: unlimited(text),
        events: unlimited(events),
        links: unlimited(links),
        attributes_of_parts: unlimited(of_parts),
        drops_oldest: true,
    }
}
