import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { type RefObject, useCallback, useEffect, useMemo, useRef, useState } from "preact/compat";
import { ApiError } from "../api/client";
import type { TraceSummary } from "../api/types";
import { ErrorNotice, Notice } from "../components/basics";
import { ColumnChooser } from "../components/ColumnChooser";
import { chosenColumns } from "../components/columns";
import { Histogram } from "../components/Histogram";
import { Icon } from "../components/Icon";
import { useKeys } from "../components/keys";
import { loadMarkdown } from "../components/Markdown";
import { useNow } from "../components/now";
import { SearchBar, type SearchProblem } from "../components/SearchBar";
import { SearchHelp } from "../components/SearchHelp";
import { TimeRangePicker } from "../components/TimeRangePicker";
import { TableSkeleton, TraceTable } from "../components/TraceTable";
import { useLiveTraces } from "../components/useLiveTraces";
import { usePageWidth } from "../components/usePageWidth";
import { lastList, rememberList } from "../lastList";
import { formatAgo, nanosToMs, plural } from "../model/format";
import { mergeLive } from "../model/live";
import type { ListSearch } from "../model/place";
import { toggleTerm } from "../model/query";
import { DEFAULT_PRESET, type TimeRange } from "../model/range";
import { currentPlace, go } from "../navigation";
import {
  anyTraceOptions,
  histogramOptions,
  NEWEST_FIRST,
  outlineOptions,
  traceListOptions,
} from "../queries";
import { GettingStarted } from "./GettingStarted";

export function TraceListPage({ search }: { search: ListSearch }) {
  const q = search.q ?? "";
  const sort = search.sort ?? NEWEST_FIRST;
  const range = useMemo(() => rangeOf(search), [search]);
  const query = useInfiniteQuery(traceListOptions({ q, range, sort }));
  const isLive = search.live !== "off" && range.preset !== "custom";
  const list = useTraceRows(
    query.data?.pages.flatMap((page) => page.traces),
    q,
    isLive,
    sort,
  );
  const histogram = useHistogram(q, range, list.nArrived);
  const anyTrace = useQuery({
    ...anyTraceOptions,
    enabled: query.data !== undefined && list.rows.length === 0,
  });
  const columns = chosenColumns(search.cols, usePageWidth());
  const input = useRef<HTMLInputElement>(null);
  const problem = searchProblem(query.error);
  const open = useCallback(
    (traceId: string) => {
      rememberList(search, traceId);
      go({ page: "trace", traceId, search: {} });
    },
    [search],
  );
  useListKeys({ list, open, isLive, input });

  usePreloadedMarkdown(query.data !== undefined);

  const isEmptyServer = !q && list.rows.length === 0 && anyTrace.data === null;
  if (isEmptyServer && query.data) return <GettingStarted />;
  return (
    <div className="list-page">
      <div className="list-bar">
        <SearchBar
          value={q}
          inputRef={input}
          problem={problem}
          onSearch={(text) => set({ q: text || undefined })}
        />
        <QuickFilter q={q} onChange={(text) => set({ q: text || undefined })} />
        <TimeRangePicker range={range} onChange={(next) => set(rangeSearch(next))} />
        <LiveButton
          isLive={isLive}
          connected={list.connected}
          onToggle={() => set({ live: isLive ? "off" : undefined })}
        />
        <ColumnChooser columns={columns} onChange={(cols) => set({ cols })} />
      </div>
      {problem && (
        <p className="search-problem" role="alert">
          <Icon name="error" size={14} /> {problem.message}
        </p>
      )}
      <Histogram
        data={histogram.data}
        onZoom={(from, to) => set(rangeSearch({ preset: "custom", from, to }))}
      />
      <div className="table-frame">
        {list.nWaiting > 0 && (
          <button type="button" className="pill" onClick={list.release}>
            <Icon name="up" size={12} /> {plural(list.nWaiting, "new trace")}
          </button>
        )}
        {query.isPending && <TableSkeleton columns={columns} />}
        {problem && !query.data && <SearchHelp onTry={(text) => set({ q: text })} />}
        {query.error && !problem && !query.data && (
          <ErrorNotice error={query.error} retry={() => query.refetch()} />
        )}
        {query.data && list.rows.length === 0 && (
          <NoMatch newest={anyTrace.data ?? null} q={q} range={range} />
        )}
        {list.rows.length > 0 && (
          <TraceTable
            traces={list.rows}
            columns={columns}
            sort={sort}
            now={list.now}
            selected={list.selected}
            fresh={list.fresh}
            hasMore={query.hasNextPage}
            stale={query.isPlaceholderData || problem !== null}
            onSort={(order) => set({ sort: order === NEWEST_FIRST ? undefined : order })}
            onMore={() => !query.isFetching && query.fetchNextPage()}
            onHover={list.setHovered}
            onScrolled={list.setScrolled}
            onPeek={list.peek}
            onOpen={open}
          />
        )}
      </div>
    </div>
  );
}

