import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ERROR_ID, HOSTILE_ID, LARGE_ID, RAG_ID, REFUND_ID } from "../mock/fixtures";
import {
  type Look,
  launch,
  MEASURED_ROUNDS,
  openTab,
  reportUsable,
  scrollFrames,
  serve,
  shoot,
  timeToUsable,
} from "./browser";

const ROW = ".table-body a.row";
const SPAN = ".span-row";

let browser: Browser;
let server: { url: string; close: () => void };

beforeAll(async () => {
  browser = await launch();
  server = await serve();
});

afterAll(async () => {
  await browser?.close();
  server?.close();
});

const LOOKS: (Look & { name: string })[] = [
  { name: "light-1440", theme: "light", width: 1440 },
  { name: "dark-1440", theme: "dark", width: 1440 },
  { name: "light-800", theme: "light", width: 800 },
  { name: "dark-800", theme: "dark", width: 800 },
];

for (const look of LOOKS) {
  test(`every page in ${look.name}, without complaints`, async () => {
    const { page, complaints, close } = await openTab(browser, look);
    const visit = async (path: string, selector: string, name: string) => {
      await page.goto(server.url + path);
      await page.waitForSelector(selector);
      await page.waitForTimeout(250);
      await shoot(page, `${name}-${look.name}`);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(
        look.width ?? 1440,
      );
    };
    await visit("/", ROW, "list");
    await visit(`/traces/${REFUND_ID}`, ".turn", "trace");
    await visit(`/traces/${ERROR_ID}?tab=events`, ".panel-body", "error");
    await visit(`/traces/${RAG_ID}`, ".rag .document", "rag");
    await visit(`/traces/${LARGE_ID}`, SPAN, "large");
    await visit("/problems", ".plain-table", "problems");
    expect(complaints).toEqual([]);
    await close();
  });
}

test.skipIf(!MEASURED_ROUNDS)(
  "how soon a trace of 10,000 spans is usable is measured",
  { timeout: 60_000 + MEASURED_ROUNDS * 20_000 },
  async () => {
    const times: number[] = [];
    for (let round = 0; round < MEASURED_ROUNDS; round++) {
      const { page, close } = await openTab(browser);
      times.push(await timeToUsable(page, `${server.url}/traces/${LARGE_ID}`, SPAN));
      await close();
    }
    reportUsable("10,000 spans (mock server), cold browser", times);
  },
);

test("10,000 spans scroll smoothly", async () => {
  const { page, close } = await openTab(browser);
  await page.goto(`${server.url}/traces/${LARGE_ID}`);
  await page.waitForSelector(SPAN);
  const frames = await scrollFrames(page, ".waterfall-rows", 240);
  console.log(
    `scrolling 10,000 spans: p50 ${frames.p50.toFixed(1)} ms, p95 ${frames.p95.toFixed(1)} ms, worst ${frames.worst.toFixed(1)} ms a frame`,
  );
  expect(frames.n).toBeGreaterThan(200);
  await close();
});

test("a request of RAG control shows its documents, its policy and what was checked", async () => {
  const { page, complaints, close } = await openTab(browser);
  await page.goto(`${server.url}/traces/${RAG_ID}`);
  await page.waitForSelector(".rag .document");
  const shown = await page.locator(".rag").innerText();
  for (const fact of ["rejected by the policy", "cited_answers", "public_or_team", "28 days"]) {
    expect(shown).toContain(fact);
  }
  expect(shown).toContain("2 of at most 3, 2 more denied");
  await page.locator(`${SPAN}:has-text("enforcement")`).click();
  await page.waitForSelector(".panel-body > .rag-strip");
  expect(await page.locator(".rag-strip").innerText()).toContain("unknown_citation");
  expect(complaints).toEqual([]);
  await close();
});

test("the keyboard walks the list, opens a trace and moves in it", async () => {
  const { page, complaints, close } = await openTab(browser);
  const selected = (name: string) =>
    page.waitForSelector(`${SPAN}[data-selected] .span-label:text-is("${name}")`);
  await page.goto(server.url);
  await page.waitForSelector(ROW);
  for (const key of ["j", "j", "k"]) await page.keyboard.press(key);
  await page.waitForSelector(`${ROW}[data-selected]`);
  await page.keyboard.press("Enter");
  await page.waitForSelector(SPAN);
  await page.goto(`${server.url}/traces/${REFUND_ID}`);
  await selected("workflow.support_request");
  for (let i = 0; i < 7; i++) await page.keyboard.press("j");
  await selected("SELECT policies");
  await page.keyboard.press("]");
  await selected("tool.issue_refund");
  await page.keyboard.press("h");
  await selected("agent.refunds");
  await page.keyboard.press("h");
  await page.waitForSelector(`${SPAN}[data-selected][aria-expanded=false]`);
  await page.keyboard.press("r");
  await page.waitForSelector(".raw .json");
  expect(page.url()).toContain("tab=raw");
  await page.keyboard.press("?");
  await page.waitForSelector(".key-sheet[open]");
  await shoot(page, "keys");
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("t");
  await page.waitForSelector(ROW);
  expect(complaints).toEqual([]);
  await close();
});

