//! Gemini's `generateContent`, whose stream is a sequence of whole answers.

use super::draft::{Draft, set};
use super::usage::Count;
use super::{FinishReason, ProviderError, Seen, content};
use crate::json::Value;

/// Takes in an element of a stream.
pub(super) fn event(draft: &mut Draft, data: &str) -> Seen {
    let Some(object) = Value::object(data) else {
        return Seen::Other;
    };
    if let Some(error) = ProviderError::of_object(object) {
        return draft.fail(error.or_kind("error"));
    }
    if read(draft, object) {
        return Seen::Content;
    }
    // There is no end but the reason why each candidate has ended.
    if draft.is_complete { Seen::End } else { draft.silent() }
}

/// Takes in a whole answer.
pub(super) fn body(draft: &mut Draft, object: Value<'_>) {
    if let Some(error) = ProviderError::of_object(object) {
        draft.error = Some(error.or_kind("error"));
        return;
    }
    read(draft, object);
}

/// Whether there is content.
fn read(draft: &mut Draft, object: Value<'_>) -> bool {
    let mut has_content = false;
    for (key, value) in object.members() {
        match &*key {
            "responseId" => set(&mut draft.id, value),
            "modelVersion" => set(&mut draft.model, value),
            "usageMetadata" => usage(draft, value),
            "promptFeedback" => {
                if let Some(reason) = value.get("blockReason").and_then(|it| it.as_words()) {
                    let canonical = "content_filter".into();
                    draft.finish(0, FinishReason { raw: reason.into_owned(), canonical });
                    draft.is_complete = true;
                }
            }
            "candidates" => {
                for (position, candidate) in value.elements().enumerate() {
                    has_content |= read_candidate(draft, position as u64, candidate);
                }
            }
            _ => {}
        }
    }
    has_content
}

fn read_candidate(draft: &mut Draft, position: u64, candidate: Value<'_>) -> bool {
    let index = candidate.get("index").and_then(|index| index.as_u64()).unwrap_or(position);
    let mut has_content = false;
    draft.choice(index);
    for (key, value) in candidate.members() {
        match &*key {
            "content" => {
                for part in value.get("parts").iter().flat_map(Value::elements) {
                    has_content |= read_part(draft, index, part);
                }
            }
            "finishReason" => {
                draft.finish_as(index, value);
                draft.is_complete |= value.is_filled();
            }
            _ => {}
        }
    }
    has_content
}

/// Texts grow; whatever else there is comes whole.
fn read_part(draft: &mut Draft, choice: u64, part: Value<'_>) -> bool {
    let Some(text) = part.get("text").and_then(|text| text.as_text()) else {
        draft.parts(choice, |room| [content::gemini_part(part, room)]);
        return part.members().any(|(name, _)| name != "thoughtSignature");
    };
    if draft.captures() {
        let is_thought = part.get("thought").and_then(|it| it.as_bool()) == Some(true);
        draft.at_end(choice, is_thought, &text);
    }
    !text.is_empty()
}

fn usage(draft: &mut Draft, usage: Value<'_>) {
    for (key, value) in usage.members() {
        let count = match &*key {
            "promptTokenCount" => Count::Input,
            "candidatesTokenCount" => Count::Output,
            "thoughtsTokenCount" => Count::Reasoning,
            "toolUsePromptTokenCount" => Count::ToolInput,
            "cachedContentTokenCount" => Count::CacheRead,
            "totalTokenCount" => Count::Total,
            _ => continue,
        };
        draft.counts.take(count, value);
    }
}
