//! Exporters written in Python: called with the bytes of an OTLP request.

use std::sync::Arc;
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use spanwise::config::MakeExporter;
use spanwise::export::{Batch, Delivered, ExportError, Exporter, Retry};

struct Callable(Arc<Py<PyAny>>);

/// An exporter that calls `callable(request)`; an exception means that it will never work.
pub(crate) fn make(callable: Py<PyAny>) -> MakeExporter {
    let callable = Arc::new(callable);
    Arc::new(move || Box::new(Callable(Arc::clone(&callable))))
}

impl Exporter for Callable {
    fn export(&mut self, batch: &Batch, _deadline: Instant) -> Result<Delivered, ExportError> {
        let request = batch.otlp();
        // While the interpreter ends, nothing can be called any more.
        let called = Python::try_attach(|py| {
            let called = self.0.bind(py).call1((PyBytes::new(py, request),));
            called.map(drop).map_err(|error| error.get_type(py).to_string())
        });
        match called {
            Some(Ok(())) => Ok(Delivered::default()),
            Some(Err(kind)) => Err(failed(format!("the exporter raised {kind}"))),
            None => Err(failed("the interpreter has ended".to_owned())),
        }
    }
}

fn failed(reason: String) -> ExportError {
    ExportError { reason, retry: Retry::Never }
}
