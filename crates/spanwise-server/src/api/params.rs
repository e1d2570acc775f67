//! The parameters that the endpoints share.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use spanwise_store::query::{Filter, Sort, TimeRange, parser};

use crate::error::ApiError;
use crate::ingest::unix_nano_now;
use crate::units::parse_time;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 1000;

/// Everything that can stand behind the `?`. Each endpoint takes what concerns it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Params {
    pub q: String,
    pub from: String,
    pub to: String,
    pub sort: String,
    pub limit: String,
    pub cursor: String,
    pub view: String,
    pub format: String,
    pub measure: String,
    pub group_by: String,
    pub bucket: String,
    pub prefix: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<Params>::from_request_parts(parts, state).await;
        query
            .map(|Query(params)| params)
            .map_err(|error| ApiError::bad_request("bad_parameter", error.body_text()))
    }
}

impl Params {
    /// `q` as a filter.
    pub fn filter(&self) -> Result<Filter, ApiError> {
        parser::parse(&self.q).map_err(|error| ApiError {
            position: Some(error.position),
            ..ApiError::bad_request("bad_query", error.to_string())
        })
    }

    /// `from` and `to`; open where they are missing.
    pub fn time(&self) -> Result<TimeRange, ApiError> {
        let now = unix_nano_now();
        let read = |name: &str, text: &str, default| match text {
            "" => Ok(default),
            text => parse_time(text, now)
                .map_err(|error| ApiError::bad_request("bad_time", format!("{name}: {error}"))),
        };
        let from = read("from", &self.from, TimeRange::ALL.from)?;
        let to = read("to", &self.to, TimeRange::ALL.to)?;
        if from > to {
            return Err(ApiError::bad_request("bad_time", "`from` is later than `to`"));
        }
        Ok(TimeRange { from, to })
    }

    /// `limit`, at most 1000.
    pub fn limit(&self) -> Result<usize, ApiError> {
        match self.limit.as_str() {
            "" => Ok(DEFAULT_LIMIT),
            text => {
                text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
                    ApiError::bad_request(
                        "bad_limit",
                        format!("limit: `{text}` is no number from 1 to {MAX_LIMIT}"),
                    )
                })
            }
        }
    }

    /// `sort`, newest first by default.
    pub fn sort(&self) -> Result<Sort, ApiError> {
        match self.sort.as_str() {
            "" | "-start_time" => Ok(Sort::StartTime),
            "-duration" => Ok(Sort::Duration),
            "-cost" => Ok(Sort::Cost),
            "-tokens" => Ok(Sort::Tokens),
            other => Err(ApiError::bad_request(
                "bad_sort",
                format!("sort: `{other}` is not -start_time, -duration, -cost or -tokens"),
            )),
        }
    }

    /// `cursor`, if there is one.
    pub fn cursor(&self) -> Option<String> {
        Some(&self.cursor).filter(|cursor| !cursor.is_empty()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_explained() {
        let params = Params {
            from: "soon".into(),
            sort: "cost".into(),
            limit: "0".into(),
            q: "model:".into(),
            ..Params::default()
        };
        assert_eq!(params.time().unwrap_err().code, "bad_time");
        assert_eq!(params.sort().unwrap_err().code, "bad_sort");
        assert_eq!(params.limit().unwrap_err().code, "bad_limit");
        let error = params.filter().unwrap_err();
        assert_eq!((error.code, error.position.is_some()), ("bad_query", true));
        let late = Params { from: "now".into(), to: "-1h".into(), ..Params::default() };
        assert!(late.time().is_err());
    }

    #[test]
    fn nothing_said_means_everything_newest_first() {
        let params = Params::default();
        assert_eq!(params.time().unwrap(), TimeRange::ALL);
        assert_eq!((params.limit().unwrap(), params.sort().unwrap()), (50, Sort::StartTime));
        assert!(params.cursor().is_none());
    }
}
