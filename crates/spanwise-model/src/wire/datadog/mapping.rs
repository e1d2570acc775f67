//! Datadog's spans as ours.

use std::collections::HashMap;

use super::msgpack::whole;
use super::{OTEL_TRACE_ID, TRACE_ID_HIGH, Tracer};
use crate::span::StatusCode;
use crate::wire::draft::{Draft, Ids, Shared};
use crate::wire::lift::{Lifted, lift, lift_resource, take};
use crate::wire::text_form::{parse_json, text};
use crate::{
    Attribute, Attributes, Event, Kind, Link, Resource, Scope, Span, SpanId, Status, Str, TraceId,
    Value,
};

/// What holds for all chunks of a request.
pub(super) struct Payload {
    pub(super) container_id: Str,
    pub(super) language: Str,
    pub(super) tracer_version: Str,
    pub(super) runtime_id: Str,
    pub(super) env: Str,
    pub(super) hostname: Str,
    pub(super) app_version: Str,
    resources: Shared<Resource>,
    scopes: Shared<Scope>,
}

impl Payload {
    pub(super) fn of(tracer: Tracer<'_>) -> Self {
        Payload {
            container_id: tracer.container_id.into(),
            language: tracer.language.into(),
            tracer_version: tracer.version.into(),
            runtime_id: Str::new(),
            env: Str::new(),
            hostname: Str::new(),
            app_version: Str::new(),
            resources: Shared::default(),
            scopes: Shared::default(),
        }
    }
}

/// Spans of one trace that were sent together.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) spans: Vec<DatadogSpan>,
    pub(super) tags: Attributes,
}

#[derive(Default)]
pub(super) struct DatadogSpan {
    pub(super) service: Str,
    pub(super) name: Str,
    pub(super) resource: Str,
    pub(super) span_type: Str,
    pub(super) trace_id: u64,
    pub(super) span_id: u64,
    pub(super) parent_id: u64,
    pub(super) start: i64,
    pub(super) duration: i64,
    pub(super) is_error: bool,
    pub(super) meta: Attributes,
    pub(super) metrics: Attributes,
    pub(super) meta_struct: Attributes,
    pub(super) links: Vec<DatadogLink>,
    pub(super) events: Vec<DatadogEvent>,
}

#[derive(Default)]
pub(super) struct DatadogLink {
    pub(super) trace_id: u64,
    pub(super) trace_id_high: u64,
    pub(super) span_id: u64,
    pub(super) attributes: Attributes,
    pub(super) trace_state: Str,
    pub(super) flags: u32,
}

#[derive(Default)]
pub(super) struct DatadogEvent {
    pub(super) time_unix_nano: u64,
    pub(super) name: Str,
    pub(super) attributes: Attributes,
}

/// Takes the spans of a chunk into the draft; fails only when the request takes too much.
pub(super) fn settle(draft: &mut Draft, payload: &mut Payload, chunk: Chunk) -> Result<(), String> {
    // Only some spans of a chunk, usually the first, have the high half of the trace's id.
    let of_chunk = chunk.tags.str(TRACE_ID_HIGH).and_then(high_half);
    let tagged =
        |span: &DatadogSpan| Some((span.trace_id, high_half(span.meta.str(TRACE_ID_HIGH)?)?));
    let high: HashMap<u64, u64> = chunk.spans.iter().filter_map(tagged).collect();
    for span in chunk.spans {
        let high = high.get(&span.trace_id).copied().or(of_chunk).unwrap_or_default();
        let whole = u128::from(high) << 64 | u128::from(span.trace_id);
        let otel = span.meta.str(OTEL_TRACE_ID).and_then(|hex| hex.parse::<TraceId>().ok());
        let trace_id = otel.map_or(whole.to_be_bytes(), |id| *id.as_bytes());
        let (span_id, parent_id) = (span.span_id.to_be_bytes(), span.parent_id.to_be_bytes());
        match Ids::from_bytes(&trace_id, &span_id, &parent_id) {
            Ok(ids) => {
                let span = into_span(draft, payload, span, &ids, otel.is_some());
                draft.take_span(span);
            }
            Err(reason) => draft.reject(&span.name, reason)?,
        }
    }
    Ok(())
}

fn high_half(hex: &str) -> Option<u64> {
    u64::from_str_radix(hex, 16).ok()
}

