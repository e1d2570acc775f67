//! The whole picture of an LLM span, computed when somebody looks.
//!
//! Input, output and system text are resolved separately: each takes the first place of
//! semconv §7.2 that has something to say. Where each value came from is told in `sources`
//! (rule P7).

mod documents;
mod flattened;
mod parameters;
mod tools;

use serde_json::Value as Json;
use spanwise_model::genai::{LlmView, Message, Operation, Part, ToolRun};
use spanwise_model::{RowRole, StoredSpan, Value};

use crate::normalize::events::{self, Conversation, MessageEvent};
use crate::normalize::reading::{
    Found, LOOK_BYTES, Reading, look, parse_or_text, parse_value, value_text,
};
use crate::normalize::table::{Field, Shape, Side};
use crate::normalize::{self, dialect, json_array, kind, messages};

/// The messages, tools and documents of a span, read from its attributes, its events and the log
/// records that belong to it. `None` for a span that has nothing to do with a model.
pub fn llm_view(span: &StoredSpan, log_events: &[&StoredSpan]) -> Option<LlmView> {
    if span.role != RowRole::Span {
        return None;
    }
    let reading = Reading::new(&span.span);
    let (operation, kind_key) = kind::of(&reading);
    let conversations = conversations(span, log_events);
    let speaks = conversations.iter().any(|(_, of)| !of.input.is_empty() || !of.output.is_empty());
    if operation.is_none() && !speaks {
        return None;
    }
    let mut view = LlmView {
        parameters: parameters::of(&span.span),
        dialects: dialects(span, speaks),
        error_message: error_message(&reading),
        ..LlmView::default()
    };
    name_sources(&mut view, &reading, kind_key);
    fill_messages(&mut view, &reading, &conversations, operation);
    fill_tools(&mut view, &reading, operation);
    fill_documents(&mut view, span);
    fill_finish_reasons(&mut view, &reading);
    Some(view)
}

fn conversations(span: &StoredSpan, log_events: &[&StoredSpan]) -> Vec<(u16, Conversation)> {
    let of_span = span.span.events.iter().filter_map(MessageEvent::of_event);
    let of_logs = log_events.iter().filter_map(|row| MessageEvent::of_row(row));
    events::conversations(of_span.chain(of_logs).collect())
}

/// What one side of a span says.
enum Content {
    Messages(Vec<Message>),
    Parts(Vec<Part>),
    Value(Json),
}

fn fill_messages(
    view: &mut LlmView,
    reading: &Reading<'_>,
    conversations: &[(u16, Conversation)],
    operation: Option<Operation>,
) {
    for side in [Side::System, Side::Input, Side::Output] {
        // What a tool was called with and what it answered is shown as that.
        if operation == Some(Operation::Tool) && side != Side::System {
            continue;
        }
        let Some((content, key)) = resolve(reading, conversations, side, operation) else {
            continue;
        };
        let field = match (side, content) {
            (Side::System, Content::Parts(parts)) => {
                view.system = parts;
                "system"
            }
            (Side::Input, Content::Messages(messages)) => {
                view.input_messages = messages;
                "input_messages"
            }
            (Side::Output, Content::Messages(messages)) => {
                view.output_messages = messages;
                "output_messages"
            }
            (Side::Input, Content::Value(value)) => {
                view.input_value = Some(value);
                "input_value"
            }
            (Side::Output, Content::Value(value)) => {
                view.output_value = Some(value);
                "output_value"
            }
            _ => continue,
        };
        view.sources.insert(field.to_owned(), key);
    }
}

/// The first source of a side that has something to say, attributes and events merged by rank.
fn resolve(
    reading: &Reading<'_>,
    conversations: &[(u16, Conversation)],
    side: Side,
    operation: Option<Operation>,
) -> Option<(Content, String)> {
    let mut events = conversations.iter().peekable();
    for found in reading.sources(side) {
        while let Some((_, conversation)) = events.next_if(|(rank, _)| *rank < found.source.rank) {
            if let Some(content) = of_conversation(conversation, side) {
                return Some((content, format!("event:{}", conversation.source)));
            }
        }
        if let Some(content) = of_source(&found, operation) {
            let more = if found.source.shape == Shape::Flattened { "*" } else { "" };
            return Some((content, format!("{}{more}", found.source.key)));
        }
    }
    events.find_map(|(_, conversation)| {
        let content = of_conversation(conversation, side)?;
        Some((content, format!("event:{}", conversation.source)))
    })
}

fn of_conversation(conversation: &Conversation, side: Side) -> Option<Content> {
    let list = match side {
        Side::Input => &conversation.input,
        Side::Output => &conversation.output,
        Side::System => {
            let parts = &conversation.system;
            return (!parts.is_empty()).then(|| Content::Parts(parts.clone()));
        }
    };
    (!list.is_empty()).then(|| Content::Messages(list.clone()))
}

