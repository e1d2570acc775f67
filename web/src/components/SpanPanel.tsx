/** Everything about the selected span. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "preact/compat";
import type { Json, Span, Warning } from "../api/types";
import { heardAt } from "../model/findings";
import { formatDuration, plural } from "../model/format";
import { ragStage } from "../model/rag";
import { selfTimeNs } from "../model/timing";
import { modelOf, type SpanNode, type Tree, totalTokens } from "../model/tree";
import { spanOptions } from "../queries";
import { AttributesTab } from "./AttributesTab";
import { CopyButton, ErrorNotice, Skeleton, type Tab, Tabs } from "./basics";
import { CostTab } from "./CostTab";
import { EventsTab } from "./EventsTab";
import { Icon, OperationIcon } from "./Icon";
import { JsonView } from "./JsonView";
import { MessagesTab } from "./MessagesTab";
import { RagControl } from "./RagControl";

const TABS = ["messages", "attributes", "events", "raw", "cost"] as const;
export type PanelTab = (typeof TABS)[number];

export function isPanelTab(text: string | undefined): text is PanelTab {
  return TABS.includes(text as PanelTab);
}

export function SpanPanel({
  traceId,
  node,
  tree,
  tab,
  onTab,
}: {
  traceId: string;
  node: SpanNode;
  tree: Tree;
  tab: PanelTab | undefined;
  onTab: (tab: PanelTab) => void;
}) {
  const { span_id } = node.span;
  const { data, error, isPlaceholderData, refetch } = useQuery({
    ...spanOptions(traceId, node.span),
    placeholderData: keepPreviousData,
  });
  const shown = data && !isPlaceholderData ? data : undefined;
  const active = tab ?? (node.span.llm ? "messages" : "attributes");
  return (
    <section className="panel" aria-label="Span">
      <PanelHead node={node} />
      <Tabs label="Span" tabs={tabsOf(node, shown)} active={active} onSelect={onTab} />
      <div className="panel-body" key={`${span_id}:${active}`}>
        {error && !shown && <ErrorNotice error={error} retry={() => refetch()} />}
        {!shown && !error && <PanelSkeleton />}
        {shown && <TabBody tab={active} traceId={traceId} span={shown} node={node} tree={tree} />}
      </div>
    </section>
  );
}

function tabsOf(node: SpanNode, span: Span | undefined): Tab<PanelTab>[] {
  const tabs: Tab<PanelTab>[] = [
    { id: "messages", label: "Messages", key: "m" },
    {
      id: "attributes",
      label: "Attributes",
      key: "a",
      count: span && Object.keys(span.attributes).length,
    },
    {
      id: "events",
      label: "Events",
      key: "e",
      count: span && span.events.length + span.links.length,
    },
    { id: "raw", label: "Raw", key: "r" },
  ];
  const { usage, cost_usd } = node.span.llm ?? {};
  const hasUsage = totalTokens(usage) !== null || cost_usd != null;
  if (hasUsage) tabs.push({ id: "cost", label: "Cost", key: "c" });
  return tabs;
}

function PanelHead({ node }: { node: SpanNode }) {
  const { span } = node;
  const selfNs = useMemo(() => selfTimeNs(node), [node]);
  const model = modelOf(span.llm);
  return (
    <header className="panel-head">
      <div className="panel-title">
        <OperationIcon operation={span.llm?.operation} />
        <h2 title={span.name}>{span.name || "(unnamed)"}</h2>
        <CopyButton text={span.span_id} label="Copy the span id" />
      </div>
      <p className="panel-facts">
        <b>
          {formatDuration(node.durationNs)}
          {node.isRunning && " so far"}
        </b>
        {node.children.length > 0 && <span>{formatDuration(selfNs)} itself</span>}
        {node.ttftNs !== null && <span>first token {formatDuration(node.ttftNs)}</span>}
        <span>at +{formatDuration(node.startNs)}</span>
        {node.isRunning && <span>last heard of {heardAt(span.received_unix_nano)}</span>}
        {model && <span>{model}</span>}
        <span>{span.service}</span>
        {span.kind !== "internal" && <span>{span.kind}</span>}
        {node.descendants > 0 && <span>{plural(node.descendants, "span")} below</span>}
      </p>
      {node.isError && <ErrorLine node={node} />}
      {warningsOf(node).map((warning) => (
        <p key={warning.kind + warning.message} className="panel-warning">
          <Icon name="warning" size={14} /> {warning.message}
        </p>
      ))}
    </header>
  );
}

/** That it runs is no warning, and told elsewhere. */
function warningsOf({ span, isRunning }: SpanNode): Warning[] {
  const warnings = span.warnings ?? [];
  return isRunning ? warnings.filter((warning) => warning.kind !== "missing_end") : warnings;
}

const LONG_ERROR = 240;

function ErrorLine({ node }: { node: SpanNode }) {
  const [open, setOpen] = useState(false);
  const { status, llm } = node.span;
  const message = status.message || llm?.error?.message || "failed without a message";
  const isLong = message.length > LONG_ERROR || message.includes("\n");
  const shown = open || !isLong ? message : (message.split("\n")[0] ?? "").slice(0, LONG_ERROR);
  return (
    <div className="panel-error">
      <Icon name="error" size={14} />
      <div>
        {llm?.error?.type && <b>{llm.error.type}</b>} <span className="pre-wrap">{shown}</span>
        {isLong && (
          <button type="button" className="link" onClick={() => setOpen(!open)}>
            {open ? "less" : "more"}
          </button>
        )}
      </div>
    </div>
  );
}

function TabBody({
  tab,
  traceId,
  span,
  node,
  tree,
}: {
  tab: PanelTab;
  traceId: string;
  span: Span;
  node: SpanNode;
  tree: Tree;
}) {
  switch (tab) {
    case "messages":
      return (
        <>
          <RagControl traceId={traceId} node={node} span={span} />
          {ragStage(span.name) !== "enforcement" && <MessagesTab span={span} />}
        </>
      );
    case "attributes":
      return <AttributesTab span={span} />;
    case "events":
      return <EventsTab span={span} traceStart={tree.startUnixNano} />;
    case "cost":
      return <CostTab span={span} node={node} />;
    case "raw":
      return (
        <div className="raw">
          <div className="section-head">
            <h3>Span as JSON</h3>
            <CopyButton text={() => JSON.stringify(span, null, 2)} label="Copy the JSON" />
          </div>
          <JsonView value={span as unknown as Json} openDepth={2} />
        </div>
      );
  }
}

function PanelSkeleton() {
  return (
    <div className="loading-rows" aria-busy="true">
      {[70, 92, 84, 40, 88, 60].map((width) => (
        <Skeleton key={width} width={`${width}%`} height={14} />
      ))}
    </div>
  );
}
