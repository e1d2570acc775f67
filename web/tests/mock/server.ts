/** A server that answers the query API from fixtures: for development and browser tests. */

import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { extname, join } from "node:path";
import type { Json, Llm, Message, Span, SpanOutline, TraceSummary } from "../../src/api/types";
import { allTraces, type FullTrace, smallTrace } from "./fixtures";

export interface MockOptions {
  /** Start without traces; `POST /sample` brings them. */
  empty?: boolean;
  /** Refuse everything until this key is posted to `/session`. */
  key?: string;
  /** Milliseconds between new live traces; 0 for none. */
  liveEveryMs?: number;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => boolean;

/** Answers requests to the API and says whether it did. */
export function mockHandler(options: MockOptions = {}): Handler {
  const store = new Store(options);
  return (request, response) => {
    const url = new URL(request.url ?? "/", "http://mock");
    if (!url.pathname.startsWith("/api/v1/")) return false;
    const path = url.pathname.slice("/api/v1".length);
    try {
      store.answer(request, response, path, url.searchParams);
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal(500, String(error));
      json(response, refusal.status, {
        error: {
          code: refusal.code,
          message: refusal.message,
          position: refusal.position === undefined ? undefined : refusal.position + 1,
        },
      });
    }
    return true;
  };
}

class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly position?: number,
    readonly code = status === 404 ? "not_found" : "bad_query",
  ) {
    super(message);
  }
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

class Store {
  private traces: FullTrace[];
  private signedIn: boolean;
  private nLive = 0;

  constructor(private readonly options: MockOptions) {
    this.traces = options.empty ? [] : allTraces(Date.now());
    this.signedIn = !options.key;
  }

  answer(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    params: URLSearchParams,
  ) {
    if (path === "/session") return this.session(request, response);
    if (!this.signedIn) throw new Refusal(401, "a key is needed", undefined, "unauthenticated");
    const [, first, second, third, fourth] = path.split("/");
    if (path === "/traces") return json(response, 200, this.list(params));
    if (first === "traces" && third === "spans")
      return json(response, 200, this.span(second, fourth));
    if (first === "traces") return json(response, 200, this.trace(second, params));
    if (path === "/live") return this.live(request, response, params);
    if (path === "/stats") return json(response, 200, this.stats(params));
    if (path === "/fields") return json(response, 200, { fields: this.fields() });
    if (first === "fields")
      return json(response, 200, { values: this.values(second ?? "", params) });
    if (path === "/ingest/problems") return json(response, 200, { problems: PROBLEMS(Date.now()) });
    if (path === "/sample" && request.method === "POST") {
      this.traces = allTraces(Date.now());
      return json(response, 200, { traces: this.traces.length });
    }
    throw new Refusal(404, `no such endpoint: ${path}`);
  }

