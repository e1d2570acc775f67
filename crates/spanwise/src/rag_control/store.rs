//! A vector store in a file: documents with their vectors in memory, compared one by one, and each
//! change appended to the file.
//!
//! Up to some hundred thousand documents that is a matter of milliseconds, is exact, and takes a
//! filter along without missing anything; for more there are databases.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::adapter::{AdapterError, Document, Search, VectorStore};

/// The file's first bytes, with its version.
const MAGIC: &[u8; 8] = b"spwvec\x00\x01";
/// No record is longer.
const MAX_RECORD_BYTES: usize = 64 << 20;
/// A file with more dead records than this, and more than live ones, is written anew when opened.
const MIN_DEAD: usize = 1024;

/// A vector store in a file, for one process at a time. Readers do not wait for each other.
#[derive(Debug)]
pub struct LocalStore {
    name: String,
    path: PathBuf,
    dimensions: usize,
    entries: RwLock<Entries>,
    file: Mutex<File>,
}

#[derive(Debug, Default)]
struct Entries {
    /// Of length one each, so that their product is the cosine of their angle.
    vectors: Vec<f32>,
    documents: Vec<Stored>,
    places: HashMap<String, usize>,
}

/// A document as it lies in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    id: String,
    content: String,
    metadata: Map<String, Json>,
}

/// A change: a document with its vector, or without one if it goes.
struct Record {
    stored: Stored,
    vector: Vec<f32>,
}

impl LocalStore {
    /// Opens the store in this file, or begins one, for vectors of so many numbers. A record that
    /// was being written when the process was killed is left out.
    pub fn open(path: impl AsRef<Path>, dimensions: usize) -> Result<Self, AdapterError> {
        let path = path.as_ref().to_owned();
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        file.try_lock().map_err(|error| {
            AdapterError::new("in_use", format!("{} is in use: {error}", path.display()))
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (mut entries, mut n_records, mut valid) = (Entries::default(), 0, 0);
        if !bytes.is_empty() {
            valid = check_head(&bytes, dimensions)?;
            while let Some((record, length)) = read_record(&bytes[valid..], dimensions) {
                entries.apply(record, dimensions);
                n_records += 1;
                valid += length;
            }
        }
        file.set_len(valid as u64)?;
        file.seek(SeekFrom::End(0))?;
        if valid == 0 {
            file.write_all(&head(dimensions))?;
        }
        let name = name.unwrap_or_else(|| "local".to_owned());
        let (entries, file) = (RwLock::new(entries), Mutex::new(file));
        let store = LocalStore { name, path, dimensions, entries, file };
        let n_dead = n_records - store.len();
        if n_dead > MIN_DEAD && n_dead > store.len() {
            store.rewrite()?;
        }
        Ok(store)
    }

    /// The same under another name than its file's.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        LocalStore { name: name.into(), ..self }
    }

    /// How many documents there are.
    pub fn len(&self) -> usize {
        self.read().documents.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a document, or puts it in place of the one with its id. Its score does not matter.
    pub fn add(&self, document: &Document, vector: &[f32]) -> Result<(), AdapterError> {
        self.add_all([(document, vector)])
    }

    /// Adds documents; they are on the disk when this returns.
    pub fn add_all<'a>(
        &self,
        documents: impl IntoIterator<Item = (&'a Document, &'a [f32])>,
    ) -> Result<(), AdapterError> {
        let record = |(document, vector): (&Document, &[f32])| {
            let stored = Stored {
                id: document.id.clone(),
                content: document.content.clone(),
                metadata: document.metadata.clone(),
            };
            Ok(Record { stored, vector: self.of_length_one(vector)? })
        };
        let records: Result<Vec<_>, AdapterError> = documents.into_iter().map(record).collect();
        self.write(records?)
    }

    /// Removes a document; `false` if there is none of that id.
    pub fn remove(&self, id: &str) -> Result<bool, AdapterError> {
        let is_there = self.read().places.contains_key(id);
        if is_there {
            let (content, metadata) = (String::new(), Map::new());
            let stored = Stored { id: id.to_owned(), content, metadata };
            self.write(vec![Record { stored, vector: Vec::new() }])?;
        }
        Ok(is_there)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Entries> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, records: Vec<Record>) -> Result<(), AdapterError> {
        let mut bytes = Vec::new();
        for record in &records {
            put_record(&mut bytes, record)?;
        }
        // Held until the change is seen, so that file and memory have the same order.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&bytes)?;
        file.sync_data()?;
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            entries.apply(record, self.dimensions);
        }
        Ok(())
    }

