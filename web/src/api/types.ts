/** The query API's shapes, as they are on the wire. Nanoseconds of a date are decimal strings. */

export type Nanos = string | number;

export type StatusCode = "unset" | "ok" | "error";

export type Operation =
  | "chat"
  | "completion"
  | "embedding"
  | "rerank"
  | "tool"
  | "agent"
  | "workflow"
  | "task"
  | "retriever"
  | "guardrail"
  | "evaluator";

export interface TraceSummary {
  trace_id: string;
  project: string;
  root_name: string;
  root_service: string;
  services: string[];
  start_time_unix_nano: string;
  duration_ns: Nanos;
  span_count: number;
  error_count: number;
  status: StatusCode;
  models: string[];
  input_tokens: number | null;
  output_tokens: number | null;
  total_tokens: number | null;
  cost_usd: number | null;
  cost_complete: boolean;
  session_id: string | null;
  user_id: string | null;
  workflow: string | null;
  agents: string[];
  input_preview: string | null;
  output_preview: string | null;
  complete: boolean;
}

export interface TracePage {
  traces: TraceSummary[];
  next_cursor: string | null;
}

export interface Usage {
  input?: number | null;
  output?: number | null;
  total?: number | null;
  cache_read?: number | null;
  cache_write?: number | null;
  reasoning?: number | null;
}

/** What the outline of a trace tells of an LLM-related span: the numbers, not the content. */
export interface LlmOutline {
  operation: Operation;
  provider?: string | null;
  request_model?: string | null;
  response_model?: string | null;
  usage?: Usage | null;
  cost_usd?: number | null;
  cost_source?: string | null;
  time_to_first_token_ns?: Nanos | null;
  finish_reasons?: string[] | null;
  agent?: { name: string | null; id: string | null } | null;
  tool_name?: string | null;
  input_preview?: string | null;
  output_preview?: string | null;
  error?: { type: string | null; message: string | null } | null;
}

export interface ToolRun {
  name?: string | null;
  call_id?: string | null;
  description?: string | null;
  arguments?: Json;
  result?: Json;
}

export interface SpanOutline {
  span_id: string;
  parent_span_id: string | null;
  name: string;
  kind: string;
  service: string;
  start_time_unix_nano: string;
  duration_ns: Nanos;
  status: { code: StatusCode; message?: string | null };
  /** It had not ended when it was last heard of, at `received_unix_nano`. */
  running?: boolean;
  received_unix_nano?: string;
  llm?: LlmOutline | null;
  warnings?: Warning[];
}

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export type Part =
  | { type: "text"; content: string }
  | { type: "reasoning"; content: string }
  | { type: "tool_call"; id?: string | null; name: string; arguments?: Json }
  | { type: "tool_result"; id?: string | null; result?: Json }
  | { type: "media"; modality?: string; [field: string]: Json | undefined }
  | { type: "other"; value: Json };

export interface Message {
  role: string;
  name?: string | null;
  parts: Part[];
  finish_reason?: string | null;
}

export interface RetrievedDocument {
  id?: string | null;
  score?: number | null;
  content?: string | null;
  metadata?: Json;
}

export interface Llm extends LlmOutline {
  parameters?: JsonObject;
  system?: Part[];
  input_messages?: Message[];
  output_messages?: Message[];
  tool_definitions?: Json[];
  tool?: ToolRun | null;
  documents?: RetrievedDocument[];
  input_value?: Json;
  output_value?: Json;
  conversation_id?: string | null;
  session_id?: string | null;
  user_id?: string | null;
  workflow_name?: string | null;
  /** For each canonical field, the attribute that it was read from. */
  sources?: Record<string, string>;
  dialects?: string[];
}

export interface SpanEvent {
  name: string;
  time_unix_nano: string;
  attributes?: JsonObject;
}

export interface SpanLink {
  trace_id: string;
  span_id: string;
  attributes?: JsonObject;
}

export interface Warning {
  kind: string;
  message: string;
}

export interface Span extends Omit<SpanOutline, "llm"> {
  attributes: JsonObject;
  resource: JsonObject;
  scope: { name?: string; version?: string; attributes?: JsonObject };
  events: SpanEvent[];
  links: SpanLink[];
  llm?: Llm | null;
}

export interface Diagnostic {
  kind: string;
  span_id?: string | null;
  message: string;
  fix: string;
}

export interface Trace extends TraceSummary {
  spans: SpanOutline[];
  diagnostics: Diagnostic[];
}

export interface FieldInfo {
  name: string;
  type: string;
  count: number;
}

export interface FieldValue {
  value: string;
  count: number;
}

export interface StatsSeries {
  group: string | null;
  points: ({ time_unix_nano: string } & Record<string, number | string | null>)[];
}

export interface Stats {
  series: StatsSeries[];
}

export interface Session {
  /** `required` when the server asks for a key. */
  auth: "required" | "off";
  signed_in: boolean;
  project: string | null;
}

export interface IngestProblem {
  time_unix_nano: string;
  /** `rejected` (a span), `refused` (a request) or `repaired`. */
  outcome?: string;
  kind: string;
  reason: string;
  source?: string | null;
  service?: string | null;
  fix?: string | null;
  span_name?: string | null;
  trace_id?: string | null;
  span_id?: string | null;
  count?: number;
}

export interface ApiErrorBody {
  error: { code: string; message: string; position?: number };
}
