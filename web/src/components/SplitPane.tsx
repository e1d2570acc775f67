/** Two panes with a divider that can be dragged; stacked on narrow pages. */

import { type PointerEvent, type ReactNode, useRef, useState } from "preact/compat";
import { readStored, store } from "./stored";
import { usePageWidth } from "./usePageWidth";

const STACKED_BELOW = 900;

export function SplitPane({
  first,
  second,
  storageKey,
}: {
  first: ReactNode;
  second: ReactNode;
  storageKey: string;
}) {
  const box = useRef<HTMLDivElement>(null);
  const [share, setShare] = useState(() => Number(readStored(storageKey)) || 0.56);
  const stacked = usePageWidth() < STACKED_BELOW;
  const move = (next: number) => {
    const bounded = Math.max(0.25, Math.min(0.8, next));
    setShare(bounded);
    store(storageKey, bounded.toFixed(3));
  };
  const drag = (event: PointerEvent<HTMLElement>) => {
    const bounds = box.current?.getBoundingClientRect();
    if (!bounds || event.buttons !== 1) return;
    move(
      stacked
        ? (event.clientY - bounds.top) / bounds.height
        : (event.clientX - bounds.left) / bounds.width,
    );
  };
  return (
    <div className="split" ref={box} data-stacked={stacked || undefined}>
      <div className="split-pane" style={{ flexBasis: `${share * 100}%` }}>
        {first}
      </div>
      <hr
        className="split-handle"
        aria-orientation={stacked ? "horizontal" : "vertical"}
        aria-label="Resize"
        aria-valuenow={Math.round(share * 100)}
        tabIndex={0}
        onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
        onPointerMove={drag}
        onKeyDown={(event) => {
          if (event.key === "ArrowLeft" || event.key === "ArrowUp") move(share - 0.03);
          else if (event.key === "ArrowRight" || event.key === "ArrowDown") move(share + 0.03);
          else return;
          event.preventDefault();
        }}
      />
      <div className="split-pane" style={{ flexBasis: `${(1 - share) * 100}%` }}>
        {second}
      </div>
    </div>
  );
}
