//! An answer while it is being read.

use serde_json::Value as Json;

use super::usage::Counts;
use super::{Capture, FinishReason, ProviderError, Seen, content};
use crate::json::Value;

/// More choices than any provider gives.
const MAX_CHOICES: usize = 128;
/// What a part costs of the room for content besides its text.
const PART_BYTES: usize = 32;

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub id: Option<String>,
    pub model: Option<String>,
    pub service_tier: Option<String>,
    pub counts: Counts,
    pub choices: Vec<Choice>,
    pub error: Option<ProviderError>,
    pub dimensions: Option<u64>,
    pub has_content: bool,
    pub is_complete: bool,
    /// Whether a part of the stream could not be read.
    pub is_unread: bool,
    capture: Capture,
    room: Room,
}

/// One of the alternative answers.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub index: u64,
    pub finish: Option<FinishReason>,
    parts: Vec<Part>,
}

/// A part of a message, and which deltas go to it.
#[derive(Debug)]
struct Part {
    key: Key,
    body: Body,
}

/// What deltas of a dialect belong to: the index of a block, or of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The text of a message.
    Text,
    /// Its reasoning.
    Reasoning,
    /// The block or item with this index.
    Block(u64),
    /// The tool with this index.
    Tool(u64),
    /// Complete as it is.
    Whole,
}

#[derive(Debug)]
enum Body {
    Text(String),
    Reasoning(String),
    Tool(ToolCall),
    Whole(Json),
}

/// The model asks for a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// Ties the call to its result.
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// Its arguments, as written.
    pub arguments: String,
}

/// How much more content is kept.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Room {
    left: usize,
    pub is_cut: bool,
}

impl Room {
    pub fn new(capture: Capture) -> Self {
        Room { left: capture.max_bytes, is_cut: false }
    }

    /// Whether nothing more fits in.
    pub fn is_closed(&self) -> bool {
        self.left == 0
    }

    /// As much of a text as there is room for.
    pub fn fit<'a>(&mut self, text: &'a str) -> &'a str {
        if text.len() <= self.left {
            self.left -= text.len();
            return text;
        }
        self.is_cut = true;
        let end = text.floor_char_boundary(self.left);
        self.left = 0;
        &text[..end]
    }

    /// Whether there is room for so much; it is then used.
    pub fn take(&mut self, n: usize) -> bool {
        let fits = n <= self.left;
        if fits {
            self.left -= n;
        } else {
            self.is_cut = true;
        }
        fits
    }
}

impl Draft {
    pub fn new(capture: Capture) -> Self {
        Draft { capture, room: Room::new(capture), ..Draft::default() }
    }

    /// Whether what is said is kept.
    pub fn captures(&self) -> bool {
        self.capture != Capture::NOTHING
    }

    pub fn is_cut(&self) -> bool {
        self.room.is_cut
    }

    pub fn fail(&mut self, error: ProviderError) -> Seen {
        self.error = Some(error.clone());
        Seen::Error(error)
    }

    /// What a frame without content is: nothing has been said yet, or something has.
    pub fn silent(&self) -> Seen {
        if self.has_content { Seen::Other } else { Seen::Preamble }
    }

    /// The choice with this index.
    pub fn choice(&mut self, index: u64) -> Option<&mut Choice> {
        let found = self.choices.iter().position(|choice| choice.index == index);
        let at = match found {
            Some(at) => at,
            None if self.choices.len() < MAX_CHOICES => {
                self.choices.push(Choice { index, ..Choice::default() });
                self.choices.len() - 1
            }
            None => return None,
        };
        self.choices.get_mut(at)
    }

    /// A choice is finished, for this reason.
    pub fn finish(&mut self, choice: u64, reason: FinishReason) {
        if let Some(choice) = self.choice(choice) {
            choice.finish = Some(reason);
        }
    }

    /// A choice is finished if a reason is given.
    pub fn finish_as(&mut self, choice: u64, reason: Value<'_>) {
        if let Some(reason) = reason.as_words() {
            self.finish(choice, FinishReason::new(&reason));
        }
    }

    /// More text.
    pub fn text(&mut self, choice: u64, key: Key, text: &str) {
        self.append(choice, key, text, Some(Body::Text));
    }

    /// More reasoning.
    pub fn reasoning(&mut self, choice: u64, key: Key, text: &str) {
        self.append(choice, key, text, Some(Body::Reasoning));
    }

    /// More of the arguments of a call that has begun.
    pub fn arguments(&mut self, choice: u64, key: Key, text: &str) {
        self.append(choice, key, text, None);
    }

    fn append(&mut self, choice: u64, key: Key, text: &str, new: Option<fn(String) -> Body>) {
        if !self.captures() || text.is_empty() {
            return;
        }
        let text = self.room.fit(text);
        let Some(choice) = self.choice(choice) else { return };
        match (choice.parts.iter_mut().rfind(|part| part.key == key), new) {
            (Some(part), _) => part.body.push(text),
            (None, Some(new)) if !text.is_empty() => {
                choice.parts.push(Part { key, body: new(text.to_owned()) });
            }
            (None, _) => {}
        }
    }

