/** Spans and errors over time, above the list. Dragging over it narrows the time range. */

import { type PointerEvent, useRef, useState } from "preact/compat";
import { formatCount, formatInstant, plural } from "../model/format";
import type { Bar } from "../model/histogram";
import type { HistogramData } from "../queries";

export function Histogram({
  data,
  onZoom,
}: {
  data: HistogramData | undefined;
  onZoom: (from: number, to: number) => void;
}) {
  const strip = useRef<HTMLDivElement>(null);
  const [hover, setHover] = useState<number | null>(null);
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const bars = data?.bars ?? [];
  const max = Math.max(1, ...bars.map((bar) => bar.count));
  const indexAt = (event: PointerEvent<HTMLElement>) => {
    const box = strip.current?.getBoundingClientRect();
    if (!box || bars.length === 0) return 0;
    const at = Math.floor(((event.clientX - box.left) / box.width) * bars.length);
    return Math.max(0, Math.min(bars.length - 1, at));
  };
  const finish = () => {
    const [a, b] = drag ? [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)] : [0, 0];
    const [first, last] = [bars[a], bars[b]];
    if (drag && first && last && (a !== b || first.count > 0)) onZoom(first.fromMs, last.toMs);
    setDrag(null);
  };
  const hovered = hover === null ? undefined : bars[hover];
  return (
    <div className="histogram" data-loading={!data || undefined}>
      <Totals bars={data?.bars} />
      <div
        ref={strip}
        className="histogram-bars"
        title=""
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          const at = indexAt(event);
          setDrag({ from: at, to: at });
        }}
        onPointerMove={(event) => {
          const at = indexAt(event);
          setHover(at);
          if (drag) setDrag({ ...drag, to: at });
        }}
        onPointerUp={finish}
        onPointerCancel={() => setDrag(null)}
        onPointerLeave={() => setHover(null)}
      >
        {bars.map((bar, i) => (
          <BarColumn key={bar.fromMs} bar={bar} max={max} hovered={i === hover} />
        ))}
        {drag && drag.from !== drag.to && (
          <div
            className="histogram-drag"
            style={{
              left: `${(Math.min(drag.from, drag.to) / bars.length) * 100}%`,
              width: `${((Math.abs(drag.to - drag.from) + 1) / bars.length) * 100}%`,
            }}
          />
        )}
        {hovered && hover !== null && <BarTip bar={hovered} at={(hover + 0.5) / bars.length} />}
      </div>
      {data && (
        <div className="histogram-ends" aria-hidden="true">
          <span>{formatInstant(data.from).slice(0, 16)}</span>
          <span>{formatInstant(data.to).slice(0, 16)}</span>
        </div>
      )}
    </div>
  );
}

function BarColumn({ bar, max, hovered }: { bar: Bar; max: number; hovered: boolean }) {
  // By the root of the count: a single span among thousands must still be seen.
  const height = bar.count === 0 ? 0 : Math.max(8, Math.sqrt(bar.count / max) * 100);
  const errors = bar.errors === 0 ? 0 : Math.max(10, (bar.errors / bar.count) * 100);
  return (
    <div className="bar" data-hovered={hovered || undefined}>
      <div className="bar-count" style={{ height: `${height}%` }}>
        <div className="bar-errors" style={{ height: `${errors}%` }} />
      </div>
    </div>
  );
}

function BarTip({ bar, at }: { bar: Bar; at: number }) {
  return (
    <div className="bar-tip" style={{ left: `${Math.min(88, Math.max(12, at * 100))}%` }}>
      <strong>{plural(bar.count, "span")}</strong>
      {bar.errors > 0 && <span className="error-text"> · {plural(bar.errors, "error")}</span>}
      <div className="muted">
        {formatInstant(bar.fromMs).slice(0, 19)} – {formatInstant(bar.toMs).slice(11, 19)}
      </div>
    </div>
  );
}

function Totals({ bars }: { bars: Bar[] | undefined }) {
  const count = bars?.reduce((sum, bar) => sum + bar.count, 0);
  const errors = bars?.reduce((sum, bar) => sum + bar.errors, 0);
  return (
    <div className="histogram-totals">
      <div>
        <b>{formatCount(count)}</b> <span className="muted">spans</span>
      </div>
      <div className={errors ? "error-text" : "muted"}>
        <b>{formatCount(errors)}</b> {errors === 1 ? "error" : "errors"}
      </div>
    </div>
  );
}
