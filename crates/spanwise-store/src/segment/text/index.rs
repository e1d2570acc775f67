//! The full-text index of a segment, in the folder `text/` beside its files.
//!
//! A document is a distinct text within a window of rows; `postings.bin` has, under the
//! document's number, the rows that carry it. Documents are spread over parts (`0/`, `1/`, …),
//! each as large as the memory that building may take; within a part they keep their order, so
//! a document's number is the part's first plus its own.
//!
//! Every recorded text is indexed, ids too: pasting a request id into the search box works.

use std::path::{Path, PathBuf};

use tantivy::schema::{
    Field, IndexRecordOption, Schema, TantivyDocument, TextFieldIndexing, TextOptions,
};
use tantivy::store::Compressor;
use tantivy::tokenizer::{Token, TokenStream, Tokenizer, TokenizerManager};
use tantivy::{
    DocSet, Index, IndexSettings, ReloadPolicy, Searcher, SingleSegmentIndexWriter, TERMINATED,
    TantivyError,
};

use super::super::blocks::{BlockFile, BlockWriter};
use super::super::chunk::TextKind;
use super::super::hash::Map;
use super::super::row::{Found, RowView};
use super::super::varint::{Malformed, Reader, put_varint};
use super::super::write::sync_dir;
use super::super::{FileMeta, Segment, SegmentError, json};
use super::{each_string, next_word, phrase, scan};
use crate::query::TextQuery;

const DIR: &str = "text";
const POSTINGS: &str = "postings.bin";
const PARTS: &str = "parts.json";
const TOKENIZER: &str = "words";
const FIELD: &str = "text";

/// Bytes that a segment needs, as stored, before an index pays.
const INDEXED_FROM: u64 = 256 << 10;
/// A part is finished when building it takes this much memory.
const PART_BYTES: usize = 40 << 20;
/// A window ends when it has this many distinct texts …
const WINDOW_TEXTS: usize = 64 << 10;
/// … or rows of them, or bytes of texts in place.
const WINDOW_ROWS: usize = 2 << 20;
const WINDOW_BYTES: usize = 8 << 20;

/// What `parts.json` says.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Parts {
    /// The number of the first document of each part.
    first_documents: Vec<u32>,
    postings: FileMeta,
}

/// An open text index.
#[derive(Debug)]
pub(in crate::segment) struct TextIndex {
    parts: Vec<Part>,
    postings: BlockFile,
}

struct Part {
    first_document: u32,
    searcher: Searcher,
    field: Field,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("first_document", &self.first_document).finish_non_exhaustive()
    }
}

impl Segment {
    /// The rows whose recorded text matches, ascending: by the index if there is one that can be
    /// read, else by looking at every text. Both are exact.
    pub fn text_rows(&self, query: &TextQuery) -> Result<Vec<u32>, SegmentError> {
        if query.words.is_empty() {
            return Ok(Vec::new());
        }
        let Some(index) = self.open_text_index() else { return scan::rows(self, query) };
        match index.rows(query) {
            Ok(rows) => Ok(rows),
            Err(error) => {
                tracing::warn!(%error, "the text index cannot be read, scanning");
                scan::rows(self, query)
            }
        }
    }

    /// Whether the full-text index is there.
    pub fn text_indexed(&self) -> bool {
        self.text_index.get().is_some() || self.dir().join(DIR).is_dir()
    }

    /// Whether an index is missing that would save time. A small segment is read as fast as its
    /// index would be, and the index would be larger than all it stands for.
    pub fn wants_text_index(&self) -> bool {
        self.meta().bytes >= INDEXED_FROM && !self.text_indexed()
    }

    fn open_text_index(&self) -> Option<&TextIndex> {
        if let Some(index) = self.text_index.get() {
            return Some(index);
        }
        let dir = self.dir().join(DIR);
        if !dir.is_dir() {
            return None;
        }
        match TextIndex::open(&dir) {
            Ok(index) => Some(self.text_index.get_or_init(|| index)),
            Err(error) => {
                tracing::warn!(%error, "the text index cannot be opened, scanning");
                None
            }
        }
    }
}

