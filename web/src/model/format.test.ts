import { expect, test } from "vitest";
import {
  formatAgo,
  formatBytes,
  formatCompact,
  formatCost,
  formatCount,
  formatDuration,
  formatExactCost,
  groupModels,
  shortModel,
} from "./format";

test("durations", () => {
  const cases: [number | null, string][] = [
    [null, "–"],
    [0, "0 ns"],
    [1500, "1.5 µs"],
    [12_400_000, "12 ms"],
    [999_900_000, "1.00 s"],
    [1_234_000_000, "1.23 s"],
    [59_999_000_000, "1m 00s"],
    [123_000_000_000, "2m 03s"],
    [7_380_000_000_000, "2h 03m"],
    [259_200_000_000_000, "3d 0h"],
    [-5_000_000, "−5.0 ms"],
  ];
  for (const [ns, text] of cases) expect(formatDuration(ns)).toBe(text);
});

test("money that is not nothing never reads as nothing", () => {
  const cases: [number | null, string][] = [
    [null, "–"],
    [0, "$0"],
    [0.00000001, "<$0.0001"],
    [0.00421, "$0.0042"],
    [0.1234, "$0.123"],
    [12.345, "$12.35"],
    [4321.9, "$4,322"],
  ];
  for (const [usd, text] of cases) expect(formatCost(usd)).toBe(text);
  expect([0.00000001, 1.5, 2].map(formatExactCost)).toEqual(["$0.00000001", "$1.5", "$2"]);
});

test("counts", () => {
  expect([null, 0, 999, 1000, 12_345_678, 1234.5].map(formatCount)).toEqual([
    "–",
    "0",
    "999",
    "1,000",
    "12,345,678",
    "1,235",
  ]);
});

test("compact counts", () => {
  expect(
    [0, 999, 1000, 12_345, 99_960, 999_499, 999_500, 3_100_000, 5e9].map(formatCompact),
  ).toEqual(["0", "999", "1.0k", "12.3k", "100k", "999k", "1.0M", "3.1M", "5.0B"]);
});

test("models without their dates", () => {
  const names = [
    "gpt-4o-mini-2024-07-18",
    "claude-sonnet-4-5-20250929",
    "claude@20250929",
    "o3",
    "llama-3.3-70b",
  ];
  expect(names.map(shortModel)).toEqual([
    "gpt-4o-mini",
    "claude-sonnet-4-5",
    "claude",
    "o3",
    "llama-3.3-70b",
  ]);
});

test("models that differ by date only are one", () => {
  expect(groupModels(["gpt-4o-2024-08-06", "o3", "gpt-4o"])).toEqual([
    ["gpt-4o", ["gpt-4o-2024-08-06", "gpt-4o"]],
    ["o3", ["o3"]],
  ]);
});

test("ages and sizes", () => {
  const now = 1_760_000_000_000;
  expect(formatAgo(now - 1000, now)).toBe("now");
  expect(formatAgo(now - 45_000, now)).toBe("45s ago");
  expect(formatAgo(now - 3 * 3600e3, now)).toBe("3h ago");
  expect(formatAgo(now - 3 * 86_400e3, now)).toBe("3d ago");
  expect(formatAgo(new Date(2025, 1, 3).getTime(), now)).toBe("3 Feb 2025");
  expect([12, 2_340, 45_600, 7_800_000].map(formatBytes)).toEqual([
    "12 B",
    "2.3 kB",
    "46 kB",
    "7.8 MB",
  ]);
});
