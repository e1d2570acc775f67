/** Messages in reading order, with each tool call next to what the tool answered. */

import type { Json, Message, Part } from "../api/types";

export interface ToolExchange {
  type: "tool";
  id: string | null;
  name: string;
  arguments: Json | undefined;
  /** `undefined` while no answer is recorded. */
  result: Json | undefined;
  hasResult: boolean;
}

export type Block = Exclude<Part, { type: "tool_call" } | { type: "tool_result" }> | ToolExchange;

export interface Turn {
  role: string;
  name: string | null;
  finishReason: string | null;
  blocks: Block[];
  /** Its place in the input or output messages. */
  index: number;
}

/** Tool results move to the call they answer; one without a call stays where it is. */
export function pairToolCalls(messages: readonly Message[]): Turn[] {
  const open = new Map<string, ToolExchange>();
  const unnamed: ToolExchange[] = [];
  const turns: Turn[] = [];
  messages.forEach((message, index) => {
    const blocks: Block[] = [];
    for (const part of message.parts) {
      if (part.type === "tool_call") {
        const exchange = startExchange(part);
        blocks.push(exchange);
        if (exchange.id) open.set(exchange.id, exchange);
        else unnamed.push(exchange);
      } else if (part.type === "tool_result") {
        const call = part.id ? open.get(part.id) : unnamed.shift();
        if (call && !call.hasResult) finishExchange(call, part.result);
        else blocks.push(strayResult(part));
      } else blocks.push(part);
    }
    if (blocks.length > 0 || message.parts.length === 0) {
      turns.push({
        role: message.role,
        name: message.name ?? null,
        finishReason: message.finish_reason ?? null,
        blocks,
        index,
      });
    }
  });
  return turns;
}

function startExchange(part: Extract<Part, { type: "tool_call" }>): ToolExchange {
  return {
    type: "tool",
    id: part.id ?? null,
    name: part.name,
    arguments: part.arguments,
    result: undefined,
    hasResult: false,
  };
}

function finishExchange(exchange: ToolExchange, result: Json | undefined): void {
  exchange.result = result ?? null;
  exchange.hasResult = true;
}

function strayResult(part: Extract<Part, { type: "tool_result" }>): ToolExchange {
  return {
    type: "tool",
    id: part.id ?? null,
    name: "",
    arguments: undefined,
    result: part.result ?? null,
    hasResult: true,
  };
}

/** The plain text of a turn, for the clipboard. */
export function turnText(turn: Turn): string {
  return turn.blocks.map(blockText).filter(Boolean).join("\n\n");
}

function blockText(block: Block): string {
  switch (block.type) {
    case "text":
    case "reasoning":
      return block.content;
    case "tool":
      return [
        block.name && `${block.name}(${jsonText(block.arguments)})`,
        block.hasResult && jsonText(block.result),
      ]
        .filter(Boolean)
        .join("\n→ ");
    case "other":
      return jsonText(block.value);
    default:
      return JSON.stringify(block);
  }
}

export function jsonText(value: Json | undefined): string {
  if (value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/** A string that is itself a JSON object or array, parsed; anything else as it is. */
export function unwrapJson(value: Json | undefined): Json | undefined {
  if (typeof value !== "string") return value;
  const text = value.trim();
  if (!/^[[{]/.test(text) || text.length > 2_000_000) return value;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return value;
  }
}

/** Whether a text gains from being rendered as Markdown. */
export function looksLikeMarkdown(text: string): boolean {
  return /(^|\n)(#{1,6} |[-*+] |\d+\. |> |```|\|.*\|)|\*\*[^*\n]+\*\*|`[^`\n]+`|\[[^\]\n]+\]\([^)\n]+\)/.test(
    text,
  );
}

/** Where a media part's bytes are, if the page may show them without asking anybody. */
export function inlineMedia(
  part: Extract<Part, { type: "media" }>,
): { mime: string; src: string } | null {
  const mime = typeof part.mime_type === "string" ? part.mime_type : "";
  for (const key of ["uri", "url", "content", "data"]) {
    const value = part[key];
    if (typeof value !== "string") continue;
    const data = /^data:([\w.+-]+\/[\w.+-]+);base64,/.exec(value);
    if (data) return { mime: data[1] as string, src: value };
    if (mime && key !== "uri" && key !== "url" && /^[A-Za-z0-9+/=\s]+$/.test(value)) {
      return { mime, src: `data:${mime};base64,${value}` };
    }
  }
  return null;
}

/** Where a media part's bytes are kept elsewhere. Shown, never fetched. */
export function remoteMedia(part: Extract<Part, { type: "media" }>): string | null {
  for (const key of ["uri", "url", "file_id"]) {
    const value = part[key];
    if (typeof value === "string" && !value.startsWith("data:")) return value;
  }
  return null;
}
