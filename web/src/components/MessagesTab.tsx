/** What was said: the conversation, tool calls with their answers, documents. */

import { type ReactNode, useMemo, useState } from "preact/compat";
import type { Json, Llm, Part, RetrievedDocument, Span, ToolRun } from "../api/types";
import {
  type Block,
  inlineMedia,
  jsonText,
  pairToolCalls,
  remoteMedia,
  type ToolExchange,
  type Turn,
  turnText,
} from "../model/conversation";
import { formatBytes, plural } from "../model/format";
import { CopyButton, Notice } from "./basics";
import { Content } from "./Content";
import { Icon, type IconName } from "./Icon";
import { JsonView } from "./JsonView";

export function MessagesTab({ span }: { span: Span }) {
  const [raw, setRaw] = useState(false);
  const { llm } = span;
  const turns = useMemo(() => turnsOf(llm), [llm]);
  if (!llm || isSilent(llm, turns)) return <Silent span={span} />;
  return (
    <div className="messages">
      <div className="messages-bar">
        <Parameters llm={llm} />
        <span className="segmented">
          <button type="button" aria-pressed={!raw} onClick={() => setRaw(false)}>
            Pretty
          </button>
          <button type="button" aria-pressed={raw} onClick={() => setRaw(true)}>
            Raw
          </button>
        </span>
      </div>
      {llm.tool_definitions && llm.tool_definitions.length > 0 && (
        <ToolDefinitions definitions={llm.tool_definitions} />
      )}
      {llm.tool && <ToolRunView tool={llm.tool} raw={raw} />}
      <Conversation input={turns.input} output={turns.output} raw={raw} />
      {!llm.tool && turns.input.length === 0 && (
        <ValueCard title="Input" value={llm.input_value} raw={raw} />
      )}
      {llm.documents && llm.documents.length > 0 && (
        <Documents documents={llm.documents} raw={raw} />
      )}
      {!llm.tool && turns.output.length === 0 && !llm.documents?.length && (
        <ValueCard title="Output" value={llm.output_value} raw={raw} />
      )}
    </div>
  );
}

interface Turns {
  input: Turn[];
  output: Turn[];
}

function turnsOf(llm: Llm | null | undefined): Turns {
  const system = llm?.system ?? [];
  const input = [
    ...(system.length > 0 ? [{ role: "system", parts: system }] : []),
    ...(llm?.input_messages ?? []),
  ];
  return { input: pairToolCalls(input), output: pairToolCalls(llm?.output_messages ?? []) };
}

function isSilent(llm: Llm, { input, output }: Turns): boolean {
  const hasValue = (value: Json | undefined) => value !== undefined && value !== null;
  const said = input.length + output.length + (llm.documents?.length ?? 0) > 0;
  return !said && !llm.tool && !hasValue(llm.input_value) && !hasValue(llm.output_value);
}

function Silent({ span }: { span: Span }) {
  return (
    <Notice icon="chat" title="No messages on this span">
      {span.llm
        ? "Its producer recorded no content. Most instrumentations leave it out until it is switched on, for example with OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true."
        : "It is an ordinary span; its facts are under Attributes."}
    </Notice>
  );
}

function Parameters({ llm }: { llm: Llm }) {
  const entries = Object.entries(llm.parameters ?? {}).filter(([, value]) => value !== null);
  return (
    <span className="chips">
      {entries.slice(0, 8).map(([key, value]) => (
        <span key={key} className="parameter">
          {key} <b>{typeof value === "object" ? JSON.stringify(value) : String(value)}</b>
        </span>
      ))}
    </span>
  );
}

function ToolDefinitions({ definitions }: { definitions: Json[] }) {
  return (
    <details className="tool-definitions">
      <summary>
        <Icon name="tool" size={13} /> {plural(definitions.length, "tool")} offered
        <span className="muted"> {definitions.map(definitionName).filter(Boolean).join(", ")}</span>
      </summary>
      <JsonView value={definitions} openDepth={1} />
    </details>
  );
}

function definitionName(definition: Json): string {
  const fields = definition as { name?: string; function?: { name?: string } } | null;
  return fields?.name ?? fields?.function?.name ?? "";
}

/** Long histories start at their end; what came before is one click away. */
const SHOWN_TURNS = 12;

function Conversation({ input, output, raw }: Turns & { raw: boolean }) {
  const [all, setAll] = useState(false);
  const system = input[0]?.role === "system" ? input.slice(0, 1) : [];
  const rest = input.slice(system.length);
  const hidden = all ? 0 : Math.max(0, rest.length - SHOWN_TURNS);
  return (
    <>
      {system.map((turn) => (
        <TurnView key="system" turn={turn} raw={raw} />
      ))}
      {hidden > 0 && (
        <button type="button" className="earlier" onClick={() => setAll(true)}>
          Show {plural(hidden, "earlier message")}
        </button>
      )}
      {rest.slice(hidden).map((turn) => (
        <TurnView key={turn.index} turn={turn} raw={raw} />
      ))}
      {output.length > 0 && input.length > 0 && (
        <div className="answer-line">
          <span>Answer</span>
        </div>
      )}
      {output.map((turn) => (
        <TurnView key={`out-${turn.index}`} turn={turn} raw={raw} isAnswer />
      ))}
    </>
  );
}

const ROLE_ICONS: Record<string, IconName> = {
  system: "gear",
  developer: "gear",
  user: "person",
  assistant: "chat",
  model: "chat",
  tool: "tool",
};

/** A system prompt longer than this starts folded: it is the same on every call. */
const FOLD_SYSTEM = 600;

