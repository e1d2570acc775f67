import { QueryClientProvider } from "@tanstack/react-query";
import { render } from "preact/compat";
import { Shell } from "./components/Shell";
import { firstAnswer } from "./firstAnswer";
import { queryClient } from "./queries";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/list.css";
import "./styles/trace.css";
import "./styles/panel.css";

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");

/** Longer than this, skeletons are better than an empty page. */
const PATIENCE_MS = 80;

const patience = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
await Promise.race([firstAnswer(queryClient), patience]);
render(
  <QueryClientProvider client={queryClient}>
    <Shell />
  </QueryClientProvider>,
  root,
);
