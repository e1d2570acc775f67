/** The frame around every page: navigation, theme, key sheet, sign-in. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "preact/compat";
import { api } from "../api/client";
import { lastList } from "../lastList";
import { LIST, type Place } from "../model/place";
import { go, Link, usePlace } from "../navigation";
import { NotFoundPage } from "../pages/NotFoundPage";
import { ProblemsPage } from "../pages/ProblemsPage";
import { SignInPage } from "../pages/SignInPage";
import { TraceListPage } from "../pages/TraceListPage";
import { TracePage } from "../pages/TracePage";
import { problemsOptions, sessionOptions } from "../queries";
import { requireSignIn, useSignedOut } from "../signedOut";
import { Boundary } from "./Boundary";
import { Icon } from "./Icon";
import { KeySheet } from "./KeySheet";
import { useKeys } from "./keys";
import { readStored, store } from "./stored";
import { nextTheme, useTheme } from "./theme";

export function Shell() {
  const place = usePlace();
  const signedOut = useSignedOut();
  const [sheet, setSheet] = useState(false);
  useKeys({
    "?": () => setSheet(true),
    "g t": () => go({ page: "list", search: lastList().search }),
    "g p": () => go({ page: "problems" }),
  });
  return (
    <div className="shell">
      <header className="topbar">
        <Link to={LIST} className="brand" aria-label="Spanwise: traces">
          <Logo />
          <span>Spanwise</span>
        </Link>
        <nav aria-label="Pages">
          <Link to={LIST} aria-current={place.page === "list" ? "page" : undefined}>
            Traces
          </Link>
          <ProblemsLink here={place.page === "problems"} />
        </nav>
        <div className="topbar-end">
          <SignOut />
          <ThemeButton />
          <button
            type="button"
            className="icon-button"
            aria-label="Keyboard shortcuts"
            title="Keyboard shortcuts (?)"
            onClick={() => setSheet(true)}
          >
            <Icon name="keyboard" />
          </button>
        </div>
      </header>
      <main>
        <Boundary key={place.page}>{signedOut ? <SignInPage /> : <Page place={place} />}</Boundary>
      </main>
      <KeySheet open={sheet} onClose={() => setSheet(false)} />
      <StaleNotice />
    </div>
  );
}

function Page({ place }: { place: Place }) {
  switch (place.page) {
    case "list":
      return <TraceListPage search={place.search} />;
    case "trace":
      return <TracePage traceId={place.traceId} search={place.search} />;
    case "problems":
      return <ProblemsPage />;
    case "nowhere":
      return <NotFoundPage />;
  }
}

function Logo() {
  return (
    <svg width="20" height="20" viewBox="0 0 20 20" aria-hidden="true" className="logo">
      <rect x="1.5" y="3.2" width="17" height="3.2" rx="1.6" />
      <rect x="5" y="8.4" width="11" height="3.2" rx="1.6" />
      <rect x="8.5" y="13.6" width="5.5" height="3.2" rx="1.6" />
    </svg>
  );
}

const SEEN_KEY = "spanwise.problems-seen";

/** Carries a dot while there are problems that nobody has looked at in this browser. */
function ProblemsLink({ here }: { here: boolean }) {
  const { data } = useQuery({ ...problemsOptions, enabled: useSettled() });
  const [seen, setSeen] = useState(() => readStored(SEEN_KEY) ?? "0");
  const newest = data?.problems[0]?.time_unix_nano ?? "0";
  useEffect(() => {
    if (!here || BigInt(newest) <= BigInt(seen)) return;
    setSeen(newest);
    store(SEEN_KEY, newest);
  }, [here, newest, seen]);
  const isNew = BigInt(newest) > BigInt(seen);
  return (
    <Link to={{ page: "problems" }} aria-current={here ? "page" : undefined}>
      Ingest problems
      {isNew && (
        <span className="news-dot" title="New since you last looked">
          <span className="visually-hidden">(new)</span>
        </span>
      )}
    </Link>
  );
}

/** True once the page had time for what it is there for. */
function useSettled(): boolean {
  const [settled, setSettled] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(true), 1500);
    return () => clearTimeout(timer);
  }, []);
  return settled;
}

/** Whose traces these are, and the way out; nothing on a server without keys. */
function SignOut() {
  const queryClient = useQueryClient();
  const { data: session } = useQuery(sessionOptions);
  if (session?.auth !== "required" || !session.signed_in) return null;
  const leave = async () => {
    await api.signOut();
    queryClient.clear();
    requireSignIn();
  };
  return (
    <>
      <span className="project muted" title="Project">
        {session.project}
      </span>
      <button type="button" className="button small" onClick={() => leave().catch(() => {})}>
        Sign out
      </button>
    </>
  );
}

function ThemeButton() {
  const [theme, setTheme] = useTheme();
  const icon = theme === "dark" ? "moon" : theme === "light" ? "sun" : "auto";
  const label = `Theme: ${theme}. Switch to ${nextTheme(theme)}`;
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={label}
      title={label}
      onClick={() => setTheme(nextTheme(theme))}
    >
      <Icon name={icon} />
    </button>
  );
}

/** Says so when the browser is offline; everything loaded stays readable. */
function StaleNotice() {
  const [offline, setOffline] = useState(!navigator.onLine);
  useEffect(() => {
    const update = () => setOffline(!navigator.onLine);
    window.addEventListener("online", update);
    window.addEventListener("offline", update);
    return () => {
      window.removeEventListener("online", update);
      window.removeEventListener("offline", update);
    };
  }, []);
  const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  if (!offline || isLocal) return null;
  return (
    <div className="toast" role="status">
      <Icon name="warning" size={14} /> No network: what is shown may be out of date
    </div>
  );
}
