// Runs before the first paint and before the application is loaded; the build puts it into the page.

// The page's first request, so that its answer is here when the application is. The API client
// takes it over if it asks for exactly this.
(() => {
  const trace = /^\/traces\/([0-9a-f]{32})$/.exec(location.pathname);
  const isList = location.pathname === "/" && location.search === "";
  const url = trace
    ? `/api/v1/traces/${trace[1]}?view=outline`
    : isList && "/api/v1/traces?sort=-start_time&limit=100";
  if (!url) return;
  const response = fetch(url, { credentials: "same-origin" });
  response.catch(() => {});
  window.spanwiseEarly = { url, response };
})();

// The theme, so that the page never flashes in the wrong one.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    let choice = "auto";
    try {
      choice = localStorage.getItem("spanwise.theme") || "auto";
    } catch {
      // Storage may be blocked; the system's theme is then the only one.
    }
    const theme = choice === "auto" ? (dark.matches ? "dark" : "light") : choice;
    document.documentElement.dataset.theme = theme;
  };
  apply();
  dark.addEventListener("change", apply);
  window.addEventListener("spanwise:theme", apply);
})();
