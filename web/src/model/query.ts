/** What the search bar knows of the search language: enough to colour and to complete it. */

export type TokenKind =
  | "field"
  | "colon"
  | "value"
  | "word"
  | "phrase"
  | "operator"
  | "paren"
  | "space";

export interface Token {
  kind: TokenKind;
  text: string;
  from: number;
  to: number;
}

const OPERATORS = new Set(["AND", "OR", "NOT"]);
const PATTERN = /(\s+)|([()])|(>>|>)|("(?:[^"\\]|\\.)*"?)|([^\s()":]+|-)(:)?|(:)/gy;

/** Cuts the text into tokens that together are the text. */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let afterColon = false;
  const push = (kind: TokenKind, part: string, from: number) => {
    if (part) tokens.push({ kind, text: part, from, to: from + part.length });
  };
  PATTERN.lastIndex = 0;
  for (let m = PATTERN.exec(text); m; m = PATTERN.exec(text)) {
    const [whole, space, paren, structure, phrase, word, colon] = m;
    const at = m.index;
    if (afterColon && (phrase || word || structure)) {
      const end = phrase ? at + phrase.length : valueEnd(text, at);
      push("value", text.slice(at, end), at);
      PATTERN.lastIndex = end;
      afterColon = false;
      continue;
    }
    afterColon = false;
    if (space) push("space", space, at);
    else if (paren) push("paren", paren, at);
    else if (structure) push("operator", structure, at);
    else if (word && colon) {
      push("field", word, at);
      push("colon", ":", at + word.length);
      afterColon = true;
    } else if (phrase) {
      const isField = text[at + phrase.length] === ":";
      push(isField ? "field" : "phrase", phrase, at);
    } else if (word)
      push(
        OPERATORS.has(word.toUpperCase()) && word === word.toUpperCase() ? "operator" : "word",
        word,
        at,
      );
    else {
      push("colon", whole, at);
      afterColon = true;
    }
  }
  return tokens;
}

/** A value runs to the next space or parenthesis; it may hold colons and quoted parts. */
function valueEnd(text: string, from: number): number {
  let quoted = false;
  for (let i = from; i < text.length; i++) {
    const c = text[i];
    if (c === '"') quoted = !quoted;
    else if (!quoted && (c === " " || c === "(" || c === ")" || c === "\t")) return i;
  }
  return text.length;
}

/** What is being typed at the cursor. */
export type Completion =
  | { kind: "field"; prefix: string; from: number; to: number }
  | { kind: "value"; field: string; prefix: string; from: number; to: number };

export function completionAt(text: string, cursor: number): Completion {
  const tokens = tokenize(text);
  const index = tokens.findIndex((token) => token.from < cursor && cursor <= token.to);
  const token = tokens[index];
  const before = tokens[index - 1];
  if (token?.kind === "colon") {
    const field = fieldName(before?.text ?? "");
    const next = tokens[index + 1];
    const to = next?.kind === "value" ? next.to : cursor;
    return { kind: "value", field, prefix: "", from: cursor, to };
  }
  if (token?.kind === "value" && before?.kind === "colon") {
    const field = fieldName(tokens[index - 2]?.text ?? "");
    const from = token.from + listStart(token.text, cursor - token.from);
    const prefix = text.slice(from, cursor).replace(/^"/, "");
    return { kind: "value", field, prefix, from, to: token.to };
  }
  if (token?.kind === "word" || token?.kind === "field") {
    const from = token.from + (token.text.startsWith("-") ? 1 : 0);
    return { kind: "field", prefix: text.slice(from, cursor), from, to: token.to };
  }
  return { kind: "field", prefix: "", from: cursor, to: cursor };
}

function fieldName(text: string): string {
  return text.replace(/^-/, "").replace(/^"|"$/g, "");
}

/** Where the last element of a comma-separated list starts. */
function listStart(value: string, cursor: number): number {
  return value.slice(0, cursor).lastIndexOf(",") + 1;
}

/** A value as it must be written: quoted when it holds anything that would end or split it. */
export function quoteValue(value: string): string {
  return /^[\p{L}\p{N}_./@+-]+$/u.test(value) && !value.includes("..")
    ? value
    : `"${value.replace(/(["\\])/g, "\\$1")}"`;
}

/** A term that one value, or any of several, satisfies. */
export function term(field: string, ...values: string[]): string {
  const name = /^[\p{L}_][\p{L}\p{N}_.-]*$/u.test(field) ? field : `"${field}"`;
  return `${name}:${values.map(quoteValue).join(",")}`;
}

/** Adds a term, or takes it out if it is there already. */
export function toggleTerm(query: string, added: string): string {
  const parts = query.trim();
  if (!parts) return added;
  const padded = ` ${parts} `;
  if (padded.includes(` ${added} `)) return padded.replace(` ${added} `, " ").trim();
  return `${/\bOR\b/.test(parts) ? `(${parts})` : parts} ${added}`;
}

export interface BuiltinField {
  name: string;
  hint: string;
  numeric?: boolean;
}

/** The fields that every span may have, for completion before the server has answered. */
export const BUILTIN_FIELDS: readonly BuiltinField[] = [
  { name: "status", hint: "error, ok, unset" },
  { name: "service", hint: "service.name" },
  { name: "name", hint: "span name" },
  { name: "operation", hint: "chat, tool, agent, retriever, …" },
  { name: "model", hint: "the model that answered" },
  { name: "provider", hint: "openai, anthropic, …" },
  { name: "duration", hint: ">2s, 100ms..1s", numeric: true },
  { name: "cost", hint: ">$0.01", numeric: true },
  { name: "tokens", hint: ">10000", numeric: true },
  { name: "input_tokens", hint: ">8000", numeric: true },
  { name: "output_tokens", hint: ">500", numeric: true },
  { name: "ttft", hint: "time to first token: >1s", numeric: true },
  { name: "session", hint: "conversation" },
  { name: "user", hint: "end user" },
  { name: "agent", hint: "agent name" },
  { name: "tool", hint: "tool name" },
  { name: "workflow", hint: "workflow name" },
  { name: "finish", hint: "stop, length, tool_calls, …" },
  { name: "error", hint: "error type" },
  { name: "kind", hint: "server, client, internal, …" },
  { name: "environment", hint: "production, staging, …" },
  { name: "trace_id", hint: "32 hex digits" },
  { name: "span_id", hint: "16 hex digits" },
  { name: "has", hint: "has:session — the field is present" },
];

export function isNumericField(name: string): boolean {
  return BUILTIN_FIELDS.some((field) => field.name === name && field.numeric);
}
