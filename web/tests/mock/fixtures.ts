/** The traces of a support desk: agents, tools, retrieval, failures, and one very large run. */

import type { Message, Span, Trace } from "../../src/api/types";
import { random, type SpanOptions, say, TraceBuilder, text } from "./builder";

export type FullTrace = Omit<Trace, "spans"> & { spans: Span[] };

export const REFUND_ID = "4f1c0e9ab3d24c7e9a5d10c2f7b86e31";
export const RAG_ID = "c3a1e07f5d9b4c62a8f0b17d4e6c2a95";
export const ERROR_ID = "b7720d5e8c1f4a2d8e3b94f06a1c55d9";
export const HOSTILE_ID = "bad0000000000000000000000000bad0";
export const LARGE_ID = "10000000000000000000000000010000";

const SYSTEM = `You are the refunds specialist of Larkspur Outfitters.

## Rules
1. Check the order before you promise anything.
2. Refunds up to **$200** may be issued at once; above that, escalate.
3. Cite the policy section you rely on, e.g. \`POL-4.2\`.

<tone>
Warm, brief, concrete. Never blame the customer.
</tone>`;

const ASK =
  "Hi, I returned the rain jacket from order LK-20417 nine days ago and I still don't see the money. Can you check? I'm leaving on Friday and would like this settled.";

const ANSWER = `Good news, your return arrived on **12 November** and I have just released the refund:

| Item | Amount |
|---|---|
| Rain jacket, moss, M | $148.00 |
| Return shipping | $0.00 (free within 30 days, \`POL-4.2\`) |

It goes back to the card ending in **4421**. Banks usually take 2–3 working days, so you should see it **before Friday**.

- Refund reference: \`RF-88213\`
- You will get a confirmation by e-mail

Have a good trip!`;

function toolCall(id: string, name: string, args: Record<string, string | number>): Message {
  return { role: "assistant", parts: [{ type: "tool_call", id, name, arguments: args }] };
}

function toolResult(id: string, result: unknown): Message {
  return { role: "tool", parts: [{ type: "tool_result", id, result: result as never }] };
}

const ORDER = {
  order_id: "LK-20417",
  status: "returned",
  items: [
    { sku: "RJ-MOSS-M", name: "Rain jacket, moss, M", price: 148.0, returned_at: "2026-11-12" },
  ],
  payment: { method: "card", last4: "4421" },
};

const TOOL_DEFINITIONS = ["lookup_order", "issue_refund", "escalate"].map((name) => ({
  type: "function",
  name,
  description: `Calls the desk's ${name.replace("_", " ")} service`,
  parameters: {
    type: "object",
    properties: { order_id: { type: "string" } },
    required: ["order_id"],
  },
}));

