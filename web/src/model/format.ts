/**
 * Numbers, times and money as people read them. Without `Intl`: its first use takes 20 ms, a good
 * part of what a page may take.
 */

export const NONE = "–";

export function formatDuration(ns: number | null | undefined): string {
  if (ns === null || ns === undefined || Number.isNaN(ns)) return NONE;
  if (ns < 0) return `−${formatDuration(-ns)}`;
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${significant(ns / 1e3)} µs`;
  if (ns < 999.5e6) return `${significant(ns / 1e6)} ms`;
  if (ns < 59.995e9) return `${(ns / 1e9).toFixed(2)} s`;
  const seconds = Math.round(ns / 1e9);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${pad(seconds % 60)}s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)}h ${pad(minutes % 60)}m`;
  return `${Math.floor(minutes / 1440)}d ${Math.round((minutes % 1440) / 60)}h`;
}

function significant(value: number): string {
  return value < 9.95 ? value.toFixed(1) : String(Math.round(value));
}

function pad(n: number): string {
  return String(n).padStart(2, "0");
}

/** 12,345,678 */
export function formatCount(n: number | null | undefined): string {
  return n === null || n === undefined
    ? NONE
    : String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** 940, 12.3k, 3.1M: for columns where the exact number is on hover. */
export function formatCompact(n: number | null | undefined): string {
  if (n === null || n === undefined) return NONE;
  if (n < 1000) return formatCount(n);
  for (const [limit, unit] of [
    [999_500, "k"],
    [999_500_000, "M"],
    [Number.POSITIVE_INFINITY, "B"],
  ] as const) {
    if (n >= limit) continue;
    const value = n / (unit === "k" ? 1e3 : unit === "M" ? 1e6 : 1e9);
    return `${value < 99.95 ? value.toFixed(1) : Math.round(value)}${unit}`;
  }
  return NONE;
}

/** Dollars with as many digits as say something. A cost that is not nothing never reads as nothing. */
export function formatCost(usd: number | null | undefined): string {
  if (usd === null || usd === undefined) return NONE;
  if (usd < 0) return `−${formatCost(-usd)}`;
  if (usd === 0) return "$0";
  if (usd >= 1000) return `$${formatCount(usd)}`;
  if (usd >= 1) return `$${usd.toFixed(2)}`;
  if (usd >= 0.01) return `$${usd.toFixed(3)}`;
  return usd < 0.0001 ? "<$0.0001" : `$${usd.toFixed(4)}`;
}

/** All the digits there are, down to the nano-dollar. */
export function formatExactCost(usd: number): string {
  return `$${usd.toFixed(9).replace(/0+$/, "").replace(/\.$/, "")}`;
}

export function formatBytes(n: number): string {
  if (n < 1000) return `${n} B`;
  if (n < 1e6) return `${(n / 1e3).toFixed(n < 1e4 ? 1 : 0)} kB`;
  return `${(n / 1e6).toFixed(1)} MB`;
}

export function formatPercent(share: number): string {
  const percent = share * 100;
  return percent > 0 && percent < 1 ? "<1 %" : `${Math.round(percent)} %`;
}

/** "12 s ago", "3 h ago", "2 d ago", then the date. */
export function formatAgo(unixMs: number, nowMs: number): string {
  const seconds = Math.round((nowMs - unixMs) / 1000);
  if (seconds < -60) return formatDay(unixMs);
  if (seconds < 3) return "now";
  if (seconds < 60) return `${seconds}s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ago`;
  if (seconds < 86_400 * 14) return `${Math.floor(seconds / 86_400)}d ago`;
  return formatDay(unixMs);
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

function formatDay(unixMs: number): string {
  const d = new Date(unixMs);
  return `${d.getDate()} ${MONTHS[d.getMonth()]} ${d.getFullYear()}`;
}

/** `2026-11-21 14:05:09.123`, local time. */
export function formatInstant(unixMs: number): string {
  const d = new Date(unixMs);
  if (Number.isNaN(d.getTime())) return NONE;
  const date = `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
  const time = `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
  return `${date} ${time}.${String(d.getMilliseconds()).padStart(3, "0")}`;
}

export function nanosToMs(unixNano: string): number {
  return Number(BigInt(unixNano) / 1000n) / 1000;
}

/** A model's name without the date of its release: gpt-4o-2024-08-06 is gpt-4o to its readers. */
export function shortModel(model: string): string {
  return model.replace(/[-@](\d{4}-\d{2}-\d{2}|20\d{6})$/, "");
}

/** Models by the name that people use, each with the exact names behind it. */
export function groupModels(models: readonly string[]): [short: string, exact: string[]][] {
  const groups = new Map<string, string[]>();
  for (const model of models) {
    const short = shortModel(model);
    groups.set(short, [...(groups.get(short) ?? []), model]);
  }
  return [...groups];
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${formatCount(n)} ${n === 1 ? one : many}`;
}
