//! The tables of all dialects, compiled into one map from key to what it means.
//!
//! A span is read in one pass: each of its keys is looked up once, however many dialects and
//! fields there are.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

use super::dialect;
use super::table::{Field, KindRow, Row, Shape, Source};

/// What one key is good for.
#[derive(Clone, Copy)]
pub enum Target {
    /// Its value fills a field, with this rank.
    Field(Field, u16),
    /// Its JSON fills a field: the number of the row.
    Path(u16),
    /// It tells the kind: the number of the rule.
    Kind(u16),
    /// It holds an input or an output: the number of the source.
    Source(u8),
}

/// The compiled tables.
pub struct Index {
    by_key: HashMap<&'static str, Vec<Target>, BuildHasherDefault<KeyHasher>>,
    /// Rows that look inside JSON.
    pub paths: Vec<&'static Row>,
    pub kinds: Vec<&'static KindRow>,
    /// Sources of all dialects, best first.
    pub sources: Vec<Source>,
    /// The starts of flattened keys, with their sources.
    flattened: Vec<(&'static str, u8)>,
    /// Names of events that mark the first token.
    pub first_token_events: Vec<&'static str>,
}

/// The tables, compiled on first use.
pub static INDEX: LazyLock<Index> = LazyLock::new(Index::compile);

impl Index {
    /// What an exact key is good for; nothing, for most keys of ordinary spans.
    pub fn targets(&self, key: &str) -> &[Target] {
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }

    /// The source that a flattened key such as `llm.input_messages.0.message.role` belongs to, and
    /// what follows its start.
    pub fn flattened<'k>(&self, key: &'k str) -> Option<(u8, &'k str)> {
        self.flattened
            .iter()
            .find_map(|&(start, source)| key.strip_prefix(start).map(|rest| (source, rest)))
    }

    fn compile() -> Self {
        let mut sources: Vec<Source> =
            dialect::ALL.iter().flat_map(|dialect| dialect.sources).copied().collect();
        sources.sort_by_key(|source| source.rank);
        let mut index = Index {
            by_key: HashMap::default(),
            paths: Vec::new(),
            kinds: dialect::ALL.iter().flat_map(|dialect| dialect.kinds).collect(),
            sources,
            flattened: Vec::new(),
            first_token_events: Vec::new(),
        };
        for dialect in dialect::ALL {
            dialect.rows.iter().for_each(|row| index.add_row(row));
            index.first_token_events.extend(dialect.first_token_events);
        }
        for number in 0..index.kinds.len() {
            index.add(index.kinds[number].key, Target::Kind(number as u16));
        }
        for number in 0..index.sources.len() {
            let source = index.sources[number];
            match source.shape {
                Shape::Flattened => index.flattened.push((source.key, number as u8)),
                _ => index.add(source.key, Target::Source(number as u8)),
            }
        }
        index
    }

    fn add_row(&mut self, row: &'static Row) {
        if row.path.is_empty() {
            self.add(row.key, Target::Field(row.field, row.rank));
        } else {
            self.add(row.key, Target::Path(self.paths.len() as u16));
            self.paths.push(row);
        }
    }

    fn add(&mut self, key: &'static str, target: Target) {
        self.by_key.entry(key).or_default().push(target);
    }
}

/// A quick hash for attribute keys. The map holds only our own keys, so nobody can fill it with
/// collisions, and there is no need for a keyed hash.
#[derive(Default)]
pub struct KeyHasher(u64);

impl KeyHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last) ^ bytes.len() as u64);
    }

    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        // The map takes its control bits from the top and its bucket from the bottom.
        self.0 ^ self.0.rotate_left(32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_keys_of_a_field_have_one_rank() {
        let mut seen = HashSet::new();
        for row in dialect::ALL.iter().flat_map(|dialect| dialect.rows) {
            assert!(seen.insert((row.field as u8, row.rank)), "{} at {}", row.key, row.rank);
        }
    }

    #[test]
    fn no_two_sources_of_a_side_have_one_rank() {
        let mut seen = HashSet::new();
        for source in &INDEX.sources {
            assert!(seen.insert((source.side as u8, source.rank)), "{}", source.key);
        }
        assert!(INDEX.sources.len() < 64, "a reading keeps the sources in an array");
    }

    #[test]
    fn flattened_keys_are_told_from_exact_ones() {
        assert!(INDEX.flattened("llm.input_messages.0.message.role").is_some());
        assert!(INDEX.flattened("gen_ai.prompt").is_none());
        assert!(INDEX.targets("llm.input_messages.0.message.role").is_empty());
        assert_eq!(INDEX.targets("http.route").len(), 0);
    }
}
