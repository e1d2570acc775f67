/** The list as it was left, so that the way back from a trace leads to the same place. */

import type { ListSearch } from "./model/place";

interface LastList {
  search: ListSearch;
  /** The trace that was opened from it. */
  traceId: string | null;
}

let last: LastList = { search: {}, traceId: null };

export const lastList = (): LastList => last;

export function rememberList(search: ListSearch, traceId: string | null): void {
  last = { search, traceId };
}
