//! Repairs what producers get wrong, and says so on the span.
//!
//! One function per rule, chained by a list. A rule either repairs (and its warning tells what
//! was there before) or only warns: nothing but a repeated key is ever taken away, and that
//! warning names the key. Running the rules again changes nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use spanwise_model::stored::MISSING_END;
use spanwise_model::{
    Attributes, Resource, Scope, Span, SpanId, StoredSpan, Str, TraceId, Warning,
};

/// What a span is called that came without a name.
pub const UNNAMED: &str = "unnamed";
/// Keys longer than this are kept but warned about: they are almost certainly a mistake, and no
/// column or suggestion list will show them.
const LONG_KEY_BYTES: usize = 64 << 10;
/// More attributes than this on one span are kept but warned about.
const MANY_ATTRIBUTES: usize = 10_000;
/// 2000-01-01 and 2200-01-01: times outside are kept but cannot be meant.
const PLAUSIBLE_UNIX_NANO: std::ops::Range<u64> =
    946_684_800_000_000_000..7_258_118_400_000_000_000;
/// Below this many attributes comparing all pairs is faster than hashing.
const FEW_ATTRIBUTES: usize = 32;

/// What a rule works on.
struct Patient<'a> {
    span: &'a mut Span,
    received_unix_nano: u64,
    warnings: &'a mut Vec<Warning>,
}

