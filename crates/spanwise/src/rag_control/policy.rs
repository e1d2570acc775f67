//! The policy file: who may see what, and what an answer has to be like.
//!
//! ```yaml
//! organizations:
//!   meridian:
//!     filter: public_only
//!     policy: cited_answers
//!     retrieval_top_k: 3
//!     conditions:
//!       - {when: {top_score: {max: 0.4}}, policy: careful}
//! filters:
//!   public_only: {and: [{field: visibility, operator: equals, value: public}]}
//! policies:
//!   cited_answers:
//!     generation: {temperature: 0.15, max_output_tokens: 240}
//!     enforcement: {require_citations: true}
//!   careful:
//!     enforcement: {answer_only_from_documents: true}
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::adapter::Document;
use super::error::PolicyFileError;
use super::filter::Rule as FilterRule;
use super::yaml::{self, Fields, Node};

/// How many documents are retrieved where an organization does not say.
const DEFAULT_TOP_K: u64 = 5;
/// More documents than this fit no prompt.
const MAX_TOP_K: u64 = 1000;
/// What is said in place of an answer, where a policy does not say it otherwise.
const DEFAULT_REFUSAL: &str = "I cannot answer this from the documents available to me.";
const REASONING: [&str; 5] = ["none", "minimal", "low", "medium", "high"];

/// What a policy file says, checked.
#[derive(Debug)]
pub struct Policies {
    organizations: BTreeMap<String, Organization>,
}

/// What holds for the users of an organization.
#[derive(Debug)]
pub(super) struct Organization {
    /// The name of the filter and the filter; without one its users see every document.
    pub filter: Option<(String, FilterRule)>,
    pub top_k: usize,
    policy: Arc<Policy>,
    conditions: Vec<Condition>,
}

/// Chooses a policy by what was found.
#[derive(Debug)]
struct Condition {
    when: When,
    policy: Arc<Policy>,
}

#[derive(Debug, Default)]
struct When {
    documents: Bounds,
    top_score: Bounds,
    any_source: Option<Vec<String>>,
    only_sources: Option<Vec<String>>,
}

/// Both ends belong to it.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    min: Option<f64>,
    max: Option<f64>,
}

/// What an answer has to be like.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What the file calls it.
    pub name: String,
    /// How the model is asked.
    pub generation: Generation,
    /// What is checked.
    pub enforcement: Enforcement,
    /// Whether questions, documents and answers are recorded.
    pub logs_content: bool,
}

/// How the model is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generation {
    /// How freely it chooses among likely words.
    pub temperature: Option<f64>,
    /// How much it may answer.
    pub max_output_tokens: Option<u64>,
    /// How long it may think.
    pub reasoning_depth: Option<&'static str>,
    /// What it is told besides.
    pub instructions: Option<String>,
}

/// What is checked of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Enforcement {
    /// An answer cites at least one document, and none that was not retrieved.
    pub require_citations: bool,
    /// Every statement cites a document.
    pub strict_citations: bool,
    /// An answer says nothing that no document says.
    pub answer_only_from_documents: bool,
    /// Where nothing was found, the model is not asked.
    pub refuse_when_nothing_found: bool,
    /// How many characters an answer may have.
    pub max_answer_characters: Option<usize>,
    /// What is said in place of an answer.
    pub refusal: String,
}

impl Policies {
    /// Reads a policy file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, PolicyFileError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| PolicyFileError {
            line: 0,
            field: String::new(),
            message: format!("cannot read {}: {error}", path.display()),
        })?;
        Self::parse(&text)
    }

    /// Reads the text of a policy file.
    pub fn parse(text: &str) -> Result<Self, PolicyFileError> {
        let document = yaml::Document::parse(text)?;
        let root = document.root();
        if root.is_nothing() {
            return Err(root.error("the file is empty: expected organizations and policies"));
        }
        let file = root.fields(&["version", "organizations", "filters", "policies"])?;
        let filters = named(file.get("filters"), |_, node| FilterRule::read(node))?;
        let policies = named(Some(file.need("policies")?), |name, node| {
            Policy::read(name, node).map(Arc::new)
        })?;
        let organizations = named(Some(file.need("organizations")?), |_, node| {
            Organization::read(node, &filters, &policies)
        })?;
        Ok(Policies { organizations })
    }

    pub(super) fn organization(&self, id: &str) -> Option<&Organization> {
        self.organizations.get(id)
    }
}

