"""Which framework an instrumentation is of."""

from __future__ import annotations

# Instrumentations of frameworks: the framework's name, and the package that has its version.
FRAMEWORKS = {
    "langchain": ("langchain", "langchain-core"),
    "llama_index": ("llama_index", "llama-index-core"),
    "llamaindex": ("llama_index", "llama-index-core"),
    "crewai": ("crewai", "crewai"),
    "litellm": ("litellm", "litellm"),
    "haystack": ("haystack", "haystack-ai"),
    "dspy": ("dspy", "dspy"),
    "smolagents": ("smolagents", "smolagents"),
    "autogen": ("autogen", "autogen"),
    "agno": ("agno", "agno"),
    "pydantic_ai": ("pydantic_ai", "pydantic-ai"),
    "openai_agents": ("openai_agents", "openai-agents"),
    "google_adk": ("google_adk", "google-adk"),
}
# Instrumentations of models' clients.
CLIENTS = {
    *("openai", "openai_v2", "anthropic", "bedrock", "cohere", "google_genai", "google_generativeai"),
    *("groq", "mistralai", "ollama", "replicate", "together", "vertexai", "watsonx"),
}
PREFIXES = ("openinference.instrumentation.", "opentelemetry.instrumentation.")
# A client that records its calls itself.
SELF_MADE = {"com.anthropic.sdk.python": "anthropic"}


def origin_of(scope: str) -> tuple[tuple[str, str] | None] | None:
    """Of an instrumentation of models, or of what calls them: its framework, if it is one's."""
    prefix = next((prefix for prefix in PREFIXES if scope.startswith(prefix)), None)
    library = SELF_MADE.get(scope) or (scope[len(prefix) :].split(".", 1)[0] if prefix else "")
    if library in CLIENTS:
        return (None,)
    if library not in FRAMEWORKS:
        return None
    name, package = FRAMEWORKS[library]
    # It takes as long to import as all of spanwise does, and most applications never come here.
    from importlib import metadata

    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        version = ""
    return ((name, version),)
