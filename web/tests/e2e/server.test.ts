/** The pages against a real server: `SPANWISE_URL=http://127.0.0.1:4319 npm run e2e`. */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launch, MEASURED_ROUNDS, openTab, reportUsable, shoot, timeToUsable } from "./browser";

const URL_OF_SERVER = process.env.SPANWISE_URL;
const ROW = ".table-body a.row";
const SPAN = ".span-row";
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

  test.skipIf(!MEASURED_ROUNDS)(
    "how soon the pages are usable is measured",
    {
      timeout: 60_000 + MEASURED_ROUNDS * 60_000,
    },
    async () => {
      const first = await openTab(browser);
      await first.page.goto(url);
      await first.page.waitForSelector(ROW);
      const href = (await first.page.locator(ROW).first().getAttribute("href")) ?? "/";
      await first.close();
      const empty = await serveEmptyPage();
      const kinds = [
        ["an empty page, the floor", empty.url, "p"],
        ["list", `${url}/`, ROW],
        ["trace", url + href, SPAN],
      ] as const;
      const times = new Map<string, number[]>();
      // In turns, so that a slow minute of the machine is everyone's.
      for (let round = 0; round < MEASURED_ROUNDS; round++) {
        for (const [name, address, selector] of kinds) {
          const { page, close } = await openTab(browser);
          push(times, `${name}, cold browser`, await timeToUsable(page, address, selector));
          const again = await page.context().newPage();
          await page.close();
          push(times, `${name}, second visit`, await timeToUsable(again, address, selector));
          await close();
        }
      }
      empty.close();
      for (const [name, measured] of times) reportUsable(`real server: ${name}`, measured);
    },
  );
});

function push(times: Map<string, number[]>, name: string, time: number): void {
  times.set(name, [...(times.get(name) ?? []), time]);
}

/** What Chromium itself needs for one line of text. */
async function serveEmptyPage(): Promise<{ url: string; close: () => void }> {
  const server = createServer((_, response) => {
    response.setHeader("content-type", "text/html");
    response.end("<!doctype html><title>empty</title><p>nothing</p>");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, close: () => server.close() };
}

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

async function openLongest(page: Page): Promise<void> {
  await page.click("button.sort:has-text('Duration')");
  await page.waitForFunction(() => !document.querySelector("[data-stale]"));
  await page.locator(ROW).first().click();
  await page.waitForSelector(SPAN);
}
