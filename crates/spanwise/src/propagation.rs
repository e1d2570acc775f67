//! Trace context in the headers of requests and messages: W3C Trace Context and Baggage out, those
//! or B3 in.
//!
//! ```
//! # let recorder = spanwise::Recorder::new(Default::default());
//! # spanwise::set_default(Some(recorder));
//! use std::collections::HashMap;
//! use spanwise::{Span, propagation};
//!
//! // The caller, in a span:
//! let call = spanwise::span("call").enter();
//! let mut headers = HashMap::new();
//! propagation::inject(|name, value| {
//!     headers.insert(name, value.to_owned());
//! });
//!
//! // The callee joins the caller's trace:
//! let caller = propagation::extract(|name| headers.get(name).map(String::as_str)).unwrap();
//! let _caller = Span::remote(caller.clone()).enter();
//! let serve = spanwise::span("serve");
//! assert_eq!(serve.context().unwrap().trace_id, caller.trace_id);
//! ```

use spanwise_model::propagate::{self, Extracted};

use crate::context::Context;
use crate::span::current_context;

/// Writes the current span's context: `set(name, value)` is called for each header, to be put in
/// place of what is there under that name. Nothing is called where there is no span.
pub fn inject(set: impl FnMut(&'static str, &str)) {
    if let Some(context) = current_context() {
        inject_context(&context, set);
    }
}

/// Writes a span's context.
pub fn inject_context(context: &Context, mut set: impl FnMut(&'static str, &str)) {
    propagate::inject(&context.span_context(), &context.baggage(), &mut set);
}

/// Writes the current span's context as B3's single header, for callees that know nothing else.
///
/// ```
/// # let recorder = spanwise::Recorder::new(Default::default());
/// # spanwise::set_default(Some(recorder));
/// let _call = spanwise::span("call").enter();
/// spanwise::propagation::inject_b3(|name, value| {
///     assert_eq!((name, value.len()), ("b3", 32 + 1 + 16 + 2));
/// });
/// ```
pub fn inject_b3(set: impl FnOnce(&'static str, &str)) {
    if let Some(context) = current_context() {
        let decision = if context.is_sampled() { '1' } else { '0' };
        set("b3", &format!("{}-{}-{decision}", context.trace_id, context.span_id));
    }
}

/// Reads the caller's context; `get` is asked for the value of a header by its lower-case name.
/// `None` where the caller is in no trace, or what it says breaks the rules.
pub fn extract<'h>(get: impl Fn(&str) -> Option<&'h str>) -> Option<Context> {
    extract_all(|name, each| {
        if let Some(value) = get(name) {
            each(value.as_bytes());
        }
    })
}

/// The same where a header may be there several times: see [`propagate::extract`].
pub fn extract_all(headers: impl FnMut(&'static str, &mut dyn FnMut(&[u8]))) -> Option<Context> {
    let Extracted { parent, baggage, .. } = propagate::extract(headers);
    Some(Context::remote(parent?, baggage))
}

/// Writes the current span's context into the headers of an HTTP request.
///
/// ```
/// # let recorder = spanwise::Recorder::new(Default::default());
/// # spanwise::set_default(Some(recorder));
/// use spanwise::propagation::{extract_headers, inject_headers};
///
/// let call = spanwise::span("call").enter();
/// let mut headers = http::HeaderMap::new();
/// inject_headers(&mut headers);
/// assert_eq!(
///     extract_headers(&headers).unwrap().span_id,
///     spanwise::current_context().unwrap().span_id,
/// );
/// ```
#[cfg(feature = "http")]
pub fn inject_headers(headers: &mut http::HeaderMap) {
    inject(|name, value| {
        if let Ok(value) = http::HeaderValue::from_str(value) {
            headers.insert(http::HeaderName::from_static(name), value);
        }
    });
}

/// Reads the caller's context from the headers of an HTTP request.
#[cfg(feature = "http")]
pub fn extract_headers(headers: &http::HeaderMap) -> Option<Context> {
    extract_all(|name, each| {
        headers.get_all(name).iter().for_each(|value| each(value.as_bytes()));
    })
}
