// Records one trace and exports it as OTLP JSON.  usage: node export.mjs http://127.0.0.1:4318 [gzip]
import { SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const [endpoint, compression = "none"] = process.argv.slice(2);
const exporter = new OTLPTraceExporter({ url: `${endpoint}/v1/traces`, compression });
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "node-shop" }),
  spanProcessors: [new BatchSpanProcessor(exporter)],
});
provider.register();

const tracer = trace.getTracer("e2e", "1.0");
const ids = tracer.startActiveSpan("answer", (root) => {
  const child = tracer.startSpan("chat gpt-4o", {
    kind: SpanKind.CLIENT,
    attributes: {
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "openai",
      "gen_ai.request.model": "gpt-4o",
      "gen_ai.usage.input_tokens": 12,
      "gen_ai.usage.output_tokens": 7,
      "shop.ratio": 0.25,
      "shop.flags": ["a", "b"],
      "shop.open": true,
      "shop.text": "Grüße, 世界 🌍",
    },
  });
  child.addEvent("cache miss", { "cache.key": "k1" });
  child.recordException(new Error("rate limited"));
  child.setStatus({ code: SpanStatusCode.ERROR, message: "rate limited" });
  child.end();
  root.end();
  return { trace_id: root.spanContext().traceId, root: root.spanContext().spanId, child: child.spanContext().spanId };
});
await provider.shutdown();
console.log(JSON.stringify(ids));
