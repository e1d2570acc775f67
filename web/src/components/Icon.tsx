/** Line icons on a 16-pixel grid. Decorative: the words are always beside them or in a label. */

const PATHS = {
  chat: "M8 2.2l1.5 3.9 3.9 1.5-3.9 1.5L8 13l-1.5-3.9L2.6 7.6l3.9-1.5z",
  completion: "M3 4h10M3 8h10M3 12h6",
  tool: "M9.8 2.6a3.4 3.4 0 0 0-3.9 4.7l-3.5 3.5 2.6 2.6 3.5-3.5a3.4 3.4 0 0 0 4.7-3.9L11.1 8 8.6 7.4 8 4.9z",
  agent: "M3 6.5h10v6H3zM8 6.5V3.2M6 9.3v.6M10 9.3v.6M6.8 3.2h2.4",
  retriever: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.4 10.4L13.8 13.8",
  embedding:
    "M3 3h2.6v2.6H3zM10.4 3H13v2.6h-2.6zM3 10.4h2.6V13H3zM10.4 10.4H13V13h-2.6zM5.6 4.3h4.8M4.3 5.6v4.8",
  rerank: "M4.5 3v10M2.5 11l2 2 2-2M9 4h5M9 8h3.6M9 12h2.2",
  workflow: "M2.5 3h4v3.4h-4zM9.5 9.6h4V13h-4zM4.5 6.4v4.9h5",
  task: "M3 3h10v10H3zM5.6 8.2l1.7 1.7 3.2-3.6",
  guardrail: "M8 2l5 1.8v4c0 3-2.1 5.2-5 6.2-2.9-1-5-3.2-5-6.2v-4z",
  evaluator: "M2.5 11.5a5.5 5.5 0 1 1 11 0M8 11.5l2.6-3.4",
  plain: "M4 8h8",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.4 10.4L13.8 13.8",
  clock: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 4.8V8l2.2 1.6",
  columns: "M2.5 3h11v10h-11zM6.2 3v10M9.8 3v10",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.2v9.6L12.5 8z",
  sun: "M8 10.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6zM8 1.8v1.4M8 12.8v1.4M1.8 8h1.4M12.8 8h1.4M3.6 3.6l1 1M11.4 11.4l1 1M12.4 3.6l-1 1M4.6 11.4l-1 1",
  moon: "M13 9.4A5.4 5.4 0 0 1 6.6 3 5.4 5.4 0 1 0 13 9.4z",
  auto: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 2v12M8 5h4.9M8 8h6M8 11h4.9",
  keyboard: "M1.8 4h12.4v8H1.8zM4.2 6.6h.2M6.8 6.6h.2M9.4 6.6h.2M11.8 6.6h.2M5 9.6h6",
  chevron: "M6 4l4 4-4 4",
  down: "M4 6l4 4 4-4",
  up: "M4 10l4-4 4 4",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  check: "M3 8.4l3.2 3.2L13 4.8",
  close: "M4 4l8 8M12 4l-8 8",
  warning: "M8 2.4l6.2 11H1.8zM8 6.6v3.2M8 11.5v.2",
  error: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 5v3.6M8 10.8v.2",
  info: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 7.4V11M8 5v.2",
  slow: "M4.5 2.5h7M4.5 13.5h7M5.5 2.5c0 3 5 3.6 5 5.5s-5 2.5-5 5.5M10.5 2.5c0 3-5 3.6-5 5.5s5 2.5 5 5.5",
  arrow: "M3 8h9.4M9 4.6L12.4 8 9 11.4",
  back: "M13 8H3.6M7 4.6L3.6 8 7 11.4",
  link: "M6.6 9.4l2.8-2.8M7.4 4.6l1.8-1.8a2.8 2.8 0 0 1 4 4l-1.8 1.8M8.6 11.4l-1.8 1.8a2.8 2.8 0 0 1-4-4l1.8-1.8",
  expand: "M4 6.5L8 2.8l4 3.7M4 9.5l4 3.7 4-3.7",
  collapse: "M4 2.8l4 3.7 4-3.7M4 13.2l4-3.7 4 3.7",
  person:
    "M8 7.6a2.6 2.6 0 1 0 0-5.2 2.6 2.6 0 0 0 0 5.2zM3 13.6c.4-2.8 2.4-4.2 5-4.2s4.6 1.4 5 4.2",
  gear: "M3 4.5h10M3 8h10M3 11.5h10M6 3.2v2.6M10.4 6.7v2.6M5 10.2v2.6",
  download: "M8 2.5v7.4M4.8 7L8 10.2 11.2 7M3 13.2h10",
  think:
    "M5 12.4h6M6 14.2h4M8 2a4.2 4.2 0 0 0-2.6 7.5c.5.5.8 1 .9 1.7h3.4c.1-.7.4-1.2.9-1.7A4.2 4.2 0 0 0 8 2z",
  image: "M2.5 3h11v10h-11zM2.5 11l3.4-3.6 2.8 2.8 1.8-1.8 3 3M10.2 6v.2",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg
      className="icon"
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.4"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The icon of what a span did. */
export function OperationIcon({ operation }: { operation: string | null | undefined }) {
  const name = operation && operation in PATHS ? (operation as IconName) : "plain";
  return (
    <span className="op-icon" data-op={operation ?? "plain"} title={operation ?? "span"}>
      <Icon name={name} size={14} />
    </span>
  );
}
