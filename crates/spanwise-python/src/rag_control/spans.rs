//! Stages as spans of OpenTelemetry's API in Python: of our provider, or of any other.

use std::sync::{Arc, Mutex};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use spanwise::rag_control::tracer::{Note, Telling, Value};
use spanwise_model::content::Class;

use crate::api::{api, report};
use crate::runtime::{Runtime, with_span};
use crate::span::Span;
use crate::tracer::lock;

/// Where the innermost span of a request is current.
#[derive(Clone, Default)]
pub(super) struct Place(Arc<Mutex<Option<Py<PyAny>>>>);

impl Place {
    pub fn context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        lock(&self.0).as_ref().map(|context| context.clone_ref(py))
    }

    fn set(&self, context: Option<Py<PyAny>>) {
        let before = std::mem::replace(&mut *lock(&self.0), context);
        drop(before);
    }
}

/// Makes spans by a tracer. What it raises is logged, and the request goes on.
pub(super) struct Spans {
    tracer: Py<PyAny>,
    place: Place,
    /// Spans that are open, with the contexts in which they are current.
    open: Vec<(Py<PyAny>, Py<PyAny>)>,
    about: Vec<(&'static str, Value)>,
    was_reported: bool,
}

impl Spans {
    pub fn new(tracer: Py<PyAny>, place: Place) -> Self {
        Spans { tracer, place, open: Vec::new(), about: Vec::new(), was_reported: false }
    }

    fn start(&mut self, py: Python<'_>, name: &str) -> PyResult<()> {
        let above = match self.open.last() {
            Some((_, context)) => context.bind(py).clone(),
            None => Runtime::current(py)?.get(py)?,
        };
        let named = PyDict::new(py);
        named.set_item(intern!(py, "context"), &above)?;
        let tracer = self.tracer.bind(py);
        let span = tracer.call_method(intern!(py, "start_span"), (name,), Some(&named))?;
        self.say_about(py, &span)?;
        let context = with_span(py, &above, &span)?;
        self.place.set(Some(context.clone().unbind()));
        self.open.push((span.unbind(), context.unbind()));
        Ok(())
    }

    /// Our spans hand on what the request is about; others are told one by one.
    fn say_about(&mut self, py: Python<'_>, span: &Bound<'_, PyAny>) -> PyResult<()> {
        let hand_down = span.getattr_opt(intern!(py, "_hand_down"))?;
        if hand_down.is_some() && !self.open.is_empty() {
            return Ok(());
        }
        let about = PyDict::new(py);
        for (key, value) in &self.about {
            about.set_item(key, to_python(py, value)?)?;
        }
        match hand_down {
            Some(hand_down) => hand_down.call1((about,))?,
            None => span.call_method1(intern!(py, "set_attributes"), (about,))?,
        };
        Ok(())
    }

    fn take(&mut self, py: Python<'_>, note: Note<'_>) -> PyResult<()> {
        match note {
            Note::Start(name) => return self.start(py, name),
            Note::About(key, value) => {
                self.about.push((key, value));
                return Ok(());
            }
            Note::End => return self.end(py),
            _ => {}
        }
        let Some((span, _)) = self.open.last() else { return Ok(()) };
        let span = span.bind(py);
        match note {
            Note::Set(key, value) => set(py, span, key, &value)?,
            Note::Event(name, attributes) => {
                let dict = PyDict::new(py);
                for (key, value) in &attributes {
                    dict.set_item(key, to_python(py, value)?)?;
                }
                span.call_method1(intern!(py, "add_event"), (name, dict))?;
            }
            Note::Error(kind, message) => {
                set(py, span, "error.type", &kind.to_owned().into())?;
                let api = api(py)?;
                let status = api.status.bind(py).call1((&api.codes[2], message))?;
                span.call_method1(intern!(py, "set_status"), (status,))?;
            }
            Note::Start(_) | Note::About(..) | Note::End => {}
        }
        Ok(())
    }

    fn end(&mut self, py: Python<'_>) -> PyResult<()> {
        let Some((span, _)) = self.open.pop() else { return Ok(()) };
        let above = self.open.last().map(|(_, context)| context.clone_ref(py));
        self.place.set(above);
        span.bind(py).call_method0(intern!(py, "end"))?;
        Ok(())
    }
}

fn set(py: Python<'_>, span: &Bound<'_, PyAny>, key: &str, value: &Value) -> PyResult<()> {
    span.call_method1(intern!(py, "set_attribute"), (key, to_python(py, value)?))?;
    Ok(())
}

pub(super) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Text(text) => text.into_pyobject(py)?.into_any(),
        Value::Int(number) => number.into_pyobject(py)?.into_any(),
        Value::Double(number) => number.into_pyobject(py)?.into_any(),
        Value::Texts(texts) => texts.into_pyobject(py)?.into_any(),
    })
}

impl Telling for Spans {
    fn tell(&mut self, note: Note<'_>) {
        Python::attach(|py| {
            // A start that fails must not make a later end the end of another span.
            let is_start = matches!(note, Note::Start(_));
            let n_open = self.open.len();
            let told = self.take(py, note);
            if is_start && self.open.len() == n_open {
                let nothing = || py.None();
                let context = self.open.last().map_or_else(nothing, |(_, up)| up.clone_ref(py));
                self.open.push((nothing(), context));
            }
            if let Err(error) = told
                && !std::mem::replace(&mut self.was_reported, true)
            {
                report(py, "a tracer of RAG control raised", error);
            }
        });
    }

    fn wants(&self, class: Class) -> bool {
        let Some((span, _)) = self.open.last() else { return false };
        Python::attach(|py| {
            let span = span.bind(py);
            if let Ok(own) = span.cast_exact::<Span>() {
                return own.get().record(|recording| recording.records(class)) == Some(true);
            }
            let asked = span.call_method0(intern!(py, "is_recording"));
            asked.is_ok_and(|recording| recording.is_truthy().unwrap_or(false))
        })
    }

    fn trace_id(&self) -> Option<String> {
        let (span, _) = self.open.first()?;
        Python::attach(|py| {
            let context = span.bind(py).call_method0(intern!(py, "get_span_context")).ok()?;
            let id: u128 = context.getattr(intern!(py, "trace_id")).ok()?.extract().ok()?;
            (id != 0).then(|| format!("{id:032x}"))
        })
    }
}