  private session(request: IncomingMessage, response: ServerResponse) {
    const auth = this.options.key ? "required" : "off";
    if (request.method === "DELETE") this.signedIn = !this.options.key;
    if (request.method !== "POST") {
      return json(response, 200, { auth, signed_in: this.signedIn, project: "default" });
    }
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      const { key } = JSON.parse(body || "{}") as { key?: string };
      this.signedIn = !this.options.key || key === this.options.key;
      if (this.signedIn) json(response, 200, {});
      else json(response, 401, { error: { code: "unauthenticated", message: "unknown key" } });
    });
  }

  private find(traceId: string | undefined): FullTrace {
    const trace = this.traces.find((candidate) => candidate.trace_id === traceId);
    if (!trace) throw new Refusal(404, "no such trace");
    return trace;
  }

  private trace(traceId: string | undefined, params: URLSearchParams) {
    const trace = this.find(traceId);
    return params.get("view") === "outline" ? { ...trace, spans: trace.spans.map(outline) } : trace;
  }

  private span(traceId: string | undefined, spanId: string | undefined): Span {
    const span = this.find(traceId).spans.find((candidate) => candidate.span_id === spanId);
    if (!span) throw new Refusal(404, "no such span");
    return span;
  }

  private matching(params: URLSearchParams): FullTrace[] {
    const accepts = compile(params.get("q") ?? "");
    const from = moment(params.get("from")) ?? 0;
    const to = moment(params.get("to")) ?? Number.POSITIVE_INFINITY;
    return this.traces.filter((trace) => {
      const at = startMs(trace);
      return at >= from && at < to && accepts(trace);
    });
  }

  private list(params: URLSearchParams) {
    const limit = Number(params.get("limit") ?? 50);
    const offset = Number(params.get("cursor") ?? 0);
    const found = sorted(this.matching(params), params.get("sort") ?? "-start_time");
    const next = offset + limit < found.length ? String(offset + limit) : null;
    return { traces: found.slice(offset, offset + limit).map(summary), next_cursor: next };
  }

  private stats(params: URLSearchParams) {
    const bucket = params.get("bucket") ?? "60s";
    const seconds = Number.parseInt(bucket, 10) * (bucket.endsWith("d") ? 86_400 : 1);
    const points = new Map<number, { count: number; errors: number }>();
    for (const trace of this.matching(params)) {
      for (const span of trace.spans) {
        const at = Math.floor(Number(BigInt(span.start_time_unix_nano) / 1_000_000_000n) / seconds);
        const point = points.get(at) ?? { count: 0, errors: 0 };
        point.count += 1;
        if (span.status.code === "error") point.errors += 1;
        points.set(at, point);
      }
    }
    const series = [...points]
      .sort(([a], [b]) => a - b)
      .map(([at, point]) => ({ time_unix_nano: `${at * seconds}000000000`, ...point }));
    return { series: [{ group: null, points: series }] };
  }

  private fields() {
    const n = this.traces.reduce((sum, trace) => sum + trace.span_count, 0);
    return [
      "service",
      "name",
      "status",
      "model",
      "http.route",
      "db.system.name",
      "retry.count",
    ].map((name, i) => ({ name, type: "string", count: Math.round(n / (i + 1)) }));
  }

  private values(field: string, params: URLSearchParams) {
    const counts = new Map<string, number>();
    for (const trace of this.traces) {
      for (const value of fieldValues(trace, field))
        counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    const prefix = (params.get("prefix") ?? "").toLowerCase();
    return [...counts]
      .filter(([value]) => value.toLowerCase().startsWith(prefix))
      .sort(([, a], [, b]) => b - a)
      .slice(0, 20)
      .map(([value, count]) => ({ value, count }));
  }

  private live(request: IncomingMessage, response: ServerResponse, params: URLSearchParams) {
    const accepts = compile(params.get("q") ?? "");
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
    response.write(": connected\n\n");
    const everyMs = this.options.liveEveryMs ?? 4000;
    if (everyMs === 0) return;
    const timer = setInterval(() => {
      if (this.traces.length === 0) return;
      this.nLive += 1;
      const trace = smallTrace(100_000 + this.nLive, Date.now() - 4000);
      this.traces.unshift(trace);
      if (accepts(trace))
        response.write(`event: trace\ndata: ${JSON.stringify(summary(trace))}\n\n`);
    }, everyMs);
    request.on("close", () => clearInterval(timer));
  }
}

function outline(span: Span): SpanOutline {
  const { attributes, resource, scope, events, links, llm, ...rest } = span;
  return { ...rest, ...(llm && { llm: numbersOf(llm) }) };
}

function numbersOf(llm: Llm): Llm {
  const { input_messages, output_messages, tool_definitions, documents, sources, ...rest } = llm;
  rest.input_preview = preview(input_messages, rest.input_value);
  rest.output_preview = preview(output_messages, rest.output_value);
  delete rest.input_value;
  delete rest.output_value;
  delete rest.parameters;
  rest.tool_name = rest.tool?.name ?? null;
  delete rest.tool;
  return known({ ...rest, ...(rest.usage && { usage: known(rest.usage) }) });
}

/** As the server does: in an outline, what is not known is left out. */
function known<T extends object>(record: T): T {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== null)) as T;
}

function preview(messages: Message[] | undefined, value: Json | undefined): string | null {
  const part = messages?.at(-1)?.parts[0];
  if (part?.type === "text") return part.content.slice(0, 256);
  return value === undefined ? null : JSON.stringify(value).slice(0, 256);
}

function summary(trace: FullTrace): TraceSummary {
  const { spans, diagnostics, ...rest } = trace;
  return {
    ...rest,
    input_preview: rest.input_preview?.slice(0, 256) ?? null,
    output_preview: rest.output_preview?.slice(0, 256) ?? null,
  };
}

function startMs(trace: TraceSummary): number {
  return Number(BigInt(trace.start_time_unix_nano) / 1_000_000n);
}

function moment(text: string | null): number | null {
  if (!text) return null;
  const relative = /^-(\d+)([smhd])$/.exec(text);
  if (!relative) return Number(text);
  const unit = { s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3 }[relative[2] as "s" | "m" | "h" | "d"];
  return Date.now() - Number(relative[1]) * unit;
}

function sorted(traces: FullTrace[], sort: string): FullTrace[] {
  const by: Record<string, (trace: FullTrace) => number> = {
    "-duration": (trace) => Number(trace.duration_ns),
    "-cost": (trace) => trace.cost_usd ?? -1,
    "-tokens": (trace) => trace.total_tokens ?? -1,
  };
  const value = by[sort];
  return value ? [...traces].sort((a, b) => value(b) - value(a)) : traces;
}

