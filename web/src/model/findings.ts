/** What a person should look at first in a trace. */

import type { Diagnostic } from "../api/types";
import { formatDuration, formatInstant, formatPercent, nanosToMs, plural } from "./format";
import { firstError, slowestStep } from "./timing";
import type { SpanNode, Tree } from "./tree";

export interface Finding {
  tone: "error" | "warn" | "info";
  label: string;
  text: string;
  node: SpanNode | null;
}

export function findings(tree: Tree): Finding[] {
  const found: Finding[] = [];
  const error = firstError(tree);
  if (error) {
    const total = tree.roots.reduce((sum, root) => sum + root.errors, 0);
    found.push({
      tone: "error",
      label: total > 1 ? `First of ${total} errors` : "Error",
      text: `${error.span.name}: ${errorText(error)}`,
      node: error,
    });
  }
  const open = tree.nodes.findLast((node) => node.isRunning);
  if (open) found.push({ tone: "info", label: "Not ended", text: notEnded(tree), node: open });
  const slow = open ? null : slowestStep(tree);
  if (slow) {
    found.push({
      tone: "info",
      label: "Slowest step",
      text: `${slow.node.span.name} · ${formatDuration(slow.selfNs)}, ${formatPercent(slow.share)} of the trace`,
      node: slow.node,
    });
  }
  return found;
}

/** What is known of spans that have not ended. Silence may mean that the process is gone. */
export function notEnded(tree: Tree): string {
  const n = tree.nodes.filter((node) => node.isRunning).length;
  return `${plural(n, "span")} still running, or lost since ${heardAt(tree.heardUnixNano)}`;
}

/** The time of day at which something was heard of a span. */
export function heardAt(unixNano: bigint | string | null | undefined): string {
  return formatInstant(nanosToMs(String(unixNano ?? 0))).slice(11, 19);
}

/** The first line of what an error span says. */
export function errorText(node: SpanNode): string {
  const { span } = node;
  const message = span.status.message || span.llm?.error?.message || span.llm?.error?.type;
  return message?.split("\n", 1)[0] || "failed without a message";
}

const TITLES: Record<string, string> = {
  orphan: "Orphaned span",
  missing_root: "Root span missing",
  clock_skew: "Clock skew",
  duplicate_id: "Duplicate span id",
  loop: "Repeating loop",
  dropped_attributes: "Dropped attributes",
};

export function diagnosticTitle({ kind }: Diagnostic): string {
  const words = kind.replaceAll("_", " ");
  return TITLES[kind] ?? words.charAt(0).toUpperCase() + words.slice(1);
}