/** A multi-agent answer that needed tools, retrieval and one retry. */
export function refundTrace(startMs: number): FullTrace {
  const b = new TraceBuilder(REFUND_ID, startMs, "support-desk", 7);
  const identity = { "session.id": "s-8842", "user.id": "mira.k" };
  const root = b.span(null, {
    name: "workflow.support_request",
    operation: "workflow",
    kind: "server",
    at: 0,
    ms: 11_840,
    attributes: { ...identity, "http.request.method": "POST", "http.route": "/api/chat" },
    llm: {
      input_messages: [say("user", ASK)],
      output_messages: [say("assistant", ANSWER)],
      workflow_name: "support_request",
      session_id: "s-8842",
      user_id: "mira.k",
    },
  });
  const guard = b.span(root, {
    name: "guardrail.prompt_injection",
    operation: "guardrail",
    at: 12,
    ms: 46,
    llm: { input_value: ASK, output_value: { flagged: false, score: 0.02 } },
  });
  guard.attributes["guardrail.flagged"] = false;
  const supervisor = b.span(root, {
    name: "agent.supervisor",
    operation: "agent",
    at: 64,
    ms: 11_760,
    llm: {
      agent: { name: "supervisor", id: "ag_1" },
      input_messages: [say("user", ASK)],
      output_messages: [say("assistant", ANSWER)],
    },
  });
  b.chat(supervisor, {
    model: "gpt-4.1-mini",
    at: 80,
    ms: 910,
    ttft: 390,
    tokens: [412, 38],
    input: [
      say("system", "Route the request to one specialist: refunds, shipping, product."),
      say("user", ASK),
    ],
    output: [
      {
        role: "assistant",
        parts: [text('{"route":"refunds","reason":"asks about a refund that has not arrived"}')],
        finish_reason: "stop",
      },
    ],
  });
  const research = b.span(supervisor, {
    name: "agent.policy_researcher",
    operation: "agent",
    service: "knowledge",
    at: 1010,
    ms: 2140,
    llm: {
      agent: { name: "policy_researcher", id: "ag_2" },
      input_value: "refund timing after a return",
    },
  });
  const retrieval = b.span(research, {
    name: "retrieve policies",
    operation: "retriever",
    service: "knowledge",
    at: 1040,
    ms: 420,
    llm: {
      input_value: "refund timing after a return",
      documents: [
        {
          id: "POL-4.2",
          score: 0.913,
          content:
            "**Returns within 30 days** are refunded in full, including return shipping. Refunds are released when the parcel is scanned at the warehouse.",
          metadata: { section: "4.2", updated: "2026-08-01" },
        },
        {
          id: "POL-4.5",
          score: 0.847,
          content: "Card refunds reach the customer within 2–3 working days after release.",
          metadata: { section: "4.5", updated: "2026-08-01" },
        },
        {
          id: "POL-9.1",
          score: 0.512,
          content: "Gift cards cannot be exchanged for money.",
          metadata: { section: "9.1", updated: "2025-11-19" },
        },
      ],
    },
  });
  b.span(retrieval, {
    name: "embeddings text-embedding-3-small",
    operation: "embedding",
    kind: "client",
    service: "knowledge",
    at: 1052,
    ms: 118,
    llm: {
      provider: "openai",
      request_model: "text-embedding-3-small",
      response_model: "text-embedding-3-small",
      usage: {
        input: 9,
        output: null,
        total: 9,
        cache_read: null,
        cache_write: null,
        reasoning: null,
      },
      cost_usd: 0.00000018,
      cost_source: "computed",
    },
  });
  b.span(retrieval, {
    name: "SELECT policies",
    kind: "client",
    service: "knowledge",
    at: 1180,
    ms: 240,
    attributes: {
      "db.system.name": "postgresql",
      "db.query.text": "SELECT id, body FROM policies ORDER BY embedding <=> $1 LIMIT 3",
    },
  });
  b.span(research, {
    name: "rerank",
    operation: "rerank",
    service: "knowledge",
    kind: "client",
    at: 1470,
    ms: 160,
    llm: { request_model: "rerank-v3.5", provider: "cohere" },
  });
  b.chat(research, {
    model: "gpt-4.1-mini",
    service: "knowledge",
    at: 1650,
    ms: 1460,
    ttft: 520,
    tokens: [1830, 96, 1024],
    input: [say("user", "Summarise what applies to a return scanned on 12 November.")],
    output: [
      {
        ...say(
          "assistant",
          "Full refund incl. shipping (POL-4.2); card refunds arrive 2–3 working days after release (POL-4.5).",
        ),
        finish_reason: "stop",
      },
    ],
  });
  refundSpecialist(b, supervisor);
  b.span(root, {
    name: "evaluator.answer_quality",
    operation: "evaluator",
    at: 11_500,
    ms: 300,
    llm: { input_value: ANSWER, output_value: { helpful: 0.97, grounded: 1 } },
  });
  b.diagnostics.push({
    kind: "clock_skew",
    span_id: retrieval.span_id,
    message: "Spans of the service knowledge start 38 ms before the request that caused them.",
    fix: "Synchronise the clocks of both hosts (chrony or ntpd); until then, compare times across services with care.",
  });
  return b.trace({
    session_id: "s-8842",
    user_id: "mira.k",
    workflow: "support_request",
    input_preview: ASK,
    output_preview: ANSWER,
  });
}

