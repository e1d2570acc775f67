//! The languages that clients and providers of models speak.

use std::fmt;

/// How a request to a model and its answer are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI's `/v1/chat/completions`.
    Chat,
    /// OpenAI's `/v1/responses`.
    Responses,
    /// OpenAI's `/v1/embeddings`.
    Embeddings,
    /// Anthropic's `/v1/messages`.
    Messages,
    /// Gemini's `:generateContent` and `:streamGenerateContent`.
    Gemini,
    /// Bedrock's `/converse` and `/converse-stream`.
    Converse,
    /// Ollama's `/api/chat`.
    Ollama,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Dialect; 7] = [
        Dialect::Chat,
        Dialect::Responses,
        Dialect::Embeddings,
        Dialect::Messages,
        Dialect::Gemini,
        Dialect::Converse,
        Dialect::Ollama,
    ];

    /// The name used in configuration and error messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Dialect::Chat => "chat",
            Dialect::Responses => "responses",
            Dialect::Embeddings => "embeddings",
            Dialect::Messages => "messages",
            Dialect::Gemini => "gemini",
            Dialect::Converse => "converse",
            Dialect::Ollama => "ollama",
        }
    }

    /// The dialect with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.as_str() == name)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
