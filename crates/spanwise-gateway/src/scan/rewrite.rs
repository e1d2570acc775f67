//! Edits of a request body: byte ranges are replaced, every other byte stays.

use std::ops::Range;

use bytes::Bytes;

use super::RequestFacts;
use crate::dialect::Dialect;
use crate::json::{Kind, Value, splice};

/// What is to be changed in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edits<'a> {
    /// The model to ask for instead, unless it stands in the path.
    pub model: Option<&'a str>,
    /// Whether a stream must end with its usage, whatever the client asked.
    pub include_usage: bool,
}

/// How a request for usage gets into a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum UsageSplice {
    /// Not at all: it is there, or the dialect has no such request, or it is written in a way
    /// that the provider will refuse.
    #[default]
    Nowhere,
    /// A member at the start of the body.
    Body,
    /// A member at the start of `stream_options`, which is empty or not.
    Options { at: usize, is_empty: bool },
    /// In place of `stream_options: null`.
    InPlaceOfOptions(Range<usize>),
    /// In place of what `include_usage` says.
    InPlaceOfValue(Range<usize>),
}

impl UsageSplice {
    /// Where it goes when nothing has been said about it.
    pub(super) fn of(dialect: Dialect) -> Self {
        if dialect == Dialect::Chat { UsageSplice::Body } else { UsageSplice::Nowhere }
    }

    /// What `stream_options` says about usage, and what to do to have it.
    pub(super) fn find(options: Value<'_>) -> (Option<bool>, Self) {
        match options.kind {
            Kind::Null => (None, UsageSplice::InPlaceOfOptions(options.range())),
            Kind::Object => match options.get("include_usage") {
                None => {
                    let is_empty = options.members().next().is_none();
                    (None, UsageSplice::Options { at: options.start + 1, is_empty })
                }
                Some(value) => match value.kind {
                    Kind::True => (Some(true), UsageSplice::Nowhere),
                    Kind::False => (Some(false), UsageSplice::InPlaceOfValue(value.range())),
                    Kind::Null => (None, UsageSplice::InPlaceOfValue(value.range())),
                    _ => (None, UsageSplice::Nowhere),
                },
            },
            _ => (None, UsageSplice::Nowhere),
        }
    }
}

/// Applies edits to the body that the facts were read from.
pub fn rewrite(body: &Bytes, facts: &RequestFacts<'_>, edits: &Edits<'_>) -> Bytes {
    let mut splices = Splices { start: facts.start, is_empty: facts.is_empty, list: Vec::new() };
    if let Some(model) = edits.model.filter(|_| !facts.is_in_path) {
        splices.model(model, facts);
    }
    if edits.include_usage {
        splices.usage(&facts.usage_splice);
    }
    splice(body, splices.list)
}

/// Ranges of a body and what takes their place.
struct Splices {
    start: usize,
    is_empty: bool,
    list: Vec<(Range<usize>, String)>,
}

impl Splices {
    fn model(&mut self, model: &str, facts: &RequestFacts<'_>) {
        let literal = serde_json::Value::from(model).to_string();
        match &facts.model {
            Some(field) if field.value == model => {}
            Some(field) => self.list.push((field.range.clone(), literal)),
            None => self.member(format!("\"model\":{literal}")),
        }
    }

    fn usage(&mut self, splice: &UsageSplice) {
        const MEMBER: &str = "\"include_usage\":true";
        match splice {
            UsageSplice::Nowhere => {}
            UsageSplice::Body => self.member(format!("\"stream_options\":{{{MEMBER}}}")),
            UsageSplice::Options { at, is_empty } => {
                let comma = if *is_empty { "" } else { "," };
                self.list.push((*at..*at, format!("{MEMBER}{comma}")));
            }
            UsageSplice::InPlaceOfOptions(range) => {
                self.list.push((range.clone(), format!("{{{MEMBER}}}")));
            }
            UsageSplice::InPlaceOfValue(range) => self.list.push((range.clone(), "true".into())),
        }
    }

    /// Puts a member first in the body.
    fn member(&mut self, mut member: String) {
        if !std::mem::take(&mut self.is_empty) {
            member.push(',');
        }
        // Two of them land before one another, so the earlier one is never the last.
        self.list.insert(0, (self.start..self.start, member));
    }
}
