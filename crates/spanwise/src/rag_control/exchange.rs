//! One request, from the question to the checked answer, without any input or output of its own.
//!
//! It says what is to be done next, and is told how that went:
//!
//! ```text
//! start ─▶ embed ─▶ embedded ─▶ search ─▶ found ─▶ generate ─▶ generated ─▶ answer
//!                                            │  └─▶ stream ─▶ piece … ─▶ finished ─▶ answer
//!                                            └─▶ refused: the policy allows no answer
//! ```
//!
//! Whoever drives it — blocking or not, in Rust or in Python — calls the adapters in between. An
//! error of any step is the end of the request; so is dropping it.

use std::sync::Arc;
use std::time::Instant;

use spanwise_model::content::Class;

use super::adapter::{
    AdapterError, Document, Generation, Piece, Prompt, Search, Usage, UserContext,
};
use super::enforce::{Enforcer, Kept};
use super::error::{Error, ErrorKind, Stage, Violation};
use super::filter::Filter;
use super::policy::{Policies, Policy};
use super::prompt;
use super::tracer::{Note, Telling, Value};
use crate::genai::Message;

/// Whether an answer is wanted at once or piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// At once.
    Run,
    /// Piece by piece.
    Stream,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::Run => "run",
            Mode::Stream => "stream",
        }
    }
}

/// What spans say about the adapters.
#[derive(Clone, Debug, Default)]
pub struct Adapters {
    /// The model.
    pub llm: String,
    /// Who runs it.
    pub llm_provider: Option<String>,
    /// The embedding.
    pub embedding: String,
    /// Who runs it.
    pub embedding_provider: Option<String>,
    /// How many numbers its vectors have.
    pub dimensions: usize,
    /// The store.
    pub store: String,
}

/// An answer that keeps to its policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What is answered.
    pub content: String,
    /// What it was made from, best first. The user may see all of it.
    pub documents: Vec<Document>,
    /// The ids of the documents that it cites.
    pub citations: Vec<String>,
    /// Whether it says only that there is no answer.
    pub refused: bool,
    /// The policy that it keeps to.
    pub policy_name: String,
    /// What it took.
    pub usage: Usage,
    /// Why the model ended.
    pub finish_reason: Option<String>,
    /// The request, as spans and log lines name it.
    pub request_id: String,
    /// Its trace, if it has one.
    pub trace_id: Option<String>,
}

/// What comes after the search.
#[derive(Debug)]
pub enum Next {
    /// The model is to be asked this.
    Ask(Arc<Prompt>),
    /// Nothing was found, and then nothing is answered.
    Refused(Box<Answer>),
}

/// One request. See the [module](self).
pub struct Exchange {
    policies: Arc<Policies>,
    adapters: Arc<Adapters>,
    telling: Box<dyn Telling>,
    mode: Mode,
    query: String,
    user: UserContext,
    request_id: String,
    trace_id: Option<String>,
    /// The stage that runs, and since when.
    stage: Option<(Stage, Instant)>,
    is_over: bool,
    logs_content: bool,
    top_k: usize,
    filter: Option<Filter>,
    documents: Vec<Document>,
    policy: Option<Arc<Policy>>,
    enforcer: Option<Enforcer>,
    usage: Usage,
    finish_reason: Option<String>,
    has_first_piece: bool,
}

impl Exchange {
    /// Starts a request: looks up the organization, and is then ready for the embedding of the
    /// question.
    pub fn start(
        policies: Arc<Policies>,
        adapters: Arc<Adapters>,
        telling: Box<dyn Telling>,
        mode: Mode,
        query: &str,
        user: UserContext,
    ) -> Result<Self, Error> {
        let mut exchange = Exchange {
            policies,
            adapters,
            telling,
            mode,
            query: query.to_owned(),
            user,
            request_id: new_request_id(),
            trace_id: None,
            stage: None,
            is_over: false,
            logs_content: false,
            top_k: 0,
            filter: None,
            documents: Vec::new(),
            policy: None,
            enforcer: None,
            usage: Usage::default(),
            finish_reason: None,
            has_first_piece: false,
        };
        exchange.begin();
        exchange.look_up()?;
        exchange.begin_embedding()?;
        Ok(exchange)
    }