    /// Writes a file without dead records and puts it in place of the old one.
    fn rewrite(&self) -> Result<(), AdapterError> {
        let entries = self.read();
        let mut bytes = head(self.dimensions);
        for (at, stored) in entries.documents.iter().enumerate() {
            let vector = entries.vector(at, self.dimensions).to_vec();
            put_record(&mut bytes, &Record { stored: stored.clone(), vector })?;
        }
        let fresh = self.path.with_extension("new");
        let mut file = File::create(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        file.try_lock()?;
        std::fs::rename(&fresh, &self.path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }

    fn of_length_one(&self, vector: &[f32]) -> Result<Vec<f32>, AdapterError> {
        let bad = |what: String| AdapterError::new("bad_vector", what);
        if vector.len() != self.dimensions {
            let (found, expected) = (vector.len(), self.dimensions);
            return Err(bad(format!("the vector has {found} dimensions, expected {expected}")));
        }
        let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
        if !length.is_finite() || length == 0.0 {
            return Err(bad("the vector has no direction".to_owned()));
        }
        Ok(vector.iter().map(|number| (f64::from(*number) / length) as f32).collect())
    }
}

impl VectorStore for LocalStore {
    fn name(&self) -> &str {
        &self.name
    }

    fn search(&self, search: &Search) -> Result<Vec<Document>, AdapterError> {
        let wanted = self.of_length_one(&search.vector)?;
        let entries = self.read();
        let is_allowed = |stored: &Stored| {
            search.filter.as_ref().is_none_or(|filter| filter.matches(&stored.metadata))
        };
        let mut found: Vec<(f32, usize)> = (0..entries.documents.len())
            .filter(|at| is_allowed(&entries.documents[*at]))
            .map(|at| (product(&wanted, entries.vector(at, self.dimensions)), at))
            .collect();
        let best_first =
            |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if found.len() > search.top_k {
            found.select_nth_unstable_by(search.top_k, best_first);
            found.truncate(search.top_k);
        }
        found.sort_by(best_first);
        let document = |(score, at): (f32, usize)| {
            let Stored { id, content, metadata } = entries.documents[at].clone();
            Document { id, content, score: f64::from(score), metadata }
        };
        Ok(found.into_iter().map(document).collect())
    }
}

impl Entries {
    fn vector(&self, at: usize, dimensions: usize) -> &[f32] {
        &self.vectors[at * dimensions..(at + 1) * dimensions]
    }

    fn apply(&mut self, record: Record, dimensions: usize) {
        let Record { stored, vector } = record;
        let place = self.places.get(&stored.id).copied();
        match (place, vector.is_empty()) {
            (Some(at), true) => self.remove(at, dimensions),
            (None, true) => {}
            (Some(at), false) => {
                self.vectors[at * dimensions..(at + 1) * dimensions].copy_from_slice(&vector);
                self.documents[at] = stored;
            }
            (None, false) => {
                self.places.insert(stored.id.clone(), self.documents.len());
                self.vectors.extend_from_slice(&vector);
                self.documents.push(stored);
            }
        }
    }

    /// The last document takes the place of the one that goes.
    fn remove(&mut self, at: usize, dimensions: usize) {
        let last = self.documents.len() - 1;
        self.vectors.copy_within(last * dimensions.., at * dimensions);
        self.vectors.truncate(last * dimensions);
        let gone = self.documents.swap_remove(at);
        self.places.remove(&gone.id);
        if let Some(moved) = self.documents.get(at) {
            self.places.insert(moved.id.clone(), at);
        }
    }
}

/// The sum of the products; in lanes, which the compiler turns into wide instructions.
fn product(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

fn head(dimensions: usize) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend((dimensions as u32).to_le_bytes());
    head
}

/// The length of the head, if it is one for vectors of so many numbers.
fn check_head(bytes: &[u8], dimensions: usize) -> Result<usize, AdapterError> {
    let bad = |what: String| Err(AdapterError::new("bad_file", what));
    let expected = head(dimensions);
    if bytes.len() < expected.len() || &bytes[..8] != MAGIC {
        return bad("the file is no vector store".to_owned());
    }
    if bytes[8..12] != expected[8..] {
        let found = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        return bad(format!("the file has vectors of {found} dimensions, expected {dimensions}"));
    }
    Ok(expected.len())
}

/// Length of the rest and its checksum; length of the document, the document, the vector.
fn put_record(out: &mut Vec<u8>, record: &Record) -> Result<(), AdapterError> {
    let document = serde_json::to_vec(&record.stored)?;
    let mut body = (document.len() as u32).to_le_bytes().to_vec();
    body.extend(document);
    body.extend(record.vector.iter().flat_map(|number| number.to_le_bytes()));
    if body.len() > MAX_RECORD_BYTES {
        return Err(AdapterError::new("too_large", "the document is too large"));
    }
    out.extend((body.len() as u32).to_le_bytes());
    out.extend(checksum(&body).to_le_bytes());
    out.extend(body);
    Ok(())
}

/// A record and its length; `None` at the end, or where the rest cannot be one.
fn read_record(bytes: &[u8], dimensions: usize) -> Option<(Record, usize)> {
    let number = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let length = number(0)? as usize;
    let body = bytes.get(8..8 + length)?;
    if checksum(body) != number(4)? {
        return None;
    }
    let document_length = number(8)? as usize;
    let stored = serde_json::from_slice(body.get(4..4 + document_length)?).ok()?;
    let (numbers, rest) = body.get(4 + document_length..)?.as_chunks::<4>();
    let vector: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    let is_whole = rest.is_empty() && (vector.is_empty() || vector.len() == dimensions);
    is_whole.then_some((Record { stored, vector }, 8 + length))
}

/// FNV-1a, folded: enough to tell a record that was cut off.
fn checksum(bytes: &[u8]) -> u32 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold);
    (hash ^ (hash >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rag_control::filter::{Filter, Operator};

    fn document(id: &str, team: &str) -> Document {
        let metadata = [("team".to_owned(), team.into())].into_iter().collect();
        Document { id: id.to_owned(), content: format!("about {id}"), score: 0.0, metadata }
    }

    fn ids(store: &LocalStore, vector: [f32; 3], top_k: usize, team: Option<&str>) -> Vec<String> {
        let filter = team.map(|team| Filter::Field {
            field: "team".to_owned(),
            operator: Operator::Equals,
            value: team.into(),
        });
        let found = store.search(&Search { vector: vector.to_vec(), top_k, filter }).unwrap();
        assert!(found.is_sorted_by(|a, b| a.score >= b.score));
        found.into_iter().map(|document| document.id).collect()
    }

    #[test]
    fn documents_are_found_by_direction_and_filter_and_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handbook.vectors");
        let store = LocalStore::open(&path, 3).unwrap();
        store.add(&document("x", "a"), &[2.0, 0.0, 0.0]).unwrap();
        store.add(&document("y", "b"), &[0.0, 0.5, 0.0]).unwrap();
        store.add(&document("xy", "a"), &[1.0, 1.0, 0.0]).unwrap();
        assert_eq!(ids(&store, [1.0, 0.1, 0.0], 2, None), ["x", "xy"]);
        assert_eq!(ids(&store, [1.0, 0.1, 0.0], 9, Some("b")), ["y"]);
        store.add(&document("x", "b"), &[0.0, 1.0, 0.0]).unwrap();
        assert!(store.remove("y").unwrap() && !store.remove("y").unwrap());
        assert!(LocalStore::open(&path, 3).unwrap_err().message.contains("in use"));
        drop(store);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&[9, 0, 0, 0, 1, 2]).unwrap();
        drop(file);
        let store = LocalStore::open(&path, 3).unwrap();
        assert_eq!((store.name(), store.len()), ("handbook", 2));
        assert_eq!(ids(&store, [0.0, 1.0, 0.0], 9, None), ["x", "xy"]);
        store.add(&document("z", "a"), &[0.0, 0.0, 1.0]).unwrap();
        drop(store);
        assert_eq!(LocalStore::open(&path, 3).unwrap().len(), 3);
        assert!(LocalStore::open(&path, 4).unwrap_err().message.contains("3 dimensions"));
    }