impl TextIndex {
    fn open(dir: &Path) -> Result<Self, SegmentError> {
        let path = dir.join(PARTS);
        let json = std::fs::read(&path).map_err(SegmentError::io(&path))?;
        let parts: Parts = serde_json::from_slice(&json)
            .map_err(|error| SegmentError::Corrupt { path, reason: error.to_string() })?;
        let postings = BlockFile::open(dir, &parts.postings)?;
        let open = |(at, &first_document): (usize, &u32)| {
            let dir = dir.join(at.to_string());
            Part::open(&dir, first_document).map_err(SegmentError::text(&dir))
        };
        let parts = parts.first_documents.iter().enumerate().map(open).collect::<Result<_, _>>()?;
        Ok(TextIndex { parts, postings })
    }

    fn rows(&self, query: &TextQuery) -> Result<Vec<u32>, SegmentError> {
        let mut cursor = self.postings.cursor();
        let mut rows = Vec::new();
        for part in &self.parts {
            let mut documents =
                part.documents(query).map_err(SegmentError::text(self.postings.path()))?;
            documents.sort_unstable();
            for document in documents {
                let posting = cursor.get(part.first_document.saturating_add(document))?;
                read_rows(&posting, &mut rows).map_err(|error| self.postings.corrupt(error))?;
            }
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }
}

impl Part {
    fn open(dir: &Path, first_document: u32) -> Result<Self, TantivyError> {
        let index = Index::open_in_dir(dir)?;
        let field = index.schema().get_field(FIELD)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual);
        let searcher = reader.doc_store_cache_num_blocks(0).try_into()?.searcher();
        Ok(Part { first_document, searcher, field })
    }

    /// The documents with the words.
    fn documents(&self, query: &TextQuery) -> Result<Vec<u32>, TantivyError> {
        match &query.words[..] {
            [word] => self.documents_with_word(word, query.prefix),
            words => {
                let mut documents = Vec::new();
                for reader in self.searcher.segment_readers() {
                    let index = reader.inverted_index(self.field)?;
                    documents.extend(phrase::documents(&index, words, query.prefix)?);
                }
                Ok(documents)
            }
        }
    }

    fn documents_with_word(&self, word: &str, is_prefix: bool) -> Result<Vec<u32>, TantivyError> {
        let mut documents = Vec::new();
        for reader in self.searcher.segment_readers() {
            let index = reader.inverted_index(self.field)?;
            let mut terms = index.terms().range().ge(word.as_bytes()).into_stream()?;
            while terms.advance() {
                let found = terms.key();
                if found != word.as_bytes() && !(is_prefix && found.starts_with(word.as_bytes())) {
                    break;
                }
                let mut postings =
                    index.read_postings_from_terminfo(terms.value(), IndexRecordOption::Basic)?;
                while postings.doc() != TERMINATED {
                    documents.push(postings.doc());
                    postings.advance();
                }
            }
        }
        documents.sort_unstable();
        documents.dedup();
        Ok(documents)
    }
}

/// Builds the full-text index of a segment beside its files; atomic, and harmless if repeated.
pub fn index_text(segment: &Segment) -> Result<(), SegmentError> {
    let dir = segment.dir().join(DIR);
    if dir.is_dir() {
        return Ok(());
    }
    let building = segment.dir().join("text.tmp");
    match std::fs::remove_dir_all(&building) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(SegmentError::Io { path: building, source: error });
        }
        _ => {}
    }
    std::fs::create_dir(&building).map_err(SegmentError::io(&building))?;
    let mut builder = Builder::new(segment, &building)?;
    let mut rows = segment.rows.cursor();
    for row in 0..segment.meta().n_rows {
        let bytes = rows.get(row)?;
        RowView::new(&bytes)
            .and_then(|view| view.texts(&mut |found| builder.window.note(row, found)))
            .map_err(|malformed| segment.rows.corrupt(format!("row {row}: {malformed}")))?;
        if builder.window.is_full() {
            builder.end_window()?;
        }
    }
    builder.finish()?;
    std::fs::rename(&building, &dir).map_err(SegmentError::io(&dir))?;
    sync_dir(segment.dir())
}

