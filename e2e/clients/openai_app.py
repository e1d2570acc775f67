"""A small agent with the real `openai` package, instrumented as its users would.

usage: openai_app.py (otel|openinference) OTLP_ENDPOINT OPENAI_BASE_URL
Prints the trace ids as JSON: {"agent": …, "stream": …, "embeddings": …, "error": …}
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

import openai
from opentelemetry import trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def providers(endpoint: str) -> tuple[TracerProvider, LoggerProvider]:
    resource = Resource.create({"service.name": "weather-agent"})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{endpoint}/v1/logs")))
    return tracers, loggers


def instrument(kind: str, tracers: TracerProvider, loggers: LoggerProvider) -> None:
    if kind == "otel":
        from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

        OpenAIInstrumentor().instrument(tracer_provider=tracers, logger_provider=loggers)
    else:
        from openinference.instrumentation.openai import OpenAIInstrumentor

        OpenAIInstrumentor().instrument(tracer_provider=tracers)


def agent(client: openai.OpenAI) -> None:
    messages: list[Any] = [
        {"role": "system", "content": "You are a weather agent."},
        {"role": "user", "content": "How is the weather in Paris?"},
    ]
    tools: Any = [TOOL]
    answer = client.chat.completions.create(model="gpt-4o", messages=messages, tools=tools, temperature=0.2)
    call = (answer.choices[0].message.tool_calls or [])[0]
    messages.append(answer.choices[0].message.model_dump(exclude_none=True))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "18 °C, sunny"})
    client.chat.completions.create(model="gpt-4o", messages=messages, tools=tools)


def stream(client: openai.OpenAI) -> None:
    chunks = client.chat.completions.create(
        model="gpt-4o",
        messages=[{"role": "user", "content": "And in one stream?"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    for _ in chunks:
        pass


def embeddings(client: openai.OpenAI) -> None:
    client.embeddings.create(model="text-embedding-3-small", input="weather in Paris", encoding_format="float")


def error(client: openai.OpenAI) -> None:
    with contextlib.suppress(openai.RateLimitError):
        client.chat.completions.create(model="broken", messages=[{"role": "user", "content": "hi"}])


def main(kind: str, endpoint: str, base_url: str) -> None:
    tracers, loggers = providers(endpoint)
    trace.set_tracer_provider(tracers)
    set_logger_provider(loggers)
    instrument(kind, tracers, loggers)
    client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)
    ids: dict[str, str] = {}
    scenarios: list[Callable[[openai.OpenAI], None]] = [agent, stream, embeddings, error]
    for scenario in scenarios:
        with trace.get_tracer("app").start_as_current_span(scenario.__name__) as root:
            ids[scenario.__name__] = f"{root.get_span_context().trace_id:032x}"
            scenario(client)
    tracers.shutdown()
    loggers.shutdown()
    print(json.dumps(ids))


main(*sys.argv[1:])
