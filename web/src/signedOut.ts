/** Whether the server wants a key before it answers. Set by any refused request. */

import { useSyncExternalStore } from "preact/compat";

let signedOut = false;
const listeners = new Set<() => void>();

function set(value: boolean): void {
  if (signedOut === value) return;
  signedOut = value;
  for (const listener of listeners) listener();
}

export const requireSignIn = () => set(true);
export const signedIn = () => set(false);

export function useSignedOut(): boolean {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => signedOut,
  );
}
