//! Whether one span satisfies a filter.
//!
//! The meaning of every field and test is defined here, over a [`StoredSpan`];
//! [`segment_filter`](super::segment_filter) gives the same answers over columns.

use std::borrow::Cow;

use spanwise_model::{Attributes, StoredSpan, Value};

use super::{Bound, Field, Filter, Pattern, Range, Test, TextQuery};
use crate::segment::Matcher;

impl Filter {
    /// Whether this span (or log record) by itself satisfies the filter.
    pub fn matches(&self, stored: &StoredSpan) -> bool {
        self.matches_with(stored, &|query| Matcher::new(query).matches_span(stored))
    }

    /// Whether a span satisfies the filter when the text of the log records that belong to it
    /// counts as its own.
    pub fn matches_with_logs(&self, stored: &StoredSpan, logs: &[&StoredSpan]) -> bool {
        self.matches_with(stored, &|query| {
            let matcher = Matcher::new(query);
            matcher.matches_span(stored) || logs.iter().any(|log| matcher.matches_span(log))
        })
    }

    fn matches_with(&self, stored: &StoredSpan, text: &dyn Fn(&TextQuery) -> bool) -> bool {
        match self {
            Filter::All => true,
            Filter::And(filters) => filters.iter().all(|filter| filter.matches_with(stored, text)),
            Filter::Or(filters) => filters.iter().any(|filter| filter.matches_with(stored, text)),
            Filter::Not(filter) => !filter.matches_with(stored, text),
            Filter::Test(field, test) => test_field(stored, field, test),
            Filter::Has(field) => has_field(stored, field),
            Filter::Failed => stored.span.is_error(),
            Filter::Text(query) => text(query),
        }
    }

    /// The text searches in it.
    pub fn text_queries(&self) -> Vec<&TextQuery> {
        match self {
            Filter::Text(query) => vec![query],
            Filter::Not(filter) => filter.text_queries(),
            Filter::And(filters) | Filter::Or(filters) => {
                filters.iter().flat_map(Filter::text_queries).collect()
            }
            Filter::All | Filter::Test(..) | Filter::Has(_) | Filter::Failed => vec![],
        }
    }

    /// The attribute keys in it.
    pub fn attribute_keys(&self) -> Vec<&str> {
        match self {
            Filter::Test(Field::Attribute(key), _) | Filter::Has(Field::Attribute(key)) => {
                vec![key]
            }
            Filter::Not(filter) => filter.attribute_keys(),
            Filter::And(filters) | Filter::Or(filters) => {
                filters.iter().flat_map(Filter::attribute_keys).collect()
            }
            Filter::All | Filter::Test(..) | Filter::Has(_) | Filter::Failed | Filter::Text(_) => {
                vec![]
            }
        }
    }

    /// Whether it asks for trace or span ids.
    pub fn names_id(&self) -> bool {
        match self {
            Filter::Test(field, _) | Filter::Has(field) => {
                matches!(field, Field::TraceId | Field::SpanId)
            }
            Filter::Not(filter) => filter.names_id(),
            Filter::And(filters) | Filter::Or(filters) => filters.iter().any(Filter::names_id),
            Filter::All | Filter::Failed | Filter::Text(_) => false,
        }
    }

    /// Whether it lets every span pass, as far as its form shows.
    pub fn is_all(&self) -> bool {
        match self {
            Filter::All => true,
            Filter::And(filters) => filters.iter().all(Filter::is_all),
            _ => false,
        }
    }
}

fn test_field(stored: &StoredSpan, field: &Field, test: &Test) -> bool {
    if let Field::Attribute(key) = field {
        return attribute(stored, key).is_some_and(|value| test.passes_value(value));
    }
    if let Some(text) = text_of(stored, field) {
        return test.passes_text(field, &text);
    }
    number_of(stored, field).is_some_and(|number| test.passes_double(number))
}

fn has_field(stored: &StoredSpan, field: &Field) -> bool {
    match field {
        Field::Attribute(key) => attribute(stored, key).is_some(),
        _ => text_of(stored, field).is_some() || number_of(stored, field).is_some(),
    }
}

/// The value of an attribute that can be searched by key: a string, a number, true or false, of
/// the span, else of its resource. Lists, maps and bytes are found by their text only.
pub fn attribute<'a>(stored: &'a StoredSpan, key: &str) -> Option<&'a Value> {
    let scalar = |attributes: &'a Attributes| attributes.get(key).filter(|value| is_scalar(value));
    scalar(&stored.span.attributes).or_else(|| scalar(&stored.span.resource.attributes))
}

/// A recorded value as a search would name it; `None` for what cannot be searched by key.
pub fn value_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.to_string()),
        Value::Int(number) => Some(number.to_string()),
        Value::Double(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Bytes(_) | Value::Array(_) | Value::Map(_) => None,
    }
}

/// The value of any field as text, to group by; `None` if it is not known.
pub fn group_text<'a>(stored: &'a StoredSpan, field: &Field) -> Option<Cow<'a, str>> {
    match field {
        Field::Attribute(key) => attribute(stored, key).and_then(value_text).map(Cow::Owned),
        _ => text_of(stored, field)
            .or_else(|| number_of(stored, field).map(|number| Cow::Owned(number.to_string()))),
    }
}

/// Whether a value can be searched by its key.
pub fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Bool(_) | Value::Int(_) | Value::Double(_))
}

