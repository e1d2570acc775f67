/** What a trace was, what it took, and what went wrong. */

import { type ReactNode, useMemo, useState } from "preact/compat";
import { api } from "../api/client";
import type { Diagnostic, Trace } from "../api/types";
import { lastList } from "../lastList";
import { usageTotals } from "../model/cost";
import { diagnosticTitle, type Finding, findings, notEnded } from "../model/findings";
import {
  formatCompact,
  formatCost,
  formatCount,
  formatDuration,
  formatExactCost,
  formatInstant,
  formatPercent,
  groupModels,
  nanosToMs,
  plural,
} from "../model/format";
import { term } from "../model/query";
import { modelTimeNs } from "../model/timing";
import type { SpanNode, Tree } from "../model/tree";
import { Link } from "../navigation";
import { CopyButton } from "./basics";
import { Icon, type IconName } from "./Icon";

export function TraceHeader({
  trace,
  tree,
  onSelect,
}: {
  trace: Trace;
  tree: Tree;
  onSelect: (node: SpanNode) => void;
}) {
  const startMs = nanosToMs(trace.start_time_unix_nano);
  return (
    <header className="trace-header">
      <div className="trace-title">
        <Link
          to={{ page: "list", search: lastList().search }}
          className="icon-button"
          aria-label="Back to the list"
          title="Back to the list (u)"
        >
          <Icon name="back" />
        </Link>
        <h1 title={trace.root_name}>{trace.root_name || "(unnamed)"}</h1>
        <StatusTag trace={trace} tree={tree} />
        <span className="trace-when muted">
          {trace.services.join(", ")} · <time>{formatInstant(startMs).slice(0, 19)}</time>
        </span>
        <span className="trace-id">
          <code title={trace.trace_id}>{trace.trace_id.slice(0, 8)}…</code>
          <CopyButton text={trace.trace_id} label="Copy the trace id" />
          <CopyButton text={() => location.href} label="Copy a link to this view" />
          <a
            className="icon-button"
            href={api.exportUrl(trace.trace_id, "otlp")}
            download={`${trace.trace_id}.otlp.json`}
            aria-label="Download as OTLP JSON"
            title="Download as OTLP JSON"
          >
            <Icon name="download" size={14} />
          </a>
        </span>
      </div>
      <Totals trace={trace} tree={tree} />
      <Wrong trace={trace} tree={tree} onSelect={onSelect} />
    </header>
  );
}

function StatusTag({ trace, tree }: { trace: Trace; tree: Tree }) {
  if (trace.status === "error") {
    return (
      <span className="tag" data-tone="error">
        <Icon name="error" size={12} /> error
      </span>
    );
  }
  if (tree.heardUnixNano !== null) {
    return (
      <span className="tag" data-tone="accent" title={notEnded(tree)}>
        <Icon name="clock" size={12} /> running
      </span>
    );
  }
  if (!trace.complete) {
    return (
      <span className="tag" data-tone="warn" title="The root span has not ended or not arrived">
        <Icon name="clock" size={12} /> incomplete
      </span>
    );
  }
  return (
    <span
      className="tag"
      data-tone="ok"
      title={trace.error_count > 0 ? "The root ended well, after errors on the way" : undefined}
    >
      <Icon name="check" size={12} /> {trace.error_count > 0 ? "ok, after errors" : "ok"}
    </span>
  );
}

function Totals({ trace, tree }: { trace: Trace; tree: Tree }) {
  const totals = useMemo(() => usageTotals(tree), [tree]);
  const modelNs = useMemo(() => modelTimeNs(tree), [tree]);
  const durationNs = tree.heardUnixNano === null ? Number(trace.duration_ns) : tree.durationNs;
  const hasModelCalls = totals.calls > 0;
  return (
    <dl className="totals">
      <Total
        label="Duration"
        value={formatDuration(durationNs)}
        extra={tree.heardUnixNano === null ? undefined : "so far"}
      />
      {hasModelCalls && (
        <Total
          label="In models"
          value={formatDuration(modelNs)}
          extra={durationNs > 0 ? formatPercent(modelNs / durationNs) : undefined}
          title="Wall-clock time during which at least one model call was under way"
        />
      )}
      {hasModelCalls && (
        <Total
          label="Cost"
          value={formatCost(trace.cost_usd)}
          extra={totals.unpriced > 0 ? `${totals.unpriced} unpriced` : undefined}
          title={
            trace.cost_usd === null
              ? "No price is known for these models"
              : formatExactCost(trace.cost_usd)
          }
        />
      )}
      {hasModelCalls && trace.total_tokens !== null && (
        <TokenTotal trace={trace} cached={totals.cacheRead} />
      )}
      <Total
        label="Spans"
        value={formatCount(trace.span_count)}
        extra={hasModelCalls ? plural(totals.calls, "model call") : undefined}
      />
      <LinkTotal label="Model" field="model" of={groupModels(trace.models)} />
      <LinkTotal label="Agent" field="agent" of={named(trace.agents)} />
      <LinkTotal label="User" field="user" of={named([trace.user_id])} />
      <LinkTotal label="Session" field="session" of={named([trace.session_id])} />
    </dl>
  );
}

