/** The tree of spans against time. Rows are virtual: ten thousand scroll like ten. */

import { useVirtualizer } from "@tanstack/react-virtual";
import {
  type CSSProperties,
  memo,
  type PointerEvent,
  type RefObject,
  useEffect,
  useRef,
  useState,
} from "preact/compat";
import { formatCompact, formatCost, formatDuration, plural, shortModel } from "../model/format";
import { axisTicks } from "../model/timing";
import { isModelCall, modelOf, type SpanNode, type Tree } from "../model/tree";
import { Icon, OperationIcon } from "./Icon";
import { Minimap } from "./Minimap";
import { useOverscan } from "./useOverscan";
import { FULL_VIEW, type View } from "./view";

export { FULL_VIEW, type View };

const ROW_HEIGHT = 27;
/** What stands above the rows: a first guess, corrected when they are there. */
const ABOVE_ROWS = 240;

export interface WaterfallProps {
  tree: Tree;
  rows: SpanNode[];
  selected: SpanNode;
  collapsed: ReadonlySet<SpanNode>;
  matches: ReadonlySet<SpanNode> | null;
  filter: string;
  filterInput: RefObject<HTMLInputElement | null>;
  view: View;
  onView: (view: View) => void;
  onFilter: (text: string) => void;
  onSelect: (node: SpanNode) => void;
  onToggle: (node: SpanNode) => void;
  onDepth: (change: number | "all" | "none") => void;
  onError: (by: 1 | -1) => void;
}

export function Waterfall(props: WaterfallProps) {
  const { tree, rows, selected, collapsed, matches, view, onView } = props;
  const box = useRef<HTMLDivElement>(null);
  const [nameShare, setNameShare] = useState(0.42);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: useOverscan(12),
    initialRect: { width: 0, height: window.innerHeight - ABOVE_ROWS },
  });
  const at = rows.indexOf(selected);
  useEffect(() => {
    if (at >= 0) virtual.scrollToIndex(at, { align: "auto" });
  }, [at, virtual]);
  const from = view.from * tree.durationNs;
  const to = Math.max(view.to * tree.durationNs, from + 1);

  return (
    <section
      className="waterfall"
      aria-label="Waterfall"
      style={{ "--name-share": `${nameShare * 100}%` } as CSSProperties}
    >
      <Toolbar {...props} />
      <Minimap tree={tree} view={view} onView={onView} />
      <Axis from={from} to={to} onResize={setNameShare} />
      <div className="waterfall-rows" ref={box} role="tree" aria-label="Spans" tabIndex={-1}>
        <div style={{ height: virtual.getTotalSize(), position: "relative" }}>
          {virtual.getVirtualItems().map((item) => {
            const node = rows[item.index] as SpanNode;
            return (
              <SpanRow
                key={`${node.order}:${node.span.span_id}`}
                node={node}
                top={item.start}
                from={from}
                to={to}
                selected={node === selected}
                collapsed={collapsed.has(node)}
                dimmed={matches !== null && !matches.has(node)}
                onSelect={props.onSelect}
                onToggle={props.onToggle}
              />
            );
          })}
        </div>
      </div>
    </section>
  );
}

function Toolbar({ tree, matches, filter, filterInput, ...props }: WaterfallProps) {
  const errors = tree.roots.reduce((sum, root) => sum + root.errors, 0);
  return (
    <div className="waterfall-bar">
      <label className="filter">
        <Icon name="search" size={14} />
        <input
          ref={filterInput}
          value={filter}
          placeholder="Filter spans"
          aria-label="Filter spans"
          spellcheck={false}
          onChange={(event) => props.onFilter(event.currentTarget.value)}
        />
        {matches && (
          <span className="muted nowrap">{plural(matches.size, "match", "matches")}</span>
        )}
        {!filter && <kbd>/</kbd>}
      </label>
      {errors > 0 && (
        <span className="error-steps">
          <button
            type="button"
            className="icon-button"
            title="Previous error ([)"
            aria-label="Previous error"
            onClick={() => props.onError(-1)}
          >
            <Icon name="up" size={14} />
          </button>
          <span className="error-text nowrap">{plural(errors, "error")}</span>
          <button
            type="button"
            className="icon-button"
            title="Next error (])"
            aria-label="Next error"
            onClick={() => props.onError(1)}
          >
            <Icon name="down" size={14} />
          </button>
        </span>
      )}
      <span className="depth-buttons">
        <button
          type="button"
          className="icon-button"
          title="One level less (-)"
          aria-label="One level less"
          onClick={() => props.onDepth(-1)}
        >
          <Icon name="collapse" size={14} />
        </button>
        <button
          type="button"
          className="icon-button"
          title="Expand everything"
          aria-label="Expand everything"
          onClick={() => props.onDepth("all")}
        >
          <Icon name="expand" size={14} />
        </button>
      </span>
    </div>
  );
}