/// The value of a textual field; `None` if it is not known, or the field is a number.
pub fn text_of<'a>(stored: &'a StoredSpan, field: &Field) -> Option<Cow<'a, str>> {
    let span = &stored.span;
    let facts = &stored.facts;
    let text = match field {
        Field::Service => span.resource.service(),
        Field::Name => &span.name,
        Field::Kind => span.kind.as_str(),
        Field::Status => span.status.code.as_str(),
        Field::Operation => facts.operation?.as_str(),
        Field::Model => facts.model(),
        Field::Provider => &facts.provider,
        Field::Session => &facts.session_id,
        Field::User => &facts.user_id,
        Field::Agent => &facts.agent_name,
        Field::Tool => &facts.tool_name,
        Field::Workflow => &facts.workflow_name,
        Field::Finish => &facts.finish_reasons,
        Field::Error => &facts.error_type,
        Field::Environment => &facts.environment,
        Field::Project => &stored.project,
        Field::TraceId => return Some(span.trace_id.to_string().into()),
        Field::SpanId => return Some(span.span_id.to_string().into()),
        _ => return None,
    };
    (!text.is_empty()).then_some(Cow::Borrowed(text))
}

/// The value of a numeric field; `None` if it is not known, or the field is text.
pub fn number_of(stored: &StoredSpan, field: &Field) -> Option<f64> {
    let facts = &stored.facts;
    let number = match field {
        Field::Duration => stored.span.duration_ns(),
        Field::Cost => return facts.cost.map(|cost| cost.nano_usd as f64),
        Field::Tokens => tokens(facts.usage.input, facts.usage.output, facts.usage.total)?,
        Field::InputTokens => facts.usage.input?,
        Field::OutputTokens => facts.usage.output?,
        Field::TimeToFirstToken => facts.time_to_first_token_ns?,
        _ => return None,
    };
    Some(number as f64)
}

/// Input plus output tokens; the recorded total where neither is known.
pub fn tokens(input: Option<u64>, output: Option<u64>, total: Option<u64>) -> Option<u64> {
    match (input, output) {
        (None, None) => total,
        (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
    }
}

impl Test {
    /// Tries the value of a textual field. Of finish reasons, joined by commas, any one will do.
    pub fn passes_text(&self, field: &Field, text: &str) -> bool {
        if *field == Field::Finish {
            return text.split(',').any(|reason| self.passes_string(reason));
        }
        self.passes_string(text)
    }

    /// Tries recorded text. Compared with numbers, it is read as one.
    pub fn passes_string(&self, text: &str) -> bool {
        match self {
            Test::Any(patterns) => patterns.iter().any(|pattern| pattern.matches(text)),
            Test::Regex(regex) => regex.is_match(text),
            Test::Range(range) => {
                let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
                number.is_some_and(|number| range.contains(number))
            }
        }
    }

    /// Tries a whole number.
    pub fn passes_int(&self, number: i64) -> bool {
        match self {
            Test::Range(range) => range.contains(number as f64),
            Test::Any(patterns) => patterns.iter().any(|pattern| match pattern {
                Pattern::Exact(text) => match text.parse::<i64>() {
                    Ok(wanted) => wanted == number,
                    Err(_) => is_number(text, number as f64),
                },
                Pattern::Wildcard(_) => pattern.matches(&number.to_string()),
            }),
            Test::Regex(regex) => regex.is_match(&number.to_string()),
        }
    }

    /// Tries a number.
    pub fn passes_double(&self, number: f64) -> bool {
        match self {
            Test::Range(range) => range.contains(number),
            Test::Any(patterns) => patterns.iter().any(|pattern| match pattern {
                Pattern::Exact(text) => is_number(text, number),
                Pattern::Wildcard(_) => pattern.matches(&number.to_string()),
            }),
            Test::Regex(regex) => regex.is_match(&number.to_string()),
        }
    }

    /// Tries true or false; neither is within a range.
    pub fn passes_bool(&self, truth: bool) -> bool {
        !matches!(self, Test::Range(_)) && self.passes_string(if truth { "true" } else { "false" })
    }

    /// Tries a recorded value; only scalar ones can pass.
    pub fn passes_value(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.passes_string(text),
            Value::Int(number) => self.passes_int(*number),
            Value::Double(number) => self.passes_double(*number),
            Value::Bool(truth) => self.passes_bool(*truth),
            Value::Null | Value::Bytes(_) | Value::Array(_) | Value::Map(_) => false,
        }
    }
}

#[expect(clippy::float_cmp, reason = "a search for a number means that number")]
fn is_number(text: &str, number: f64) -> bool {
    text.parse::<f64>().is_ok_and(|wanted| wanted == number)
}

impl Pattern {
    /// Whether it describes the whole text.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Pattern::Exact(wanted) => text == wanted,
            Pattern::Wildcard(pattern) => matches_wildcard(pattern, text),
        }
    }
}

/// Finds the parts between the stars one after the other; leftmost is always good enough.
fn matches_wildcard(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(text) = text.strip_prefix(first) else { return false };
    let Some(mut text) = text.strip_suffix(last) else { return false };
    middle.split('*').all(|part| match text.find(part) {
        Some(at) => {
            text = &text[at + part.len()..];
            true
        }
        None => false,
    })
}

impl Range {
    /// Whether a number is within the bounds.
    pub fn contains(&self, number: f64) -> bool {
        let above = |bound: Bound| number > bound.value || bound.inclusive && number >= bound.value;
        let below = |bound: Bound| number < bound.value || bound.inclusive && number <= bound.value;
        !number.is_nan() && self.min.is_none_or(above) && self.max.is_none_or(below)
    }
}

#[cfg(test)]
mod tests;
