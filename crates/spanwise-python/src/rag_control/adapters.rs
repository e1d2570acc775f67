//! The engine's own adapters for Python: models over HTTP and the store in a file. What waits does
//! so without the interpreter's lock.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use pyo3::exceptions::{
    PyConnectionError, PyOSError, PyRuntimeError, PyTimeoutError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use spanwise::propagation;
use spanwise::rag_control::openai::{Endpoint, EventPieces};
use spanwise::rag_control::{
    AdapterError, ChatMessage, Document, Filter, LocalStore, OpenAiEmbedding, OpenAiLlm, Prompt,
    Search, Usage, VectorStore,
};

use super::{document_of, to_json_value, to_map, to_vector};
use crate::tracer::lock;

/// A model or an embedding behind OpenAI's API.
#[pyclass(frozen, module = "spanwise._core")]
pub(crate) struct RagModel {
    llm: OpenAiLlm,
    embedding: OpenAiEmbedding,
    /// Whether the trace's context goes along.
    #[pyo3(get)]
    propagates: bool,
}

/// The pieces of an answer.
#[pyclass(frozen, module = "spanwise._core")]
pub(crate) struct RagPieces(Mutex<EventPieces>);

/// A store in a file.
#[pyclass(frozen, module = "spanwise._core")]
pub(crate) struct RagStore(LocalStore);

type PieceFields = (String, Option<(Option<u64>, Option<u64>, Option<u64>)>, Option<String>);

#[pymethods]
impl RagModel {
    #[new]
    fn new(
        base_url: &str,
        model: &str,
        dimensions: usize,
        api_key: Option<&str>,
        headers: Vec<(String, String)>,
        timeout: f64,
        propagates: Option<bool>,
    ) -> PyResult<Self> {
        let mut endpoint = Endpoint::new(base_url).map_err(to_python)?;
        if let Some(key) = api_key {
            endpoint = endpoint.key(key).map_err(to_python)?;
        }
        for (name, value) in headers {
            endpoint = endpoint.header(&name, &value).map_err(to_python)?;
        }
        let timeout = Duration::try_from_secs_f64(timeout);
        let timeout = timeout.map_err(|error| PyValueError::new_err(error.to_string()))?;
        endpoint = endpoint.timeout(timeout);
        if let Some(propagates) = propagates {
            endpoint = endpoint.propagate(propagates);
        }
        Ok(RagModel {
            propagates: endpoint.propagates(),
            llm: OpenAiLlm::new(endpoint.clone(), model),
            embedding: OpenAiEmbedding::new(endpoint, model, dimensions),
        })
    }

    fn generate(
        &self,
        py: Python<'_>,
        messages: &Bound<'_, PyAny>,
        options: Options,
        headers: Vec<(String, String)>,
    ) -> PyResult<PieceFields> {
        let (prompt, headers) = (to_prompt(messages, options)?, to_headers(headers));
        let answer = py.detach(|| self.llm.generate_with(&prompt, &headers));
        let answer = answer.map_err(to_python)?;
        Ok((answer.content, Some(counts(answer.usage)), answer.finish_reason))
    }

    fn stream(
        &self,
        py: Python<'_>,
        messages: &Bound<'_, PyAny>,
        options: Options,
        headers: Vec<(String, String)>,
    ) -> PyResult<RagPieces> {
        let (prompt, headers) = (to_prompt(messages, options)?, to_headers(headers));
        let pieces = py.detach(|| self.llm.stream_with(&prompt, &headers));
        Ok(RagPieces(Mutex::new(pieces.map_err(to_python)?)))
    }

    fn embed(
        &self,
        py: Python<'_>,
        text: &str,
        headers: Vec<(String, String)>,
    ) -> PyResult<Vec<f32>> {
        let headers = to_headers(headers);
        py.detach(|| self.embedding.embed_with(text, &headers)).map_err(to_python)
    }
}

#[pymethods]
impl RagPieces {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<PieceFields>> {
        let piece = py.detach(|| lock(&self.0).next()).transpose().map_err(to_python)?;
        Ok(piece.map(|piece| (piece.text, piece.usage.map(counts), piece.finish_reason)))
    }
}

