/** Tokens and money of one call, and where each number came from. */

import type { Span } from "../api/types";
import { usageLines } from "../model/cost";
import { formatCount, formatDuration, formatExactCost, NONE } from "../model/format";
import { modelOf, type SpanNode, totalTokens } from "../model/tree";
import { Notice } from "./basics";

export function CostTab({ span, node }: { span: Span; node: SpanNode }) {
  const { llm } = span;
  if (!llm) {
    return (
      <Notice icon="info" title="No usage">
        Only spans that call a model have tokens and a cost.
      </Notice>
    );
  }
  const total = totalTokens(llm.usage);
  return (
    <div className="cost">
      <div className="cost-figure">
        <b>{llm.cost_usd == null ? NONE : formatExactCost(llm.cost_usd)}</b>
        <span className="muted">{costExplanation(span, total)}</span>
      </div>
      {llm.usage && total !== null && (
        <table className="usage-table">
          <tbody>
            {usageLines(llm.usage).map((line) => (
              <tr key={line.label} data-part={line.isPart || undefined}>
                <th scope="row">{line.label}</th>
                <td className="bar-cell">
                  <span
                    style={{ width: `${total && line.value ? (line.value / total) * 100 : 0}%` }}
                  />
                </td>
                <td className="number">{formatCount(line.value)}</td>
                <td className="muted">{line.note}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <dl className="facts">
        <Fact label="Provider" value={llm.provider} />
        <Fact label="Model asked for" value={llm.request_model} />
        <Fact label="Model that answered" value={llm.response_model} />
        <Fact label="First token" value={formatDuration(node.ttftNs)} />
        <Fact label="Speed" value={speed(node)} />
        <Fact label="Finish" value={llm.finish_reasons?.join(", ")} />
        <Fact label="Dialect" value={llm.dialects?.join(", ")} />
      </dl>
      {llm.sources && Object.keys(llm.sources).length > 0 && (
        <>
          <div className="section-head">
            <h3>Where it was read from</h3>
          </div>
          <table className="attribute-table">
            <tbody>
              {Object.entries(llm.sources).map(([field, source]) => (
                <tr key={field}>
                  <th scope="row">{field}</th>
                  <td>
                    <code>{source}</code>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </div>
  );
}

function costExplanation({ llm }: Span, total: number | null): string {
  if (llm?.cost_usd == null) {
    const model = modelOf(llm);
    return total && model ? `no price is known for ${model}` : "no tokens were reported";
  }
  if (llm.cost_source === "reported") return "reported by the span itself";
  return `${formatCount(total)} tokens at the list price on the day of the call`;
}

/** Output tokens a second, after the first one where its time is known. */
function speed(node: SpanNode): string {
  const output = node.span.llm?.usage?.output;
  const ns = node.durationNs - (node.ttftNs ?? 0);
  return output && ns > 0 ? `${(output / (ns / 1e9)).toFixed(1)} tokens/s` : NONE;
}

function Fact({ label, value }: { label: string; value: string | null | undefined }) {
  if (!value || value === NONE) return null;
  return (
    <div>
      <dt>{label}</dt>
      <dd>{value}</dd>
    </div>
  );
}