/** Shows the same list otherwise. */
function set(change: { [key in keyof ListSearch]?: string | undefined }): void {
  const place = currentPlace();
  if (place.page !== "list") return;
  go({ page: "list", search: { ...place.search, ...change } as ListSearch }, { replace: true });
}

const RECOUNT_MS = 10_000;

/** Counted again while traces arrive, and left alone while none do: counting reads everything. */
function useHistogram(q: string, range: TimeRange, nArrived: number) {
  const [nCounted, setCounted] = useState(0);
  const histogram = useQuery({
    ...histogramOptions({ q, range }),
    refetchInterval: nArrived > nCounted && RECOUNT_MS,
  });
  const { dataUpdatedAt } = histogram;
  // biome-ignore lint/correctness/useExhaustiveDependencies: what has arrived counts when it is counted.
  useEffect(() => setCounted(nArrived), [dataUpdatedAt]);
  return histogram;
}

/** How long after the list is there: its own painting comes first. */
const PRELOAD_AFTER_MS = 500;

/** What traces need and lists do not is fetched before somebody opens one. */
function usePreloadedMarkdown(ready: boolean) {
  useEffect(() => {
    if (!ready) return;
    const timer = setTimeout(loadMarkdown, PRELOAD_AFTER_MS);
    return () => clearTimeout(timer);
  }, [ready]);
}

/** A pointer that only passes by asks for nothing, and large traces are fetched when opened. */
const RESTING_MS = 90;
const MAX_PREFETCHED_SPANS = 3000;

/** Pages and live arrivals as one list, with the row that the keyboard is on. */
function useTraceRows(pages: TraceSummary[] | undefined, q: string, isLive: boolean, sort: string) {
  const queryClient = useQueryClient();
  const now = useNow(10_000);
  const [hovered, setHovered] = useState(false);
  const [scrolled, setScrolled] = useState(false);
  const [selectedId, setSelectedId] = useState(lastList().traceId);
  const known = useMemo(() => new Set(pages?.map((row) => row.trace_id)), [pages]);
  const hold = hovered || scrolled || sort !== NEWEST_FIRST;
  const live = useLiveTraces(q, isLive && pages !== undefined, (id) => known.has(id), hold);
  const rows = useMemo(
    () => mergeLive(pages ?? [], live.list, sort === NEWEST_FIRST),
    [pages, live.list, sort],
  );
  const resting = useRef<ReturnType<typeof setTimeout>>(undefined);
  const peek = useCallback(
    (trace: TraceSummary | null) => {
      clearTimeout(resting.current);
      if (!trace || trace.span_count > MAX_PREFETCHED_SPANS) return;
      const prefetch = () => queryClient.prefetchQuery(outlineOptions(trace.trace_id));
      resting.current = setTimeout(prefetch, RESTING_MS);
    },
    [queryClient],
  );
  return {
    rows,
    now,
    fresh: live.fresh,
    connected: live.connected,
    nArrived: live.nArrived,
    nWaiting: sort === NEWEST_FIRST ? live.list.waiting.size : 0,
    release: live.release,
    selected: selectedId === null ? -1 : rows.findIndex((row) => row.trace_id === selectedId),
    select: setSelectedId,
    setHovered,
    setScrolled,
    peek,
  };
}

