/** A trace's spans as a tree, with every time relative to the start of the trace. */

import type { LlmOutline, Nanos, SpanOutline, Usage } from "../api/types";

export interface SpanNode {
  readonly span: SpanOutline;
  readonly parent: SpanNode | null;
  readonly children: SpanNode[];
  readonly depth: number;
  /** Position in depth-first order. */
  readonly order: number;
  /** Nanoseconds after the start of the trace. */
  readonly startNs: number;
  readonly durationNs: number;
  readonly ttftNs: number | null;
  readonly isError: boolean;
  /** It has not ended; it lasts until the end of what is known. */
  readonly isRunning: boolean;
  /** Its parent is named but not (yet) here. */
  readonly isOrphan: boolean;
  /** How many spans are below it. */
  descendants: number;
  /** Errors in it and below. */
  errors: number;
  /** Tokens and dollars of the model calls in it and below, the innermost of nested ones. */
  tokens: number | null;
  costUsd: number | null;
}

export interface Tree {
  /** Depth first, children by start. */
  readonly nodes: SpanNode[];
  readonly roots: SpanNode[];
  readonly byId: Map<string, SpanNode>;
  readonly startUnixNano: bigint;
  readonly durationNs: number;
  readonly maxDepth: number;
  /** When something was last heard of spans that have not ended, if there are any. */
  readonly heardUnixNano: bigint | null;
}

export function toNumber(nanos: Nanos | null | undefined): number | null {
  return nanos === null || nanos === undefined ? null : Number(nanos);
}

interface Draft {
  span: SpanOutline;
  start: bigint;
  parent: Draft | null;
  children: Draft[];
}

export function buildTree(spans: readonly SpanOutline[]): Tree {
  const drafts = spans.map(
    (span): Draft => ({
      span,
      start: BigInt(span.start_time_unix_nano),
      parent: null,
      children: [],
    }),
  );
  const roots = linkDrafts(drafts);
  let startUnixNano = drafts[0]?.start ?? 0n;
  for (const { start } of drafts) if (start < startUnixNano) startUnixNano = start;
  const nodes: SpanNode[] = [];
  const known = { startUnixNano, ...knownEnd(drafts) };
  const rootNodes = placeDepthFirst(roots, known, nodes);
  sumUpwards(nodes);
  const byId = new Map<string, SpanNode>();
  let durationNs = 0;
  let maxDepth = 0;
  for (const node of nodes) {
    if (!byId.has(node.span.span_id)) byId.set(node.span.span_id, node);
    durationNs = Math.max(durationNs, node.startNs + node.durationNs);
    maxDepth = Math.max(maxDepth, node.depth);
  }
  const { heardUnixNano } = known;
  return { nodes, roots: rootNodes, byId, startUnixNano, durationNs, maxDepth, heardUnixNano };
}

/** From when to when a trace is known. */
interface Known {
  startUnixNano: bigint;
  endUnixNano: bigint;
  heardUnixNano: bigint | null;
}

/** Spans that have not ended last until the last that is known of any span. */
function knownEnd(drafts: readonly Draft[]): Omit<Known, "startUnixNano"> {
  let endUnixNano = 0n;
  let heardUnixNano: bigint | null = null;
  if (!drafts.some(({ span }) => span.running)) return { endUnixNano, heardUnixNano };
  for (const { span, start } of drafts) {
    const heard = span.running ? BigInt(span.received_unix_nano ?? 0) : null;
    if (heard !== null && heard > (heardUnixNano ?? 0n)) heardUnixNano = heard;
    const end = start + BigInt(Math.round(toNumber(span.duration_ns) ?? 0));
    for (const at of [end, heard ?? end]) if (at > endUnixNano) endUnixNano = at;
  }
  return { endUnixNano, heardUnixNano };
}

/** Links children to parents and returns the roots. Duplicate ids and cycles do no harm. */
function linkDrafts(drafts: Draft[]): Draft[] {
  const byId = new Map<string, Draft>();
  for (const draft of drafts) {
    if (!byId.has(draft.span.span_id)) byId.set(draft.span.span_id, draft);
  }
  for (const draft of drafts) {
    const parentId = draft.span.parent_span_id;
    const parent = parentId ? byId.get(parentId) : undefined;
    if (parent && parent !== draft) draft.parent = parent;
  }
  cutCycles(drafts);
  const roots: Draft[] = [];
  for (const draft of drafts) (draft.parent ? draft.parent.children : roots).push(draft);
  const byStart = (a: Draft, b: Draft) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0);
  roots.sort(byStart);
  for (const draft of drafts) if (draft.children.length > 1) draft.children.sort(byStart);
  return roots;
}

function cutCycles(drafts: Draft[]): void {
  const settled = new Set<Draft>();
  for (const draft of drafts) {
    const path = new Set<Draft>();
    for (let at: Draft | null = draft; at && !settled.has(at); at = at.parent) {
      if (path.has(at)) {
        at.parent = null;
        break;
      }
      path.add(at);
    }
    for (const seen of path) settled.add(seen);
  }
}

