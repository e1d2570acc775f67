import { expect, test } from "vitest";
import { chat, span } from "./testing";
import {
  buildTree,
  collapsedToDepth,
  firstToShow,
  matchNodes,
  revealed,
  type Tree,
  visibleNodes,
} from "./tree";

function drawing(tree: Tree): string[] {
  return tree.nodes.map((node) => `${"  ".repeat(node.depth)}${node.span.name}`);
}

test("children come after their parent, by start", () => {
  const tree = buildTree([
    span("late", "root", 30, 10),
    span("early", "root", 10, 10),
    span("root", null, 0, 100),
    span("leaf", "early", 12, 2),
  ]);
  expect(drawing(tree)).toEqual(["root", "  early", "    leaf", "  late"]);
  expect(tree.durationNs).toBe(100e6);
  expect(tree.nodes.map((node) => node.descendants)).toEqual([3, 1, 0, 0]);
});

test("times are exact to the nanosecond although the dates exceed a double", () => {
  const a = span("a", null, 0, 1, { start_time_unix_nano: "1760000000000000001" });
  const b = span("b", "a", 0, 1, { start_time_unix_nano: "1760000000000000004" });
  expect(buildTree([a, b]).nodes.map((node) => node.startNs)).toEqual([0, 3]);
});

test("a span whose parent is missing is a root and says so", () => {
  const tree = buildTree([span("a", "gone", 0, 5), span("b", null, 1, 5)]);
  expect(tree.roots.map((node) => [node.span.name, node.isOrphan])).toEqual([
    ["a", true],
    ["b", false],
  ]);
});

test("a running span lasts until the last that is known", () => {
  const running = (id: string, parent: string | null, startMs: number, heardMs: number) =>
    span(id, parent, startMs, 0, {
      running: true,
      received_unix_nano: span(id, null, heardMs, 0).start_time_unix_nano,
    });
  const tree = buildTree([
    running("root", null, 0, 40),
    span("done", "root", 10, 60),
    running("open", "root", 20, 90),
  ]);
  expect(tree.nodes.map((node) => [node.isRunning, node.durationNs / 1e6])).toEqual([
    [true, 90],
    [false, 60],
    [true, 70],
  ]);
  expect(tree.durationNs).toBe(90e6);
  expect(tree.heardUnixNano).toBe(tree.startUnixNano + 90_000_000n);
  expect(matchNodes(tree, "running")?.size).toBe(2);
});

test("cycles and duplicate ids end", () => {
  const tree = buildTree([
    span("a", "b", 0, 5),
    span("b", "a", 1, 5),
    span("self", "self", 2, 5),
    span("a", null, 3, 5, { name: "a again" }),
  ]);
  expect(tree.nodes.length).toBe(4);
});

test("a chain of 50,000 spans does not overflow the stack", () => {
  const spans = Array.from({ length: 50_000 }, (_, i) => span(`${i}`, i ? `${i - 1}` : null, i, 1));
  expect(buildTree(spans).maxDepth).toBe(49_999);
});

test("collapsing hides what is below, revealing opens the way", () => {
  const tree = buildTree([
    span("root", null, 0, 9),
    span("x", "root", 1, 3),
    span("y", "x", 2, 1),
    span("z", "root", 5, 1),
  ]);
  const collapsed = collapsedToDepth(tree, 1);
  expect(visibleNodes(tree, collapsed).map((n) => n.span.name)).toEqual(["root", "x", "z"]);
  const y = tree.byId.get("y");
  expect(y && visibleNodes(tree, revealed(collapsed, y)).length).toBe(4);
});

test("tokens and money add up, and nested calls count once", () => {
  const tree = buildTree([
    span("root", null, 0, 100),
    chat("wrapper", "root", 1, 50, { input: 10, output: 1 }, 0.5),
    chat("inner", "wrapper", 2, 40, { input: 10, output: 1 }, 0.25),
    chat("second", "root", 60, 10, { input: 20, output: 2 }, 0.5),
    span("other", "root", 80, 10),
  ]);
  expect(tree.nodes.map((node) => [node.tokens, node.costUsd])).toEqual([
    [33, 0.75],
    [11, 0.25],
    [11, 0.25],
    [22, 0.5],
    [null, null],
  ]);
});

test("a silent root gives way to the last call that says something", () => {
  const says = { operation: "chat" as const, output_preview: "Done." };
  const calls = [span("a", "root", 1, 5, { llm: says }), span("b", "root", 9, 5, { llm: says })];
  const silent = buildTree([span("root", null, 0, 50), ...calls]);
  expect(firstToShow(silent)?.span.name).toBe("b");
  const speaking = buildTree([span("root", null, 0, 50, { llm: says }), ...calls]);
  expect(firstToShow(speaking)?.span.name).toBe("root");
});

test("the filter looks at names, models and errors", () => {
  const tree = buildTree([
    span("fetch weather", null, 0, 9, { llm: { operation: "tool" } }),
    span("call", null, 0, 9, {
      status: { code: "error", message: "rate limited" },
      llm: { operation: "chat", response_model: "gpt-4o-mini" },
    }),
  ]);
  const names = (filter: string) => [...(matchNodes(tree, filter) ?? [])].map((n) => n.span.name);
  expect(names("tool weather")).toEqual(["fetch weather"]);
  expect(names("GPT-4o")).toEqual(["call"]);
  expect(names("error")).toEqual(["call"]);
  expect(matchNodes(tree, "  ")).toBeNull();
});
