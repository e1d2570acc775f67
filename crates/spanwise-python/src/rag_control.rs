//! RAG control for Python: the engine's requests as objects that Python drives, and Python's tracers.

mod adapters;
mod spans;
mod tracers;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyList, PyString};
use serde_json::{Map, Value as Json};
use spanwise::rag_control::exchange::{Adapters, Exchange, Mode, Next};
use spanwise::rag_control::{
    AdapterError, Answer, Document, Error, ErrorKind, Filter, Generation, Piece, Policies,
    PolicyFileError, Stage, Usage, UserContext,
};

pub(crate) use self::adapters::{RagModel, RagPieces, RagStore, is_model_provider};
use self::spans::Place;
use self::tracers::Choice;
use crate::api::report;
use crate::json;
use crate::runtime::{Attached, Runtime};
use crate::tracer::lock;

/// What does not change from request to request.
#[pyclass(frozen, module = "spanwise._core")]
pub(crate) struct RagEngine {
    policies: Arc<Policies>,
    choice: Choice,
}

/// One request. Its methods are told how each step went, and say what comes next.
#[pyclass(frozen, module = "spanwise._core")]
pub(crate) struct RagExchange {
    exchange: Mutex<Option<Exchange>>,
    /// Where the span of the stage is current, if there are spans.
    place: Option<Place>,
    attached: Mutex<Option<Attached>>,
}

#[pymethods]
impl RagEngine {
    #[new]
    fn new(py: Python<'_>, config_path: PathBuf, tracer: &Bound<'_, PyAny>) -> PyResult<Self> {
        let policies = py.detach(|| Policies::open(config_path));
        let policies = policies.map_err(|error| policy_file_error(py, &error))?;
        Ok(RagEngine { policies: Arc::new(policies), choice: Choice::of(tracer)? })
    }

    /// Starts a request. `adapters` are the names of the model, of who runs it, of the embedding,
    /// of who runs that, its dimensions, and the store's name.
    fn begin(
        &self,
        py: Python<'_>,
        streams: bool,
        query: &str,
        user: (String, String, Bound<'_, PyAny>),
        adapters: (String, Option<String>, String, Option<String>, usize, String),
    ) -> PyResult<RagExchange> {
        let (user_id, org_id, attributes) = user;
        let attributes = to_map(&attributes);
        let user = UserContext { user_id, org_id, attributes };
        let (llm, llm_provider, embedding, embedding_provider, dimensions, store) = adapters;
        let adapters =
            Adapters { llm, llm_provider, embedding, embedding_provider, dimensions, store };
        let mode = if streams { Mode::Stream } else { Mode::Run };
        let (telling, place) = self.choice.telling(py);
        let policies = Arc::clone(&self.policies);
        let started = Exchange::start(policies, Arc::new(adapters), telling, mode, query, user);
        let exchange = Mutex::new(Some(started.map_err(|error| raised(py, &error))?));
        Ok(RagExchange { exchange, place, attached: Mutex::default() })
    }
}

impl RagExchange {
    fn with<R>(&self, work: impl FnOnce(&mut Exchange) -> PyResult<R>) -> PyResult<R> {
        let mut exchange = self.exchange.try_lock().map_err(|_| in_use())?;
        work(exchange.as_mut().ok_or_else(in_use)?)
    }
}

fn in_use() -> PyErr {
    PyRuntimeError::new_err("the request is over, or used by two threads at once")
}

#[pymethods]
impl RagExchange {
    /// Takes the vector; how many documents are wanted and of which filter, or `None` if none may
    /// be found.
    fn embedded<'py>(
        &self,
        vector: &Bound<'py, PyAny>,
    ) -> PyResult<Option<(usize, Bound<'py, PyAny>)>> {
        let py = vector.py();
        self.with(|exchange| {
            let numbers =
                to_vector(vector).map_err(|what| raised(py, &exchange.bad_result(what)))?;
            let search = exchange.embedded(Ok(numbers)).map_err(|error| raised(py, &error))?;
            let Some(search) = search else { return Ok(None) };
            let filter = search.filter.as_ref().map_or(Json::Null, Filter::to_json);
            Ok(Some((search.top_k, from_json(py, &filter)?)))
        })
    }

