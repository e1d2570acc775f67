//! Which of Python's tracers is told, and how.

use std::io::Write;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Map, Value as Json};
use spanwise::Context;
use spanwise::rag_control::lane::Lane;
use spanwise::rag_control::tracer::{Nobody, Note, Telling};
use spanwise::rag_control::{SpanRecord, StructlogTracer, Tracer};
use spanwise_model::content::Class;

use super::from_json;
use super::spans::{Place, Spans};
use crate::api::report;
use crate::runtime::Runtime;
use crate::tracer::parent_in;

/// Who is told.
pub(super) enum Choice {
    Nobody,
    /// What this gives when it is called, if it gives a tracer of OpenTelemetry; else the lane.
    Spans(Py<PyAny>, Option<Lane>),
    Lane(Lane),
}

impl Choice {
    /// What `spanwise.rag_control` made of the choice: `(kind, object)`.
    pub fn of(tracer: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (kind, object): (String, Bound<'_, PyAny>) = tracer.extract()?;
        let object = object.unbind();
        let log = |write: Py<PyAny>| {
            let lines = Lines { write, line: Vec::new(), was_reported: false };
            Lane::new(Box::new(StructlogTracer(lines)))
        };
        Ok(match kind.as_str() {
            "nobody" => Choice::Nobody,
            "spans" => Choice::Spans(object, None),
            "log" => Choice::Lane(log(object)),
            "automatic" => {
                let (resolve, write) = object.extract(tracer.py())?;
                Choice::Spans(resolve, Some(log(write)))
            }
            _ => Choice::Lane(Lane::new(Box::new(Hooks { tracer: object, was_reported: false }))),
        })
    }

    /// Takes the notes of one request, and where its spans are current.
    pub fn telling(&self, py: Python<'_>) -> (Box<dyn Telling>, Option<Place>) {
        match self {
            Choice::Nobody => (Box::new(Nobody), None),
            Choice::Lane(lane) => (in_lane(py, lane), None),
            Choice::Spans(resolve, otherwise) => {
                let tracer = resolve.bind(py).call0();
                match (tracer, otherwise) {
                    (Ok(tracer), _) if !tracer.is_none() => {
                        let place = Place::default();
                        (Box::new(Spans::new(tracer.unbind(), place.clone())), Some(place))
                    }
                    (Err(error), _) => {
                        report(py, "RAG control found no tracer", error);
                        (Box::new(Nobody), None)
                    }
                    (_, Some(lane)) => (in_lane(py, lane), None),
                    (_, None) => (Box::new(Nobody), None),
                }
            }
        }
    }
}

fn in_lane(py: Python<'_>, lane: &Lane) -> Box<dyn Telling> {
    let current = Runtime::current(py).and_then(|runtime| parent_in(py, &runtime.get(py)?));
    let above: Option<Context> = current.ok().flatten();
    Box::new(Unlocked(lane.telling(above)))
}

/// Waits for a lane without the interpreter's lock, which the lane needs.
struct Unlocked(Box<dyn Telling>);

impl Telling for Unlocked {
    fn tell(&mut self, note: Note<'_>) {
        self.0.tell(note);
    }

    fn wants(&self, class: Class) -> bool {
        self.0.wants(class)
    }

    fn trace_id(&self) -> Option<String> {
        self.0.trace_id()
    }

    fn finish(&mut self) {
        Python::attach(|py| py.detach(|| self.0.finish()));
    }
}

/// Lines for a function written in Python.
struct Lines {
    write: Py<PyAny>,
    line: Vec<u8>,
    was_reported: bool,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let line = String::from_utf8_lossy(&self.line).trim_end().to_owned();
        self.line.clear();
        // While the interpreter ends, nothing can be called any more.
        Python::try_attach(|py| {
            if let Err(error) = self.write.bind(py).call1((line,))
                && !std::mem::replace(&mut self.was_reported, true)
            {
                report(py, "a log of RAG control could not be written", error);
            }
        });
        Ok(())
    }
}

/// A tracer written in Python. Hooks that it has not are not called.
struct Hooks {
    tracer: Py<PyAny>,
    was_reported: bool,
}

impl Hooks {
    fn call(
        &mut self,
        hook: &str,
        span: &SpanRecord,
        more: impl for<'py> FnOnce(Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>>,
    ) {
        Python::try_attach(|py| {
            let called = (|| {
                let Some(hook) = self.tracer.bind(py).getattr_opt(hook)? else { return Ok(()) };
                let mut arguments = vec![record(py, span)?];
                arguments.extend(more(py)?);
                hook.call1(pyo3::types::PyTuple::new(py, arguments)?).map(drop)
            })();
            if let Err(error) = called
                && !std::mem::replace(&mut self.was_reported, true)
            {
                report(py, "a tracer of RAG control raised; requests go on without it", error);
            }
        });
    }
}

/// A `SpanRecord` of Python.
fn record<'py>(py: Python<'py>, span: &SpanRecord) -> PyResult<Bound<'py, PyAny>> {
    let attributes = from_json(py, &Json::Object(span.attributes.clone()))?;
    let fields = PyDict::new(py);
    fields.set_item("name", &span.name)?;
    fields.set_item("trace_id", &span.trace_id)?;
    fields.set_item("span_id", &span.span_id)?;
    fields.set_item("parent_span_id", &span.parent_span_id)?;
    fields.set_item("start_time_unix_nano", span.start_time_unix_nano)?;
    fields.set_item("end_time_unix_nano", span.end_time_unix_nano)?;
    fields.set_item("attributes", attributes)?;
    for name in ["request_id", "user_id", "org_id"] {
        fields.set_item(name, span.request.get(name).and_then(Json::as_str))?;
    }
    py.import("spanwise.rag_control")?.getattr(intern!(py, "SpanRecord"))?.call((), Some(&fields))
}

impl Tracer for Hooks {
    fn span_started(&mut self, span: &SpanRecord) {
        self.call("on_span_start", span, |_| Ok(Vec::new()));
    }

    fn span_ended(&mut self, span: &SpanRecord) {
        self.call("on_span_end", span, |_| Ok(Vec::new()));
    }

    fn event(&mut self, span: &SpanRecord, name: &str, attributes: &Map<String, Json>) {
        self.call("on_event", span, |py| {
            let attributes = from_json(py, &Json::Object(attributes.clone()))?;
            Ok(vec![name.into_pyobject(py)?.into_any(), attributes])
        });
    }

    fn error(&mut self, span: &SpanRecord, kind: &str, message: &str) {
        self.call("on_error", span, |py| {
            Ok(vec![kind.into_pyobject(py)?.into_any(), message.into_pyobject(py)?.into_any()])
        });
    }
}