#[pymethods]
impl RagStore {
    #[new]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        dimensions: usize,
        name: Option<String>,
    ) -> PyResult<Self> {
        let store = py.detach(|| LocalStore::open(path, dimensions)).map_err(to_python)?;
        Ok(RagStore(match name {
            Some(name) => store.named(name),
            None => store,
        }))
    }

    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// Adds documents: id, content, metadata and vector of each.
    fn add_all(
        &self,
        py: Python<'_>,
        documents: Vec<(String, String, Bound<'_, PyAny>, Bound<'_, PyAny>)>,
    ) -> PyResult<()> {
        let mut all = Vec::with_capacity(documents.len());
        for (id, content, metadata, vector) in documents {
            let metadata = to_map(&metadata);
            let vector = to_vector(&vector).map_err(PyValueError::new_err)?;
            all.push((Document { id, content, score: 0.0, metadata }, vector));
        }
        let documents = all.iter().map(|(document, vector)| (document, vector.as_slice()));
        py.detach(|| self.0.add_all(documents)).map_err(to_python)
    }

    fn remove(&self, py: Python<'_>, id: &str) -> PyResult<bool> {
        py.detach(|| self.0.remove(id)).map_err(to_python)
    }

    fn search<'py>(
        &self,
        py: Python<'py>,
        vector: &Bound<'py, PyAny>,
        top_k: usize,
        filter: &Bound<'py, PyAny>,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let vector = to_vector(vector).map_err(PyValueError::new_err)?;
        let filter = if filter.is_none() { None } else { Some(to_filter(filter)?) };
        let search = Search { vector, top_k, filter };
        let found = py.detach(|| self.0.search(&search)).map_err(to_python)?;
        found.iter().map(|document| document_of(py, document)).collect()
    }
}

/// Whether a host is a model provider's, who has no use for a trace's context.
#[pyfunction]
pub(crate) fn is_model_provider(host: &str) -> bool {
    propagation::is_model_provider(host)
}

pub(super) fn to_filter(filter: &Bound<'_, PyAny>) -> PyResult<Filter> {
    let parsed = Filter::from_json(&to_json_value(filter));
    parsed.ok_or_else(|| PyValueError::new_err("this is no filter of a search"))
}

/// Temperature, most tokens, and how long to think.
type Options = (Option<f64>, Option<u64>, Option<String>);

fn to_prompt(messages: &Bound<'_, PyAny>, options: Options) -> PyResult<Prompt> {
    let (temperature, max_output_tokens, reasoning_depth) = options;
    let messages: PyResult<Vec<ChatMessage>> = messages
        .try_iter()?
        .map(|message| {
            let message = message?;
            let role: String = message.get_item("role")?.extract()?;
            let content = message.get_item("content")?.extract()?;
            Ok(ChatMessage { role: role.into(), content })
        })
        .collect();
    let reasoning_depth = reasoning_depth.map(Into::into);
    Ok(Prompt { messages: messages?, temperature, max_output_tokens, reasoning_depth })
}

fn to_headers(headers: Vec<(String, String)>) -> HeaderMap {
    let header = |(name, value): (String, String)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
    };
    headers.into_iter().filter_map(header).collect()
}

fn counts(usage: Usage) -> (Option<u64>, Option<u64>, Option<u64>) {
    (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
}

/// The exception of Python that an adapter's error is.
fn to_python(error: AdapterError) -> PyErr {
    let message = error.message;
    match error.kind.as_str() {
        "timeout" => PyTimeoutError::new_err(message),
        "connection" | "cut_off" => PyConnectionError::new_err(message),
        "config" | "bad_vector" | "bad_file" | "too_large" => PyValueError::new_err(message),
        "in_use" => PyOSError::new_err(message),
        _ if error.source.is_some_and(|source| source.is::<std::io::Error>()) => {
            PyOSError::new_err(message)
        }
        _ => PyRuntimeError::new_err(message),
    }
}
