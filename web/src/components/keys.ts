/** Keyboard commands: one listener, chords such as "g t", silent while somebody types. */

import { useEffect, useRef } from "preact/compat";

export type KeyMap = Record<string, (event: KeyboardEvent) => void>;

const CHORD_MS = 900;

interface Press {
  key: string;
  at: number;
}

let pressed: Press | null = null;
/** The key before the one that is being handled. */
let before: Press | null = null;

function isTyping(target: EventTarget | null): boolean {
  const element = target as HTMLElement | null;
  return Boolean(element?.closest?.("input, textarea, select, [contenteditable=true]"));
}

// In the capturing phase, so that every command sees the chord as far as it has come.
window.addEventListener(
  "keydown",
  (event) => {
    before = pressed;
    pressed = isTyping(event.target) ? null : { key: event.key, at: event.timeStamp };
  },
  true,
);

function commandFor(event: KeyboardEvent, map: KeyMap): KeyMap[string] | undefined {
  const isChord = before && event.timeStamp - before.at < CHORD_MS;
  return (isChord && map[`${before?.key} ${event.key}`]) || map[event.key];
}

/** Installs commands while the component is there. A map later in the tree wins. */
export function useKeys(map: KeyMap): void {
  const current = useRef(map);
  current.current = map;
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (isTyping(event.target) && event.key !== "Escape") return;
      const command = commandFor(event, current.current);
      if (command) {
        event.preventDefault();
        command(event);
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
}

export interface KeyHelp {
  section: string;
  keys: [keys: string, does: string][];
}

export const KEY_HELP: readonly KeyHelp[] = [
  {
    section: "Everywhere",
    keys: [
      ["g t", "go to traces"],
      ["g p", "go to ingest problems"],
      ["/", "search or filter"],
      ["Esc", "close, clear, step back"],
      ["?", "this sheet"],
    ],
  },
  {
    section: "Trace list",
    keys: [
      ["j  k", "next, previous trace"],
      ["Enter", "open the trace"],
      ["l", "pause or resume live updates"],
      ["n", "show the new traces"],
    ],
  },
  {
    section: "Trace",
    keys: [
      ["↓ ↑  j k", "next, previous span"],
      ["→  l", "expand, or go to the first child"],
      ["←  h", "collapse, or go to the parent"],
      ["Enter", "open or close a span's children"],
      ["]  [", "next, previous error"],
      ["-  +", "one level less, one level more"],
      ["m a e r c", "messages, attributes, events, raw, cost"],
      ["0", "show the whole time range"],
      ["u", "back to the list"],
    ],
  },
];
