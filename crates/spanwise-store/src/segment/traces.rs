//! The traces of a segment: their order, their rows, their summaries.
//!
//! `traces.bin` has one entry per [`TraceColumn`], 8 bytes a trace. `summaries.bin` has one entry
//! per trace. `traces.idx` is sorted by the hash of project and trace id, in pages of
//! [`PAGE_RECORDS`] records (the last one may have fewer), each followed by its xxh3-64; the hash
//! of a trace tells near which page to look.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use spanwise_model::summary::{SpanBrief, TraceSummary, summarize};
use spanwise_model::{SpanId, StoredSpan, Str, TraceId};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::blocks::{BlockFile, BlockWriter, FileWriter};
use super::varint::{Malformed, Reader, put_bytes, put_signed, put_varint};
use super::{FileMeta, SegmentError, TraceColumn};

pub(super) const INDEX_FILE: &str = "traces.idx";
pub(super) const COLUMNS_FILE: &str = "traces.bin";
pub(super) const SUMMARIES_FILE: &str = "summaries.bin";

const MAGIC: [u8; 8] = *b"SWTRACE2";
/// Hash, ordinal, first row, rows.
const RECORD_BYTES: usize = 20;
/// Records that are read and checked at once.
const PAGE_RECORDS: u64 = 256;
const CHECKSUM_BYTES: usize = 8;
/// Columns of segments with at most this many traces are kept in memory after the first use.
const MAX_CACHED_TRACES: usize = 1 << 16;

const COLUMNS: [TraceColumn; 6] = [
    TraceColumn::Start,
    TraceColumn::Duration,
    TraceColumn::Cost,
    TraceColumn::Tokens,
    TraceColumn::FirstRow,
    TraceColumn::Project,
];

/// Where a trace is looked for.
pub fn trace_hash(project: &str, id: TraceId) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(id.as_bytes());
    hash.update(project.as_bytes());
    hash.digest()
}

/// One trace in `traces.idx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    hash: u64,
    pub ordinal: u32,
    pub first_row: u32,
    pub n_rows: u32,
}

impl Entry {
    pub(super) fn rows(&self) -> Range<u32> {
        self.first_row..self.first_row.saturating_add(self.n_rows)
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.hash.to_le_bytes());
        for number in [self.ordinal, self.first_row, self.n_rows] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        Ok(Entry {
            hash: u64::from_le_bytes(reader.array()?),
            ordinal: u32::from_le_bytes(reader.array()?),
            first_row: u32::from_le_bytes(reader.array()?),
            n_rows: u32::from_le_bytes(reader.array()?),
        })
    }
}

/// Collects the traces while rows are written.
pub(super) struct TraceWriter {
    index: FileWriter,
    columns_file: BlockWriter,
    summaries: BlockWriter,
    entries: Vec<Entry>,
    columns: [Vec<i64>; COLUMNS.len()],
    entry: Vec<u8>,
}

impl TraceWriter {
    pub(super) fn create(dir: &Path, level: i32) -> Result<Self, SegmentError> {
        Ok(TraceWriter {
            index: FileWriter::create(dir, INDEX_FILE)?,
            columns_file: BlockWriter::create(dir, COLUMNS_FILE, level)?,
            summaries: BlockWriter::create(dir, SUMMARIES_FILE, level)?,
            entries: Vec::new(),
            columns: Default::default(),
            entry: Vec::new(),
        })
    }

