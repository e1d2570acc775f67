/** What the spans of RAG control tell of a request: which policy, which documents, what was checked. */

import type { Json, RetrievedDocument, Span } from "../api/types";
import type { SpanNode } from "./tree";

const NAME = /^rag_control\.request\.(run|stream)(?:\.stage\.(.+))?$/;

/** The stage that a span is, `root` for the request itself. */
export function ragStage(name: string): string | null {
  const found = NAME.exec(name);
  return found && (found[2] ?? "root");
}

/** Stages whose attributes are part of the picture. */
const TELLING = ["org_lookup", "retrieval", "policy.resolve", "enforcement"];

/** The spans below a request that tell what it did. */
export function tellingStages(node: SpanNode): SpanNode[] {
  if (ragStage(node.span.name) !== "root") return [];
  return node.children.filter((child) => TELLING.includes(ragStage(child.span.name) ?? ""));
}

export interface RagFacts {
  policy: string | null;
  filter: string | null;
  topK: number | null;
  /** How many documents the answer was made from; `denied` more were found and not allowed. */
  returned: number | null;
  denied: number | null;
  result: "passed" | "refused" | "rejected" | null;
  rule: string | null;
  reason: string | null;
  citations: number | null;
  documents: RetrievedDocument[];
}

/** Everything that these spans of one request tell. */
export function ragFacts(spans: readonly Span[]): RagFacts {
  const of = (stage: string) => spans.find((span) => ragStage(span.name) === stage);
  const [lookup, retrieval, enforcement] = [of("org_lookup"), of("retrieval"), of("enforcement")];
  const denied = retrieval?.events.find((event) => event.name === "documents.denied");
  const result = text(enforcement?.attributes.enforcement_result);
  return {
    policy: text((enforcement ?? of("policy.resolve"))?.attributes.policy_name),
    filter: text(lookup?.attributes.filter_name) || null,
    topK: number(lookup?.attributes.retrieval_top_k),
    returned: number(retrieval?.attributes.returned),
    denied: number(denied?.attributes?.denied),
    result: result === "passed" || result === "refused" || result === "rejected" ? result : null,
    rule: text(enforcement?.attributes.violated_rule),
    reason: result === "rejected" ? (enforcement?.status.message ?? null) : null,
    citations: number(enforcement?.attributes.citations),
    documents: retrieval?.llm?.documents ?? [],
  };
}

function text(value: Json | undefined): string | null {
  return typeof value === "string" ? value : null;
}

function number(value: Json | undefined): number | null {
  return typeof value === "number" ? value : null;
}
