/** What the pages ask for, and how long an answer stays good. */

import {
  infiniteQueryOptions,
  keepPreviousData,
  QueryCache,
  QueryClient,
  queryOptions,
} from "@tanstack/react-query";
import { ApiError, api } from "./api/client";
import type { SpanOutline, Trace } from "./api/types";
import { nanosToMs } from "./model/format";
import { type Bar, statsPoints, toBars } from "./model/histogram";
import {
  bucketSeconds,
  DEFAULT_PRESET,
  rangeBounds,
  rangeParams,
  type TimeRange,
} from "./model/range";
import { requireSignIn } from "./signedOut";

export const queryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (error) => {
      if (error instanceof ApiError && error.status === 401) requireSignIn();
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: 15_000,
      refetchOnWindowFocus: false,
      retry: (failures, error) =>
        failures < 2 && !(error instanceof ApiError && error.status >= 400 && error.status < 500),
      retryDelay: (attempt) => 400 * 2 ** attempt,
    },
  },
});

export interface ListQuery {
  q: string;
  range: TimeRange;
  sort: string;
}

export const NEWEST_FIRST = "-start_time";

/** What the list shows when the URL says nothing. */
export const DEFAULT_LIST: ListQuery = {
  q: "",
  range: { preset: DEFAULT_PRESET },
  sort: NEWEST_FIRST,
};

const PAGE_SIZE = 100;

export function traceListOptions({ q, range, sort }: ListQuery) {
  return infiniteQueryOptions({
    queryKey: ["traces", q, range, sort],
    queryFn: ({ pageParam, signal }) =>
      api.traces(
        { q, sort, limit: PAGE_SIZE, cursor: pageParam ?? undefined, ...rangeParams(range) },
        signal,
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
    placeholderData: keepPreviousData,
  });
}

/** Whether anything was ever recorded: decides between "no match" and "getting started". */
export const anyTraceOptions = queryOptions({
  queryKey: ["any-trace"],
  queryFn: async ({ signal }) => (await api.traces({ q: "", limit: 1 }, signal)).traces[0] ?? null,
});

export interface HistogramData {
  bars: Bar[];
  from: number;
  to: number;
}

const N_BARS = 90;
const MINUTE_MS = 60_000;
const DAY_MS = 1440 * MINUTE_MS;
const MEASURES = "count,errors";

export function histogramOptions({ q, range }: { q: string; range: TimeRange }) {
  return queryOptions({
    queryKey: ["histogram", q, range],
    queryFn: async ({ signal }): Promise<HistogramData> => {
      const now = Date.now();
      const bounds = rangeBounds(range, now) ?? (await extent(q, range, now, signal));
      const step = bucketSeconds(bounds.from, bounds.to, N_BARS);
      const from = Math.floor(bounds.from / 1000 / step) * step * 1000;
      const stats = await api.stats(
        {
          measure: MEASURES,
          bucket: `${step}s`,
          q,
          from: String(from),
          to: String(Math.ceil(bounds.to)),
        },
        signal,
      );
      return { bars: toBars(stats, from, bounds.to, step * 1000), from, to: bounds.to };
    },
    placeholderData: keepPreviousData,
  });
}

/** For an open range: where spans are, found by days and, for a short history, by minutes. */
async function extent(q: string, range: TimeRange, now: number, signal: AbortSignal) {
  const bound = { from: range.from ?? 0, to: range.to ?? now };
  const days = await occupied(q, rangeParams(range), "1d", signal);
  if (!days) return { from: now - DAY_MS, to: now };
  const from = Math.max(bound.from, days.first);
  const to = Math.min(bound.to, days.last + DAY_MS);
  if (to - from > 4 * DAY_MS) return { from, to };
  const params = { from: String(from), to: String(Math.ceil(to)) };
  const slots = await occupied(q, params, "10m", signal);
  if (!slots) return { from, to };
  const end = Math.min(to, slots.last + 10 * MINUTE_MS);
  // A strip of less than a quarter of an hour would show a single trace as a history.
  return { from: Math.min(Math.max(from, slots.first), end - 15 * MINUTE_MS), to: end };
}

async function occupied(
  q: string,
  params: { from?: string; to?: string },
  bucket: string,
  signal: AbortSignal,
): Promise<{ first: number; last: number } | null> {
  const stats = await api.stats({ measure: MEASURES, bucket, q, ...params }, signal);
  const times = statsPoints(stats)
    .filter((point) => point.count > 0)
    .map((point) => point.ms);
  return times.length > 0 ? { first: Math.min(...times), last: Math.max(...times) } : null;
}

const GROWING_MS = 3000;

/** A trace without its root may still be running; one that was silent for long has lost it. */
function mayGrow(trace: Trace | undefined): boolean {
  if (!trace || trace.span_count > 5000) return false;
  const heard = trace.spans.map((span) => (span.running ? span.received_unix_nano : undefined));
  const times = [trace.complete ? undefined : trace.start_time_unix_nano, ...heard];
  const last = Math.max(...times.map((nanos) => (nanos ? nanosToMs(nanos) : 0)));
  return Date.now() - last < 30 * MINUTE_MS;
}

export function outlineOptions(traceId: string) {
  return queryOptions({
    queryKey: ["trace", traceId],
    queryFn: ({ signal }) => api.outline(traceId, signal),
    refetchInterval: (query) => (mayGrow(query.state.data) ? GROWING_MS : false),
  });
}

/** A running span is another one whenever something is heard of it. */
export function spanOptions(
  traceId: string,
  { span_id, running, received_unix_nano }: SpanOutline,
) {
  const heard = running ? received_unix_nano : undefined;
  return queryOptions({
    queryKey: ["trace", traceId, "span", span_id, heard],
    queryFn: ({ signal }) => api.span(traceId, span_id, signal),
    staleTime: 60_000,
  });
}

export const fieldsOptions = queryOptions({
  queryKey: ["fields"],
  queryFn: ({ signal }) => api.fields(signal),
  staleTime: 60_000,
});

export function fieldValuesOptions(field: string, prefix: string) {
  return queryOptions({
    queryKey: ["field-values", field, prefix],
    queryFn: ({ signal }) => api.fieldValues(field, prefix, signal),
    staleTime: 30_000,
    retry: false,
    placeholderData: keepPreviousData,
  });
}

export const sessionOptions = queryOptions({
  queryKey: ["session"],
  queryFn: ({ signal }) => api.session(signal),
  staleTime: Number.POSITIVE_INFINITY,
  retry: false,
});

export const problemsOptions = queryOptions({
  queryKey: ["problems"],
  queryFn: ({ signal }) => api.problems(signal),
  refetchInterval: 15_000,
});