    /// How many traces there are: the ordinal of the next one.
    pub(super) fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Appends a trace: all its rows, which begin at `first_row`.
    pub(super) fn push<'a>(
        &mut self,
        first_row: u32,
        project: usize,
        rows: impl Iterator<Item = &'a StoredSpan> + Clone,
    ) -> Result<(), SegmentError> {
        let Some(first) = rows.clone().next() else { return Ok(()) };
        let briefs: Vec<SpanBrief<'_>> = rows.map(SpanBrief::from).collect();
        let n_rows = briefs.len() as u32;
        let trace_id = first.span.trace_id;
        // The order is that of the rows, log records included; a summary is of the spans.
        let start = first.span.start_time_unix_nano;
        let summary = summarize(first.project.clone(), trace_id, &briefs);
        let known = |number: Option<u64>| number.map_or(i64::MIN, saturate);
        let tokens = match (summary.input_tokens, summary.output_tokens) {
            (None, None) => summary.total_tokens,
            (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
        };
        let values = [
            start as i64,
            saturate(summary.duration_ns()),
            summary.cost_nano_usd.unwrap_or(i64::MIN),
            known(tokens),
            i64::from(first_row),
            project as i64,
        ];
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(value);
        }
        let hash = trace_hash(&first.project, trace_id);
        self.entries.push(Entry { hash, ordinal: self.len(), first_row, n_rows });
        self.entry.clear();
        put_summary(&mut self.entry, &summary);
        self.summaries.push(&self.entry)?;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Vec<FileMeta>, SegmentError> {
        for column in &self.columns {
            let bytes: Vec<u8> = column.iter().flat_map(|value| value.to_le_bytes()).collect();
            self.columns_file.push(&bytes)?;
        }
        self.entries.sort_unstable();
        self.index.put(&MAGIC)?;
        let mut page = Vec::with_capacity(PAGE_RECORDS as usize * RECORD_BYTES + CHECKSUM_BYTES);
        for entries in self.entries.chunks(PAGE_RECORDS as usize) {
            page.clear();
            for entry in entries {
                entry.put(&mut page);
            }
            let checksum = xxh3_64(&page);
            page.extend_from_slice(&checksum.to_le_bytes());
            self.index.put(&page)?;
        }
        Ok(vec![self.index.finish()?, self.columns_file.finish()?, self.summaries.finish()?])
    }
}

fn saturate(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Finds traces by id.
#[derive(Debug)]
pub(super) struct TraceIndex {
    path: PathBuf,
    file: File,
    n_entries: u64,
}

impl TraceIndex {
    pub(super) fn open(dir: &Path, meta: &FileMeta, n_traces: u32) -> Result<Self, SegmentError> {
        let path = dir.join(&meta.name);
        let file = File::open(&path).map_err(SegmentError::io(&path))?;
        let bytes = file.metadata().map_err(SegmentError::io(&path))?.len();
        let n_entries = u64::from(n_traces);
        let n_pages = n_entries.div_ceil(PAGE_RECORDS);
        let expected =
            MAGIC.len() as u64 + n_entries * RECORD_BYTES as u64 + n_pages * CHECKSUM_BYTES as u64;
        let mut magic = [0; MAGIC.len()];
        let whole = bytes == meta.bytes
            && bytes == expected
            && file.read_exact_at(&mut magic, 0).is_ok()
            && magic == MAGIC;
        if !whole {
            return Err(SegmentError::Corrupt { path, reason: "not a whole index".into() });
        }
        Ok(TraceIndex { path, file, n_entries })
    }

    /// The entries that may be this trace's: usually one or none. Who reads its rows finds out.
    pub(super) fn find(&self, project: &str, id: TraceId) -> Result<Vec<Entry>, SegmentError> {
        let hash = trace_hash(project, id);
        let n_pages = self.n_entries.div_ceil(PAGE_RECORDS);
        let guess = (u128::from(hash) * u128::from(self.n_entries)) >> 64;
        let mut page = guess as u64 / PAGE_RECORDS;
        let mut entries = self.page(page)?;
        while page > 0 && entries.first().is_none_or(|first| first.hash >= hash) {
            page -= 1;
            entries = self.page(page)?;
        }
        let mut found = Vec::new();
        loop {
            found.extend(entries.iter().filter(|entry| entry.hash == hash));
            page += 1;
            if page >= n_pages || entries.last().is_none_or(|last| last.hash > hash) {
                return Ok(found);
            }
            entries = self.page(page)?;
        }
    }

    /// The hashes of all traces, by ordinal.
    pub(super) fn hashes(&self) -> Result<Vec<u64>, SegmentError> {
        let mut hashes = vec![0; self.n_entries as usize];
        for page in 0..self.n_entries.div_ceil(PAGE_RECORDS) {
            for entry in self.page(page)? {
                match hashes.get_mut(entry.ordinal as usize) {
                    Some(hash) => *hash = entry.hash,
                    None => return Err(self.corrupt(format!("no trace {}", entry.ordinal))),
                }
            }
        }
        Ok(hashes)
    }

    fn page(&self, number: u64) -> Result<Vec<Entry>, SegmentError> {
        let first = number * PAGE_RECORDS;
        let n_records = PAGE_RECORDS.min(self.n_entries.saturating_sub(first)) as usize;
        if n_records == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; n_records * RECORD_BYTES + CHECKSUM_BYTES];
        let page_bytes = PAGE_RECORDS * RECORD_BYTES as u64 + CHECKSUM_BYTES as u64;
        let offset = MAGIC.len() as u64 + number * page_bytes;
        self.file.read_exact_at(&mut bytes, offset).map_err(SegmentError::io(&self.path))?;
        let (records, checksum) = bytes.split_at(n_records * RECORD_BYTES);
        if xxh3_64(records).to_le_bytes() != checksum {
            return Err(self.corrupt(format!("wrong checksum of the page at {offset}")));
        }
        let entries: Result<_, Malformed> =
            records.chunks_exact(RECORD_BYTES).map(Entry::read).collect();
        entries.map_err(|malformed| self.corrupt(malformed.to_string()))
    }

    fn corrupt(&self, reason: String) -> SegmentError {
        SegmentError::Corrupt { path: self.path.clone(), reason }
    }
}

