//! Messages in events: on the span, or as log records that belong to it (semconv §7.2 items 3, 4
//! and 9).

use serde_json::{Map, Value as Json};
use spanwise_model::genai::{Message, Part};
use spanwise_model::stored::LOG_BODY_KEY;
use spanwise_model::{Event, StoredSpan, Value};

use super::messages;
use super::reading::{map_to_json, parse_value, to_json};

const DETAILS: &str = "gen_ai.client.inference.operation.details";
/// The event that is one answer.
pub const CHOICE: &str = "gen_ai.choice";
const CONTENT_PROMPT: &str = "gen_ai.content.prompt";
const CONTENT_COMPLETION: &str = "gen_ai.content.completion";

/// Events that are one message each, with the role they imply.
const MESSAGE_ROLES: [(&str, &str); 4] = [
    ("gen_ai.system.message", "system"),
    ("gen_ai.user.message", "user"),
    ("gen_ai.assistant.message", "assistant"),
    ("gen_ai.tool.message", "tool"),
];

/// Whether an event of this name carries messages.
pub fn is_message(name: &str) -> bool {
    name.starts_with("gen_ai.")
        && (matches!(name, DETAILS | CHOICE | CONTENT_PROMPT | CONTENT_COMPLETION)
            || MESSAGE_ROLES.iter().any(|(of, _)| *of == name))
}

/// An event or a log record with its fields, wherever they stood.
pub struct MessageEvent<'a> {
    name: &'a str,
    time_unix_nano: u64,
    fields: Map<String, Json>,
}

impl<'a> MessageEvent<'a> {
    /// Reads a span event: its fields are its attributes, or JSON in `gen_ai.event.content`.
    pub fn of_event(event: &'a Event) -> Option<Self> {
        if !is_message(&event.name) {
            return None;
        }
        let mut fields = map_to_json(&event.attributes);
        if let Some(content) = event.attributes.get("gen_ai.event.content")
            && let Json::Object(content) = parse_value(content)
        {
            fields.extend(content);
        }
        Some(MessageEvent { name: &event.name, time_unix_nano: event.time_unix_nano, fields })
    }

    /// Reads the row of a log record: its fields are its body (a map, or JSON in text) and its
    /// attributes.
    pub fn of_row(row: &'a StoredSpan) -> Option<Self> {
        let span = &row.span;
        if !is_message(&span.name) {
            return None;
        }
        let mut fields = map_to_json(&span.attributes);
        fields.shift_remove(LOG_BODY_KEY);
        let body = span.attributes.get(LOG_BODY_KEY).map(|body| match body {
            Value::String(_) => parse_value(body),
            other => to_json(other),
        });
        match body {
            Some(Json::Object(body)) => fields.extend(body),
            Some(Json::String(text)) if !text.is_empty() => {
                fields.entry("content").or_insert(Json::String(text));
            }
            _ => {}
        }
        Some(MessageEvent { name: &span.name, time_unix_nano: span.start_time_unix_nano, fields })
    }

    fn json(&self, key: &str) -> Option<Json> {
        let value = match self.fields.get(key)? {
            Json::String(text) => super::reading::parse_or_text(text),
            other => other.clone(),
        };
        (!value.is_null()).then_some(value)
    }

    /// The message of a `gen_ai.*.message` event.
    fn message(&self, role: &str) -> Message {
        messages::message(&self.fields, role)
    }

    /// The answer of a `gen_ai.choice` event: in `message`, or in the fields themselves.
    fn choice(&self) -> Message {
        let mut message = match self.json("message") {
            Some(Json::Object(object)) => messages::message(&object, "assistant"),
            Some(Json::String(text)) => messages::text_message("assistant", text),
            _ => messages::message(&self.fields, "assistant"),
        };
        if let Some(reason) = self.fields.get("finish_reason").and_then(Json::as_str) {
            message.finish_reason = Some(reason.to_owned());
        }
        message
    }
}

/// What events and log records say was exchanged.
#[derive(Default)]
pub struct Conversation {
    pub input: Vec<Message>,
    pub output: Vec<Message>,
    pub system: Vec<Part>,
    /// The name of the events that it came from.
    pub source: &'static str,
}

/// What the events say: the complete form if there is one (item 3), else one event per message
/// (item 4), else whole prompts and completions (item 9).
pub fn conversations(mut events: Vec<MessageEvent<'_>>) -> Vec<(u16, Conversation)> {
    events.sort_by_key(|event| event.time_unix_nano);
    vec![(30, details(&events)), (40, message_by_message(&events)), (90, contents(&events))]
}

