import { expect, test } from "vitest";
import { addressOf, placeAt } from "./place";

function at(address: string) {
  const url = new URL(address, "http://spanwise");
  return placeAt(url.pathname, url.search);
}

test.each([
  "/",
  "/?q=status%3Aerror+%22refund%22&range=1h&sort=-duration&cols=name%2Ccost&live=off",
  "/?from=1&to=2&range=custom",
  "/traces/0af7651916cd43dd8448eb211c80319c",
  "/traces/0af7651916cd43dd8448eb211c80319c?span=00f067aa0ba902b7&tab=raw&find=tool",
  "/problems",
])("%s is shown and written as it stands", (address) => {
  const sorted = (text: string) => [...new URL(text, "http://spanwise").searchParams].sort();
  expect(sorted(addressOf(at(address)))).toEqual(sorted(address));
  expect(at(addressOf(at(address)))).toEqual(at(address));
});

test("what is the default, empty, unknown or senseless is left out", () => {
  const place = at("/?q=&range=all&live=on&range=all&tab=raw&sort=");
  expect(place).toEqual({ page: "list", search: {} });
  expect(at("/?range=yesterday")).toEqual(place);
  expect(addressOf(place)).toBe("/");
});

test("other ways to write a place lead to it; anything else leads nowhere", () => {
  expect(at("/traces")).toEqual({ page: "list", search: {} });
  expect(at("/traces/?q=x")).toEqual({ page: "list", search: { q: "x" } });
  expect(at("/problems/")).toEqual({ page: "problems" });
  expect(at("/traces/abc/spans")).toEqual({ page: "nowhere" });
  expect(at("/elsewhere")).toEqual({ page: "nowhere" });
});