    fn begin(&mut self) {
        let (user_id, org_id) = (self.user.user_id.clone(), self.user.org_id.clone());
        for (key, value) in [
            ("request.id", self.request_id.clone()),
            ("user.id", user_id.clone()),
            ("organization.id", org_id.clone()),
        ] {
            self.telling.tell(Note::About(key, value.into()));
        }
        let name = format!("rag_control.request.{}", self.mode.name());
        self.telling.tell(Note::Start(&name));
        self.trace_id = self.telling.trace_id();
        self.set("gen_ai.operation.name", "invoke_workflow");
        self.set("gen_ai.workflow.name", "rag_control");
        self.set("request_id", self.request_id.clone());
        self.set("mode", self.mode.name());
        self.set("org_id", org_id);
        self.set("user_id", user_id);
    }

    fn look_up(&mut self) -> Result<(), Error> {
        self.enter(Stage::OrgLookup);
        let policies = Arc::clone(&self.policies);
        let Some(organization) = policies.organization(&self.user.org_id) else {
            return Err(self.fail(ErrorKind::UnknownOrganization(self.user.org_id.clone())));
        };
        let filter = organization.filter.as_ref();
        self.filter = filter.map(|(_, rule)| rule.for_user(&self.user));
        self.top_k = organization.top_k;
        self.logs_content = organization.logs_content();
        self.set("filter_name", filter.map_or("", |(name, _)| name).to_owned());
        self.set("retrieval_top_k", self.top_k);
        self.leave();
        self.set_content(Class::UserInput, "input.value", |exchange| exchange.query.clone());
        Ok(())
    }

    fn begin_embedding(&mut self) -> Result<(), Error> {
        self.enter(Stage::Embedding);
        let adapters = Arc::clone(&self.adapters);
        self.set("gen_ai.operation.name", "embeddings");
        self.set_some("gen_ai.provider.name", adapters.embedding_provider.clone());
        self.set("gen_ai.request.model", adapters.embedding.clone());
        self.set("embedding_model", adapters.embedding.clone());
        if self.query.trim().is_empty() {
            return Err(self.fail(ErrorKind::InvalidQuery("the question is empty".to_owned())));
        }
        Ok(())
    }

    /// The question.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// The request, as spans and log lines name it.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Its trace, if it has one.
    pub fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    /// Who is told of it.
    pub fn telling(&mut self) -> &mut dyn Telling {
        &mut *self.telling
    }