function refundSpecialist(b: TraceBuilder, supervisor: Span): void {
  const agent = b.span(supervisor, {
    name: "agent.refunds",
    operation: "agent",
    at: 3190,
    ms: 8560,
    llm: { agent: { name: "refunds", id: "ag_3" } },
  });
  const history: Message[] = [say("system", SYSTEM), say("user", ASK)];
  const first = {
    role: "assistant",
    parts: [
      {
        type: "reasoning" as const,
        content:
          "The customer wants the status of a refund. I have an order number, so I look it up first; the policy says I must check before I promise.",
      },
      {
        type: "tool_call" as const,
        id: "call_1",
        name: "lookup_order",
        arguments: { order_id: "LK-20417" },
      },
    ],
    finish_reason: "tool_calls",
  };
  b.chat(agent, {
    model: "claude-sonnet-4-5",
    at: 3210,
    ms: 2050,
    ttft: 880,
    tokens: [2410, 164, 1792, 88],
    input: history,
    output: [first],
    llm: { tool_definitions: TOOL_DEFINITIONS },
  });
  const order = b.tool(agent, {
    tool: "lookup_order",
    at: 5280,
    ms: 320,
    arguments: { order_id: "LK-20417" },
    result: ORDER,
  });
  b.span(order, {
    name: "GET /orders/{id}",
    kind: "client",
    at: 5290,
    ms: 290,
    attributes: {
      "http.request.method": "GET",
      "http.response.status_code": 200,
      "url.full": "https://orders.internal/orders/LK-20417",
    },
  });
  const withOrder = [...history, first, toolResult("call_1", ORDER)];
  const second: Message = {
    ...toolCall("call_2", "issue_refund", { order_id: "LK-20417", amount: 148, currency: "USD" }),
    finish_reason: "tool_calls",
  };
  b.chat(agent, {
    model: "claude-sonnet-4-5",
    at: 5640,
    ms: 1480,
    ttft: 610,
    tokens: [2890, 72, 2410],
    input: withOrder,
    output: [second],
    llm: { tool_definitions: TOOL_DEFINITIONS },
  });
  b.tool(agent, {
    tool: "issue_refund",
    at: 7140,
    ms: 1210,
    arguments: { order_id: "LK-20417", amount: 148 },
    error: {
      type: "TimeoutError",
      message: "payments.internal did not answer within 1.2 s",
      stack:
        'Traceback (most recent call last):\n  File "/app/tools/refund.py", line 48, in issue_refund\n    response = client.post(url, json=body, timeout=1.2)\n  File "/app/http.py", line 112, in post\n    raise TimeoutError(f"{host} did not answer within {timeout} s")\nTimeoutError: payments.internal did not answer within 1.2 s',
    },
  });
  b.tool(agent, {
    tool: "issue_refund",
    at: 8380,
    ms: 540,
    arguments: { order_id: "LK-20417", amount: 148 },
    result: { refund_id: "RF-88213", state: "released", card: "•••• 4421" },
    attributes: { "retry.count": 1 },
  });
  b.chat(agent, {
    model: "claude-sonnet-4-5",
    at: 8950,
    ms: 2780,
    ttft: 540,
    tokens: [3050, 221, 2890],
    input: [
      ...withOrder,
      second,
      toolResult("call_2", { refund_id: "RF-88213", state: "released", card: "•••• 4421" }),
    ],
    output: [{ ...say("assistant", ANSWER), finish_reason: "stop" }],
    llm: { tool_definitions: TOOL_DEFINITIONS },
  });
}