fn of_source(found: &Found<'_, '_>, operation: Option<Operation>) -> Option<Content> {
    let role = if found.source.side == Side::Input { "user" } else { "assistant" };
    if found.source.shape == Shape::Flattened {
        let messages = flattened::messages(found.flats(), role)?;
        return has_parts(&messages).then_some(Content::Messages(messages));
    }
    let json = whole_json(found.value);
    if found.source.side == Side::System {
        let parts = messages::content_parts(&json);
        return (!parts.is_empty()).then_some(Content::Parts(parts));
    }
    let is_call = matches!(operation, Some(Operation::Chat | Operation::Completion));
    let found = match found.source.shape {
        Shape::Messages => messages::messages(&json, role),
        Shape::Text if is_call => Some(messages::messages(&json, role).unwrap_or_else(|| {
            vec![messages::text_message(role, value_text(found.value).into_owned())]
        })),
        _ if converses(operation) => messages::embedded_messages(&json, role),
        _ => None,
    };
    if let Some(messages) = found {
        return has_parts(&messages).then_some(Content::Messages(messages));
    }
    let value = messages::call_arguments(json);
    let is_empty = value.as_object().is_some_and(serde_json::Map::is_empty);
    (!is_empty).then_some(Content::Value(value))
}

/// Whether messages say anything: instrumentations also write the empty answer of a failed call.
fn has_parts(messages: &[Message]) -> bool {
    messages.iter().any(|message| !message.parts.is_empty())
}

/// Whether a value of such a span may be a conversation rather than data.
fn converses(operation: Option<Operation>) -> bool {
    matches!(
        operation,
        None | Some(
            Operation::Chat
                | Operation::Completion
                | Operation::Agent
                | Operation::Workflow
                | Operation::Task
        )
    )
}

/// A value as JSON. Of an array that is too long to look at as a whole (rule L3), the elements
/// that are whole.
fn whole_json(value: &Value) -> Json {
    match value {
        Value::String(text) if text.len() > LOOK_BYTES && text.trim_start().starts_with('[') => {
            let elements = json_array::whole_elements(look(text));
            elements.into_iter().map(parse_or_text).collect()
        }
        other => parse_value(other),
    }
}

/// Tells for every field which key it came from.
fn name_sources(view: &mut LlmView, reading: &Reading<'_>, kind_key: Option<&'static str>) {
    if let Some(key) = kind_key {
        view.sources.insert("operation".to_owned(), key.to_owned());
    }
    for (field, key) in reading.keys() {
        if let Some(name) = field.name() {
            view.sources.entry(name.to_owned()).or_insert_with(|| key.to_owned());
        }
    }
}

fn fill_tools(view: &mut LlmView, reading: &Reading<'_>, operation: Option<Operation>) {
    if let Some((definitions, key)) = tools::definitions(reading.span) {
        view.tool_definitions = definitions;
        view.sources.insert("tool_definitions".to_owned(), key);
    }
    if operation != Some(Operation::Tool) {
        for field in ["tool.name", "tool.arguments", "tool.result", "tool.description"] {
            view.sources.remove(field);
        }
        return;
    }
    let text = |field| Some(reading.text(field).to_string()).filter(|text| !text.is_empty());
    let json = |field| reading.value(field).map(parse_value).map(messages::call_arguments);
    view.tool = Some(ToolRun {
        name: Some(normalize::tool_name(reading).to_string()),
        call_id: text(Field::ToolCallId),
        description: text(Field::ToolDescription),
        arguments: json(Field::ToolArguments),
        result: json(Field::ToolResult).map(messages::tool_answer),
    });
}

fn fill_documents(view: &mut LlmView, span: &StoredSpan) {
    if let Some((documents, key)) = documents::of(&span.span) {
        view.documents = documents;
        view.sources.insert("documents".to_owned(), key);
    }
}

/// Finish reasons from the attributes, else from the messages.
fn fill_finish_reasons(view: &mut LlmView, reading: &Reading<'_>) {
    let raw = normalize::raw_finish_reasons(reading);
    view.raw_finish_reasons = if raw.is_empty() {
        view.output_messages.iter().filter_map(|message| message.finish_reason.clone()).collect()
    } else {
        raw.iter().map(ToString::to_string).collect()
    };
}

/// Rule E3.
fn error_message(reading: &Reading<'_>) -> Option<String> {
    let span = reading.span;
    let thrown = || {
        let mut exceptions = span.events.iter().rev().filter(|event| event.name == "exception");
        exceptions.find_map(|event| event.attributes.str("exception.message"))
    };
    let told = Some(&*span.status.message).filter(|message| !message.is_empty());
    let attribute = reading.text(Field::ErrorMessage);
    let attribute = Some(&*attribute).filter(|message| !message.is_empty());
    told.or_else(thrown).or(attribute).map(str::to_owned)
}

/// The dialects that the span shows signs of (semconv §3).
fn dialects(span: &StoredSpan, has_message_events: bool) -> Vec<String> {
    let is_sign = |signal: &str, key: &str| {
        key == signal || (signal.ends_with(['.', ':']) && key.starts_with(signal))
    };
    let span = &span.span;
    let found = dialect::ALL.iter().filter(|dialect| !dialect.name.is_empty()).filter(|dialect| {
        let by_scope = dialect.scopes.iter().any(|scope| span.scope.name.starts_with(scope));
        let by_key = || {
            let mut keys = span.attributes.iter().map(|attribute| &*attribute.key);
            keys.any(|key| dialect.signals.iter().any(|signal| is_sign(signal, key)))
        };
        let by_event = dialect.name == "otel-older" && has_message_events;
        by_scope || by_event || by_key()
    });
    let mut names: Vec<String> = found.map(|dialect| dialect.name.to_owned()).collect();
    if names.iter().any(|name| name == "openinference") {
        names.retain(|name| name != "plain");
    }
    names
}
