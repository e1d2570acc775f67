/** The pages against a real server: `SPANWISE_URL=http://127.0.0.1:4319 npm run e2e`. */

import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launch, openTab, shoot, timeToUsable } from "./browser";

const URL_OF_SERVER = process.env.SPANWISE_URL;
const ROW = ".table-body a.row";
const SPAN = ".span-row";
/** How often times are measured; `make bench-ui` asks for more. */
const ROUNDS = Number(process.env.SPANWISE_UI_ROUNDS ?? 5);

describe.skipIf(!URL_OF_SERVER)("a real server", () => {
  const url = (URL_OF_SERVER ?? "").replace(/\/$/, "");
  let browser: Browser;

  beforeAll(async () => {
    browser = await launch();
    await fillIfEmpty(browser, url);
  });

  afterAll(() => browser?.close());

  for (const theme of ["light", "dark"] as const) {
    test(`list, every tab of a trace, and problems in ${theme}`, async () => {
      const { page, complaints, close } = await openTab(browser, { theme });
      await page.goto(url);
      await page.waitForSelector(ROW);
      await shoot(page, `server-list-${theme}`);
      await openLongest(page);
      for (const [key, tab] of [
        ["m", "messages"],
        ["a", "attributes"],
        ["e", "events"],
        ["r", "raw"],
      ] as const) {
        await page.keyboard.press(key);
        await page.waitForURL(new RegExp(`tab=${tab}`));
        await page.waitForFunction(() => !document.querySelector(".panel [aria-busy]"));
        await shoot(page, `server-${tab}-${theme}`);
      }
      await page.goto(`${url}/problems`);
      await page.waitForSelector(".plain-table, .notice");
      expect(complaints).toEqual([]);
      await close();
    });
  }

  test("what the list counts is what the trace shows", async () => {
    const { page, close } = await openTab(browser);
    await page.goto(url);
    await page.waitForSelector(ROW);
    const href = await page.locator(ROW).first().getAttribute("href");
    const listed = await page.locator(`${ROW} [data-col=duration]`).first().textContent();
    await page.locator(ROW).first().click();
    await page.waitForSelector(SPAN);
    expect(page.url()).toContain(href);
    expect(await page.locator(".total dd").first().textContent()).toBe(listed);
    await close();
  });

  test("searches answer or say what they did not understand", async () => {
    const { page, close } = await openTab(browser);
    await page.goto(`${url}/?q=${encodeURIComponent("operation:chat")}`);
    await page.waitForSelector(ROW);
    await page.goto(`${url}/?q=${encodeURIComponent("status:error (")}`);
    await page.waitForSelector(".search-fault");
    await page.goto(`${url}/?q=${encodeURIComponent('"no such words are recorded anywhere"')}`);
    await page.waitForSelector("text=No trace matches");
    await close();
  });

  test("how soon the pages are usable is measured", async () => {
    const first = await openTab(browser);
    await first.page.goto(url);
    await first.page.waitForSelector(ROW);
    const href = (await first.page.locator(ROW).first().getAttribute("href")) ?? "/";
    await first.close();
    for (const [name, path, selector] of [
      ["list", "/", ROW],
      ["trace", href, SPAN],
    ] as const) {
      const cold: number[] = [];
      const warm: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const { page, close } = await openTab(browser);
        cold.push(await timeToUsable(page, url + path, selector));
        const again = await page.context().newPage();
        await page.close();
        warm.push(await timeToUsable(again, url + path, selector));
        await close();
      }
      report(`${name}, cold browser`, cold);
      report(`${name}, second visit`, warm);
    }
  });
});

/** A new server has nothing to show; its own sample data is a way to begin. */
async function fillIfEmpty(browser: Browser, url: string): Promise<void> {
  const { page, close } = await openTab(browser);
  await page.goto(url);
  await page.waitForSelector(`${ROW}, .getting-started`);
  if ((await page.locator(".getting-started").count()) > 0) {
    await page.click("text=Load sample data");
    await page.waitForSelector(ROW);
  }
  await close();
}

function report(what: string, times: number[]): void {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number) => (sorted[Math.round(share * (sorted.length - 1))] ?? 0).toFixed(0);
  console.log(
    `usable after, real server: ${what}: ${at(0.5)} ms (median of ${sorted.length}; ${at(0)} to ${at(1)}; bar 300)`,
  );
  expect(sorted[0]).toBeGreaterThan(0);
}

async function openLongest(page: Page): Promise<void> {
  await page.click("button.sort:has-text('Duration')");
  await page.waitForFunction(() => !document.querySelector("[data-stale]"));
  await page.locator(ROW).first().click();
  await page.waitForSelector(SPAN);
}