/** A run that failed for good: rate limits, then a refused call. */
export function errorTrace(startMs: number): FullTrace {
  const b = new TraceBuilder(ERROR_ID, startMs, "report-writer", 11);
  const fail = {
    type: "RateLimitError",
    message:
      "429: requests per minute exceeded for gpt-4.1 in organization larkspur. Try again in 20 s.",
  };
  const ask = "Write the weekly churn report for EMEA and compare it with last quarter.";
  const root = b.span(null, {
    name: "workflow.weekly_report",
    operation: "workflow",
    at: 0,
    ms: 9420,
    error: { type: "WorkflowFailed", message: "step write_report failed after 3 attempts" },
    llm: { input_value: ask },
  });
  const agent = b.span(root, {
    name: "agent.analyst",
    operation: "agent",
    at: 20,
    ms: 9390,
    error: fail,
    llm: { agent: { name: "analyst", id: null } },
  });
  b.tool(agent, {
    tool: "run_sql",
    at: 60,
    ms: 1830,
    arguments: { query: "SELECT region, churned FROM weekly_churn WHERE region = 'EMEA'" },
    result: [
      { region: "EMEA", churned: 412 },
      { region: "EMEA", churned: 388 },
    ],
  });
  for (const [i, at] of [1920, 3980, 6760].entries()) {
    b.chat(agent, {
      model: "gpt-4.1",
      at,
      ms: 640 + i * 60,
      tokens: [5210, 0],
      error: fail,
      input: [say("system", "You write short, numeric reports."), say("user", ask)],
      output: [],
      attributes: { "http.response.status_code": 429, "retry.count": i },
    });
  }
  b.diagnostics.push({
    kind: "dropped_attributes",
    span_id: agent.span_id,
    message: "The SDK dropped 14 attributes of agent.analyst: its limit is 128.",
    fix: "Set OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=1024 in the producing process.",
  });
  b.diagnostics.push({
    kind: "orphan",
    span_id: null,
    message: "2 spans name a parent that has not arrived.",
    fix: "Flush the exporter before the process ends, and check that every hop forwards traceparent.",
  });
  return b.trace({ user_id: "reports-bot", input_preview: ask });
}

/** An evaluation run of ten thousand spans. */
export function largeTrace(startMs: number): FullTrace {
  const b = new TraceBuilder(LARGE_ID, startMs, "nightly-eval", 23);
  const root = b.span(null, {
    name: "workflow.nightly_eval",
    operation: "workflow",
    at: 0,
    ms: 612_000,
    llm: { input_value: { dataset: "support-1k", cases: 999 } },
  });
  for (let i = 0; b.spans.length < 10_000; i++) {
    const at = i * 608 + b.rand(0, 200);
    const room = 10_000 - b.spans.length;
    const run = b.span(root, {
      name: `task.case_${String(i).padStart(4, "0")}`,
      operation: "task",
      at,
      ms: 3400,
    });
    if (room < 10) continue;
    const agent = b.span(run, {
      name: "agent.candidate",
      operation: "agent",
      at: at + 5,
      ms: 2600,
    });
    for (let step = 0; step < 3; step++) {
      const from = at + 10 + step * 840;
      b.chat(agent, {
        model: b.pick(["gpt-4.1-mini", "claude-sonnet-4-5"]),
        at: from,
        ms: b.rand(300, 620),
        ttft: b.rand(90, 200),
        tokens: [Math.round(b.rand(600, 2400)), Math.round(b.rand(20, 200))],
        input: [say("user", `Case ${i}, step ${step}`)],
        output: [say("assistant", "Done.")],
      });
      b.tool(agent, {
        tool: b.pick(["lookup_order", "search_docs", "calculator"]),
        at: from + 630,
        ms: b.rand(20, 180),
        arguments: { case: i, step },
        result: { ok: true },
        ...(i % 97 === 13 &&
          step === 1 && {
            error: { type: "ToolError", message: `case ${i}: backend unavailable` },
          }),
      });
    }
    b.span(run, {
      name: "evaluator.judge",
      operation: "evaluator",
      at: at + 2620,
      ms: 700,
      llm: { output_value: { score: 0.9 } },
    });
  }
  return b.trace({ workflow: "nightly_eval", input_preview: "dataset support-1k, 999 cases" });
}

/** Content that tries to run, to load and to deceive. */
export function hostileTrace(startMs: number): FullTrace {
  const b = new TraceBuilder(HOSTILE_ID, startMs, "hostile", 31);
  const attack = [
    "**bold** <script>window.pwned = 1</script> <img src=x onerror='window.pwned = 1'>",
    "![pixel](http://tracker.example/pixel.png) [link](javascript:window.pwned=1)",
    "<iframe src='http://tracker.example/'></iframe><style>body{display:none}</style>",
    "[safe](https://example.com/a?b=c) `</code><script>window.pwned=1</script>`",
  ].join("\n\n");
  const name = '<img src=x onerror="window.pwned=1">';
  const root = b.span(null, { name, operation: "agent", at: 0, ms: 900 });
  b.chat(root, {
    model: "gpt-4.1",
    at: 10,
    ms: 800,
    tokens: [10, 10],
    input: [say("user", attack)],
    output: [
      {
        role: "assistant",
        parts: [
          { type: "text", content: attack },
          { type: "media", modality: "image", uri: "http://tracker.example/image.png" },
        ],
      },
    ],
    attributes: { [name]: attack },
  });
  return b.trace({ input_preview: attack, output_preview: attack });
}