    /// Takes what was found. Either the answer, which then refuses, or what the model is to be
    /// asked.
    fn found<'py>(&self, documents: &Bound<'py, PyAny>) -> PyResult<(bool, Bound<'py, PyDict>)> {
        let py = documents.py();
        self.with(|exchange| {
            let found =
                to_documents(documents).map_err(|what| raised(py, &exchange.bad_result(what)))?;
            match exchange.found(Ok(found)).map_err(|error| raised(py, &error))? {
                Next::Refused(answer) => Ok((false, answer_of(py, &answer)?)),
                Next::Ask(prompt) => {
                    let asked = PyDict::new(py);
                    let message = |one: &spanwise::rag_control::ChatMessage| {
                        let message = PyDict::new(py);
                        message.set_item("role", &*one.role)?;
                        message.set_item("content", &one.content)?;
                        Ok(message)
                    };
                    let messages: PyResult<Vec<_>> = prompt.messages.iter().map(message).collect();
                    asked.set_item("messages", messages?)?;
                    asked.set_item("temperature", prompt.temperature)?;
                    asked.set_item("max_output_tokens", prompt.max_output_tokens)?;
                    asked.set_item("reasoning_depth", prompt.reasoning_depth.as_deref())?;
                    Ok((true, asked))
                }
            }
        })
    }

    /// Takes the whole answer.
    fn generated<'py>(&self, generated: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let py = generated.py();
        self.with(|exchange| {
            let piece = to_piece(generated, "content")
                .map_err(|what| raised(py, &exchange.bad_result(what)))?;
            let Piece { text: content, usage, finish_reason } = piece;
            let usage = usage.unwrap_or_default();
            let generation = Generation { content, usage, finish_reason };
            let answer = exchange.generated(Ok(generation)).map_err(|error| raised(py, &error))?;
            answer_of(py, &answer)
        })
    }

    /// Takes a piece; what may be shown now.
    fn piece(&self, piece: &Bound<'_, PyAny>) -> PyResult<String> {
        let py = piece.py();
        self.with(|exchange| {
            let piece =
                to_piece(piece, "text").map_err(|what| raised(py, &exchange.bad_result(what)))?;
            exchange.piece(Ok(piece)).map_err(|error| raised(py, &error))
        })
    }

    /// The last piece has come; the answer, and what of it has not been shown.
    fn finished<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyDict>, String)> {
        self.with(|exchange| {
            let (answer, rest) = exchange.finished().map_err(|error| raised(py, &error))?;
            Ok((answer_of(py, &answer)?, rest))
        })
    }

    /// The adapter of the stage raised this; what is to be raised in its place.
    fn failed<'py>(&self, error: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = error.py();
        let kind = error.get_type().name()?.to_string_lossy().into_owned();
        let message = error.str().map(|text| text.to_string_lossy().into_owned());
        let message = message.unwrap_or_else(|_| kind.clone());
        self.with(|exchange| {
            let failed = exchange.failed(AdapterError::new(kind, message));
            Ok(raised(py, &failed).into_value(py).into_bound(py).into_any())
        })
    }

    /// Ends it, if it is not over.
    fn close(&self) {
        let exchange = lock(&self.exchange).take();
        drop(exchange);
    }

    /// Makes the span of the stage current.
    fn __enter__(&self, py: Python<'_>) {
        let Some(context) = self.place.as_ref().and_then(|place| place.context(py)) else { return };
        let attached =
            Runtime::current(py).and_then(|runtime| runtime.attach_context(py, context.bind(py)));
        match attached {
            Ok(attached) => drop(lock(&self.attached).replace(attached)),
            Err(error) => report(py, "the span of a stage was not made current", error),
        }
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _exception: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) {
        let attached = lock(&self.attached).take();
        if let Some(Err(error)) = attached.map(|attached| attached.detach(py)) {
            report(py, "Failed to detach context", error);
        }
    }
}

/// Whether a document with this metadata passes a filter as stores are given it.
#[pyfunction]
pub(crate) fn rag_filter_matches(
    filter: &Bound<'_, PyAny>,
    metadata: &Bound<'_, PyAny>,
) -> PyResult<bool> {
    if filter.is_none() {
        return Ok(true);
    }
    Ok(adapters::to_filter(filter)?.matches(&to_map(metadata)))
}

