/** A text or JSON value in the form in which it reads best; long ones open on demand. */

import { useState } from "preact/compat";
import type { Json } from "../api/types";
import { jsonText, looksLikeMarkdown, unwrapJson } from "../model/conversation";
import { formatBytes } from "../model/format";
import { JsonView } from "./JsonView";
import { Markdown } from "./Markdown";

const LONG = 6000;
const HEAD = 4000;

export function Content({
  value,
  raw = false,
  openDepth = 2,
}: {
  value: Json | undefined;
  raw?: boolean;
  openDepth?: number;
}) {
  const parsed = raw ? value : unwrapJson(value);
  if (parsed !== null && typeof parsed === "object" && !raw) {
    return <JsonView value={parsed} openDepth={openDepth} />;
  }
  return <LongText text={jsonText(value)} raw={raw} />;
}

function LongText({ text, raw }: { text: string; raw: boolean }) {
  const [open, setOpen] = useState(false);
  const isLong = text.length > LONG;
  const shown = isLong && !open ? text.slice(0, HEAD) : text;
  return (
    <>
      {!raw && looksLikeMarkdown(shown) ? (
        <Markdown text={shown} />
      ) : (
        <div className={raw ? "plain-text mono" : "plain-text"}>{shown}</div>
      )}
      {isLong && (
        <button type="button" className="link show-all" onClick={() => setOpen(!open)}>
          {open ? "Show less" : `Show all ${formatBytes(text.length)}`}
        </button>
      )}
    </>
  );
}
