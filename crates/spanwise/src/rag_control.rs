//! RAG control: questions answered from documents, under a policy, with every step on record.
//!
//! ```
//! use spanwise::rag_control::{
//!     AdapterError, Document, Generation, Llm, Piece, Pieces, Policies, Prompt, QueryEmbedding,
//!     RagControl, Search, UserContext, VectorStore,
//! };
//!
//! struct Model;
//! impl Llm for Model {
//!     fn model(&self) -> &str { "my-model" }
//!     fn generate(&self, prompt: &Prompt) -> Result<Generation, AdapterError> {
//!         Ok(Generation { content: "28 days [1].".to_owned(), ..Generation::default() })
//!     }
//!     fn stream(&self, prompt: &Prompt) -> Result<Pieces<'_>, AdapterError> {
//!         Ok(Box::new(["28 days ", "[1]."].into_iter().map(|text| Ok(Piece::from(text)))))
//!     }
//! }
//!
//! struct Embedding;
//! impl QueryEmbedding for Embedding {
//!     fn model(&self) -> &str { "my-embedding" }
//!     fn dimensions(&self) -> usize { 2 }
//!     fn embed(&self, text: &str) -> Result<Vec<f32>, AdapterError> { Ok(vec![1.0, 0.0]) }
//! }
//!
//! struct Store;
//! impl VectorStore for Store {
//!     fn name(&self) -> &str { "handbook" }
//!     fn search(&self, search: &Search) -> Result<Vec<Document>, AdapterError> {
//!         let holidays = Document {
//!             id: "holidays".to_owned(),
//!             content: "Everybody has 28 days off.".to_owned(),
//!             score: 0.9,
//!             metadata: [("visibility".to_owned(), "public".into())].into_iter().collect(),
//!         };
//!         Ok(vec![holidays])
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let policies = Policies::parse("
//! organizations:
//!   meridian: {filter: public_only, policy: cited_answers, retrieval_top_k: 3}
//! filters:
//!   public_only: {and: [{field: visibility, operator: equals, value: public}]}
//! policies:
//!   cited_answers: {enforcement: {require_citations: true}}
//! ")?;
//! let rag = RagControl::new(Model, Embedding, Store, policies);
//! let user = UserContext::new("u-17", "meridian");
//! let answer = rag.run("How many days off do I have?", &user)?;
//! assert_eq!(answer.citations, ["holidays"]);
//!
//! let mut pieces = rag.stream("How many days off do I have?", &user)?;
//! let text: String = pieces.by_ref().collect::<Result<_, _>>()?;
//! assert_eq!(text, pieces.result().unwrap().content);
//! # Ok(())
//! # }
//! ```
//!
//! Read in this order: [`policy`] (what is allowed), [`filter`] (which documents), [`exchange`]
//! (the steps of one request), [`enforce`] (the answer is checked), [`tracer`] (who is told).

pub mod adapter;
mod enforce;
pub mod error;
pub mod exchange;
pub mod filter;
pub mod lane;
pub mod openai;
pub mod policy;
mod prompt;
pub mod store;
mod streams;
pub mod tracer;
mod yaml;

use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

pub use self::adapter::{
    AdapterError, AsyncLlm, AsyncQueryEmbedding, AsyncVectorStore, ChatMessage, Document,
    Generation, Llm, Piece, Pieces, Prompt, QueryEmbedding, Search, Usage, UserContext,
    VectorStore,
};
pub use self::error::{Error, ErrorKind, PolicyFileError, Stage, Violation};
pub use self::exchange::Answer;
use self::exchange::{Adapters, Exchange, Mode, Next};
pub use self::filter::{Filter, Operator};
use self::lane::Lane;
pub use self::openai::{OpenAiEmbedding, OpenAiLlm};
pub use self::policy::Policies;
pub use self::store::LocalStore;
pub use self::streams::{AnswerStream, AsyncAnswerStream};
use self::tracer::Choice;
pub use self::tracer::{SpanRecord, StructlogTracer, Telling, Tracer};

/// Answers questions from documents, under a policy. See the [module](self).
///
/// Where tracing runs, every request is a trace, or a part of the trace that is current; where it
/// does not, there are log lines on standard error. Choose with [`tracer`](RagControl::tracer),
/// [`without_tracer`](RagControl::without_tracer) or [`with_spans`](RagControl::with_spans).
#[derive(Debug)]
pub struct RagControl<L, E, V> {
    llm: L,
    query_embedding: E,
    vector_store: V,
    policies: Arc<Policies>,
    choice: Choice,
}

impl<L, E, V> RagControl<L, E, V> {
    /// An engine of these parts under these policies.
    pub fn new(llm: L, query_embedding: E, vector_store: V, policies: Policies) -> Self {
        let log = Lane::new(Box::new(StructlogTracer::stderr()));
        let (policies, choice) = (Arc::new(policies), Choice::Automatic(log));
        RagControl { llm, query_embedding, vector_store, policies, choice }
    }

    /// The same under the policies of a file.
    pub fn open(
        llm: L,
        query_embedding: E,
        vector_store: V,
        config_path: impl AsRef<Path>,
    ) -> Result<Self, PolicyFileError> {
        Ok(Self::new(llm, query_embedding, vector_store, Policies::open(config_path)?))
    }

    /// The same with a tracer of your own, or a [`StructlogTracer`].
    #[must_use]
    pub fn tracer(self, tracer: impl Tracer + 'static) -> Self {
        RagControl { choice: Choice::Lane(Lane::new(Box::new(tracer))), ..self }
    }

    /// The same without a tracer.
    #[must_use]
    pub fn without_tracer(self) -> Self {
        RagControl { choice: Choice::Nobody, ..self }
    }

    /// The same with spans in any case.
    #[must_use]
    pub fn with_spans(self) -> Self {
        RagControl { choice: Choice::Spans, ..self }
    }

    fn exchange(
        &self,
        adapters: Adapters,
        mode: Mode,
        query: &str,
        user: &UserContext,
    ) -> Result<Exchange, Error> {
        let (policies, adapters) = (Arc::clone(&self.policies), Arc::new(adapters));
        Exchange::start(policies, adapters, self.choice.telling(), mode, query, user.clone())
    }
}

impl<L: Llm, E: QueryEmbedding, V: VectorStore> RagControl<L, E, V> {
    /// Answers a question.
    pub fn run(&self, query: &str, user: &UserContext) -> Result<Answer, Error> {
        let mut exchange = self.exchange(self.adapters(), Mode::Run, query, user)?;
        match self.find(&mut exchange)? {
            Next::Refused(answer) => Ok(*answer),
            Next::Ask(prompt) => {
                let generated = exchange.within(|| self.llm.generate(&prompt));
                exchange.generated(generated)
            }
        }
    }

    /// Answers a question piece by piece. What is shown has been checked as far as it can be;
    /// whether the whole keeps to the policy is known at the end.
    pub fn stream(&self, query: &str, user: &UserContext) -> Result<AnswerStream<'_>, Error> {
        let mut exchange = self.exchange(self.adapters(), Mode::Stream, query, user)?;
        match self.find(&mut exchange)? {
            Next::Refused(answer) => Ok(AnswerStream::refused(*answer)),
            Next::Ask(prompt) => {
                let pieces = exchange.within(|| self.llm.stream(&prompt));
                let pieces = pieces.map_err(|error| exchange.failed(error))?;
                Ok(AnswerStream::new(exchange, pieces))
            }
        }
    }

    fn find(&self, exchange: &mut Exchange) -> Result<Next, Error> {
        let query = exchange.query().to_owned();
        let vector = exchange.within(|| self.query_embedding.embed(&query));
        let found = match exchange.embedded(vector)? {
            Some(search) => exchange.within(|| self.vector_store.search(&search)),
            None => Ok(Vec::new()),
        };
        exchange.found(found)
    }

    fn adapters(&self) -> Adapters {
        Adapters {
            llm: self.llm.model().to_owned(),
            llm_provider: self.llm.provider().map(ToOwned::to_owned),
            embedding: self.query_embedding.model().to_owned(),
            embedding_provider: self.query_embedding.provider().map(ToOwned::to_owned),
            dimensions: self.query_embedding.dimensions(),
            store: self.vector_store.name().to_owned(),
        }
    }
}