fn into_span(
    draft: &mut Draft,
    payload: &mut Payload,
    mut datadog: DatadogSpan,
    ids: &Ids,
    is_otel: bool,
) -> Span {
    let mut attributes = std::mem::take(&mut datadog.meta);
    if is_otel {
        take(&mut attributes, OTEL_TRACE_ID);
    }
    let mut events = events(draft, &mut attributes, std::mem::take(&mut datadog.events));
    let links = links(draft, &mut attributes, std::mem::take(&mut datadog.links));
    let lifted = lift(&mut attributes);
    let resource = resource(payload, &datadog.service, &mut attributes);
    let metrics = datadog.metrics.0.drain(..);
    attributes
        .0
        .extend(metrics.map(|Attribute { key, value }| Attribute { key, value: metric(value) }));
    for Attribute { key, value } in datadog.meta_struct.0.drain(..) {
        attributes.push(key, structured(draft, value));
    }
    let name = if is_otel { datadog.resource.clone() } else { name(&datadog, &mut attributes) };
    let start = u64::try_from(datadog.start).unwrap_or_default();
    let end = start.saturating_add(u64::try_from(datadog.duration).unwrap_or_default());
    if datadog.is_error && !is_otel {
        events.extend(exception(&attributes, &events, end));
    }
    let mut span = Span {
        trace_id: ids.trace,
        span_id: ids.span,
        parent_span_id: ids.parent,
        trace_state: lifted.trace_state.clone(),
        flags: 0,
        name,
        kind: lifted.kind.unwrap_or_else(|| kind(&datadog.span_type)),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        status: status(&datadog, &lifted, &attributes, is_otel),
        attributes,
        dropped_attributes_count: 0,
        events,
        dropped_events_count: 0,
        links,
        dropped_links_count: 0,
        resource: payload.resources.share(resource),
        scope: payload.scopes.share(scope(&lifted, &payload.tracer_version, is_otel)),
    };
    lifted.counts(&mut span);
    span
}

/// Types whose "resource" says what was done, rather than the name of the operation.
const NAMED_BY_RESOURCE: [&str; 14] = [
    "web",
    "http",
    "db",
    "sql",
    "redis",
    "memcached",
    "cache",
    "mongodb",
    "cassandra",
    "elasticsearch",
    "opensearch",
    "rpc",
    "grpc",
    "graphql",
];

/// The span's name; all that Datadog calls it becomes attributes.
fn name(datadog: &DatadogSpan, attributes: &mut Attributes) -> Str {
    for (key, value) in [
        ("datadog.name", &datadog.name),
        ("datadog.resource", &datadog.resource),
        ("datadog.type", &datadog.span_type),
    ] {
        if !value.is_empty() {
            attributes.push(key, value.clone());
        }
    }
    let by_resource = NAMED_BY_RESOURCE.contains(&&*datadog.span_type) || datadog.name.is_empty();
    if by_resource && !datadog.resource.is_empty() {
        datadog.resource.clone()
    } else {
        datadog.name.clone()
    }
}

fn kind(span_type: &str) -> Kind {
    match span_type {
        "web" => Kind::Server,
        "queue" | "worker" => Kind::Consumer,
        "graphql" => Kind::Internal,
        named if NAMED_BY_RESOURCE.contains(&named) => Kind::Client,
        _ => Kind::Internal,
    }
}

fn status(
    datadog: &DatadogSpan,
    lifted: &Lifted,
    attributes: &Attributes,
    is_otel: bool,
) -> Status {
    let code = match lifted.status_code {
        _ if datadog.is_error => StatusCode::Error,
        code => code.unwrap_or_default(),
    };
    let mut message = lifted.description.clone().unwrap_or_default();
    if message.is_empty() && !is_otel && datadog.is_error {
        let said = ["error.message", "error.msg"].iter().find_map(|key| attributes.str(key));
        message = said.map(Str::from).unwrap_or_default();
    }
    Status { code, message }
}

/// What the tags `error.…` say, as OpenTelemetry's event, unless that is there already.
fn exception(attributes: &Attributes, events: &[Event], time_unix_nano: u64) -> Option<Event> {
    if events.iter().any(|event| event.name == "exception") {
        return None;
    }
    let mut exception = Attributes::default();
    for (from, to) in [
        ("error.type", "exception.type"),
        ("error.message", "exception.message"),
        ("error.stack", "exception.stacktrace"),
    ] {
        if let Some(value @ Value::String(_)) = attributes.get(from) {
            exception.push(to, value.clone());
        }
    }
    (!exception.is_empty()).then(|| Event {
        time_unix_nano,
        name: Str::from_static("exception"),
        attributes: exception,
        dropped_attributes_count: 0,
    })
}

/// The service, its environment and version, and what else the attributes and the payload say
/// about the producer.
fn resource(payload: &Payload, service: &Str, attributes: &mut Attributes) -> Resource {
    let mut resource = lift_resource(attributes, Some(service.clone()));
    let mut add = |key: &'static str, value: Option<Value>, default: &Str| {
        let default = Some(default).filter(|text| !text.is_empty());
        if resource.attributes.get(key).is_none()
            && let Some(value) = value.or_else(|| default.cloned().map(Value::String))
        {
            resource.attributes.push(key, value);
        }
    };
    add("deployment.environment.name", take(attributes, "env"), &payload.env);
    add("service.version", take(attributes, "version"), &payload.app_version);
    add("service.instance.id", None, &payload.runtime_id);
    add("host.name", take(attributes, "_dd.hostname"), &payload.hostname);
    add("container.id", None, &payload.container_id);
    add("telemetry.sdk.language", None, &payload.language);
    add("telemetry.sdk.version", None, &payload.tracer_version);
    resource
}

