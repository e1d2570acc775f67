import { readFileSync, writeFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

/** The server embeds `dist`, so the folder must exist in a fresh clone; a build empties it. */
function keepFolderTracked(): Plugin {
  return {
    name: "keep-folder-tracked",
    apply: "build",
    closeBundle: () => writeFileSync("dist/.gitignore", "*\n!.gitignore\n"),
  };
}

/** Puts `boot.js` into the page, where it runs first. The server allows it by its hash. */
function inlineBoot(): Plugin {
  return {
    name: "inline-boot",
    transformIndexHtml: {
      order: "pre",
      handler: (html) =>
        replaced(html, /<script src="(\/src\/boot\.js)"><\/script>/, (path) => {
          return `<script>${readFileSync(`.${path}`, "utf8")}</script>`;
        }),
    },
  };
}

/** Puts the style sheet into the page: painting waits for no second request. */
function inlineStyles(): Plugin {
  return {
    name: "inline-styles",
    apply: "build",
    enforce: "post",
    transformIndexHtml: (html, { bundle }) =>
      replaced(html, /<link rel="stylesheet"[^>]* href="\/([^"]+)">/, (file) => {
        const sheet = bundle?.[file];
        if (sheet?.type !== "asset") throw new Error(`the build has no ${file}`);
        delete bundle?.[file];
        return `<style>${sheet.source}</style>`;
      }),
  };
}

/**
 * Has Chromium compile all functions while the script arrives, off the main thread, rather than
 * each when it is first called: nearly all are called for the first page. A hint, no more.
 */
function compileAhead(): Plugin {
  return {
    name: "compile-ahead",
    apply: "build",
    enforce: "post",
    generateBundle(_, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (chunk.type === "chunk" && chunk.isEntry) {
          chunk.code = `//# allFunctionsCalledOnLoad\n${chunk.code}`;
        }
      }
    },
  };
}

function replaced(html: string, tag: RegExp, by: (captured: string) => string): string {
  const found = tag.exec(html);
  if (!found) throw new Error(`index.html has no ${tag}`);
  return html.replace(found[0], () => by(found[1] ?? ""));
}

type MockModule = typeof import("./tests/mock/server");

/** `npm run mock`: the development server answers the API from fixtures. */
function mockApi(): Plugin {
  return {
    name: "mock-api",
    async configureServer(server) {
      const { mockHandler } = (await server.ssrLoadModule("/tests/mock/server.ts")) as MockModule;
      const handle = mockHandler();
      server.middlewares.use((request, response, next) => {
        if (!handle(request, response)) next();
      });
    },
  };
}

export default defineConfig(({ mode }) => ({
  plugins: [
    inlineBoot(),
    inlineStyles(),
    compileAhead(),
    keepFolderTracked(),
    mode === "mock" && mockApi(),
  ],
  build: {
    modulePreload: { polyfill: false },
    rolldownOptions: {
      // Of dependencies: meant for servers that render React, and there is none.
      onwarn: (warning, warn) => warning.code !== "MODULE_LEVEL_DIRECTIVE" && warn(warning),
    },
  },
  server: {
    proxy: mode === "mock" ? {} : { "/api": process.env.SPANWISE_URL ?? "http://127.0.0.1:4319" },
  },
}));
