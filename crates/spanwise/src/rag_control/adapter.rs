//! What the engine works with: a model, an embedding, a store, and what passes between them.

use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

pub use super::error::AdapterError;
use super::filter::Filter;

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserContext {
    /// The user.
    pub user_id: String,
    /// The organization, as the policy file names it.
    pub org_id: String,
    /// What filters compare with, as `$user.attributes.NAME`.
    pub attributes: Map<String, Json>,
}

impl UserContext {
    /// A user of an organization.
    pub fn new(user_id: impl Into<String>, org_id: impl Into<String>) -> Self {
        let (user_id, org_id) = (user_id.into(), org_id.into());
        UserContext { user_id, org_id, attributes: Map::new() }
    }

    /// The same with one more attribute.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }
}

/// A document that was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// What its store calls it.
    pub id: String,
    /// Its text.
    pub content: String,
    /// How well it fits; larger is better.
    pub score: f64,
    /// What filters look at; `source` is where it comes from.
    #[serde(default)]
    pub metadata: Map<String, Json>,
}

impl Document {
    /// Where it comes from, if its metadata says so.
    pub fn source(&self) -> Option<&str> {
        self.metadata.get("source").and_then(Json::as_str)
    }
}

/// What a store is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// The question as a vector.
    pub vector: Vec<f32>,
    /// How many documents at most.
    pub top_k: usize,
    /// What the user may see. Stores that can, apply it; the engine applies it again in any case.
    pub filter: Option<Filter>,
}

/// What a model is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// What is said to it.
    pub messages: Vec<ChatMessage>,
    /// How freely it chooses among likely words; the model's own default, if not said.
    pub temperature: Option<f64>,
    /// How much it may answer.
    pub max_output_tokens: Option<u64>,
    /// How long it may think, where it can: `none`, `minimal`, `low`, `medium` or `high`.
    pub reasoning_depth: Option<Cow<'static, str>>,
}

/// Something said to a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChatMessage {
    /// `system` or `user`.
    pub role: Cow<'static, str>,
    /// The words.
    pub content: String,
}

/// How many tokens an answer took. What is not known stays `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// What the model was given.
    #[serde(default)]
    pub prompt_tokens: Option<u64>,
    /// What it made.
    #[serde(default)]
    pub completion_tokens: Option<u64>,
    /// Both.
    #[serde(default)]
    pub total_tokens: Option<u64>,
}

/// A model's whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generation {
    /// The words.
    pub content: String,
    /// What it took.
    pub usage: Usage,
    /// Why it ended.
    pub finish_reason: Option<String>,
}

/// A piece of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Piece {
    /// Some words.
    pub text: String,
    /// What the answer took; mostly only with the last piece.
    pub usage: Option<Usage>,
    /// Why it ended; only with the last piece.
    pub finish_reason: Option<String>,
}

impl From<&str> for Piece {
    fn from(text: &str) -> Self {
        Piece { text: text.to_owned(), ..Piece::default() }
    }
}

/// The pieces of an answer as they come.
pub type Pieces<'a> = Box<dyn Iterator<Item = Result<Piece, AdapterError>> + Send + 'a>;

/// A model that answers.
pub trait Llm: Send + Sync {
    /// What it is called.
    fn model(&self) -> &str;

    /// Who runs it, as OpenTelemetry names providers.
    fn provider(&self) -> Option<&str> {
        None
    }

    /// Answers at once.
    fn generate(&self, prompt: &Prompt) -> Result<Generation, AdapterError>;

    /// Answers piece by piece.
    fn stream(&self, prompt: &Prompt) -> Result<Pieces<'_>, AdapterError>;
}

/// What makes vectors of questions.
pub trait QueryEmbedding: Send + Sync {
    /// What it is called.
    fn model(&self) -> &str;

    /// Who runs it, as OpenTelemetry names providers.
    fn provider(&self) -> Option<&str> {
        None
    }

    /// How many numbers a vector has.
    fn dimensions(&self) -> usize;

    /// The vector of a text.
    fn embed(&self, text: &str) -> Result<Vec<f32>, AdapterError>;
}

/// Where documents are.
pub trait VectorStore: Send + Sync {
    /// What it is called.
    fn name(&self) -> &str;

    /// The documents that fit best, best first.
    fn search(&self, search: &Search) -> Result<Vec<Document>, AdapterError>;
}

/// A model that answers without blocking.
pub trait AsyncLlm: Send + Sync {
    /// What it is called.
    fn model(&self) -> &str;

    /// Who runs it, as OpenTelemetry names providers.
    fn provider(&self) -> Option<&str> {
        None
    }

    /// Answers at once.
    fn generate(
        &self,
        prompt: &Prompt,
    ) -> impl Future<Output = Result<Generation, AdapterError>> + Send;

    /// Answers piece by piece.
    fn stream(
        &self,
        prompt: Arc<Prompt>,
    ) -> impl futures_core::Stream<Item = Result<Piece, AdapterError>> + Send;
}

/// What makes vectors of questions without blocking.
pub trait AsyncQueryEmbedding: Send + Sync {
    /// What it is called.
    fn model(&self) -> &str;

    /// Who runs it, as OpenTelemetry names providers.
    fn provider(&self) -> Option<&str> {
        None
    }

    /// How many numbers a vector has.
    fn dimensions(&self) -> usize;

    /// The vector of a text.
    fn embed(&self, text: &str) -> impl Future<Output = Result<Vec<f32>, AdapterError>> + Send;
}

/// Where documents are, asked without blocking.
pub trait AsyncVectorStore: Send + Sync {
    /// What it is called.
    fn name(&self) -> &str;

    /// The documents that fit best, best first.
    fn search(
        &self,
        search: &Search,
    ) -> impl Future<Output = Result<Vec<Document>, AdapterError>> + Send;
}
