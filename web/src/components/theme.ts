/** The theme choice; `boot.js` applies it before the first paint and on every change. */

import { useEffect, useState } from "preact/compat";
import { readStored, store } from "./stored";

export type Theme = "auto" | "light" | "dark";

const KEY = "spanwise.theme";
const ORDER: Theme[] = ["auto", "light", "dark"];

function stored(): Theme {
  const value = readStored(KEY) as Theme | null;
  return value && ORDER.includes(value) ? value : "auto";
}

export function nextTheme(theme: Theme): Theme {
  return ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length] as Theme;
}

export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState(stored);
  const choose = (next: Theme) => {
    store(KEY, next);
    setTheme(next);
    window.dispatchEvent(new Event("spanwise:theme"));
  };
  return [theme, choose];
}

/** Changes whenever the colours on the screen do; canvases redraw on it. */
export function usePaintedTheme(): string {
  const read = () => document.documentElement.dataset.theme ?? "light";
  const [painted, setPainted] = useState(read);
  useEffect(() => {
    const observer = new MutationObserver(() => setPainted(read()));
    observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => observer.disconnect();
  });
  return painted;
}
