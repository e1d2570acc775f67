/** The virtualised list of traces. */

import { useVirtualizer } from "@tanstack/react-virtual";
import { type CSSProperties, memo, useEffect, useRef } from "preact/compat";
import type { TraceSummary } from "../api/types";
import { opensElsewhere } from "../navigation";
import { Skeleton } from "./basics";
import type { CellContext, Column } from "./columns";
import { Icon } from "./Icon";
import { useOverscan } from "./useOverscan";

const ROW_HEIGHT = 33;
/** What stands above the rows: a first guess, corrected when they are there. */
const ABOVE_ROWS = 190;

export interface TraceTableProps {
  traces: TraceSummary[];
  columns: Column[];
  sort: string;
  now: number;
  selected: number;
  fresh: ReadonlySet<string>;
  hasMore: boolean;
  stale: boolean;
  onSort: (sort: string) => void;
  onMore: () => void;
  onHover: (inside: boolean) => void;
  onScrolled: (scrolled: boolean) => void;
  /** The pointer rests on a trace, or (null) on none. */
  onPeek: (trace: TraceSummary | null) => void;
  onOpen: (traceId: string) => void;
}

export function TraceTable(props: TraceTableProps) {
  const { traces, columns, selected, onMore, hasMore } = props;
  const box = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: traces.length + (hasMore ? 1 : 0),
    getScrollElement: () => box.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: useOverscan(8),
    initialRect: { width: 0, height: window.innerHeight - ABOVE_ROWS },
    getItemKey: (i) => traces[i]?.trace_id ?? "more",
  });
  const items = rows.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (hasMore && last >= traces.length - 20) onMore();
  }, [hasMore, last, traces.length, onMore]);
  useEffect(() => {
    if (selected >= 0) rows.scrollToIndex(selected, { align: "auto" });
  }, [selected, rows]);

  const template = columns.map((column) => column.width).join(" ");
  const context: CellContext = {
    now: props.now,
    maxNs: traces.reduce((max, trace) => Math.max(max, Number(trace.duration_ns)), 0),
  };
  return (
    <div
      className="trace-table"
      role="table"
      aria-label="Traces"
      aria-rowcount={traces.length + 1}
      data-stale={props.stale || undefined}
      style={{ "--columns": template } as CSSProperties}
    >
      <HeaderRow columns={columns} sort={props.sort} onSort={props.onSort} />
      <div
        className="table-body"
        role="rowgroup"
        ref={box}
        onPointerEnter={() => props.onHover(true)}
        onPointerLeave={() => props.onHover(false)}
        onScroll={(event) => props.onScrolled(event.currentTarget.scrollTop > ROW_HEIGHT)}
      >
        <div style={{ height: rows.getTotalSize(), position: "relative" }}>
          {items.map((item) => {
            const trace = traces[item.index];
            return trace ? (
              <Row
                key={item.key}
                trace={trace}
                columns={columns}
                now={context.now}
                maxNs={context.maxNs}
                top={item.start}
                selected={item.index === selected}
                fresh={props.fresh.has(trace.trace_id)}
                onPeek={props.onPeek}
                onOpen={props.onOpen}
              />
            ) : (
              <div
                key="more"
                className="row more"
                style={{ transform: `translateY(${item.start}px)` }}
              >
                <Skeleton width="60%" />
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

function HeaderRow({
  columns,
  sort,
  onSort,
}: {
  columns: Column[];
  sort: string;
  onSort: (sort: string) => void;
}) {
  return (
    <div className="table-head" role="rowgroup">
      <div className="row head" role="row">
        {columns.map((column) => {
          const { sort: order } = column;
          const active = order === sort;
          return (
            <div
              key={column.id}
              className="cell"
              role="columnheader"
              data-align={column.align}
              aria-sort={active ? "descending" : undefined}
            >
              {order ? (
                <button
                  type="button"
                  className="sort"
                  data-active={active || undefined}
                  title={`Sort by ${column.label.toLowerCase()}, largest first`}
                  onClick={() => onSort(order)}
                >
                  {column.label}
                  {active && <Icon name="down" size={12} />}
                </button>
              ) : (
                column.label || <span className="visually-hidden">Status</span>
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}

interface RowProps {
  trace: TraceSummary;
  columns: Column[];
  now: number;
  maxNs: number;
  top: number;
  selected: boolean;
  fresh: boolean;
  onPeek: (trace: TraceSummary | null) => void;
  onOpen: (traceId: string) => void;
}

const Row = memo(function Row({ trace, columns, now, maxNs, top, ...state }: RowProps) {
  const href = `/traces/${trace.trace_id}`;
  const open = (event: MouseEvent) => {
    if (opensElsewhere(event)) return;
    event.preventDefault();
    state.onOpen(trace.trace_id);
  };
  return (
    <a
      className="row"
      // ARIA has no row that is a link; what reads tables aloud needs the row.
      role={"row" as "link"}
      href={href}
      draggable={false}
      data-selected={state.selected || undefined}
      data-fresh={state.fresh || undefined}
      data-error={trace.status === "error" || undefined}
      style={{ transform: `translateY(${top}px)` }}
      onClick={open}
      onPointerEnter={() => state.onPeek(trace)}
      onPointerLeave={() => state.onPeek(null)}
    >
      {columns.map((column) => (
        <div
          key={column.id}
          className="cell"
          role="cell"
          data-col={column.id}
          data-align={column.align}
        >
          {column.cell(trace, { now, maxNs })}
        </div>
      ))}
    </a>
  );
});

export function TableSkeleton({ columns }: { columns: Column[] }) {
  const template = columns.map((column) => column.width).join(" ");
  return (
    <div
      className="trace-table"
      role="status"
      aria-busy="true"
      aria-label="Loading traces"
      style={{ "--columns": template } as CSSProperties}
    >
      <div className="table-head">
        <div className="row head">
          {columns.map((column) => (
            <div key={column.id} className="cell" data-align={column.align}>
              {column.label}
            </div>
          ))}
        </div>
      </div>
      <div className="table-body">
        {Array.from({ length: 14 }, (_, i) => (
          <div key={i} className="row static">
            {columns.map((column) => (
              <div key={column.id} className="cell" data-align={column.align}>
                <Skeleton width={column.id === "status" ? 10 : `${50 + ((i * 7) % 40)}%`} />
              </div>
            ))}
          </div>
        ))}
      </div>
    </div>
  );
}
