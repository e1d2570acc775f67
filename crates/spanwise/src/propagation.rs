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

/// Hosts of model providers, and of everything below them.
const PROVIDER_HOSTS: [&str; 18] = [
    "api.openai.com",
    "openai.azure.com",
    "api.anthropic.com",
    "generativelanguage.googleapis.com",
    "aiplatform.googleapis.com",
    "api.mistral.ai",
    "api.cohere.com",
    "api.cohere.ai",
    "api.groq.com",
    "api.deepseek.com",
    "api.x.ai",
    "api.together.xyz",
    "api.perplexity.ai",
    "api.fireworks.ai",
    "openrouter.ai",
    "api-inference.huggingface.co",
    "router.huggingface.co",
    "api.voyageai.com",
];

/// Whether a host is a model provider's, who has no use for a trace's context.
pub fn is_model_provider(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let host = host.trim_end_matches('.');
    let is_known = PROVIDER_HOSTS.iter().any(|known| {
        // `europe-west1-aiplatform.googleapis.com` is `aiplatform.googleapis.com` somewhere.
        let before = host.strip_suffix(known);
        before.is_some_and(|before| before.is_empty() || before.ends_with(['.', '-']))
    });
    let is_bedrock =
        ["bedrock-runtime.", "bedrock-runtime-fips."].iter().any(|start| host.starts_with(start));
    is_known || (is_bedrock && host.ends_with(".amazonaws.com"))
}

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
