import { expect, test } from "vitest";
import type { Message } from "../api/types";
import {
  inlineMedia,
  looksLikeMarkdown,
  pairToolCalls,
  remoteMedia,
  turnText,
  unwrapJson,
} from "./conversation";

const messages: Message[] = [
  { role: "user", parts: [{ type: "text", content: "Weather in Oslo?" }] },
  {
    role: "assistant",
    parts: [
      { type: "tool_call", id: "c1", name: "weather", arguments: { city: "Oslo" } },
      { type: "tool_call", id: "c2", name: "time", arguments: {} },
    ],
  },
  { role: "tool", parts: [{ type: "tool_result", id: "c2", result: "12:00" }] },
  { role: "tool", parts: [{ type: "tool_result", id: "c1", result: { c: 4 } }] },
  { role: "tool", parts: [{ type: "tool_result", id: "c9", result: "stray" }] },
  { role: "assistant", parts: [{ type: "text", content: "4 °C" }], finish_reason: "stop" },
];

test("results move to their calls, strays stay", () => {
  const turns = pairToolCalls(messages);
  expect(turns.map((turn) => turn.role)).toEqual(["user", "assistant", "tool", "assistant"]);
  expect(turns[1]?.blocks).toMatchObject([
    { name: "weather", result: { c: 4 }, hasResult: true },
    { name: "time", result: "12:00", hasResult: true },
  ]);
  expect(turns[2]?.blocks).toMatchObject([{ name: "", result: "stray" }]);
  expect(turns[3]?.finishReason).toBe("stop");
});

test("a call without an answer says so", () => {
  const [turn] = pairToolCalls(messages.slice(1, 2));
  expect(turn?.blocks[0]).toMatchObject({ hasResult: false, result: undefined });
});

test("calls without ids are answered in order", () => {
  const turns = pairToolCalls([
    {
      role: "assistant",
      parts: [
        { type: "tool_call", name: "a" },
        { type: "tool_call", name: "b" },
      ],
    },
    { role: "tool", parts: [{ type: "tool_result", result: 1 }] },
    { role: "tool", parts: [{ type: "tool_result", result: 2 }] },
  ]);
  expect(turns[0]?.blocks).toMatchObject([
    { name: "a", result: 1 },
    { name: "b", result: 2 },
  ]);
});

test("copying a turn gives its words", () => {
  expect(turnText(pairToolCalls(messages.slice(0, 1))[0] as never)).toBe("Weather in Oslo?");
});

test("JSON in strings is unwrapped only when it is JSON", () => {
  expect(unwrapJson('{"a":1}')).toEqual({ a: 1 });
  expect(unwrapJson("{not json")).toBe("{not json");
  expect(unwrapJson("12")).toBe("12");
});

test("markdown is recognised, prose is left alone", () => {
  expect(looksLikeMarkdown("**bold** move")).toBe(true);
  expect(looksLikeMarkdown("- one\n- two")).toBe(true);
  expect(looksLikeMarkdown("Just a sentence. 2 * 3 = 6")).toBe(false);
});

test("media is shown inline only when its bytes are here", () => {
  expect(inlineMedia({ type: "media", uri: "data:image/png;base64,AAAA" })?.mime).toBe("image/png");
  expect(inlineMedia({ type: "media", mime_type: "image/png", content: "AAAA" })?.src).toContain(
    "base64,AAAA",
  );
  expect(inlineMedia({ type: "media", uri: "https://x.example/cat.png" })).toBeNull();
  expect(remoteMedia({ type: "media", uri: "https://x.example/cat.png" })).toBe(
    "https://x.example/cat.png",
  );
});
