//! Merging segments.
//!
//! A trace that begins in one input and goes on in another is one run of rows in the output, at
//! its earliest start. So the traces of all inputs are put in order first (some 40 bytes each);
//! then their rows are read trace by trace, the smallest next, and written as they come.

use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray;
use spanwise_model::{StoredSpan, TraceId};

use super::fields::FieldCatalog;
use super::row::{Decoder, fails_by_attribute, outline_attributes};
use super::write::SegmentWriter;
use super::{Meta, Rows, Segment, SegmentError, TraceColumn, WriteOptions, schema};
use crate::query::Detail;

/// Trace ids are read for this many traces at once.
const ID_BATCH: usize = 64 << 10;

/// What one input has of a trace.
#[derive(Clone, Debug)]
struct Part {
    project: Arc<str>,
    trace_id: TraceId,
    /// In the end the earliest start among all parts of the trace.
    start: u64,
    input: usize,
    first_row: u32,
    end_row: u32,
}

/// Writes the rows of `inputs` as one segment into `dir`, which must not exist yet. A row that is
/// there twice (the same but for the time it was received) is written once, and a running span not
/// at all if it has ended.
pub fn merge(
    inputs: &[Arc<Segment>],
    dir: &Path,
    options: &WriteOptions,
) -> Result<Meta, SegmentError> {
    let n_rows: u64 = inputs.iter().map(|input| u64::from(input.meta().n_rows)).sum();
    let n_rows = u32::try_from(n_rows).map_err(|_| SegmentError::TooLarge("rows"))?;
    let mut fields = FieldCatalog::default();
    for input in inputs {
        fields.add(&*input.fields()?);
    }
    let parts = parts_in_order(inputs)?;
    let mut writer = SegmentWriter::create(dir, fields, n_rows as usize, options, false)?;
    let mut decoders =
        inputs.iter().map(|input| input.decoder()).collect::<Result<Vec<_>, SegmentError>>()?;
    let same_trace = |a: &Part, b: &Part| a.trace_id == b.trace_id && a.project == b.project;
    for trace in parts.chunk_by(same_trace) {
        merge_trace(trace, &mut decoders, &mut writer)?;
    }
    writer.finish()
}

/// The parts of all traces, in the order of the output.
fn parts_in_order(inputs: &[Arc<Segment>]) -> Result<Vec<Part>, SegmentError> {
    let mut parts = Vec::new();
    for (at, input) in inputs.iter().enumerate() {
        push_parts(&mut parts, at, input)?;
    }
    parts.sort_unstable_by(|a, b| {
        (&a.project, a.trace_id, a.start).cmp(&(&b.project, b.trace_id, b.start))
    });
    let same_trace = |a: &Part, b: &Part| a.trace_id == b.trace_id && a.project == b.project;
    for trace in parts.chunk_by_mut(same_trace) {
        let start = trace[0].start;
        for part in trace {
            part.start = start;
        }
    }
    parts.sort_by(|a, b| (a.start, &a.project, a.trace_id).cmp(&(b.start, &b.project, b.trace_id)));
    Ok(parts)
}

/// The traces of one input.
fn push_parts(parts: &mut Vec<Part>, at: usize, input: &Segment) -> Result<(), SegmentError> {
    let first_rows = input.trace_column(TraceColumn::FirstRow)?;
    let mut starts = input.traces.numbers(TraceColumn::Start)?;
    let projects = input.trace_column(TraceColumn::Project)?;
    let later_rows = first_rows.iter().skip(1).map(|&row| row as u32);
    let mut end_rows = later_rows.chain([input.meta().n_rows]);
    for (batch, first_rows) in first_rows.chunks(ID_BATCH).enumerate() {
        let first_rows: Vec<u32> = first_rows.iter().map(|&row| row as u32).collect();
        let ids = input.columns(Rows::Sorted(&first_rows), &[schema::TRACE_ID])?;
        let ids = ids.column(0).as_fixed_size_binary();
        for (id, (n, &first_row)) in ids.iter().zip(first_rows.iter().enumerate()) {
            let ordinal = batch * ID_BATCH + n;
            let trace_id = TraceId::from_bytes(id.unwrap_or_default())
                .map_err(|error| input.rows.corrupt(format!("trace id {error}")))?;
            let project = input.meta().projects.get(projects[ordinal] as usize);
            parts.push(Part {
                project: project.cloned().ok_or_else(|| input.rows.corrupt("no such project"))?,
                trace_id,
                start: starts.next().unwrap_or_default(),
                input: at,
                first_row,
                end_row: end_rows.next().unwrap_or(first_row),
            });
        }
    }
    Ok(())
}

/// The rows of one part, with the next one decoded.
struct Head {
    input: usize,
    next: StoredSpan,
    rows: std::ops::Range<u32>,
}

fn merge_trace(
    parts: &[Part],
    decoders: &mut [Decoder<'_>],
    writer: &mut SegmentWriter,
) -> Result<(), SegmentError> {
    let mut heads = Vec::with_capacity(parts.len());
    for part in parts {
        let mut rows = part.first_row..part.end_row;
        if let Some(row) = rows.next() {
            let next = decoders[part.input].span(row, Detail::Full)?;
            heads.push(Head { input: part.input, next, rows });
        }
    }
    let mut written: Vec<StoredSpan> = Vec::new();
    // The rows from here on have one and the same place in the order; those before are only
    // needed for the summary.
    let mut same_place = 0;
    while let Some(at) = smallest(&heads) {
        let head = &mut heads[at];
        let stored = match head.rows.next() {
            Some(row) => {
                let next = decoders[head.input].span(row, Detail::Full)?;
                std::mem::replace(&mut head.next, next)
            }
            None => heads.swap_remove(at).next,
        };
        if written.last().is_some_and(|last| place(last) != place(&stored)) {
            written[same_place..].iter_mut().for_each(strip);
            same_place = written.len();
        }
        if written[same_place..].iter().any(|known| is_same(known, &stored) || stored.is_running())
        {
            continue;
        }
        writer.push(&stored)?;
        written.push(stored);
    }
    writer.end_trace(written.iter())
}

/// Which head's row comes next; of equal ones the one that has ended, of the first input.
fn smallest(heads: &[Head]) -> Option<usize> {
    let order = |head: &Head| (place(&head.next), head.next.is_running(), head.input);
    (0..heads.len()).min_by_key(|&at| order(&heads[at]))
}

/// Where a row belongs among the rows of its trace.
fn place(stored: &StoredSpan) -> (u64, spanwise_model::SpanId, u8) {
    (stored.span.start_time_unix_nano, stored.span.span_id, stored.role as u8)
}

/// Whether two rows with one place differ at most in when they were received.
fn is_same(a: &StoredSpan, b: &StoredSpan) -> bool {
    a.span == b.span && a.facts == b.facts && a.warnings == b.warnings
}

/// Drops what the summary of a trace does not need, so that long traces take little memory.
fn strip(stored: &mut StoredSpan) {
    stored.span.attributes = outline_attributes(fails_by_attribute(&stored.span));
    stored.span.events = Vec::new();
    stored.span.links = Vec::new();
}
