//! Which attributes a segment has, for typeahead.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::schema::ScalarType;

/// The attribute keys of a segment by project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FieldCatalog {
    /// By project, then by key.
    pub projects: BTreeMap<Arc<str>, BTreeMap<String, FieldStats>>,
}

/// How a key is used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FieldStats {
    /// How many rows have it, by the type of the value.
    pub counts: BTreeMap<ScalarType, u64>,
    /// Frequent short string values with their counts, most frequent first; counts are lower
    /// bounds where values are many.
    pub top_values: Vec<(String, u64)>,
}

impl FieldStats {
    /// How many rows have it.
    pub fn count(&self) -> u64 {
        self.counts.values().sum()
    }
}
