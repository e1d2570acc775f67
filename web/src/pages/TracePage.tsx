import { useQuery } from "@tanstack/react-query";
import { type RefObject, useCallback, useEffect, useMemo, useRef, useState } from "preact/compat";
import { ApiError } from "../api/client";
import type { Trace } from "../api/types";
import { ErrorNotice, Notice, Skeleton } from "../components/basics";
import { useKeys } from "../components/keys";
import { loadMarkdown } from "../components/Markdown";
import { isPanelTab, type PanelTab, SpanPanel } from "../components/SpanPanel";
import { SplitPane } from "../components/SplitPane";
import { TraceHeader } from "../components/TraceHeader";
import { useSelectedSpan } from "../components/useSelectedSpan";
import { useTitle } from "../components/useTitle";
import { FULL_VIEW, type View, Waterfall } from "../components/Waterfall";
import { lastList } from "../lastList";
import { LIST, type TraceSearch } from "../model/place";
import {
  buildTree,
  collapsedToDepth,
  matchNodes,
  revealed,
  type SpanNode,
  type Tree,
  visibleNodes,
} from "../model/tree";
import { currentPlace, go, Link } from "../navigation";
import { outlineOptions } from "../queries";

export function TracePage({ traceId, search }: { traceId: string; search: TraceSearch }) {
  const { data, error, isPending, refetch } = useQuery(outlineOptions(traceId));
  useTitle(data?.root_name);
  useEffect(() => void loadMarkdown(), []);
  if (isPending) return <TraceSkeleton />;
  if (!data) return <TraceMissing traceId={traceId} error={error} retry={() => refetch()} />;
  if (data.spans.length === 0) {
    return (
      <Notice icon="clock" title="No spans yet">
        The trace is known, but none of its spans is readable yet. This page looks again every few
        seconds.
      </Notice>
    );
  }
  return <TraceView key={traceId} trace={data} search={search} />;
}

function TraceView({ trace, search }: { trace: Trace; search: TraceSearch }) {
  const tree = useMemo(() => buildTree(trace.spans), [trace.spans]);
  const [view, setView] = useState<View>(FULL_VIEW);
  const filterInput = useRef<HTMLInputElement>(null);
  const rows = useRows(tree, search.span, search.find ?? "");
  const tab = isPanelTab(search.tab) ? search.tab : undefined;
  useTraceKeys(rows, filterInput, () => setView(FULL_VIEW));

  return (
    <div className="trace-page">
      <TraceHeader trace={trace} tree={tree} onSelect={rows.select} />
      <SplitPane
        storageKey="spanwise.panel"
        first={
          <Waterfall
            tree={tree}
            rows={rows.visible}
            selected={rows.selected}
            collapsed={rows.collapsed}
            matches={rows.matches}
            filter={search.find ?? ""}
            filterInput={filterInput}
            view={view}
            onView={setView}
            onFilter={(text) => set({ find: text || undefined })}
            onSelect={rows.select}
            onToggle={rows.toggle}
            onDepth={rows.toDepth}
            onError={rows.stepError}
          />
        }
        second={
          <SpanPanel
            traceId={trace.trace_id}
            node={rows.selected}
            tree={tree}
            tab={tab}
            onTab={setTab}
          />
        }
      />
    </div>
  );
}

/** Shows the same trace otherwise. */
function set(change: { [key in keyof TraceSearch]?: string | undefined }): void {
  const place = currentPlace();
  if (place.page !== "trace") return;
  go({ ...place, search: { ...place.search, ...change } as TraceSearch }, { replace: true });
}

const setTab = (tab: PanelTab) => set({ tab });
const setSpan = (span: string) => set({ span });

