//! What can be searched for, for typeahead.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use spanwise_model::{RowRole, StoredSpan, Value};

use super::super::field::FieldType;
use super::super::matches::{attribute, value_text};
use super::super::segment_filter::{SegmentFilter, Wanted};
use super::super::{Field, FieldInfo, Filter, Measure, QueryError, StatsQuery, TimeRange};
use super::live::matching_spans;
use super::{has_project, stats};
use crate::Snapshot;
use crate::segment::Segment;
use crate::segment::schema::ScalarType;

/// Built-in fields are counted in about this many of the newest rows: whether a field is in use
/// shows there, and typing must not wait for a scan of everything.
const SAMPLED_ROWS: u32 = 1 << 16;
/// Live rows whose attributes are counted.
const SAMPLED_LIVE_ROWS: usize = 20_000;
/// Longer values are of no use to a person who types.
const MAX_VALUE_CHARS: usize = 200;

/// The fields of a project: the built-in ones in their own order, then attributes, the most
/// frequent first.
pub fn fields(snapshot: &Snapshot, project: &Arc<str>) -> Result<Vec<FieldInfo>, QueryError> {
    let mut fields = vec![];
    for field in Field::BUILT_IN {
        let value_type = match field.value_type() {
            FieldType::Number(_) => "number",
            _ => "string",
        };
        let count = count_built_in(snapshot, project, &field)?;
        fields.push(FieldInfo { name: field.name().to_owned(), value_type, count });
    }
    fields.extend(attributes(snapshot, project)?);
    Ok(fields)
}

/// Frequent values of a field that begin with `prefix` in any case, with how many spans have
/// them, the most frequent first. Numbers and ids have none.
pub fn field_values(
    snapshot: &Snapshot,
    project: &Arc<str>,
    field: &Field,
    prefix: &str,
    limit: usize,
) -> Result<Vec<(String, u64)>, QueryError> {
    let counted = match field.value_type() {
        FieldType::Number(_) | FieldType::Id(_) => HashMap::new(),
        FieldType::Recorded => attribute_values(snapshot, project, field.name())?,
        FieldType::Text | FieldType::Word(_) => built_in_values(snapshot, project, field)?,
    };
    let prefix = prefix.to_lowercase();
    let mut values: Vec<(String, u64)> = counted
        .into_iter()
        .filter(|(value, _)| value.to_lowercase().starts_with(&prefix))
        .collect();
    values.sort_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    values.truncate(limit);
    Ok(values)
}

fn count_built_in(
    snapshot: &Snapshot,
    project: &Arc<str>,
    field: &Field,
) -> Result<u64, QueryError> {
    let filter = Filter::Has(field.clone());
    let mut count = matching_spans(&snapshot.live, project, &filter, TimeRange::ALL).len() as u64;
    let mut newest: Vec<&Arc<Segment>> = snapshot.segments.iter().collect();
    newest.sort_by_key(|segment| Reverse(segment.meta().max_start));
    let mut n_rows = 0;
    for segment in newest.into_iter().filter(|s| has_project(s.meta(), project)) {
        let filter = SegmentFilter::new(segment, project, &filter)?;
        for group in segment.meta().row_groups.iter().rev() {
            if n_rows >= SAMPLED_ROWS {
                return Ok(count);
            }
            n_rows += group.n_rows;
            count += filter.select(group.rows(), Wanted::Spans)?.count_set_bits() as u64;
        }
    }
    Ok(count)
}

fn built_in_values(
    snapshot: &Snapshot,
    project: &Arc<str>,
    field: &Field,
) -> Result<HashMap<String, u64>, QueryError> {
    let query = StatsQuery {
        project: Arc::clone(project),
        filter: Filter::All,
        time: TimeRange::ALL,
        measures: vec![Measure::Count],
        group_by: Some(field.clone()),
        bucket_ns: None,
        max_groups: usize::MAX,
    };
    let count = |points: &[(u64, Vec<Option<f64>>)]| {
        points.first().and_then(|(_, numbers)| *numbers.first()?).unwrap_or(0.0) as u64
    };
    let series = stats(snapshot, &query)?.into_iter();
    Ok(series.filter_map(|series| Some((series.group?, count(&series.points)))).collect())
}

fn attribute_values(
    snapshot: &Snapshot,
    project: &str,
    key: &str,
) -> Result<HashMap<String, u64>, QueryError> {
    let mut counted: HashMap<String, u64> = HashMap::new();
    for segment in &snapshot.segments {
        let catalog = segment.fields()?;
        let stats = catalog.projects.get(project).and_then(|keys| keys.get(key));
        for (value, count) in stats.map(|stats| stats.top_values.as_slice()).unwrap_or_default() {
            *counted.entry(value.clone()).or_default() += count;
        }
    }
    for row in sampled_live(snapshot, project) {
        if let Some(text) = attribute(row, key).and_then(value_text)
            && text.chars().nth(MAX_VALUE_CHARS).is_none()
        {
            *counted.entry(text).or_default() += 1;
        }
    }
    Ok(counted)
}

fn attributes(snapshot: &Snapshot, project: &str) -> Result<Vec<FieldInfo>, QueryError> {
    let mut counted: HashMap<String, BTreeMap<ScalarType, u64>> = HashMap::new();
    for segment in &snapshot.segments {
        let catalog = segment.fields()?;
        for (key, stats) in catalog.projects.get(project).into_iter().flatten() {
            let counts = counted.entry(key.clone()).or_default();
            for (value_type, count) in &stats.counts {
                *counts.entry(*value_type).or_default() += count;
            }
        }
    }
    for row in sampled_live(snapshot, project) {
        let of_resource = row.span.resource.attributes.iter();
        for attribute in row.span.attributes.iter().chain(of_resource) {
            let Some(value_type) = scalar_type(&attribute.value) else { continue };
            let key: &str = &attribute.key;
            if !counted.contains_key(key) {
                counted.insert(key.to_owned(), BTreeMap::new());
            }
            if let Some(counts) = counted.get_mut(key) {
                *counts.entry(value_type).or_default() += 1;
            }
        }
    }
    let mut fields: Vec<FieldInfo> = counted
        .into_iter()
        .map(|(key, counts)| FieldInfo {
            name: Field::Attribute(key).to_string(),
            value_type: type_name(&counts),
            count: counts.values().sum(),
        })
        .collect();
    fields.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    Ok(fields)
}

fn sampled_live<'a>(
    snapshot: &'a Snapshot,
    project: &str,
) -> impl Iterator<Item = &'a Arc<StoredSpan>> {
    let newest = snapshot.live.iter().rev().take(SAMPLED_LIVE_ROWS);
    newest.filter(move |row| *row.project == *project && row.role == RowRole::Span)
}

fn scalar_type(value: &Value) -> Option<ScalarType> {
    match value {
        Value::String(_) => Some(ScalarType::String),
        Value::Int(_) => Some(ScalarType::Int),
        Value::Double(_) => Some(ScalarType::Double),
        Value::Bool(_) => Some(ScalarType::Bool),
        Value::Null | Value::Bytes(_) | Value::Array(_) | Value::Map(_) => None,
    }
}

fn type_name(counts: &BTreeMap<ScalarType, u64>) -> &'static str {
    let types: Vec<ScalarType> = counts.keys().copied().collect();
    match types.as_slice() {
        [ScalarType::String] => "string",
        [ScalarType::Bool] => "bool",
        types if types.iter().all(|t| matches!(t, ScalarType::Int | ScalarType::Double)) => {
            "number"
        }
        _ => "mixed",
    }
}
