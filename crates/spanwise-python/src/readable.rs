//! Spans for Python to look at: what span processors and exporters get.

use std::sync::Mutex;

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use spanwise::{Context, Recording};
use spanwise_model::span::StatusCode;
use spanwise_model::{Attributes, Event, Link, Span as Model, Status};

use crate::api::{Api, api};
use crate::tracer::{Tracer, lock};
use crate::value::{to_attributes, to_dict, to_proxy};

/// What a `ReadableSpan` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Name,
    Context,
    Kind,
    Parent,
    StartTime,
    EndTime,
    Status,
    Attributes,
    RawAttributes,
    Events,
    Links,
    Resource,
    InstrumentationScope,
    DroppedAttributes,
    DroppedEvents,
    DroppedLinks,
}

const N_FIELDS: usize = Field::DroppedLinks as usize + 1;

impl Field {
    /// OpenTelemetry's names, those of its private fields too, which instrumentations read.
    pub fn named(name: &str) -> PyResult<Self> {
        Ok(match name {
            "_attributes" => Field::RawAttributes,
            "name" | "_name" => Field::Name,
            "context" | "_context" => Field::Context,
            "kind" | "_kind" => Field::Kind,
            "parent" | "_parent" => Field::Parent,
            "start_time" | "_start_time" => Field::StartTime,
            "end_time" | "_end_time" => Field::EndTime,
            "status" | "_status" => Field::Status,
            "attributes" => Field::Attributes,
            "events" | "_events" => Field::Events,
            "links" | "_links" => Field::Links,
            "resource" | "_resource" => Field::Resource,
            "instrumentation_scope"
            | "_instrumentation_scope"
            | "instrumentation_info"
            | "_instrumentation_info" => Field::InstrumentationScope,
            "dropped_attributes" => Field::DroppedAttributes,
            "dropped_events" => Field::DroppedEvents,
            "dropped_links" => Field::DroppedLinks,
            _ => {
                return Err(PyAttributeError::new_err(format!("spans have no attribute '{name}'")));
            }
        })
    }
}

/// What belongs to a span and is not recorded with it.
pub(crate) struct Owner {
    pub tracer: Py<Tracer>,
    pub parent: Option<Context>,
}

/// A span that ended, as every processor sees it. Fields become Python objects when they are
/// looked at. Processors may assign to them, and later ones see what they assigned.
#[pyclass(frozen, weakref, dict, freelist = 64, module = "spanwise._core")]
pub(crate) struct ReadableSpan {
    model: Model,
    owner: Owner,
    fields: Mutex<Fields>,
}

#[derive(Default)]
struct Fields {
    known: [Option<Py<PyAny>>; N_FIELDS],
    /// Whether the attributes, the status or the name may have been changed.
    attributes: bool,
    status: bool,
    name: bool,
}

/// What processors changed.
#[derive(Default)]
pub(crate) struct Changes {
    attributes: Option<Attributes>,
    status: Option<(StatusCode, String)>,
    name: Option<String>,
}

impl Changes {
    pub fn apply(self, recording: &mut Recording) {
        if let Some(attributes) = self.attributes {
            recording.replace_attributes(&attributes);
        }
        if let Some((code, message)) = self.status {
            recording.replace_status(code, &message);
        }
        if let Some(name) = self.name {
            recording.rename(&name);
        }
    }
}

impl ReadableSpan {
    pub fn new(model: Model, owner: Owner) -> Self {
        ReadableSpan { model, owner, fields: Mutex::default() }
    }

    /// What its processors changed, if anything.
    pub fn changes(&self, py: Python<'_>) -> Option<Changes> {
        let fields = lock(&self.fields);
        let known = |field: Field, changed: bool| {
            let value = fields.known[field as usize].as_ref().filter(|_| changed);
            value.map(|value| value.bind(py).clone())
        };
        let attributes = known(Field::RawAttributes, fields.attributes);
        let status = known(Field::Status, fields.status);
        let name = known(Field::Name, fields.name);
        drop(fields);
        if attributes.is_none() && status.is_none() && name.is_none() {
            return None;
        }
        let api = api(py).ok()?;
        Some(Changes {
            attributes: attributes.map(|some| to_attributes(Some(&some))),
            status: status.and_then(|status| status_of(api, &status).ok()),
            name: name.and_then(|name| name.extract().ok()),
        })
    }

    fn get<'py>(&self, py: Python<'py>, field: Field) -> PyResult<Bound<'py, PyAny>> {
        let mut fields = lock(&self.fields);
        // In place, attributes can be changed without our seeing it.
        fields.attributes |= field == Field::RawAttributes;
        if let Some(known) = &fields.known[field as usize] {
            return Ok(known.bind(py).clone());
        }
        let changed = match (field, &fields.known[Field::RawAttributes as usize]) {
            (Field::Attributes, Some(raw)) => Some(raw.clone_ref(py)),
            _ => None,
        };
        drop(fields);
        if let Some(raw) = changed {
            // Through a proxy, so that it is always what is set.
            let raw = raw.into_bound(py);
            return Ok(match raw.cast::<pyo3::types::PyMapping>() {
                Ok(raw) => pyo3::types::PyMappingProxy::new(py, raw).into_any(),
                Err(_) => raw,
            });
        }
        let made = self::field(py, field, &self.model, &self.owner)?;
        lock(&self.fields).known[field as usize] = Some(made.clone().unbind());
        Ok(made)
    }
}

