//! Models and embeddings behind OpenAI's API, or behind one like it: a provider, the gateway, a
//! server of one's own.
//!
//! Calls block. The trace's context goes along, except to providers at their public addresses.

use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use serde_json::{Map, Value as Json, json};
use ureq::{Agent, Body};

use super::adapter::{AdapterError, Generation, Llm, Piece, Pieces, Prompt, QueryEmbedding, Usage};
use crate::export::http::{Target, agent, described};
use crate::propagation;

/// What is read of an answer; more than this no model writes.
const MAX_ANSWER_BYTES: u64 = 16 << 20;
/// What is read of an error.
const MAX_ERROR_BYTES: u64 = 64 << 10;
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(2);

/// Where the API is, and who asks.
#[derive(Clone, Debug)]
pub struct Endpoint {
    base_url: String,
    target: Target,
    agent: Agent,
    /// Whether the trace's context goes along.
    propagates: bool,
}

impl Endpoint {
    /// The API below a base URL, such as `http://127.0.0.1:12000/v1`.
    pub fn new(base_url: &str) -> Result<Self, AdapterError> {
        let base_url = base_url.trim_end_matches('/').to_owned();
        let url: Uri = base_url.parse()?;
        let host = url.host().unwrap_or_default();
        if host.is_empty() || !matches!(url.scheme_str(), Some("http" | "https")) {
            return Err(AdapterError::new("config", format!("`{base_url}` is no HTTP URL")));
        }
        let propagates = !propagation::is_model_provider(host);
        let (headers, tls) = (HeaderMap::new(), crate::export::Tls::default());
        let target = Target { url, headers, gzip: false, timeout: DEFAULT_TIMEOUT, tls };
        Ok(Endpoint { base_url, agent: agent(&target), target, propagates })
    }

    /// The same with a key.
    pub fn key(self, key: &str) -> Result<Self, AdapterError> {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// The same with another header for each request.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, AdapterError> {
        let mut value = HeaderValue::from_str(value)?;
        value.set_sensitive(true);
        self.target.headers.insert(HeaderName::from_bytes(name.as_bytes())?, value);
        Ok(self)
    }

    /// The same with another limit to how long an answer may take, all of it.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.target.timeout = timeout;
        self
    }

    /// Whether the trace's context goes along; without this, except to known providers.
    #[must_use]
    pub fn propagate(self, propagates: bool) -> Self {
        Endpoint { propagates, ..self }
    }

    /// Whether the trace's context goes along.
    pub fn propagates(&self) -> bool {
        self.propagates
    }

    fn post(&self, path: &str, body: &Json, more: &HeaderMap) -> Result<Body, AdapterError> {
        let url = format!("{}{path}", self.base_url);
        let mut request = http::Request::post(url).body(serde_json::to_vec(body)?)?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.target.headers.clone());
        headers.extend(more.clone());
        let configured = self.agent.configure_request(request);
        let request = configured.timeout_global(Some(self.target.timeout)).build();
        let mut answer = self.agent.run(request).map_err(|error| failed(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let told = answer.body_mut().with_config().limit(MAX_ERROR_BYTES).read_to_string();
        let told = serde_json::from_str::<Json>(&told.unwrap_or_default()).unwrap_or_default();
        let message = told.pointer("/error/message").and_then(Json::as_str).unwrap_or_default();
        let message = format!("{status}: {message}");
        Err(AdapterError::new(status.as_str(), message.trim_end_matches([':', ' '])))
    }

    fn ask(&self, path: &str, body: &Json, more: &HeaderMap) -> Result<Json, AdapterError> {
        let mut answer = self.post(path, body, more)?;
        let text = answer.with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        let text = text.map_err(|error| failed(&error))?;
        let no_json = |_| AdapterError::new("bad_answer", "the answer is not JSON");
        serde_json::from_slice(&text).map_err(no_json)
    }

    /// The context of the current span, for the headers of a request.
    fn context(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self.propagates {
            propagation::inject(|name, value| {
                if let Ok(value) = HeaderValue::from_str(value) {
                    headers.insert(HeaderName::from_static(name), value);
                }
            });
        }
        headers
    }
}