/// A text of a window that is stored once per segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Shared {
    Name(u32),
    Piece(u32),
}

/// The texts of a run of rows, with the rows that carry each.
#[derive(Default)]
struct Window {
    shared: Map<Shared, Vec<u32>>,
    /// Texts that lie in their rows.
    in_place: Map<Box<str>, Vec<u32>>,
    n_rows: usize,
    n_bytes: usize,
}

impl Window {
    fn note(&mut self, row: u32, found: Found<'_>) {
        let rows = match found {
            Found::Name(number) => self.shared.entry(Shared::Name(number)).or_default(),
            Found::Piece(number) => self.shared.entry(Shared::Piece(number)).or_default(),
            Found::Text("") => return,
            Found::Text(text) => {
                if !self.in_place.contains_key(text) {
                    self.n_bytes += text.len();
                    self.in_place.insert(text.into(), Vec::new());
                }
                let Some(rows) = self.in_place.get_mut(text) else { return };
                rows
            }
        };
        if rows.last() != Some(&row) {
            rows.push(row);
            self.n_rows += 1;
        }
    }

    fn is_full(&self) -> bool {
        self.shared.len() + self.in_place.len() >= WINDOW_TEXTS
            || self.n_rows >= WINDOW_ROWS
            || self.n_bytes >= WINDOW_BYTES
    }
}

struct Builder<'s> {
    segment: &'s Segment,
    dir: PathBuf,
    field: Field,
    part: Option<SingleSegmentIndexWriter>,
    first_documents: Vec<u32>,
    postings: BlockWriter,
    window: Window,
}

impl<'s> Builder<'s> {
    fn new(segment: &'s Segment, dir: &Path) -> Result<Self, SegmentError> {
        Ok(Builder {
            segment,
            dir: dir.to_owned(),
            field: schema().1,
            part: None,
            first_documents: Vec::new(),
            postings: BlockWriter::create(dir, POSTINGS, 3)?,
            window: Window::default(),
        })
    }

