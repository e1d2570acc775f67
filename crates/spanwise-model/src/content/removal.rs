//! Removing what is off from one span or log record.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value as Json;

use super::ContentPolicy;
use super::classes::{Class, Classes};
use super::cut::{self, Cutter, Place};
use super::kind::Kind;
use super::table::{self, Holds};
use crate::{Attribute, Attributes, LogEvent, Span, Str, Value};

/// A text shorter than this is not looked for in errors: it would be found in anything.
const SHORTEST_QUOTE: usize = 6;

/// What is left of a value.
enum Left {
    All,
    Nothing,
    This(Value),
}

/// One span's worth of removing.
pub(super) struct Removal<'p> {
    policy: &'p ContentPolicy,
    kind: Kind,
    cutter: Cutter,
}

impl<'p> Removal<'p> {
    pub fn new(policy: &'p ContentPolicy, kind: Kind, off: Classes) -> Self {
        Removal { policy, kind, cutter: Cutter { off, cut: Vec::new() } }
    }

    pub fn span(mut self, span: &mut Span) {
        self.attributes(&mut span.attributes);
        for event in &mut span.events {
            self.event(&event.name, &mut event.attributes);
        }
        for link in &mut span.links {
            self.attributes(&mut link.attributes);
        }
        self.quotes(span);
    }

    pub fn log_event(mut self, event: &mut LogEvent) {
        self.event(&event.name, &mut event.attributes);
        match (table::event_holds(&event.name), &mut event.body) {
            (Some(_), Value::Map(body)) => self.event(&event.name, body),
            (None, Value::Map(body)) => self.attributes(body),
            (Some(holds), body) => match self.value(holds, body) {
                Left::All => {}
                Left::Nothing => *body = Value::Null,
                Left::This(left) => *body = left,
            },
            (None, _) => {}
        }
    }

    fn attributes(&mut self, attributes: &mut Attributes) {
        let roles = roles(attributes);
        self.each(attributes, |removal, attribute| {
            if last_segment(&attribute.key) == "hash" {
                return Left::All;
            }
            let Some((holds, beginning)) = table::holds(&attribute.key) else { return Left::All };
            match holds {
                Holds::FlatPrompt | Holds::FlatAnswer => {
                    removal.flat(holds, beginning, attribute, &roles)
                }
                _ => removal.value(holds, &attribute.value),
            }
        });
    }

    /// An event is content as a whole, or its keys say what it is.
    fn event(&mut self, name: &str, attributes: &mut Attributes) {
        match table::event_holds(name) {
            Some(holds) => self.each(attributes, |removal, attribute| {
                if table::is_envelope(&attribute.key) {
                    return Left::All;
                }
                removal.value(holds, &attribute.value)
            }),
            None => self.attributes(attributes),
        }
    }

    /// Asks for every attribute what is left of it, and hashes what is not whole any more.
    fn each(
        &mut self,
        attributes: &mut Attributes,
        mut left: impl FnMut(&mut Self, &Attribute) -> Left,
    ) {
        let mut hashes = Vec::new();
        attributes.0.retain_mut(|attribute| {
            let left = left(self, attribute);
            if let (Some(key), Left::Nothing | Left::This(_)) = (&self.policy.hashes, &left) {
                let value = Value::from(key.hash(&text_of(&attribute.value)));
                hashes.push(Attribute { key: format!("{}.hash", attribute.key).into(), value });
            }
            match left {
                Left::All => true,
                Left::Nothing => false,
                Left::This(value) => {
                    attribute.value = value;
                    true
                }
            }
        });
        attributes.0.append(&mut hashes);
    }

    /// What is left of a value.
    fn value(&mut self, holds: Holds, value: &Value) -> Left {
        let output = self.kind.output();
        match holds {
            Holds::Only(classes) => self.whole(classes, value),
            Holds::Prompt => self.pieces(value, Place::PROMPT, Classes::PROMPT),
            Holds::Parameters => {
                self.pieces(value, Place::new(Classes::NONE, table::SAID_BEFORE), Classes::NONE)
            }
            Holds::Answer => self.pieces(value, Place::ANSWER, Place::ANSWER.rest),
            Holds::Conversation => {
                self.pieces(value, Place::PROMPT, Classes::PROMPT.and(Class::LlmOutput))
            }
            Holds::Input => match self.kind.input() {
                None => self.pieces(value, Place::PROMPT, Classes::PROMPT),
                Some(input) if input.meet(self.cutter.off) => self.whole(input, value),
                Some(input) => self.pieces(value, Place::new(input, table::SAID_BEFORE), input),
            },
            Holds::Output if output.meet(self.cutter.off) => self.whole(output, value),
            Holds::Output => self.pieces(value, Place::new(output, Place::ANSWER.said), output),
            Holds::FlatPrompt | Holds::FlatAnswer => Left::All,
        }
    }