const SMALL: readonly [service: string, name: string, ask: string, answer: string][] = [
  [
    "support-desk",
    "workflow.support_request",
    "Where is my parcel LK-19822? Tracking has not moved since Monday.",
    "It is held at customs in Basel; the carrier expects to release it tomorrow. I have asked for a phone call to you.",
  ],
  [
    "support-desk",
    "workflow.support_request",
    "Can I change the size of the boots I ordered an hour ago?",
    "Done: order LK-20533 now has size 42. It ships tomorrow morning.",
  ],
  [
    "shop-search",
    "agent.shopping_assistant",
    "waterproof trousers for cycling, not too expensive, women's",
    "Here are three that fit: **Velo Shell** ($79), **Rill 2L** ($92) and **Brook** ($64, on sale).",
  ],
  [
    "report-writer",
    "workflow.weekly_report",
    "Summarise support volume by topic for week 46.",
    "Volume fell 8 % to 4,212 tickets. Refund timing (21 %), sizing (17 %) and customs (11 %) lead.",
  ],
  [
    "code-review",
    "agent.reviewer",
    "Review PR #4471: switch the session cache to Redis",
    "Two blocking remarks: the TTL is in milliseconds but Redis expects seconds, and `invalidate()` is no longer atomic.",
  ],
  [
    "voice",
    "workflow.call_summary",
    "Transcript of call 7731 (6 min 12 s)",
    "Caller asked to pause the subscription for two months; agreed, starts 1 December. Sentiment: calm.",
  ],
  [
    "rag-control",
    "rag_control.request.run",
    "What is the notice period in the Meridian contract?",
    "Ninety days to the end of a quarter, in writing (Section 11.3).",
  ],
  [
    "translate",
    "task.translate_catalogue",
    "Translate 40 product texts to Norwegian",
    "40 of 40 texts translated; 3 marked for review because of measures.",
  ],
];

/** An answer that RAG control rejected, with the documents that it was made from. */
function ragTrace(startMs: number): FullTrace {
  const b = new TraceBuilder(RAG_ID, startMs, "hr-bot", 23);
  const ask = "How many days of holiday do I have, and what happens to those left over?";
  const answer = "You have 28 days a year [1]. What is left over is paid out in January [4].";
  const error = {
    type: "policy_violation",
    message: "unknown_citation: [4] is none of the retrieved documents",
  };
  const name = "rag_control.request.run";
  const root = b.span(null, {
    name,
    operation: "workflow",
    at: 0,
    ms: 1460,
    error: { ...error, message: `enforcement: ${error.message}` },
    attributes: { mode: "run", org_id: "meridian", user_id: "mira.k", status: "error" },
    llm: { input_value: ask },
  });
  const stage = (stage: string, options: Omit<SpanOptions, "name">) =>
    b.span(root, { name: `${name}.stage.${stage}`, ...options });
  const lookup = { filter_name: "public_or_team", retrieval_top_k: 3 };
  stage("org_lookup", { operation: "task", at: 0.2, ms: 0.1, attributes: lookup });
  const embedding = { embedding_model: "all-MiniLM-L6-v2", embedding_dimensions: 384 };
  stage("embedding", { operation: "embedding", at: 1, ms: 18, attributes: embedding });
  stage("retrieval", {
    operation: "retriever",
    at: 20,
    ms: 6,
    attributes: { vector_index: "handbook", returned: 2 },
    events: [{ at: 25, name: "documents.denied", attributes: { denied: 2 } }],
    llm: {
      documents: [
        {
          id: "holidays",
          score: 0.712,
          content: "Every employee has 28 days of paid holiday a year.",
          metadata: { visibility: "public", source: "handbook" },
        },
        {
          id: "holidays-planning",
          score: 0.534,
          content: "Holidays are planned with the team a month ahead.",
          metadata: { visibility: "internal", team: "support" },
        },
      ],
    },
  });
  const policy = { policy_name: "cited_answers" };
  stage("policy.resolve", { operation: "task", at: 27, ms: 0.1, attributes: policy });
  stage("prompt.build", { operation: "task", at: 27.2, ms: 0.2 });
  b.chat(root, {
    model: "gpt-4.1-mini",
    at: 28,
    ms: 1420,
    tokens: [212, 31],
    input: [say("user", ask)],
    output: [say("assistant", answer)],
  });
  stage("enforcement", {
    operation: "guardrail",
    at: 1452,
    ms: 0.3,
    error,
    attributes: { ...policy, enforcement_result: "rejected", violated_rule: "unknown_citation" },
  });
  return b.trace({ user_id: "mira.k", input_preview: ask });
}

