import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from "@tanstack/react-router";
import { Shell } from "./components/Shell";
import { DEFAULT_PRESET, PRESETS } from "./model/range";
import { loadTracePage } from "./pages/loadTracePage";
import { NotFoundPage } from "./pages/NotFoundPage";
import { ProblemsPage } from "./pages/ProblemsPage";
import { TraceListPage } from "./pages/TraceListPage";
import { outlineOptions, queryClient } from "./queries";

/** Every state of the list that a link restores. Defaults are left out of the URL. */
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

type Raw = Record<string, unknown>;

function text(raw: Raw, key: string): string | undefined {
  const value = raw[key];
  return typeof value === "string" && value !== "" ? value : undefined;
}

function listSearch(raw: Raw): ListSearch {
  const search: ListSearch = {};
  for (const key of ["q", "from", "to", "sort", "cols"] as const) {
    const value = text(raw, key);
    if (value !== undefined) search[key] = value;
  }
  const range = text(raw, "range");
  const isPreset = PRESETS.some((preset) => preset.name === range);
  if (range && range !== DEFAULT_PRESET && (isPreset || range === "custom")) search.range = range;
  if (raw.live === "off") search.live = "off";
  return search;
}

function traceSearch(raw: Raw): TraceSearch {
  const search: TraceSearch = {};
  for (const key of ["span", "tab", "find"] as const) {
    const value = text(raw, key);
    if (value !== undefined) search[key] = value;
  }
  return search;
}

const rootRoute = createRootRoute({ component: Shell, notFoundComponent: NotFoundPage });

const listRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/",
  validateSearch: listSearch,
  component: TraceListPage,
});

const tracesRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/traces",
  beforeLoad: () => {
    throw redirect({ to: "/" });
  },
});

const traceRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/traces/$traceId",
  validateSearch: traceSearch,
  // The data is asked for while the page's code is still on its way.
  loader: ({ params }) => {
    queryClient.prefetchQuery(outlineOptions(params.traceId));
  },
  component: lazyRouteComponent(loadTracePage, "TracePage"),
});

const problemsRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/problems",
  component: ProblemsPage,
});

/** Plain `key=value` pairs, so that a link can be read and written by hand. */
function stringifySearch(search: Raw): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(search)) {
    if (typeof value === "string" && value !== "") params.set(key, value);
  }
  const query = params.toString();
  return query ? `?${query}` : "";
}

export const router = createRouter({
  routeTree: rootRoute.addChildren([listRoute, tracesRoute, traceRoute, problemsRoute]),
  parseSearch: (query) => Object.fromEntries(new URLSearchParams(query)),
  stringifySearch,
  defaultPreload: false,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
