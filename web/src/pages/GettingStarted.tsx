import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "preact/compat";
import { api, followTraces } from "../api/client";
import { CopyButton, Tabs } from "../components/basics";
import { Icon } from "../components/Icon";
import { anyTraceOptions } from "../queries";
import { snippets } from "./snippets";

/** What a newcomer sees: how to send the first span, and the moment it arrives. */
export function GettingStarted() {
  const queryClient = useQueryClient();
  const [tab, setTab] = useState("python");
  const refresh = () => queryClient.invalidateQueries();
  const sample = useMutation({ mutationFn: api.loadSample, onSuccess: refresh });
  useFirstTrace(refresh);
  const shown = snippets(location.origin);
  const snippet = shown.find((candidate) => candidate.id === tab) ?? shown[0];
  return (
    <div className="getting-started">
      <h1>Send the first span</h1>
      <p className="lead">
        Anything that speaks OpenTelemetry can talk to this server. Copy, run, and the trace appears
        here within a second.
      </p>
      <Tabs label="Snippets" tabs={shown} active={snippet?.id ?? ""} onSelect={setTab} />
      {snippet && (
        <div className="snippet">
          <CopyButton text={snippet.code} label="Copy the snippet" />
          <pre>
            <code>{snippet.code}</code>
          </pre>
          <p className="hint">{snippet.note}</p>
        </div>
      )}
      <div className="waiting" role="status">
        <span className="live-dot" />
        Waiting for the first span…
      </div>
      <div className="sample">
        <div>
          <strong>Just looking?</strong>
          <p>Load a day in the life of a multi-agent application. It works offline.</p>
        </div>
        <button
          type="button"
          className="button primary"
          disabled={sample.isPending || sample.isSuccess}
          onClick={() => sample.mutate()}
        >
          <Icon name="download" size={14} />
          {sample.isPending ? "Loading…" : "Load sample data"}
        </button>
      </div>
      {sample.error && (
        <p className="problem" role="alert">
          <Icon name="error" size={14} /> The sample could not be loaded: {sample.error.message}
        </p>
      )}
    </div>
  );
}

/** The live stream tells at once; asking now and then covers a stream that a proxy holds back. */
function useFirstTrace(onArrival: () => void) {
  useQuery({ ...anyTraceOptions, refetchInterval: 3000 });
  const arrived = useRef(onArrival);
  useEffect(() => {
    const refresh = () => arrived.current();
    return followTraces("", { onTrace: refresh, onSkipped: refresh, onState: () => {} });
  }, []);
}
