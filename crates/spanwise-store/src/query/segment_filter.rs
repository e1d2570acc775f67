//! Which rows of a segment satisfy a filter, by columns.
//!
//! The answers are those of [`Filter::matches_with_logs`] for every row, log records of the same
//! segment included. Only the columns that a filter names are read, the cheapest first; once few
//! rows are left, only those rows are read of the next column.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::OnceLock;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{ArrowPrimitiveType, Int64Type, UInt8Type, UInt32Type, UInt64Type};
use spanwise_model::{RowRole, SpanId, TraceId, Value};

use super::columns::{Recorded, column_of, is_shredded, primitive, unreadable, word_of};
use super::cursor::to_hex;
use super::field::FieldType;
use super::matches::{is_scalar, tokens};
use super::{Bound, Field, Filter, Pattern, QueryError, Test, TextQuery};
use crate::segment::{RowGroup, Rows, Segment, StringColumn, schema};

/// Of columns that decode quickly, single rows are read when at most one in this many is wanted.
const SPARSE: usize = 512;

/// Which rows may answer a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Spans.
    Spans,
    /// Spans, and log records whose own text is what was searched for: their span may be in
    /// another segment, but their trace matches.
    Traces,
}

/// A filter made ready for one segment and one project.
#[derive(Debug)]
pub struct SegmentFilter<'a> {
    segment: &'a Segment,
    project: &'a str,
    filter: &'a Filter,
    texts: HashMap<&'a TextQuery, OnceLock<Result<Vec<u32>, String>>>,
    resources: HashMap<&'a str, Vec<Option<Value>>>,
}

/// Rows that are asked about.
#[derive(Clone, Debug)]
enum RowSet {
    Range(Range<u32>),
    Sorted(Vec<u32>),
}

impl RowSet {
    fn rows(&self) -> Rows<'_> {
        match self {
            RowSet::Range(range) => Rows::Range(range.clone()),
            RowSet::Sorted(rows) => Rows::Sorted(rows),
        }
    }

    fn len(&self) -> usize {
        match self {
            RowSet::Range(range) => range.len(),
            RowSet::Sorted(rows) => rows.len(),
        }
    }

    fn subset(&self, mask: &BooleanBuffer) -> RowSet {
        RowSet::Sorted(match self {
            RowSet::Range(range) => mask.set_indices().map(|i| range.start + i as u32).collect(),
            RowSet::Sorted(rows) => mask.set_indices().map(|i| rows[i]).collect(),
        })
    }

    /// Where some of the segment's rows, ascending, are among these.
    fn positions(&self, of: &[u32]) -> BooleanBuffer {
        match self {
            RowSet::Range(range) => {
                let from = of.partition_point(|row| *row < range.start);
                let to = of.partition_point(|row| *row < range.end);
                let mut mask = cleared(range.len());
                of[from..to]
                    .iter()
                    .for_each(|row| mask.set_bit((row - range.start) as usize, true));
                mask.finish()
            }
            RowSet::Sorted(rows) => {
                BooleanBuffer::collect_bool(rows.len(), |i| of.binary_search(&rows[i]).is_ok())
            }
        }
    }
}

fn cleared(len: usize) -> BooleanBufferBuilder {
    let mut mask = BooleanBufferBuilder::new(len);
    mask.append_n(len, false);
    mask
}

/// A test of a field's value, or `None` where having a value is enough.
#[derive(Clone, Copy)]
struct Check<'a>(Option<&'a Test>);

impl Check<'_> {
    fn text(self, field: &Field, text: &str) -> bool {
        self.0.is_none_or(|test| test.passes_text(field, text))
    }

    fn double(self, number: f64) -> bool {
        self.0.is_none_or(|test| test.passes_double(number))
    }

    fn value(self, value: &Value) -> bool {
        let Some(test) = self.0 else { return is_scalar(value) };
        test.passes_value(value)
    }
}