function Total({
  label,
  value,
  extra,
  title,
}: {
  label: string;
  value: ReactNode;
  extra?: ReactNode;
  title?: string;
}) {
  return (
    <div className="total" title={title}>
      <dt>{label}</dt>
      <dd>
        {value}
        {extra && <span className="extra">{extra}</span>}
      </dd>
    </div>
  );
}

function TokenTotal({ trace, cached }: { trace: Trace; cached: number | null }) {
  const input = trace.input_tokens;
  const share = cached && input ? ` · ${formatPercent(cached / input)} cached` : "";
  const title = `${formatCount(input)} in, ${formatCount(trace.output_tokens)} out${
    cached === null ? "" : `, ${formatCount(cached)} of the input read from cache`
  }`;
  return (
    <Total
      label="Tokens"
      value={formatCompact(trace.total_tokens)}
      extra={`${formatCompact(input)} in · ${formatCompact(trace.output_tokens)} out${share}`}
      title={title}
    />
  );
}

const MAX_LINKS = 3;

/** A name to show, and the recorded values that it stands for. */
type Named = readonly [shown: string, values: string[]];

function named(values: readonly (string | null)[]): Named[] {
  return values.flatMap((value) => (value ? [[value, [value]] as const] : []));
}

/** Values that open the list of traces that share them. */
function LinkTotal({ label, field, of }: { label: string; field: string; of: Named[] }) {
  if (of.length === 0) return null;
  return (
    <Total
      label={of.length > 1 ? `${label}s` : label}
      title={of.flatMap(([, values]) => values).join("\n")}
      value={
        <span className="chips">
          {of.slice(0, MAX_LINKS).map(([shown, values]) => (
            <Link
              key={shown}
              to={{ page: "list", search: { q: term(field, ...values) } }}
              className="chip"
              title={`All traces with ${field} ${values.join(" or ")}`}
            >
              {shown}
            </Link>
          ))}
          {of.length > MAX_LINKS && <span className="extra">+{of.length - MAX_LINKS}</span>}
        </span>
      }
    />
  );
}

const FINDING_ICONS: Record<Finding["tone"], IconName> = {
  error: "error",
  warn: "warning",
  info: "slow",
};

/** The line to read first. Each part leads to its span. */
function Wrong({
  trace,
  tree,
  onSelect,
}: {
  trace: Trace;
  tree: Tree;
  onSelect: (node: SpanNode) => void;
}) {
  const found = useMemo(() => findings(tree), [tree]);
  const [open, setOpen] = useState(false);
  const { diagnostics } = trace;
  if (found.length === 0 && diagnostics.length === 0) return null;
  return (
    <div className="wrong">
      <div className="findings">
        {found.map((finding) => (
          <button
            type="button"
            key={finding.label}
            className="finding"
            data-tone={finding.tone}
            title={`${finding.text}\nGo to this span`}
            onClick={() => finding.node && onSelect(finding.node)}
          >
            <Icon name={FINDING_ICONS[finding.tone]} size={14} />
            <b>{finding.label}</b>
            <span className="finding-text">{finding.text}</span>
          </button>
        ))}
        {diagnostics.length > 0 && (
          <button
            type="button"
            className="finding"
            data-tone="warn"
            aria-expanded={open}
            onClick={() => setOpen(!open)}
          >
            <Icon name="warning" size={14} />
            <b>{plural(diagnostics.length, "diagnostic")}</b>
            <span className="finding-text">{diagnosticTitle(diagnostics[0] as Diagnostic)}</span>
            <Icon name={open ? "up" : "down"} size={12} />
          </button>
        )}
      </div>
      {open && <DiagnosticList diagnostics={diagnostics} tree={tree} onSelect={onSelect} />}
    </div>
  );
}

function DiagnosticList({
  diagnostics,
  tree,
  onSelect,
}: {
  diagnostics: Diagnostic[];
  tree: Tree;
  onSelect: (node: SpanNode) => void;
}) {
  return (
    <ul className="diagnostics">
      {diagnostics.map((diagnostic, i) => {
        const node = diagnostic.span_id ? tree.byId.get(diagnostic.span_id) : undefined;
        return (
          <li key={i}>
            <div>
              <b>{diagnosticTitle(diagnostic)}</b> {diagnostic.message}
              {node && (
                <button type="button" className="link" onClick={() => onSelect(node)}>
                  {node.span.name}
                </button>
              )}
            </div>
            {diagnostic.fix && (
              <div className="fix">
                <b>Fix</b> {diagnostic.fix}
              </div>
            )}
          </li>
        );
      })}
    </ul>
  );
}
