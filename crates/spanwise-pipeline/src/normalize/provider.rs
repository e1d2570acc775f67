//! Who served a call, in the words of OpenTelemetry's registry (semconv §6.2).

use spanwise_model::Str;

/// Canonical names with what else is seen for them, in lower case.
const NAMES: [(&str, &[&str]); 24] = [
    ("openai", &["openai.responses", "openai.chat"]),
    ("azure.ai.openai", &["az.ai.openai", "azure", "azure_openai", "azure-openai", "azure.openai"]),
    ("azure.ai.inference", &["az.ai.inference"]),
    ("anthropic", &["claude"]),
    ("aws.bedrock", &["aws", "bedrock", "aws_bedrock", "amazon-bedrock"]),
    ("gcp.gemini", &["gemini", "google", "google_genai", "google.generative-ai"]),
    ("gcp.vertex_ai", &["vertex_ai", "vertexai", "google.vertex"]),
    ("gcp.gen_ai", &[]),
    ("mistral_ai", &["mistral", "mistralai"]),
    ("x_ai", &["xai", "grok"]),
    ("cohere", &[]),
    ("deepseek", &[]),
    ("groq", &[]),
    ("perplexity", &[]),
    ("ibm.watsonx.ai", &["watsonx"]),
    ("moonshot_ai", &["moonshot"]),
    ("ollama", &[]),
    ("together_ai", &["togetherai", "together ai"]),
    ("fireworks", &[]),
    ("openrouter", &[]),
    ("replicate", &[]),
    ("hugging_face", &["huggingface", "hugging face"]),
    ("aleph_alpha", &["alephalpha", "aleph alpha"]),
    ("cerebras", &[]),
];

/// Starts of models' names with who makes them.
const MODELS: [(&str, &str); 13] = [
    ("gpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("text-embedding-", "openai"),
    ("claude", "anthropic"),
    ("gemini", "gcp.gemini"),
    ("mistral", "mistral_ai"),
    ("codestral", "mistral_ai"),
    ("command", "cohere"),
    ("deepseek", "deepseek"),
    ("grok", "x_ai"),
    ("sonar", "perplexity"),
];

/// The canonical name of a provider; a name that is not in the registry is kept.
pub fn canonical(name: Str) -> Str {
    if let Some((known, _)) = NAMES.iter().find(|(known, _)| *known == &*name) {
        return Str::from_static(known);
    }
    if &*name == "Google" {
        return Str::from_static("gcp.gen_ai");
    }
    let lower = name.to_ascii_lowercase();
    match NAMES.iter().find(|(known, others)| *known == lower || others.contains(&&*lower)) {
        Some((known, _)) => Str::from_static(known),
        None => name,
    }
}

/// The provider that a model's name suggests.
pub fn of_model(model: &str) -> Option<Str> {
    if let Some((provider, _)) = model.split_once('/') {
        let is_provider = !matches!(provider, "" | "models" | "accounts");
        return is_provider.then(|| canonical(Str::from(provider)));
    }
    let (_, provider) = MODELS.iter().find(|(start, _)| {
        model.get(..start.len()).is_some_and(|of_model| of_model.eq_ignore_ascii_case(start))
    })?;
    Some(Str::from_static(provider))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_become_the_registry_s() {
        for (seen, expected) in [
            ("OpenAI", "openai"),
            ("openai.responses", "openai"),
            ("azure_openai", "azure.ai.openai"),
            ("AWS", "aws.bedrock"),
            ("google", "gcp.gemini"),
            ("Google", "gcp.gen_ai"),
            ("MistralAI", "mistral_ai"),
            ("Acme", "Acme"),
        ] {
            assert_eq!(canonical(seen.into()), expected);
        }
    }

    #[test]
    fn models_suggest_their_makers() {
        assert_eq!(of_model("gpt-4o").unwrap(), "openai");
        assert_eq!(of_model("Claude-3").unwrap(), "anthropic");
        assert_eq!(of_model("bedrock/claude-3").unwrap(), "aws.bedrock");
        assert_eq!(of_model("models/gemini"), None);
        assert_eq!(of_model("llama"), None);
    }
}