impl<'a> SegmentFilter<'a> {
    /// Makes a filter ready; reads what does not depend on the rows.
    pub fn new(
        segment: &'a Segment,
        project: &'a str,
        filter: &'a Filter,
    ) -> Result<Self, QueryError> {
        let mut resources = HashMap::new();
        for key in filter.attribute_keys() {
            let mut values = segment.resource_attribute(key)?;
            for value in &mut values {
                value.take_if(|value| !is_scalar(value));
            }
            resources.insert(key, values);
        }
        let texts = filter.text_queries().into_iter().map(|query| (query, OnceLock::new()));
        Ok(SegmentFilter { segment, project, filter, texts: texts.collect(), resources })
    }

    /// Whether every row passes, log records apart.
    pub fn is_all(&self) -> bool {
        self.filter.is_all()
    }

    /// Whether the bounds of a row group leave any chance of a match.
    pub fn may_match(&self, group: &RowGroup) -> bool {
        may_match(self.filter, group)
    }

    /// Which of a run of rows match.
    pub fn select(&self, rows: Range<u32>, wanted: Wanted) -> Result<BooleanBuffer, QueryError> {
        let rows = RowSet::Range(rows);
        let mask = self.eval(self.filter, &rows)?;
        let mask = refine(mask, &rows, SPARSE, |rows| self.in_project(rows))?;
        let meta = self.segment.meta();
        if meta.n_rows == meta.n_spans {
            return Ok(mask);
        }
        refine(mask, &rows, SPARSE, |rows| self.of_role(rows, wanted))
    }

    fn in_project(&self, rows: &RowSet) -> Result<BooleanBuffer, QueryError> {
        match self.segment.meta().projects.as_slice() {
            [only] if **only == *self.project => Ok(BooleanBuffer::new_set(rows.len())),
            projects if projects.iter().all(|project| **project != *self.project) => {
                Ok(BooleanBuffer::new_unset(rows.len()))
            }
            _ => self.strings(schema::PROJECT, rows, |project| project == self.project),
        }
    }

    fn of_role(&self, rows: &RowSet, wanted: Wanted) -> Result<BooleanBuffer, QueryError> {
        let span = RowRole::Span as u8;
        let spans = self.numbers::<UInt8Type>(schema::ROLE, rows, |role| role == span)?;
        if wanted == Wanted::Spans {
            return Ok(spans);
        }
        let mut mask = spans;
        for query in self.texts.keys() {
            mask = &mask | &rows.positions(self.text_rows(query)?);
        }
        Ok(mask)
    }

    fn eval(&self, filter: &'a Filter, rows: &RowSet) -> Result<BooleanBuffer, QueryError> {
        match filter {
            Filter::All => Ok(BooleanBuffer::new_set(rows.len())),
            Filter::And(filters) => {
                let mut ordered: Vec<&Filter> = filters.iter().collect();
                ordered.sort_by_key(|filter| self.effort(filter));
                let mut mask = BooleanBuffer::new_set(rows.len());
                for filter in ordered {
                    let sparse = self.sparse(filter)?;
                    mask = refine(mask, rows, sparse, |rows| self.eval(filter, rows))?;
                }
                Ok(mask)
            }
            Filter::Or(filters) => {
                let mut ordered: Vec<&Filter> = filters.iter().collect();
                ordered.sort_by_key(|filter| self.effort(filter));
                let mut missing = BooleanBuffer::new_set(rows.len());
                for filter in ordered {
                    let sparse = self.sparse(filter)?;
                    missing = refine(missing, rows, sparse, |rows| Ok(!&self.eval(filter, rows)?))?;
                }
                Ok(!&missing)
            }
            Filter::Not(filter) => Ok(!&self.eval(filter, rows)?),
            Filter::Test(field, test) => self.check(field, Check(Some(test)), rows),
            Filter::Has(field) => self.check(field, Check(None), rows),
            Filter::Failed => self.failed(rows),
            Filter::Text(query) => Ok(rows.positions(self.text_rows(query)?)),
        }
    }

    /// One in how many rows must be left for it to be better to read only those. A whole column
    /// decodes faster than scattered rows of it, unless its rows are costly one by one.
    fn sparse(&self, filter: &Filter) -> Result<usize, QueryError> {
        let mut costly = filter.names_id();
        for key in filter.attribute_keys() {
            costly |= !is_shredded(self.segment, key)?;
        }
        Ok(if costly { 2 } else { SPARSE })
    }

