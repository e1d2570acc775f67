//! B3, as Zipkin's clients and Envoy send it: one header `b3`, or several `X-B3-…`.

use super::{Extracted, SpanContext, TraceFlags, TraceState, trim};
use crate::{SpanId, TraceId};

/// The longest legal value: two ids, a decision and the parent's id, with dashes.
const MAX_VALUE: usize = 32 + 1 + 16 + 1 + 1 + 1 + 16;

/// Reads B3 into `extracted`. The single header takes precedence over the others.
pub(super) fn extract(
    headers: &mut impl FnMut(&'static str, &mut dyn FnMut(&[u8])),
    extracted: &mut Extracted,
) {
    let result = match value(headers, "b3") {
        Ok(None) => several(headers).map_err(|reason| ("x-b3-traceid", reason)),
        Ok(Some(value)) => single(&value).map_err(|reason| ("b3", reason)),
        Err(reason) => Err(("b3", reason)),
    };
    match result {
        Ok((ids, sampled)) => {
            extracted.sampled = sampled;
            extracted.parent = ids.map(|(trace_id, span_id)| SpanContext {
                trace_id,
                span_id,
                flags: TraceFlags::default().with_sampled(sampled == Some(true)),
                trace_state: TraceState::default(),
            });
        }
        Err((header, reason)) => extracted.ignore(header, reason),
    }
}

/// The span, if one is named, and the decision, unless it is deferred.
type Read = Result<(Option<(TraceId, SpanId)>, Option<bool>), &'static str>;

/// `{trace}-{span}[-{decision}[-{parent}]]`, or a decision alone.
fn single(value: &str) -> Read {
    let mut parts = value.split('-');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let Some(span_id) = second else {
        return Ok((None, Some(decision(first)?)));
    };
    let sampled = parts.next().map(decision).transpose()?;
    if let Some(parent) = parts.next() {
        parent.parse::<SpanId>().map_err(|_| "the parent's id is not 16 hex digits")?;
    }
    match parts.next() {
        Some(_) => Err("has too many parts"),
        None => Ok((Some(ids(first, span_id)?), sampled)),
    }
}

fn several(headers: &mut impl FnMut(&'static str, &mut dyn FnMut(&[u8]))) -> Read {
    let sampled = match value(headers, "x-b3-flags")?.as_deref() {
        Some("1") => Some(true),
        _ => value(headers, "x-b3-sampled")?.as_deref().map(decision).transpose()?,
    };
    let ids = match (value(headers, "x-b3-traceid")?, value(headers, "x-b3-spanid")?) {
        (Some(trace_id), Some(span_id)) => Some(ids(&trace_id, &span_id)?),
        (None, None) => None,
        _ => return Err("one of trace id and span id is missing"),
    };
    Ok((ids, sampled))
}

/// A trace id of 64 bits is one of 128 with zeros in front.
fn ids(trace_id: &str, span_id: &str) -> Result<(TraceId, SpanId), &'static str> {
    let padded = match trace_id.len() {
        16 => format!("{:016}{trace_id}", 0),
        _ => trace_id.to_owned(),
    };
    let trace_id =
        padded.parse().map_err(|_| "the trace id is not 16 or 32 hex digits, or zero")?;
    let span_id = span_id.parse().map_err(|_| "the span id is not 16 hex digits, or zero")?;
    Ok((trace_id, span_id))
}

/// Debugging implies sampling; `true` and `false` are what older clients write.
fn decision(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "d" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err("the decision is none of 1, 0 and d"),
    }
}

/// The only value of a header, if it is there.
fn value(
    headers: &mut impl FnMut(&'static str, &mut dyn FnMut(&[u8])),
    name: &'static str,
) -> Result<Option<String>, &'static str> {
    let (mut found, mut n_found) = (None, 0);
    headers(name, &mut |value| {
        n_found += 1;
        let value = trim(value);
        found = if value.len() <= MAX_VALUE {
            str::from_utf8(value).ok().map(str::to_owned)
        } else {
            None
        };
    });
    match (n_found, found) {
        (0, _) => Ok(None),
        (1, Some(value)) => Ok(Some(value)),
        (1, None) => Err("is too long or not text"),
        _ => Err("is there more than once"),
    }
}
