"""Frameworks without code: what is used is instrumented by maintained packages.

A library is instrumented when it is imported, or at once if it was imported before; what is
installed and not used costs nothing.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter, Setter, TextMapPropagator, default_getter, default_setter

from spanwise import _core
from spanwise._changes import Changes
from spanwise._imports import AfterImport

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
    "concurrent.futures.thread": ("spanwise._executors:ExecutorInstrumentor",),
}
# What is put right where an instrumentation leaves spans beside each other.
AMENDMENTS = {
    "openinference.instrumentation.anthropic": "spanwise._anthropic",
    "openinference.instrumentation.langchain": "spanwise._langchain",
    "openinference.instrumentation.llama_index": "spanwise._llama_index",
}
# What people call them.
NAMES = {
    "langchain": "langchain_core",
    "langgraph": "langchain_core",
    "llama_index": "llama_index.core",
    "llamaindex": "llama_index.core",
    "executors": "concurrent.futures.thread",
}


AFTER_IMPORT = AfterImport()


class Instrumentation:
    """What is instrumented, and will be. No failure reaches the application."""

    def __init__(self, libraries: Sequence[str]) -> None:
        self.libraries = libraries
        self.undo: list[Callable[[], object]] = []

    @classmethod
    def of(cls, wanted: Sequence[str] | None) -> Instrumentation:
        """Of the libraries with these names, or of all that are known."""
        libraries = [NAMES.get(name, name) for name in (LIBRARIES if wanted is None else wanted)]
        if unknown := next((name for name in libraries if name not in LIBRARIES), None):
            there_are = sorted({*LIBRARIES, *NAMES} - set(NAMES.values()))
            raise ValueError(f"instrument: nothing is known of '{unknown}'; there are: {', '.join(there_are)}")
        return cls(list(dict.fromkeys(libraries)))

    def start(self, provider: trace.TracerProvider) -> None:
        for library in self.libraries:
            AFTER_IMPORT.call(library, functools.partial(self.instrument, library, provider))

    def instrument(self, library: str, provider: trace.TracerProvider) -> None:
        made = first_that_works(library, LIBRARIES[library], provider)
        if made is None:
            return
        self.undo.append(made.uninstrument)
        if amendment := AMENDMENTS.get(type(made).__module__):
            self.amend(made, amendment)

    def amend(self, instrumentor: Any, amendment: str) -> None:
        changes = Changes()
        try:
            importlib.import_module(amendment).amend(instrumentor, changes)
        except Exception:
            logger.warning("spans of %s may lie beside what they should lie above", amendment, exc_info=True)
            changes.undo()
        else:
            self.undo.append(changes.undo)

    def stop(self) -> None:
        AFTER_IMPORT.forget()
        for undo in reversed(self.undo):
            try:
                undo()
            except Exception:
                logger.debug("an instrumentation did not let go", exc_info=True)
        self.undo.clear()


def first_that_works(library: str, candidates: Sequence[str], provider: trace.TracerProvider) -> Any:
    for candidate in candidates:
        module, _, name = candidate.partition(":")
        if not is_installed(module):
            continue
        if is_being_imported(module):
            # Somebody else uses it, and knows why.
            return None
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


def is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def is_being_imported(module: str) -> bool:
    return getattr(getattr(sys.modules.get(module), "__spec__", None), "_initializing", False)


class KeepFromProviders(TextMapPropagator):
    """Passes context on to everybody but model providers, who have no use for it."""

    def __init__(self, inner: TextMapPropagator) -> None:
        self.inner = inner

    def extract(self, carrier: Any, context: Context | None = None, getter: Getter[Any] = default_getter) -> Context:
        return self.inner.extract(carrier, context, getter)

    def inject(self, carrier: Any, context: Context | None = None, setter: Setter[Any] = default_setter) -> None:
        try:
            if _core.is_model_provider(target_host(trace.get_current_span(context))):
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