    /// Runs work, such as the call of an adapter, inside the span of the stage.
    pub fn within<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let (mut work, mut result) = (Some(work), None);
        self.telling.within(&mut || result = work.take().map(|work| work()));
        match (result, work) {
            (Some(result), _) => result,
            (None, Some(work)) => work(),
            (None, None) => unreachable!("work was taken and gave no result"),
        }
    }

    /// Takes the vector of the question. What is to be searched; `None` if nothing may be found.
    pub fn embedded(
        &mut self,
        vector: Result<Vec<f32>, AdapterError>,
    ) -> Result<Option<Search>, Error> {
        let vector = vector.map_err(|error| self.fail(ErrorKind::Adapter(error)))?;
        self.set("embedding_dimensions", vector.len());
        self.set("gen_ai.embeddings.dimension.count", vector.len());
        let expected = self.adapters.dimensions;
        let wrong = if vector.is_empty() {
            Some("the embedding is empty".to_owned())
        } else if vector.len() != expected {
            Some(format!("the embedding has {} dimensions, expected {expected}", vector.len()))
        } else {
            let odd = vector.iter().position(|number| !number.is_finite());
            odd.map(|at| format!("the embedding has {} at {at}", vector[at]))
        };
        if let Some(wrong) = wrong {
            return Err(self.fail(ErrorKind::BadResult(wrong)));
        }
        self.leave();
        self.enter(Stage::Retrieval);
        self.set("gen_ai.operation.name", "retrieval");
        self.set("vector_index", self.adapters.store.clone());
        self.set("gen_ai.data_source.id", self.adapters.store.clone());
        self.set("gen_ai.request.top_k", self.top_k);
        self.set_content(Class::ToolInput, "gen_ai.retrieval.query.text", |exchange| {
            exchange.query.clone()
        });
        let filter = self.filter.clone();
        let may_find = !filter.as_ref().is_some_and(Filter::is_nothing);
        Ok(may_find.then_some(Search { vector, top_k: self.top_k, filter }))
    }

    /// Takes what was found, and decides what comes next.
    pub fn found(&mut self, found: Result<Vec<Document>, AdapterError>) -> Result<Next, Error> {
        let found = found.map_err(|error| self.fail(ErrorKind::Adapter(error)))?;
        if let Some(bad) = found.iter().find(|one| one.id.is_empty() || one.score.is_nan()) {
            let what = if bad.id.is_empty() { "has no id" } else { "has no number as its score" };
            return Err(self.fail(ErrorKind::BadResult(format!("a document {what}"))));
        }
        self.keep_allowed(found);
        self.set("returned", self.documents.len());
        self.set_content(Class::ToolOutput, "gen_ai.retrieval.documents", |exchange| {
            serde_json::to_string(&exchange.documents).unwrap_or_default()
        });
        self.leave();
        let policy = self.resolve_policy()?;
        let rules = &policy.enforcement;
        let refuses = rules.refuse_when_nothing_found || rules.answer_only_from_documents;
        if self.documents.is_empty() && refuses {
            return Ok(Next::Refused(Box::new(self.refuse(&policy))));
        }
        let prompt = Arc::new(self.build_prompt(&policy));
        self.begin_generation(&policy, &prompt);
        Ok(Next::Ask(prompt))
    }

    /// Keeps what the user may see, at most as many as were asked for, best first.
    fn keep_allowed(&mut self, mut found: Vec<Document>) {
        if let Some(filter) = &self.filter {
            let n_found = found.len();
            found.retain(|document| filter.matches(&document.metadata));
            let denied = n_found - found.len();
            if denied > 0 {
                let attributes = vec![("denied", denied.into())];
                self.telling.tell(Note::Event("documents.denied", attributes));
            }
        }
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found.truncate(self.top_k);
        self.documents = found;
    }

    fn resolve_policy(&mut self) -> Result<Arc<Policy>, Error> {
        self.enter(Stage::PolicyResolve);
        let policies = Arc::clone(&self.policies);
        let Some(organization) = policies.organization(&self.user.org_id) else {
            return Err(self.fail(ErrorKind::UnknownOrganization(self.user.org_id.clone())));
        };
        let (policy, condition) = organization.policy_for(&self.documents);
        self.set("policy_name", policy.name.clone());
        self.set_some("policy_condition", condition);
        self.policy = Some(Arc::clone(policy));
        self.leave();
        Ok(Arc::clone(policy))
    }

    fn build_prompt(&mut self, policy: &Policy) -> Prompt {
        self.enter(Stage::PromptBuild);
        let prompt = prompt::build(policy, &self.query, &self.documents);
        let n_bytes: usize = prompt.messages.iter().map(|one| one.content.len()).sum();
        self.set("prompt_documents", self.documents.len());
        self.set("prompt_bytes", n_bytes);
        self.leave();
        prompt
    }

    fn begin_generation(&mut self, policy: &Arc<Policy>, prompt: &Prompt) {
        let is_stream = self.mode == Mode::Stream;
        self.enter(if is_stream { Stage::Stream } else { Stage::Generate });
        let (adapters, generation) = (Arc::clone(&self.adapters), &policy.generation);
        self.set("gen_ai.operation.name", "chat");
        self.set_some("gen_ai.provider.name", adapters.llm_provider.clone());
        self.set("gen_ai.request.model", adapters.llm.clone());
        self.set("llm_model", adapters.llm.clone());
        if let Some(temperature) = generation.temperature {
            self.set("temperature", temperature);
            self.set("gen_ai.request.temperature", temperature);
        }
        if let Some(most) = generation.max_output_tokens {
            self.set("max_output_tokens", most);
            self.set("gen_ai.request.max_tokens", most);
        }
        if let Some(depth) = generation.reasoning_depth {
            self.set("reasoning_depth", depth);
        }
        self.set_content(Class::LlmInput, "gen_ai.input.messages", |_| {
            let messages = prompt.messages.iter();
            let messages: Vec<_> =
                messages.map(|one| Message::new(&one.role, one.content.as_str())).collect();
            serde_json::to_string(&messages).unwrap_or_default()
        });
        self.enforcer = Some(Enforcer::new(Arc::clone(policy), &self.query, &self.documents));
    }

    /// Takes the whole answer; gives it back if it keeps to the policy.
    pub fn generated(
        &mut self,
        generation: Result<Generation, AdapterError>,
    ) -> Result<Answer, Error> {
        let generation = generation.map_err(|error| self.fail(ErrorKind::Adapter(error)))?;
        (self.usage, self.finish_reason) = (generation.usage, generation.finish_reason);
        let checked = match &mut self.enforcer {
            Some(enforcer) => enforcer.push(&generation.content).map(drop),
            None => Ok(()),
        };
        self.end_generation(&generation.content)?;
        self.enforce(checked).map(|(answer, _)| answer)
    }

    /// Takes a piece; gives back what may be shown now, which can be nothing yet.
    pub fn piece(&mut self, piece: Result<Piece, AdapterError>) -> Result<String, Error> {
        let piece = piece.map_err(|error| self.fail(ErrorKind::Adapter(error)))?;
        if !piece.text.is_empty()
            && !std::mem::replace(&mut self.has_first_piece, true)
            && let Some((_, since)) = self.stage
        {
            self.set("gen_ai.response.time_to_first_chunk", since.elapsed().as_secs_f64());
        }
        if let Some(usage) = piece.usage {
            self.usage = usage;
        }
        self.finish_reason = piece.finish_reason.or(self.finish_reason.take());
        let Some(enforcer) = &mut self.enforcer else { return Ok(piece.text) };
        let violated = match enforcer.push(&piece.text) {
            Ok(shown) => return Ok(shown.to_owned()),
            Err(violation) => violation,
        };
        let said = enforcer.text().to_owned();
        self.end_generation(&said)?;
        self.enforce(Err(violated)).map(|_| String::new())
    }

    /// The last piece has come; gives back the answer, and what of it has not been shown.
    pub fn finished(&mut self) -> Result<(Answer, String), Error> {
        let said = self.enforcer.as_ref().map(|enforcer| enforcer.text().to_owned());
        self.end_generation(&said.unwrap_or_default())?;
        self.enforce(Ok(()))
    }

    /// The adapter of the stage failed.
    pub fn failed(&mut self, error: AdapterError) -> Error {
        self.fail(ErrorKind::Adapter(error))
    }

    /// The adapter of the stage gave something that cannot be used.
    pub fn bad_result(&mut self, what: String) -> Error {
        self.fail(ErrorKind::BadResult(what))
    }

    fn end_generation(&mut self, content: &str) -> Result<(), Error> {
        let usage = self.usage;
        let total = usage
            .total_tokens
            .or_else(|| Some(usage.prompt_tokens?.saturating_add(usage.completion_tokens?)));
        self.usage.total_tokens = total;
        for (own, genai, count) in [
            ("prompt_tokens", "gen_ai.usage.input_tokens", usage.prompt_tokens),
            ("completion_tokens", "gen_ai.usage.output_tokens", usage.completion_tokens),
            ("total_tokens", "gen_ai.usage.total_tokens", total),
        ] {
            self.set_some(own, count);
            self.set_some(genai, count);
        }
        if let Some(reason) = self.finish_reason.clone() {
            self.set("gen_ai.response.finish_reasons", Value::Texts(vec![reason]));
        }
        if content.trim().is_empty() {
            let what = "the model gave no text".to_owned();
            return Err(self.fail(ErrorKind::BadResult(what)));
        }
        self.set_content(Class::LlmOutput, "gen_ai.output.messages", |exchange| {
            let mut message = Message::assistant(content);
            message.finish_reason.clone_from(&exchange.finish_reason);
            serde_json::to_string(&[message]).unwrap_or_default()
        });
        self.leave();
        Ok(())
    }

    /// The last stage. `so_far` is what checking found while the answer came.
    fn enforce(&mut self, so_far: Result<(), Violation>) -> Result<(Answer, String), Error> {
        self.begin_enforcement();
        let usage = self.usage;
        let mut enforcer = self.enforcer.take();
        let checked = so_far.and_then(|()| match &mut enforcer {
            Some(enforcer) => enforcer.finish(&usage).map(|(rest, kept)| (rest.to_owned(), kept)),
            None => Ok((String::new(), Kept { cited: Vec::new(), is_refusal: false })),
        });
        let (rest, kept) = match checked {
            Ok(kept) => kept,
            Err(violation) => {
                self.set("enforcement_result", "rejected");
                self.set("violated_rule", violation.rule);
                return Err(self.fail(ErrorKind::Violation(violation)));
            }
        };
        self.set("enforcement_result", if kept.is_refusal { "refused" } else { "passed" });
        self.set("citations", kept.cited.len());
        let content = enforcer.map(|enforcer| enforcer.text().to_owned()).unwrap_or_default();
        Ok((self.answer(content, &kept), rest))
    }

    fn begin_enforcement(&mut self) {
        self.enter(Stage::Enforcement);
        self.set("gen_ai.operation.name", "apply_guardrail");
        if let Some(policy) = self.policy.clone() {
            self.set("policy_name", policy.name.clone());
            self.set("gen_ai.guardrail.name", policy.name.clone());
        }
    }

    /// Nothing was found, and then nothing is answered.
    fn refuse(&mut self, policy: &Policy) -> Answer {
        self.begin_enforcement();
        self.set("enforcement_result", "refused");
        self.set("citations", 0_usize);
        let kept = Kept { cited: Vec::new(), is_refusal: true };
        self.answer(policy.enforcement.refusal.clone(), &kept)
    }

    /// Ends the request well.
    fn answer(&mut self, content: String, kept: &Kept) -> Answer {
        self.leave();
        self.set_content(Class::FunctionOutput, "output.value", |_| content.clone());
        self.set("status", "ok");
        self.end();
        let documents = std::mem::take(&mut self.documents);
        let id = |place: &usize| documents.get(*place).map(|document| document.id.clone());
        Answer {
            content,
            citations: kept.cited.iter().filter_map(id).collect(),
            documents,
            refused: kept.is_refusal,
            policy_name: self.policy.as_ref().map(|policy| policy.name.clone()).unwrap_or_default(),
            usage: self.usage,
            finish_reason: self.finish_reason.clone(),
            request_id: self.request_id.clone(),
            trace_id: self.trace_id.clone(),
        }
    }

    /// Ends the request badly: the stage and the root say why.
    fn fail(&mut self, kind: ErrorKind) -> Error {
        let stage = self.stage.map_or(Stage::OrgLookup, |(stage, _)| stage);
        // What adapters and violations say may quote what is not to be recorded.
        let message = match &kind {
            ErrorKind::Adapter(error) if !self.logs_content => error.kind.clone(),
            ErrorKind::Violation(violation) if !self.logs_content => violation.rule.to_owned(),
            kind => kind.to_string(),
        };
        self.telling.tell(Note::Error(kind.name(), &message));
        self.leave();
        let message = format!("{}: {message}", stage.name());
        self.telling.tell(Note::Error(kind.name(), &message));
        self.set("status", "error");
        self.end();
        let (request_id, trace_id) = (self.request_id.clone(), self.trace_id.clone());
        Error { stage, kind, request_id, trace_id }
    }

    fn end(&mut self) {
        self.is_over = true;
        self.telling.tell(Note::End);
        self.telling.finish();
    }

    fn enter(&mut self, stage: Stage) {
        let name = format!("rag_control.request.{}.stage.{}", self.mode.name(), stage.name());
        self.telling.tell(Note::Start(&name));
        self.stage = Some((stage, Instant::now()));
    }

    fn leave(&mut self) {
        if let Some((_, since)) = self.stage.take() {
            self.set("stage_latency_ms", since.elapsed().as_secs_f64() * 1e3);
            self.telling.tell(Note::End);
        }
    }

    fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.telling.tell(Note::Set(key, value.into()));
    }

    fn set_some(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// Sets what the policy and the switches allow to be recorded.
    fn set_content(
        &mut self,
        class: Class,
        key: &'static str,
        content: impl FnOnce(&Self) -> String,
    ) {
        if self.logs_content && self.telling.wants(class) {
            let content = content(self);
            self.set(key, content);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.is_over {
            self.fail(ErrorKind::Abandoned);
        }
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("request_id", &self.request_id)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

fn new_request_id() -> String {
    // As random as the ids of traces are, and as long.
    format!("req-{}", crate::Context::new_root().trace_id)
}
