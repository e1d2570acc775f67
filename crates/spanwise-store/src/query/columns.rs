//! Reading fields from a segment's columns.

use std::collections::HashMap;
use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, PrimitiveArray, RecordBatch,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::FilterBuilder;
use arrow::datatypes::{
    ArrowPrimitiveType, Float64Type, Int64Type, UInt8Type, UInt32Type, UInt64Type,
};
use spanwise_model::genai::Operation;
use spanwise_model::span::{Kind, StatusCode};

use super::cursor::to_hex;
use super::field::FieldType;
use super::matches::{tokens, value_text};
use super::{Field, QueryError, Test};
use crate::segment::{Rows, Segment, SegmentError, StringColumn, schema};

impl From<SegmentError> for QueryError {
    fn from(error: SegmentError) -> Self {
        QueryError::Storage(error.to_string())
    }
}

/// A column that is not what the schema says: a damaged segment.
pub fn unreadable() -> QueryError {
    QueryError::Storage("a column of a segment is not what its schema says".to_owned())
}

/// The column a field is read from, where one column is enough.
pub fn column_of(field: &Field) -> Option<&'static str> {
    Some(match field {
        Field::Service => schema::SERVICE,
        Field::Name => schema::NAME,
        Field::Kind => schema::KIND,
        Field::Status => schema::STATUS,
        Field::Operation => schema::OPERATION,
        Field::Model => schema::MODEL,
        Field::Provider => schema::PROVIDER,
        Field::Duration => schema::DURATION,
        Field::Cost => schema::COST,
        Field::InputTokens => schema::INPUT_TOKENS,
        Field::OutputTokens => schema::OUTPUT_TOKENS,
        Field::TimeToFirstToken => schema::TIME_TO_FIRST_TOKEN,
        Field::Session => schema::SESSION,
        Field::User => schema::USER,
        Field::Agent => schema::AGENT,
        Field::Tool => schema::TOOL,
        Field::Workflow => schema::WORKFLOW,
        Field::Finish => schema::FINISH,
        Field::Error => schema::ERROR,
        Field::Environment => schema::ENVIRONMENT,
        Field::Project => schema::PROJECT,
        Field::TraceId => schema::TRACE_ID,
        Field::SpanId => schema::SPAN_ID,
        Field::Tokens | Field::Attribute(_) => return None,
    })
}

/// A column of numbers.
pub fn primitive<T: ArrowPrimitiveType>(
    column: Option<&ArrayRef>,
) -> Result<&PrimitiveArray<T>, QueryError> {
    column.and_then(|column| column.as_primitive_opt()).ok_or_else(unreadable)
}

/// The word for a number of the columns `kind`, `status` and `operation`; `None` for other fields.
pub fn word_of(field: &Field, number: u8) -> Option<&'static str> {
    match field {
        Field::Kind => Some(Kind::from_number(i32::from(number)).as_str()),
        Field::Status => Some(StatusCode::from_number(i32::from(number)).as_str()),
        Field::Operation => {
            let operation = Operation::ALL.into_iter().find(|o| *o as u8 == number);
            operation.map(Operation::as_str)
        }
        _ => None,
    }
}

