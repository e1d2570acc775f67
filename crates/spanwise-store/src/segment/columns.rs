//! Writes `spans.parquet`: from spans straight into Arrow builders.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, FixedSizeBinaryBuilder, Float64Builder, Int64Builder,
    RecordBatch, StringBuilder, UInt8Builder, UInt32Builder, UInt64Builder,
};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use spanwise_model::{StoredSpan, Value};

use super::blocks::FileWriter;
use super::schema::{self, ScalarType};
use super::{FileMeta, RowGroup, SegmentError};

pub(super) const FILE: &str = "spans.parquet";

/// Rows of a row group.
const GROUP_ROWS: u32 = 128 << 10;
/// Rows handed to the Parquet writer at once.
const BATCH_ROWS: usize = 16 << 10;
const PAGE_ROWS: usize = 8 << 10;
const DICTIONARY_BYTES: usize = 256 << 10;

/// An attribute key and type that gets a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shredded {
    pub key: String,
    pub value_type: ScalarType,
    /// Whether values hardly repeat, so that a dictionary would not pay.
    pub distinct: bool,
}

/// Longer strings are not shredded; a key that has them has no string column.
pub(super) const MAX_SHREDDED_BYTES: usize = 256;

pub(super) struct ColumnWriter {
    path: std::path::PathBuf,
    writer: ArrowWriter<FileWriter>,
    schema: SchemaRef,
    promoted: Promoted,
    attributes: Vec<AttributeBuilder>,
    /// By the number of the key's name: which builders take its values.
    slots: Vec<Slot>,
    /// Rows in the builders.
    n_pending: usize,
    row_groups: Vec<RowGroup>,
    group: Option<RowGroup>,
}

/// The builders of one key by type, and the row that last had the key.
#[derive(Clone, Debug)]
struct Slot {
    builders: [Option<usize>; 4],
    last_row: usize,
}

/// What a row has beside the span itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowInfo<'r> {
    pub trace: u32,
    pub resource: u32,
    /// The number of the name of each attribute's key.
    pub keys: &'r [Option<u32>],
}

impl ColumnWriter {
    /// `shredded[n]` is for the key whose name has number `key_numbers[n]`.
    pub(super) fn create(
        dir: &Path,
        level: i32,
        shredded: &[Shredded],
        key_numbers: &[Option<u32>],
    ) -> Result<Self, SegmentError> {
        let schema = schema::schema(shredded.iter().map(|s| (s.key.as_str(), s.value_type)));
        let file = FileWriter::create(dir, FILE)?;
        let path = file.path().to_owned();
        let properties = properties(level, shredded).map_err(SegmentError::parquet(&path))?;
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))
            .map_err(SegmentError::parquet(&path))?;
        let mut slots = Vec::new();
        for (at, (column, number)) in shredded.iter().zip(key_numbers).enumerate() {
            let Some(number) = *number else { continue };
            let number = number as usize;
            if slots.len() <= number {
                slots.resize(number + 1, Slot { builders: [None; 4], last_row: 0 });
            }
            slots[number].builders[column.value_type as usize] = Some(at);
        }
        Ok(ColumnWriter {
            path,
            writer,
            schema,
            promoted: Promoted::new(),
            attributes: shredded.iter().map(|s| AttributeBuilder::new(s.value_type)).collect(),
            slots,
            n_pending: 0,
            row_groups: Vec::new(),
            group: None,
        })
    }

    pub(super) fn push(
        &mut self,
        stored: &StoredSpan,
        row: RowInfo<'_>,
    ) -> Result<(), SegmentError> {
        self.promoted.push(stored, row).map_err(SegmentError::arrow(&self.path))?;
        // Backwards, because the last of several equal keys is the one that counts.
        let attributes = stored.span.attributes.iter().zip(row.keys).rev();
        for (attribute, number) in attributes {
            let slot = number.and_then(|number| self.slots.get_mut(number as usize));
            let Some(slot) = slot.filter(|slot| slot.last_row <= self.n_pending) else { continue };
            slot.last_row = self.n_pending + 1;
            let Some(value_type) = ScalarType::of(&attribute.value) else { continue };
            if let Some(builder) = slot.builders[value_type as usize] {
                self.attributes[builder].push(self.n_pending, &attribute.value);
            }
        }
        self.n_pending += 1;
        self.note(stored);
        if self.n_pending == BATCH_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    /// Keeps the bounds of the open row group.
    fn note(&mut self, stored: &StoredSpan) {
        let start = stored.span.start_time_unix_nano;
        let first_row = self.row_groups.last().map_or(0, |group| group.rows().end);
        let group = self.group.get_or_insert(RowGroup {
            first_row,
            n_rows: 0,
            min_start: u64::MAX,
            max_start: 0,
            max_duration: 0,
            has_errors: false,
            max_cost: None,
        });
        group.n_rows += 1;
        group.min_start = group.min_start.min(start);
        group.max_start = group.max_start.max(start);
        group.max_duration = group.max_duration.max(stored.span.duration_ns());
        group.has_errors |= stored.span.is_error();
        group.max_cost = group.max_cost.max(stored.facts.cost.map(|cost| cost.nano_usd));
        if group.n_rows == GROUP_ROWS {
            self.row_groups.extend(self.group.take());
        }
    }

    fn flush(&mut self) -> Result<(), SegmentError> {
        if self.n_pending == 0 {
            return Ok(());
        }
        let mut arrays = self.promoted.finish();
        arrays.extend(self.attributes.iter_mut().map(|builder| builder.finish(self.n_pending)));
        self.n_pending = 0;
        self.slots.iter_mut().for_each(|slot| slot.last_row = 0);
        let batch = RecordBatch::try_new(self.schema.clone(), arrays)
            .map_err(SegmentError::arrow(&self.path))?;
        self.writer.write(&batch).map_err(SegmentError::parquet(&self.path))
    }

    pub(super) fn finish(mut self) -> Result<(FileMeta, Vec<RowGroup>), SegmentError> {
        self.flush()?;
        self.row_groups.extend(self.group.take());
        let file = self.writer.into_inner().map_err(SegmentError::parquet(&self.path))?;
        Ok((file.finish()?, self.row_groups))
    }
}

