/** The whole trace in a strip. Dragging over it chooses the time that the waterfall shows. */

import { type PointerEvent, useEffect, useRef, useState } from "preact/compat";
import type { Tree } from "../model/tree";
import { usePaintedTheme } from "./theme";
import { FULL_VIEW, type View } from "./view";

const HEIGHT = 44;

export function Minimap({
  tree,
  view,
  onView,
}: {
  tree: Tree;
  view: View;
  onView: (view: View) => void;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const theme = usePaintedTheme();
  const [anchor, setAnchor] = useState<number | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the colours come from the theme.
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    // It also calls once as soon as it observes.
    const observer = new ResizeObserver(() => canvas.current && paint(canvas.current, tree));
    observer.observe(element);
    return () => observer.disconnect();
  }, [tree, theme]);

  const at = (event: PointerEvent<HTMLElement>) => {
    const bounds = box.current?.getBoundingClientRect();
    if (!bounds) return 0;
    return Math.max(0, Math.min(1, (event.clientX - bounds.left) / bounds.width));
  };
  return (
    <div
      className="minimap"
      ref={box}
      title="Drag to zoom into a time range, double-click to see everything"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        setAnchor(at(event));
      }}
      onPointerMove={(event) => {
        if (anchor === null) return;
        const now = at(event);
        if (Math.abs(now - anchor) > 0.005) {
          onView({ from: Math.min(anchor, now), to: Math.max(anchor, now) });
        }
      }}
      onPointerUp={() => setAnchor(null)}
      onDblClick={() => onView(FULL_VIEW)}
    >
      <canvas ref={canvas} height={HEIGHT} />
      <div className="minimap-shade" style={{ left: 0, width: `${view.from * 100}%` }} />
      <div className="minimap-shade" style={{ right: 0, width: `${(1 - view.to) * 100}%` }} />
    </div>
  );
}

function paint(canvas: HTMLCanvasElement, tree: Tree): void {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.parentElement?.clientWidth ?? 0;
  canvas.width = width * scale;
  canvas.height = HEIGHT * scale;
  canvas.style.width = `${width}px`;
  const context = canvas.getContext("2d");
  if (!context || tree.durationNs <= 0) return;
  context.scale(scale, scale);
  const colours = palette(canvas);
  const rowHeight = Math.min(5, Math.max(1, (HEIGHT - 6) / tree.nodes.length));
  const gap = rowHeight > 2.5 ? 1 : 0;
  const drawn = new Set<number>();
  for (const node of tree.nodes) {
    const y =
      3 + (node.order / tree.nodes.length) * Math.min(HEIGHT - 6, tree.nodes.length * rowHeight);
    const x = (node.startNs / tree.durationNs) * width;
    const w = Math.max(1, (node.durationNs / tree.durationNs) * width);
    // Ten thousand spans on forty lines: drawing each cell once is enough, errors always show.
    const cell = Math.round(y) * 65_536 + Math.round(x) * 8 + Math.min(7, Math.round(Math.log2(w)));
    if (drawn.has(cell) && !node.isError) continue;
    drawn.add(cell);
    context.fillStyle = node.isError ? colours.error : colours.of(node.span.llm?.operation);
    context.fillRect(x, y, w, Math.max(1, rowHeight - gap));
  }
}

function palette(element: Element) {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(name).trim();
  const cache = new Map<string, string>();
  return {
    error: read("--error"),
    of(operation: string | undefined): string {
      const key = operation ?? "plain";
      let colour = cache.get(key);
      if (!colour) {
        colour = read(`--op-${key}`) || read("--op-plain");
        cache.set(key, colour);
      }
      return colour;
    },
  };
}