fn details(events: &[MessageEvent<'_>]) -> Conversation {
    let mut found = Conversation { source: DETAILS, ..Conversation::default() };
    for event in events.iter().filter(|event| event.name == DETAILS) {
        let list = |key, role| {
            event.json(key).and_then(|json| messages::messages(&json, role)).unwrap_or_default()
        };
        found.input = list("gen_ai.input.messages", "user");
        found.output = list("gen_ai.output.messages", "assistant");
        let system = event.json("gen_ai.system_instructions");
        found.system = system.map(|json| messages::content_parts(&json)).unwrap_or_default();
    }
    found
}

fn message_by_message(events: &[MessageEvent<'_>]) -> Conversation {
    let mut found = Conversation { source: "gen_ai.*.message", ..Conversation::default() };
    for event in events {
        if event.name == CHOICE {
            found.output.push(event.choice());
        } else if let Some((_, role)) = MESSAGE_ROLES.iter().find(|(name, _)| *name == event.name) {
            found.input.push(event.message(role));
        }
    }
    found
}

fn contents(events: &[MessageEvent<'_>]) -> Conversation {
    let mut found = Conversation { source: "gen_ai.content.*", ..Conversation::default() };
    for event in events {
        let (list, key, role) = match event.name {
            CONTENT_PROMPT => (&mut found.input, "gen_ai.prompt", "user"),
            CONTENT_COMPLETION => (&mut found.output, "gen_ai.completion", "assistant"),
            _ => continue,
        };
        let json = event.json(key);
        list.extend(json.and_then(|json| messages::messages(&json, role)).unwrap_or_default());
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use spanwise_model::Attributes;

    use super::*;

    fn event(time_unix_nano: u64, name: &'static str, fields: &[(&str, &str)]) -> Event {
        let attributes: Attributes =
            fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Event { time_unix_nano, name: name.into(), attributes, dropped_attributes_count: 0 }
    }

    fn read(events: &[Event]) -> [(u16, Conversation); 3] {
        let read = events.iter().filter_map(MessageEvent::of_event).collect();
        conversations(read).try_into().map_err(|_| "three items").unwrap()
    }

    #[test]
    fn s7_2_4_events_are_messages_in_order_of_time() {
        let calls = r#"[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]"#;
        let [_, (_, found), _] = read(&[
            event(3, "gen_ai.assistant.message", &[("tool_calls", calls)]),
            event(1, "gen_ai.system.message", &[("content", "be brief")]),
            event(2, "gen_ai.user.message", &[("gen_ai.event.content", r#"{"content":"hi"}"#)]),
            event(4, "gen_ai.tool.message", &[("content", "14"), ("id", "c1")]),
            event(5, "exception", &[("content", "no message")]),
            event(6, "gen_ai.choice", &[("message", r#"{"content":"yo"}"#), ("index", "0")]),
            event(7, "gen_ai.choice", &[("content", "alt"), ("finish_reason", "stop")]),
        ]);
        let roles: Vec<&str> = found.input.iter().map(|message| &*message.role).collect();
        assert_eq!(roles, ["system", "user", "assistant", "tool"]);
        assert_eq!(messages::texts(&found.input[1]), "hi");
        let call = Part::ToolCall { id: Some("c1".into()), name: "f".into(), arguments: json!({}) };
        assert_eq!(found.input[2].parts, [call]);
        let answer = Part::ToolResult { id: Some("c1".into()), result: json!(14) };
        assert_eq!(found.input[3].parts, [answer]);
        let answers: Vec<String> = found.output.iter().map(messages::texts).collect();
        assert_eq!(answers, ["yo", "alt"]);
        assert_eq!(found.output[1].finish_reason.as_deref(), Some("stop"));
    }

    #[test]
    fn s7_2_3_the_details_event_holds_all_three() {
        let [(_, found), ..] = read(&[event(
            1,
            "gen_ai.client.inference.operation.details",
            &[
                (
                    "gen_ai.input.messages",
                    r#"[{"role":"user","parts":[{"type":"text","content":"q"}]}]"#,
                ),
                ("gen_ai.output.messages", r#"[{"role":"assistant","parts":["a"]}]"#),
                ("gen_ai.system_instructions", r#"[{"type":"text","content":"s"}]"#),
            ],
        )]);
        assert_eq!(messages::texts(&found.input[0]), "q");
        assert_eq!(messages::texts(&found.output[0]), "a");
        assert_eq!(found.system, [Part::Text { content: "s".into() }]);
    }

    #[test]
    fn s7_2_9_whole_prompts_and_completions() {
        let [.., (_, found)] = read(&[
            event(1, "gen_ai.content.prompt", &[("gen_ai.prompt", "plain text")]),
            event(
                2,
                "gen_ai.content.completion",
                &[("gen_ai.completion", r#"[{"role":"assistant","content":"a"}]"#)],
            ),
        ]);
        assert_eq!(messages::texts(&found.input[0]), "plain text");
        assert_eq!(messages::texts(&found.output[0]), "a");
    }
}