test("search completes, filters, keeps its state in the URL and shows where a fault is", async () => {
  const { page, close } = await openTab(browser);
  await page.goto(server.url);
  await page.waitForSelector(ROW);
  await page.keyboard.press("/");
  await page.keyboard.type("mod");
  await page.waitForSelector('[role="option"]');
  await page.keyboard.press("Tab");
  await page.waitForSelector('[role="option"]:has-text("claude-sonnet-4-5")');
  await page.keyboard.type("clau");
  await page.waitForTimeout(200);
  await shoot(page, "typeahead");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.waitForURL(/q=model%3Aclaude-sonnet-4-5/);
  await page.waitForFunction(() => !document.querySelector("[data-stale]"));
  const models = await page.locator(`${ROW} [data-col=models]`).allTextContents();
  expect(models.length).toBeGreaterThan(0);
  for (const model of models) expect(model).toMatch(/claude|\+/);
  await page.keyboard.press("/");
  await page.keyboard.type('status:error ("open');
  await page.keyboard.press("Enter");
  await page.waitForSelector(".search-problem");
  await page.waitForSelector(".search-fault");
  await shoot(page, "search-fault");
  await close();
});

test("the way back from a trace leads to the list as it was left", async () => {
  const { page, close } = await openTab(browser);
  await page.goto(`${server.url}/?q=service%3Avoice&sort=-duration`);
  await page.waitForSelector(ROW);
  await page.locator(ROW).nth(1).click();
  await page.waitForSelector(SPAN);
  await page.keyboard.press("u");
  await page.waitForURL(/q=service%3Avoice&sort=-duration/);
  await page.waitForSelector(`${ROW}[data-selected]`);
  await close();
});

test("recorded content neither runs nor calls out", async () => {
  const { page, complaints, close } = await openTab(browser);
  const elsewhere: string[] = [];
  page.on("request", (request) => {
    const isOurs = request.url().startsWith(server.url) || request.url().startsWith("data:");
    if (!isOurs) elsewhere.push(request.url());
  });
  await page.goto(`${server.url}/traces/${HOSTILE_ID}`);
  await page.waitForSelector(".markdown");
  await shoot(page, "hostile");
  for (const key of ["a", "e", "r", "m"]) {
    await page.keyboard.press(key);
    await page.waitForTimeout(120);
  }
  const found = await page.evaluate(() => ({
    pwned: "pwned" in window,
    planted: document.querySelectorAll(
      ".markdown :is(script, img, iframe, style), a[href^='javascript']",
    ).length,
  }));
  expect(found).toEqual({ pwned: false, planted: 0 });
  expect(elsewhere).toEqual([]);
  expect(complaints).toEqual([]);
  await close();
});

test("the list pages on as one scrolls", async () => {
  const { page, close } = await openTab(browser);
  await page.goto(server.url);
  await page.waitForSelector(ROW);
  await page.evaluate(async () => {
    const body = document.querySelector(".table-body") as HTMLElement;
    for (let i = 0; i < 40; i++) {
      body.scrollTop = body.scrollHeight;
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
  });
  const total = await page.evaluate(() => document.querySelector(".table-body")?.scrollHeight ?? 0);
  expect(total).toBeGreaterThan(300 * 33);
  await close();
});

test("live traces arrive; while the pointer is on the list they wait", async () => {
  const live = await serve({ liveEveryMs: 300 });
  const { page, complaints, close } = await openTab(browser);
  await page.goto(live.url);
  await page.waitForSelector(`${ROW}[data-fresh]`);
  await page.hover(".table-body");
  await page.waitForSelector(".pill");
  await shoot(page, "live");
  await page.keyboard.press("n");
  expect(complaints).toEqual([]);
  await close();
  live.close();
});

test("a newcomer loads the sample; the page fills by itself", async () => {
  const empty = await serve({ empty: true });
  for (const theme of ["light", "dark"] as const) {
    const { page, complaints, close } = await openTab(browser, { theme });
    await page.goto(empty.url);
    await page.waitForSelector(".getting-started");
    expect(await page.locator(".snippet pre").textContent()).toContain(empty.url);
    await shoot(page, `empty-${theme}`);
    if (theme === "dark") {
      await page.click("text=Load sample data");
      await page.waitForSelector(ROW);
    }
    expect(complaints).toEqual([]);
    await close();
  }
  empty.close();
});

test("a server with keys asks for one", async () => {
  const locked = await serve({ key: "sw_right" });
  const { page, close } = await openTab(browser);
  await page.goto(locked.url);
  await page.fill("#key", "sw_wrong");
  await page.click("button.primary");
  await page.waitForSelector(".sign-in .problem");
  await shoot(page, "sign-in");
  await page.fill("#key", "sw_right");
  await page.click("button.primary");
  await page.waitForSelector(ROW);
  await page.click("text=Sign out");
  await page.waitForSelector("#key");
  await close();
  locked.close();
});

test("missing traces and lost servers are explained", async () => {
  const lost = await serve();
  const { page, close } = await openTab(browser);
  await page.goto(`${lost.url}/traces/${"0".repeat(32)}`);
  await page.waitForSelector("text=This trace is not here");
  await page.goto(lost.url);
  await page.waitForSelector(ROW);
  lost.close();
  // Something that no page has asked for before: other answers may be here already.
  await page.keyboard.press("/");
  await page.keyboard.type("asked for too late");
  await page.keyboard.press("Enter");
  await page.waitForSelector("text=The server does not answer");
  await close();
});