fn policy_file_error(py: Python<'_>, error: &PolicyFileError) -> PyErr {
    let class = class(py, "PolicyFileError");
    let made = class.and_then(|class| {
        class.call1((error.to_string(), error.line, error.field.as_str(), error.message.as_str()))
    });
    made.map_or_else(|error| error, PyErr::from_value)
}

/// The exception for an error.
fn raised(py: Python<'_>, error: &Error) -> PyErr {
    let name = match (&error.kind, error.stage) {
        (ErrorKind::InvalidQuery(_), _) => "InvalidQueryError",
        (ErrorKind::UnknownOrganization(_), _) => "UnknownOrganizationError",
        (ErrorKind::Violation(_), _) => "EnforcementError",
        (_, Stage::Embedding) => "EmbeddingError",
        (_, Stage::Retrieval) => "RetrievalError",
        (_, Stage::Generate | Stage::Stream) => "GenerationError",
        _ => "RAGControlError",
    };
    let rule = match &error.kind {
        ErrorKind::Violation(violation) => Some(violation.rule),
        _ => None,
    };
    let made = class(py, name).and_then(|class| {
        let (request_id, trace_id) = (&error.request_id, error.trace_id.as_deref());
        class.call1((error.to_string(), error.stage.name(), request_id, trace_id, rule))
    });
    made.map_or_else(|error| error, PyErr::from_value)
}

fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("spanwise.rag_control")?.getattr(name)
}

/// An answer's fields.
fn answer_of<'py>(py: Python<'py>, answer: &Answer) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    let documents: PyResult<Vec<_>> =
        answer.documents.iter().map(|document| document_of(py, document)).collect();
    fields.set_item("documents", documents?)?;
    fields.set_item("content", &answer.content)?;
    fields.set_item("citations", &answer.citations)?;
    fields.set_item("refused", answer.refused)?;
    fields.set_item("policy_name", &answer.policy_name)?;
    let Usage { prompt_tokens, completion_tokens, total_tokens } = answer.usage;
    fields.set_item("usage", (prompt_tokens, completion_tokens, total_tokens))?;
    fields.set_item("finish_reason", &answer.finish_reason)?;
    fields.set_item("request_id", &answer.request_id)?;
    fields.set_item("trace_id", &answer.trace_id)?;
    Ok(fields)
}

/// A document's fields.
fn document_of<'py>(py: Python<'py>, document: &Document) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("id", &document.id)?;
    fields.set_item("content", &document.content)?;
    fields.set_item("score", document.score)?;
    let metadata = PyDict::new(py);
    for (key, value) in &document.metadata {
        metadata.set_item(key, from_json(py, value)?)?;
    }
    fields.set_item("metadata", metadata)?;
    Ok(fields)
}

/// The numbers of a vector: of a list, of an array, of whatever can be iterated.
fn to_vector(vector: &Bound<'_, PyAny>) -> Result<Vec<f32>, String> {
    let odd = || format!("the embedding is {}, not a list of numbers", type_name(vector));
    let mut numbers = Vec::new();
    for item in vector.try_iter().map_err(|_| odd())? {
        let number = item.and_then(|item| match item.cast_exact::<PyFloat>() {
            Ok(number) => Ok(number.value()),
            Err(_) => item.extract::<f64>(),
        });
        numbers.push(number.map_err(|_| odd())? as f32);
    }
    Ok(numbers)
}

fn to_documents(documents: &Bound<'_, PyAny>) -> Result<Vec<Document>, String> {
    let odd = || format!("the store gave {}, not a list of documents", type_name(documents));
    let items = documents.try_iter().map_err(|_| odd())?;
    items.map(|item| to_document(&item.map_err(|error| error.to_string())?)).collect()
}

