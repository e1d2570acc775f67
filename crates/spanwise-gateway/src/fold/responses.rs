//! OpenAI's responses.

use std::borrow::Cow;

use super::draft::{Draft, Key, set};
use super::{FinishReason, ProviderError, Seen, content};
use crate::json::Value;

/// Takes in an event.
pub(super) fn event(draft: &mut Draft, event: Option<&str>, data: &str) -> Seen {
    let is_delta = |kind: &str| {
        kind.strip_prefix("response.").is_some_and(|rest| rest.strip_suffix(".delta").is_some())
    };
    if event.is_some_and(is_delta) && !draft.captures() {
        return Seen::Content;
    }
    let Some(object) = Value::object(data) else {
        return Seen::Other;
    };
    let kind = object.get("type").and_then(|kind| kind.as_text());
    let kind = kind.as_deref().or(event).unwrap_or_default();
    match kind {
        "response.created" | "response.queued" | "response.in_progress" => {
            response(draft, object);
            draft.silent()
        }
        "response.completed" | "response.incomplete" | "response.cancelled" => {
            response(draft, object);
            draft.is_complete = true;
            Seen::End
        }
        "response.failed" => {
            response(draft, object);
            let error = draft.error.take();
            draft.fail(error.unwrap_or_else(|| ProviderError::new("response.failed", None, "")))
        }
        "error" => {
            let error = match object.get("error").filter(|error| !error.is_null()) {
                Some(_) => ProviderError::of_object(object),
                None => Some(ProviderError::of_fields(object)),
            };
            draft.fail(error.unwrap_or_else(ProviderError::truncated).or_kind("error"))
        }
        "response.output_item.added" => item_added(draft, object),
        "response.content_part.added" | "response.reasoning_summary_part.added" => draft.silent(),
        _ if is_delta(kind) => {
            delta(draft, kind, object);
            Seen::Content
        }
        _ => Seen::Other,
    }
}

/// Takes in a whole answer.
pub(super) fn body(draft: &mut Draft, object: Value<'_>) {
    read(draft, object);
}

fn response(draft: &mut Draft, object: Value<'_>) {
    if let Some(response) = object.get("response") {
        read(draft, response);
    }
}

fn read(draft: &mut Draft, response: Value<'_>) {
    let mut status = None;
    let mut reason = None;
    let mut output = None;
    for (key, value) in response.members() {
        match &*key {
            "id" => set(&mut draft.id, value),
            "model" => set(&mut draft.model, value),
            "service_tier" => set(&mut draft.service_tier, value),
            "usage" => draft.counts.openai(value),
            "status" => status = value.as_text(),
            "incomplete_details" => reason = value.get("reason").and_then(|it| it.as_words()),
            "output" => output = Some(value),
            "error" if !value.is_null() => draft.error = ProviderError::of_object(response),
            _ => {}
        }
    }
    draft.choice(0);
    let calls_tool = output.is_some_and(|output| read_output(draft, output));
    match status.as_deref() {
        Some("completed") => {
            let canonical = if calls_tool { "tool_call" } else { "stop" };
            let canonical = Cow::Borrowed(canonical);
            draft.finish(0, FinishReason { raw: "completed".to_owned(), canonical });
        }
        Some("incomplete") => {
            let reason = reason.unwrap_or(Cow::Borrowed("incomplete"));
            draft.finish(0, FinishReason::new(&reason));
        }
        Some(status @ ("failed" | "cancelled")) => {
            let canonical = Cow::Borrowed("error");
            draft.finish(0, FinishReason { raw: status.to_owned(), canonical });
        }
        _ => {}
    }
}

/// Takes in the list of what was said, which repeats all that was streamed. Tells whether a
/// function is called.
fn read_output(draft: &mut Draft, output: Value<'_>) -> bool {
    let mut calls_tool = false;
    let mut is_first = true;
    for item in output.elements() {
        if draft.captures() && std::mem::take(&mut is_first) {
            draft.restart_content();
        }
        let kind = item.get("type").and_then(|kind| kind.as_text());
        calls_tool |= matches!(kind.as_deref(), Some("function_call" | "custom_tool_call"));
        if draft.captures() {
            draft.parts(0, |room| content::responses_item(item, room));
        }
    }
    calls_tool
}

fn item_added(draft: &mut Draft, object: Value<'_>) -> Seen {
    let Some(item) = object.get("item") else { return draft.silent() };
    let text = |name: &str| item.get(name).and_then(|value| value.as_words());
    match text("type").as_deref() {
        Some("function_call" | "custom_tool_call") => {
            let id = text("call_id");
            draft.tool(0, item_key(object), id.as_deref(), &text("name").unwrap_or_default());
            Seen::Content
        }
        _ => draft.silent(),
    }
}

fn delta(draft: &mut Draft, kind: &str, object: Value<'_>) {
    let Some(text) = object.get("delta").and_then(|delta| delta.as_text()) else { return };
    let key = item_key(object);
    match kind {
        "response.output_text.delta" | "response.refusal.delta" => draft.text(0, key, &text),
        "response.reasoning_text.delta" | "response.reasoning_summary_text.delta" => {
            draft.reasoning(0, key, &text);
        }
        "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
            draft.arguments(0, key, &text);
        }
        _ => {}
    }
}

fn item_key(object: Value<'_>) -> Key {
    Key::Block(object.get("output_index").and_then(|index| index.as_u64()).unwrap_or(0))
}
