/** The only place that talks to the server. */

import type {
  ApiErrorBody,
  FieldInfo,
  FieldValue,
  IngestProblem,
  Session,
  Span,
  Stats,
  Trace,
  TracePage,
  TraceSummary,
} from "./types";

const BASE = "/api/v1";

/** A refusal by the server, or (status 0) no answer at all. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  /** Where in the search text the fault is, counted in characters from 0. */
  readonly position: number | undefined;

  constructor(status: number, code: string, message: string, position?: number) {
    super(message);
    this.status = status;
    this.code = code;
    this.position = position;
  }
}

type Params = Record<string, string | number | undefined>;

function url(path: string, params: Params = {}): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== undefined && value !== "") query.set(key, String(value));
  }
  const text = query.toString();
  return `${BASE}${path}${text ? `?${text}` : ""}`;
}

async function refusal(response: Response): Promise<ApiError> {
  const body = (await response.json().catch(() => null)) as ApiErrorBody | null;
  const error = body?.error;
  const fallback = `the server answered ${response.status} ${response.statusText}`.trim();
  return new ApiError(
    response.status,
    error?.code ?? "http",
    error?.message ?? fallback,
    // The server counts columns from 1.
    error?.position === undefined ? undefined : error.position - 1,
  );
}

declare global {
  interface Window {
    /** What `boot.js` has asked for already. */
    spanwiseEarly?: { url: string; response: Promise<Response> };
  }
}

/** The answer to a request that began before the application was there; each is used once. */
function takeEarly(target: string): Promise<Response> | undefined {
  const early = window.spanwiseEarly;
  if (early?.url !== target) return undefined;
  delete window.spanwiseEarly;
  return early.response;
}

async function request(target: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await (takeEarly(target) ?? fetch(target, { credentials: "same-origin", ...init }));
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new ApiError(0, "unreachable", "the server cannot be reached");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function get<T>(path: string, params?: Params, signal?: AbortSignal): Promise<T> {
  const response = await request(url(path, params), {
    headers: { accept: "application/json" },
    ...(signal && { signal }),
  });
  return (await response.json()) as T;
}

async function send(method: "POST" | "DELETE", path: string, body?: unknown): Promise<void> {
  await request(url(path), {
    method,
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body ?? {}),
  });
}

export interface TraceListParams {
  q: string;
  from?: string | undefined;
  to?: string | undefined;
  sort?: string | undefined;
  limit?: number;
  cursor?: string | undefined;
}

export const api = {
  traces: (params: TraceListParams, signal?: AbortSignal) =>
    get<TracePage>("/traces", { ...params }, signal),

  outline: (traceId: string, signal?: AbortSignal) =>
    get<Trace>(`/traces/${traceId}`, { view: "outline" }, signal),

  span: (traceId: string, spanId: string, signal?: AbortSignal) =>
    get<Span>(`/traces/${traceId}/spans/${spanId}`, {}, signal),

  fields: (signal?: AbortSignal) => get<{ fields: FieldInfo[] }>("/fields", {}, signal),

  fieldValues: (name: string, prefix: string, signal?: AbortSignal) =>
    get<{ values: FieldValue[] }>(
      `/fields/${encodeURIComponent(name)}/values`,
      { prefix, limit: 12 },
      signal,
    ),

  stats: (
    params: { measure: string; bucket?: string; q: string; from?: string; to?: string },
    signal?: AbortSignal,
  ) => get<Stats>("/stats", params, signal),

  problems: (signal?: AbortSignal) =>
    get<{ problems: IngestProblem[] }>("/ingest/problems", {}, signal),

  session: (signal?: AbortSignal) => get<Session>("/session", {}, signal),

  signIn: (key: string) => send("POST", "/session", { key }),

  signOut: () => send("DELETE", "/session"),

  loadSample: () => send("POST", "/sample"),

  exportUrl: (traceId: string, format: "otlp") => url(`/traces/${traceId}`, { format }),
};

export interface LiveHandlers {
  onTrace: (summary: TraceSummary) => void;
  onState: (connected: boolean) => void;
  /** More arrived than the server sends one by one: the list should be asked for again. */
  onSkipped: () => void;
}

/** Follows new and growing traces until the returned function is called. */
export function followTraces(q: string, handlers: LiveHandlers): () => void {
  const source = new EventSource(url("/live", { q }));
  const receive = (event: MessageEvent<string>) => {
    handlers.onTrace(JSON.parse(event.data) as TraceSummary);
  };
  source.addEventListener("open", () => handlers.onState(true));
  source.addEventListener("error", (event) => {
    // The server's own events of this name carry data and do not end the stream.
    if (!(event instanceof MessageEvent)) handlers.onState(false);
  });
  source.addEventListener("skipped", handlers.onSkipped);
  source.addEventListener("trace", receive);
  return () => source.close();
}