function useListKeys({
  list,
  open,
  isLive,
  input,
}: {
  list: ReturnType<typeof useTraceRows>;
  open: (traceId: string) => void;
  isLive: boolean;
  input: RefObject<HTMLInputElement | null>;
}) {
  const move = (step: number) => {
    const at = Math.max(0, Math.min(list.rows.length - 1, list.selected + step));
    const row = list.rows[at];
    if (!row) return;
    list.select(row.trace_id);
    list.peek(row);
  };
  useKeys({
    "/": () => {
      input.current?.focus();
      input.current?.select();
    },
    j: () => move(1),
    k: () => move(-1),
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    l: () => set({ live: isLive ? "off" : undefined }),
    n: list.release,
    Escape: () => list.select(null),
    Enter: () => {
      const traceId = list.rows[list.selected]?.trace_id;
      if (traceId) open(traceId);
    },
  });
}

function rangeOf(search: ListSearch): TimeRange {
  const bound = (text: string | undefined) =>
    text && /^\d+$/.test(text) ? Number(text) : undefined;
  return search.range === "custom"
    ? { preset: "custom", from: bound(search.from), to: bound(search.to) }
    : { preset: search.range ?? DEFAULT_PRESET };
}

function rangeSearch({ preset, from, to }: TimeRange) {
  return {
    range: preset === DEFAULT_PRESET ? undefined : preset,
    from: from === undefined ? undefined : String(Math.round(from)),
    to: to === undefined ? undefined : String(Math.round(to)),
  };
}

/** A search text the server did not understand; other errors are not the text's fault. */
function searchProblem(error: unknown): SearchProblem | null {
  const isText = error instanceof ApiError && error.status === 400;
  return isText ? { message: error.message, position: error.position } : null;
}

function QuickFilter({ q, onChange }: { q: string; onChange: (q: string) => void }) {
  const active = ` ${q} `.includes(" status:error ");
  return (
    <button
      type="button"
      className="button quick-errors"
      aria-pressed={active}
      title="Only traces with an error (status:error)"
      onClick={() => onChange(toggleTerm(q, "status:error"))}
    >
      <Icon name="error" size={14} /> Errors
    </button>
  );
}

function LiveButton({
  isLive,
  connected,
  onToggle,
}: {
  isLive: boolean;
  connected: boolean;
  onToggle: () => void;
}) {
  const state = !isLive ? "paused" : connected ? "live" : "connecting";
  const title = isLive ? "New traces appear as they arrive. Pause (l)" : "Paused. Resume (l)";
  return (
    <button
      type="button"
      className="button live-button"
      data-state={state}
      aria-pressed={isLive}
      title={title}
      onClick={onToggle}
    >
      <span className="live-dot" />
      {isLive ? "Live" : "Paused"}
    </button>
  );
}

function NoMatch({
  newest,
  q,
  range,
}: {
  newest: TraceSummary | null;
  q: string;
  range: TimeRange;
}) {
  const ago = newest && formatAgo(nanosToMs(newest.start_time_unix_nano), Date.now());
  return (
    <Notice
      icon="search"
      title={q ? "No trace matches" : "No traces in this time range"}
      action={
        <>
          {range.preset !== "all" && (
            <button
              type="button"
              className="button"
              onClick={() => set({ range: undefined, from: undefined, to: undefined })}
            >
              Look at all time
            </button>
          )}
          {q && (
            <button type="button" className="button" onClick={() => set({ q: undefined })}>
              Clear the search
            </button>
          )}
        </>
      }
    >
      {q
        ? "A trace matches when one of its spans satisfies the whole search. Bare words search all recorded text."
        : ago && `The newest trace started ${ago}.`}
    </Notice>
  );
}
