//! OpenAI's chat completions, and everybody's who imitates them.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::draft::{Draft, Key, set};
use super::{ProviderError, Seen, content};
use crate::json::{Kind, Value};

/// The members of a chunk that tell something: as `null`, or not at all, in a bare delta.
static FINISH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"finish_reason\""));
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"usage\""));

/// Takes in a chunk.
pub(super) fn event(draft: &mut Draft, event: Option<&str>, data: &str) -> Seen {
    if data == "[DONE]" {
        draft.is_complete = true;
        return Seen::End;
    }
    if draft.has_content && !draft.captures() && event.is_none() && is_bare_delta(data) {
        return Seen::Content;
    }
    let Some(object) = Value::object(data) else {
        return Seen::Other;
    };
    let chunk = read(draft, object);
    if chunk.has_error || event == Some("error") {
        let error = ProviderError::of_object(object);
        let error = error.unwrap_or_else(|| ProviderError::of_fields(object));
        return draft.fail(error.or_kind("error"));
    }
    match chunk {
        Chunk { has_content: true, .. } => Seen::Content,
        Chunk { has_usage: true, n_choices: 0, .. } => Seen::Usage,
        _ => draft.silent(),
    }
}

/// Whether a chunk has nothing but a piece of what is said. Names inside of texts have their
/// quotes escaped, so that what is found here is a name or, harmlessly, a whole text. An error
/// has no reason to finish, or one that is not null.
fn is_bare_delta(data: &str) -> bool {
    let values = |name: &'static Finder<'static>| {
        let ends = name.find_iter(data.as_bytes()).map(|at| at + name.needle().len());
        ends.filter_map(|at| data[at..].trim_ascii_start().strip_prefix(':'))
    };
    let is_null = |value: &str| value.trim_ascii_start().starts_with("null");
    let mut finish = values(&FINISH);
    finish.next().is_some_and(is_null) && finish.all(is_null) && values(&USAGE).all(is_null)
}

/// Takes in a whole answer.
pub(super) fn body(draft: &mut Draft, object: Value<'_>) {
    if read(draft, object).has_error {
        draft.error = ProviderError::of_object(object).map(|error| error.or_kind("error"));
    }
}

#[derive(Default)]
struct Chunk {
    has_content: bool,
    has_usage: bool,
    has_error: bool,
    n_choices: usize,
}

fn read(draft: &mut Draft, object: Value<'_>) -> Chunk {
    let mut chunk = Chunk::default();
    for (key, value) in object.members() {
        match &*key {
            "id" => set(&mut draft.id, value),
            "model" => set(&mut draft.model, value),
            "service_tier" => set(&mut draft.service_tier, value),
            "usage" if !value.is_null() => {
                chunk.has_usage = true;
                draft.counts.openai(value);
            }
            "error" => chunk.has_error = !value.is_null(),
            "choices" => {
                for choice in value.elements() {
                    chunk.has_content |= read_choice(draft, chunk.n_choices as u64, choice);
                    chunk.n_choices += 1;
                }
            }
            _ => {}
        }
    }
    chunk
}

/// Whether a choice has content.
fn read_choice(draft: &mut Draft, position: u64, choice: Value<'_>) -> bool {
    let (mut index, mut message, mut text, mut finish) = (None, None, None, None);
    for (key, value) in choice.members() {
        match &*key {
            "index" => index = value.as_u64(),
            "delta" | "message" => message = Some(value),
            "text" => text = Some(value),
            "finish_reason" => finish = Some(value),
            _ => {}
        }
    }
    let index = index.unwrap_or(position);
    draft.choice(index);
    let mut has_content = text.is_some_and(|text| read_text(draft, index, text));
    // The content of a whole answer does not matter to anybody who does not keep it.
    if let Some(message) = message.filter(|_| !draft.is_complete || draft.captures()) {
        has_content |= read_message(draft, index, message);
    }
    if let Some(reason) = finish {
        draft.finish_as(index, reason);
    }
    has_content
}

