//! Reading a segment.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::UInt8Type;
use spanwise_model::summary::TraceSummary;
use spanwise_model::{RowRole, SpanId, StoredSpan, Str, TraceId, Value};
use xxhash_rust::xxh3::Xxh3Default;

use super::blocks::BlockFile;
use super::columns::{self, AttributeBuilder};
use super::fields::{self, FieldCatalog};
use super::row::{Decoder, RowView, Scalar};
use super::scan::ColumnReader;
use super::schema::{self, ScalarType};
use super::traces::{self, Entry, TraceIndex, TraceTable};
use super::{
    AttributeColumns, FORMAT_VERSION, FileMeta, Meta, Rows, SegmentError, TraceColumn, names,
};
use crate::query::Detail;

/// An open segment: cheap to hold, read by positional reads from any thread.
#[derive(Debug)]
pub struct Segment {
    dir: PathBuf,
    meta: Meta,
    pub(super) rows: BlockFile,
    pub(super) texts: BlockFile,
    names_file: BlockFile,
    names: OnceLock<Vec<Str>>,
    resources: BlockFile,
    scopes: BlockFile,
    trace_index: TraceIndex,
    pub(super) traces: TraceTable,
    columns: ColumnReader,
    fields: OnceLock<Arc<FieldCatalog>>,
    pub(super) text_index: OnceLock<super::text::TextIndex>,
}

impl Segment {
    /// Opens a segment that [`write`](super::write) or [`merge`](super::merge) wrote: checks
    /// sizes and reads nothing else yet.
    pub fn open(dir: &Path, meta: Meta) -> Result<Segment, SegmentError> {
        if meta.format != FORMAT_VERSION {
            return Err(SegmentError::Format(meta.format));
        }
        let file = |name: &str| file_meta(dir, &meta, name);
        let blocks = |name: &str| BlockFile::open(dir, file(name)?);
        let traces = TraceTable::new(
            blocks(traces::COLUMNS_FILE)?,
            blocks(traces::SUMMARIES_FILE)?,
            meta.n_traces,
        );
        Ok(Segment {
            rows: blocks("rows.bin")?,
            texts: blocks("texts.bin")?,
            names_file: blocks("names.bin")?,
            names: OnceLock::new(),
            resources: blocks("resources.bin")?,
            scopes: blocks("scopes.bin")?,
            trace_index: TraceIndex::open(dir, file(traces::INDEX_FILE)?, meta.n_traces)?,
            traces,
            columns: ColumnReader::open(dir, file(columns::FILE)?)?,
            fields: OnceLock::new(),
            text_index: OnceLock::new(),
            dir: dir.to_owned(),
            meta,
        })
    }

    /// What the catalog keeps of it.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads all files and compares their checksums.
    pub fn verify(&self) -> Result<(), SegmentError> {
        let mut buffer = vec![0; 256 << 10];
        for meta in &self.meta.files {
            let path = self.dir.join(&meta.name);
            let mut file = File::open(&path).map_err(SegmentError::io(&path))?;
            let mut hash = Box::<Xxh3Default>::default();
            loop {
                let n_bytes = file.read(&mut buffer).map_err(SegmentError::io(&path))?;
                if n_bytes == 0 {
                    break;
                }
                hash.update(&buffer[..n_bytes]);
            }
            if hash.digest() != meta.xxh3 {
                return Err(SegmentError::Corrupt { path, reason: "wrong checksum".into() });
            }
        }
        Ok(())
    }

    /// The spans and log records of a trace by start; empty if it is not in this segment.
    pub fn trace(
        &self,
        project: &str,
        id: TraceId,
        detail: Detail,
    ) -> Result<Vec<StoredSpan>, SegmentError> {
        let mut decoder = self.decoder()?;
        match self.find_trace(&mut decoder, project, id)? {
            Some(entry) => entry.rows().map(|row| decoder.span(row, detail)).collect(),
            None => Ok(Vec::new()),
        }
    }

    /// The ordinal of a trace, if it is in this segment.
    pub fn trace_ordinal(&self, project: &str, id: TraceId) -> Result<Option<u32>, SegmentError> {
        let entry = self.find_trace(&mut self.decoder()?, project, id)?;
        Ok(entry.map(|entry| entry.ordinal))
    }

