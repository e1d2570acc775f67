/** A real Chromium against the built pages: the mock server, or the server in SPANWISE_URL. */

import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { type MockOptions, startMockServer } from "../mock/server";

const HERE = dirname(fileURLToPath(import.meta.url));
const DIST = join(HERE, "../../dist");
const SHOTS = join(HERE, "shots");

const CANDIDATES = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launch(): Promise<Browser> {
  const executablePath = CANDIDATES.find((path) => path && existsSync(path));
  if (!executablePath)
    throw new Error("no Chromium found: install one or set CHROMIUM to its path");
  return chromium.launch({ executablePath, args: FLAGS });
}

export async function serve(
  options: MockOptions = {},
): Promise<{ url: string; close: () => void }> {
  if (!existsSync(join(DIST, "index.html")))
    throw new Error("no dist/index.html: run npm run build");
  return startMockServer(DIST, { liveEveryMs: 0, ...options });
}

export interface Look {
  theme?: "light" | "dark";
  width?: number;
  height?: number;
}

export interface Tab {
  page: Page;
  /** What the console and the page complained about. */
  complaints: string[];
  close: () => Promise<void>;
}

export async function openTab(browser: Browser, look: Look = {}): Promise<Tab> {
  const context = await browser.newContext({
    colorScheme: look.theme ?? "light",
    viewport: { width: look.width ?? 1440, height: look.height ?? 900 },
    permissions: ["clipboard-read", "clipboard-write"],
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  return { page, complaints, close: () => context.close() };
}

export async function shoot(page: Page, name: string): Promise<void> {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

/** A new window makes Chromium busy with its own pages (tab search, omnibox) for about a second. */
const SETTLE_MS = 2000;

/** How long to leave a page alone: whatever the harness asks of it costs the page time. */
const ALONE_MS = 1500;

/** Milliseconds from the start of the navigation until `selector` is painted, in an open window. */
export async function timeToUsable(page: Page, url: string, selector: string): Promise<number> {
  await page.addInitScript((wanted) => {
    const record = window as { usableAt?: number };
    const look = () => {
      if (document.querySelector(wanted)) {
        requestAnimationFrame(() => {
          record.usableAt = performance.now();
        });
      } else requestAnimationFrame(look);
    };
    look();
  }, selector);
  await page.waitForTimeout(SETTLE_MS);
  await page.goto(url, { waitUntil: "commit" });
  await page.waitForTimeout(ALONE_MS);
  await page.waitForFunction(() => (window as { usableAt?: number }).usableAt !== undefined);
  return page.evaluate(() => (window as { usableAt?: number }).usableAt ?? Number.NaN);
}

/** How often times are measured: only when `make bench-ui` asks, for tests measure nothing. */
export const MEASURED_ROUNDS = Number(process.env.SPANWISE_UI_ROUNDS ?? 0);

export function reportUsable(what: string, times: number[]): void {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number) => (sorted[Math.round(share * (sorted.length - 1))] ?? 0).toFixed(0);
  console.log(
    `usable after, ${what}: ${at(0.5)} ms (median of ${sorted.length}; ${at(0)} to ${at(1)}; bar 300)`,
  );
}

export interface Frames {
  n: number;
  p50: number;
  p95: number;
  worst: number;
}

/** Scrolls an element by wheel-sized steps and measures the time between frames. */
export function scrollFrames(page: Page, selector: string, steps: number): Promise<Frames> {
  return page.evaluate(
    ({ selector, steps }) =>
      new Promise<Frames>((resolve) => {
        const element = document.querySelector(selector) as HTMLElement;
        const times: number[] = [];
        let last = performance.now();
        let left = steps;
        const frame = (now: number) => {
          times.push(now - last);
          last = now;
          element.scrollTop += 180;
          left -= 1;
          if (left > 0) return requestAnimationFrame(frame);
          const sorted = times.slice(2).sort((a, b) => a - b);
          const at = (q: number) => sorted[Math.floor(q * (sorted.length - 1))] ?? Number.NaN;
          resolve({ n: sorted.length, p50: at(0.5), p95: at(0.95), worst: at(1) });
        };
        requestAnimationFrame(frame);
      }),
    { selector, steps },
  );
}
