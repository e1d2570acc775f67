/** Follows the server's live stream and merges it into the list. */

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "preact/compat";
import { followTraces } from "../api/client";
import type { TraceSummary } from "../api/types";
import { type LiveList, NOTHING_LIVE, receive, release } from "../model/live";

export interface LiveTraces {
  list: LiveList;
  connected: boolean;
  /** How many summaries have come, of new and of growing traces. */
  nArrived: number;
  fresh: ReadonlySet<string>;
  release: () => void;
}

/** Arrivals are gathered this long, so that a busy server does not cause a render per trace. */
const GATHER_MS = 100;
const FRESH_MS = 2500;

export function useLiveTraces(
  q: string,
  enabled: boolean,
  isKnown: (traceId: string) => boolean,
  hold: boolean,
): LiveTraces {
  const queryClient = useQueryClient();
  const [list, setList] = useState(NOTHING_LIVE);
  const [connected, setConnected] = useState(false);
  const [nArrived, setArrived] = useState(0);
  const [fresh, setFresh] = useState<ReadonlySet<string>>(new Set());
  const rules = useRef({ isKnown, hold });
  rules.current = { isKnown, hold };

  useEffect(() => {
    setList(NOTHING_LIVE);
    if (!enabled) return setConnected(false);
    let arrived: TraceSummary[] = [];
    const stop = followTraces(q, {
      onTrace: (summary) => arrived.push(summary),
      onState: setConnected,
      onSkipped: () => queryClient.invalidateQueries({ queryKey: ["traces"] }),
    });
    const timer = setInterval(() => {
      if (arrived.length === 0) return;
      const batch = arrived;
      arrived = [];
      const news = batch.map((row) => row.trace_id).filter((id) => !rules.current.isKnown(id));
      setArrived((n) => n + batch.length);
      setList((now) => receive(now, batch, rules.current.isKnown, rules.current.hold));
      setFresh((now) => new Set([...now, ...news]));
      setTimeout(() => setFresh((now) => without(now, news)), FRESH_MS);
    }, GATHER_MS);
    return () => {
      stop();
      clearInterval(timer);
    };
  }, [q, enabled, queryClient]);

  return { list, connected, nArrived, fresh, release: () => setList(release) };
}

function without(set: ReadonlySet<string>, ids: string[]): Set<string> {
  const next = new Set(set);
  for (const id of ids) next.delete(id);
  return next;
}
