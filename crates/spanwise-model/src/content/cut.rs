//! Cutting classes out of JSON: messages by their role, the rest by where it stands.

use serde_json::{Map, Value as Json};

use super::classes::{Class, Classes};
use super::table;

/// How deeply JSON may lie in strings of JSON before it counts as text.
const MAX_DEPTH: usize = 8;

/// Cuts what is off out of one value.
pub(super) struct Cutter {
    pub off: Classes,
    /// Texts that were cut, to find them again where they were quoted.
    pub cut: Vec<String>,
}

/// Whose a value is: what its messages are is for their role to say.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// What is no message.
    pub rest: Classes,
    /// What models said.
    pub said: Classes,
    depth: usize,
}

impl Place {
    /// Given to a model.
    pub const PROMPT: Place = Place::new(Classes::of(Class::LlmInput), table::SAID_BEFORE);
    /// Given back by a model.
    pub const ANSWER: Place =
        Place::new(Classes::of(Class::LlmOutput), Classes::of(Class::LlmOutput));

    pub const fn new(rest: Classes, said: Classes) -> Self {
        Place { rest, said, depth: 0 }
    }
}

/// Whether there are messages, or other pieces that say what they are, somewhere in a value.
pub(super) fn has_messages(json: &Json) -> bool {
    has_messages_within(json, 0)
}

fn has_messages_within(json: &Json, depth: usize) -> bool {
    match json {
        Json::Object(object) => {
            role(object).is_some()
                || event(object).is_some()
                || object
                    .iter()
                    .any(|(key, value)| piece(key).is_some() || has_messages_within(value, depth))
        }
        Json::Array(items) => items.iter().any(|item| has_messages_within(item, depth)),
        Json::String(text) => {
            nested(text, depth).is_some_and(|inner| has_messages_within(&inner, depth + 1))
        }
        _ => false,
    }
}

impl Cutter {
    /// Cuts a value; false when nothing of it may stay.
    pub fn cut(&mut self, json: &mut Json, place: Place) -> bool {
        match json {
            Json::Object(object) => match role(object) {
                Some(role) => self.message(object, role, place),
                None => self.object(object, place),
            },
            Json::Array(items) => {
                let was_empty = items.is_empty();
                items.retain_mut(|item| self.cut(item, place));
                was_empty || !items.is_empty()
            }
            Json::String(text) => self.string(text, place),
            Json::Null | Json::Bool(_) | Json::Number(_) => !place.rest.meet(self.off),
        }
    }

    fn string(&mut self, text: &mut String, place: Place) -> bool {
        if let Some(mut inner) = nested(text, place.depth)
            && has_messages_within(&inner, place.depth + 1)
        {
            let is_left = self.cut(&mut inner, Place { depth: place.depth + 1, ..place });
            *text = inner.to_string();
            return is_left;
        }
        if place.rest.meet(self.off) {
            self.cut.push(std::mem::take(text));
            return false;
        }
        true
    }

    fn object(&mut self, object: &mut Map<String, Json>, place: Place) -> bool {
        if let Some(classes) = event(object) {
            return self.whole(classes, object.values());
        }
        let was_empty = object.is_empty();
        object.retain(|key, value| match piece(key) {
            Some(Piece::Whole(class)) => self.whole(Classes::of(class), [&*value]),
            Some(Piece::Answers) => self.cut(value, Place { depth: place.depth, ..Place::ANSWER }),
            None => self.cut(value, place),
        });
        was_empty || !object.is_empty()
    }

    /// A message goes as a whole, except for what a tool answered, which some providers put into
    /// the mouth of the user.
    fn message(&mut self, object: &mut Map<String, Json>, role: Role, place: Place) -> bool {
        let classes = match role {
            Role::System => Classes::of(Class::SystemPrompt),
            Role::User => Classes::of(Class::UserInput),
            Role::Model => place.said,
            Role::Tool => Classes::of(Class::LlmInput),
        };
        for name in ["content", "parts"] {
            let Some(Json::Array(parts)) = object.get_mut(name).filter(|parts| !is_empty(parts))
            else {
                continue;
            };
            parts.retain(|part| {
                let is_answer = is_tool_answer(part);
                self.whole(if is_answer { Classes::of(Class::LlmInput) } else { classes }, [part])
            });
            if parts.is_empty() {
                return false;
            }
            if classes.meet(self.off) {
                object.retain(|key, _| key == name || key == "role" || key == "type");
                return true;
            }
        }
        self.whole(classes, object.values())
    }

