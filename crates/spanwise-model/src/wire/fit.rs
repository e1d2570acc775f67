//! Spans that are too large for one message of a format: cut, longest texts first, and marked.

use std::sync::Arc;

use crate::{Attribute, Attributes, Span, Str, Value};

/// The attribute that marks a span of which something was cut.
const MARK: &str = "spanwise.truncated";

/// What stands at the end of a text that was cut.
const ELLIPSIS: &str = "…";

/// Texts are not cut shorter than this; what is still too large after that loses whole parts.
const SHORTEST: usize = 16;

/// The span, cut until its `size` is at most `limit`; `None` if not even its bare bones fit.
pub(super) fn fit(span: &Span, limit: usize, size: impl Fn(&Span) -> usize) -> Option<Span> {
    let mut span = span.clone();
    span.attributes.push(MARK, true);
    let mut longest = limit;
    while longest > SHORTEST {
        longest /= 2;
        cut_texts(&mut span, longest.max(SHORTEST));
        if size(&span) <= limit {
            return Some(span);
        }
    }
    let smaller: [fn(&mut Span); 4] = [drop_links, drop_events, drop_attributes, drop_origin];
    for make_smaller in smaller {
        make_smaller(&mut span);
        if size(&span) <= limit {
            return Some(span);
        }
    }
    None
}

fn cut_texts(span: &mut Span, longest: usize) {
    cut(&mut span.name, longest);
    cut(&mut span.status.message, longest);
    cut_attributes(&mut span.attributes, longest);
    for event in &mut span.events {
        cut(&mut event.name, longest);
        cut_attributes(&mut event.attributes, longest);
    }
    for link in &mut span.links {
        cut_attributes(&mut link.attributes, longest);
    }
    cut_attributes(&mut Arc::make_mut(&mut span.resource).attributes, longest);
    let scope = Arc::make_mut(&mut span.scope);
    cut(&mut scope.name, longest);
    cut(&mut scope.version, longest);
    cut_attributes(&mut scope.attributes, longest);
}

fn cut_attributes(attributes: &mut Attributes, longest: usize) {
    attributes.0.iter_mut().for_each(|attribute| cut_value(&mut attribute.value, longest));
}

fn cut_value(value: &mut Value, longest: usize) {
    match value {
        Value::String(text) => cut(text, longest),
        Value::Bytes(bytes) => bytes.truncate(longest),
        Value::Array(values) => values.iter_mut().for_each(|value| cut_value(value, longest)),
        Value::Map(entries) => cut_attributes(entries, longest),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) => {}
    }
}

fn cut(text: &mut Str, longest: usize) {
    if text.len() > longest {
        let end = text.floor_char_boundary(longest - ELLIPSIS.len());
        *text = format!("{}{ELLIPSIS}", &text[..end]).into();
    }
}

fn drop_links(span: &mut Span) {
    count(&mut span.dropped_links_count, span.links.len());
    span.links.clear();
}

fn drop_events(span: &mut Span) {
    count(&mut span.dropped_events_count, span.events.len());
    span.events.clear();
}

/// Keeps plain attributes of moderate keys, as many as most formats take, and the mark.
fn drop_attributes(span: &mut Span) {
    const KEPT: usize = 64;
    let before = span.attributes.len();
    let is_small = |attribute: &Attribute| {
        attribute.key.len() <= 64 && !matches!(attribute.value, Value::Array(_) | Value::Map(_))
    };
    span.attributes.0.retain(is_small);
    span.attributes.0.truncate(KEPT);
    if span.attributes.get(MARK).is_none() {
        span.attributes.push(MARK, true);
    }
    count(&mut span.dropped_attributes_count, before.saturating_sub(span.attributes.len()));
}

/// Keeps of the resource only the service.
fn drop_origin(span: &mut Span) {
    let resource = Arc::make_mut(&mut span.resource);
    resource.attributes.0.retain(|attribute| attribute.key == "service.name");
    span.attributes.0.clear();
    span.attributes.push(MARK, true);
    span.trace_state = Str::new();
}

fn count(dropped: &mut u32, more: usize) {
    *dropped = dropped.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_characters() {
        let mut text = Str::from("ééééééééééééé");
        cut(&mut text, 20);
        assert_eq!(text, "éééééééé…");
        cut(&mut text, 20);
        assert_eq!(text, "éééééééé…");
    }
}
