//! Which documents a user may see.
//!
//! A filter is written about all users of an organization; [`Filter::for_user`] makes of it what
//! holds for one of them. A document that lacks a field, or has one of another type than it is
//! compared with, fails every test of that field, the negated ones too; and so does everything that
//! is compared with an attribute that the user has not. What is not known to be allowed is denied.

use std::cmp::Ordering;

use serde_json::{Map, Value as Json, json};

use super::adapter::UserContext;
use super::error::PolicyFileError;
use super::yaml::Node;

/// A rule about the metadata of documents, as it stands in the policy file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rule {
    All(Vec<Rule>),
    Any(Vec<Rule>),
    Not(Box<Rule>),
    Field { field: String, test: Test },
}

/// What is asked of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Equals(Operand),
    In(Operand),
    Contains(Operand),
    Range { min: Option<Operand>, max: Option<Operand> },
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Value(Json),
    UserId,
    OrgId,
    Attribute(String),
}

/// What one user may see. Negations have been moved into the tests, so that every part of it is
/// something that a document has to have.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All of these; with none, every document.
    All(Vec<Filter>),
    /// At least one of these; with none, no document.
    Any(Vec<Filter>),
    /// A test of a field.
    Field {
        /// The key in the metadata.
        field: String,
        /// How it is compared.
        operator: Operator,
        /// What it is compared with: for ranges, an object with `min`, `max` or both.
        value: Json,
    },
}

/// How a field is compared. A field that is not there passes none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// It is this value.
    Equals,
    /// It is another value.
    NotEquals,
    /// It is one of these values.
    In,
    /// It is none of these values.
    NotIn,
    /// It is a list with this value in it.
    Contains,
    /// It is a list without this value.
    NotContains,
    /// It lies within, bounds included.
    Range,
    /// It lies outside.
    NotRange,
}

const OPERATORS: [(&str, Operator); 8] = [
    ("equals", Operator::Equals),
    ("not_equals", Operator::NotEquals),
    ("in", Operator::In),
    ("not_in", Operator::NotIn),
    ("contains", Operator::Contains),
    ("not_contains", Operator::NotContains),
    ("range", Operator::Range),
    ("not_range", Operator::NotRange),
];

impl Operator {
    /// How policy files and stores name it.
    pub fn name(self) -> &'static str {
        OPERATORS.iter().find(|(_, operator)| *operator == self).map_or("", |(name, _)| name)
    }
}

impl Rule {
    pub fn read(node: &Node<'_>) -> Result<Self, PolicyFileError> {
        let fields =
            node.fields(&["and", "or", "not", "field", "operator", "value", "min", "max"])?;
        let said = ["and", "or", "not", "field"].map(|name| fields.get(name));
        match said {
            [Some(all), None, None, None] => Ok(Rule::All(Self::list(all)?)),
            [None, Some(any), None, None] => Ok(Rule::Any(Self::list(any)?)),
            [None, None, Some(not), None] => Ok(Rule::Not(Box::new(Self::read(not)?))),
            [None, None, None, Some(field)] => {
                let names = OPERATORS.map(|(name, _)| name);
                let operator = fields.need("operator")?;
                let name = operator.word(&names)?;
                let operand = || Operand::read(fields.need("value")?);
                let (test, negated) = match name {
                    "range" | "not_range" => (Test::range(&fields)?, name == "not_range"),
                    "in" | "not_in" => {
                        (Test::In(list_operand(fields.need("value")?)?), name == "not_in")
                    }
                    "contains" | "not_contains" => {
                        (Test::Contains(operand()?), name == "not_contains")
                    }
                    _ => (Test::Equals(operand()?), name == "not_equals"),
                };
                let rule = Rule::Field { field: field.text()?.to_owned(), test };
                Ok(if negated { Rule::Not(Box::new(rule)) } else { rule })
            }
            _ => Err(node.error("expected one of `and`, `or`, `not`, or a `field`")),
        }
    }

    fn list(node: &Node<'_>) -> Result<Vec<Rule>, PolicyFileError> {
        let rules: Vec<_> = node.items()?.iter().map(Self::read).collect::<Result<_, _>>()?;
        if rules.is_empty() { Err(node.error("expected at least one filter")) } else { Ok(rules) }
    }

