/** Small pieces that every page uses. */

import { type ReactNode, useEffect, useRef, useState } from "preact/compat";
import { ApiError } from "../api/client";
import { Icon, type IconName } from "./Icon";

export function CopyButton({
  text,
  label = "Copy",
}: {
  text: string | (() => string);
  label?: string;
}) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 1200);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = async () => {
    await navigator.clipboard.writeText(typeof text === "string" ? text : text());
    setDone(true);
  };
  return (
    <button
      type="button"
      className="icon-button"
      title={label}
      aria-label={label}
      data-done={done || undefined}
      onClick={(event) => {
        event.stopPropagation();
        copy().catch(() => setDone(false));
      }}
    >
      <Icon name={done ? "check" : "copy"} size={14} />
    </button>
  );
}

/** A message in place of content: why there is none, and what to do next. */
export function Notice({
  icon,
  tone = "plain",
  title,
  children,
  action,
}: {
  icon: IconName;
  tone?: "plain" | "error" | "warn";
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className="notice" data-tone={tone} role={tone === "error" ? "alert" : "status"}>
      <span className="notice-icon">
        <Icon name={icon} size={20} />
      </span>
      <h2>{title}</h2>
      {children && <div className="notice-body">{children}</div>}
      {action && <div className="notice-action">{action}</div>}
    </div>
  );
}

function explain(error: unknown): { title: string; next: string } {
  if (!(error instanceof ApiError)) {
    return { title: "Something broke on this page", next: String(error) };
  }
  if (error.status === 0) {
    return {
      title: "The server does not answer",
      next: "Is `spanwise serve` still running? This page tries again when you ask it to.",
    };
  }
  if (error.status === 404) {
    return {
      title: "Not found",
      next: "It may have been removed by retention, belong to another project, or not have arrived yet.",
    };
  }
  return { title: "The server refused", next: error.message };
}

export function ErrorNotice({ error, retry }: { error: unknown; retry?: () => void }) {
  const { title, next } = explain(error);
  return (
    <Notice
      icon="error"
      tone="error"
      title={title}
      action={
        retry && (
          <button type="button" className="button" onClick={retry}>
            Try again
          </button>
        )
      }
    >
      {next}
    </Notice>
  );
}

/** A popover under its button; closes on Escape, outside clicks, and when focus leaves. */
export function Popover({
  label,
  button,
  align = "left",
  children,
}: {
  label: string;
  button: ReactNode;
  align?: "left" | "right";
  children: (close: () => void) => ReactNode;
}) {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!open) return;
    const outside = (event: Event) => {
      if (!box.current?.contains(event.target as Node)) setOpen(false);
    };
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    document.addEventListener("keydown", onKey, true);
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("keydown", onKey, true);
    };
  }, [open]);
  return (
    <div className="popover-box" ref={box}>
      <button
        type="button"
        className="button"
        aria-expanded={open}
        aria-label={label}
        title={label}
        onClick={() => setOpen(!open)}
      >
        {button}
      </button>
      {open && (
        <div className="popover" data-align={align}>
          {children(() => setOpen(false))}
        </div>
      )}
    </div>
  );
}

export function Skeleton({ width, height = 12 }: { width: number | string; height?: number }) {
  return <span className="skeleton" style={{ width, height }} aria-hidden="true" />;
}

export function Kbd({ children }: { children: ReactNode }) {
  return <kbd>{children}</kbd>;
}

export interface Tab<T extends string> {
  id: T;
  label: string;
  count?: number | undefined;
  key?: string;
}

export function Tabs<T extends string>({
  tabs,
  active,
  onSelect,
  label,
}: {
  tabs: readonly Tab<T>[];
  active: T;
  onSelect: (id: T) => void;
  label: string;
}) {
  return (
    <div className="tabs" role="tablist" aria-label={label}>
      {tabs.map((tab) => (
        <button
          type="button"
          role="tab"
          key={tab.id}
          aria-selected={tab.id === active}
          title={tab.key ? `${tab.label} (${tab.key})` : tab.label}
          onClick={() => onSelect(tab.id)}
        >
          {tab.label}
          {tab.count !== undefined && tab.count > 0 && <span className="count">{tab.count}</span>}
        </button>
      ))}
    </div>
  );
}