const PEOPLE = ["mira.k", "oluwaseun", "j.tanaka", "ana.ferraz", "t.lindqvist", "p.rossi"];

/** One everyday trace; number `i` is always the same but for its start. */
export function smallTrace(i: number, startMs: number): FullTrace {
  const next = random(1000 + i);
  const [service, name, ask, answer] = SMALL[
    Math.floor(next() * SMALL.length)
  ] as (typeof SMALL)[number];
  const id = Array.from({ length: 32 }, () => Math.floor(next() * 16).toString(16)).join("");
  const b = new TraceBuilder(id, startMs, service, 5000 + i);
  const failed = next() < 0.07;
  const model = b.pick(["gpt-4.1-mini", "gpt-4.1", "claude-sonnet-4-5", "llama-3.3-70b-local"]);
  const steps = 1 + Math.floor(next() * 4);
  const operation = name.startsWith("agent")
    ? "agent"
    : name.startsWith("task")
      ? "task"
      : "workflow";
  const failure = {
    type: "APIConnectionError",
    message: "connection reset by peer while reading the stream",
  };
  const stepMs = b.rand(500, 3200);
  const root = b.span(null, {
    name,
    operation,
    at: 0,
    ms: steps * stepMs + 120,
    ...(failed && { error: failure }),
    llm: {
      input_messages: [say("user", ask)],
      output_messages: failed ? [] : [say("assistant", answer)],
      agent: operation === "agent" ? { name: name.replace("agent.", ""), id: null } : null,
    },
  });
  for (let step = 0; step < steps; step++) {
    const at = 40 + step * stepMs;
    const isLast = step === steps - 1;
    const reply = isLast
      ? say("assistant", answer)
      : toolCall(`call_${step}`, "search_docs", { query: ask.slice(0, 24) });
    b.chat(root, {
      model,
      at,
      ms: stepMs * 0.7,
      ttft: b.rand(150, 400),
      tokens: [Math.round(b.rand(400, 5200)), Math.round(b.rand(20, 480))],
      input: [say("user", ask)],
      output: failed && isLast ? [] : [reply],
      ...(failed && isLast && { error: failure }),
    });
    if (!isLast)
      b.tool(root, {
        tool: "search_docs",
        at: at + stepMs * 0.72,
        ms: stepMs * 0.2,
        arguments: { query: ask.slice(0, 24) },
        result: { hits: 3 },
      });
  }
  const user = PEOPLE[Math.floor(next() * PEOPLE.length)] as string;
  return b.trace({
    user_id: user,
    session_id: `s-${8000 + Math.floor(next() * 90)}`,
    input_preview: ask,
    output_preview: failed ? null : answer,
  });
}

export function allTraces(nowMs: number, n = 320): FullTrace[] {
  const next = random(99);
  const small = Array.from({ length: n }, (_, i) =>
    smallTrace(i, nowMs - 5000 - (i * 95_000 + next() * 60_000)),
  );
  return [
    refundTrace(nowMs - 48_000),
    errorTrace(nowMs - 190_000),
    ragTrace(nowMs - 240_000),
    largeTrace(nowMs - 900_000),
    hostileTrace(nowMs - 86_000_000),
    ...small,
  ].sort((a, b) => (BigInt(a.start_time_unix_nano) < BigInt(b.start_time_unix_nano) ? 1 : -1));
}