    /// What it means for a user.
    pub fn for_user(&self, user: &UserContext) -> Filter {
        self.resolve(user, false)
    }

    fn resolve(&self, user: &UserContext, negated: bool) -> Filter {
        match self {
            Rule::Not(inner) => inner.resolve(user, !negated),
            Rule::All(rules) if !negated => {
                Filter::all(rules.iter().map(|r| r.resolve(user, false)))
            }
            Rule::Any(rules) if negated => Filter::all(rules.iter().map(|r| r.resolve(user, true))),
            Rule::All(rules) | Rule::Any(rules) => {
                Filter::any(rules.iter().map(|rule| rule.resolve(user, negated)))
            }
            Rule::Field { field, test } => match test.resolve(user, negated) {
                Some((operator, value)) => Filter::Field { field: field.clone(), operator, value },
                None => Filter::nothing(),
            },
        }
    }
}

impl Test {
    fn range(fields: &super::yaml::Fields<'_>) -> Result<Self, PolicyFileError> {
        let inner = fields.map("value", |value| value.fields(&["min", "max"]))?;
        let bounds = inner.as_ref().unwrap_or(fields);
        let min = bounds.map("min", Operand::read)?;
        let max = bounds.map("max", Operand::read)?;
        if min.is_none() && max.is_none() {
            let at = fields.get("value").map_or_else(|| fields.need("operator"), Ok)?;
            return Err(at.error("a range needs `min`, `max` or both"));
        }
        Ok(Test::Range { min, max })
    }

    /// The operator and what it compares with; `None` if the user lacks what is needed.
    fn resolve(&self, user: &UserContext, negated: bool) -> Option<(Operator, Json)> {
        let either = |plain, opposite| if negated { opposite } else { plain };
        Some(match self {
            Test::Equals(operand) => {
                (either(Operator::Equals, Operator::NotEquals), operand.resolve(user)?)
            }
            Test::In(operand) => {
                let values = operand.resolve(user).filter(Json::is_array)?;
                (either(Operator::In, Operator::NotIn), values)
            }
            Test::Contains(operand) => {
                (either(Operator::Contains, Operator::NotContains), operand.resolve(user)?)
            }
            Test::Range { min, max } => {
                let mut bounds = Map::new();
                for (name, operand) in [("min", min), ("max", max)] {
                    if let Some(operand) = operand {
                        bounds.insert(name.to_owned(), operand.resolve(user)?);
                    }
                }
                (either(Operator::Range, Operator::NotRange), Json::Object(bounds))
            }
        })
    }
}

fn list_operand(node: &Node<'_>) -> Result<Operand, PolicyFileError> {
    let operand = Operand::read(node)?;
    match operand {
        Operand::Value(Json::Array(_)) | Operand::Attribute(_) => Ok(operand),
        _ => Err(node.error("expected a list, or a user's attribute that is one")),
    }
}

impl Operand {
    fn read(node: &Node<'_>) -> Result<Self, PolicyFileError> {
        let value = node.plain()?;
        let Some(name) = value.as_str().and_then(|text| text.strip_prefix('$')) else {
            return Ok(Operand::Value(value));
        };
        match name {
            "user.id" | "user.user_id" => Ok(Operand::UserId),
            "user.org_id" => Ok(Operand::OrgId),
            _ => match name.strip_prefix("user.attributes.").filter(|name| !name.is_empty()) {
                Some(name) => Ok(Operand::Attribute(name.to_owned())),
                None => Err(node.error(format!(
                    "`${name}` is unknown: expected $user.id, $user.org_id or $user.attributes.NAME"
                ))),
            },
        }
    }

    fn resolve(&self, user: &UserContext) -> Option<Json> {
        match self {
            Operand::Value(value) => Some(value.clone()),
            Operand::UserId => Some(user.user_id.clone().into()),
            Operand::OrgId => Some(user.org_id.clone().into()),
            Operand::Attribute(name) => {
                user.attributes.get(name).filter(|value| !value.is_null()).cloned()
            }
        }
    }
}

impl Filter {
    /// Allows no document.
    pub fn nothing() -> Self {
        Filter::Any(Vec::new())
    }

