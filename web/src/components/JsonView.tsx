/** JSON as a tree that opens where one looks; long lists and texts come in portions. */

import { useState } from "preact/compat";
import type { Json } from "../api/types";
import { formatBytes, plural } from "../model/format";

const PORTION = 100;
const LONG_TEXT = 600;

export function JsonView({ value, openDepth = 3 }: { value: Json; openDepth?: number }) {
  return (
    <div className="json">
      <JsonNode value={value} openDepth={openDepth} />
    </div>
  );
}

function JsonNode({ name, value, openDepth }: { name?: string; value: Json; openDepth: number }) {
  if (value === null || typeof value !== "object") {
    return (
      <div className="json-line">
        {name !== undefined && <span className="json-key">{name}: </span>}
        <Scalar value={value} />
      </div>
    );
  }
  return <Branch {...(name !== undefined && { name })} value={value} openDepth={openDepth} />;
}

function Branch({
  name,
  value,
  openDepth,
}: {
  name?: string;
  value: Json[] | { [key: string]: Json };
  openDepth: number;
}) {
  const [open, setOpen] = useState(openDepth > 0);
  const [limit, setLimit] = useState(PORTION);
  const isArray = Array.isArray(value);
  const keys = isArray ? null : Object.keys(value);
  const n = keys ? keys.length : (value as Json[]).length;
  const brackets = isArray ? ["[", "]"] : ["{", "}"];
  if (n === 0) {
    return (
      <div className="json-line">
        {name !== undefined && <span className="json-key">{name}: </span>}
        <span className="json-punctuation">{brackets.join("")}</span>
      </div>
    );
  }
  const shown = Math.min(n, limit);
  return (
    <div className="json-branch">
      <button
        type="button"
        className="json-toggle"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
      >
        {name !== undefined && <span className="json-key">{name}: </span>}
        <span className="json-punctuation">{brackets[0]}</span>
        {!open && (
          <span className="json-summary">
            {plural(n, isArray ? "item" : "key")}
            <span className="json-punctuation">{brackets[1]}</span>
          </span>
        )}
      </button>
      {open && (
        <div className="json-children">
          {Array.from({ length: shown }, (_, i) => {
            const key = keys ? (keys[i] as string) : String(i);
            const child = keys ? (value as Record<string, Json>)[key] : (value as Json[])[i];
            return (
              <JsonNode key={key} name={key} value={child ?? null} openDepth={openDepth - 1} />
            );
          })}
          {n > shown && (
            <button type="button" className="link" onClick={() => setLimit(limit * 4)}>
              {plural(n - shown, "more", "more")}
            </button>
          )}
        </div>
      )}
    </div>
  );
}

function Scalar({ value }: { value: string | number | boolean | null }) {
  const [open, setOpen] = useState(false);
  if (typeof value !== "string") {
    return <span className={value === null ? "json-null" : "json-number"}>{String(value)}</span>;
  }
  const isLong = value.length > LONG_TEXT;
  return (
    <span className="json-string">
      "{isLong && !open ? value.slice(0, LONG_TEXT) : value}"
      {isLong && (
        <button type="button" className="link" onClick={() => setOpen(!open)}>
          {open ? "less" : `… all ${formatBytes(value.length)}`}
        </button>
      )}
    </span>
  );
}
