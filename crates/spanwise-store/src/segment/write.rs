//! Writes segments: sealing sorts spans that are in memory, merging streams.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use spanwise_model::{RowRole, SpanId, StoredSpan, TraceId};

use super::blocks::FileWriter;
use super::columns::{ColumnWriter, RowInfo};
use super::fields::{self, FieldCatalog, FieldCounter};
use super::hash::Map;
use super::row::{Encoded, Encoder};
use super::traces::TraceWriter;
use super::{FORMAT_VERSION, Meta, SegmentError, WriteOptions};

/// Where a row belongs among the rows of a segment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SortKey {
    /// Earliest start of a row of the trace within this segment.
    pub trace_start: u64,
    pub project: Arc<str>,
    pub trace_id: TraceId,
    pub start: u64,
    pub span_id: SpanId,
    pub role: u8,
}

impl SortKey {
    pub(super) fn new(trace_start: u64, stored: &StoredSpan) -> Self {
        SortKey {
            trace_start,
            project: stored.project.clone(),
            trace_id: stored.span.trace_id,
            start: stored.span.start_time_unix_nano,
            span_id: stored.span.span_id,
            role: stored.role as u8,
        }
    }
}

/// Writes `spans`, in any order, as a segment into `dir`, which must not exist yet. Files and
/// folder are synced when this returns.
pub fn write(
    dir: &Path,
    spans: &[Arc<StoredSpan>],
    options: &WriteOptions,
) -> Result<Meta, SegmentError> {
    u32::try_from(spans.len()).map_err(|_| SegmentError::TooLarge("rows"))?;
    let mut counter = FieldCounter::new(spans.len());
    for stored in spans {
        counter.count(stored);
    }
    let mut writer = SegmentWriter::create(dir, counter.finish(), spans.len(), options, true)?;
    let order = sorted(spans);
    let same_trace = |a: &&StoredSpan, b: &&StoredSpan| {
        a.span.trace_id == b.span.trace_id && a.project == b.project
    };
    for trace in order.chunk_by(same_trace) {
        for stored in trace {
            writer.push(stored)?;
        }
        writer.end_trace(trace.iter().copied())?;
    }
    writer.finish()
}

/// The spans in the order of a segment's rows.
fn sorted(spans: &[Arc<StoredSpan>]) -> Vec<&StoredSpan> {
    let mut starts: Map<(TraceId, &str), u64> = Map::default();
    for stored in spans {
        let start = stored.span.start_time_unix_nano;
        starts
            .entry((stored.span.trace_id, &stored.project))
            .and_modify(|known| *known = start.min(*known))
            .or_insert(start);
    }
    let mut order: Vec<(SortKey, &StoredSpan)> = spans
        .iter()
        .map(|stored| {
            let trace_start = starts[&(stored.span.trace_id, &*stored.project)];
            (SortKey::new(trace_start, stored), &**stored)
        })
        .collect();
    // Stable: of two spans with one id, the one that came first stays first.
    order.sort_by(|(a, _), (b, _)| a.cmp(b));
    order.into_iter().map(|(_, stored)| stored).collect()
}

/// Writes the files of a segment, row by row in order.
pub(super) struct SegmentWriter {
    dir: PathBuf,
    rows: Encoder,
    columns: ColumnWriter,
    traces: TraceWriter,
    fields: FieldCatalog,
    meta: Meta,
    /// The first row of the open trace.
    trace_row: u32,
}

impl SegmentWriter {
    /// `fields` is what the rows have, or a little more; `keep_texts` says that the spans stay in
    /// memory until the end.
    pub(super) fn create(
        dir: &Path,
        fields: FieldCatalog,
        n_rows: usize,
        options: &WriteOptions,
        keep_texts: bool,
    ) -> Result<Self, SegmentError> {
        std::fs::create_dir(dir).map_err(SegmentError::io(dir))?;
        let level = options.zstd_level;
        let mut rows = Encoder::create(dir, level, keep_texts)?;
        let shredded = fields.shredded(n_rows);
        let numbers: Vec<_> = shredded.iter().map(|column| rows.name(&column.key)).collect();
        Ok(SegmentWriter {
            dir: dir.to_owned(),
            rows,
            columns: ColumnWriter::create(dir, level, &shredded, &numbers)?,
            traces: TraceWriter::create(dir, level)?,
            meta: Meta {
                format: FORMAT_VERSION,
                level: options.level,
                n_rows: 0,
                n_spans: 0,
                n_traces: 0,
                min_start: u64::MAX,
                max_start: 0,
                max_end: 0,
                max_received: 0,
                bytes: 0,
                keeps_running: false,
                projects: fields.projects.keys().cloned().collect(),
                row_groups: Vec::new(),
                files: Vec::new(),
            },
            fields,
            trace_row: 0,
        })
    }

    /// Appends a row of the open trace.
    pub(super) fn push(&mut self, stored: &StoredSpan) -> Result<(), SegmentError> {
        let Encoded { resource, keys } = self.rows.push(stored)?;
        let row = RowInfo { trace: self.traces.len(), resource, keys };
        self.columns.push(stored, row)?;
        let meta = &mut self.meta;
        meta.n_rows = meta.n_rows.checked_add(1).ok_or(SegmentError::TooLarge("rows"))?;
        meta.n_spans += u32::from(stored.role == RowRole::Span);
        meta.min_start = meta.min_start.min(stored.span.start_time_unix_nano);
        meta.max_start = meta.max_start.max(stored.span.start_time_unix_nano);
        meta.max_end = meta.max_end.max(stored.span.end_time_unix_nano);
        meta.max_received = meta.max_received.max(stored.received_unix_nano);
        Ok(())
    }

    /// Ends the open trace, whose rows were these; the next row begins another one.
    pub(super) fn end_trace<'a>(
        &mut self,
        rows: impl Iterator<Item = &'a StoredSpan> + Clone,
    ) -> Result<(), SegmentError> {
        let Some(first) = rows.clone().next() else { return Ok(()) };
        let projects = &mut self.meta.projects;
        let project = projects.binary_search(&first.project).unwrap_or_default();
        self.traces.push(self.trace_row, project, rows)?;
        self.trace_row = self.meta.n_rows;
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Meta, SegmentError> {
        let mut meta = self.meta;
        meta.n_traces = self.traces.len();
        meta.files = self.rows.finish()?;
        let (file, row_groups) = self.columns.finish()?;
        meta.row_groups = row_groups;
        meta.files.push(file);
        meta.files.extend(self.traces.finish()?);
        let mut fields = FileWriter::create(&self.dir, fields::FILE)?;
        let json = serde_json::to_vec(&self.fields).map_err(std::io::Error::from);
        fields.put(&json.map_err(SegmentError::io(&self.dir))?)?;
        meta.files.push(fields.finish()?);
        meta.bytes = meta.files.iter().map(|file| file.bytes).sum();
        sync_dir(&self.dir)?;
        if let Some(parent) = self.dir.parent() {
            sync_dir(parent)?;
        }
        Ok(meta)
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), SegmentError> {
    std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(SegmentError::io(dir))
}