/// Reads the columns and summaries of the traces.
#[derive(Debug)]
pub(super) struct TraceTable {
    columns: BlockFile,
    summaries: BlockFile,
    n_traces: usize,
    cache: [OnceLock<Arc<[i64]>>; COLUMNS.len()],
}

impl TraceTable {
    pub(super) fn new(columns: BlockFile, summaries: BlockFile, n_traces: u32) -> Self {
        TraceTable { columns, summaries, n_traces: n_traces as usize, cache: Default::default() }
    }

    pub(super) fn column(&self, column: TraceColumn) -> Result<Arc<[i64]>, SegmentError> {
        let at = COLUMNS.iter().position(|&known| known == column).unwrap_or_default();
        if let Some(values) = self.cache[at].get() {
            return Ok(values.clone());
        }
        let numbers = self.numbers(column)?;
        let values: Arc<[i64]> = match column {
            TraceColumn::Start => numbers.map(saturate).collect(),
            _ => numbers.map(|number| number as i64).collect(),
        };
        if self.n_traces <= MAX_CACHED_TRACES {
            return Ok(self.cache[at].get_or_init(|| values).clone());
        }
        Ok(values)
    }

    /// The numbers of a column as they were written: starts are not cut at `i64::MAX`.
    pub(super) fn numbers(
        &self,
        column: TraceColumn,
    ) -> Result<impl Iterator<Item = u64> + use<>, SegmentError> {
        let at = COLUMNS.iter().position(|&known| known == column).unwrap_or_default();
        let bytes = self.columns.cursor().get(at as u32)?;
        if bytes.len() != self.n_traces * 8 {
            return Err(self.columns.corrupt("a column has the wrong length"));
        }
        let number = move |n| bytes[8 * n..8 * n + 8].try_into().map_or(0, u64::from_le_bytes);
        Ok((0..self.n_traces).map(number))
    }

    pub(super) fn summaries(&self, ordinals: &[u32]) -> Result<Vec<TraceSummary>, SegmentError> {
        let mut cursor = self.summaries.cursor();
        ordinals
            .iter()
            .map(|&ordinal| {
                let entry = cursor.get(ordinal)?;
                summary(&entry).map_err(|malformed| self.summaries.corrupt(malformed))
            })
            .collect()
    }
}