function TurnView({ turn, raw, isAnswer }: { turn: Turn; raw: boolean; isAnswer?: boolean }) {
  const text = useMemo(() => turnText(turn), [turn]);
  const isSystem = turn.role === "system" || turn.role === "developer";
  const [folded, setFolded] = useState(isSystem && text.length > FOLD_SYSTEM);
  const odd = turn.finishReason && !["stop", "tool_calls", "tool_call"].includes(turn.finishReason);
  return (
    <article className="turn" data-role={turn.role} data-answer={isAnswer || undefined}>
      <header>
        <Icon name={ROLE_ICONS[turn.role] ?? "chat"} size={13} />
        <span className="role">{turn.role}</span>
        {turn.name && <span className="muted">{turn.name}</span>}
        {turn.finishReason && (
          <span className="tag" data-tone={odd ? "warn" : "plain"} title="Why the model stopped">
            {turn.finishReason}
          </span>
        )}
        <span className="turn-size muted">{formatBytes(text.length)}</span>
        <CopyButton text={text} label="Copy this message" />
      </header>
      <div className="turn-body" data-folded={folded || undefined}>
        {turn.blocks.map((block, i) => (
          <BlockView key={i} block={block} raw={raw} />
        ))}
      </div>
      {isSystem && text.length > FOLD_SYSTEM && (
        <button type="button" className="link show-all" onClick={() => setFolded(!folded)}>
          {folded ? `Show all ${formatBytes(text.length)}` : "Fold"}
        </button>
      )}
    </article>
  );
}

function BlockView({ block, raw }: { block: Block; raw: boolean }) {
  switch (block.type) {
    case "text":
      return <Content value={block.content} raw={raw} />;
    case "reasoning":
      return (
        <details className="reasoning">
          <summary>
            <Icon name="think" size={13} /> Reasoning
            <span className="muted"> {formatBytes(block.content.length)}</span>
          </summary>
          <Content value={block.content} raw={raw} />
        </details>
      );
    case "tool":
      return <ExchangeView exchange={block} raw={raw} />;
    case "media":
      return <MediaView part={block} />;
    default:
      return <JsonView value={block.value} />;
  }
}

function ExchangeView({ exchange, raw }: { exchange: ToolExchange; raw: boolean }) {
  const isStray = exchange.name === "";
  return (
    <div className="exchange">
      <div className="exchange-head" title={exchange.id ?? undefined}>
        <Icon name="tool" size={13} />
        <b>{isStray ? "tool result" : exchange.name}</b>
        {isStray && exchange.id && <code className="muted">{exchange.id}</code>}
        {!exchange.hasResult && <span className="muted">called</span>}
        <CopyButton
          text={() =>
            [jsonText(exchange.arguments), jsonText(exchange.result)].filter(Boolean).join("\n")
          }
          label="Copy arguments and result"
        />
      </div>
      {exchange.arguments !== undefined && (
        <div className="exchange-part">
          <Content value={exchange.arguments} raw={raw} />
        </div>
      )}
      {exchange.hasResult && (
        <div className="exchange-part" data-part="result">
          <Content value={exchange.result} raw={raw} openDepth={1} />
        </div>
      )}
    </div>
  );
}

function MediaView({ part }: { part: Extract<Part, { type: "media" }> }) {
  const inline = inlineMedia(part);
  const remote = remoteMedia(part);
  const modality = part.modality || inline?.mime.split("/")[0] || "media";
  if (inline?.mime.startsWith("image/")) {
    return <img className="media-image" src={inline.src} alt={`${modality} in the message`} />;
  }
  if (inline?.mime.startsWith("audio/")) {
    // biome-ignore lint/a11y/useMediaCaption: recorded audio has no captions.
    return <audio controls src={inline.src} />;
  }
  return (
    <div className="media-file">
      <Icon name="image" size={14} /> {modality}
      {inline && (
        <a href={inline.src} download>
          {inline.mime}
        </a>
      )}
      {remote && <code title="Not fetched: opening it is up to you">{remote}</code>}
    </div>
  );
}

function Card({ title, copy, children }: { title: string; copy: string; children: ReactNode }) {
  return (
    <section className="value-card">
      <div className="section-head">
        <h3>{title}</h3>
        <CopyButton text={copy} label={`Copy ${title.toLowerCase()}`} />
      </div>
      {children}
    </section>
  );
}

function ValueCard({
  title,
  value,
  raw,
}: {
  title: string;
  value: Json | undefined;
  raw: boolean;
}) {
  if (value === undefined || value === null) return null;
  return (
    <Card title={title} copy={jsonText(value)}>
      <Content value={value} raw={raw} openDepth={3} />
    </Card>
  );
}

function ToolRunView({ tool, raw }: { tool: ToolRun; raw: boolean }) {
  return (
    <>
      {tool.description && <p className="muted">{tool.description}</p>}
      <ValueCard title="Arguments" value={tool.arguments} raw={raw} />
      <ValueCard title="Result" value={tool.result} raw={raw} />
    </>
  );
}

export function Documents({ documents, raw }: { documents: RetrievedDocument[]; raw: boolean }) {
  const best = Math.max(...documents.map((document) => document.score ?? 0), 1e-9);
  return (
    <section>
      <div className="section-head">
        <h3>{plural(documents.length, "document")}</h3>
      </div>
      {documents.map((document, i) => (
        <article key={i} className="document">
          <header>
            <span className="rank">{i + 1}</span>
            {document.id && <code>{document.id}</code>}
            {document.score != null && (
              <span className="score" title="Score as the retriever gave it">
                <span style={{ width: `${Math.max(0, document.score / best) * 60}px` }} />
                <b>{document.score.toFixed(3)}</b>
              </span>
            )}
          </header>
          <Content value={document.content ?? undefined} raw={raw} />
          {document.metadata != null && <JsonView value={document.metadata} openDepth={0} />}
        </article>
      ))}
    </section>
  );
}