fn to_document(item: &Bound<'_, PyAny>) -> Result<Document, String> {
    let need = |name: &str| {
        let found = field(item, name).filter(|found| !found.is_none());
        found.ok_or_else(|| format!("a document has no `{name}`"))
    };
    let text = |name: &str| {
        let found = need(name)?;
        let text = found.cast::<PyString>();
        text.map(|text| text.to_string_lossy().into_owned())
            .map_err(|_| format!("a document's `{name}` is {}", type_name(&found)))
    };
    let id = need("id")?;
    let id = id.str().map(|id| id.to_string_lossy().into_owned());
    let score = need("score")?.extract::<f64>();
    Ok(Document {
        id: id.map_err(|error| error.to_string())?,
        content: text("content")?,
        score: score.map_err(|_| "a document's `score` is no number".to_owned())?,
        metadata: field(item, "metadata").map(|metadata| to_map(&metadata)).unwrap_or_default(),
    })
}

/// A model's answer or a piece of one: text, or something that has text and maybe more.
fn to_piece(piece: &Bound<'_, PyAny>, name: &str) -> Result<Piece, String> {
    if let Ok(text) = piece.cast::<PyString>() {
        return Ok(Piece { text: text.to_string_lossy().into_owned(), ..Piece::default() });
    }
    let text = [name, "content", "text"].iter().find_map(|name| field(piece, name));
    let text = match text {
        Some(text) if text.is_none() => String::new(),
        Some(text) => match text.cast::<PyString>() {
            Ok(text) => text.to_string_lossy().into_owned(),
            Err(_) => return Err(format!("the model's text is {}", type_name(&text))),
        },
        None => return Err(format!("the model gave {}, which has no text", type_name(piece))),
    };
    let usage = field(piece, "usage").filter(|usage| !usage.is_none()).map(|usage| {
        let count = |name: &str| field(&usage, name).and_then(|count| count.extract().ok());
        Usage {
            prompt_tokens: count("prompt_tokens"),
            completion_tokens: count("completion_tokens"),
            total_tokens: count("total_tokens"),
        }
    });
    let reason = field(piece, "finish_reason");
    let finish_reason = reason.and_then(|reason| reason.extract().ok());
    Ok(Piece { text, usage, finish_reason })
}

/// A key of a mapping, or an attribute of anything else.
fn field<'py>(of: &Bound<'py, PyAny>, name: &str) -> Option<Bound<'py, PyAny>> {
    match of.cast::<PyDict>() {
        Ok(dict) => dict.get_item(name).ok().flatten(),
        Err(_) => of.getattr_opt(name).ok().flatten(),
    }
}

fn type_name(of: &Bound<'_, PyAny>) -> String {
    if of.is_none() {
        return "nothing".to_owned();
    }
    let name = of.get_type().name();
    name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Plain data as the engine has it.
fn to_json_value(value: &Bound<'_, PyAny>) -> Json {
    if value.is_none() {
        return Json::Null;
    }
    if let Ok(text) = value.cast::<PyString>() {
        return text.to_string_lossy().into_owned().into();
    }
    let mut text = String::new();
    json::put(&mut text, value, 0);
    serde_json::from_str(&text).unwrap_or_default()
}

fn to_map(value: &Bound<'_, PyAny>) -> Map<String, Json> {
    let Ok(dict) = value.cast::<PyDict>() else {
        return match to_json_value(value) {
            Json::Object(map) => map,
            _ => Map::new(),
        };
    };
    let key = |key: Bound<'_, PyAny>| key.str().map(|key| key.to_string_lossy().into_owned());
    dict.iter().filter_map(|(name, value)| Some((key(name).ok()?, to_json_value(&value)))).collect()
}

fn from_json<'py>(py: Python<'py>, value: &Json) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Json::Null => py.None().into_bound(py),
        Json::Bool(truth) => truth.into_pyobject(py)?.to_owned().into_any(),
        Json::Number(number) => match number.as_i64() {
            Some(number) => number.into_pyobject(py)?.into_any(),
            None => number.as_f64().unwrap_or(f64::NAN).into_pyobject(py)?.into_any(),
        },
        Json::String(text) => PyString::new(py, text).into_any(),
        Json::Array(items) => {
            let items: PyResult<Vec<_>> = items.iter().map(|item| from_json(py, item)).collect();
            PyList::new(py, items?)?.into_any()
        }
        Json::Object(fields) => {
            let dict = PyDict::new(py);
            for (key, value) in fields {
                dict.set_item(key, from_json(py, value)?)?;
            }
            dict.into_any()
        }
    })
}