    /// Whether no document can pass, so that none has to be looked for.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Filter::Any(filters) if filters.is_empty())
    }

    fn all(filters: impl Iterator<Item = Filter>) -> Self {
        let filters: Vec<_> = filters.collect();
        if filters.iter().any(Filter::is_nothing) {
            Filter::nothing()
        } else {
            Filter::All(filters)
        }
    }

    fn any(filters: impl Iterator<Item = Filter>) -> Self {
        Filter::Any(filters.filter(|filter| !filter.is_nothing()).collect())
    }

    /// Whether a document with this metadata may be seen.
    pub fn matches(&self, metadata: &Map<String, Json>) -> bool {
        match self {
            Filter::All(filters) => filters.iter().all(|filter| filter.matches(metadata)),
            Filter::Any(filters) => filters.iter().any(|filter| filter.matches(metadata)),
            Filter::Field { field, operator, value } => {
                metadata.get(field).and_then(|found| compare(*operator, found, value)) == Some(true)
            }
        }
    }

    /// The same as JSON, for stores: `{"and": […]}`, `{"or": […]}`, or
    /// `{"field": …, "operator": …, "value": …}`.
    pub fn to_json(&self) -> Json {
        let list = |filters: &[Filter]| filters.iter().map(Filter::to_json).collect::<Vec<_>>();
        match self {
            Filter::All(filters) => json!({ "and": list(filters) }),
            Filter::Any(filters) => json!({ "or": list(filters) }),
            Filter::Field { field, operator, value } => {
                json!({ "field": field, "operator": operator.name(), "value": value })
            }
        }
    }

    /// What [`to_json`](Filter::to_json) wrote; `None` if it is something else.
    pub fn from_json(json: &Json) -> Option<Self> {
        let list = |items: &Json| -> Option<Vec<Filter>> {
            items.as_array()?.iter().map(Filter::from_json).collect()
        };
        if let Some(all) = json.get("and") {
            return Some(Filter::All(list(all)?));
        }
        if let Some(any) = json.get("or") {
            return Some(Filter::Any(list(any)?));
        }
        let name = json.get("operator")?.as_str()?;
        let (_, operator) = OPERATORS.iter().find(|(known, _)| *known == name)?;
        let field = json.get("field")?.as_str()?.to_owned();
        Some(Filter::Field { field, operator: *operator, value: json.get("value")?.clone() })
    }
}

/// The answer to a test, or `None` where the two cannot be compared.
fn compare(operator: Operator, found: &Json, value: &Json) -> Option<bool> {
    let is_one_of = |values: &[Json]| {
        let answers: Vec<_> = values.iter().filter_map(|one| same(found, one)).collect();
        (values.is_empty() || !answers.is_empty()).then(|| answers.contains(&true))
    };
    let contains = || {
        let items = found.as_array()?;
        Some(items.iter().any(|item| same(item, value) == Some(true)))
    };
    match operator {
        Operator::Equals => same(found, value),
        Operator::NotEquals => same(found, value).map(|same| !same),
        Operator::In => is_one_of(value.as_array()?),
        Operator::NotIn => is_one_of(value.as_array()?).map(|one_of| !one_of),
        Operator::Contains => contains(),
        Operator::NotContains => contains().map(|contains| !contains),
        Operator::Range => lies_within(found, value),
        Operator::NotRange => lies_within(found, value).map(|within| !within),
    }
}

/// Whether two values are the same; values of different types cannot be compared.
fn same(a: &Json, b: &Json) -> Option<bool> {
    match (a, b) {
        (Json::Array(_), Json::Array(_)) => Some(a == b),
        _ => order(a, b).map(Ordering::is_eq),
    }
}

fn order(a: &Json, b: &Json) -> Option<Ordering> {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
        },
        (Json::String(a), Json::String(b)) => Some(a.cmp(b)),
        (Json::Bool(a), Json::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn lies_within(found: &Json, bounds: &Json) -> Option<bool> {
    let mut within = true;
    for (name, outside) in [("min", Ordering::Less), ("max", Ordering::Greater)] {
        if let Some(bound) = bounds.get(name) {
            within &= order(found, bound)? != outside;
        }
    }
    Some(within)
}

#[cfg(test)]
mod tests;