    #[test]
    fn vectors_without_a_direction_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path().join("s"), 2).unwrap();
        for vector in [&[0.0, 0.0][..], &[f32::NAN, 1.0], &[f32::INFINITY, 1.0], &[1.0], &[]] {
            assert!(store.add(&document("d", "a"), vector).is_err());
        }
        assert!(store.is_empty());
    }

    #[test]
    fn a_file_of_dead_records_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.vectors");
        let store = LocalStore::open(&path, 2).unwrap();
        let one = document("d", "a");
        store.add_all((0..1100).map(|_| (&one, &[1.0_f32, 1.0][..]))).unwrap();
        drop(store);
        let before = std::fs::metadata(&path).unwrap().len();
        let store = LocalStore::open(&path, 2).unwrap();
        store.add(&document("e", "a"), &[1.0, 0.0]).unwrap();
        drop(store);
        assert!(std::fs::metadata(&path).unwrap().len() * 100 < before);
        assert_eq!(LocalStore::open(&path, 2).unwrap().len(), 2);
    }

    proptest! {
        // Each change waits for the disk.
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn any_changes_give_what_a_map_would_have(
            changes in prop::collection::vec(("[a-e]", prop::option::of(1_u8..9)), 0..40),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("s");
            let mut expected = HashMap::new();
            let store = LocalStore::open(&path, 2).unwrap();
            for (id, number) in changes {
                match number {
                    Some(number) => {
                        store.add(&document(&id, "a"), &[f32::from(number), 1.0]).unwrap();
                        expected.insert(id, number);
                    }
                    None => {
                        prop_assert_eq!(store.remove(&id).unwrap(), expected.remove(&id).is_some());
                    }
                }
            }
            drop(store);
            let store = LocalStore::open(&path, 2).unwrap();
            let search = Search { vector: vec![1.0, 0.0], top_k: 99, filter: None };
            let found = store.search(&search).unwrap();
            prop_assert_eq!(found.len(), expected.len());
            for one in found {
                let number = f64::from(expected[&one.id]);
                prop_assert!((one.score - number / number.hypot(1.0)).abs() < 1e-5);
            }
        }
    }
}