impl Patient<'_> {
    /// Adds a warning unless the span carries it already, so that a second run adds nothing.
    fn warn(&mut self, kind: &'static str, message: impl Into<Str>) {
        let warning = Warning::new(kind, message);
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

type Rule = fn(&mut Patient<'_>);

/// The rules for spans, in order: missing times must be filled before they are compared.
const SPAN_RULES: [Rule; 11] = [
    pending_span,
    empty_name,
    own_parent,
    missing_times,
    negative_duration,
    implausible_times,
    missing_event_times,
    repeated_keys,
    repeated_keys_of_events_and_links,
    odd_keys,
    many_attributes,
];

/// The rules for log records, which have one time and may be nameless.
const LOG_RULES: [Rule; 5] =
    [missing_times, implausible_times, repeated_keys, odd_keys, many_attributes];

/// Repairs one span.
pub fn span(span: &mut Span, received_unix_nano: u64, warnings: &mut Vec<Warning>) {
    let mut patient = Patient { span, received_unix_nano, warnings };
    for rule in SPAN_RULES {
        rule(&mut patient);
    }
}

/// Repairs the row of one log record.
pub fn log_event(span: &mut Span, received_unix_nano: u64, warnings: &mut Vec<Warning>) {
    let mut patient = Patient { span, received_unix_nano, warnings };
    for rule in LOG_RULES {
        rule(&mut patient);
    }
}

/// Rule U4: when a span starts, Logfire sends a placeholder below it, with an id of its own and the
/// name of its parent in an attribute. It becomes the running form of the span it stands for.
fn pending_span(patient: &mut Patient<'_>) {
    let span = &mut *patient.span;
    if span.attributes.str("logfire.span_type") != Some("pending_span") {
        return;
    }
    let parent = span.attributes.str("logfire.pending_parent_id");
    // A root's parent is written as zeros.
    let parent: Option<SpanId> = parent.and_then(|id| id.parse().ok());
    let Some(stands_for) = span.parent_span_id.filter(|_| span.parent_span_id != parent) else {
        return;
    };
    span.span_id = stands_for;
    span.parent_span_id = parent;
    span.end_time_unix_nano = 0;
    if let Some(name) = span.name.strip_suffix(" (pending)") {
        span.name = Str::from(name);
    }
}

fn empty_name(patient: &mut Patient<'_>) {
    if patient.span.name.trim().is_empty() {
        patient.span.name = Str::from_static(UNNAMED);
        patient.warn("empty_name", Str::from_static("the span had no name"));
    }
}

fn own_parent(patient: &mut Patient<'_>) {
    if patient.span.parent_span_id == Some(patient.span.span_id) {
        patient.span.parent_span_id = None;
        patient.warn("own_parent", Str::from_static("the span named itself as its parent"));
    }
}

/// Rule L5: a missing end is the start, a missing start the end; without both, the arrival.
fn missing_times(patient: &mut Patient<'_>) {
    let (start, end) = (patient.span.start_time_unix_nano, patient.span.end_time_unix_nano);
    match (start, end) {
        (0, 0) => {
            patient.span.start_time_unix_nano = patient.received_unix_nano;
            patient.span.end_time_unix_nano = patient.received_unix_nano;
            if patient.received_unix_nano != 0 {
                let message = "no start and no end; shown at the time of arrival";
                patient.warn("missing_times", Str::from_static(message));
            }
        }
        (0, _) => {
            patient.span.start_time_unix_nano = end;
            patient.warn("missing_start", Str::from_static("no start; taken as the end"));
        }
        (_, 0) => {
            patient.span.end_time_unix_nano = start;
            patient.warn(MISSING_END, Str::from_static("no end: running, or lost"));
        }
        _ => {}
    }
}

fn negative_duration(patient: &mut Patient<'_>) {
    let (start, end) = (patient.span.start_time_unix_nano, patient.span.end_time_unix_nano);
    if end < start {
        patient.span.end_time_unix_nano = start;
        let message = format!(
            "ended {} ns before its start (end was {end}); taken as the start",
            start - end
        );
        patient.warn("negative_duration", message);
    }
}

fn implausible_times(patient: &mut Patient<'_>) {
    let (start, end) = (patient.span.start_time_unix_nano, patient.span.end_time_unix_nano);
    if !PLAUSIBLE_UNIX_NANO.contains(&start) || !PLAUSIBLE_UNIX_NANO.contains(&end) {
        let message = "the time is before 2000 or after 2199; is the unit nanoseconds?";
        patient.warn("implausible_time", Str::from_static(message));
    }
}

fn missing_event_times(patient: &mut Patient<'_>) {
    let start = patient.span.start_time_unix_nano;
    let mut n_repaired = 0_usize;
    if start != 0 {
        for event in patient.span.events.iter_mut().filter(|event| event.time_unix_nano == 0) {
            event.time_unix_nano = start;
            n_repaired += 1;
        }
    }
    if n_repaired > 0 {
        let message = format!("{n_repaired} events had no time; taken as the span's start");
        patient.warn("missing_event_time", message);
    }
}

fn repeated_keys(patient: &mut Patient<'_>) {
    if let Some(key) = keep_last(&mut patient.span.attributes) {
        patient.warn(REPEATED_KEY, repeated(&key));
    }
}

fn repeated_keys_of_events_and_links(patient: &mut Patient<'_>) {
    let mut found = None;
    for event in &mut patient.span.events {
        found = keep_last(&mut event.attributes).or(found);
    }
    for link in &mut patient.span.links {
        found = keep_last(&mut link.attributes).or(found);
    }
    if let Some(key) = found {
        patient.warn(REPEATED_KEY, format!("in an event or link, {}", repeated(&key)));
    }
}

const REPEATED_KEY: &str = "repeated_key";

fn repeated(key: &str) -> String {
    format!("key {:?} was given more than once; the last value was kept", shortened(key))
}

/// The start of a key, for messages: keys may be megabytes long.
fn shortened(key: &str) -> &str {
    key.char_indices().nth(100).map_or(key, |(end, _)| &key[..end])
}

fn odd_keys(patient: &mut Patient<'_>) {
    let attributes = &patient.span.attributes;
    let longest = attributes.iter().map(|a| a.key.len()).max().unwrap_or(0);
    let has_empty = attributes.iter().any(|a| a.key.is_empty());
    if longest > LONG_KEY_BYTES {
        let message = format!("an attribute key is {longest} bytes long; kept, but not searchable");
        patient.warn("long_key", message);
    }
    if has_empty {
        patient.warn("empty_key", Str::from_static("an attribute has an empty key; kept"));
    }
}

fn many_attributes(patient: &mut Patient<'_>) {
    let n_attributes = patient.span.attributes.len();
    if n_attributes > MANY_ATTRIBUTES {
        patient.warn("many_attributes", format!("{n_attributes} attributes; all were kept"));
    }
}

/// Drops all but the last value of each key; the answer is one of the repeated keys.
fn keep_last(attributes: &mut Attributes) -> Option<Str> {
    let list = &mut attributes.0;
    let repeats = if list.len() <= FEW_ATTRIBUTES {
        let repeats_later = |i: usize| list[i + 1..].iter().any(|later| later.key == list[i].key);
        (0..list.len()).find(|&i| repeats_later(i))
    } else {
        let mut seen = HashSet::with_capacity(list.len());
        (0..list.len()).find(|&i| !seen.insert(&*list[i].key))
    };
    let key = list[repeats?].key.clone();
    let mut seen = HashSet::with_capacity(list.len());
    list.reverse();
    list.retain(|attribute| seen.insert(attribute.key.clone()));
    list.reverse();
    Some(key)
}

/// Repairs resources and scopes, which many spans share: each is looked at once per run of spans.
#[derive(Default)]
pub struct Shared {
    resource: Option<(Arc<Resource>, Arc<Resource>)>,
    scope: Option<(Arc<Scope>, Arc<Scope>)>,
}

impl Shared {
    /// Makes the keys of the span's resource and scope unique.
    pub fn repair(&mut self, resource: &mut Arc<Resource>, scope: &mut Arc<Scope>) {
        *resource = repaired(&mut self.resource, resource, |resource| &mut resource.attributes);
        *scope = repaired(&mut self.scope, scope, |scope| &mut scope.attributes);
    }
}

fn repaired<T: Clone>(
    last: &mut Option<(Arc<T>, Arc<T>)>,
    shared: &Arc<T>,
    attributes: fn(&mut T) -> &mut Attributes,
) -> Arc<T> {
    if let Some((before, after)) = last
        && Arc::ptr_eq(before, shared)
    {
        return Arc::clone(after);
    }
    let mut copy = T::clone(shared);
    let after = if keep_last(attributes(&mut copy)).is_some() {
        Arc::new(copy)
    } else {
        Arc::clone(shared)
    };
    *last = Some((Arc::clone(shared), Arc::clone(&after)));
    after
}

/// Rule U5 within one batch. An identical copy is dropped; a copy of a span that was still running
/// is replaced by the later one, and by the one that ended even if that is earlier; client and server halves that share an id stay apart; any other
/// pair is kept, both, with a warning. Answers how many copies were dropped.
pub fn duplicates(stored: &mut Vec<StoredSpan>) -> usize {
    let mut first_of: HashMap<(TraceId, SpanId, u8), usize> = HashMap::with_capacity(stored.len());
    let mut dropped: Vec<usize> = Vec::new();
    for later in 0..stored.len() {
        let span = &stored[later].span;
        let identity = (span.trace_id, span.span_id, span.kind as u8);
        let Some(&earlier) = first_of.get(&identity) else {
            first_of.insert(identity, later);
            continue;
        };
        let is_running = |at: usize| stored[at].is_running();
        if is_running(later) && !is_running(earlier) {
            dropped.push(later);
            continue;
        }
        first_of.insert(identity, later);
        if stored[earlier].span == stored[later].span || is_running(earlier) {
            dropped.push(earlier);
        } else {
            warn_duplicate(&mut stored[earlier]);
            warn_duplicate(&mut stored[later]);
        }
    }
    let mut index = 0;
    let mut next_dropped = dropped.iter().copied().collect::<HashSet<_>>();
    if !dropped.is_empty() {
        stored.retain(|_| {
            index += 1;
            !next_dropped.remove(&(index - 1))
        });
    }
    dropped.len()
}

/// The warning of two different spans that share an id.
pub const DUPLICATE_ID: &str = "duplicate_id";

fn warn_duplicate(stored: &mut StoredSpan) {
    let message = "another span of this trace has the same id but other content; both were kept";
    let warning = Warning::new(DUPLICATE_ID, Str::from_static(message));
    if !stored.warnings.contains(&warning) {
        stored.warnings.push(warning);
    }
}

#[cfg(test)]
mod tests;
