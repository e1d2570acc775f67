//! Environment variables.

use std::collections::HashMap;
use std::sync::Arc;

/// Where environment variables come from: the process, or a map in tests.
#[derive(Clone, Debug, Default)]
pub struct Environment(Option<Arc<HashMap<String, String>>>);

impl Environment {
    /// These variables and no others.
    pub fn of<K: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Environment(Some(Arc::new(variables.collect())))
    }

    /// The value of a variable. Empty is as good as unset.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let value = match &self.0 {
            Some(variables) => variables.get(name).cloned(),
            None => std::env::var(name).ok(),
        };
        value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The first of some variables that is set, with its name.
    pub(super) fn first(&self, names: &[String]) -> Option<(String, String)> {
        names.iter().find_map(|name| Some((name.clone(), self.get(name)?)))
    }
}
