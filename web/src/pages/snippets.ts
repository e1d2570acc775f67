/** Copy-paste ways to send a first span, with this server's address filled in. */

export interface Snippet {
  id: string;
  label: string;
  code: string;
  note: string;
}

/** The receiving paths are served at the page's own address too, so one address is enough. */
export function snippets(origin: string): Snippet[] {
  return [
    {
      id: "python",
      label: "Python",
      code: PYTHON.replaceAll("ORIGIN", origin),
      note: "Any OpenTelemetry or OpenInference instrumentation works beside it: it uses the same provider.",
    },
    {
      id: "openai",
      label: "OpenAI",
      code: OPENAI.replaceAll("ORIGIN", origin),
      note: "Prompts and answers are recorded because of the second variable; leave it out to keep them private.",
    },
    {
      id: "node",
      label: "Node",
      code: NODE.replaceAll("ORIGIN", origin),
      note: "Save as tracing.mjs and start your application with: node --import ./tracing.mjs app.mjs",
    },
    {
      id: "curl",
      label: "curl",
      code: CURL.replaceAll("ORIGIN", origin),
      note: "One chat call in OTLP JSON, started now.",
    },
    {
      id: "env",
      label: "Environment",
      code: ENVIRONMENT.replaceAll("ORIGIN", origin),
      note: 'For an application that is instrumented already. With authentication on, add OTEL_EXPORTER_OTLP_HEADERS="x-api-key=YOUR_KEY".',
    },
  ];
}

const PYTHON = `pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

provider = TracerProvider(resource=Resource.create({"service.name": "my-agent"}))
provider.add_span_processor(
    BatchSpanProcessor(OTLPSpanExporter(endpoint="ORIGIN/v1/traces"))
)
trace.set_tracer_provider(provider)

with trace.get_tracer("hello").start_as_current_span("chat gpt-4o-mini") as span:
    span.set_attribute("gen_ai.operation.name", "chat")
    span.set_attribute("gen_ai.request.model", "gpt-4o-mini")
    span.set_attribute("gen_ai.usage.input_tokens", 12)
    span.set_attribute("gen_ai.usage.output_tokens", 5)
provider.shutdown()`;

const OPENAI = `pip install openai opentelemetry-distro opentelemetry-exporter-otlp-proto-http \\
    opentelemetry-instrumentation-openai-v2

export OTEL_EXPORTER_OTLP_ENDPOINT=ORIGIN
export OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true
export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
export OTEL_SERVICE_NAME=my-agent
export OTEL_TRACES_EXPORTER=otlp OTEL_LOGS_EXPORTER=otlp OTEL_METRICS_EXPORTER=none

opentelemetry-instrument python my_app.py`;

const NODE = `npm install @opentelemetry/sdk-node @opentelemetry/exporter-trace-otlp-http

import { NodeSDK } from "@opentelemetry/sdk-node";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";

const sdk = new NodeSDK({
  serviceName: "my-agent",
  traceExporter: new OTLPTraceExporter({ url: "ORIGIN/v1/traces" }),
});
sdk.start();
process.on("beforeExit", () => sdk.shutdown());`;

const CURL = `curl ORIGIN/v1/traces -H 'content-type: application/json' -d '{"resourceSpans":[{
  "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"curl"}}]},
  "scopeSpans":[{"spans":[{
    "traceId":"'$(openssl rand -hex 16)'","spanId":"'$(openssl rand -hex 8)'","name":"chat gpt-4o-mini","kind":3,
    "startTimeUnixNano":"'$(date +%s)'000000000","endTimeUnixNano":"'$(date +%s)'850000000",
    "attributes":[
      {"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},
      {"key":"gen_ai.request.model","value":{"stringValue":"gpt-4o-mini"}},
      {"key":"gen_ai.usage.input_tokens","value":{"intValue":"12"}},
      {"key":"gen_ai.usage.output_tokens","value":{"intValue":"5"}},
      {"key":"gen_ai.input.messages","value":{"stringValue":"[{\\"role\\":\\"user\\",\\"parts\\":[{\\"type\\":\\"text\\",\\"content\\":\\"Say hello\\"}]}]"}},
      {"key":"gen_ai.output.messages","value":{"stringValue":"[{\\"role\\":\\"assistant\\",\\"parts\\":[{\\"type\\":\\"text\\",\\"content\\":\\"Hello!\\"}]}]"}}
    ]}]}]}]}'`;

const ENVIRONMENT = `export OTEL_EXPORTER_OTLP_ENDPOINT=ORIGIN
export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
export OTEL_SERVICE_NAME=my-agent`;
