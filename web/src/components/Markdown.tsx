/** Markdown. Its code is a file of its own, and until that is here the text stands as it is. */

import { useEffect, useMemo, useState } from "preact/compat";

type MarkdownHtml = typeof import("./markdownHtml").markdownHtml;

let markdownHtml: MarkdownHtml | undefined;

export async function loadMarkdown(): Promise<void> {
  try {
    ({ markdownHtml } = await import("./markdownHtml"));
  } catch {
    // The server has gone, or is another version by now: the text stays as it is.
  }
}

export function Markdown({ text }: { text: string }) {
  const toHtml = useMarkdown();
  const html = useMemo(() => toHtml?.(text), [toHtml, text]);
  if (html === undefined) return <div className="plain-text">{text}</div>;
  // biome-ignore lint/security/noDangerouslySetInnerHtml: sanitized where it is made.
  return <div className="markdown" dangerouslySetInnerHTML={{ __html: html }} />;
}

function useMarkdown(): MarkdownHtml | undefined {
  const [, setLoaded] = useState(markdownHtml !== undefined);
  useEffect(() => {
    if (!markdownHtml) loadMarkdown().then(() => setLoaded(markdownHtml !== undefined));
  }, []);
  return markdownHtml;
}
