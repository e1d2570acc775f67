//! What can go wrong, and where.

use std::error::Error as StdError;
use std::fmt;

/// A mistake in a policy file: the line, the field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFileError {
    /// The line, from 1; 0 if it is the file as a whole.
    pub line: u64,
    /// The keys that lead to the field, such as `policies.cited.generation.temperature`.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for PolicyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

impl StdError for PolicyFileError {}

/// A step of a request, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Who asks, and what that organization may see.
    OrgLookup,
    /// The question becomes a vector.
    Embedding,
    /// Documents are searched and filtered.
    Retrieval,
    /// The policy is chosen by what was found.
    PolicyResolve,
    /// The messages for the model are written.
    PromptBuild,
    /// The model answers at once.
    Generate,
    /// The model answers piece by piece.
    Stream,
    /// The answer is checked against the policy.
    Enforcement,
}

impl Stage {
    /// What its spans end in.
    pub fn name(self) -> &'static str {
        match self {
            Stage::OrgLookup => "org_lookup",
            Stage::Embedding => "embedding",
            Stage::Retrieval => "retrieval",
            Stage::PolicyResolve => "policy.resolve",
            Stage::PromptBuild => "prompt.build",
            Stage::Generate => "llm.generate",
            Stage::Stream => "llm.stream",
            Stage::Enforcement => "enforcement",
        }
    }
}

/// A request that gave no answer.
#[derive(Debug)]
pub struct Error {
    /// The step that failed.
    pub stage: Stage,
    /// What went wrong.
    pub kind: ErrorKind,
    /// The request, as its spans and log lines name it.
    pub request_id: String,
    /// Its trace, if it has one.
    pub trace_id: Option<String>,
}

/// What went wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The question is empty.
    InvalidQuery(String),
    /// The policy file has no such organization.
    UnknownOrganization(String),
    /// The adapter of this step failed.
    Adapter(AdapterError),
    /// The adapter of this step gave something that cannot be used.
    BadResult(String),
    /// The answer breaks a rule of the policy.
    Violation(Violation),
    /// Nobody waits for the answer any more.
    Abandoned,
}

impl ErrorKind {
    /// A word for it: OpenTelemetry's `error.type`.
    pub fn name(&self) -> &str {
        match self {
            ErrorKind::InvalidQuery(_) => "invalid_query",
            ErrorKind::UnknownOrganization(_) => "unknown_organization",
            ErrorKind::Adapter(error) => &error.kind,
            ErrorKind::BadResult(_) => "bad_result",
            ErrorKind::Violation(_) => "policy_violation",
            ErrorKind::Abandoned => "abandoned",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::InvalidQuery(message) | ErrorKind::BadResult(message) => {
                f.write_str(message)
            }
            ErrorKind::UnknownOrganization(id) => {
                write!(f, "the policy file has no organization `{id}`")
            }
            ErrorKind::Adapter(error) => error.fmt(f),
            ErrorKind::Violation(violation) => violation.fmt(f),
            ErrorKind::Abandoned => f.write_str("nobody waits for the answer any more"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage.name(), self.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.kind {
            ErrorKind::Adapter(error) => error.source.as_deref().map(|source| source as _),
            ErrorKind::Violation(violation) => Some(violation),
            _ => None,
        }
    }
}

/// A rule of the policy that an answer breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule, as the policy file names it.
    pub rule: &'static str,
    /// How the answer breaks it.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.message)
    }
}

impl StdError for Violation {}

/// Why an adapter failed.
#[derive(Debug)]
pub struct AdapterError {
    /// A word for it: OpenTelemetry's `error.type`, such as `timeout` or `429`.
    pub kind: String,
    /// What happened.
    pub message: String,
    /// What caused it.
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl AdapterError {
    /// An error of a kind, in words.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        AdapterError { kind: kind.into(), message: message.into(), source: None }
    }
}

impl fmt::Display for AdapterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// It is no `std::error::Error` itself, so that every such error can become one with `?`.
impl<E: StdError + Send + Sync + 'static> From<E> for AdapterError {
    fn from(error: E) -> Self {
        let kind = std::any::type_name::<E>().rsplit("::").next().unwrap_or("error").to_owned();
        AdapterError { kind, message: error.to_string(), source: Some(Box::new(error)) }
    }
}
