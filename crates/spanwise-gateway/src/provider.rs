//! Providers that are known by their names: where they are, what they speak, how they are asked.

use crate::dialect::Dialect;
use Dialect::{Chat, Converse, Embeddings, Gemini, Messages, Ollama, Responses};

/// How a provider is told who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// The key in a header of this name.
    Header(&'static str),
    /// AWS's signature, version 4.
    Aws,
}

/// What is known of a provider.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// As it stands before the `/` of `provider/model`.
    pub name: &'static str,
    /// OpenTelemetry's `gen_ai.provider.name`.
    pub otel: &'static str,
    /// Where it is; empty where everybody has an address of their own.
    pub base_url: &'static str,
    /// What it speaks, in order of preference.
    pub dialects: &'static [Dialect],
    /// How it is told who asks.
    pub scheme: Scheme,
    /// Whether it tells the usage of a stream when asked to, and only then.
    pub injects_usage: bool,
}

impl Preset {
    /// The provider of this name.
    pub fn named(name: &str) -> Option<&'static Preset> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// Every server that speaks OpenAI's dialects.
    pub fn compatible() -> Preset {
        compatible("openai-compatible", "openai", "")
    }
}

const fn compatible(name: &'static str, otel: &'static str, base_url: &'static str) -> Preset {
    Preset {
        name,
        otel,
        base_url,
        dialects: &[Chat, Embeddings],
        scheme: Scheme::Bearer,
        injects_usage: true,
    }
}

/// Public addresses as the providers document them.
pub static PRESETS: &[Preset] = &[
    Preset {
        dialects: &[Chat, Responses, Embeddings],
        ..compatible("openai", "openai", "https://api.openai.com/v1")
    },
    Preset {
        name: "anthropic",
        otel: "anthropic",
        base_url: "https://api.anthropic.com/v1",
        dialects: &[Messages],
        scheme: Scheme::Header("x-api-key"),
        injects_usage: false,
    },
    Preset {
        name: "gemini",
        otel: "gcp.gemini",
        base_url: "https://generativelanguage.googleapis.com/v1beta",
        dialects: &[Gemini],
        scheme: Scheme::Header("x-goog-api-key"),
        injects_usage: false,
    },
    Preset {
        dialects: &[Chat, Responses, Embeddings],
        scheme: Scheme::Header("api-key"),
        ..compatible("azure", "azure.ai.openai", "")
    },
    Preset {
        name: "bedrock",
        otel: "aws.bedrock",
        base_url: "",
        dialects: &[Converse],
        scheme: Scheme::Aws,
        injects_usage: false,
    },
    Preset {
        dialects: &[Chat, Ollama, Embeddings],
        ..compatible("ollama", "ollama", "http://127.0.0.1:11434/v1")
    },
    compatible("cerebras", "cerebras", "https://api.cerebras.ai/v1"),
    compatible("cohere", "cohere", "https://api.cohere.ai/compatibility/v1"),
    compatible("deepinfra", "deepinfra", "https://api.deepinfra.com/v1/openai"),
    compatible("deepseek", "deepseek", "https://api.deepseek.com/v1"),
    compatible("fireworks", "fireworks", "https://api.fireworks.ai/inference/v1"),
    compatible("groq", "groq", "https://api.groq.com/openai/v1"),
    compatible("huggingface", "huggingface", "https://router.huggingface.co/v1"),
    compatible("llama_cpp", "llama_cpp", "http://127.0.0.1:8080/v1"),
    compatible("lm_studio", "lm_studio", "http://127.0.0.1:1234/v1"),
    // Tells it always, and refuses to be asked.
    Preset {
        injects_usage: false,
        ..compatible("mistral", "mistral_ai", "https://api.mistral.ai/v1")
    },
    compatible("moonshot", "moonshot_ai", "https://api.moonshot.ai/v1"),
    compatible("nvidia", "nvidia", "https://integrate.api.nvidia.com/v1"),
    Preset {
        dialects: &[Chat, Responses, Embeddings],
        ..compatible("openrouter", "openrouter", "https://openrouter.ai/api/v1")
    },
    // Tells it always.
    Preset {
        injects_usage: false,
        ..compatible("perplexity", "perplexity", "https://api.perplexity.ai")
    },
    compatible("sambanova", "sambanova", "https://api.sambanova.ai/v1"),
    compatible("together", "together", "https://api.together.xyz/v1"),
    compatible("vllm", "vllm", "http://127.0.0.1:8000/v1"),
    Preset {
        dialects: &[Chat, Responses, Embeddings],
        ..compatible("xai", "x_ai", "https://api.x.ai/v1")
    },
];

/// Where a provider's own path for a dialect leads, below its base address.
pub fn path(dialect: Dialect, model: &str, is_stream: bool) -> String {
    match dialect {
        Chat => "/chat/completions".to_owned(),
        Responses => "/responses".to_owned(),
        Embeddings => "/embeddings".to_owned(),
        Messages => "/messages".to_owned(),
        Gemini if is_stream => format!("/models/{}:streamGenerateContent?alt=sse", in_path(model)),
        Gemini => format!("/models/{}:generateContent", in_path(model)),
        Converse if is_stream => format!("/model/{}/converse-stream", in_path(model)),
        Converse => format!("/model/{}/converse", in_path(model)),
        Ollama => "/api/chat".to_owned(),
    }
}

/// A model's name as one segment of a path: the ARNs of Bedrock have slashes and colons.
fn in_path(model: &str) -> String {
    use std::fmt::Write as _;
    let mut path = String::with_capacity(model.len());
    for byte in model.trim_start_matches("models/").bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            let written = write!(path, "%{byte:02X}");
            debug_assert!(written.is_ok(), "writing into memory does not fail");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_complete() {
        for preset in PRESETS {
            assert!(!preset.dialects.is_empty(), "{}", preset.name);
            assert!(std::ptr::eq(Preset::named(preset.name).unwrap(), preset), "{}", preset.name);
            let own_address = ["azure", "bedrock"].contains(&preset.name);
            assert_eq!(preset.base_url.is_empty(), own_address, "{}", preset.name);
        }
        assert!(PRESETS.len() >= 20);
    }

    #[test]
    fn names_of_models_are_escaped_where_they_are_part_of_a_path() {
        assert_eq!(
            path(Converse, "anthropic.claude-sonnet-4-5-v1:0", true),
            "/model/anthropic.claude-sonnet-4-5-v1%3A0/converse-stream"
        );
    }
}
