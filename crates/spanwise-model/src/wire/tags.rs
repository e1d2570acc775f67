//! Attributes on their way into formats in which a key may be there only once.

use std::borrow::Cow;
use std::collections::HashMap;

/// Values by distinct keys, in the order in which the keys came first.
pub(super) struct Tags<'s, V> {
    pub(super) entries: Vec<(Cow<'s, str>, V)>,
    positions: HashMap<Cow<'s, str>, usize>,
}

impl<V> Default for Tags<'_, V> {
    fn default() -> Self {
        Tags { entries: Vec::new(), positions: HashMap::new() }
    }
}

impl<'s, V> Tags<'s, V> {
    /// Sets a key; later values win over earlier ones.
    pub(super) fn set(&mut self, key: impl Into<Cow<'s, str>>, value: impl Into<V>) {
        let (key, value) = (key.into(), value.into());
        if let Some(position) = self.positions.get(&key) {
            self.entries[*position].1 = value;
        } else {
            self.positions.insert(key.clone(), self.entries.len());
            self.entries.push((key, value));
        }
    }

    /// Sets a key that is not there yet.
    pub(super) fn set_default(&mut self, key: &'s str, value: impl Into<V>) {
        if !self.positions.contains_key(key) {
            self.set(key, value);
        }
    }
}