    fn whole(&mut self, classes: Classes, value: &Value) -> Left {
        if self.cutter.whole(classes, [&to_json(value)]) { Left::All } else { Left::Nothing }
    }

    /// Cuts by pieces where there are messages; all of the value is `text` where there are none.
    fn pieces(&mut self, value: &Value, place: Place, text: Classes) -> Left {
        let mut json = match value {
            Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| to_json(value)),
            _ => to_json(value),
        };
        let has_to_go = self.cutter.off == Classes::ALL && text != Classes::NONE;
        if has_to_go || !cut::has_messages(&json) {
            return self.whole(text | place.rest, value);
        }
        let before = json.clone();
        let is_left = self.cutter.cut(&mut json, place);
        match is_left {
            false => Left::Nothing,
            true if json == before => Left::All,
            true => Left::This(Value::from(json.to_string())),
        }
    }

    /// A piece of a flattened message. Its role and its reason to end stay.
    fn flat(
        &mut self,
        holds: Holds,
        beginning: usize,
        attribute: &Attribute,
        roles: &HashMap<String, Str>,
    ) -> Left {
        let key = &*attribute.key;
        if matches!(last_segment(key), "role" | "finish_reason") {
            return Left::All;
        }
        let message = message_of(key, beginning);
        let classes = match holds {
            Holds::FlatAnswer => Classes::of(Class::LlmOutput),
            _ => cut::flat_classes(roles.get(message).map(|role| &**role)),
        };
        self.whole(classes, &attribute.value)
    }

    /// Errors quote what a function was called with; what was removed is removed there too.
    fn quotes(&mut self, span: &mut Span) {
        let mut texts = std::mem::take(&mut self.cutter.cut);
        texts.retain(|text| text.len() >= SHORTEST_QUOTE);
        // The longest first, so that no part of one is left when a shorter one is found in it.
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        texts.dedup();
        let without = |text: &mut Str| {
            for quote in texts.iter().filter(|quote| !quote.is_empty()) {
                if text.contains(&**quote) {
                    *text = text.replace(&**quote, "[REMOVED]").into();
                }
            }
        };
        without(&mut span.name);
        without(&mut span.status.message);
        let exceptions = span.events.iter_mut().filter(|event| event.name == "exception");
        for attribute in exceptions.flat_map(|event| &mut event.attributes.0) {
            if let Value::String(text) = &mut attribute.value {
                without(text);
            }
        }
        for attribute in &mut span.attributes.0 {
            let is_error = [
                "error.",
                "exception.",
                "otel.status_description",
                "langfuse.observation.status_message",
            ]
            .iter()
            .any(|beginning| attribute.key.starts_with(beginning));
            if let Value::String(text) = &mut attribute.value
                && is_error
            {
                without(text);
            }
        }
    }
}

/// `llm.input_messages.3` of the key `llm.input_messages.3.message.content`.
fn message_of(key: &str, beginning: usize) -> &str {
    let rest = &key[beginning..];
    &key[..beginning + rest.find('.').unwrap_or(rest.len())]
}

fn last_segment(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// The roles of flattened messages, by the beginning of their keys.
fn roles(attributes: &Attributes) -> HashMap<String, Str> {
    let role = |attribute: &Attribute| {
        let is_role = last_segment(&attribute.key) == "role";
        let (holds, beginning) = is_role.then(|| table::holds(&attribute.key))??;
        let Value::String(role) = &attribute.value else { return None };
        let message = message_of(&attribute.key, beginning);
        (holds == Holds::FlatPrompt).then(|| (message.to_owned(), role.clone()))
    };
    attributes.iter().filter_map(role).collect()
}

/// A value's text: itself, or its JSON.
fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => (&**text).into(),
        other => to_json(other).to_string().into(),
    }
}

/// A structured value as JSON. Bytes become text as far as they are text.
fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::String(text) => Json::String(text.to_string()),
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Int(number) => Json::from(*number),
        Value::Double(number) => Json::from(*number),
        Value::Bytes(bytes) => Json::String(String::from_utf8_lossy(bytes).into_owned()),
        Value::Array(values) => Json::Array(values.iter().map(to_json).collect()),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|a| (a.key.to_string(), to_json(&a.value))).collect())
        }
    }
}
