//! `GET /api/v1/stats`: numbers over many spans, as time series.

use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use serde_json::{Map, Value, json};
use spanwise_store::query::{Field, Measure, Series, StatsQuery, TimeRange};

use super::params::Params;
use super::wire::Nanos;
use super::{Shared, blocking};
use crate::auth::Caller;
use crate::error::ApiError;
use crate::ingest::unix_nano_now;
use crate::units::parse_duration;

/// How many groups are told apart.
const MAX_GROUPS: usize = 20;

/// How many points a series may have.
const MAX_BUCKETS: u64 = 2000;

/// What `measure` can name.
const MEASURES: [(&str, Measure); 12] = [
    ("count", Measure::Count),
    ("errors", Measure::Errors),
    ("duration_p50", Measure::Duration(0.5)),
    ("duration_p90", Measure::Duration(0.9)),
    ("duration_p95", Measure::Duration(0.95)),
    ("duration_p99", Measure::Duration(0.99)),
    ("ttft_p50", Measure::TimeToFirstToken(0.5)),
    ("ttft_p95", Measure::TimeToFirstToken(0.95)),
    ("ttft_p99", Measure::TimeToFirstToken(0.99)),
    ("input_tokens", Measure::InputTokens),
    ("output_tokens", Measure::OutputTokens),
    ("cost_usd", Measure::Cost),
];

/// `GET /api/v1/stats`
pub async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    let named = measures(&params.measure)?;
    let time = params.time()?;
    let bucket_ns = bucket(&params.bucket, time)?;
    let group_by = Some(&params.group_by).filter(|name| !name.is_empty());
    let query = StatsQuery {
        project: caller.project,
        filter: params.filter()?,
        time,
        measures: named.iter().map(|(_, measure)| *measure).collect(),
        group_by: group_by.map(|name| Field::from_name(name)),
        bucket_ns,
        max_groups: params.limit()?.min(MAX_GROUPS),
    };
    let group_by = group_by.cloned();
    blocking(move || {
        let series = shared.store.stats(&query)?;
        let series: Vec<_> = series.iter().map(|series| series_json(series, &named)).collect();
        let names: Vec<_> = named.iter().map(|(name, _)| *name).collect();
        Ok(Json(json!({
            "measures": names,
            "group_by": group_by,
            "bucket_ns": bucket_ns.map(Nanos),
            "series": series,
        })))
    })
    .await
}

fn measures(text: &str) -> Result<Vec<(&'static str, Measure)>, ApiError> {
    let text = if text.is_empty() { "count" } else { text };
    text.split(',')
        .map(|name| {
            MEASURES.into_iter().find(|(known, _)| *known == name.trim()).ok_or_else(|| {
                let known = MEASURES.map(|(name, _)| name).join(", ");
                ApiError::bad_request(
                    "bad_measure",
                    format!("measure: `{name}` is none of {known}"),
                )
            })
        })
        .collect()
}

/// The width of a bucket: as asked, else everything in one. Very many buckets are refused: an
/// hour of milliseconds is no chart.
fn bucket(text: &str, time: TimeRange) -> Result<Option<u64>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let bad = |message| ApiError::bad_request("bad_bucket", message);
    let width = parse_duration(text).map_err(|error| bad(format!("bucket: {error}")))?;
    let width_ns = u64::try_from(width.as_nanos()).unwrap_or(u64::MAX);
    if width < Duration::from_millis(1) {
        return Err(bad("bucket: at least 1ms".to_owned()));
    }
    let end = time.to.min(unix_nano_now());
    if time.from > 0 && end.saturating_sub(time.from) / width_ns > MAX_BUCKETS {
        return Err(bad(format!("bucket: more than {MAX_BUCKETS} of them from `from` to `to`")));
    }
    Ok(Some(width_ns))
}

/// Money in dollars; counts, tokens and nanoseconds without a fraction.
fn number_json(measure: Measure, number: f64) -> Value {
    match measure {
        Measure::Cost => (number / 1e9).into(),
        _ => (number.round() as u64).into(),
    }
}

fn series_json(series: &Series, named: &[(&'static str, Measure)]) -> Value {
    let points: Vec<_> = series
        .points
        .iter()
        .map(|(start, numbers)| {
            let mut point = Map::new();
            point.insert("time_unix_nano".into(), start.to_string().into());
            for ((name, measure), number) in named.iter().zip(numbers) {
                let number = number.map_or(Value::Null, |number| number_json(*measure, number));
                point.insert((*name).into(), number);
            }
            Value::Object(point)
        })
        .collect();
    json!({"group": series.group, "points": points})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_and_buckets_are_checked() {
        assert_eq!(measures("").unwrap()[0].0, "count");
        assert_eq!(measures("errors, cost_usd").unwrap().len(), 2);
        assert_eq!(measures("speed").unwrap_err().code, "bad_measure");
        let hour = TimeRange { from: 1, to: 3_600_000_000_001 };
        assert_eq!(bucket("1m", hour).unwrap(), Some(60_000_000_000));
        assert!(bucket("1ms", hour).is_err());
        assert!(bucket("1us", hour).is_err());
    }

    #[test]
    fn a_point_names_its_measures() {
        let series = Series {
            group: Some("gpt".into()),
            points: vec![(60, vec![Some(2.0), Some(5e8), None])],
        };
        let named = measures("count,cost_usd,ttft_p50").unwrap();
        let expected = json!({
            "group": "gpt",
            "points": [{"time_unix_nano": "60", "count": 2, "cost_usd": 0.5, "ttft_p50": null}],
        });
        assert_eq!(series_json(&series, &named), expected);
    }
}
