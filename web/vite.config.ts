import { writeFileSync } from "node:fs";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** The server embeds `dist`, so the folder must exist in a fresh clone; a build empties it. */
function keepFolderTracked(): Plugin {
  return {
    name: "keep-folder-tracked",
    apply: "build",
    closeBundle: () => writeFileSync("dist/.gitignore", "*\n!.gitignore\n"),
  };
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
  plugins: [react(), keepFolderTracked(), mode === "mock" && mockApi()],
  build: { chunkSizeWarningLimit: 800, reportCompressedSize: true },
  server: {
    proxy: mode === "mock" ? {} : { "/api": process.env.SPANWISE_URL ?? "http://127.0.0.1:4319" },
  },
}));