    /// More text or reasoning at the end of a choice, in dialects whose parts have no index.
    pub fn at_end(&mut self, choice: u64, is_reasoning: bool, text: &str) {
        let Some(parts) = self.choice(choice).map(|choice| &mut choice.parts) else { return };
        let n = parts.len() as u64;
        let last = parts.last().and_then(|part| match (&part.body, is_reasoning) {
            (Body::Text(_), false) | (Body::Reasoning(_), true) => Some(part.key),
            _ => None,
        });
        let key = last.unwrap_or(Key::Block(n));
        if is_reasoning { self.reasoning(choice, key, text) } else { self.text(choice, key, text) }
    }

    /// A call of a tool begins.
    pub fn tool(&mut self, choice: u64, key: Key, id: Option<&str>, name: &str) {
        if !self.captures() || !self.room.take(PART_BYTES + name.len()) {
            return;
        }
        let id = id.map(str::to_owned);
        let call = ToolCall { id, name: name.to_owned(), arguments: String::new() };
        if let Some(choice) = self.choice(choice) {
            choice.parts.push(Part { key, body: Body::Tool(call) });
        }
    }

    /// The call that deltas with this key go to.
    pub fn open_tool(&mut self, choice: u64, key: Key) -> Option<&mut ToolCall> {
        let parts = &mut self.choice(choice)?.parts;
        parts.iter_mut().rfind(|part| part.key == key).and_then(|part| match &mut part.body {
            Body::Tool(call) => Some(call),
            _ => None,
        })
    }

    /// Parts that are complete as they are.
    pub fn parts<P>(&mut self, choice: u64, build: impl FnOnce(&mut Room) -> P)
    where
        P: IntoIterator<Item = Json>,
    {
        if !self.captures() || !self.room.take(PART_BYTES) {
            return;
        }
        let built = build(&mut self.room);
        if let Some(choice) = self.choice(choice) {
            let whole = |part| Part { key: Key::Whole, body: Body::Whole(part) };
            choice.parts.extend(built.into_iter().map(whole));
        }
    }

    /// Forgets what was said, because all of it is about to be repeated.
    pub fn restart_content(&mut self) {
        self.room = Room::new(self.capture);
        for choice in &mut self.choices {
            choice.parts.clear();
        }
    }

    pub fn finish_reasons(&self, was_cut_off: bool) -> Vec<FinishReason> {
        let cut_off = was_cut_off.then(|| FinishReason::new("error"));
        if self.choices.is_empty() {
            return cut_off.into_iter().collect();
        }
        let reasons = self.choices.iter();
        reasons.filter_map(|choice| choice.finish.clone().or_else(|| cut_off.clone())).collect()
    }

    pub fn tool_calls(&self) -> Vec<ToolCall> {
        let parts = self.choices.iter().flat_map(|choice| &choice.parts);
        parts
            .filter_map(|part| match &part.body {
                Body::Tool(call) => Some(call.clone()),
                Body::Whole(part) => content::as_tool_call(part),
                Body::Text(_) | Body::Reasoning(_) => None,
            })
            .collect()
    }

    /// OpenTelemetry's output messages, one per choice.
    pub fn output_messages(&mut self, was_cut_off: bool) -> Option<String> {
        if !self.captures() {
            return None;
        }
        let messages: Vec<Json> = self
            .choices
            .iter_mut()
            .filter(|choice| !choice.parts.is_empty() || choice.finish.is_some())
            .map(|choice| {
                let parts = std::mem::take(&mut choice.parts).into_iter().map(Part::into_json);
                let reason = match &choice.finish {
                    Some(reason) => &*reason.canonical,
                    None if was_cut_off => "error",
                    None => "stop",
                };
                content::output_message(parts.collect(), reason)
            })
            .collect();
        (!messages.is_empty()).then(|| Json::Array(messages).to_string())
    }
}

impl Body {
    fn push(&mut self, text: &str) {
        match self {
            Body::Text(whole) | Body::Reasoning(whole) => whole.push_str(text),
            Body::Tool(call) => call.arguments.push_str(text),
            Body::Whole(_) => {}
        }
    }
}

impl Part {
    fn into_json(self) -> Json {
        match self.body {
            Body::Text(text) => content::text(&text),
            Body::Reasoning(text) => content::reasoning(&text),
            Body::Tool(call) => content::tool_call(call.id, call.name, &call.arguments),
            Body::Whole(part) => part,
        }
    }
}

/// Keeps the last string that is not empty.
pub(super) fn set(field: &mut Option<String>, value: Value<'_>) {
    if let Some(text) = value.as_words()
        && field.as_deref() != Some(&*text)
    {
        *field = Some(text.into_owned());
    }
}
