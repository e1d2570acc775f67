/** Where the time of a trace went. */

import { isModelCall, type SpanNode, type Tree } from "./tree";

interface Interval {
  from: number;
  to: number;
}

/** Length of the union of intervals. */
export function unionLength(intervals: Interval[]): number {
  const sorted = [...intervals].sort((a, b) => a.from - b.from);
  let total = 0;
  let end = Number.NEGATIVE_INFINITY;
  for (const { from, to } of sorted) {
    if (to <= end) continue;
    total += to - Math.max(from, end);
    end = to;
  }
  return total;
}

/** Time in which a span itself worked: its duration less what its children cover. */
export function selfTimeNs(node: SpanNode): number {
  const end = node.startNs + node.durationNs;
  const covered = node.children.map((child) => ({
    from: Math.max(node.startNs, child.startNs),
    to: Math.min(end, child.startNs + child.durationNs),
  }));
  return Math.max(0, node.durationNs - unionLength(covered.filter((c) => c.to > c.from)));
}

/** Model calls that contain no other model call, so that a wrapper is not counted twice. */
export function modelCalls(tree: Tree): SpanNode[] {
  const contains = new Set<SpanNode>();
  const calls: SpanNode[] = [];
  for (let i = tree.nodes.length - 1; i >= 0; i--) {
    const node = tree.nodes[i] as SpanNode;
    const isCall = isModelCall(node);
    if (isCall && !contains.has(node)) calls.push(node);
    if (node.parent && (isCall || contains.has(node))) contains.add(node.parent);
  }
  return calls.reverse();
}

/** Wall-clock time during which at least one model call was under way. */
export function modelTimeNs(tree: Tree): number {
  return unionLength(
    modelCalls(tree).map(({ startNs, durationNs }) => ({
      from: startNs,
      to: startNs + durationNs,
    })),
  );
}

export interface SlowestStep {
  node: SpanNode;
  selfNs: number;
  /** Part of the whole trace, 0 to 1. */
  share: number;
}

/** The step that itself took longest, when it took a telling part of the trace. */
export function slowestStep(tree: Tree): SlowestStep | null {
  let best: SlowestStep | null = null;
  for (const node of tree.nodes) {
    if (best && node.durationNs <= best.selfNs) continue;
    const selfNs = selfTimeNs(node);
    if (!best || selfNs > best.selfNs) {
      best = { node, selfNs, share: tree.durationNs > 0 ? selfNs / tree.durationNs : 0 };
    }
  }
  return best && best.share >= 0.2 && tree.nodes.length > 1 ? best : null;
}

/** Where the first failure began: the earliest error span below which nothing failed. */
export function firstError(tree: Tree): SpanNode | null {
  let first: SpanNode | null = null;
  for (const node of tree.nodes) {
    if (!node.isError || node.errors > 1) continue;
    if (!first || node.startNs + node.durationNs < first.startNs + first.durationNs) first = node;
  }
  return first ?? tree.nodes.find((node) => node.isError) ?? null;
}

/** Round numbers for an axis over `[from, to]` nanoseconds, about `n` of them. */
export function axisTicks(from: number, to: number, n: number): number[] {
  const span = to - from;
  if (!(span > 0) || n < 1) return [from];
  const raw = span / n;
  const magnitude = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * magnitude).find((s) => s >= raw) ?? raw;
  const ticks: number[] = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) ticks.push(at);
  return ticks;
}