/** Understands words and `field:value`; refuses what is open. Enough to exercise the page. */
function compile(q: string): (trace: FullTrace) => boolean {
  const opened = q.lastIndexOf("(");
  if (opened >= 0 && !q.includes(")"))
    throw new Refusal(400, "expected `)` before the end", q.length);
  if ((q.match(/"/g) ?? []).length % 2)
    throw new Refusal(400, "the quote is not closed", q.lastIndexOf('"'));
  const terms = q.match(/(?:[^\s"]|"[^"]*")+/g) ?? [];
  const tests = terms.map((term) => {
    const negated = term.startsWith("-");
    const test = termTest(negated ? term.slice(1) : term);
    return negated ? (trace: FullTrace) => !test(trace) : test;
  });
  return (trace) => tests.every((test) => test(trace));
}

function termTest(term: string): (trace: FullTrace) => boolean {
  const [, field, value] = /^([\w.]+):(.+)$/.exec(term) ?? [];
  if (!field || !value) {
    const wanted = term.replaceAll('"', "").toLowerCase();
    return (trace) => JSON.stringify(summary(trace)).toLowerCase().includes(wanted);
  }
  const wanted = value.replaceAll('"', "");
  if (field === "duration") {
    const seconds =
      Number.parseFloat(wanted.replace(/[<>]=?/, "")) * (wanted.endsWith("ms") ? 1e-3 : 1);
    return (trace) => Number(trace.duration_ns) / 1e9 > seconds;
  }
  const prefix = wanted.endsWith("*") ? wanted.slice(0, -1) : null;
  return (trace) =>
    fieldValues(trace, field).some((v) => (prefix === null ? v === wanted : v.startsWith(prefix)));
}

function fieldValues(trace: FullTrace, field: string): string[] {
  const known = (value: string | null | undefined) => (value ? [value] : []);
  switch (field) {
    case "service":
      return trace.services;
    case "model":
      return trace.models;
    case "agent":
      return trace.agents;
    case "user":
      return known(trace.user_id);
    case "session":
      return known(trace.session_id);
    case "status":
      return [trace.status];
    case "name":
      return [trace.root_name];
    case "operation":
      return [...new Set(trace.spans.flatMap((span) => known(span.llm?.operation)))];
    case "tool":
      return [...new Set(trace.spans.flatMap((span) => known(span.llm?.tool?.name)))];
    default:
      return [
        ...new Set(
          trace.spans.flatMap((s) => (field in s.attributes ? [String(s.attributes[field])] : [])),
        ),
      ];
  }
}

const PROBLEMS = (now: number) => [
  {
    time_unix_nano: `${now - 40_000}000000`,
    outcome: "rejected",
    kind: "invalid_span",
    reason: "trace_id is zero",
    source: "otlp-http, python opentelemetry-sdk 1.31.0",
    fix: "Create spans through a tracer; a span built by hand needs 16 random bytes as trace id.",
    span_name: "chat gpt-4.1",
    count: 3,
  },
  {
    time_unix_nano: `${now - 310_000}000000`,
    outcome: "odd",
    kind: "dropped_attributes",
    reason:
      "14 attributes of one span were dropped by the SDK before they were sent: its limit is 128",
    source: "report-writer",
    fix: "Set OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=1024 in the producing process.",
    span_name: "agent.analyst",
    trace_id: "b7720d5e8c1f4a2d8e3b94f06a1c55d9",
  },
  {
    time_unix_nano: `${now - 2_400_000}000000`,
    outcome: "repaired",
    kind: "negative_duration",
    reason: "the span ended 12 ms before it started; its duration was set to 0",
    source: "voice",
    fix: "Take both times from the same clock.",
    span_name: "task.segment",
  },
  {
    time_unix_nano: `${now - 9_000_000}000000`,
    outcome: "refused",
    kind: "malformed",
    reason: "the body is not an OTLP request: invalid wire type at byte 1812",
    source: "otlp-http, 127.0.0.1",
    fix: "Send protobuf with content-type application/x-protobuf, or JSON with application/json.",
  },
];

const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

/** Serves `dist` and the mock API on a free port. */
export async function startMockServer(
  dist: string,
  options: MockOptions = {},
): Promise<{ url: string; close: () => void }> {
  const handle = mockHandler(options);
  const server: Server = createServer((request, response) => {
    if (handle(request, response)) return;
    const path = new URL(request.url ?? "/", "http://mock").pathname;
    const file = join(dist, path);
    const isFile = path !== "/" && existsSync(file) && statSync(file).isFile();
    const served = isFile ? file : join(dist, "index.html");
    response.writeHead(200, {
      "content-type": TYPES[extname(served)] ?? "application/octet-stream",
    });
    createReadStream(served).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (!address || typeof address === "string") throw new Error("the mock server has no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
