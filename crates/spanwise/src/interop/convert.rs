//! OpenTelemetry's types from ours, and ours from OpenTelemetry's.

use std::time::SystemTime;

use opentelemetry::baggage::Baggage as OtelBaggage;
use opentelemetry::trace::{
    SpanContext as OtelSpanContext, SpanKind, TraceFlags as OtelFlags, TraceState as OtelState,
};
use opentelemetry::{Array, InstrumentationScope, KeyValue, Value as OtelValue};
use spanwise_model::propagate::{Baggage, SpanContext, TraceFlags, TraceState};
use spanwise_model::wire::otlp::ValueRef;
use spanwise_model::{Attributes, Kind, Scope, SpanId, TraceId, Value};

use crate::context::Context;

pub fn context_out(context: &Context) -> OtelSpanContext {
    span_context_out(&context.span_context(), context.is_remote())
}

pub fn span_context_out(context: &SpanContext, is_remote: bool) -> OtelSpanContext {
    OtelSpanContext::new(
        opentelemetry::TraceId::from_bytes(*context.trace_id.as_bytes()),
        opentelemetry::SpanId::from_bytes(*context.span_id.as_bytes()),
        OtelFlags::new(context.flags.bits()),
        is_remote,
        state_out(&context.trace_state),
    )
}

fn state_out(state: &TraceState) -> OtelState {
    if state.is_empty() {
        return OtelState::default();
    }
    OtelState::from_key_value(state.members()).unwrap_or_default()
}

/// `None` for a context that is no span's.
pub fn span_context_in(context: &OtelSpanContext) -> Option<SpanContext> {
    let state = context.trace_state().header();
    Some(SpanContext {
        trace_id: TraceId::from_bytes(&context.trace_id().to_bytes()).ok()?,
        span_id: SpanId::from_bytes(&context.span_id().to_bytes()).ok()?,
        flags: TraceFlags::from_bits(context.trace_flags().to_u8()),
        trace_state: TraceState::parse(state.as_bytes()).unwrap_or_default(),
    })
}

pub fn context_in(context: &OtelSpanContext) -> Option<Context> {
    let own = Context::remote(span_context_in(context)?, Baggage::default());
    Some(if context.is_remote() { own } else { own.local() })
}

pub fn baggage_out(baggage: &Baggage) -> Vec<KeyValue> {
    let owned = |member: spanwise_model::propagate::Member<'_>| {
        KeyValue::new(member.key.to_owned(), member.value().into_owned())
    };
    baggage.members().map(owned).collect()
}

/// What breaks the rules of W3C's header is left out.
pub fn baggage_in(baggage: &OtelBaggage) -> Baggage {
    let mut own = Baggage::default();
    for (key, (value, _)) in baggage {
        own.insert(key.as_str(), value.as_str()).unwrap_or_default();
    }
    own
}

/// Shows a value without a copy where there is nothing to convert.
pub fn with_value<R>(value: &OtelValue, show: impl FnOnce(ValueRef<'_>) -> R) -> R {
    match value {
        OtelValue::Bool(truth) => show(ValueRef::Bool(*truth)),
        OtelValue::I64(number) => show(ValueRef::Int(*number)),
        OtelValue::F64(number) => show(ValueRef::Double(*number)),
        OtelValue::String(text) => show(ValueRef::String(text.as_str())),
        OtelValue::Array(array) => show(ValueRef::Any(&Value::Array(array_in(array)))),
        other => show(ValueRef::String(&other.as_str())),
    }
}

fn array_in(array: &Array) -> Vec<Value> {
    match array {
        Array::Bool(values) => values.iter().map(|truth| Value::Bool(*truth)).collect(),
        Array::I64(values) => values.iter().map(|number| Value::Int(*number)).collect(),
        Array::F64(values) => values.iter().map(|number| Value::Double(*number)).collect(),
        Array::String(values) => {
            values.iter().map(|text| Value::from(text.as_str().to_owned())).collect()
        }
        other => vec![Value::from(other.to_string())],
    }
}

pub fn attributes_in<'k>(attributes: impl IntoIterator<Item = &'k KeyValue>) -> Attributes {
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method itself is not general enough over the lifetime"
    )]
    let own = |attribute: &KeyValue| {
        let value = with_value(&attribute.value, |value| value.into_owned());
        (attribute.key.as_str().to_owned(), value)
    };
    attributes.into_iter().map(own).collect()
}

pub fn kind_in(kind: &SpanKind) -> Kind {
    match kind {
        SpanKind::Client => Kind::Client,
        SpanKind::Server => Kind::Server,
        SpanKind::Producer => Kind::Producer,
        SpanKind::Consumer => Kind::Consumer,
        SpanKind::Internal => Kind::Internal,
    }
}

pub fn scope_in(scope: &InstrumentationScope) -> Scope {
    Scope {
        name: scope.name().to_owned().into(),
        version: scope.version().unwrap_or_default().to_owned().into(),
        schema_url: scope.schema_url().unwrap_or_default().to_owned().into(),
        attributes: attributes_in(scope.attributes()),
        ..Scope::default()
    }
}

pub fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
