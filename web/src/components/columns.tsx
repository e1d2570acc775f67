/** The columns of the trace list: how wide they are and what they show. */

import type { ReactNode } from "preact/compat";
import type { TraceSummary } from "../api/types";
import {
  formatAgo,
  formatCompact,
  formatCost,
  formatCount,
  formatDuration,
  formatExactCost,
  formatInstant,
  groupModels,
  NONE,
  nanosToMs,
} from "../model/format";
import { Icon } from "./Icon";

export interface CellContext {
  now: number;
  /** Longest duration on the page, for the little bars. */
  maxNs: number;
}

export interface Column {
  id: string;
  label: string;
  /** A grid track. */
  width: string;
  align?: "right";
  /** The API's name for this order. */
  sort?: string;
  /** Shown by default from this page width on. */
  from: number;
  cell: (trace: TraceSummary, context: CellContext) => ReactNode;
}

export const COLUMNS: readonly Column[] = [
  { id: "status", label: "", width: "26px", from: 0, cell: (trace) => <StatusDot trace={trace} /> },
  {
    id: "name",
    label: "Name",
    width: "minmax(180px, 1.15fr)",
    from: 0,
    cell: (trace) => (
      <>
        <span className="strong">{trace.root_name || "(unnamed)"}</span>
        {trace.root_service && <span className="service">{trace.root_service}</span>}
      </>
    ),
  },
  {
    id: "preview",
    label: "Input → output",
    width: "minmax(180px, 2.2fr)",
    from: 0,
    cell: (trace) => <Preview trace={trace} />,
  },
  {
    id: "models",
    label: "Models",
    width: "minmax(90px, 150px)",
    from: 1200,
    cell: (trace) => <Models models={trace.models} />,
  },
  {
    id: "tokens",
    label: "Tokens",
    width: "64px",
    align: "right",
    sort: "-tokens",
    from: 640,
    cell: (trace) => (
      <span
        title={`${formatCount(trace.input_tokens)} in · ${formatCount(trace.output_tokens)} out`}
      >
        {formatCompact(trace.total_tokens)}
      </span>
    ),
  },
  {
    id: "cost",
    label: "Cost",
    width: "70px",
    align: "right",
    sort: "-cost",
    from: 640,
    cell: (trace) => (
      <span title={costTitle(trace)}>
        {formatCost(trace.cost_usd)}
        {!trace.cost_complete && trace.cost_usd !== null && <span className="incomplete">+</span>}
      </span>
    ),
  },
  {
    id: "duration",
    label: "Duration",
    width: "82px",
    align: "right",
    sort: "-duration",
    from: 0,
    cell: (trace, { maxNs }) => <DurationCell ns={Number(trace.duration_ns)} maxNs={maxNs} />,
  },
  {
    id: "spans",
    label: "Spans",
    width: "84px",
    align: "right",
    from: 960,
    cell: (trace) => (
      <>
        {trace.error_count > 0 && (
          <span className="error-count" title={`${trace.error_count} in error`}>
            {formatCompact(trace.error_count)}
          </span>
        )}
        {formatCompact(trace.span_count)}
      </>
    ),
  },
  {
    id: "session",
    label: "User · session",
    width: "minmax(90px, 150px)",
    from: 1300,
    cell: (trace) => (
      <span title={`user ${trace.user_id || NONE}\nsession ${trace.session_id || NONE}`}>
        {trace.user_id || trace.session_id || <span className="none">{NONE}</span>}
        {trace.user_id && trace.session_id && <span className="service">{trace.session_id}</span>}
      </span>
    ),
  },
  {
    id: "agents",
    label: "Agents",
    width: "minmax(80px, 140px)",
    from: Number.POSITIVE_INFINITY,
    cell: (trace) => trace.agents.join(", ") || <span className="none">{NONE}</span>,
  },
  {
    id: "start",
    label: "Started",
    width: "82px",
    align: "right",
    sort: "-start_time",
    from: 0,
    cell: (trace, { now }) => {
      const ms = nanosToMs(trace.start_time_unix_nano);
      return (
        <time dateTime={new Date(ms).toISOString()} title={formatInstant(ms)}>
          {formatAgo(ms, now)}
        </time>
      );
    },
  },
];

/** The chosen columns, or those that fit the page. Status and name always show. */
export function chosenColumns(chosen: string | undefined, pageWidth: number): Column[] {
  const names = chosen?.split(",");
  return COLUMNS.filter((column) =>
    names
      ? names.includes(column.id) || column.id === "status" || column.id === "name"
      : pageWidth >= column.from,
  );
}

function costTitle(trace: TraceSummary): string {
  if (trace.cost_usd === null) return "No price is known for these model calls";
  const exact = formatExactCost(trace.cost_usd);
  return trace.cost_complete ? exact : `${exact} — some model calls have no known price`;
}

/** The model that talked comes first; embeddings are rarely what one looks for. */
function Models({ models }: { models: string[] }) {
  const names = groupModels(models).map(([short]) => short);
  const first = names.find((name) => !name.includes("embed")) ?? names[0];
  if (!first) return <span className="none">{NONE}</span>;
  return (
    <span title={models.join("\n")}>
      {first}
      {names.length > 1 && <span className="more">+{names.length - 1}</span>}
    </span>
  );
}

function StatusDot({ trace }: { trace: TraceSummary }) {
  if (trace.status === "error") {
    return (
      <span className="status" data-status="error" title="Error">
        <Icon name="error" size={15} />
        <span className="visually-hidden">error</span>
      </span>
    );
  }
  const [status, title] = trace.complete
    ? trace.error_count > 0
      ? ["recovered", "Fine, after errors on the way"]
      : ["ok", "Fine"]
    : ["running", "Running, or its root span has not arrived"];
  return (
    <span className="status" data-status={status} title={title}>
      <span className="visually-hidden">{title}</span>
    </span>
  );
}

function Preview({ trace }: { trace: TraceSummary }) {
  const { input_preview: input, output_preview: output } = trace;
  if (!input && !output) return <span className="none">{NONE}</span>;
  return (
    <span className="preview">
      {input && <span className="preview-in">{oneLine(input)}</span>}
      {output && (
        <span className="preview-out">
          <span className="preview-arrow">→</span> {oneLine(output)}
        </span>
      )}
    </span>
  );
}

/** As much as can be seen and hardly more: the browser measures text that is cut off, too. */
function oneLine(text: string): string {
  const room = Math.max(100, window.innerWidth / 12);
  const line = text.slice(0, room).replace(/\s+/g, " ").trim();
  return text.length > room ? `${line}…` : line;
}

/** The bar grows with the duration's order of magnitude: a long outlier leaves the rest readable. */
function DurationCell({ ns, maxNs }: { ns: number; maxNs: number }) {
  const width = (Math.log1p(ns / 1e6) / Math.log1p(maxNs / 1e6)) * 100;
  return (
    <span className="duration-cell">
      {formatDuration(ns)}
      <span className="duration-bar" style={{ width: `${width}%` }} />
    </span>
  );
}
