/** Small spans for the tests of this folder. */

import type { SpanOutline, TraceSummary } from "../api/types";

export function span(
  id: string,
  parent: string | null,
  startMs: number,
  durationMs: number,
  extra: Partial<SpanOutline> = {},
): SpanOutline {
  return {
    span_id: id,
    parent_span_id: parent,
    name: id,
    kind: "internal",
    service: "desk",
    start_time_unix_nano: String(1_760_000_000_000_000_000n + BigInt(startMs * 1e6)),
    duration_ns: durationMs * 1e6,
    status: { code: "unset" },
    ...extra,
  };
}

export function chat(
  id: string,
  parent: string | null,
  startMs: number,
  durationMs: number,
  usage: { input: number; output: number; cache_read?: number } | null = null,
  cost_usd: number | null = null,
): SpanOutline {
  return span(id, parent, startMs, durationMs, {
    llm: {
      operation: "chat",
      response_model: "gpt-4o",
      cost_usd,
      usage: usage && {
        total: null,
        cache_read: null,
        cache_write: null,
        reasoning: null,
        ...usage,
      },
    },
  });
}

export function summary(id: string, startMs: number): TraceSummary {
  return {
    trace_id: id,
    project: "default",
    root_name: id,
    root_service: "desk",
    services: ["desk"],
    start_time_unix_nano: String(BigInt(startMs) * 1_000_000n),
    duration_ns: 1,
    span_count: 1,
    error_count: 0,
    status: "unset",
    models: [],
    input_tokens: null,
    output_tokens: null,
    total_tokens: null,
    cost_usd: null,
    cost_complete: true,
    session_id: null,
    user_id: null,
    workflow: null,
    agents: [],
    input_preview: null,
    output_preview: null,
    complete: true,
  };
}