    /// Whether a span with these ids is in this segment.
    pub fn has_span(
        &self,
        project: &str,
        trace_id: TraceId,
        span_id: SpanId,
    ) -> Result<bool, SegmentError> {
        let Some(entry) = self.find_trace(&mut self.decoder()?, project, trace_id)? else {
            return Ok(false);
        };
        let batch = self.columns(Rows::Range(entry.rows()), &[schema::SPAN_ID, schema::ROLE])?;
        let ids = batch.column_by_name(schema::SPAN_ID).and_then(|c| c.as_fixed_size_binary_opt());
        let roles = batch.column_by_name(schema::ROLE);
        let roles = roles.and_then(|roles| roles.as_primitive_opt::<UInt8Type>());
        let (Some(ids), Some(roles)) = (ids, roles) else {
            return Err(self.rows.corrupt("ids or roles are missing"));
        };
        let is_it = |(id, role): (Option<&[u8]>, &u8)| {
            id == Some(span_id.as_bytes()) && *role == RowRole::Span as u8
        };
        Ok(ids.iter().zip(roles.values()).any(is_it))
    }

    fn find_trace(
        &self,
        decoder: &mut Decoder<'_>,
        project: &str,
        id: TraceId,
    ) -> Result<Option<Entry>, SegmentError> {
        for entry in self.trace_index.find(project, id)? {
            let first = decoder.span(entry.first_row, Detail::Outline)?;
            if first.span.trace_id == id && *first.project == *project {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// One number per trace, by ordinal. Kept in memory after the first use where small.
    pub fn trace_column(&self, column: TraceColumn) -> Result<Arc<[i64]>, SegmentError> {
        self.traces.column(column)
    }

    /// The hash ([`trace_hash`](super::trace_hash)) of every trace, by ordinal.
    pub fn trace_hashes(&self) -> Result<Vec<u64>, SegmentError> {
        self.trace_index.hashes()
    }

    /// The rows of the trace with this ordinal.
    pub fn trace_rows(&self, ordinal: u32) -> Result<Range<u32>, SegmentError> {
        let first_rows = self.trace_column(TraceColumn::FirstRow)?;
        let row = |ordinal: usize| first_rows.get(ordinal).map(|&row| row as u32);
        match row(ordinal as usize) {
            Some(first) => Ok(first..row(ordinal as usize + 1).unwrap_or(self.meta.n_rows)),
            None => Err(self.rows.corrupt(format!("no trace {ordinal}"))),
        }
    }

    /// The summaries of traces as this segment knows them, by ordinal, in the order asked.
    pub fn summaries(&self, ordinals: &[u32]) -> Result<Vec<TraceSummary>, SegmentError> {
        self.traces.summaries(ordinals)
    }

    /// The spans of some rows, in order. Their strings are slices of larger blocks: copy those
    /// that are to live long.
    #[expect(clippy::needless_pass_by_value, reason = "callers make it in place")]
    pub fn stored_spans(
        &self,
        rows: Rows<'_>,
        detail: Detail,
    ) -> Result<Vec<StoredSpan>, SegmentError> {
        let mut decoder = self.decoder()?;
        rows.iter().map(|row| decoder.span(row, detail)).collect()
    }

    pub(super) fn decoder(&self) -> Result<Decoder<'_>, SegmentError> {
        let names = self.names()?;
        Ok(Decoder::new(&self.rows, names, &self.texts, &self.resources, &self.scopes))
    }

    pub(super) fn names(&self) -> Result<&[Str], SegmentError> {
        if let Some(names) = self.names.get() {
            return Ok(names);
        }
        let names = names::read(&self.names_file)?;
        Ok(self.names.get_or_init(|| names))
    }

    /// Some columns of some rows; a column this segment lacks is absent from the batch.
    #[expect(clippy::needless_pass_by_value, reason = "callers make it in place")]
    pub fn columns(&self, rows: Rows<'_>, columns: &[&str]) -> Result<RecordBatch, SegmentError> {
        self.columns.read(&self.meta.row_groups, &rows, columns)
    }

    /// Whether `spans.parquet` has this column.
    pub fn has_column(&self, name: &str) -> Result<bool, SegmentError> {
        self.columns.has(name)
    }

    /// The values of a span attribute over some rows, whether shredded into columns or not. Only
    /// strings, numbers and booleans; all `None` when no span of the segment has the key.
    pub fn attribute(&self, key: &str, rows: Rows<'_>) -> Result<AttributeColumns, SegmentError> {
        let types = self.fields()?.types(key);
        let is_shredded = |types: &[ScalarType]| -> Result<bool, SegmentError> {
            for value_type in types {
                if !self.has_column(&value_type.column(key))? {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        match types {
            Some(types) if is_shredded(&types)? => self.shredded_attribute(key, rows, &types),
            _ => self.scanned_attribute(key, &rows),
        }
    }

    fn shredded_attribute(
        &self,
        key: &str,
        rows: Rows<'_>,
        types: &[ScalarType],
    ) -> Result<AttributeColumns, SegmentError> {
        let mut columns = AttributeColumns::default();
        if types.is_empty() {
            return Ok(columns);
        }
        let names: Vec<String> = types.iter().map(|value_type| value_type.column(key)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let batch = self.columns(rows, &names)?;
        for (&value_type, name) in types.iter().zip(names) {
            columns.set(value_type, batch.column_by_name(name).cloned());
        }
        Ok(columns)
    }

    fn scanned_attribute(
        &self,
        key: &str,
        rows: &Rows<'_>,
    ) -> Result<AttributeColumns, SegmentError> {
        let number = self.names()?.iter().position(|name| name == key).map(|at| at as u32);
        let mut decoder = self.decoder()?;
        let mut cursor = self.rows.cursor();
        let mut builders: [Option<AttributeBuilder>; 4] = Default::default();
        for (at, row) in rows.iter().enumerate() {
            let bytes = cursor.get(row)?;
            let scalar = RowView::new(&bytes).and_then(|view| view.attribute(key, number));
            let value = match scalar.map_err(|malformed| self.rows.corrupt(malformed))? {
                Some(Scalar::Text(text)) => Value::from(Str::from(text)),
                Some(Scalar::Pieces(pieces)) => Value::from(decoder.joined(&pieces)?),
                Some(Scalar::Int(number)) => Value::Int(number),
                Some(Scalar::Double(number)) => Value::Double(number),
                Some(Scalar::Bool(truth)) => Value::Bool(truth),
                Some(Scalar::Other) | None => continue,
            };
            let Some(value_type) = ScalarType::of(&value) else { continue };
            builders[value_type as usize]
                .get_or_insert_with(|| AttributeBuilder::new(value_type))
                .push(at, &value);
        }
        let mut columns = AttributeColumns::default();
        for (value_type, builder) in ScalarType::ALL.into_iter().zip(builders) {
            columns.set(value_type, builder.map(|mut builder| builder.finish(rows.len())));
        }
        Ok(columns)
    }

    /// The value of a resource attribute for each ordinal of [`RESOURCE`](super::schema::RESOURCE).
    pub fn resource_attribute(&self, key: &str) -> Result<Vec<Option<Value>>, SegmentError> {
        let mut decoder = self.decoder()?;
        (0..self.resources.len()?)
            .map(|number| Ok(decoder.resource(number)?.attributes.get(key).cloned()))
            .collect()
    }

    /// Which attributes its spans have.
    pub fn fields(&self) -> Result<Arc<FieldCatalog>, SegmentError> {
        if let Some(fields) = self.fields.get() {
            return Ok(fields.clone());
        }
        let path = self.dir.join(fields::FILE);
        let json = std::fs::read(&path).map_err(SegmentError::io(&path))?;
        let fields: FieldCatalog = serde_json::from_slice(&json)
            .map_err(|error| SegmentError::Corrupt { path, reason: error.to_string() })?;
        Ok(self.fields.get_or_init(|| Arc::new(fields)).clone())
    }
}

fn file_meta<'m>(dir: &Path, meta: &'m Meta, name: &str) -> Result<&'m FileMeta, SegmentError> {
    let found = meta.files.iter().find(|file| file.name == name);
    found.ok_or_else(|| SegmentError::Corrupt {
        path: dir.to_owned(),
        reason: format!("the catalog names no {name}"),
    })
}

impl AttributeColumns {
    fn set(&mut self, value_type: ScalarType, column: Option<ArrayRef>) {
        match value_type {
            ScalarType::String => self.strings = column,
            ScalarType::Int => self.ints = column,
            ScalarType::Double => self.doubles = column,
            ScalarType::Bool => self.bools = column,
        }
    }
}
