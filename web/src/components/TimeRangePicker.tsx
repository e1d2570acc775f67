import { useState } from "preact/compat";
import { formatInstant } from "../model/format";
import { fromInputValue, PRESETS, rangeLabel, type TimeRange, toInputValue } from "../model/range";
import { Popover } from "./basics";
import { Icon } from "./Icon";

export function TimeRangePicker({
  range,
  onChange,
}: {
  range: TimeRange;
  onChange: (range: TimeRange) => void;
}) {
  const label = rangeLabel(range, (ms) => formatInstant(ms).slice(5, 16));
  return (
    <Popover
      label={`Time range: ${label}`}
      align="right"
      button={
        <>
          <Icon name="clock" size={14} />
          <span className="nowrap">{label}</span>
          <Icon name="down" size={12} />
        </>
      }
    >
      {(close) => (
        <div className="range-menu">
          {PRESETS.map((preset) => (
            <button
              type="button"
              key={preset.name}
              className="menu-item"
              aria-pressed={preset.name === range.preset}
              onClick={() => {
                onChange({ preset: preset.name });
                close();
              }}
            >
              {preset.label}
            </button>
          ))}
          <CustomRange
            range={range}
            onApply={(custom) => {
              onChange(custom);
              close();
            }}
          />
        </div>
      )}
    </Popover>
  );
}

function CustomRange({
  range,
  onApply,
}: {
  range: TimeRange;
  onApply: (range: TimeRange) => void;
}) {
  const [from, setFrom] = useState(toInputValue(range.from ?? Date.now() - 86_400_000));
  const [to, setTo] = useState(range.to ? toInputValue(range.to) : "");
  const bounds = { from: fromInputValue(from), to: to ? fromInputValue(to) : undefined };
  const valid = bounds.from !== undefined && (bounds.to === undefined || bounds.to > bounds.from);
  return (
    <form
      className="range-custom"
      onSubmit={(event) => {
        event.preventDefault();
        if (valid) onApply({ preset: "custom", ...bounds });
      }}
    >
      <label>
        From
        <input
          type="datetime-local"
          value={from}
          onChange={(e) => setFrom(e.currentTarget.value)}
        />
      </label>
      <label>
        To
        <input type="datetime-local" value={to} onChange={(e) => setTo(e.currentTarget.value)} />
      </label>
      <button type="submit" className="button" disabled={!valid}>
        Apply
      </button>
    </form>
  );
}