    /// Keeps all or nothing; remembers the texts of what goes.
    pub fn whole<'j>(
        &mut self,
        classes: Classes,
        values: impl IntoIterator<Item = &'j Json>,
    ) -> bool {
        let is_off = classes.meet(self.off);
        if is_off {
            values.into_iter().for_each(|value| self.remember(value));
        }
        !is_off
    }

    fn remember(&mut self, json: &Json) {
        match json {
            Json::String(text) => self.cut.push(text.clone()),
            Json::Array(items) => items.iter().for_each(|item| self.remember(item)),
            Json::Object(object) => object.values().for_each(|value| self.remember(value)),
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }
}

/// JSON in a string.
fn nested(text: &str, depth: usize) -> Option<Json> {
    let may_be = depth < MAX_DEPTH && text.trim_ascii_start().starts_with(['{', '[', '"']);
    let parsed: Json = may_be.then(|| serde_json::from_str(text).ok())??;
    (!matches!(&parsed, Json::String(inner) if inner.is_empty())).then_some(parsed)
}

/// What a key inside a request or an answer says about its value.
enum Piece {
    Whole(Class),
    Answers,
}

fn piece(key: &str) -> Option<Piece> {
    Some(match key {
        "system"
        | "systemPrompt"
        | "system_prompt"
        | "systemInstruction"
        | "system_instruction"
        | "system_instructions"
        | "instructions"
        | "developer" => Piece::Whole(Class::SystemPrompt),
        "tools" | "functions" | "tool_definitions" => Piece::Whole(Class::LlmInput),
        "choices" | "generations" | "candidates" => Piece::Answers,
        _ => return None,
    })
}

/// The class of an entry of a list of events.
fn event(object: &Map<String, Json>) -> Option<Classes> {
    match table::event_holds(object.get("event.name")?.as_str()?)? {
        table::Holds::Only(classes) => Some(classes),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Role {
    System,
    User,
    Model,
    Tool,
}

/// The role of an object that is a message: said by its role, or by the class of LangChain's.
fn role(object: &Map<String, Json>) -> Option<Role> {
    const CONTENT: [&str; 7] =
        ["content", "parts", "tool_calls", "kwargs", "data", "text", "function_call"];
    if !CONTENT.iter().any(|name| object.contains_key(*name)) {
        return None;
    }
    let of_class = || {
        let class = object.get("id")?.as_array()?.last()?.as_str()?;
        class.contains("Message").then_some(class)
    };
    let text = |name: &str| object.get(name).and_then(Json::as_str);
    let name = text("role").or_else(of_class).or_else(|| text("type"))?;
    Some(match name {
        "system" | "developer" => Role::System,
        "user" | "human" => Role::User,
        "assistant" | "ai" | "model" | "bot" => Role::Model,
        "tool" | "function" => Role::Tool,
        class if class.starts_with("System") => Role::System,
        class if class.starts_with("Human") => Role::User,
        class if class.starts_with("AI") => Role::Model,
        class if class.starts_with("Tool") || class.starts_with("Function") => Role::Tool,
        _ => return None,
    })
}

fn is_empty(json: &Json) -> bool {
    json.as_array().is_some_and(Vec::is_empty)
}

fn is_tool_answer(part: &Json) -> bool {
    let kind = part.get("type").and_then(Json::as_str);
    matches!(
        kind,
        Some("tool_result" | "tool-result" | "tool_call_response" | "function_call_output")
    ) || ["functionResponse", "function_response", "toolResult"]
        .iter()
        .any(|name| part.get(*name).is_some())
}

/// The role in a key beside a flattened message.
pub(super) fn flat_classes(role: Option<&str>) -> Classes {
    match role {
        Some("system" | "developer") => Classes::of(Class::SystemPrompt),
        Some("user" | "human") => Classes::of(Class::UserInput),
        Some("assistant" | "ai" | "model" | "bot") => table::SAID_BEFORE,
        Some("tool" | "function") => Classes::of(Class::LlmInput),
        _ => Classes::PROMPT,
    }
}