impl<L: AsyncLlm, E: AsyncQueryEmbedding, V: AsyncVectorStore> RagControl<L, E, V> {
    /// Answers a question without blocking.
    pub async fn arun(&self, query: &str, user: &UserContext) -> Result<Answer, Error> {
        let mut exchange = self.exchange(self.async_adapters(), Mode::Run, query, user)?;
        match self.afind(&mut exchange).await? {
            Next::Refused(answer) => Ok(*answer),
            Next::Ask(prompt) => {
                let generated = within(&mut exchange, self.llm.generate(&prompt)).await;
                exchange.generated(generated)
            }
        }
    }

    /// Answers a question piece by piece without blocking.
    pub async fn astream(
        &self,
        query: &str,
        user: &UserContext,
    ) -> Result<AsyncAnswerStream<'_>, Error> {
        let mut exchange = self.exchange(self.async_adapters(), Mode::Stream, query, user)?;
        match self.afind(&mut exchange).await? {
            Next::Refused(answer) => Ok(AsyncAnswerStream::refused(*answer)),
            Next::Ask(prompt) => {
                let pieces = exchange.within(|| self.llm.stream(prompt));
                Ok(AsyncAnswerStream::new(exchange, Box::pin(pieces)))
            }
        }
    }

    async fn afind(&self, exchange: &mut Exchange) -> Result<Next, Error> {
        let query = exchange.query().to_owned();
        let vector = within(exchange, self.query_embedding.embed(&query)).await;
        let found = match exchange.embedded(vector)? {
            Some(search) => within(exchange, self.vector_store.search(&search)).await,
            None => Ok(Vec::new()),
        };
        exchange.found(found)
    }

    fn async_adapters(&self) -> Adapters {
        Adapters {
            llm: self.llm.model().to_owned(),
            llm_provider: self.llm.provider().map(ToOwned::to_owned),
            embedding: self.query_embedding.model().to_owned(),
            embedding_provider: self.query_embedding.provider().map(ToOwned::to_owned),
            dimensions: self.query_embedding.dimensions(),
            store: self.vector_store.name().to_owned(),
        }
    }
}

/// Polls a future inside the span of the stage that runs.
async fn within<F: Future>(exchange: &mut Exchange, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|task| exchange.within(|| future.as_mut().poll(task))).await
}
