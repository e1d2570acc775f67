/** How arriving traces join a list that somebody is reading. */

import type { TraceSummary } from "../api/types";

export interface LiveList {
  /** Rows by trace id that replace or precede what the pages hold. */
  readonly shown: ReadonlyMap<string, TraceSummary>;
  /** New rows that wait until the reader asks for them. */
  readonly waiting: ReadonlyMap<string, TraceSummary>;
}

export const NOTHING_LIVE: LiveList = { shown: new Map(), waiting: new Map() };

/** More rows than this are not kept: the next page load brings them. */
const LIMIT = 500;

/** Known traces grow in place; new ones show at once or wait. */
export function receive(
  list: LiveList,
  arrived: readonly TraceSummary[],
  isKnown: (traceId: string) => boolean,
  hold: boolean,
): LiveList {
  const shown = new Map(list.shown);
  const waiting = new Map(list.waiting);
  for (const summary of arrived) {
    const id = summary.trace_id;
    const target = shown.has(id) || isKnown(id) || !hold ? shown : waiting;
    target.delete(id);
    target.set(id, summary);
  }
  return { shown: newest(shown), waiting: newest(waiting) };
}

function newest(rows: Map<string, TraceSummary>): Map<string, TraceSummary> {
  return rows.size <= LIMIT ? rows : new Map([...rows].slice(rows.size - LIMIT));
}

export function release(list: LiveList): LiveList {
  return { shown: newest(new Map([...list.shown, ...list.waiting])), waiting: new Map() };
}

/** Pages with live rows merged in. Only a list by start time, newest first, takes new rows. */
export function mergeLive(
  pages: readonly TraceSummary[],
  live: LiveList,
  takesNew: boolean,
): TraceSummary[] {
  const ids = new Set(pages.map((row) => row.trace_id));
  const grown = pages.map((row) => live.shown.get(row.trace_id) ?? row);
  if (!takesNew) return grown;
  const fresh = [...live.shown.values()].filter((row) => !ids.has(row.trace_id));
  if (fresh.length === 0) return grown;
  return [...fresh, ...grown].sort(byNewestStart);
}

function byNewestStart(a: TraceSummary, b: TraceSummary): number {
  const [x, y] = [BigInt(a.start_time_unix_nano), BigInt(b.start_time_unix_nano)];
  return x < y ? 1 : x > y ? -1 : 0;
}
