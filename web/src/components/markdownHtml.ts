/** Markdown from models and users: never trusted, never able to call home. */

import DOMPurify from "dompurify";
import { Marked } from "marked";

const marked = new Marked({
  gfm: true,
  breaks: true,
  tokenizer: {
    // Prompts are full of <context>-like tags; they are text to be read, not markup.
    html: () => undefined,
    tag: () => undefined,
  },
  renderer: {
    // A remote image would tell its host who reads this trace, so it is shown as a link.
    image({ href, text }) {
      return `<a href="${encodeURI(href)}">image: ${escapeHtml(text || href)}</a>`;
    },
  },
});

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

const SAFE = {
  ALLOWED_TAGS: [
    ..."a b blockquote br code del em h1 h2 h3 h4 h5 h6 hr i input li ol p pre s strong".split(" "),
    ..."sub sup table tbody td th thead tr ul".split(" "),
  ],
  ALLOWED_ATTR: ["href", "target", "rel", "align", "type", "checked", "disabled", "start"],
};

const purifier = DOMPurify(window);
purifier.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

export function markdownHtml(text: string): string {
  return purifier.sanitize(marked.parse(text, { async: false }), SAFE);
}
