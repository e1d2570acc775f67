/** Where the reader is, and the ways to go elsewhere. */

import { type ReactNode, useSyncExternalStore } from "preact/compat";
import { addressOf, type Place, placeAt } from "./model/place";

let here = placeAt(location.pathname, location.search);
const listeners = new Set<() => void>();

function arrive(): void {
  here = placeAt(location.pathname, location.search);
  for (const listener of listeners) listener();
}

window.addEventListener("popstate", arrive);

/** Shows a place; `replace` when it is the page that is shown, seen otherwise. */
export function go(to: Place, { replace = false } = {}): void {
  if (replace) history.replaceState(null, "", addressOf(to));
  else history.pushState(null, "", addressOf(to));
  arrive();
}

export const currentPlace = (): Place => here;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function usePlace(): Place {
  return useSyncExternalStore(subscribe, currentPlace);
}

interface LinkProps {
  to: Place;
  className?: string;
  title?: string;
  "aria-label"?: string;
  "aria-current"?: "page" | undefined;
  children: ReactNode;
}

export function Link({ to, ...rest }: LinkProps) {
  const follow = (event: MouseEvent) => {
    if (opensElsewhere(event)) return;
    event.preventDefault();
    go(to);
  };
  return <a {...rest} href={addressOf(to)} onClick={follow} />;
}

/** A click that asks the browser for a tab, a window or a download. */
export function opensElsewhere(event: MouseEvent): boolean {
  return event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button !== 0;
}