fn scope(lifted: &Lifted, tracer_version: &Str, is_otel: bool) -> Scope {
    if is_otel || !lifted.scope.name.is_empty() {
        return lifted.scope.clone();
    }
    Scope { name: Str::from_static("datadog"), version: tracer_version.clone(), ..Scope::default() }
}

/// Tracers write integers as floats.
fn metric(value: Value) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Double(number) if number.fract() == 0.0 && number.abs() <= EXACT => {
            Value::Int(number as i64)
        }
        other => other,
    }
}

/// Values of `meta_struct` are MessagePack in MessagePack.
fn structured(draft: &mut Draft, value: Value) -> Value {
    match value {
        Value::Bytes(bytes) => whole(&bytes, draft).unwrap_or(Value::Bytes(bytes)),
        plain => plain,
    }
}

/// The events of a span, or those that older tracers write as JSON into a tag.
fn events(draft: &mut Draft, attributes: &mut Attributes, events: Vec<DatadogEvent>) -> Vec<Event> {
    let mut found: Vec<Event> = events
        .into_iter()
        .map(|event| Event {
            time_unix_nano: event.time_unix_nano,
            name: event.name,
            attributes: event.attributes,
            dropped_attributes_count: 0,
        })
        .collect();
    if let Some(list) = json_list(draft, attributes, "events") {
        found.extend(list.into_iter().map(|mut event| Event {
            time_unix_nano: event.get("time_unix_nano").map_or(0, time),
            name: text_of(&event, "name"),
            attributes: map_of(&mut event, "attributes"),
            dropped_attributes_count: 0,
        }));
    }
    found
}

/// The links of a span, or those that older tracers write as JSON into a tag.
fn links(draft: &mut Draft, attributes: &mut Attributes, links: Vec<DatadogLink>) -> Vec<Link> {
    let mut found = Vec::new();
    for link in links {
        let trace_id = u128::from(link.trace_id_high) << 64 | u128::from(link.trace_id);
        match Ids::from_bytes(&trace_id.to_be_bytes(), &link.span_id.to_be_bytes(), &[]) {
            Ok(Ids { trace, span, .. }) => found.push(Link {
                trace_id: trace,
                span_id: span,
                trace_state: link.trace_state,
                attributes: link.attributes,
                dropped_attributes_count: 0,
                // The flags count only if this bit says that they were set.
                flags: if link.flags >> 31 == 1 { link.flags & 0xff } else { 0 },
            }),
            Err(reason) => draft.repairs.note_bad_link(&reason),
        }
    }
    for mut link in json_list(draft, attributes, "_dd.span_links").unwrap_or_default() {
        let hex = |key: &str| text_of(&link, key);
        if let (Ok(trace_id), Ok(span_id)) =
            (hex("trace_id").parse::<TraceId>(), hex("span_id").parse::<SpanId>())
        {
            found.push(Link {
                trace_id,
                span_id,
                trace_state: text_of(&link, "tracestate"),
                flags: link.get("flags").map_or(0, time) as u32 & 0xff,
                attributes: map_of(&mut link, "attributes"),
                dropped_attributes_count: 0,
            });
        } else {
            draft.repairs.note_bad_link("ids are not hexadecimal");
        }
    }
    found
}

/// Takes a tag that holds a list of objects in JSON.
fn json_list(draft: &mut Draft, attributes: &mut Attributes, key: &str) -> Option<Vec<Attributes>> {
    let text = attributes.str(key).filter(|text| text.starts_with('['))?;
    let Value::Array(items) = parse_json(text, &mut draft.budget)? else { return None };
    let objects: Option<Vec<Attributes>> = items
        .into_iter()
        .map(|item| match item {
            Value::Map(entries) => Some(entries),
            _ => None,
        })
        .collect();
    if objects.is_some() {
        take(attributes, key);
    }
    objects
}

fn text_of(object: &Attributes, key: &str) -> Str {
    object.str(key).map(Str::from).unwrap_or_default()
}

fn map_of(object: &mut Attributes, key: &str) -> Attributes {
    match take(object, key) {
        Some(Value::Map(entries)) => entries,
        _ => Attributes::default(),
    }
}

fn time(value: &Value) -> u64 {
    match value {
        Value::Double(number) => *number as u64,
        other => text(other).parse().unwrap_or_default(),
    }
}
