//! What crosses a process boundary: W3C Trace Context and Baggage, read and written to the letter
//! of their specifications, and B3, which is read where W3C's headers are absent.
//!
//! One implementation for the SDKs, the gateway and the receivers. The rules are those of
//! [Trace Context Level 2](https://www.w3.org/TR/trace-context-2/),
//! [Baggage](https://www.w3.org/TR/baggage/) and
//! [B3](https://github.com/openzipkin/b3-propagation); every rule and every illegal form stands in
//! `testdata/propagation/extract.json`, which all users of this module run.
//!
//! ```
//! use spanwise_model::propagate::{Extracted, inject};
//! use spanwise_model::SpanId;
//!
//! let headers = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03")];
//! let Extracted { parent: Some(parent), baggage, .. } = Extracted::from_pairs(&headers) else {
//!     unreachable!("the header is legal");
//! };
//! let own = parent.child(SpanId::from_bytes(&[1; 8]).unwrap(), parent.flags.is_sampled());
//! inject(&own, &baggage, &mut |name, value| {
//!     assert_eq!(name, "traceparent");
//!     assert_eq!(value, "00-0af7651916cd43dd8448eb211c80319c-0101010101010101-03");
//! });
//! ```

mod b3;
mod baggage;
mod traceparent;
mod tracestate;

use serde_json::{Map, Value as Json};

pub use baggage::{Baggage, InvalidEntry, Member};
pub use traceparent::{SpanContext, TraceFlags, Traceparent};
pub use tracestate::{InvalidMember, TraceState};

/// The headers that [`inject`] may write, which a caller's own copies have to make way for.
pub const HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// The header of an answer that tells which trace and span served the request. Its value is a
/// [`Traceparent`] whose span is the one that served, as is the description of the metric `trace`
/// in `Server-Timing`, which newer drafts prefer.
pub const TRACERESPONSE: &str = "traceresponse";

/// What a request said about the trace that it is part of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extracted {
    /// The caller's span; `None` starts a new trace, without the caller's tracestate.
    pub parent: Option<SpanContext>,
    /// What the caller decided about sampling. `None` where it did not: no caller, or one whose
    /// B3 headers defer the decision. A decision may come without a span (`b3: 0`).
    pub sampled: Option<bool>,
    /// What the application passes along; independent of the trace.
    pub baggage: Baggage,
    /// What was ignored because it broke a rule; for counters and debugging, never for an error
    /// towards the caller.
    pub problems: Vec<Problem>,
}

/// A header that was ignored, wholly or in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which one.
    pub header: &'static str,
    /// The rule that it broke.
    pub reason: &'static str,
}

/// Reads a request's context. `headers(name, each)` has to call `each` with every value of the
/// header of that lower-case name, matched without regard to case, in the order of arrival.
///
/// With only a `traceparent`, nothing is allocated.
pub fn extract(mut headers: impl FnMut(&'static str, &mut dyn FnMut(&[u8]))) -> Extracted {
    let mut extracted = Extracted::default();
    let mut parent = None;
    let mut n_parents = 0;
    headers("traceparent", &mut |value| {
        n_parents += 1;
        parent = Some(Traceparent::parse(value));
    });
    match parent {
        _ if n_parents > 1 => extracted.ignore("traceparent", "there is more than one"),
        None => b3::extract(&mut headers, &mut extracted),
        Some(Err(reason)) => extracted.ignore("traceparent", reason),
        Some(Ok(mut parent)) => {
            let mut reader = tracestate::Reader::default();
            headers("tracestate", &mut |value| reader.header(value));
            match reader.finish() {
                Ok(state) => parent.trace_state = state,
                Err(reason) => extracted.ignore("tracestate", reason),
            }
            extracted.sampled = Some(parent.flags.is_sampled());
            extracted.parent = Some(parent);
        }
    }
    let mut reader = baggage::Reader::default();
    headers("baggage", &mut |value| reader.header(value));
    if let Some(reason) = reader.ignored {
        extracted.ignore("baggage", reason);
    }
    extracted.baggage = reader.finish();
    extracted
}

/// Writes the context of a request: `set(name, value)` is called once for each header that there
/// is, in place of what the request may already carry under that name.
pub fn inject(context: &SpanContext, baggage: &Baggage, set: &mut impl FnMut(&'static str, &str)) {
    set("traceparent", context.traceparent().as_str());
    if !context.trace_state.is_empty() {
        set("tracestate", context.trace_state.as_str());
    }
    if !baggage.is_empty() {
        set("baggage", baggage.as_str());
    }
}

impl Extracted {
    /// Reads the context from a list of headers.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<[u8]>>(headers: &[(N, V)]) -> Self {
        extract(|name, each| {
            for (found, value) in headers {
                if found.as_ref().eq_ignore_ascii_case(name) {
                    each(value.as_ref());
                }
            }
        })
    }

    /// Reads the context from the object `params._meta` of a request of the Model Context
    /// Protocol, whose members are named like the headers.
    pub fn from_meta(meta: &Map<String, Json>) -> Self {
        extract(|name, each| match meta.get(name) {
            Some(Json::String(value)) => each(value.as_bytes()),
            Some(Json::Null) | None => {}
            Some(_) => each(b"not a string"),
        })
    }

    fn ignore(&mut self, header: &'static str, reason: &'static str) {
        self.problems.push(Problem { header, reason });
    }
}

/// Writes the context into the object `params._meta` of a request of the Model Context Protocol.
pub fn inject_meta(context: &SpanContext, baggage: &Baggage, meta: &mut Map<String, Json>) {
    for name in HEADERS {
        meta.shift_remove(name);
    }
    inject(context, baggage, &mut |name, value| {
        meta.insert(name.to_owned(), value.into());
    });
}

/// Without the spaces and tabs that HTTP allows around a value.
fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

#[cfg(test)]
mod tests;