fn put_summary(out: &mut Vec<u8>, summary: &TraceSummary) {
    let put_str = |out: &mut Vec<u8>, text: &str| put_bytes(out, text.as_bytes());
    let put_list = |out: &mut Vec<u8>, list: &[Str]| {
        put_varint(out, list.len() as u64);
        for text in list {
            put_bytes(out, text.as_bytes());
        }
    };
    let put_option = |out: &mut Vec<u8>, number: Option<u64>| {
        out.push(u8::from(number.is_some()));
        put_varint(out, number.unwrap_or(0));
    };
    out.extend_from_slice(summary.trace_id.as_bytes());
    put_str(out, &summary.project);
    put_str(out, &summary.root_name);
    put_str(out, &summary.root_service);
    put_bytes(out, summary.root_span_id.as_ref().map_or(&[][..], |id| id.as_bytes()));
    put_list(out, &summary.services);
    out.extend_from_slice(&summary.start_time_unix_nano.to_le_bytes());
    out.extend_from_slice(&summary.end_time_unix_nano.to_le_bytes());
    put_varint(out, summary.span_count);
    put_varint(out, summary.error_count);
    let flags = [summary.is_error, summary.cost_complete, summary.complete];
    out.push(flags.iter().rev().fold(0, |bits, &flag| bits << 1 | u8::from(flag)));
    put_list(out, &summary.models);
    put_option(out, summary.input_tokens);
    put_option(out, summary.output_tokens);
    put_option(out, summary.total_tokens);
    out.push(u8::from(summary.cost_nano_usd.is_some()));
    put_signed(out, summary.cost_nano_usd.unwrap_or(0));
    put_str(out, &summary.session_id);
    put_str(out, &summary.user_id);
    put_str(out, &summary.workflow);
    put_list(out, &summary.agents);
    put_str(out, &summary.input_preview);
    put_str(out, &summary.output_preview);
}

fn summary(entry: &[u8]) -> Result<TraceSummary, Malformed> {
    fn text(reader: &mut Reader<'_>) -> Result<Str, Malformed> {
        Ok(Str::from(reader.str()?))
    }
    fn list(reader: &mut Reader<'_>) -> Result<Vec<Str>, Malformed> {
        (0..reader.count()?).map(|_| text(reader)).collect()
    }
    fn option(reader: &mut Reader<'_>) -> Result<Option<u64>, Malformed> {
        let is_known = reader.byte()? == 1;
        Ok(Some(reader.varint()?).filter(|_| is_known))
    }
    let reader = &mut Reader::new(entry);
    let trace_id =
        TraceId::from_bytes(reader.take(16)?).map_err(|_| Malformed("trace id is zero"))?;
    let project = Arc::from(reader.str()?);
    let (root_name, root_service) = (text(reader)?, text(reader)?);
    let root_span_id = SpanId::from_bytes(reader.bytes()?).ok();
    let services = list(reader)?;
    let start_time_unix_nano = u64::from_le_bytes(reader.array()?);
    let end_time_unix_nano = u64::from_le_bytes(reader.array()?);
    let (span_count, error_count) = (reader.varint()?, reader.varint()?);
    let flags = reader.byte()?;
    Ok(TraceSummary {
        trace_id,
        project,
        root_name,
        root_service,
        root_span_id,
        services,
        start_time_unix_nano,
        end_time_unix_nano,
        span_count,
        error_count,
        is_error: flags & 1 != 0,
        cost_complete: flags & 2 != 0,
        complete: flags & 4 != 0,
        models: list(reader)?,
        input_tokens: option(reader)?,
        output_tokens: option(reader)?,
        total_tokens: option(reader)?,
        cost_nano_usd: {
            let is_known = reader.byte()? == 1;
            Some(reader.signed()?).filter(|_| is_known)
        },
        session_id: text(reader)?,
        user_id: text(reader)?,
        workflow: text(reader)?,
        agents: list(reader)?,
        input_preview: text(reader)?,
        output_preview: text(reader)?,
    })
}
