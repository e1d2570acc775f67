//! Messages in OpenTelemetry's form: a role and parts.

use serde::Serialize;
use serde_json::Value as Json;

/// What somebody said.
///
/// ```
/// use spanwise::genai::Message;
///
/// let said = Message::assistant("Let me see.")
///     .tool_call("call_1", "weather", &serde_json::json!({"city": "Oslo"}))
///     .finished("tool_call");
/// assert_eq!(
///     serde_json::to_value(&said).unwrap(),
///     serde_json::json!({
///         "role": "assistant",
///         "parts": [
///             {"type": "text", "content": "Let me see."},
///             {"type": "tool_call", "id": "call_1", "name": "weather", "arguments": {"city": "Oslo"}},
///         ],
///         "finish_reason": "tool_call",
///     }),
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// Who: `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What, in order.
    pub parts: Vec<Part>,
    /// Why the model stopped here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    /// Words.
    Text {
        /// The words.
        content: String,
    },
    /// What a model thought.
    Reasoning {
        /// The thoughts.
        content: String,
    },
    /// A wish to use a tool.
    ToolCall {
        /// What the model calls this call.
        id: String,
        /// The tool.
        name: String,
        /// What it is to be called with.
        arguments: Json,
    },
    /// What a tool gave.
    ToolCallResponse {
        /// The call that it answers.
        id: String,
        /// What it gave.
        response: Json,
    },
    /// An image, a recording, or the like, that can be found elsewhere.
    Uri {
        /// `image`, `audio` or `video`.
        modality: String,
        /// Where.
        uri: String,
    },
}

impl Message {
    /// A message of one text.
    pub fn new(role: &str, text: impl Into<String>) -> Self {
        let parts = vec![Part::Text { content: text.into() }];
        Message { role: role.to_owned(), parts, finish_reason: None }
    }

    /// What the model is told to be.
    pub fn system(text: impl Into<String>) -> Self {
        Self::new("system", text)
    }

    /// What a person said.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new("user", text)
    }

    /// What the model said.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new("assistant", text)
    }

    /// What a tool gave in answer to a call.
    pub fn tool(call_id: &str, result: &(impl Serialize + ?Sized)) -> Self {
        let part = Part::ToolCallResponse { id: call_id.to_owned(), response: json(result) };
        Message { role: "tool".to_owned(), parts: vec![part], finish_reason: None }
    }

    /// Adds a part.
    #[must_use]
    pub fn with(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// Adds a wish to use a tool.
    #[must_use]
    pub fn tool_call(self, id: &str, name: &str, arguments: &(impl Serialize + ?Sized)) -> Self {
        let (id, name) = (id.to_owned(), name.to_owned());
        self.with(Part::ToolCall { id, name, arguments: json(arguments) })
    }

    /// Says why the model stopped here: `stop`, `length`, `tool_call`, …
    #[must_use]
    pub fn finished(mut self, reason: &str) -> Self {
        self.finish_reason = Some(reason.to_owned());
        self
    }
}

/// What cannot be written as JSON is shown as nothing.
fn json(value: &(impl Serialize + ?Sized)) -> Json {
    serde_json::to_value(value).unwrap_or_default()
}
