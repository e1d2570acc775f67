/** A request of RAG control: under which policy, from which documents, and whether the answer held. */

import { useQueries } from "@tanstack/react-query";
import type { Span } from "../api/types";
import { plural } from "../model/format";
import { type RagFacts, ragFacts, ragStage, tellingStages } from "../model/rag";
import type { SpanNode } from "../model/tree";
import { spanOptions } from "../queries";
import { Icon } from "./Icon";
import { Documents } from "./MessagesTab";

/** Nothing, where the span is none of RAG control. */
export function RagControl({
  traceId,
  node,
  span,
}: {
  traceId: string;
  node: SpanNode;
  span: Span;
}) {
  const stage = ragStage(span.name);
  if (stage === "root") return <Request traceId={traceId} node={node} />;
  if (stage === "enforcement") return <Strip facts={ragFacts([span])} />;
  return null;
}

function Request({ traceId, node }: { traceId: string; node: SpanNode }) {
  const stages = tellingStages(node);
  const asked = useQueries({ queries: stages.map((one) => spanOptions(traceId, one.span)) });
  const facts = ragFacts(asked.flatMap(({ data }) => data ?? []));
  return (
    <section className="rag" aria-label="RAG control">
      <Strip facts={facts} />
      {facts.documents.length > 0 && (
        <details open>
          <summary>Made from {plural(facts.documents.length, "document")}</summary>
          <Documents documents={facts.documents} raw={false} />
        </details>
      )}
    </section>
  );
}

const RESULTS = {
  passed: "keeps to the policy",
  refused: "refused: no answer in the documents",
  rejected: "rejected by the policy",
};

function Strip({ facts }: { facts: RagFacts }) {
  return (
    <div className="rag-strip" data-result={facts.result ?? "none"}>
      {facts.result && (
        <p className="rag-result">
          <Icon name={facts.result === "rejected" ? "error" : "check"} size={14} />{" "}
          <b>Answer {RESULTS[facts.result]}</b>
          {facts.reason && <span>{facts.reason}</span>}
        </p>
      )}
      <dl>
        <Fact name="Policy" value={facts.policy} />
        <Fact name="Filter" value={facts.filter} />
        <Fact name="Documents" value={documentsText(facts)} />
        <Fact name="Cited" value={facts.citations} />
        <Fact name="Broken rule" value={facts.rule} />
      </dl>
    </div>
  );
}

function documentsText({ returned, denied, topK }: RagFacts): string | null {
  if (returned === null) return null;
  const most = topK === null ? "" : ` of at most ${topK}`;
  return `${returned}${most}${denied ? `, ${denied} more denied` : ""}`;
}

function Fact({ name, value }: { name: string; value: string | number | null }) {
  if (value === null) return null;
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
