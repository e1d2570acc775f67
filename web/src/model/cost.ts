/** Tokens and money of a trace and of a span. */

import type { Usage } from "../api/types";
import { modelCalls } from "./timing";
import { add, type Tree, totalTokens } from "./tree";

/** Sums over model calls; `null` where no call reported the number. */
export interface UsageTotals {
  calls: number;
  cacheRead: number | null;
  cacheWrite: number | null;
  reasoning: number | null;
  /** Calls that report tokens but have no price. */
  unpriced: number;
}

export function usageTotals(tree: Tree): UsageTotals {
  const totals: UsageTotals = {
    calls: 0,
    cacheRead: null,
    cacheWrite: null,
    reasoning: null,
    unpriced: 0,
  };
  for (const { span } of modelCalls(tree)) {
    const usage = span.llm?.usage;
    totals.calls += 1;
    totals.cacheRead = add(totals.cacheRead, usage?.cache_read);
    totals.cacheWrite = add(totals.cacheWrite, usage?.cache_write);
    totals.reasoning = add(totals.reasoning, usage?.reasoning);
    if (totalTokens(usage) && !isKnown(span.llm?.cost_usd)) totals.unpriced += 1;
  }
  return totals;
}

export function isKnown(value: number | null | undefined): value is number {
  return value !== null && value !== undefined;
}

export interface UsageLine {
  label: string;
  value: number | null | undefined;
  /** Part of the line above rather than an addend. */
  isPart: boolean;
  note: string;
}

/** The lines of the usage table. Parts are inside input and output, never on top of them. */
export function usageLines(usage: Usage): UsageLine[] {
  const fresh =
    isKnown(usage.input) && isKnown(usage.cache_read) ? usage.input - usage.cache_read : null;
  const lines: UsageLine[] = [
    { label: "Input", value: usage.input, isPart: false, note: "everything the model read" },
    { label: "read from cache", value: usage.cache_read, isPart: true, note: "part of input" },
    { label: "written to cache", value: usage.cache_write, isPart: true, note: "part of input" },
    { label: "not cached", value: fresh, isPart: true, note: "input less cache reads" },
    { label: "Output", value: usage.output, isPart: false, note: "everything the model wrote" },
    { label: "reasoning", value: usage.reasoning, isPart: true, note: "part of output" },
    { label: "Total", value: totalTokens(usage), isPart: false, note: "input + output" },
  ];
  return lines.filter((line) => !line.isPart || isKnown(line.value));
}
