use super::*;

pub(super) mod frames;
mod golden;
mod hostile;
mod replies;
mod requests;

/// The dialects between which conversations are translated.
const DIALECTS: [Dialect; 6] = [
    Dialect::Chat,
    Dialect::Responses,
    Dialect::Messages,
    Dialect::Gemini,
    Dialect::Converse,
    Dialect::Ollama,
];

/// A model that takes everything its dialect has.
fn model_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Chat | Dialect::Responses => "gpt-4o",
        Dialect::Embeddings => "text-embedding-3-small",
        Dialect::Messages => "claude-sonnet-4-5",
        Dialect::Gemini => "gemini-2.5-flash",
        Dialect::Converse => "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
        Dialect::Ollama => "qwen3",
    }
}