/** The rows of the waterfall and every way to move among them. */
function useRows(tree: Tree, spanId: string | undefined, filter: string) {
  const [collapsedIds, setCollapsedIds] = useState<ReadonlySet<string>>(new Set());
  // Spans that arrive later make new nodes, so what is collapsed is remembered by id.
  const collapsed = useMemo(
    () => new Set(tree.nodes.filter((node) => collapsedIds.has(node.span.span_id))),
    [tree, collapsedIds],
  );
  const setCollapsed = useCallback(
    (nodes: ReadonlySet<SpanNode>) =>
      setCollapsedIds(new Set([...nodes].map((node) => node.span.span_id))),
    [],
  );
  const visible = useMemo(() => visibleNodes(tree, collapsed), [tree, collapsed]);
  const matches = useMemo(() => matchNodes(tree, filter), [tree, filter]);
  const { selected, current, choose } = useSelectedSpan(tree, spanId, setSpan);

  const select = useCallback(
    (node: SpanNode) => {
      const next = revealed(collapsed, node);
      if (next.size < collapsed.size) setCollapsed(next);
      choose(node);
    },
    [collapsed, choose, setCollapsed],
  );
  const toggle = useCallback(
    (node: SpanNode) => {
      const next = new Set(collapsed);
      if (!next.delete(node)) next.add(node);
      setCollapsed(next);
    },
    [collapsed, setCollapsed],
  );
  const step = (by: number) => {
    const candidates = matches ? visible.filter((node) => matches.has(node)) : visible;
    const at = candidates.indexOf(current.current);
    const next = candidates[at < 0 ? 0 : Math.max(0, Math.min(candidates.length - 1, at + by))];
    if (next) select(next);
  };
  const stepError = (by: 1 | -1) => {
    const errors = tree.nodes.filter((node) => node.isError);
    const ahead = by > 0 ? errors : [...errors].reverse();
    const next = ahead.find((node) => (node.order - current.current.order) * by > 0) ?? ahead[0];
    if (next) select(next);
  };
  const [depth, setDepth] = useState<number | null>(null);
  const toDepth = (change: number | "all" | "none") => {
    const from = depth ?? tree.maxDepth + 1;
    const next =
      change === "all"
        ? null
        : change === "none"
          ? 1
          : Math.max(0, Math.min(tree.maxDepth, from + change));
    setDepth(next);
    setCollapsed(next === null ? new Set() : collapsedToDepth(tree, next));
  };
  return { visible, matches, selected, collapsed, select, toggle, step, stepError, toDepth };
}

function useTraceKeys(
  rows: ReturnType<typeof useRows>,
  filterInput: RefObject<HTMLInputElement | null>,
  resetView: () => void,
) {
  const { selected } = rows;
  const isOpen = selected.children.length > 0 && !rows.collapsed.has(selected);
  const inward = () => {
    if (selected.children.length === 0) return;
    if (isOpen) rows.select(selected.children[0] as SpanNode);
    else rows.toggle(selected);
  };
  const outward = () => {
    if (isOpen) rows.toggle(selected);
    else if (selected.parent) rows.select(selected.parent);
  };
  useKeys({
    j: () => rows.step(1),
    ArrowDown: () => rows.step(1),
    k: () => rows.step(-1),
    ArrowUp: () => rows.step(-1),
    l: inward,
    ArrowRight: inward,
    h: outward,
    ArrowLeft: outward,
    Enter: () => selected.children.length > 0 && rows.toggle(selected),
    "]": () => rows.stepError(1),
    "[": () => rows.stepError(-1),
    "-": () => rows.toDepth(-1),
    "+": () => rows.toDepth(1),
    "=": () => rows.toDepth(1),
    "0": resetView,
    "/": () => filterInput.current?.focus(),
    m: () => setTab("messages"),
    a: () => setTab("attributes"),
    e: () => setTab("events"),
    r: () => setTab("raw"),
    c: () => setTab("cost"),
    u: () => go({ page: "list", search: lastList().search }),
    Escape: () => {
      if (document.activeElement === filterInput.current) filterInput.current?.blur();
      else resetView();
    },
  });
}

function TraceMissing({
  traceId,
  error,
  retry,
}: {
  traceId: string;
  error: unknown;
  retry: () => void;
}) {
  if (!(error instanceof ApiError) || error.status !== 404) {
    return <ErrorNotice error={error} retry={retry} />;
  }
  return (
    <Notice
      icon="search"
      title="This trace is not here"
      action={
        <>
          <button type="button" className="button" onClick={retry}>
            Look again
          </button>
          <Link to={LIST} className="button">
            All traces
          </Link>
        </>
      }
    >
      <code>{traceId}</code> has not arrived, was removed by retention, or belongs to another
      project. A span is readable within a second of its acknowledgement.
    </Notice>
  );
}

function TraceSkeleton() {
  return (
    <div className="trace-page" aria-busy="true">
      <div className="trace-header">
        <Skeleton width={260} height={20} />
        <div style={{ display: "flex", gap: 28, marginTop: 14 }}>
          {Array.from({ length: 6 }, (_, i) => (
            <Skeleton key={i} width={84} height={30} />
          ))}
        </div>
      </div>
      <div className="loading-rows">
        {Array.from({ length: 14 }, (_, i) => (
          <Skeleton key={i} width={`${90 - ((i * 11) % 50)}%`} height={16} />
        ))}
      </div>
    </div>
  );
}
