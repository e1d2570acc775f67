import { expect, test } from "vitest";
import { usageLines, usageTotals } from "./cost";
import { toBars } from "./histogram";
import { mergeLive, NOTHING_LIVE, receive, release } from "./live";
import { bucketSeconds, rangeBounds, rangeParams } from "./range";
import { chat, summary } from "./testing";
import { buildTree } from "./tree";

test("live traces grow in place, wait while held, and join by start", () => {
  const pages = [summary("b", 2000), summary("a", 1000)];
  const isKnown = (id: string) => pages.some((row) => row.trace_id === id);
  const grown = { ...summary("a", 1000), span_count: 7 };
  let live = receive(NOTHING_LIVE, [grown, summary("c", 3000)], isKnown, true);
  expect(live.waiting.size).toBe(1);
  expect(mergeLive(pages, live, true).map((r) => [r.trace_id, r.span_count])).toEqual([
    ["b", 1],
    ["a", 7],
  ]);
  live = release(live);
  expect(mergeLive(pages, live, true).map((r) => r.trace_id)).toEqual(["c", "b", "a"]);
  expect(mergeLive(pages, live, false).map((r) => r.trace_id)).toEqual(["b", "a"]);
});

test("unknown usage is unknown, not zero, and missing prices are counted", () => {
  const tree = buildTree([
    chat("a", null, 0, 1, { input: 100, output: 5, cache_read: 60 }, 0.01),
    chat("b", null, 2, 1, { input: 100, output: 5 }),
    chat("c", null, 4, 1),
  ]);
  expect(usageTotals(tree)).toEqual({
    calls: 3,
    cacheRead: 60,
    cacheWrite: null,
    reasoning: null,
    unpriced: 1,
  });
});

test("usage lines show parts inside their whole", () => {
  const lines = usageLines({
    input: 100,
    output: 20,
    total: null,
    cache_read: 60,
    cache_write: null,
    reasoning: null,
  });
  expect(lines.map((line) => [line.label, line.value])).toEqual([
    ["Input", 100],
    ["read from cache", 60],
    ["not cached", 40],
    ["Output", 20],
    ["Total", 120],
  ]);
});

test("ranges", () => {
  expect(rangeParams({ preset: "1h" })).toEqual({ from: "-1h" });
  expect(rangeParams({ preset: "all" })).toEqual({});
  expect(rangeParams({ preset: "custom", from: 1, to: 2 })).toEqual({ from: "1", to: "2" });
  expect(rangeBounds({ preset: "15m" }, 1_000_000)).toEqual({ from: 100_000, to: 1_000_000 });
  expect(bucketSeconds(0, 3600e3, 60)).toBe(60);
  expect(bucketSeconds(0, 3600e3, 50)).toBe(120);
});

test("bars cover empty buckets", () => {
  const point = { time_unix_nano: "2500000000", count: 4, errors: 1 };
  const bars = toBars({ series: [{ group: null, points: [point] }] }, 0, 5000, 1000);
  expect(bars.map((bar) => bar.count)).toEqual([0, 0, 4, 0, 0]);
  expect(bars[2]?.errors).toBe(1);
});
