"""Frameworks without code: what is installed is instrumented by maintained packages."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter, Setter, TextMapPropagator, default_getter, default_setter

logger = logging.getLogger("spanwise.tracing")

# A library, and the instrumentations that know it, best first.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "openai": (
        "openinference.instrumentation.openai:OpenAIInstrumentor",
        "opentelemetry.instrumentation.openai_v2:OpenAIInstrumentor",
        "opentelemetry.instrumentation.openai:OpenAIInstrumentor",
    ),
    "anthropic": (
        "openinference.instrumentation.anthropic:AnthropicInstrumentor",
        "opentelemetry.instrumentation.anthropic:AnthropicInstrumentor",
    ),
    "langchain_core": (
        "openinference.instrumentation.langchain:LangChainInstrumentor",
        "opentelemetry.instrumentation.langchain:LangchainInstrumentor",
    ),
    "llama_index.core": (
        "openinference.instrumentation.llama_index:LlamaIndexInstrumentor",
        "opentelemetry.instrumentation.llamaindex:LlamaIndexInstrumentor",
    ),
    "crewai": (
        "openinference.instrumentation.crewai:CrewAIInstrumentor",
        "opentelemetry.instrumentation.crewai:CrewAIInstrumentor",
    ),
    "litellm": ("openinference.instrumentation.litellm:LiteLLMInstrumentor",),
    "requests": ("opentelemetry.instrumentation.requests:RequestsInstrumentor",),
    "httpx": ("opentelemetry.instrumentation.httpx:HTTPXClientInstrumentor",),
    "httpx2": ("opentelemetry.instrumentation.httpx:HTTPX2ClientInstrumentor",),
    "aiohttp": ("opentelemetry.instrumentation.aiohttp_client:AioHttpClientInstrumentor",),
}
# Hosts of model providers, and of everything below them.
PROVIDER_HOSTS = (
    *("api.openai.com", "openai.azure.com", "api.anthropic.com", "generativelanguage.googleapis.com"),
    *("aiplatform.googleapis.com", "api.mistral.ai", "api.cohere.com", "api.cohere.ai", "api.groq.com"),
    *("api.deepseek.com", "api.x.ai", "api.together.xyz", "api.perplexity.ai", "api.fireworks.ai"),
    *("openrouter.ai", "api-inference.huggingface.co", "router.huggingface.co", "api.voyageai.com"),
)


def instrument(provider: trace.TracerProvider, wanted: Sequence[str] | None) -> list[Any]:
    """Instruments what is installed, and returns what was. No failure reaches the application."""
    if wanted is not None:
        names = {"langchain": "langchain_core", "llama_index": "llama_index.core", "llamaindex": "llama_index.core"}
        wanted = [names.get(name, name) for name in wanted]
        if unknown := next((name for name in wanted if name not in LIBRARIES), None):
            raise ValueError(f"instrument: nothing is known of '{unknown}'; there are: {', '.join(LIBRARIES)}")
    instrumented: list[Any] = []
    for library, candidates in LIBRARIES.items():
        if (wanted is not None and library not in wanted) or not is_installed(library):
            continue
        made = first_that_works(library, candidates, provider)
        if made is not None:
            instrumented.append(made)
    return instrumented


def first_that_works(library: str, candidates: Sequence[str], provider: trace.TracerProvider) -> Any:
    for candidate in candidates:
        module, _, name = candidate.partition(":")
        if not is_installed(module):
            continue
        try:
            instrumentor = getattr(importlib.import_module(module), name)()
            if getattr(instrumentor, "is_instrumented_by_opentelemetry", False):
                # Somebody did it before, and knows why.
                return None
            instrumentor.instrument(tracer_provider=provider)
        except Exception:
            logger.warning("%s is not instrumented: %s failed", library, module, exc_info=True)
            continue
        if not getattr(instrumentor, "is_instrumented_by_opentelemetry", True):
            # It does not like the library's version, and has said so.
            continue
        logger.debug("%s is instrumented by %s", library, module)
        return instrumentor
    logger.debug("%s is installed, and nothing that instruments it: pip install 'spanwise[...]'", library)
    return None


def uninstrument(instrumented: Sequence[Any]) -> None:
    for instrumentor in instrumented:
        try:
            instrumentor.uninstrument()
        except Exception:
            logger.debug("an instrumentation did not let go", exc_info=True)


def is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


class KeepFromProviders(TextMapPropagator):
    """Passes context on to everybody but model providers, who have no use for it."""

    def __init__(self, inner: TextMapPropagator) -> None:
        self.inner = inner

    def extract(self, carrier: Any, context: Context | None = None, getter: Getter[Any] = default_getter) -> Context:
        return self.inner.extract(carrier, context, getter)

    def inject(self, carrier: Any, context: Context | None = None, setter: Setter[Any] = default_setter) -> None:
        try:
            if is_provider(target_host(trace.get_current_span(context))):
                return
        except Exception:
            logger.debug("the target of a request was not found", exc_info=True)
        self.inner.inject(carrier, context, setter)

    @property
    def fields(self) -> set[str]:
        return self.inner.fields


def keep_context_from_providers() -> None:
    current = propagate.get_global_textmap()
    if not isinstance(current, KeepFromProviders):
        propagate.set_global_textmap(KeepFromProviders(current))


def target_host(span: Any) -> str:
    """The host that a client's span goes to; clients' instrumentations inject inside that span."""
    if getattr(span, "kind", None) is not trace.SpanKind.CLIENT:
        return ""
    attributes = span.attributes or {}
    for key in ("url.full", "http.url"):
        if url := attributes.get(key):
            return urlsplit(str(url)).hostname or ""
    return str(attributes.get("server.address") or attributes.get("net.peer.name") or "")


def is_provider(host: str) -> bool:
    host = host.lower().rstrip(".")
    return any(host == known or host.endswith(f".{known}") or is_regional(host, known) for known in PROVIDER_HOSTS) or (
        host.startswith(("bedrock-runtime.", "bedrock-runtime-fips.")) and host.endswith(".amazonaws.com")
    )


def is_regional(host: str, known: str) -> bool:
    """``europe-west1-aiplatform.googleapis.com`` is ``aiplatform.googleapis.com`` somewhere."""
    return host.endswith(f"-{known}")