/// Whether an attribute has columns of its own, or is read from the rows.
pub fn is_shredded(segment: &Segment, key: &str) -> Result<bool, QueryError> {
    for value_type in schema::ScalarType::ALL {
        if segment.has_column(&value_type.column(key))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Some rows of a run: read whole and then thinned out, because that is faster than to jump from
/// row to row, unless they are few.
#[derive(Debug)]
pub struct Chosen {
    run: Range<u32>,
    mask: BooleanArray,
    rows: Vec<u32>,
}

impl Chosen {
    /// The rows of a run whose bit is set.
    pub fn new(run: Range<u32>, mask: BooleanBuffer) -> Self {
        let rows = mask.set_indices().map(|at| run.start + at as u32).collect();
        Chosen { run, mask: BooleanArray::new(mask, None), rows }
    }

    /// Their numbers, ascending.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    fn are_few(&self) -> bool {
        self.rows.len() * 512 < self.mask.len()
    }

    /// Reads columns of them.
    pub fn columns(&self, segment: &Segment, names: &[&str]) -> Result<RecordBatch, QueryError> {
        if self.are_few() {
            return Ok(segment.columns(Rows::Sorted(&self.rows), names)?);
        }
        let batch = segment.columns(Rows::Range(self.run.clone()), names)?;
        if self.rows.len() == self.mask.len() {
            return Ok(batch);
        }
        let filter = FilterBuilder::new(&self.mask).optimize().build();
        filter.filter_record_batch(&batch).map_err(|error| QueryError::Storage(error.to_string()))
    }

    /// Reads a field of them to group by.
    pub fn groups(&self, segment: &Segment, field: &Field) -> Result<Groups, QueryError> {
        let is_costly = match field {
            Field::Attribute(key) => !is_shredded(segment, key)?,
            _ => false,
        };
        if self.are_few() || is_costly {
            return Groups::read(segment, field, Rows::Sorted(&self.rows), self.rows.len());
        }
        let run = Rows::Range(self.run.clone());
        let mut groups = Groups::read(segment, field, run, self.mask.len())?;
        let first = self.run.start;
        groups.keys = self.rows.iter().map(|row| groups.keys[(row - first) as usize]).collect();
        Ok(groups)
    }
}

/// The values of an attribute over some rows.
#[derive(Debug)]
pub struct Recorded {
    strings: Option<StringColumn>,
    ints: Option<Int64Array>,
    doubles: Option<Float64Array>,
    bools: Option<BooleanArray>,
}

impl Recorded {
    /// Reads them.
    pub fn read(segment: &Segment, key: &str, rows: Rows<'_>) -> Result<Self, QueryError> {
        let columns = segment.attribute(key, rows)?;
        let strings = columns.strings.map(|c| StringColumn::new(&c).ok_or_else(unreadable));
        let bools = columns.bools.map(|c| c.as_boolean_opt().cloned().ok_or_else(unreadable));
        Ok(Recorded {
            strings: strings.transpose()?,
            ints: columns.ints.map(|c| primitive::<Int64Type>(Some(&c)).cloned()).transpose()?,
            doubles: columns
                .doubles
                .map(|c| primitive::<Float64Type>(Some(&c)).cloned())
                .transpose()?,
            bools: bools.transpose()?,
        })
    }

    /// Which of the rows pass; with `None`, which have a value.
    pub fn select(&self, len: usize, test: Option<&Test>) -> BooleanBuffer {
        let mut passed = BooleanBuffer::new_unset(len);
        if let Some(strings) = &self.strings {
            let pass = |text: &str| test.is_none_or(|test| test.passes_string(text));
            passed = &passed | strings.test(pass).values();
        }
        let collect = |pass: &dyn Fn(usize) -> bool| BooleanBuffer::collect_bool(len, pass);
        if let Some(ints) = &self.ints {
            let pass = |row| test.is_none_or(|test| test.passes_int(ints.value(row)));
            passed = &passed | &collect(&|row| ints.is_valid(row) && pass(row));
        }
        if let Some(doubles) = &self.doubles {
            let pass = |row| test.is_none_or(|test| test.passes_double(doubles.value(row)));
            passed = &passed | &collect(&|row| doubles.is_valid(row) && pass(row));
        }
        if let Some(bools) = &self.bools {
            let pass = |row| test.is_none_or(|test| test.passes_bool(bools.value(row)));
            passed = &passed | &collect(&|row| bools.is_valid(row) && pass(row));
        }
        passed
    }

    /// The value of a row as a search would name it.
    pub fn text(&self, row: usize) -> Option<String> {
        let string = self.strings.as_ref().and_then(|strings| strings.value(row));
        if let Some(text) = string {
            return Some(text.to_owned());
        }
        if let Some(ints) = self.ints.as_ref().filter(|ints| ints.is_valid(row)) {
            return Some(ints.value(row).to_string());
        }
        if let Some(doubles) = self.doubles.as_ref().filter(|doubles| doubles.is_valid(row)) {
            return Some(doubles.value(row).to_string());
        }
        let bools = self.bools.as_ref().filter(|bools| bools.is_valid(row));
        bools.map(|bools| bools.value(row).to_string())
    }
}

/// Rows by the value of a field.
#[derive(Debug)]
pub struct Groups {
    /// For each row an index into `names`.
    pub keys: Vec<u32>,
    /// The values; the first is `None`, for rows without one.
    pub names: Vec<Option<String>>,
}

impl Groups {
    /// Reads a field of some rows.
    pub fn read(
        segment: &Segment,
        field: &Field,
        rows: Rows<'_>,
        len: usize,
    ) -> Result<Groups, QueryError> {
        if let Field::Attribute(key) = field {
            return Groups::of_attribute(segment, key, rows, len);
        }
        if *field == Field::Tokens {
            return Groups::of_tokens(segment, rows);
        }
        let name = column_of(field).ok_or_else(unreadable)?;
        let batch = segment.columns(rows, &[name])?;
        let Some(column) = batch.column_by_name(name) else {
            return Ok(Groups { keys: vec![0; len], names: vec![None] });
        };
        if let FieldType::Word(_) = field.value_type() {
            let numbers = primitive::<UInt8Type>(Some(column))?;
            let valid = |row| numbers.is_valid(row).then(|| numbers.value(row));
            let word = |number: &u8| word_of(field, *number).map(str::to_owned);
            return Ok(Groups::collect(len, valid, word));
        }
        if let Some(strings) = StringColumn::new(column) {
            return Ok(Groups::of_strings(&strings));
        }
        if let Some(ids) = column.as_fixed_size_binary_opt() {
            let hex = |id: &&[u8]| Some(to_hex(id));
            return Ok(Groups::collect(len, |row| Some(ids.value(row)), hex));
        }
        if let Ok(numbers) = primitive::<Int64Type>(Some(column)) {
            let valid = |row| numbers.is_valid(row).then(|| numbers.value(row));
            return Ok(Groups::collect(len, valid, |n| Some(n.to_string())));
        }
        let numbers = primitive::<UInt64Type>(Some(column))?;
        let valid = |row| numbers.is_valid(row).then(|| numbers.value(row));
        Ok(Groups::collect(len, valid, |n| Some(n.to_string())))
    }

    fn collect<K: Eq + std::hash::Hash>(
        len: usize,
        value: impl Fn(usize) -> Option<K>,
        name: impl Fn(&K) -> Option<String>,
    ) -> Groups {
        let mut names = vec![None];
        let mut known: HashMap<K, u32> = HashMap::new();
        let mut keys = Vec::with_capacity(len);
        for row in 0..len {
            let Some(value) = value(row) else {
                keys.push(0);
                continue;
            };
            let key = *known.entry(value).or_insert_with_key(|value| {
                names.push(name(value));
                names.len() as u32 - 1
            });
            keys.push(key);
        }
        Groups { keys, names }
    }

    fn of_strings(strings: &StringColumn) -> Groups {
        let StringColumn::Dictionary(array) = strings else {
            let value = |row| strings.value(row).filter(|text| !text.is_empty());
            return Groups::collect(strings.len(), value, |text| Some((*text).to_owned()));
        };
        let values = array.values().as_string::<i32>();
        let mut names = vec![None];
        names.extend(values.iter().map(|text| text.filter(|t| !t.is_empty()).map(str::to_owned)));
        let keys = array.keys();
        let key = |row| if keys.is_valid(row) { keys.value(row) as u32 + 1 } else { 0 };
        Groups { keys: (0..keys.len()).map(key).collect(), names }
    }

    fn of_tokens(segment: &Segment, rows: Rows<'_>) -> Result<Groups, QueryError> {
        let names = [schema::INPUT_TOKENS, schema::OUTPUT_TOKENS, schema::TOTAL_TOKENS];
        let batch = segment.columns(rows, &names)?;
        let columns = names
            .iter()
            .map(|name| primitive::<UInt64Type>(batch.column_by_name(name)))
            .collect::<Result<Vec<_>, _>>()?;
        let value =
            |column: usize, row| columns[column].is_valid(row).then(|| columns[column].value(row));
        let total = |row| tokens(value(0, row), value(1, row), value(2, row));
        Ok(Groups::collect(batch.num_rows(), total, |n| Some(n.to_string())))
    }

    fn of_attribute(
        segment: &Segment,
        key: &str,
        rows: Rows<'_>,
        len: usize,
    ) -> Result<Groups, QueryError> {
        let own = Recorded::read(segment, key, rows.clone())?;
        let inherited: Vec<Option<String>> = segment
            .resource_attribute(key)?
            .iter()
            .map(|value| value.as_ref().and_then(value_text))
            .collect();
        if let Recorded { strings: Some(strings), ints: None, doubles: None, bools: None } = &own
            && inherited.iter().all(Option::is_none)
        {
            return Ok(Groups::of_strings(strings));
        }
        let batch = segment.columns(rows, &[schema::RESOURCE])?;
        let resources = primitive::<UInt32Type>(batch.column_by_name(schema::RESOURCE))?;
        let of_resource = |row| inherited.get(resources.value(row) as usize).cloned().flatten();
        let value = |row| own.text(row).or_else(|| of_resource(row));
        Ok(Groups::collect(len, value, |text: &String| Some(text.clone())))
    }
}
