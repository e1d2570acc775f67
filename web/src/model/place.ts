/** What an address of this application shows. The address holds every state that a link restores. */

import { DEFAULT_PRESET, PRESETS } from "./range";

/** Every state of the list. Defaults are left out of the address. */
export interface ListSearch {
  q?: string;
  range?: string;
  from?: string;
  to?: string;
  sort?: string;
  cols?: string;
  live?: "off";
}

export interface TraceSearch {
  span?: string;
  tab?: string;
  find?: string;
}

export type Place =
  | { page: "list"; search: ListSearch }
  | { page: "trace"; traceId: string; search: TraceSearch }
  | { page: "problems" }
  | { page: "nowhere" };

export const LIST: Place = { page: "list", search: {} };

export function placeAt(pathname: string, query: string): Place {
  const params = new URLSearchParams(query);
  const path = pathname.replace(/\/+$/, "");
  if (path === "" || path === "/traces") return { page: "list", search: listSearch(params) };
  if (path === "/problems") return { page: "problems" };
  const traceId = /^\/traces\/([^/]+)$/.exec(path)?.[1];
  if (!traceId) return { page: "nowhere" };
  return { page: "trace", traceId, search: known(params, ["span", "tab", "find"]) };
}

/** Plain `key=value` pairs, so that a link can be read and written by hand. */
export function addressOf(place: Place): string {
  switch (place.page) {
    case "list":
      return `/${queryOf(place.search)}`;
    case "trace":
      return `/traces/${place.traceId}${queryOf(place.search)}`;
    case "problems":
      return "/problems";
    case "nowhere":
      return "/nowhere";
  }
}

function queryOf(search: ListSearch | TraceSearch): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(search)) if (value) params.set(key, value);
  const query = params.toString();
  return query ? `?${query}` : "";
}

function listSearch(params: URLSearchParams): ListSearch {
  const search: ListSearch = known(params, ["q", "from", "to", "sort", "cols"]);
  const range = params.get("range");
  const isPreset = PRESETS.some((preset) => preset.name === range);
  if (range && range !== DEFAULT_PRESET && (isPreset || range === "custom")) search.range = range;
  if (params.get("live") === "off") search.live = "off";
  return search;
}

function known<K extends string>(params: URLSearchParams, keys: K[]): { [key in K]?: string } {
  const found: { [key in K]?: string } = {};
  for (const key of keys) {
    const value = params.get(key);
    if (value) found[key] = value;
  }
  return found;
}
