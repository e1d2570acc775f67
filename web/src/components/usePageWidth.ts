import { useSyncExternalStore } from "preact/compat";

function subscribe(listener: () => void): () => void {
  window.addEventListener("resize", listener);
  return () => window.removeEventListener("resize", listener);
}

export function usePageWidth(): number {
  return useSyncExternalStore(subscribe, () => window.innerWidth);
}
