import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const css = readFileSync(new URL("./tokens.css", import.meta.url), "utf8");

function palette(block: string): Record<string, string> {
  return Object.fromEntries(
    [...block.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6})/g)].map((m) => [m[1], m[2]]),
  );
}

const [light = "", dark = ""] = css.split(':root[data-theme="dark"]');
const THEMES = { light: palette(light), dark: palette(dark) };

function luminance(hex: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((i) => {
    const c = Number.parseInt(hex.slice(i, i + 2), 16) / 255;
    return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

const GROUNDS = ["bg", "surface", "sunken", "hover", "accent-weak"];
const PAIRS: [text: string, grounds: string[]][] = [
  ["text", GROUNDS],
  ["text-2", GROUNDS],
  ["text-3", GROUNDS],
  ["accent", GROUNDS],
  ["error-text", [...GROUNDS, "error-weak"]],
  ["warn-text", ["surface", "warn-weak"]],
  ["ok-text", ["surface", "ok-weak"]],
  ["on-accent", ["accent"]],
  ["json-key", ["surface", "sunken"]],
  ["json-string", ["surface", "sunken"]],
  ["json-number", ["surface", "sunken"]],
];

for (const [theme, colours] of Object.entries(THEMES)) {
  test(`text is readable in the ${theme} theme (WCAG AA)`, () => {
    for (const [text, grounds] of PAIRS) {
      for (const ground of grounds) {
        const ratio = contrast(colours[text] ?? "", colours[ground] ?? "");
        expect(ratio, `${text} on ${ground}`).toBeGreaterThanOrEqual(4.5);
      }
    }
  });

  test(`bars are distinguishable from the ground in the ${theme} theme`, () => {
    for (const [name, colour] of Object.entries(colours)) {
      if (!name.startsWith("op-") || name === "op-plain") continue;
      expect(contrast(colour, colours.surface ?? ""), name).toBeGreaterThanOrEqual(3);
    }
  });
}