/** Walks with its own stack: a trace may be deeper than the engine's call stack. */
function placeDepthFirst(roots: Draft[], known: Known, nodes: SpanNode[]): SpanNode[] {
  const rootNodes: SpanNode[] = [];
  const stack: { draft: Draft; parent: SpanNode | null }[] = [];
  const pushAll = (drafts: Draft[], parent: SpanNode | null) => {
    for (let i = drafts.length - 1; i >= 0; i--) stack.push({ draft: drafts[i] as Draft, parent });
  };
  pushAll(roots, null);
  for (let next = stack.pop(); next; next = stack.pop()) {
    const { draft, parent } = next;
    const node = makeNode(draft, parent, known, nodes.length);
    nodes.push(node);
    (parent ? parent.children : rootNodes).push(node);
    pushAll(draft.children, node);
  }
  return rootNodes;
}

function makeNode(draft: Draft, parent: SpanNode | null, known: Known, order: number): SpanNode {
  const { span } = draft;
  const isError = span.status.code === "error";
  const isRunning = span.running === true;
  const soFarNs = Number(known.endUnixNano - draft.start);
  return {
    span,
    parent,
    children: [],
    depth: parent ? parent.depth + 1 : 0,
    order,
    startNs: Number(draft.start - known.startUnixNano),
    durationNs: isRunning ? soFarNs : Math.max(0, toNumber(span.duration_ns) ?? 0),
    ttftNs: toNumber(span.llm?.time_to_first_token_ns),
    isError,
    isRunning,
    isOrphan: parent === null && Boolean(span.parent_span_id),
    descendants: 0,
    errors: isError ? 1 : 0,
    tokens: null,
    costUsd: null,
  };
}

function sumUpwards(nodes: SpanNode[]): void {
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i] as SpanNode;
    // A call whose own calls are recorded below it counts as their sum.
    if (isModelCall(node)) {
      node.tokens ??= totalTokens(node.span.llm?.usage);
      node.costUsd ??= node.span.llm?.cost_usd ?? null;
    }
    if (!node.parent) continue;
    node.parent.tokens = add(node.parent.tokens, node.tokens);
    node.parent.costUsd = add(node.parent.costUsd, node.costUsd);
    node.parent.descendants += node.descendants + 1;
    node.parent.errors += node.errors;
  }
}

const MODEL_CALLS = new Set(["chat", "completion", "embedding", "rerank"]);

export function isModelCall(node: SpanNode): boolean {
  return MODEL_CALLS.has(node.span.llm?.operation ?? "");
}

/** Input plus output where the total is not given; `null` when nothing is known. */
export function totalTokens(usage: Usage | null | undefined): number | null {
  return usage?.total ?? add(usage?.input ?? null, usage?.output);
}

/** A sum in which unknown is not zero. */
export function add(sum: number | null, value: number | null | undefined): number | null {
  return value === null || value === undefined ? sum : (sum ?? 0) + value;
}

/** The rows of the waterfall: every node no ancestor of which is collapsed. */
export function visibleNodes(tree: Tree, collapsed: ReadonlySet<SpanNode>): SpanNode[] {
  if (collapsed.size === 0) return tree.nodes;
  const rows: SpanNode[] = [];
  for (let i = 0; i < tree.nodes.length; i++) {
    const node = tree.nodes[i] as SpanNode;
    rows.push(node);
    if (collapsed.has(node)) i += node.descendants;
  }
  return rows;
}

/** What must be collapsed so that nothing deeper than `depth` shows. */
export function collapsedToDepth(tree: Tree, depth: number): Set<SpanNode> {
  return new Set(tree.nodes.filter((node) => node.depth >= depth && node.children.length > 0));
}

/** `collapsed` without the ancestors of `node`, so that it shows. */
export function revealed(collapsed: ReadonlySet<SpanNode>, node: SpanNode): Set<SpanNode> {
  const next = new Set(collapsed);
  for (let at = node.parent; at; at = at.parent) next.delete(at);
  return next;
}

/** The nodes whose name, service, operation, model, tool or agent contains every word. */
export function matchNodes(tree: Tree, filter: string): Set<SpanNode> | null {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return null;
  const matches = new Set<SpanNode>();
  for (const node of tree.nodes) {
    const text = searchable(node);
    if (words.every((word) => text.includes(word))) matches.add(node);
  }
  return matches;
}

function searchable({ span, isError, isRunning }: SpanNode): string {
  const llm = span.llm;
  const words = [span.name, span.service, span.kind, span.span_id, isError ? "error" : ""];
  if (isRunning) words.push("running");
  if (span.status.message) words.push(span.status.message);
  if (llm)
    words.push(llm.operation, modelOf(llm) ?? "", llm.tool_name ?? "", llm.agent?.name ?? "");
  return words.join(" ").toLowerCase();
}

/** What to show first: the root, unless it says nothing and a model call does. */
export function firstToShow(tree: Tree): SpanNode | undefined {
  const root = tree.nodes[0];
  if (!root || hasAnswer(root) || root.span.llm?.input_preview) return root;
  const calls = tree.nodes.filter(isModelCall);
  return calls.findLast(hasAnswer) ?? calls.at(-1) ?? root;
}

function hasAnswer({ span }: SpanNode): boolean {
  return Boolean(span.llm?.output_preview);
}

/** The model to show: the one that answered, else the one that was asked for. */
export function modelOf(llm: LlmOutline | null | undefined): string | null {
  return llm?.response_model || llm?.request_model || null;
}