/// Everything under a node by its name.
fn named<T>(
    node: Option<&Node<'_>>,
    read: impl Fn(&str, &Node<'_>) -> Result<T, PolicyFileError>,
) -> Result<BTreeMap<String, T>, PolicyFileError> {
    let entries = node.map(Node::entries).transpose()?.unwrap_or_default();
    entries.iter().map(|(name, node)| Ok(((*name).to_owned(), read(name, node)?))).collect()
}

/// What a field refers to by name.
fn referred<T: Clone>(
    node: &Node<'_>,
    known: &BTreeMap<String, T>,
) -> Result<(String, T), PolicyFileError> {
    let name = node.text()?;
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    let found = known
        .get(name)
        .ok_or_else(|| node.error(format!("`{name}` is {}", yaml::unknown(name, &names))))?;
    Ok((name.to_owned(), found.clone()))
}

impl Organization {
    fn read(
        node: &Node<'_>,
        filters: &BTreeMap<String, FilterRule>,
        policies: &BTreeMap<String, Arc<Policy>>,
    ) -> Result<Self, PolicyFileError> {
        let fields = node.fields(&["filter", "policy", "retrieval_top_k", "conditions"])?;
        let top_k = fields.map("retrieval_top_k", |node| node.whole(1, MAX_TOP_K))?;
        let conditions = fields.map("conditions", Node::items)?.unwrap_or_default();
        let condition = |node: &Node<'_>| {
            let fields = node.fields(&["when", "policy"])?;
            let (_, policy) = referred(fields.need("policy")?, policies)?;
            Ok(Condition { when: When::read(fields.need("when")?)?, policy })
        };
        Ok(Organization {
            filter: fields.map("filter", |node| referred(node, filters))?,
            top_k: top_k.unwrap_or(DEFAULT_TOP_K) as usize,
            policy: referred(fields.need("policy")?, policies)?.1,
            conditions: conditions.iter().map(condition).collect::<Result<_, _>>()?,
        })
    }

    /// The policy for what was found, and which condition chose it, if one did.
    pub fn policy_for(&self, documents: &[Document]) -> (&Arc<Policy>, Option<usize>) {
        let chosen = self.conditions.iter().position(|one| one.when.holds(documents));
        match chosen {
            Some(at) => (&self.conditions[at].policy, chosen),
            None => (&self.policy, None),
        }
    }

    /// Whether content may be recorded before the policy is chosen: only if all that may be chosen
    /// allow it.
    pub fn logs_content(&self) -> bool {
        self.policy.logs_content && self.conditions.iter().all(|one| one.policy.logs_content)
    }
}

impl When {
    fn read(node: &Node<'_>) -> Result<Self, PolicyFileError> {
        let fields = node.fields(&["documents", "top_score", "any_source", "only_sources"])?;
        if fields.is_empty() {
            return Err(node.error("expected `documents`, `top_score` or sources"));
        }
        Ok(When {
            documents: fields.map("documents", |node| Bounds::read(node, 0.0))?.unwrap_or_default(),
            top_score: fields
                .map("top_score", |node| Bounds::read(node, f64::MIN))?
                .unwrap_or_default(),
            any_source: fields.map("any_source", Node::texts)?,
            only_sources: fields.map("only_sources", Node::texts)?,
        })
    }

    fn holds(&self, documents: &[Document]) -> bool {
        let top = documents.iter().map(|document| document.score).max_by(f64::total_cmp);
        let is_from = |sources: &[String], document: &Document| {
            document.source().is_some_and(|source| sources.iter().any(|one| one == source))
        };
        self.documents.hold(Some(documents.len() as f64))
            && self.top_score.hold(top)
            && self
                .any_source
                .as_ref()
                .is_none_or(|sources| documents.iter().any(|document| is_from(sources, document)))
            && self.only_sources.as_ref().is_none_or(|sources| {
                !documents.is_empty() && documents.iter().all(|document| is_from(sources, document))
            })
    }
}