    /// Makes documents of the texts of the window and begins the next one.
    fn end_window(&mut self) -> Result<(), SegmentError> {
        let window = std::mem::take(&mut self.window);
        for (text, rows) in window.in_place {
            self.add(&rows, |add| each_string(&text, add))?;
        }
        // In the order of the file, so that each block is read once.
        let mut shared: Vec<(Shared, Vec<u32>)> = window.shared.into_iter().collect();
        shared.sort_unstable();
        let segment = self.segment;
        let mut pieces = segment.texts.cursor();
        for (text, rows) in shared {
            match text {
                Shared::Name(number) => {
                    let name = segment.names()?.get(number as usize);
                    let name = name.ok_or_else(|| segment.rows.corrupt("no such name"))?;
                    self.add(&rows, |add| each_string(name, add))?;
                }
                Shared::Piece(number) => {
                    let entry = pieces.get(number)?;
                    match scan::piece(segment, &entry)? {
                        (TextKind::Json, text) => {
                            self.add(&rows, |add| json::each_value(text, add))?;
                        }
                        (TextKind::Plain | TextKind::Binary, text) => {
                            self.add(&rows, |add| add(text))?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds a document of the strings that `each` gives, if there is a word in them.
    fn add(
        &mut self,
        rows: &[u32],
        each: impl FnOnce(&mut dyn FnMut(&str) -> bool) -> bool,
    ) -> Result<(), SegmentError> {
        let mut document = TantivyDocument::default();
        each(&mut |text| {
            if text.contains(char::is_alphanumeric) {
                document.add_text(self.field, text);
            }
            true
        });
        if document.len() == 0 { Ok(()) } else { self.add_document(document, rows) }
    }

    fn add_document(
        &mut self,
        document: TantivyDocument,
        rows: &[u32],
    ) -> Result<(), SegmentError> {
        let number = self.postings.push(&posting(rows))?;
        let part = match &mut self.part {
            Some(part) => part,
            none => {
                let dir = self.dir.join(self.first_documents.len().to_string());
                std::fs::create_dir(&dir).map_err(SegmentError::io(&dir))?;
                self.first_documents.push(number);
                none.insert(new_part(&dir).map_err(SegmentError::text(&dir))?)
            }
        };
        part.add_document(document).map_err(SegmentError::text(&self.dir))?;
        if part.mem_usage() >= PART_BYTES {
            self.end_part()?;
        }
        Ok(())
    }

    fn end_part(&mut self) -> Result<(), SegmentError> {
        if let Some(part) = self.part.take() {
            part.finalize().map_err(SegmentError::text(&self.dir))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), SegmentError> {
        self.end_window()?;
        self.end_part()?;
        let postings = self.postings.finish()?;
        let parts = Parts { first_documents: self.first_documents, postings };
        let path = self.dir.join(PARTS);
        let json = serde_json::to_vec(&parts).map_err(std::io::Error::from);
        let written = json.and_then(|json| std::fs::write(&path, json));
        written.map_err(SegmentError::io(&path))?;
        sync_tree(&self.dir)
    }
}

/// Makes all files of a folder durable.
fn sync_tree(dir: &Path) -> Result<(), SegmentError> {
    for entry in std::fs::read_dir(dir).map_err(SegmentError::io(dir))? {
        let path = entry.map_err(SegmentError::io(dir))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            let synced = std::fs::File::open(&path).and_then(|file| file.sync_all());
            synced.map_err(SegmentError::io(&path))?;
        }
    }
    sync_dir(dir)
}

fn schema() -> (Schema, Field) {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions)
        .set_fieldnorms(false);
    let mut schema = Schema::builder();
    let field = schema.add_text_field(FIELD, TextOptions::default().set_indexing_options(indexing));
    (schema.build(), field)
}

fn new_part(dir: &Path) -> Result<SingleSegmentIndexWriter, TantivyError> {
    let tokenizers = TokenizerManager::new();
    tokenizers.register(TOKENIZER, WordTokenizer);
    let settings = IndexSettings {
        docstore_compression: Compressor::None,
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    };
    let directory = tantivy::directory::MmapDirectory::open(dir)?;
    Index::builder()
        .schema(schema().0)
        .tokenizers(tokenizers)
        .settings(settings)
        .single_segment_index_writer(directory, PART_BYTES)
}

/// Rows, ascending, as differences.
fn posting(rows: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() + 4);
    let mut last = 0;
    for &row in rows {
        put_varint(&mut out, u64::from(row - last));
        last = row;
    }
    out
}

fn read_rows(posting: &[u8], rows: &mut Vec<u32>) -> Result<(), Malformed> {
    let mut reader = Reader::new(posting);
    let mut row = 0u32;
    while reader.remaining() > 0 {
        row = row.checked_add(reader.u32()?).ok_or(Malformed("row number too large"))?;
        rows.push(row);
    }
    Ok(())
}

/// [`next_word`] in the shape that the index wants.
#[derive(Clone)]
struct WordTokenizer;

struct Words<'t> {
    rest: &'t str,
    token: Token,
}

impl Tokenizer for WordTokenizer {
    type TokenStream<'t> = Words<'t>;

    fn token_stream<'t>(&'t mut self, text: &'t str) -> Words<'t> {
        // `Token::default` has the position before the first one.
        Words { rest: text, token: Token::default() }
    }
}

impl TokenStream for Words<'_> {
    fn advance(&mut self) -> bool {
        self.token.position = self.token.position.wrapping_add(1);
        next_word(&mut self.rest, &mut self.token.text)
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}