function Axis({
  from,
  to,
  onResize,
}: {
  from: number;
  to: number;
  onResize: (share: number) => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  const drag = (event: PointerEvent<HTMLElement>) => {
    const bounds = box.current?.getBoundingClientRect();
    if (!bounds || event.buttons !== 1) return;
    onResize(Math.max(0.2, Math.min(0.7, (event.clientX - bounds.left) / bounds.width)));
  };
  return (
    <div className="axis span-grid" ref={box}>
      <div className="axis-name">
        Span
        <span
          className="axis-handle"
          onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
          onPointerMove={drag}
        />
      </div>
      <div className="axis-ticks">
        {axisTicks(from, to, 4).map((tick) => {
          const x = (tick - from) / (to - from);
          return x > 0.87 ? null : (
            <span key={tick} style={{ left: `${x * 100}%` }}>
              {tick === 0 ? "0" : formatDuration(tick)}
            </span>
          );
        })}
      </div>
      <div className="span-number">Tokens</div>
      <div className="span-number">Cost</div>
    </div>
  );
}

interface SpanRowProps {
  node: SpanNode;
  top: number;
  from: number;
  to: number;
  selected: boolean;
  collapsed: boolean;
  dimmed: boolean;
  onSelect: (node: SpanNode) => void;
  onToggle: (node: SpanNode) => void;
}

/** Deeper than this, indentation would leave no room for names. */
const MAX_INDENT = 24;

const SpanRow = memo(function SpanRow(props: SpanRowProps) {
  const { node, selected, collapsed } = props;
  const { span } = node;
  const llm = span.llm;
  const hasChildren = node.children.length > 0;
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the tree's keys are the page's keys.
    <div
      className="span-row span-grid"
      role="treeitem"
      tabIndex={-1}
      aria-level={node.depth + 1}
      aria-selected={selected}
      aria-expanded={hasChildren ? !collapsed : undefined}
      data-selected={selected || undefined}
      data-dimmed={props.dimmed || undefined}
      data-error={node.isError || undefined}
      style={{ transform: `translateY(${props.top}px)` }}
      onClick={() => props.onSelect(node)}
    >
      <div
        className="span-name"
        style={{ "--depth": Math.min(node.depth, MAX_INDENT) } as CSSProperties}
      >
        {hasChildren ? (
          <button
            type="button"
            className="twisty"
            tabIndex={-1}
            aria-label={collapsed ? "Expand" : "Collapse"}
            data-open={!collapsed || undefined}
            onClick={(event) => {
              event.stopPropagation();
              props.onToggle(node);
            }}
          >
            <Icon name="chevron" size={12} />
          </button>
        ) : (
          <span className="twisty" />
        )}
        <OperationIcon operation={llm?.operation} />
        <span className="span-label" title={titleOf(node)}>
          {span.name || "(unnamed)"}
        </span>
        {node.isError && (
          <span className="error-text">
            <Icon name="error" size={13} />
          </span>
        )}
        {node.isRunning && (
          <span className="running-mark" title="It has not ended">
            running
          </span>
        )}
        {node.isOrphan && (
          <span className="warn-text" title="Its parent span is missing">
            <Icon name="warning" size={13} />
          </span>
        )}
        {collapsed && <span className="hidden-count">{formatCompact(node.descendants)}</span>}
        <span className="span-extra">{extraOf(node)}</span>
      </div>
      <BarCell node={node} from={props.from} to={props.to} />
      <div className="span-number" data-sum={isModelCall(node) ? undefined : true}>
        {node.tokens !== null && formatCompact(node.tokens)}
      </div>
      <div className="span-number" data-sum={isModelCall(node) ? undefined : true}>
        {node.costUsd !== null && formatCost(node.costUsd)}
      </div>
    </div>
  );
});

function BarCell({ node, from, to }: { node: SpanNode; from: number; to: number }) {
  const scale = 100 / (to - from);
  const left = (node.startNs - from) * scale;
  const width = node.durationNs * scale;
  const outside = left > 100 || left + width < 0;
  const clippedLeft = Math.max(0, left);
  const right = Math.min(100, left + width);
  const labelOnLeft = right > 82 && clippedLeft > 18;
  const ttft = node.ttftNs !== null && node.ttftNs <= node.durationNs ? node.ttftNs : null;
  return (
    <div className="span-bar-cell">
      {!outside && (
        <>
          <div
            className="span-bar"
            data-op={node.span.llm?.operation ?? "plain"}
            data-error={node.isError || undefined}
            data-running={node.isRunning || undefined}
            style={{ left: `${clippedLeft}%`, width: `${Math.max(0, right - clippedLeft)}%` }}
          >
            {ttft !== null && node.durationNs > 0 && left >= 0 && left + width <= 100.01 && (
              <span
                className="ttft"
                title={`First token after ${formatDuration(ttft)}`}
                style={{ width: `${(ttft / node.durationNs) * 100}%` }}
              />
            )}
          </div>
          <span
            className="span-time"
            data-inside={!labelOnLeft && right > 82 ? true : undefined}
            style={
              labelOnLeft
                ? { right: `calc(${100 - clippedLeft}% + 5px)` }
                : right > 82
                  ? { right: `calc(${100 - right}% + 4px)` }
                  : { left: `calc(${right}% + 5px)` }
            }
          >
            {formatDuration(node.durationNs)}
            {node.isRunning && " …"}
          </span>
        </>
      )}
    </div>
  );
}

/** What the name does not say: the model, or the service where it changes. */
function extraOf(node: SpanNode): string {
  const { llm, name, service } = node.span;
  const model = modelOf(llm);
  const isNamed = [llm?.request_model, model].some((known) => known && name.includes(known));
  if (model && !isNamed) return shortModel(model);
  return service && service !== node.parent?.span.service ? service : "";
}

function titleOf({ span, durationNs, ttftNs, isRunning }: SpanNode): string {
  const duration = `${formatDuration(durationNs)}${isRunning ? " so far" : ""}`;
  const lines = [span.name, `${span.service} · ${span.kind} · ${duration}`];
  if (ttftNs !== null) lines.push(`first token after ${formatDuration(ttftNs)}`);
  if (span.status.message) lines.push(span.status.message);
  return lines.join("\n");
}
