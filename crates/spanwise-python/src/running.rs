//! What `Spanwise.init` starts.

use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use spanwise::{Config, ConfigError, Spanwise};

use crate::exporter;
use crate::provider::{Processors, Provider};
use crate::value::{for_each_item, to_dict, to_value};

/// Tracing that runs, with the exporters that the options name.
#[pyclass(frozen, module = "spanwise._core")]
pub(crate) struct Running(Spanwise);

/// The names of all options of `init`.
#[pyfunction]
pub(crate) fn option_names() -> Vec<&'static str> {
    Config::options().collect()
}

#[pymethods]
impl Running {
    #[new]
    fn new(
        py: Python<'_>,
        options: &Bound<'_, PyDict>,
        exporters: Vec<Py<PyAny>>,
    ) -> PyResult<Self> {
        let mut config = Config::default();
        for (option, value) in options {
            let option: String = option.extract()?;
            config.set(&option, to_value(&value, 0)).map_err(|error| to_error(&error))?;
        }
        for callable in exporters {
            config = config.exporter(exporter::make(callable));
        }
        let spanwise = py.detach(|| spanwise::init(config)).map_err(|error| to_error(&error))?;
        Ok(Running(spanwise))
    }

    /// A provider that records here.
    fn provider(
        &self,
        processors: Py<Processors>,
        custom_sampler: Option<Py<PyAny>>,
        flushes_roots: bool,
    ) -> Provider {
        let recorder = std::sync::Arc::clone(self.0.recorder());
        Provider::of(recorder, processors, custom_sampler).flushing_roots(flushes_roots)
    }

    fn update_config(&self, changes: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut read = Vec::new();
        for_each_item(changes, |option, value| read.push((option.to_owned(), to_value(value, 0))));
        let changes = read.iter().map(|(option, value)| (option.as_str(), value.clone()));
        self.0.update_config(changes).map_err(|error| to_error(&error))
    }

    fn config<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let config = self.0.config();
        let fields = PyDict::new(py);
        fields.set_item("enabled", config.enabled)?;
        fields.set_item("app_name", config.app_name)?;
        fields.set_item("endpoint", config.endpoint)?;
        fields.set_item("exporters", config.exporters)?;
        fields.set_item("sampling_rate", config.sampling_rate)?;
        fields.set_item("debug", config.debug)?;
        Ok(fields)
    }

    fn resource<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        to_dict(py, &self.0.recorder().settings().resource.attributes)
    }

    fn shutdown(&self, py: Python<'_>, timeout: f64) -> bool {
        let timeout = Duration::try_from_secs_f64(timeout.clamp(0.0, 3e7)).unwrap_or_default();
        py.detach(|| self.0.shutdown(timeout))
    }
}

fn to_error(error: &ConfigError) -> PyErr {
    match error {
        ConfigError::Unknown { .. } | ConfigError::WrongType { .. } => {
            PyTypeError::new_err(error.to_string())
        }
        ConfigError::Invalid { .. } | ConfigError::Fixed { .. } => {
            PyValueError::new_err(error.to_string())
        }
    }
}
