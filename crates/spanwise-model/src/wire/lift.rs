//! What OpenTelemetry's exporters put among the attributes (tags) of formats that have no place
//! for it, by its specification's "mapping to non-OTLP formats": read out of them and put there.

use super::text_form::text;
use crate::span::StatusCode;
use crate::{Attribute, Attributes, Kind, Resource, Scope, Span, Str, Value};

/// What was found among attributes.
#[derive(Debug, Default)]
pub(super) struct Lifted {
    pub(super) status_code: Option<StatusCode>,
    pub(super) description: Option<Str>,
    pub(super) kind: Option<Kind>,
    pub(super) trace_state: Str,
    pub(super) scope: Scope,
    dropped: [u32; 3],
}

/// Takes the attributes that have a meaning of their own out of `attributes`.
pub(super) fn lift(attributes: &mut Attributes) -> Lifted {
    let mut lifted = Lifted::default();
    let mut library = Scope::default();
    attributes.0.retain(|Attribute { key, value }| !lifted.take(&mut library, key, value));
    if lifted.scope.name.is_empty() {
        lifted.scope.name = library.name;
    }
    if lifted.scope.version.is_empty() {
        lifted.scope.version = library.version;
    }
    lifted
}

impl Lifted {
    /// Takes an attribute; says whether it was one of those and made sense.
    fn take(&mut self, library: &mut Scope, key: &str, value: &Value) -> bool {
        let place = match key {
            "otel.dropped_attributes_count" => return take_count(&mut self.dropped[0], value),
            "otel.dropped_events_count" => return take_count(&mut self.dropped[1], value),
            "otel.dropped_links_count" => return take_count(&mut self.dropped[2], value),
            "otel.scope.name" => &mut self.scope.name,
            "otel.scope.version" => &mut self.scope.version,
            "otel.library.name" => &mut library.name,
            "otel.library.version" => &mut library.version,
            "w3c.tracestate" => &mut self.trace_state,
            "otel.status_description" => self.description.get_or_insert_default(),
            "otel.status_code" => {
                let code = value.as_str().and_then(status_code);
                self.status_code = code.or(self.status_code);
                return code.is_some();
            }
            "span.kind" => {
                let kind = value.as_str().and_then(kind);
                self.kind = kind.or(self.kind);
                return kind.is_some();
            }
            _ => return false,
        };
        if let Value::String(text) = value {
            *place = text.clone();
        }
        matches!(value, Value::String(_))
    }

    pub(super) fn counts(&self, span: &mut Span) {
        let [attributes, events, links] = self.dropped;
        span.dropped_attributes_count = attributes;
        span.dropped_events_count = events;
        span.dropped_links_count = links;
    }
}

fn take_count(place: &mut u32, value: &Value) -> bool {
    let count = text(value).parse();
    if let Ok(count) = count {
        *place = count;
    }
    count.is_ok()
}

fn status_code(name: &str) -> Option<StatusCode> {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("status_code_").unwrap_or(&name) {
        "ok" => Some(StatusCode::Ok),
        "error" => Some(StatusCode::Error),
        "unset" => Some(StatusCode::Unset),
        _ => None,
    }
}

fn kind(name: &str) -> Option<Kind> {
    let known = [
        Kind::Unspecified,
        Kind::Internal,
        Kind::Server,
        Kind::Client,
        Kind::Producer,
        Kind::Consumer,
    ];
    known.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(name))
}

/// The attributes to write for what a format has no place for. The status description is not
/// among them, because every format has its own place for an error's message.
pub(super) fn sink(span: &Span) -> Vec<(&'static str, Value)> {
    let Scope { name, version, .. } = &*span.scope;
    let mut sunk = Vec::new();
    // The older names are for older readers.
    for (keys, value) in [
        (["otel.scope.name", "otel.library.name"], name),
        (["otel.scope.version", "otel.library.version"], version),
    ] {
        if !value.is_empty() {
            sunk.extend(keys.map(|key| (key, Value::String(value.clone()))));
        }
    }
    if !span.trace_state.is_empty() {
        sunk.push(("w3c.tracestate", Value::String(span.trace_state.clone())));
    }
    for (key, count) in [
        ("otel.dropped_attributes_count", span.dropped_attributes_count),
        ("otel.dropped_events_count", span.dropped_events_count),
        ("otel.dropped_links_count", span.dropped_links_count),
    ] {
        if count > 0 {
            sunk.push((key, Value::Int(count.into())));
        }
    }
    match span.status.code {
        StatusCode::Unset => {}
        StatusCode::Ok => sunk.push(("otel.status_code", "OK".into())),
        StatusCode::Error => sunk.push(("otel.status_code", "ERROR".into())),
    }
    sunk
}

/// Which attributes describe the producer of a span rather than the span.
const RESOURCE_PREFIXES: [&str; 9] = [
    "telemetry.sdk.",
    "service.",
    "deployment.",
    "host.",
    "process.",
    "k8s.",
    "cloud.",
    "container.",
    "os.",
];

/// The resource of a span whose attributes were written among the span's: `service` is its name
/// as far as the format has one, and beats an attribute of that meaning.
pub(super) fn lift_resource(attributes: &mut Attributes, service: Option<Str>) -> Resource {
    let mut resource = Attributes::default();
    let is_resource = |attribute: &mut Attribute| {
        RESOURCE_PREFIXES.iter().any(|prefix| attribute.key.starts_with(prefix))
    };
    let service = service.filter(|name| !name.is_empty());
    let taken = attributes.0.extract_if(.., is_resource);
    resource
        .0
        .extend(taken.filter(|attribute| service.is_none() || attribute.key != "service.name"));
    if let Some(name) = service {
        resource
            .0
            .insert(0, Attribute { key: Str::from_static("service.name"), value: name.into() });
    }
    Resource { attributes: resource, ..Resource::default() }
}

/// Removes all attributes of a key and returns the last one's value.
pub(super) fn take(attributes: &mut Attributes, key: &str) -> Option<Value> {
    attributes.0.extract_if(.., |attribute| attribute.key == key).last().map(|taken| taken.value)
}
