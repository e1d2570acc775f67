/** The time a list covers, as it stands in the URL. */

export interface TimeRange {
  /** A preset's name, or undefined for a custom range. */
  preset: string;
  /** Unix milliseconds, for a custom range. */
  from?: number | undefined;
  to?: number | undefined;
}

export interface Preset {
  name: string;
  label: string;
  ms: number | null;
}

export const PRESETS: readonly Preset[] = [
  { name: "15m", label: "Last 15 minutes", ms: 15 * 60e3 },
  { name: "1h", label: "Last hour", ms: 3600e3 },
  { name: "24h", label: "Last 24 hours", ms: 24 * 3600e3 },
  { name: "7d", label: "Last 7 days", ms: 7 * 86_400e3 },
  { name: "all", label: "All time", ms: null },
];

export const DEFAULT_PRESET = "all";

/** What the API takes: relative for presets, so that a live list keeps moving. */
export function rangeParams(range: TimeRange): { from?: string; to?: string } {
  if (range.preset === "custom") {
    return {
      ...(range.from !== undefined && { from: String(range.from) }),
      ...(range.to !== undefined && { to: String(range.to) }),
    };
  }
  return range.preset === "all" ? {} : { from: `-${range.preset}` };
}

export function rangeLabel(range: TimeRange, format: (ms: number) => string): string {
  if (range.preset !== "custom") {
    return PRESETS.find((preset) => preset.name === range.preset)?.label ?? "All time";
  }
  const from = range.from === undefined ? "…" : format(range.from);
  const to = range.to === undefined ? "now" : format(range.to);
  return `${from} → ${to}`;
}

/** Bounds in milliseconds; `null` when the range is open at its start. */
export function rangeBounds(range: TimeRange, nowMs: number): { from: number; to: number } | null {
  if (range.preset === "custom") {
    return range.from === undefined ? null : { from: range.from, to: range.to ?? nowMs };
  }
  const preset = PRESETS.find((candidate) => candidate.name === range.preset);
  return preset?.ms ? { from: nowMs - preset.ms, to: nowMs } : null;
}

const STEPS_S = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
  172_800, 604_800, 2_592_000, 7_776_000, 31_536_000,
];

/** A round bucket width in seconds that cuts `[from, to]` into at most `n` buckets. */
export function bucketSeconds(from: number, to: number, n: number): number {
  const needed = Math.max(1, (to - from) / 1000 / n);
  return STEPS_S.find((step) => step >= needed) ?? Math.ceil(needed);
}

/** Text for `datetime-local` inputs, local time. */
export function toInputValue(ms: number): string {
  const d = new Date(ms - new Date(ms).getTimezoneOffset() * 60e3);
  return d.toISOString().slice(0, 16);
}

export function fromInputValue(text: string): number | undefined {
  const ms = new Date(text).getTime();
  return Number.isNaN(ms) ? undefined : ms;
}