#[pymethods]
impl ReadableSpan {
    #[getter]
    fn name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get(py, Field::Name)
    }

    #[getter]
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get(py, Field::Attributes)
    }

    #[getter]
    fn get_context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get(py, Field::Context)
    }

    fn get_span_context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get(py, Field::Context)
    }

    /// Any other field; the class has properties for them.
    fn _read<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.get(py, Field::named(name)?)
    }

    fn _write(&self, name: &str, value: Py<PyAny>) -> PyResult<()> {
        let field = Field::named(name)?;
        let mut fields = lock(&self.fields);
        fields.attributes |= field == Field::RawAttributes;
        fields.status |= field == Field::Status;
        fields.name |= field == Field::Name;
        if field == Field::RawAttributes {
            fields.known[Field::Attributes as usize] = None;
        }
        let old = fields.known[field as usize].replace(value);
        drop(fields);
        drop(old);
        Ok(())
    }

    #[pyo3(signature = (indent=Some(4)))]
    fn to_json<'py>(slf: &Bound<'py, Self>, indent: Option<usize>) -> PyResult<Bound<'py, PyAny>> {
        to_json(slf.as_any(), indent)
    }
}

/// A span as JSON, in the words of OpenTelemetry's console exporter.
pub(crate) fn to_json<'py>(
    span: &Bound<'py, PyAny>,
    indent: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    span.py().import("spanwise._readable")?.call_method1("to_json", (span, indent))
}

/// One field as a Python object.
pub(crate) fn field<'py>(
    py: Python<'py>,
    field: Field,
    model: &Model,
    owner: &Owner,
) -> PyResult<Bound<'py, PyAny>> {
    let api = api(py)?;
    let tracer = owner.tracer.bind(py);
    let number = |count: u32| count.into_pyobject(py).map(Bound::into_any).map_err(PyErr::from);
    Ok(match field {
        Field::Name => PyString::new(py, &model.name).into_any(),
        Field::Context => api.to_span_context(py, &context_of(model))?,
        Field::Kind => api.kind(py, model.kind),
        Field::Parent => match &owner.parent {
            Some(parent) => api.to_span_context(py, parent)?,
            None => py.None().into_bound(py),
        },
        Field::StartTime => model.start_time_unix_nano.into_pyobject(py)?.into_any(),
        Field::EndTime => model.end_time_unix_nano.into_pyobject(py)?.into_any(),
        Field::Status => status(py, api, &model.status)?,
        Field::Attributes => to_proxy(py, &model.attributes)?,
        Field::RawAttributes => to_dict(py, &model.attributes)?.into_any(),
        Field::Events => {
            let events: PyResult<Vec<_>> =
                model.events.iter().map(|one| event(py, api, one)).collect();
            PyTuple::new(py, events?)?.into_any()
        }
        Field::Links => {
            let links: PyResult<Vec<_>> =
                model.links.iter().map(|one| link(py, api, one)).collect();
            PyTuple::new(py, links?)?.into_any()
        }
        Field::Resource => tracer.get().owner.bind(py).getattr("resource")?,
        Field::InstrumentationScope => tracer.get().scope_object(py).into_bound(py),
        Field::DroppedAttributes => number(model.dropped_attributes_count)?,
        Field::DroppedEvents => number(model.dropped_events_count)?,
        Field::DroppedLinks => number(model.dropped_links_count)?,
    })
}

fn context_of(model: &Model) -> Context {
    let context = spanwise_model::propagate::SpanContext {
        trace_id: model.trace_id,
        span_id: model.span_id,
        flags: spanwise_model::propagate::TraceFlags::from_bits(model.flags as u8),
        trace_state: spanwise_model::propagate::TraceState::parse(model.trace_state.as_bytes())
            .unwrap_or_default(),
    };
    Context::known(context, false)
}

fn status<'py>(py: Python<'py>, api: &Api, status: &Status) -> PyResult<Bound<'py, PyAny>> {
    let code = api.codes[match status.code {
        StatusCode::Unset => 0,
        StatusCode::Ok => 1,
        StatusCode::Error => 2,
    }]
    .bind(py);
    let message = (!status.message.is_empty()).then(|| &*status.message);
    api.status.bind(py).call1((code, message))
}

/// What a `Status` object says.
pub(crate) fn status_of(api: &Api, status: &Bound<'_, PyAny>) -> PyResult<(StatusCode, String)> {
    let code = status.getattr("status_code")?;
    let code = match api.codes.iter().position(|known| known.is(&code)) {
        Some(1) => StatusCode::Ok,
        Some(2) => StatusCode::Error,
        _ => StatusCode::Unset,
    };
    let message = status.getattr("description")?;
    let message = if message.is_none() { String::new() } else { message.str()?.extract()? };
    Ok((code, message))
}

fn event<'py>(py: Python<'py>, api: &Api, event: &Event) -> PyResult<Bound<'py, PyAny>> {
    let attributes = to_proxy(py, &event.attributes)?;
    let event = (&*event.name, attributes, event.time_unix_nano, event.dropped_attributes_count);
    api.event.bind(py).call1(event)
}

fn link<'py>(py: Python<'py>, api: &Api, link: &Link) -> PyResult<Bound<'py, PyAny>> {
    let context = spanwise_model::propagate::SpanContext {
        trace_id: link.trace_id,
        span_id: link.span_id,
        flags: spanwise_model::propagate::TraceFlags::from_bits(link.flags as u8),
        trace_state: spanwise_model::propagate::TraceState::parse(link.trace_state.as_bytes())
            .unwrap_or_default(),
    };
    let is_remote = link.flags & 0x200 != 0;
    let context = api.to_span_context(py, &Context::known(context, is_remote))?;
    api.link.bind(py).call1((context, to_proxy(py, &link.attributes)?))
}