    /// How much there is to read and do, roughly, for ordering.
    fn effort(&self, filter: &Filter) -> u32 {
        match filter {
            Filter::All => 0,
            Filter::Not(filter) => self.effort(filter),
            Filter::And(filters) | Filter::Or(filters) => {
                filters.iter().map(|filter| self.effort(filter)).sum()
            }
            Filter::Text(query) => {
                let known = self.texts.get(query).is_some_and(|rows| rows.get().is_some());
                if known || self.segment.text_indexed() { 0 } else { 1000 }
            }
            Filter::Test(field, test) => {
                field_effort(field) + if matches!(test, Test::Regex(_)) { 3 } else { 0 }
            }
            Filter::Has(field) => field_effort(field),
            Filter::Failed => 1,
        }
    }

    /// The rows whose recorded text matches, and the spans whose log records do.
    fn text_rows(&self, query: &TextQuery) -> Result<&[u32], QueryError> {
        let Some(rows) = self.texts.get(query) else { return Ok(&[]) };
        match rows.get_or_init(|| self.find_text(query).map_err(|error| error.to_string())) {
            Ok(rows) => Ok(rows),
            Err(error) => Err(QueryError::Storage(error.clone())),
        }
    }

    fn find_text(&self, query: &TextQuery) -> Result<Vec<u32>, QueryError> {
        let mut rows = self.segment.text_rows(query)?;
        let meta = self.segment.meta();
        if rows.is_empty() || meta.n_rows == meta.n_spans {
            return Ok(rows);
        }
        let owners = self.identities(Rows::Sorted(&rows), RowRole::LogEvent)?;
        let mut traces: Vec<u32> = owners.iter().map(|(_, trace, _)| *trace).collect();
        traces.dedup();
        let wanted: HashSet<(u32, SpanId)> =
            owners.into_iter().map(|(_, trace, span)| (trace, span)).collect();
        // Many traces are read in one go, few by themselves.
        let ranges: Vec<Range<u32>> = if traces.len() > 32 {
            std::iter::once(0..meta.n_rows).collect()
        } else {
            traces.iter().map(|t| self.segment.trace_rows(*t)).collect::<Result<_, _>>()?
        };
        for range in ranges {
            let spans = self.identities(Rows::Range(range.clone()), RowRole::Span)?;
            let owners = spans.into_iter().filter(|(_, trace, id)| wanted.contains(&(*trace, *id)));
            rows.extend(owners.map(|(at, ..)| range.start + at));
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }

    /// Position, trace and span id of those of some rows that have a role.
    fn identities(
        &self,
        rows: Rows<'_>,
        role: RowRole,
    ) -> Result<Vec<(u32, u32, SpanId)>, QueryError> {
        let columns = [schema::ROLE, schema::TRACE, schema::SPAN_ID];
        let batch = self.segment.columns(rows, &columns)?;
        let roles = primitive::<UInt8Type>(batch.column_by_name(schema::ROLE))?;
        let traces = primitive::<UInt32Type>(batch.column_by_name(schema::TRACE))?;
        let ids = batch.column_by_name(schema::SPAN_ID);
        let ids = ids.and_then(AsArray::as_fixed_size_binary_opt).ok_or_else(unreadable)?;
        let of_role = (0..batch.num_rows()).filter(|row| roles.value(*row) == role as u8);
        Ok(of_role
            .filter_map(|row| {
                let id = SpanId::from_bytes(ids.value(row)).ok()?;
                Some((row as u32, traces.value(row), id))
            })
            .collect())
    }

    fn check(
        &self,
        field: &Field,
        check: Check<'_>,
        rows: &RowSet,
    ) -> Result<BooleanBuffer, QueryError> {
        match field {
            Field::Tokens => self.total_tokens(check, rows),
            Field::Cost => {
                self.numbers::<Int64Type>(schema::COST, rows, |cost| check.double(cost as f64))
            }
            Field::TraceId => self.trace_ids(check, rows),
            Field::SpanId => self.ids(schema::SPAN_ID, field, check, rows),
            Field::Attribute(key) => self.attributes(key, check, rows),
            _ => match (column_of(field), field.value_type()) {
                (Some(column), FieldType::Word(_)) => self.words(column, field, check, rows),
                (Some(column), FieldType::Number(_)) => {
                    self.numbers::<UInt64Type>(column, rows, |number| check.double(number as f64))
                }
                (Some(column), _) => self.strings(column, rows, |text| check.text(field, text)),
                (None, _) => Err(unreadable()),
            },
        }
    }

    fn column(&self, name: &str, rows: &RowSet) -> Result<Option<ArrayRef>, QueryError> {
        if !self.segment.has_column(name)? {
            return Ok(None);
        }
        let batch = self.segment.columns(rows.rows(), &[name])?;
        Ok(batch.column_by_name(name).cloned())
    }

    fn strings(
        &self,
        name: &str,
        rows: &RowSet,
        pass: impl Fn(&str) -> bool,
    ) -> Result<BooleanBuffer, QueryError> {
        let Some(column) = self.column(name, rows)? else {
            return Ok(BooleanBuffer::new_unset(rows.len()));
        };
        let strings = StringColumn::new(&column).ok_or_else(unreadable)?;
        // An empty name or service is none, as everywhere.
        Ok(strings.test(|text| !text.is_empty() && pass(text)).values().clone())
    }

    fn numbers<T: ArrowPrimitiveType>(
        &self,
        name: &str,
        rows: &RowSet,
        pass: impl Fn(T::Native) -> bool,
    ) -> Result<BooleanBuffer, QueryError> {
        let Some(column) = self.column(name, rows)? else {
            return Ok(BooleanBuffer::new_unset(rows.len()));
        };
        let numbers = primitive::<T>(Some(&column))?;
        let values = numbers.values();
        let passed = BooleanBuffer::collect_bool(values.len(), |row| pass(values[row]));
        Ok(match numbers.nulls() {
            Some(nulls) => &passed & nulls.inner(),
            None => passed,
        })
    }

    /// Tests a column of numbers that stand for words.
    fn words(
        &self,
        column: &str,
        field: &Field,
        check: Check<'_>,
        rows: &RowSet,
    ) -> Result<BooleanBuffer, QueryError> {
        let passes_word = |n| word_of(field, n).is_some_and(|word| check.text(field, word));
        let passes: Vec<bool> = (0..=u8::MAX).map(passes_word).collect();
        self.numbers::<UInt8Type>(column, rows, |number| passes[usize::from(number)])
    }

    fn failed(&self, rows: &RowSet) -> Result<BooleanBuffer, QueryError> {
        let column = self.column(schema::IS_ERROR, rows)?.ok_or_else(unreadable)?;
        Ok(column.as_boolean_opt().ok_or_else(unreadable)?.values().clone())
    }

    fn total_tokens(&self, check: Check<'_>, rows: &RowSet) -> Result<BooleanBuffer, QueryError> {
        let names = [schema::INPUT_TOKENS, schema::OUTPUT_TOKENS, schema::TOTAL_TOKENS];
        let batch = self.segment.columns(rows.rows(), &names)?;
        let columns = names
            .iter()
            .map(|name| primitive::<UInt64Type>(batch.column_by_name(name)))
            .collect::<Result<Vec<_>, _>>()?;
        let value =
            |column: usize, row| columns[column].is_valid(row).then(|| columns[column].value(row));
        Ok(BooleanBuffer::collect_bool(rows.len(), |row| {
            let total = tokens(value(0, row), value(1, row), value(2, row));
            total.is_some_and(|total| check.double(total as f64))
        }))
    }

    /// Whole trace ids are looked up instead of compared.
    fn trace_ids(&self, check: Check<'_>, rows: &RowSet) -> Result<BooleanBuffer, QueryError> {
        let Some(ids) = check.0.and_then(whole_trace_ids) else {
            return self.ids(schema::TRACE_ID, &Field::TraceId, check, rows);
        };
        let mut found = vec![];
        for id in ids {
            if let Some(ordinal) = self.segment.trace_ordinal(self.project, id)? {
                found.extend(self.segment.trace_rows(ordinal)?);
            }
        }
        found.sort_unstable();
        Ok(rows.positions(&found))
    }

    fn ids(
        &self,
        column: &str,
        field: &Field,
        check: Check<'_>,
        rows: &RowSet,
    ) -> Result<BooleanBuffer, QueryError> {
        let column = self.column(column, rows)?.ok_or_else(unreadable)?;
        let ids = column.as_fixed_size_binary_opt().ok_or_else(unreadable)?;
        let pass = |row| check.0.is_none() || check.text(field, &to_hex(ids.value(row)));
        Ok(BooleanBuffer::collect_bool(rows.len(), pass))
    }

    fn attributes(
        &self,
        key: &str,
        check: Check<'_>,
        rows: &RowSet,
    ) -> Result<BooleanBuffer, QueryError> {
        let own = Recorded::read(self.segment, key, rows.rows())?;
        let passed = own.select(rows.len(), check.0);
        let Some(inherited) = self.resources.get(key).filter(|v| v.iter().any(Option::is_some))
        else {
            return Ok(passed);
        };
        let passes: Vec<bool> =
            inherited.iter().map(|v| v.as_ref().is_some_and(|v| check.value(v))).collect();
        let of_resource = self.numbers::<UInt32Type>(schema::RESOURCE, rows, |resource| {
            passes.get(resource as usize).copied().unwrap_or(false)
        })?;
        let own_values = own.select(rows.len(), None);
        Ok(&passed | &(&of_resource & &!&own_values))
    }
}

/// Takes from `mask` the rows that `test` refuses. Where only one row in `sparse` is left, it is
/// asked about those only.
fn refine(
    mask: BooleanBuffer,
    rows: &RowSet,
    sparse: usize,
    test: impl FnOnce(&RowSet) -> Result<BooleanBuffer, QueryError>,
) -> Result<BooleanBuffer, QueryError> {
    let n_left = mask.count_set_bits();
    if n_left == 0 {
        return Ok(mask);
    }
    if n_left * sparse > mask.len() {
        return Ok(&mask & &test(rows)?);
    }
    let passed = test(&rows.subset(&mask))?;
    let mut narrowed = cleared(mask.len());
    for (i, at) in mask.set_indices().enumerate() {
        narrowed.set_bit(at, passed.value(i));
    }
    Ok(narrowed.finish())
}

/// The ids of a test that is about whole ones only.
fn whole_trace_ids(test: &Test) -> Option<Vec<TraceId>> {
    let Test::Any(patterns) = test else { return None };
    let id = |pattern: &Pattern| match pattern {
        Pattern::Exact(hex) => hex.parse().ok(),
        Pattern::Wildcard(_) => None,
    };
    patterns.iter().map(id).collect()
}

fn may_match(filter: &Filter, group: &RowGroup) -> bool {
    match filter {
        Filter::And(filters) => filters.iter().all(|filter| may_match(filter, group)),
        Filter::Or(filters) => filters.iter().any(|filter| may_match(filter, group)),
        Filter::Test(Field::Duration, Test::Range(range)) => {
            reaches(range.min, group.max_duration as f64)
        }
        Filter::Test(Field::Cost, Test::Range(range)) => {
            group.max_cost.is_some_and(|cost| reaches(range.min, cost as f64))
        }
        Filter::Failed => group.has_errors,
        Filter::Test(Field::Status, Test::Any(patterns)) => {
            group.has_errors || patterns.iter().any(|p| p.matches("ok") || p.matches("unset"))
        }
        _ => true,
    }
}

/// Whether the highest of some numbers is above the lower bound of a range.
fn reaches(min: Option<Bound>, highest: f64) -> bool {
    min.is_none_or(|min| highest > min.value || min.inclusive && highest >= min.value)
}

fn field_effort(field: &Field) -> u32 {
    match field {
        Field::Kind | Field::Status | Field::Operation => 1,
        Field::Attribute(_) => 8,
        Field::TraceId | Field::SpanId => 6,
        _ => match field.value_type() {
            FieldType::Number(_) => 3,
            _ => 2,
        },
    }
}

#[cfg(test)]
mod tests;