/// Whether a message, or a piece of one, has content.
fn read_message(draft: &mut Draft, choice: u64, message: Value<'_>) -> bool {
    let mut has_content = false;
    let mut has_reasoning = false;
    for (key, value) in message.members() {
        has_content |= match &*key {
            "content" | "refusal" => read_text(draft, choice, value),
            // Some say it twice, under both names.
            "reasoning_content" | "reasoning" if !has_reasoning => {
                has_reasoning = reasoning(draft, choice, value);
                has_reasoning
            }
            "tool_calls" => tool_calls(draft, choice, value),
            "function_call" if value.is_filled() => {
                tool_call(draft, choice, Key::Tool(0), None, value);
                true
            }
            "audio" => {
                let transcript = value.get("transcript");
                transcript.is_some_and(|it| read_text(draft, choice, it))
                    || value.get("data").is_some()
            }
            _ => false,
        };
    }
    has_content
}

fn read_text(draft: &mut Draft, choice: u64, value: Value<'_>) -> bool {
    if value.kind == Kind::Text && value.is_filled() {
        if draft.captures() {
            draft.text(choice, Key::Text, &value.as_text().unwrap_or_default());
        }
        return true;
    }
    // Mistral's list of parts.
    let mut has_content = false;
    for part in value.elements() {
        has_content = true;
        let thinking = part.get("thinking");
        match (part.get("text").and_then(|text| text.as_text()), thinking) {
            (Some(text), _) => draft.text(choice, Key::Text, &text),
            (None, Some(thinking)) => {
                let texts = thinking.elements().filter_map(|part| part.get("text")?.as_text());
                texts.for_each(|text| draft.reasoning(choice, Key::Reasoning, &text));
            }
            (None, None) => {}
        }
    }
    has_content
}

fn reasoning(draft: &mut Draft, choice: u64, value: Value<'_>) -> bool {
    let Some(text) = value.as_words() else { return false };
    draft.reasoning(choice, Key::Reasoning, &text);
    true
}

fn tool_calls(draft: &mut Draft, choice: u64, list: Value<'_>) -> bool {
    let mut n = 0;
    for call in list.elements() {
        if draft.captures() {
            let index = call.get("index").and_then(|index| index.as_u64()).unwrap_or(n);
            let id = call.get("id").and_then(|id| id.as_words());
            let function = call.get("function").or_else(|| call.get("custom"));
            if let Some(function) = function {
                tool_call(draft, choice, Key::Tool(index), id.as_deref(), function);
            }
        }
        n += 1;
    }
    n > 0
}

/// A call, or a piece of one. Only the index is sure to be there: a call begins where there is
/// none with that index yet, where the id is another one, and where a name follows upon complete
/// arguments.
fn tool_call(draft: &mut Draft, choice: u64, key: Key, id: Option<&str>, function: Value<'_>) {
    let text = |name: &str| function.get(name).and_then(|value| value.as_text());
    let name = text("name").unwrap_or_default();
    let arguments = text("arguments").or_else(|| text("input"));
    let arguments = arguments.or_else(|| {
        let value = function.get("arguments").filter(|value| value.kind == Kind::Object);
        value.map(|value| value.literal.into())
    });
    match draft.open_tool(choice, key) {
        Some(open) if !begins_another(open, id, &name) => {
            if open.id.is_none() {
                open.id = id.map(str::to_owned);
            }
            if open.arguments.is_empty() && open.name != name {
                open.name.push_str(&name);
            }
        }
        _ => draft.tool(choice, key, id, &name),
    }
    draft.arguments(choice, key, &arguments.unwrap_or_default());
}

fn begins_another(open: &super::ToolCall, id: Option<&str>, name: &str) -> bool {
    match (&open.id, id) {
        (Some(open), Some(id)) if open != id => true,
        (Some(_), Some(_)) => false,
        _ => !name.is_empty() && content::is_complete(&open.arguments),
    }
}