fn failed(error: &ureq::Error) -> AdapterError {
    let kind = if matches!(error, ureq::Error::Timeout(_)) { "timeout" } else { "connection" };
    AdapterError::new(kind, described(error))
}

/// A chat model.
#[derive(Clone, Debug)]
pub struct OpenAiLlm {
    endpoint: Endpoint,
    model: String,
    provider: String,
}

impl OpenAiLlm {
    /// The model of this name.
    pub fn new(endpoint: Endpoint, model: impl Into<String>) -> Self {
        OpenAiLlm { endpoint, model: model.into(), provider: "openai".to_owned() }
    }

    /// The same run by somebody else, as OpenTelemetry names providers.
    #[must_use]
    pub fn run_by(self, provider: impl Into<String>) -> Self {
        OpenAiLlm { provider: provider.into(), ..self }
    }

    /// Answers at once, with these headers besides.
    pub fn generate_with(
        &self,
        prompt: &Prompt,
        headers: &HeaderMap,
    ) -> Result<Generation, AdapterError> {
        let answer = self.endpoint.ask("/chat/completions", &self.body(prompt), headers)?;
        let text = answer.pointer("/choices/0/message/content").and_then(Json::as_str);
        let content = text.ok_or_else(|| AdapterError::new("bad_answer", "the answer has no text"));
        let reason = answer.pointer("/choices/0/finish_reason").and_then(Json::as_str);
        Ok(Generation {
            content: content?.to_owned(),
            usage: usage(&answer).unwrap_or_default(),
            finish_reason: reason.map(ToOwned::to_owned),
        })
    }

    /// Answers piece by piece, with these headers besides.
    pub fn stream_with(
        &self,
        prompt: &Prompt,
        headers: &HeaderMap,
    ) -> Result<EventPieces, AdapterError> {
        let mut body = self.body(prompt);
        body["stream"] = true.into();
        body["stream_options"] = json!({ "include_usage": true });
        let answer = self.endpoint.post("/chat/completions", &body, headers)?;
        let lines: Box<dyn Read + Send> = Box::new(answer.into_reader());
        Ok(EventPieces { lines: BufReader::new(lines), is_over: false })
    }

    fn body(&self, prompt: &Prompt) -> Json {
        let mut body = Map::new();
        body.insert("model".to_owned(), self.model.clone().into());
        body.insert("messages".to_owned(), json!(prompt.messages));
        let mut add = |name: &str, value: Option<Json>| {
            value.and_then(|value| body.insert(name.to_owned(), value))
        };
        add("temperature", prompt.temperature.map(Json::from));
        // OpenAI's models that think refuse the old name; servers of others may not know the new one.
        let thinks = prompt.reasoning_depth.is_some();
        let is_new = thinks || self.endpoint.target.url.host() == Some("api.openai.com");
        let most = if is_new { "max_completion_tokens" } else { "max_tokens" };
        add(most, prompt.max_output_tokens.map(Json::from));
        add("reasoning_effort", prompt.reasoning_depth.as_deref().map(Json::from));
        Json::Object(body)
    }
}

impl Llm for OpenAiLlm {
    fn model(&self) -> &str {
        &self.model
    }

    fn provider(&self) -> Option<&str> {
        Some(&self.provider)
    }

    fn generate(&self, prompt: &Prompt) -> Result<Generation, AdapterError> {
        self.generate_with(prompt, &self.endpoint.context())
    }

    fn stream(&self, prompt: &Prompt) -> Result<Pieces<'_>, AdapterError> {
        Ok(Box::new(self.stream_with(prompt, &self.endpoint.context())?))
    }
}

