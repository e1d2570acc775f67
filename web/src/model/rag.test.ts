import { expect, test } from "vitest";
import type { Json, Span } from "../api/types";
import { ragFacts, ragStage } from "./rag";

function span(stage: string, attributes: Record<string, Json>, more: Partial<Span> = {}): Span {
  return {
    span_id: stage,
    parent_span_id: "root",
    name: `rag_control.request.run.stage.${stage}`,
    kind: "internal",
    service: "hr-bot",
    start_time_unix_nano: "0",
    duration_ns: 1,
    status: { code: "unset" },
    attributes,
    resource: {},
    scope: {},
    events: [],
    links: [],
    ...more,
  };
}

test("stages are known by their names", () => {
  expect(ragStage("rag_control.request.run")).toBe("root");
  expect(ragStage("rag_control.request.stream.stage.llm.stream")).toBe("llm.stream");
  expect(ragStage("rag_control.request.walk")).toBeNull();
});

test("a rejected answer tells its policy, its documents and the broken rule", () => {
  const facts = ragFacts([
    span("org_lookup", { filter_name: "public_only", retrieval_top_k: 3 }),
    span(
      "retrieval",
      { returned: 2 },
      {
        events: [{ name: "documents.denied", time_unix_nano: "0", attributes: { denied: 1 } }],
        llm: { operation: "retriever", documents: [{ id: "holidays", score: 0.9 }] },
      },
    ),
    span(
      "enforcement",
      {
        policy_name: "cited",
        enforcement_result: "rejected",
        violated_rule: "require_citations",
      },
      { status: { code: "error", message: "require_citations: the answer cites no document" } },
    ),
  ]);
  expect(facts).toEqual({
    policy: "cited",
    filter: "public_only",
    topK: 3,
    returned: 2,
    denied: 1,
    result: "rejected",
    rule: "require_citations",
    reason: "require_citations: the answer cites no document",
    citations: null,
    documents: [{ id: "holidays", score: 0.9 }],
  });
});

test("what is not told is not known", () => {
  const facts = ragFacts([span("org_lookup", { filter_name: "" })]);
  expect(facts).toMatchObject({ policy: null, filter: null, returned: null, result: null });
});
