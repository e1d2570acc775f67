/** Builds traces in the API's own shapes. */

import type {
  Diagnostic,
  Json,
  JsonObject,
  Llm,
  Message,
  Operation,
  Part,
  Span,
  SpanEvent,
  Trace,
  TraceSummary,
} from "../../src/api/types";

/** A small deterministic generator, so that every run shows the same traces. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export interface SpanOptions {
  name: string;
  operation?: Operation;
  kind?: string;
  service?: string;
  /** Milliseconds after the start of the trace. */
  at: number;
  ms: number;
  error?: { type: string; message: string; stack?: string };
  attributes?: JsonObject;
  llm?: Partial<Llm>;
  events?: { at: number; name: string; attributes: JsonObject }[];
}

const PRICES: Record<string, [input: number, cached: number, output: number]> = {
  "gpt-4.1-mini": [0.4, 0.1, 1.6],
  "gpt-4.1": [2, 0.5, 8],
  "claude-sonnet-4-5": [3, 0.3, 15],
  "text-embedding-3-small": [0.02, 0.02, 0],
};

export const text = (content: string): Part => ({ type: "text", content });
export const say = (role: string, content: string): Message => ({ role, parts: [text(content)] });

export class TraceBuilder {
  readonly spans: Span[] = [];
  readonly diagnostics: Diagnostic[] = [];
  private readonly start: bigint;
  private readonly next: () => number;

  constructor(
    readonly traceId: string,
    startMs: number,
    private readonly service: string,
    seed: number,
  ) {
    this.start = BigInt(Math.round(startMs)) * 1_000_000n;
    this.next = random(seed);
  }