fn properties(level: i32, shredded: &[Shredded]) -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_created_by("spanwise".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level)?))
        .set_max_row_group_row_count(Some(GROUP_ROWS as usize))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        // Row groups are skipped by the bounds in the catalog, pages are not skipped.
        .set_statistics_enabled(EnabledStatistics::None);
    for column in [schema::TRACE, schema::START] {
        properties = without_dictionary(properties, column)
            .set_column_encoding(ColumnPath::from(column), Encoding::DELTA_BINARY_PACKED);
    }
    let numbers = [
        schema::SPAN_ID,
        schema::PARENT_SPAN_ID,
        schema::DURATION,
        schema::INPUT_TOKENS,
        schema::OUTPUT_TOKENS,
        schema::TOTAL_TOKENS,
        schema::COST,
        schema::TIME_TO_FIRST_TOKEN,
    ];
    for column in numbers {
        properties = without_dictionary(properties, column);
    }
    for column in shredded.iter().filter(|column| column.distinct) {
        properties = without_dictionary(properties, &column.value_type.column(&column.key));
    }
    Ok(properties.build())
}

fn without_dictionary(
    properties: WriterPropertiesBuilder,
    column: &str,
) -> WriterPropertiesBuilder {
    // A path of one part: an attribute's key may have dots in it.
    properties.set_column_dictionary_enabled(ColumnPath::new(vec![column.to_owned()]), false)
}

/// The builders of the promoted columns.
struct Promoted {
    project: StringBuilder,
    role: UInt8Builder,
    trace: UInt32Builder,
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    parent_span_id: FixedSizeBinaryBuilder,
    name: StringBuilder,
    service: StringBuilder,
    resource: UInt32Builder,
    kind: UInt8Builder,
    status: UInt8Builder,
    is_error: BooleanBuilder,
    start: UInt64Builder,
    duration: UInt64Builder,
    operation: UInt8Builder,
    input_tokens: UInt64Builder,
    output_tokens: UInt64Builder,
    total_tokens: UInt64Builder,
    cost: Int64Builder,
    first_token: UInt64Builder,
    facts: [StringBuilder; schema::FACT_STRINGS.len()],
}

impl Promoted {
    fn new() -> Self {
        Promoted {
            project: StringBuilder::new(),
            role: UInt8Builder::new(),
            trace: UInt32Builder::new(),
            trace_id: FixedSizeBinaryBuilder::new(16),
            span_id: FixedSizeBinaryBuilder::new(8),
            parent_span_id: FixedSizeBinaryBuilder::new(8),
            name: StringBuilder::new(),
            service: StringBuilder::new(),
            resource: UInt32Builder::new(),
            kind: UInt8Builder::new(),
            status: UInt8Builder::new(),
            is_error: BooleanBuilder::new(),
            start: UInt64Builder::new(),
            duration: UInt64Builder::new(),
            operation: UInt8Builder::new(),
            input_tokens: UInt64Builder::new(),
            output_tokens: UInt64Builder::new(),
            total_tokens: UInt64Builder::new(),
            cost: Int64Builder::new(),
            first_token: UInt64Builder::new(),
            facts: std::array::from_fn(|_| StringBuilder::new()),
        }
    }