impl Bounds {
    fn read(node: &Node<'_>, least: f64) -> Result<Self, PolicyFileError> {
        let fields = node.fields(&["min", "max"])?;
        let bound = |name| fields.map(name, |node| node.number(least, f64::MAX));
        let bounds = Bounds { min: bound("min")?, max: bound("max")? };
        match bounds {
            Bounds { min: None, max: None } => Err(node.error("expected `min`, `max` or both")),
            Bounds { min: Some(min), max: Some(max) } if min > max => {
                Err(node.error("`min` is larger than `max`"))
            }
            _ => Ok(bounds),
        }
    }

    /// Whether a number lies within; none at all lies within nothing but what has no bounds.
    fn hold(&self, number: Option<f64>) -> bool {
        let inside = |bound: Option<f64>, fits: fn(&f64, &f64) -> bool| {
            bound.is_none_or(|bound| number.is_some_and(|number| fits(&number, &bound)))
        };
        inside(self.min, f64::ge) && inside(self.max, f64::le)
    }
}

impl Policy {
    fn read(name: &str, node: &Node<'_>) -> Result<Self, PolicyFileError> {
        let fields = node.fields(&["generation", "enforcement", "logging"])?;
        let logs_content =
            fields.map("logging", |node| node.fields(&["content"])?.map("content", Node::truth))?;
        Ok(Policy {
            name: name.to_owned(),
            generation: fields.map("generation", Generation::read)?.unwrap_or_default(),
            enforcement: match fields.get("enforcement") {
                Some(node) => Enforcement::read(node)?,
                None => Enforcement::default(),
            },
            logs_content: logs_content.flatten().unwrap_or(true),
        })
    }
}

impl Generation {
    fn read(node: &Node<'_>) -> Result<Self, PolicyFileError> {
        let known = ["temperature", "max_output_tokens", "reasoning_depth", "instructions"];
        let fields = node.fields(&known)?;
        Ok(Generation {
            temperature: fields.map("temperature", |node| node.number(0.0, 2.0))?,
            max_output_tokens: fields.map("max_output_tokens", |node| node.whole(1, 1 << 24))?,
            reasoning_depth: fields.map("reasoning_depth", |node| node.word(&REASONING))?,
            instructions: fields.map("instructions", |node| Ok(node.text()?.to_owned()))?,
        })
    }
}

impl Default for Enforcement {
    fn default() -> Self {
        Enforcement {
            require_citations: false,
            strict_citations: false,
            answer_only_from_documents: false,
            refuse_when_nothing_found: false,
            max_answer_characters: None,
            refusal: DEFAULT_REFUSAL.to_owned(),
        }
    }
}

impl Enforcement {
    fn read(node: &Node<'_>) -> Result<Self, PolicyFileError> {
        let switches = [
            "require_citations",
            "strict_citations",
            "answer_only_from_documents",
            "refuse_when_nothing_found",
        ];
        let mut known = switches.to_vec();
        known.extend(["max_answer_characters", "refusal"]);
        let fields: Fields<'_> = node.fields(&known)?;
        let [mut cited, strict, only_documents, refuses] =
            switches.map(|name| fields.map(name, Node::truth).map(Option::unwrap_or_default));
        let strict = strict?;
        // What has to be cited everywhere has to be cited somewhere.
        cited = cited.map(|cited| cited || strict);
        let longest = fields.map("max_answer_characters", |node| node.whole(1, 1 << 32))?;
        let refusal = fields.map("refusal", |node| Ok(node.text()?.trim().to_owned()))?;
        Ok(Enforcement {
            require_citations: cited?,
            strict_citations: strict,
            answer_only_from_documents: only_documents?,
            refuse_when_nothing_found: refuses?,
            max_answer_characters: longest.map(|longest| longest as usize),
            refusal: refusal.unwrap_or_else(|| DEFAULT_REFUSAL.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests;
