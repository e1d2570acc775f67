//! Which attributes a segment has: for typeahead, and to decide which get a column.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use spanwise_model::{StoredSpan, Str, Value};

use super::columns::{MAX_SHREDDED_BYTES, Shredded};
use super::hash::Map;
use super::schema::ScalarType;

pub(super) const FILE: &str = "fields.json";

/// Keys of a project beyond this many are not listed.
const MAX_KEYS: usize = 16 << 10;
/// Longer keys are not listed.
const MAX_KEY_BYTES: usize = 256;
/// Longer values are not offered.
const MAX_VALUE_BYTES: usize = 128;
/// Values that are counted and values that are kept, per key.
const MAX_COUNTED_VALUES: usize = 256;
const MAX_TOP_VALUES: usize = 20;
/// The values of about this many rows are counted.
const SAMPLED_ROWS: usize = 16 << 10;
/// Columns for attributes, at most.
const MAX_SHREDDED: usize = 256;

/// The attribute keys of a segment by project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldCatalog {
    /// By project, then by key.
    pub projects: BTreeMap<Arc<str>, BTreeMap<String, FieldStats>>,
    /// Whether every key is listed. Not so only where a producer made up very many.
    pub complete: bool,
}

/// How a key is used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FieldStats {
    /// How many rows have it, by the type of the value; arrays and maps are not counted.
    pub counts: BTreeMap<ScalarType, u64>,
    /// Frequent short string values, most frequent first. Their counts are estimates.
    pub top_values: Vec<(String, u64)>,
    /// The length of the longest string.
    pub max_bytes: usize,
    /// Whether string values hardly repeat.
    pub distinct: bool,
}

impl Default for FieldCatalog {
    fn default() -> Self {
        FieldCatalog { projects: BTreeMap::new(), complete: true }
    }
}

impl FieldStats {
    /// How many rows have it.
    pub fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    fn add(&mut self, other: &FieldStats) {
        for (&value_type, count) in &other.counts {
            *self.counts.entry(value_type).or_default() += count;
        }
        for (value, count) in &other.top_values {
            match self.top_values.iter_mut().find(|(known, _)| known == value) {
                Some((_, total)) => *total += count,
                None => self.top_values.push((value.clone(), *count)),
            }
        }
        keep_top(&mut self.top_values);
        self.max_bytes = self.max_bytes.max(other.max_bytes);
        self.distinct |= other.distinct;
    }
}

fn keep_top(values: &mut Vec<(String, u64)>) {
    values.sort_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
    values.truncate(MAX_TOP_VALUES);
}

impl FieldCatalog {
    /// Adds what another segment has.
    pub fn add(&mut self, other: &FieldCatalog) {
        self.complete &= other.complete;
        for (project, keys) in &other.projects {
            let known = self.projects.entry(project.clone()).or_default();
            for (key, stats) in keys {
                if known.len() >= MAX_KEYS && !known.contains_key(key) {
                    self.complete = false;
                    continue;
                }
                known.entry(key.clone()).or_default().add(stats);
            }
        }
    }

    /// The types that a key's values have, in any project; `None` if the key may be there
    /// without being listed.
    pub(super) fn types(&self, key: &str) -> Option<Vec<ScalarType>> {
        let of_key = || self.projects.values().filter_map(|keys| keys.get(key));
        if !self.complete && of_key().next().is_none() {
            return None;
        }
        let has = |value_type: &ScalarType| of_key().any(|s| s.counts.contains_key(value_type));
        Some(ScalarType::ALL.into_iter().filter(has).collect())
    }

    /// The columns worth having in a segment of this many rows: frequent keys, not those that
    /// count up (`llm.input_messages.3.message.content`), not long texts.
    pub(super) fn shredded(&self, n_rows: usize) -> Vec<Shredded> {
        let mut totals: BTreeMap<&str, FieldStats> = BTreeMap::new();
        for (key, stats) in self.projects.values().flatten() {
            if !counts_up(key) {
                totals.entry(key).or_default().add(stats);
            }
        }
        let mut columns = Vec::new();
        for (key, stats) in &totals {
            for (&value_type, &count) in &stats.counts {
                let is_long =
                    value_type == ScalarType::String && stats.max_bytes > MAX_SHREDDED_BYTES;
                if !is_long && count.saturating_mul(1000) >= n_rows as u64 {
                    let distinct = value_type == ScalarType::Double
                        || value_type == ScalarType::String && stats.distinct;
                    let column = Shredded { key: (*key).to_owned(), value_type, distinct };
                    columns.push((count, column));
                }
            }
        }
        columns.sort_by(|(a, _), (b, _)| b.cmp(a));
        columns.into_iter().take(MAX_SHREDDED).map(|(_, column)| column).collect()
    }
}