fn usage(answer: &Json) -> Option<Usage> {
    let usage = answer.get("usage").filter(|usage| usage.is_object())?;
    let count = |name: &str| usage.get(name).and_then(Json::as_u64);
    Some(Usage {
        prompt_tokens: count("prompt_tokens"),
        completion_tokens: count("completion_tokens"),
        total_tokens: count("total_tokens"),
    })
}

/// The pieces of an answer as server-sent events.
pub struct EventPieces {
    lines: BufReader<Box<dyn Read + Send>>,
    is_over: bool,
}

impl Iterator for EventPieces {
    type Item = Result<Piece, AdapterError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = String::new();
        while !self.is_over {
            line.clear();
            let read = (&mut self.lines).take(MAX_ANSWER_BYTES).read_line(&mut line);
            match read {
                Ok(0) => {
                    return Some(Err(self.end("cut_off", "the answer was cut off".to_owned())));
                }
                Ok(_) => {}
                Err(error) => return Some(Err(self.end("connection", error.to_string()))),
            }
            let Some(data) = line.strip_prefix("data:").map(str::trim) else { continue };
            if data == "[DONE]" {
                self.is_over = true;
                break;
            }
            match serde_json::from_str::<Json>(data) {
                Ok(event) => return Some(self.piece(&event)),
                Err(_) => {
                    return Some(Err(self.end("bad_answer", "an event is not JSON".to_owned())));
                }
            }
        }
        None
    }
}

impl EventPieces {
    fn piece(&mut self, event: &Json) -> Result<Piece, AdapterError> {
        if let Some(error) = event.get("error").filter(|error| !error.is_null()) {
            let message = error.get("message").and_then(Json::as_str).unwrap_or("the model failed");
            return Err(self.end("model_error", message.to_owned()));
        }
        let text = |pointer| event.pointer(pointer).and_then(Json::as_str);
        Ok(Piece {
            text: text("/choices/0/delta/content").unwrap_or_default().to_owned(),
            usage: usage(event),
            finish_reason: text("/choices/0/finish_reason").map(ToOwned::to_owned),
        })
    }

    fn end(&mut self, kind: &str, message: String) -> AdapterError {
        self.is_over = true;
        AdapterError::new(kind, message)
    }
}

impl std::fmt::Debug for EventPieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventPieces").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

/// An embedding model.
#[derive(Clone, Debug)]
pub struct OpenAiEmbedding {
    endpoint: Endpoint,
    model: String,
    dimensions: usize,
    provider: String,
}

impl OpenAiEmbedding {
    /// The model of this name, whose vectors have so many numbers.
    pub fn new(endpoint: Endpoint, model: impl Into<String>, dimensions: usize) -> Self {
        OpenAiEmbedding { endpoint, model: model.into(), dimensions, provider: "openai".to_owned() }
    }

    /// The same run by somebody else, as OpenTelemetry names providers.
    #[must_use]
    pub fn run_by(self, provider: impl Into<String>) -> Self {
        OpenAiEmbedding { provider: provider.into(), ..self }
    }

    /// The vector of a text, with these headers besides.
    pub fn embed_with(&self, text: &str, headers: &HeaderMap) -> Result<Vec<f32>, AdapterError> {
        let body = json!({ "model": self.model, "input": text, "encoding_format": "float" });
        let answer = self.endpoint.ask("/embeddings", &body, headers)?;
        let numbers = answer.pointer("/data/0/embedding").and_then(Json::as_array);
        let odd = || AdapterError::new("bad_answer", "the answer has no embedding");
        let number = |number: &Json| number.as_f64().map(|number| number as f32).ok_or_else(odd);
        numbers.ok_or_else(odd)?.iter().map(number).collect()
    }
}

impl QueryEmbedding for OpenAiEmbedding {
    fn model(&self) -> &str {
        &self.model
    }

    fn provider(&self) -> Option<&str> {
        Some(&self.provider)
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn embed(&self, text: &str) -> Result<Vec<f32>, AdapterError> {
        self.embed_with(text, &self.endpoint.context())
    }
}
