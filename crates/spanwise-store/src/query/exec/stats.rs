//! Counts, sums and quantiles over spans, by group and time bucket.
//!
//! One pass over the columns that the question names; two threads take row groups in turn and
//! their tables are added up at the end.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{ArrowPrimitiveType, Int64Type, UInt64Type};
use spanwise_model::StoredSpan;

use super::super::columns::{Chosen, Groups, primitive, unreadable};
use super::super::matches::group_text;
use super::super::segment_filter::{SegmentFilter, Wanted};
use super::super::{Measure, QueryError, Series, StatsQuery};
use super::histogram::Histogram;
use super::live::matching_spans;
use super::{group_overlaps, has_project, in_parallel, overlaps};
use crate::Snapshot;
use crate::segment::{RowGroup, Rows, Segment, schema};

/// Groups that one thread tells apart; spans of further ones count as the rest. A bound on
/// memory for fields with a value per span.
const MAX_GROUPS: usize = 100_000;

/// One series per group, the most frequent groups first, the rest last.
pub fn stats(snapshot: &Snapshot, query: &StatsQuery) -> Result<Vec<Series>, QueryError> {
    let mut filters = vec![];
    for segment in &snapshot.segments {
        if overlaps(segment.meta(), query.time) && has_project(segment.meta(), &query.project) {
            let filter = SegmentFilter::new(segment, &query.project, &query.filter)?;
            filters.push((&**segment, filter));
        }
    }
    let mut groups = vec![];
    for (segment, filter) in &filters {
        let possible = segment.meta().row_groups.iter();
        let possible = possible.filter(|g| group_overlaps(g, query.time) && filter.may_match(g));
        groups.extend(possible.map(|group| (*segment, filter, group)));
    }
    // As many tables as threads at most: a thread takes one that is free, or makes one.
    let tables: Mutex<Vec<Table<'_>>> = Mutex::new(vec![]);
    in_parallel(&groups, |(segment, filter, group)| {
        let free = lock(&tables).pop();
        let mut table = free.unwrap_or_else(|| Table::new(query));
        let done = table.add_rows(segment, filter, group);
        lock(&tables).push(table);
        done
    })?;
    let mut table = Table::new(query);
    for span in matching_spans(&snapshot.live, &query.project, &query.filter, query.time) {
        table.add_span(span);
    }
    for other in std::mem::take(&mut *lock(&tables)) {
        table.merge(other);
    }
    Ok(table.into_series())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What one measure of one group and bucket has seen.
#[derive(Clone, Debug)]
enum Tally {
    Count(u64),
    /// A sum of known numbers, and how many there were.
    Sum(i128, u64),
    Quantile(Histogram),
}

impl Tally {
    fn new(measure: Measure) -> Self {
        match measure {
            Measure::Count | Measure::Errors => Tally::Count(0),
            Measure::Duration(_) | Measure::TimeToFirstToken(_) => {
                Tally::Quantile(Histogram::default())
            }
            Measure::InputTokens | Measure::OutputTokens | Measure::Cost => Tally::Sum(0, 0),
        }
    }

    fn add(&mut self, number: i64) {
        match self {
            Tally::Count(n) => *n += 1,
            Tally::Sum(sum, n) => {
                *sum += i128::from(number);
                *n += 1;
            }
            Tally::Quantile(histogram) => histogram.add(number as u64),
        }
    }

    fn merge(&mut self, other: &Tally) {
        match (self, other) {
            (Tally::Count(a), Tally::Count(b)) => *a += b,
            (Tally::Sum(a, n), Tally::Sum(b, m)) => {
                *a += b;
                *n += m;
            }
            (Tally::Quantile(a), Tally::Quantile(b)) => a.merge(b),
            _ => {}
        }
    }

    fn value(&self, measure: Measure) -> Option<f64> {
        match (self, measure) {
            (Tally::Count(n), _) => Some(*n as f64),
            (Tally::Sum(sum, n), _) => (*n > 0).then_some(*sum as f64),
            (
                Tally::Quantile(histogram),
                Measure::Duration(share) | Measure::TimeToFirstToken(share),
            ) => histogram.quantile(share),
            (Tally::Quantile(_), _) => None,
        }
    }
}

/// The values of one measure over some rows.
enum Values<'b> {
    Ones,
    Errors(&'b BooleanBuffer),
    Unsigned(&'b PrimitiveArray<UInt64Type>),
    Signed(&'b PrimitiveArray<Int64Type>),
    Unknown,
}

impl<'b> Values<'b> {
    fn of(measure: Measure, batch: &'b RecordBatch) -> Result<Self, QueryError> {
        let Some(name) = column_of(measure) else { return Ok(Values::Ones) };
        let Some(column) = batch.column_by_name(name) else { return Ok(Values::Unknown) };
        Ok(match measure {
            Measure::Errors => {
                Values::Errors(column.as_boolean_opt().ok_or_else(unreadable)?.values())
            }
            Measure::Cost => Values::Signed(primitive(Some(column))?),
            _ => Values::Unsigned(primitive(Some(column))?),
        })
    }

    /// Calls `add` with each row that counts and its number.
    fn each(&self, n_rows: usize, add: impl FnMut(usize, i64)) {
        let mut add = add;
        match self {
            Values::Ones => (0..n_rows).for_each(|row| add(row, 1)),
            Values::Errors(failed) => failed.set_indices().for_each(|row| add(row, 1)),
            Values::Unsigned(numbers) => {
                each_valid(numbers, |row, number| add(row, number as i64));
            }
            Values::Signed(numbers) => each_valid(numbers, add),
            Values::Unknown => {}
        }
    }
}

fn each_valid<T: ArrowPrimitiveType>(
    numbers: &PrimitiveArray<T>,
    mut add: impl FnMut(usize, T::Native),
) {
    let values = numbers.values();
    match numbers.nulls() {
        Some(nulls) => nulls.valid_indices().for_each(|row| add(row, values[row])),
        None => values.iter().enumerate().for_each(|(row, number)| add(row, *number)),
    }
}

fn column_of(measure: Measure) -> Option<&'static str> {
    match measure {
        Measure::Count => None,
        Measure::Errors => Some(schema::IS_ERROR),
        Measure::Duration(_) => Some(schema::DURATION),
        Measure::TimeToFirstToken(_) => Some(schema::TIME_TO_FIRST_TOKEN),
        Measure::InputTokens => Some(schema::INPUT_TOKENS),
        Measure::OutputTokens => Some(schema::OUTPUT_TOKENS),
        Measure::Cost => Some(schema::COST),
    }
}

fn number_of(span: &StoredSpan, measure: Measure) -> Option<i64> {
    let usage = &span.facts.usage;
    match measure {
        Measure::Count => Some(1),
        Measure::Errors => span.span.is_error().then_some(1),
        Measure::Duration(_) if span.is_running() => None,
        Measure::Duration(_) => Some(span.span.duration_ns() as i64),
        Measure::TimeToFirstToken(_) => span.facts.time_to_first_token_ns.map(|n| n as i64),
        Measure::InputTokens => usage.input.map(|n| n as i64),
        Measure::OutputTokens => usage.output.map(|n| n as i64),
        Measure::Cost => span.facts.cost.map(|cost| cost.nano_usd),
    }
}

/// One row of numbers: what one group saw in one bucket.
#[derive(Debug)]
struct Cell {
    n_spans: u64,
    tallies: Vec<Tally>,
}

struct Table<'q> {
    query: &'q StatsQuery,
    /// Positions in `names`; the rest and spans without the field are 0.
    known: HashMap<String, u32>,
    names: Vec<Option<String>>,
    /// By group and start of the bucket.
    places: HashMap<(u32, u64), u32>,
    cells: Vec<Cell>,
}

impl<'q> Table<'q> {
    fn new(query: &'q StatsQuery) -> Self {
        let (known, places) = (HashMap::new(), HashMap::new());
        Table { query, known, names: vec![None], places, cells: vec![] }
    }

    fn group(&mut self, name: Option<&str>) -> u32 {
        let Some(name) = name else { return 0 };
        match self.known.get(name) {
            Some(group) => *group,
            None if self.names.len() > MAX_GROUPS => 0,
            None => {
                let group = self.names.len() as u32;
                self.known.insert(name.to_owned(), group);
                self.names.push(Some(name.to_owned()));
                group
            }
        }
    }

    fn bucket(&self, start: u64) -> u64 {
        match self.query.bucket_ns.filter(|width| *width > 0) {
            Some(width) => start - start % width,
            None => 0,
        }
    }

    fn cell(&mut self, group: u32, bucket: u64) -> u32 {
        let measures = &self.query.measures;
        *self.places.entry((group, bucket)).or_insert_with(|| {
            let tallies = measures.iter().map(|measure| Tally::new(*measure)).collect();
            self.cells.push(Cell { n_spans: 0, tallies });
            self.cells.len() as u32 - 1
        })
    }

    fn add_span(&mut self, span: &StoredSpan) {
        let name = self.query.group_by.as_ref().and_then(|field| group_text(span, field));
        let group = self.group(name.as_deref());
        let cell = self.cell(group, self.bucket(span.span.start_time_unix_nano));
        let cell = &mut self.cells[cell as usize];
        cell.n_spans += 1;
        for (tally, measure) in cell.tallies.iter_mut().zip(&self.query.measures) {
            if let Some(number) = number_of(span, *measure) {
                tally.add(number);
            }
        }
    }

    fn add_rows(
        &mut self,
        segment: &Segment,
        filter: &SegmentFilter<'_>,
        group: &RowGroup,
    ) -> Result<(), QueryError> {
        let time = self.query.time;
        let mut mask = filter.select(group.rows(), Wanted::Spans)?;
        if group.min_start < time.from || group.max_start >= time.to {
            let batch = segment.columns(Rows::Range(group.rows()), &[schema::START])?;
            let starts = primitive::<UInt64Type>(batch.column_by_name(schema::START))?.values();
            let in_time = |row: usize| (time.from..time.to).contains(&starts[row]);
            mask = &mask & &BooleanBuffer::collect_bool(starts.len(), in_time);
        }
        let n_rows = mask.count_set_bits();
        if n_rows == 0 {
            return Ok(());
        }
        let chosen = Chosen::new(group.rows(), mask);
        let mut names: Vec<&str> =
            self.query.measures.iter().filter_map(|measure| column_of(*measure)).collect();
        names.extend(self.query.bucket_ns.map(|_| schema::START));
        names.sort_unstable();
        names.dedup();
        let batch = chosen.columns(segment, &names)?;
        let cells = self.cells_of(segment, &chosen, &batch)?;
        for (at, measure) in self.query.measures.iter().enumerate() {
            let values = Values::of(*measure, &batch)?;
            values.each(n_rows, |row, number| {
                self.cells[cells[row] as usize].tallies[at].add(number);
            });
        }
        for cell in cells {
            self.cells[cell as usize].n_spans += 1;
        }
        Ok(())
    }

    /// The cell of each row.
    fn cells_of(
        &mut self,
        segment: &Segment,
        chosen: &Chosen,
        batch: &RecordBatch,
    ) -> Result<Vec<u32>, QueryError> {
        let n_rows = chosen.rows().len();
        let groups = match &self.query.group_by {
            Some(field) => chosen.groups(segment, field)?,
            None => Groups { keys: vec![0; n_rows], names: vec![None] },
        };
        if self.query.bucket_ns.is_none() {
            // Made when first met: a dictionary may hold values that no chosen row has.
            let mut by_key = vec![u32::MAX; groups.names.len()];
            let mut cells = groups.keys;
            for key in &mut cells {
                let at = *key as usize;
                if by_key[at] == u32::MAX {
                    let group = self.group(groups.names[at].as_deref());
                    by_key[at] = self.cell(group, 0);
                }
                *key = by_key[at];
            }
            return Ok(cells);
        }
        let starts = primitive::<UInt64Type>(batch.column_by_name(schema::START))?.values();
        let mut places: HashMap<(u32, u64), u32> = HashMap::new();
        let mut last = ((u32::MAX, 0), 0);
        let mut cells = Vec::with_capacity(n_rows);
        for (key, start) in groups.keys.iter().zip(starts) {
            let place = (*key, self.bucket(*start));
            if place != last.0 {
                let cell = if let Some(cell) = places.get(&place) {
                    *cell
                } else {
                    let group = self.group(groups.names[*key as usize].as_deref());
                    let cell = self.cell(group, place.1);
                    places.insert(place, cell);
                    cell
                };
                last = (place, cell);
            }
            cells.push(last.1);
        }
        Ok(cells)
    }

    fn merge(&mut self, other: Table<'_>) {
        for ((group, bucket), place) in other.places {
            let group = self.group(other.names[group as usize].as_deref());
            let cell = self.cell(group, bucket);
            self.cells[cell as usize].merge(&other.cells[place as usize]);
        }
    }

    fn into_series(self) -> Vec<Series> {
        let mut by_group: HashMap<u32, (u64, BTreeMap<u64, &Cell>)> = HashMap::new();
        for ((group, bucket), place) in &self.places {
            let cell = &self.cells[*place as usize];
            let series = by_group.entry(*group).or_default();
            series.0 += cell.n_spans;
            series.1.insert(*bucket, cell);
        }
        let mut ranked: Vec<_> = by_group.into_iter().collect();
        let rank = |group: u32, n_spans: u64| (group == 0, std::cmp::Reverse(n_spans));
        let name = |group: u32| self.names[group as usize].clone();
        ranked.sort_by_cached_key(|(group, (n, _))| (rank(*group, *n), name(*group)));
        let mut series = vec![];
        let mut rest: BTreeMap<u64, Cell> = BTreeMap::new();
        for (group, (_, cells)) in ranked {
            if group != 0 && series.len() < self.query.max_groups {
                let points = cells.into_iter().map(|(bucket, cell)| (bucket, self.numbers(cell)));
                series.push(Series { group: name(group), points: points.collect() });
                continue;
            }
            for (bucket, cell) in cells {
                rest.entry(bucket).or_insert_with(|| self.empty_cell()).merge(cell);
            }
        }
        if !rest.is_empty() {
            let points = rest.iter().map(|(bucket, cell)| (*bucket, self.numbers(cell)));
            series.push(Series { group: None, points: points.collect() });
        }
        series
    }

    fn empty_cell(&self) -> Cell {
        let tallies = self.query.measures.iter().map(|measure| Tally::new(*measure));
        Cell { n_spans: 0, tallies: tallies.collect() }
    }

    fn numbers(&self, cell: &Cell) -> Vec<Option<f64>> {
        let tallies = cell.tallies.iter().zip(&self.query.measures);
        tallies.map(|(tally, measure)| tally.value(*measure)).collect()
    }
}

impl Cell {
    fn merge(&mut self, other: &Cell) {
        self.n_spans += other.n_spans;
        for (tally, other) in self.tallies.iter_mut().zip(&other.tallies) {
            tally.merge(other);
        }
    }
}
