import { expect, test } from "vitest";
import { findings } from "./findings";
import { chat, span } from "./testing";
import {
  axisTicks,
  firstError,
  modelCalls,
  modelTimeNs,
  selfTimeNs,
  slowestStep,
  unionLength,
} from "./timing";
import { buildTree } from "./tree";

test("overlaps count once", () => {
  expect(
    unionLength([
      { from: 0, to: 4 },
      { from: 2, to: 6 },
      { from: 8, to: 9 },
    ]),
  ).toBe(7);
});

test("self time leaves out what children cover, also where they run over", () => {
  const tree = buildTree([span("p", null, 0, 10), span("a", "p", 2, 3), span("b", "p", 8, 50)]);
  expect(selfTimeNs(tree.nodes[0] as never)).toBe(5e6);
});

test("a model call around another is not counted twice", () => {
  const tree = buildTree([
    chat("wrapper", null, 0, 100),
    chat("inner", "wrapper", 10, 50),
    chat("beside", null, 40, 40),
  ]);
  expect(modelCalls(tree).map((n) => n.span.name)).toEqual(["inner", "beside"]);
  expect(modelTimeNs(tree)).toBe(70e6);
});

test("the first error is where it began, not where it surfaced", () => {
  const failed = { status: { code: "error" as const, message: "timeout\nat line 3" } };
  const tree = buildTree([
    span("root", null, 0, 100, failed),
    span("tool", "root", 10, 20, failed),
    span("later", "root", 50, 20, failed),
  ]);
  expect(firstError(tree)?.span.name).toBe("tool");
  expect(findings(tree)[0]).toMatchObject({ label: "First of 3 errors", text: "tool: timeout" });
});

test("the slowest step is named only when it tells something", () => {
  const even = buildTree([
    span("root", null, 0, 100),
    ...Array.from({ length: 10 }, (_, i) => span(`s${i}`, "root", i * 10, 10)),
  ]);
  expect(slowestStep(even)).toBeNull();
  const uneven = buildTree([span("root", null, 0, 100), span("slow", "root", 5, 80)]);
  expect(slowestStep(uneven)).toMatchObject({ share: 0.8 });
});

test("ticks are round", () => {
  expect(axisTicks(0, 1000, 5)).toEqual([0, 200, 400, 600, 800, 1000]);
  expect(axisTicks(130, 420, 4)).toEqual([200, 300, 400]);
  expect(axisTicks(5, 5, 4)).toEqual([5]);
});
