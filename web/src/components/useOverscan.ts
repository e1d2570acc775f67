import { useEffect, useState } from "preact/compat";

const AFTER_MS = 250;

/** Rows beyond the edges are there for scrolling; the first painting does without. */
export function useOverscan(rows: number): number {
  const [painted, setPainted] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setPainted(true), AFTER_MS);
    return () => clearTimeout(timer);
  }, []);
  return painted ? rows : 0;
}
