/** The strip of bars over the list. */

import type { Stats } from "../api/types";
import { nanosToMs } from "./format";

export interface Bar {
  fromMs: number;
  toMs: number;
  count: number;
  errors: number;
}

interface Point {
  ms: number;
  count: number;
  errors: number;
}

export function statsPoints(stats: Stats): Point[] {
  const points = stats.series[0]?.points ?? [];
  return points.map((point) => ({
    ms: nanosToMs(point.time_unix_nano),
    count: Number(point.count ?? 0),
    errors: Number(point.errors ?? 0),
  }));
}

/** Bars for every bucket of the range, empty ones included. */
export function toBars(stats: Stats, from: number, to: number, stepMs: number): Bar[] {
  const n = Math.max(1, Math.ceil((to - from) / stepMs));
  const bars: Bar[] = Array.from({ length: n }, (_, i) => ({
    fromMs: from + i * stepMs,
    toMs: from + (i + 1) * stepMs,
    count: 0,
    errors: 0,
  }));
  for (const point of statsPoints(stats)) {
    const bar = bars[Math.floor((point.ms - from) / stepMs)];
    if (!bar) continue;
    bar.count += point.count;
    bar.errors += point.errors;
  }
  return bars;
}