/// Whether a part of the key is a number: one of a flattened list.
fn counts_up(key: &str) -> bool {
    key.split('.').any(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// Counts keys and values over the rows of a segment.
pub(super) struct FieldCounter {
    projects: Map<Arc<str>, Map<Str, KeyCounter>>,
    complete: bool,
    /// Values are counted in every so many rows.
    stride: usize,
    n_rows: usize,
}

#[derive(Default)]
struct KeyCounter {
    counts: [u64; 4],
    max_bytes: usize,
    n_sampled: u64,
    values: Map<Str, u64>,
    /// Sampled values that found no place in `values`.
    n_other: u64,
}

impl FieldCounter {
    pub(super) fn new(n_rows: usize) -> Self {
        let stride = n_rows.div_ceil(SAMPLED_ROWS).max(1);
        FieldCounter { projects: Map::default(), complete: true, stride, n_rows: 0 }
    }

    pub(super) fn count(&mut self, stored: &StoredSpan) {
        let is_sampled = self.n_rows.is_multiple_of(self.stride);
        self.n_rows += 1;
        if !self.projects.contains_key(&stored.project) {
            self.projects.insert(stored.project.clone(), Map::default());
        }
        let Some(keys) = self.projects.get_mut(&stored.project) else { return };
        for attribute in &stored.span.attributes {
            let Some(value_type) = ScalarType::of(&attribute.value) else { continue };
            let n_keys = keys.len();
            if let Some(counter) = keys.get_mut(&attribute.key) {
                counter.count(value_type, &attribute.value, is_sampled);
            } else if n_keys < MAX_KEYS && attribute.key.len() <= MAX_KEY_BYTES {
                let mut counter = KeyCounter::default();
                counter.count(value_type, &attribute.value, is_sampled);
                keys.insert(attribute.key.clone(), counter);
            } else {
                self.complete = false;
            }
        }
    }

    pub(super) fn finish(self) -> FieldCatalog {
        let stride = self.stride as u64;
        let projects = self.projects.into_iter().map(|(project, keys)| {
            let keys =
                keys.into_iter().map(|(key, counter)| (key.to_string(), counter.finish(stride)));
            (project, keys.collect())
        });
        FieldCatalog { projects: projects.collect(), complete: self.complete }
    }
}

impl KeyCounter {
    fn count(&mut self, value_type: ScalarType, value: &Value, is_sampled: bool) {
        self.counts[value_type as usize] += 1;
        if let Value::String(text) = value {
            self.max_bytes = self.max_bytes.max(text.len());
            if is_sampled {
                self.sample(text);
            }
        }
    }

    fn sample(&mut self, text: &Str) {
        self.n_sampled += 1;
        if text.len() > MAX_VALUE_BYTES {
            self.n_other += 1;
        } else if let Some(count) = self.values.get_mut(text) {
            *count += 1;
        } else if self.values.len() < MAX_COUNTED_VALUES {
            self.values.insert(text.clone(), 1);
        } else {
            self.n_other += 1;
        }
    }

    fn finish(self, stride: u64) -> FieldStats {
        let n_distinct = self.values.len() as u64 + self.n_other;
        let mut top_values: Vec<_> = self
            .values
            .into_iter()
            .map(|(value, count)| (value.to_string(), count * stride))
            .collect();
        keep_top(&mut top_values);
        let counts = ScalarType::ALL.into_iter().zip(self.counts).filter(|(_, count)| *count > 0);
        FieldStats {
            counts: counts.collect(),
            top_values,
            max_bytes: self.max_bytes,
            distinct: self.n_sampled >= 64 && n_distinct * 2 > self.n_sampled,
        }
    }
}
