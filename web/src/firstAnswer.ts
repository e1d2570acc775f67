/** Puts what `boot.js` has asked for where the first render finds it. */

import type { QueryClient } from "@tanstack/react-query";
import { DEFAULT_LIST, outlineOptions, traceListOptions } from "./queries";

/** Painting once, with the answer, is faster than painting a skeleton first. */
export async function firstAnswer(queryClient: QueryClient): Promise<void> {
  if (!window.spanwiseEarly) return;
  const traceId = /^\/traces\/([0-9a-f]{32})$/.exec(location.pathname)?.[1];
  if (traceId) {
    await queryClient.prefetchQuery(outlineOptions(traceId));
  } else {
    await queryClient.prefetchInfiniteQuery(traceListOptions(DEFAULT_LIST));
  }
}