  rand(min: number, max: number): number {
    return min + this.next() * (max - min);
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.next() * items.length)] as T;
  }

  span(parent: Span | null, options: SpanOptions): Span {
    const { error, operation } = options;
    const nano = (ms: number) => String(this.start + BigInt(Math.round(ms * 1e6)));
    const events: SpanEvent[] = (options.events ?? []).map((event) => ({
      name: event.name,
      time_unix_nano: nano(event.at),
      attributes: event.attributes,
    }));
    if (error) {
      events.push({
        name: "exception",
        time_unix_nano: nano(options.at + options.ms),
        attributes: {
          "exception.type": error.type,
          "exception.message": error.message,
          ...(error.stack && { "exception.stacktrace": error.stack }),
        },
      });
    }
    const span: Span = {
      span_id: this.hex(16),
      parent_span_id: parent?.span_id ?? null,
      name: options.name,
      kind: options.kind ?? "internal",
      service: options.service ?? this.service,
      start_time_unix_nano: nano(options.at),
      duration_ns: Math.round(options.ms * 1e6),
      status: { code: error ? "error" : "unset", message: error?.message ?? "" },
      attributes: {
        ...(operation && { "gen_ai.operation.name": operation }),
        ...options.attributes,
      },
      resource: {
        "service.name": options.service ?? this.service,
        "service.version": "2.7.1",
        "deployment.environment.name": "production",
        "host.name": "desk-7c9f",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": "1.37.0",
      },
      scope: { name: "support-desk", version: "2.7.1" },
      events,
      links: [],
      llm: operation ? { operation, ...options.llm } : null,
    };
    if (error && span.llm) span.llm.error = { type: error.type, message: error.message };
    this.spans.push(span);
    return span;
  }

  chat(
    parent: Span,
    options: Omit<SpanOptions, "name" | "operation"> & {
      model: string;
      input: Message[];
      output: Message[];
      tokens: [input: number, output: number, cached?: number, reasoning?: number];
      ttft?: number;
      llm?: Partial<Llm>;
    },
  ): Span {
    const [input, output, cached = null, reasoning = null] = options.tokens;
    const price = PRICES[options.model];
    const cost = price
      ? ((input - (cached ?? 0)) * price[0] + (cached ?? 0) * price[1] + output * price[2]) / 1e6
      : null;
    const failed = options.error !== undefined;
    const provider = options.model.startsWith("claude") ? "anthropic" : "openai";
    const usage = {
      input,
      output,
      total: input + output,
      cache_read: cached,
      cache_write: null,
      reasoning,
    };
    return this.span(parent, {
      ...options,
      name: `chat ${options.model}`,
      operation: "chat",
      kind: "client",
      attributes: {
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": options.model,
        "gen_ai.response.model": options.model,
        ...(!failed && {
          "gen_ai.usage.input_tokens": input,
          "gen_ai.usage.output_tokens": output,
        }),
        ...(cached !== null && { "gen_ai.usage.cache_read.input_tokens": cached }),
        "gen_ai.input.messages": JSON.stringify(options.input),
        "gen_ai.output.messages": JSON.stringify(options.output),
        "gen_ai.request.temperature": 0.2,
        ...options.attributes,
      },
      llm: {
        provider,
        request_model: options.model,
        response_model: options.model,
        usage: failed ? null : usage,
        cost_usd: failed ? null : cost,
        cost_source: cost === null ? null : "computed",
        time_to_first_token_ns: options.ttft ? options.ttft * 1e6 : null,
        finish_reasons: failed ? [] : [options.output[0]?.finish_reason ?? "stop"],
        parameters: { temperature: 0.2, max_tokens: 1024 },
        input_messages: options.input,
        output_messages: options.output,
        dialects: ["otel_genai"],
        sources: {
          request_model: "gen_ai.request.model",
          response_model: "gen_ai.response.model",
          "usage.input": "gen_ai.usage.input_tokens",
          "usage.output": "gen_ai.usage.output_tokens",
          input_messages: "gen_ai.input.messages",
          output_messages: "gen_ai.output.messages",
        },
        ...options.llm,
      },
    });
  }

  tool(
    parent: Span,
    options: Omit<SpanOptions, "name" | "operation"> & {
      tool: string;
      arguments: Json;
      result?: Json;
    },
  ): Span {
    return this.span(parent, {
      ...options,
      name: `tool.${options.tool}`,
      operation: "tool",
      attributes: { "gen_ai.tool.name": options.tool, ...options.attributes },
      llm: {
        tool: {
          name: options.tool,
          call_id: `call_${this.hex(8)}`,
          arguments: options.arguments,
          ...(options.result !== undefined && { result: options.result }),
        },
      },
    });
  }

  hex(length: number): string {
    return Array.from({ length }, () => Math.floor(this.next() * 16).toString(16)).join("");
  }

  trace(about: Partial<TraceSummary> = {}): Omit<Trace, "spans"> & { spans: Span[] } {
    const root = this.spans.find((span) => span.parent_span_id === null) ?? this.spans[0];
    if (!root) throw new Error("a trace needs a span");
    const calls = this.spans.filter((span) => span.llm?.operation === "chat");
    const sum = (pick: (llm: Llm) => number | null | undefined): number | null => {
      const known = calls.map((span) => pick(span.llm as Llm)).filter((n) => n != null);
      return known.length > 0 ? known.reduce((a, b) => a + b, 0) : null;
    };
    const ends = this.spans.map((s) => BigInt(s.start_time_unix_nano) + BigInt(s.duration_ns));
    let end = 0n;
    for (const at of ends) if (at > end) end = at;
    return {
      trace_id: this.traceId,
      project: "default",
      root_name: root.name,
      root_service: root.service,
      services: [...new Set(this.spans.map((span) => span.service))],
      start_time_unix_nano: root.start_time_unix_nano,
      duration_ns: Number(end - BigInt(root.start_time_unix_nano)),
      span_count: this.spans.length,
      error_count: this.spans.filter((span) => span.status.code === "error").length,
      status: root.status.code,
      models: [...new Set(calls.map((span) => span.llm?.response_model).filter((m) => m != null))],
      input_tokens: sum((llm) => llm.usage?.input),
      output_tokens: sum((llm) => llm.usage?.output),
      total_tokens: sum((llm) => llm.usage?.total),
      cost_usd: sum((llm) => llm.cost_usd),
      cost_complete: calls.every((span) => span.llm?.usage == null || span.llm.cost_usd != null),
      session_id: null,
      user_id: null,
      workflow: null,
      agents: [
        ...new Set(
          this.spans
            .filter((span) => span.llm?.operation === "agent")
            .map((span) => span.llm?.agent?.name ?? span.name),
        ),
      ],
      input_preview: null,
      output_preview: null,
      complete: true,
      ...about,
      spans: this.spans,
      diagnostics: this.diagnostics,
    };
  }
}