    fn push(&mut self, stored: &StoredSpan, row: RowInfo<'_>) -> Result<(), ArrowError> {
        let span = &stored.span;
        let facts = &stored.facts;
        self.project.append_value(&stored.project);
        self.role.append_value(stored.role as u8);
        self.trace.append_value(row.trace);
        self.trace_id.append_value(span.trace_id.as_bytes())?;
        self.span_id.append_value(span.span_id.as_bytes())?;
        match &span.parent_span_id {
            Some(parent) => self.parent_span_id.append_value(parent.as_bytes())?,
            None => self.parent_span_id.append_null(),
        }
        self.name.append_value(&span.name);
        self.service.append_option(known(span.resource.service()));
        self.resource.append_value(row.resource);
        self.kind.append_value(span.kind as u8);
        self.status.append_value(span.status.code as u8);
        self.is_error.append_value(span.is_error());
        self.start.append_value(span.start_time_unix_nano);
        self.duration.append_value(span.duration_ns());
        self.operation.append_option(facts.operation.map(|operation| operation as u8));
        self.input_tokens.append_option(facts.usage.input);
        self.output_tokens.append_option(facts.usage.output);
        self.total_tokens.append_option(facts.usage.total);
        self.cost.append_option(facts.cost.map(|cost| cost.nano_usd));
        self.first_token.append_option(facts.time_to_first_token_ns);
        // In the order of `schema::FACT_STRINGS`.
        let strings = [
            facts.model(),
            &facts.provider,
            &facts.finish_reasons,
            &facts.session_id,
            &facts.user_id,
            &facts.agent_name,
            &facts.tool_name,
            &facts.workflow_name,
            &facts.environment,
            &facts.error_type,
        ];
        for (builder, text) in self.facts.iter_mut().zip(strings) {
            builder.append_option(known(text));
        }
        Ok(())
    }

    /// The arrays in the order of [`schema::promoted`]; the builders start over.
    fn finish(&mut self) -> Vec<ArrayRef> {
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(self.project.finish()),
            Arc::new(self.role.finish()),
            Arc::new(self.trace.finish()),
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
            Arc::new(self.parent_span_id.finish()),
            Arc::new(self.name.finish()),
            Arc::new(self.service.finish()),
            Arc::new(self.resource.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.status.finish()),
            Arc::new(self.is_error.finish()),
            Arc::new(self.start.finish()),
            Arc::new(self.duration.finish()),
            Arc::new(self.operation.finish()),
            Arc::new(self.input_tokens.finish()),
            Arc::new(self.output_tokens.finish()),
            Arc::new(self.total_tokens.finish()),
            Arc::new(self.cost.finish()),
            Arc::new(self.first_token.finish()),
        ];
        arrays.extend(self.facts.iter_mut().map(|b| Arc::new(b.finish()) as ArrayRef));
        arrays
    }
}

fn known(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// A builder of a column that most rows may lack: nulls are filled in when a value comes.
pub(super) enum AttributeBuilder {
    String(StringBuilder),
    Int(Int64Builder),
    Double(Float64Builder),
    Bool(BooleanBuilder),
}

impl AttributeBuilder {
    pub(super) fn new(value_type: ScalarType) -> Self {
        match value_type {
            ScalarType::String => AttributeBuilder::String(StringBuilder::new()),
            ScalarType::Int => AttributeBuilder::Int(Int64Builder::new()),
            ScalarType::Double => AttributeBuilder::Double(Float64Builder::new()),
            ScalarType::Bool => AttributeBuilder::Bool(BooleanBuilder::new()),
        }
    }

    /// Sets the value of a row, if it has this builder's type.
    pub(super) fn push(&mut self, row: usize, value: &Value) {
        self.fill(row);
        match (self, value) {
            (AttributeBuilder::String(builder), Value::String(text)) => builder.append_value(text),
            (AttributeBuilder::Int(builder), Value::Int(number)) => builder.append_value(*number),
            (AttributeBuilder::Double(builder), Value::Double(number)) => {
                builder.append_value(*number);
            }
            (AttributeBuilder::Bool(builder), Value::Bool(truth)) => builder.append_value(*truth),
            _ => {}
        }
    }

    fn fill(&mut self, rows: usize) {
        let fill = |len: usize| rows.saturating_sub(len);
        match self {
            AttributeBuilder::String(builder) => builder.append_nulls(fill(builder.len())),
            AttributeBuilder::Int(builder) => builder.append_nulls(fill(builder.len())),
            AttributeBuilder::Double(builder) => builder.append_nulls(fill(builder.len())),
            AttributeBuilder::Bool(builder) => builder.append_nulls(fill(builder.len())),
        }
    }

    /// The array of this many rows; the builder starts over.
    pub(super) fn finish(&mut self, rows: usize) -> ArrayRef {
        self.fill(rows);
        match self {
            AttributeBuilder::String(builder) => Arc::new(builder.finish()),
            AttributeBuilder::Int(builder) => Arc::new(builder.finish()),
            AttributeBuilder::Double(builder) => Arc::new(builder.finish()),
            AttributeBuilder::Bool(builder) => Arc::new(builder.finish()),
        }
    }
}
